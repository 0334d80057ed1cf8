//! The networks of a node: bridges, links, addresses, translation and published ports, made over netlink without running
//! a program, and unmade again.
//!
//! ```text
//!   outside ---- prerouting: dnat by map ----+
//!   the host --- output:     dnat by map ----+--> bridge boc-<id> --- veth v<id><addr> === eth0 in the container
//!   ::1, IPv6 -- redirect --> edge process --+ (`traffic`)
//! ```
//!
//! - [`Dataplane`]: what the engine calls. Start there.
//! - `netlink`: messages and sockets; `link`: rtnetlink(7); `nft`: the table, as values and as messages
//! - `watch`: notices when somebody else flushes the table; `reaper`: deletes links while nobody waits; `conntrack`: forgets clients of ports that are gone
//! - [`Namespace`]: network namespaces, made ahead of need
//! - [`resolver_sockets`]: where a container's programs ask for names
//!
//! Everything that is made carries the daemon's id. One table is ours and written whole in one transaction; a container's
//! start and end only add and remove elements of its maps, so their cost does not grow with what is there.

mod conntrack;
mod dataplane;
mod error;
mod link;
mod namespace;
mod netlink;
mod nft;
mod probe;
mod reaper;
mod resolver;
mod setting;
mod value;
mod watch;

pub use dataplane::{BRIDGE_PORTS_MAX, Dataplane};
pub use error::Error;
pub use namespace::Namespace;
pub use probe::probe_port;
pub use resolver::{ResolverSockets, resolver_sockets};
pub use value::{Bridge, Endpoint, Upon, UponMode, WayOut};
pub use watch::{Seen, Watch};

/// Bytes in a packet on the bridge.
pub const MTU: u32 = 1500;
