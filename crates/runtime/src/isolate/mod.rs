//! What makes a process a container, as a table: the order of the steps is the security property.
//!
//! The shim clones the child into its new namespaces; the child runs [`CONTAINER`] (or [`ENTER`], for one more process
//! in a container that runs) from the first entry to the last, and then becomes the program. The first step that
//! fails ends it: the failure goes back through the report socket, with the step's name.
//!
//! Why this order:
//! - What needs the host (its paths, its `/proc`) is opened before the root changes; afterwards only descriptors of it
//!   are left, and those close on exec. The root changes *before* anything is mounted into it: whatever a link in
//!   the image or in a shared volume points to, there is only the container to be found.
//! - A target is resolved to a descriptor inside the root and mounted on through that descriptor, so that it cannot
//!   be exchanged between the look and the mount.
//! - Paths are masked after `proc` and the user's mounts, over whatever these brought.
//! - Identity goes down one way: bounding set, user, capabilities; then privileges cannot be gained again, then the
//!   filter. The filter is last because it would refuse what comes before it.
//! - Without `no_new_privs` the kernel takes a filter only from a holder of `CAP_SYS_ADMIN`: that one capability is
//!   kept, permitted but not effective, until the filter stands, and dropped by the last step.
//!
//! Absent on purpose: decisions. Everything is in the setup.

mod capabilities;
mod dev;
mod environment;
mod host;
mod identity;
mod mounts;
mod paths;
mod program;
mod root;
mod streams;
mod table;
mod users;

pub(crate) use dev::{Node, host_nodes, rules};
pub(crate) use environment::{Child, Streams3};
pub(crate) use program::{INIT_NAME, READY};
pub(crate) use streams::TERMINAL;
pub(crate) use table::{CONTAINER, ENTER, run};
pub(crate) use users::Identity;
