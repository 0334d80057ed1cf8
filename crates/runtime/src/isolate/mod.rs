//! What makes a process a container, as a table: the order of the steps is the security property.
//!
//! The shim opens what the host gives ([`sources`]) and clones the child into its new namespaces; the child runs [`CONTAINER`]
//! (or [`ENTER`], for one more process in a container that runs) from the first entry to the last, and then becomes the
//! program. The first step that fails ends it: the failure goes back through the report socket, with the step's name.
//!
//! Why this order:
//! - What the host gives is opened by the shim, with the host's rights, and arrives as descriptors of detached mounts; those close on
//!   exec. The child resolves no path of the host but that of the root itself.
//! - Every target is resolved inside the root to a descriptor, links followed nowhere but there, and mounted on through that
//!   descriptor: whatever a link in the image or in a shared volume points to, there is only the container to be
//!   found, and nothing can be exchanged between the look and the mount.
//! - Hooks of the outside run once the mounts stand and before the root changes, where they have always found both.
//! - Paths are masked after the root has changed and all mounts are there, over whatever these brought.
//! - Identity goes down one way: bounding set, user, capabilities; then privileges cannot be gained again, then the
//!   filter. The filter is last because it would refuse what comes before it.
//! - Without `no_new_privs` the kernel takes a filter only from a holder of `CAP_SYS_ADMIN`: that one capability is
//!   kept, permitted but not effective, until the filter stands, and dropped by the last step.
//!
//! Absent on purpose: decisions. Everything is in the setup.

mod attributes;
mod capabilities;
mod copyup;
mod dev;
mod environment;
mod hooks;
mod host;
mod identity;
mod mapping;
mod mounts;
pub(crate) mod paths;
mod program;
mod root;
mod sources;
mod streams;
mod table;
pub mod talk;
pub(crate) mod users;

pub(crate) use capabilities::{NAMES as CAPABILITIES, is_capability};
pub(crate) use dev::{Node, host_nodes, rules};
pub(crate) use environment::{Child, Container, Found, Problem, Streams3};
pub(crate) use hooks::run_all as run_hooks;
pub(crate) use host::{become_root_inside, join, join_cgroups};
pub(crate) use identity::{is_resource_limit, limit_resources};
pub(crate) use mapping::write_maps;
pub(crate) use program::INIT_NAME;
pub(crate) use sources::{Sources, open as open_sources};
pub(crate) use table::{CONTAINER, ENTER, run};
