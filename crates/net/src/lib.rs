//! The default bridge of a node: links, addresses, translation and published ports, made over netlink without running
//! a program, and unmade again.
//!
//! ```text
//!   outside ---- prerouting: dnat by map ----+
//!   the host --- output:     dnat by map ----+--> bridge boc-<id> --- veth v<id><addr> === eth0 in the container
//!   ::1, IPv6 -- redirect --> edge process --+
//! ```
//!
//! - [`Network`]: what the engine calls. Start there.
//! - `netlink`: messages and sockets; `link`: rtnetlink(7); `nft`: the table, as values and as messages
//! - `reaper`: deletes links while nobody waits; `conntrack`: forgets clients of ports that are gone
//! - [`Namespace`]: network namespaces, made ahead of need
//! - [`edge`]: the process for what translation cannot take
//!
//! Everything that is made carries the daemon's id. One table is ours and written whole in one transaction; a container's
//! start and end only add and remove elements of its maps, so their cost does not grow with what is there.

mod conntrack;
pub mod edge;
mod error;
mod link;
mod namespace;
mod netlink;
mod network;
mod nft;
mod reaper;
mod value;

pub use error::Error;
pub use namespace::Namespace;
pub use network::Network;
pub use value::{Endpoint, Ipv4Net, NetConfig};

/// Bytes in a packet on the bridge.
pub const MTU: u32 = 1500;
