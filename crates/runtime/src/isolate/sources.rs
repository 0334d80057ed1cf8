//! What a container is given of the host: opened by the shim, with the host's rights, before the container's first process exists.
//!
//! Layers, bind sources and devices become descriptors of detached mounts. The child puts them in their places and never
//! looks at a path of the host: in a user namespace of its own it might not even be allowed to.

use super::dev::{self, Node};
use super::environment::{During, Problem};
use super::mapping;
use super::mounts::{copy_of, copy_of_open};
use super::paths;
use crate::setup::{Attributes, Change, MapIds, Mount, MountKind, Passing, Root, Setup, UserNamespace};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;

/// Everything that was opened for one container.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The root, detached.
    pub(crate) root: Option<OwnedFd>,
    /// A detached tree for each bind mount, in the order of the mounts.
    pub(super) binds: Vec<Option<OwnedFd>>,
    /// Where nodes cannot be made (in a user namespace): the host's own, by the path at which each appears.
    pub(super) nodes: Vec<(std::path::PathBuf, OwnedFd)>,
}

/// Opens everything. `user_namespace` is the container's, where it has one that exists already.
pub(crate) fn open(
    setup: &Setup,
    user_namespace: Option<BorrowedFd<'_>>,
    nodes: &[Node],
) -> Result<Sources, Problem> {
    let mut own = Mapping { setup, existing: user_namespace, made: None };
    let root = super::root::open(&setup.root, &mut own)?;
    let mut binds = Vec::with_capacity(setup.mounts.len());
    for mount in &setup.mounts {
        let Some((tree, recursive)) = tree(mount, &mut own)? else {
            binds.push(None);
            continue;
        };
        let name = || mount.target.display();
        // The copy of a shared mount would be its peer: what is mounted in the container would reach the host.
        let private = Change { recursive, ..Change::pass(Passing::Private) };
        let wants = mount.options.passing.last().and_then(|change| change.passing);
        if !matches!(wants, Some(Passing::Slave | Passing::Shared)) {
            sys::mount::change(tree.as_fd(), private)
                .during(format_args!("prepare what is mounted on {}", name()))?;
        }
        if let (Some(map), false) = (&mount.options.map_ids, matches!(mount.kind, MountKind::Layers { .. })) {
            own.show(tree.as_fd(), map, &mount.target)?;
        }
        binds.push(Some(tree));
    }
    let nodes = match setup.namespaces.user {
        UserNamespace::Host => Vec::new(),
        _ => dev::open_nodes(setup, nodes)?,
    };
    Ok(Sources { root: Some(root), binds, nodes })
}

/// What a mount shows of the host, as a detached tree, and whether mounts beneath it are in it; none where it shows nothing of
/// that.
fn tree(mount: &Mount, own: &mut Mapping<'_>) -> Result<Option<(OwnedFd, bool)>, Problem> {
    Ok(match &mount.kind {
        MountKind::Bind { source, recursive } => {
            let tree = copy_of(CWD, source, *recursive)
                .during(format_args!("open the bind source {}", source.display()))?;
            Some((tree, *recursive))
        }
        MountKind::Beneath { source, path } => {
            let during = || format!("open {} of {}", path.display(), source.display());
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = rustix::fs::open(source, flags, Mode::empty()).during(during())?;
            let found = paths::find(directory.as_fd(), path, OFlags::PATH).during(during())?;
            Some((copy_of_open(found.as_fd(), true).during(during())?, true))
        }
        MountKind::Layers { lower, path } => {
            let namespace = if mount.options.map_ids.is_some() { own.own()? } else { None };
            Some((super::root::layers(lower, path, namespace)?, false))
        }
        MountKind::New { .. } | MountKind::Dev | MountKind::Cgroup => None,
    })
}

/// The mapping of the container's own user namespace, made when it is first needed.
pub(super) struct Mapping<'a> {
    setup: &'a Setup,
    existing: Option<BorrowedFd<'a>>,
    made: Option<OwnedFd>,
}

impl Mapping<'_> {
    /// A user namespace that maps as the container's does; none where the container is in the host's.
    pub(super) fn own(&mut self) -> Result<Option<BorrowedFd<'_>>, Problem> {
        if let Some(existing) = self.existing {
            return Ok(Some(existing));
        }
        if let (UserNamespace::New { users, groups }, None) = (&self.setup.namespaces.user, &self.made) {
            self.made = Some(mapping::namespace(users, groups)?);
        }
        Ok(self.made.as_ref().map(AsFd::as_fd))
    }

    /// Shows a detached tree's owners through a mapping.
    fn show(&mut self, tree: BorrowedFd<'_>, map: &MapIds, target: &Path) -> Result<(), Problem> {
        let what = format!("show the owners of what is mounted on {} through a mapping", target.display());
        if !map.users.is_empty() {
            let namespace = mapping::namespace(&map.users, &map.groups)?;
            return sys::mount::map_ids(tree, namespace.as_fd(), map.recursive).during(what);
        }
        let Some(own) = self.own()? else {
            return Err(Problem::new(format!("{what}: the container has no user namespace of its own")));
        };
        match sys::mount::map_ids(tree, own, map.recursive) {
            // A file system that knows nothing of mappings is shown as it is, where nobody asked for more.
            Err(Errno::INVAL) if map.is_optional => Ok(()),
            other => other.during(what),
        }
    }
}

/// The root's own: private, whatever it was a copy of.
pub(super) fn private(tree: BorrowedFd<'_>) -> Result<(), Errno> {
    sys::mount::change(tree, Change { set: Attributes::NONE, ..Change::pass(Passing::Private).recursively() })
}

impl Root {
    /// Whether its owners are shown through the container's mapping.
    pub(super) fn is_mapped(&self) -> bool {
        matches!(self, Root::Overlay { map_ids: true, .. })
    }
}
