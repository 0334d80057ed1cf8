//! Every decision of a node, as pure functions: no clock, no chance, no I/O. Time and random numbers come in as
//! arguments, and what comes out is a value that somebody else carries out.
//!
//! - [`life`]: what a container needs next, and what its restart policy says about an end
//! - [`address`]: which subnet, which address, which port
//! - [`files`]: what stands in `/etc/hosts`, `resolv.conf` and `hostname`
//! - [`merge`]: an image's defaults under what the user asked for
//! - [`capabilities`]: which a container keeps
//! - [`names`]: a name for a container that was given none

pub mod address;
pub mod capabilities;
pub mod files;
pub mod life;
pub mod merge;
pub mod names;
pub mod network;
pub mod ranges;
