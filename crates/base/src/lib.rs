//! What could have been in the standard library: a clock that is passed in, times as text, chance from the
//! kernel, error chains as one line, files that are whole or absent, the room on a disk, signals by their names.
//!
//! Nothing here knows what a container is. The clock and the random source are the only places in the
//! workspace that ask the world for time or chance (a lint holds everything else to that), so that every
//! decision above can be replayed.

pub mod chain;
pub mod clock;
pub mod disk;
pub mod file;
pub mod random;
pub mod signal;
pub mod time;

pub use chain::Chain;
pub use clock::Clock;
pub use time::Time;
