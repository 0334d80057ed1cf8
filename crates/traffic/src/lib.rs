//! The inside of the edge process: one for all containers of a daemon, for the traffic that the kernel's translation
//! cannot take, and for the names that containers ask for. And the daemon's way to talk to it.
//!
//! ```text
//!  daemon --- Client: requests, descriptors --- edge.sock ---> process --+--> ports: what is published
//!                                                                        +--> names: networks, resolvers
//!  client --- [::1]:8080 --- redirect ---> tcp, udp --- 172.17.0.2:80
//!  program in a container --- 127.0.0.11:53 --- rewritten inside ---> names --- name servers elsewhere
//! ```
//!
//! - [`serve`]: the process; [`Client`]: the daemon's end of its control connection; `control`: what is said on it
//! - `ports`: what is published; `held`: sockets that keep other programs from it
//! - `tcp`, `udp`: relays; `tracking`: where a redirected datagram was going
//! - [`names`]: the DNS server
//!
//! Everything that is known lies in memory, told piece by piece: publishing one more port costs what the first one did. Nothing
//! stands on the disk, as nobody but a daemon starts this process again, and a daemon has the whole truth and tells it anew.
//! Two threads work: the relays' own, and one that only answers for names, so that a busy relay makes no query wait.

mod client;
mod control;
mod error;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(dead_code, reason = "the fuzzers' own"))]
pub mod fuzzing;
mod held;
pub mod names;
mod ports;
mod process;
mod tcp;
mod tracking;
mod udp;

pub use client::Client;
pub use error::Error;
pub use process::serve;
