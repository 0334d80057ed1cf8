//! Files of containers: looked at, taken out, put in, compared with the image.
//!
//! A container that runs is seen as it sees itself, with all that is mounted in it; one that rests is put together for the
//! moment, by its layers and what would be mounted. Paths are resolved inside of that, by the kernel (`runtime::view`): a link
//! that a container makes or exchanges leads nowhere else.

use crate::Shared;
use crate::container::Request;
use crate::doors::{Bridge, ask, blocking, written};
use crate::registry::Snapshot;
use crate::shim::Shim;
use base::Time;
use images::{FilesManner, Owners, Packed};
use model::Phase;
use model::container::{ContainerSpec, MountSource};
use platform::{Archive, Difference, Error, PathStat, PutOptions};
use runtime::setup::ContainerProcess;
use runtime::view::{Bind, Layers, View};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use volumes::Visit;

/// How long the end of a process may take to be heard of.
const END_WAIT_MAX: Duration = Duration::from_secs(10);

fn failed(what: &str, error: impl std::fmt::Display) -> Error {
    Error::failed(format!("{what}: {error}"))
}

/// What differs from the image.
pub(crate) async fn differences(
    shared: &Arc<Shared>,
    name: &str,
) -> Result<Vec<(Difference, String)>, Error> {
    let (_, handle) = shared.registry.find(name)?;
    let (shared, snapshot) = (Arc::clone(shared), handle.snapshot());
    blocking(move || {
        let upper = shared.roots.container(snapshot.intent.id).upper();
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let upper = rustix::fs::open(&upper, flags, rustix::fs::Mode::empty())
            .map_err(|error| failed("open the writable layer", error))?;
        let lower = lower(&shared, &snapshot)?;
        let below = View::of_layers(Layers { lower: &lower, upper: None }, &[])
            .map_err(|error| failed("put the image's layers together", error))?;
        let found = images::compare(upper.as_fd(), below.root())
            .map_err(|error| failed("compare the writable layer with the image", error))?;
        let told = |(difference, path): (images::Difference, PathBuf)| {
            let difference = match difference {
                images::Difference::Changed => Difference::Changed,
                images::Difference::Added => Difference::Added,
                images::Difference::Removed => Difference::Removed,
            };
            (difference, path.to_string_lossy().into_owned())
        };
        Ok(found.into_iter().map(told).collect())
    })
    .await
}

/// Everything that a container sees, but what is mounted in it.
pub(crate) async fn export(shared: &Arc<Shared>, name: &str) -> Result<Archive, Error> {
    let (_, handle) = shared.registry.find(name)?;
    let (shared, snapshot) = (Arc::clone(shared), handle.snapshot());
    let view = blocking(move || {
        let lower = with_writable(&shared, &snapshot)?;
        View::of_layers(Layers { lower: &lower, upper: None }, &[])
            .map_err(|error| failed("put the container's layers together", error))
    })
    .await?;
    Ok(written(move |out| {
        let top = view.find(Path::new("/"), OFlags::DIRECTORY | OFlags::RDONLY)?;
        images::pack(top.as_fd(), Packed::Files, out)
    }))
}

/// What is at a path.
pub(crate) async fn path_stat(shared: &Arc<Shared>, name: &str, path: &str) -> Result<PathStat, Error> {
    Ok(look(shared, name, path).await?.told())
}

/// What is at a path, with all that is in it.
pub(crate) async fn copy_out(
    shared: &Arc<Shared>,
    name: &str,
    path: &str,
) -> Result<(PathStat, Archive), Error> {
    let place = look(shared, name, path).await?;
    let told = place.told();
    let archive = written(move |out| {
        let called = place.called.as_bytes();
        images::pack_one(place.directory.as_fd(), &place.name, called, place.owners, out)
    });
    Ok((told, archive))
}

/// Unpacks an archive in a directory.
pub(crate) async fn copy_in(
    shared: &Arc<Shared>,
    name: &str,
    path: &str,
    options: PutOptions,
    archive: Archive,
) -> Result<(), Error> {
    let (_, handle) = shared.registry.find(name)?;
    let mut seen = handle.seen.clone();
    let (view, held, snapshot) = loop {
        seen.mark_unchanged();
        // One that rests does so until all is in its place: its writable layer is mounted here meanwhile.
        let held = ask(&handle, |reply| Request::Hold { reply }).await?;
        let (here, snapshot) = (Arc::clone(shared), handle.snapshot());
        let of = snapshot.clone();
        if let Some(view) = blocking(move || writable_view(&here, &of)).await? {
            break (view, held, snapshot);
        }
        drop(held);
        end_of(&mut seen).await?;
    };
    let (name, path) = (name.to_owned(), path.to_owned());
    let runtime = tokio::runtime::Handle::current();
    blocking(move || {
        let (beneath, _) = cleaned(&path);
        may_be_written(&snapshot.intent.spec, &beneath)?;
        match view.find(&beneath, OFlags::DIRECTORY | OFlags::PATH) {
            Ok(_) => {}
            Err(error) => {
                return Err(match Errno::from_io_error(&error) {
                    Some(Errno::NOENT) => {
                        Error::not_found(format!("Could not find the file {path} in container {name}"))
                    }
                    Some(Errno::NOTDIR) => Error::invalid("extraction point is not a directory"),
                    _ => failed(&format!("open {path} in container {name}"), error),
                });
            }
        }
        let owner = options.own_by_user.then(|| view.owner(&snapshot.intent.spec.user)).transpose();
        let owner = owner.map_err(|error| Error::invalid(error.to_string()))?;
        let manner = FilesManner { beneath, keep_kinds: options.keep_kinds, owner, top: false };
        let mut source = Bridge { source: archive, runtime };
        images::put(&mut source, view.root(), manner).map_err(|error| crate::doors::image_error(&error))?;
        drop(view);
        drop(held);
        Ok(())
    })
    .await
}

/// The first process of a container that runs.
fn process(shared: &Shared, snapshot: &Snapshot) -> Result<Option<ContainerProcess>, Error> {
    let (Phase::Running { .. } | Phase::Paused { .. }) = snapshot.observed.phase else { return Ok(None) };
    let status = Shim::new(shared.roots.shim(snapshot.intent.id)).status();
    let status =
        status.ok_or_else(|| Error::failed("the status of the container's process cannot be read"))?;
    Ok(Some(ContainerProcess { pid: status.pid, start_ticks: status.start_ticks }))
}

/// What a process sees; `None` where it has just ended, of which the container will hear.
fn view_of(process: ContainerProcess) -> Result<Option<View>, Error> {
    match View::of_process(process) {
        Ok(view) => Ok(Some(view)),
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::SRCH)) => Ok(None),
        Err(error) => Err(failed("open the container's root", error)),
    }
}

/// Waits until a container has heard that its process has ended.
async fn end_of(seen: &mut watch::Receiver<Snapshot>) -> Result<(), Error> {
    match tokio::time::timeout(END_WAIT_MAX, seen.changed()).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Error::conflict("the container is about to end: try again once it has")),
    }
}

/// What a container sees, to be written to; `None` as with [`view_of`].
fn writable_view(shared: &Shared, snapshot: &Snapshot) -> Result<Option<View>, Error> {
    if let Some(process) = process(shared, snapshot)? {
        if !id_map(process.pid, "uid_map").is_empty() {
            return Err(Error::not_supported(
                "files are not copied into a running container that has users of its own: stop it first",
            ));
        }
        return view_of(process);
    }
    let (lower, files) = (lower(shared, snapshot)?, shared.roots.container(snapshot.intent.id));
    let (upper, work) = (files.upper(), files.work());
    let layers = Layers { lower: &lower, upper: Some((&upper, &work)) };
    let (binds, _mounted) = binds(shared, &snapshot.intent.spec)?;
    View::of_layers(layers, &binds)
        .map(Some)
        .map_err(|error| failed("put the container's layers together", error))
}

/// Refuses what the container itself could not write either.
fn may_be_written(spec: &ContainerSpec, path: &Path) -> Result<(), Error> {
    let holds = |mount: &&model::container::Mount| path.starts_with(&mount.target);
    let deepest = spec.mounts.iter().filter(holds).max_by_key(|mount| mount.target.len());
    match deepest {
        Some(mount) if mount.read_only => Err(Error::invalid("mounted volume is marked read-only")),
        None if spec.read_only => Err(Error::invalid("container rootfs is marked read-only")),
        _ => Ok(()),
    }
}

/// The image's layers, and beneath them what every container has.
fn lower(shared: &Shared, snapshot: &Snapshot) -> Result<Vec<PathBuf>, Error> {
    let layers = shared.images.rootfs(&snapshot.intent.image);
    let mut layers = layers.map_err(|error| crate::doors::image_error(&error))?;
    layers.push(shared.roots.skeleton());
    Ok(layers)
}

/// The same beneath the writable layer, which is only read.
fn with_writable(shared: &Shared, snapshot: &Snapshot) -> Result<Vec<PathBuf>, Error> {
    let mut layers = lower(shared, snapshot)?;
    layers.insert(0, shared.roots.container(snapshot.intent.id).upper());
    Ok(layers)
}

/// What would be mounted in a container that rests, and what keeps its volumes mounted until it is.
fn binds<'s>(shared: &'s Shared, spec: &ContainerSpec) -> Result<(Vec<Bind>, Vec<Visit<'s>>), Error> {
    let (mut binds, mut visits) = (Vec::new(), Vec::new());
    for mount in &spec.mounts {
        let (source, part) = match &mount.source {
            MountSource::Bind { path, .. } => (PathBuf::from(path), PathBuf::new()),
            MountSource::Volume(volume) => {
                let visit = shared.volumes.visit(&volume.name);
                let visit = visit.map_err(|error| crate::volumes::volume_error(&error))?;
                let source = visit.path().to_owned();
                visits.push(visit);
                (source, PathBuf::from(&volume.subpath))
            }
            MountSource::Tmpfs { .. } | MountSource::Image { .. } => continue,
        };
        let target = PathBuf::from(&mount.target);
        binds.push(Bind { source, part, target, read_only: mount.read_only });
    }
    binds.sort_by_key(|bind| bind.target.components().count());
    Ok((binds, visits))
}

/// Something in a container, by the open directory that it is in.
struct Place {
    directory: OwnedFd,
    name: CString,
    /// Its name in an archive.
    called: String,
    stat: Stat,
    link_target: String,
    owners: Owners,
}

impl Place {
    fn told(&self) -> PathStat {
        let seconds = Time::from_unix_seconds(self.stat.st_mtime);
        let nanos = self.stat.st_mtime_nsec;
        PathStat {
            name: self.called.clone(),
            size: u64::try_from(self.stat.st_size).unwrap_or(0),
            mode: self.stat.st_mode,
            modified: seconds.plus(Duration::from_nanos(nanos)),
            link_target: self.link_target.clone(),
        }
    }
}

/// Finds what is at a path of a container.
async fn look(shared: &Arc<Shared>, name: &str, path: &str) -> Result<Place, Error> {
    let (_, handle) = shared.registry.find(name)?;
    let mut seen = handle.seen;
    let (view, owners) = loop {
        let (here, snapshot) = (Arc::clone(shared), seen.borrow_and_update().clone());
        match blocking(move || view(&here, &snapshot)).await? {
            Some(view) => break view,
            None => end_of(&mut seen).await?,
        }
    };
    let (name, path) = (name.to_owned(), path.to_owned());
    blocking(move || {
        find(&view, &path, owners).map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => {
                Error::not_found(format!("Could not find the file {path} in container {name}"))
            }
            Some(Errno::NOTDIR | Errno::LOOP) => Error::invalid(format!("{path}: {error}")),
            _ => failed(&format!("look at {path} in container {name}"), error),
        })
    })
    .await
}

/// What a container sees, or would see, and how owners there are told; `None` as with [`view_of`].
fn view(shared: &Shared, snapshot: &Snapshot) -> Result<Option<(View, Owners)>, Error> {
    if let Some(process) = process(shared, snapshot)? {
        let owners = Owners { users: id_map(process.pid, "uid_map"), groups: id_map(process.pid, "gid_map") };
        // Last, as it says whether the number was the container's all along.
        return Ok(view_of(process)?.map(|view| (view, owners)));
    }
    let layers = with_writable(shared, snapshot)?;
    let (binds, _mounted) = binds(shared, &snapshot.intent.spec)?;
    let view = View::of_layers(Layers { lower: &layers, upper: None }, &binds)
        .map_err(|error| failed("put the container's layers together", error))?;
    Ok(Some((view, Owners::default())))
}

/// How the numbers of a process's users are told on the host, user_namespaces(7); nothing where they are the same.
fn id_map(pid: u32, file: &str) -> Vec<(u32, u32, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let block = |line: &str| {
        let mut numbers = line.split_whitespace().map_while(|word| word.parse::<u32>().ok());
        let (inside, outside, count) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some((outside, inside, count))
    };
    let blocks: Vec<_> = text.lines().filter_map(block).collect();
    if blocks.iter().all(|(outside, inside, _)| outside == inside) { Vec::new() } else { blocks }
}

/// An absolute path without `.` and `..`, and whether its end asks for what a link leads to.
fn cleaned(path: &str) -> (PathBuf, bool) {
    let mut clean = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    (clean, path.ends_with('/') || path.ends_with("/.") || path == ".")
}

fn find(view: &View, path: &str, owners: Owners) -> io::Result<Place> {
    let (clean, follows) = cleaned(path);
    let last = clean.file_name().map(|name| name.to_string_lossy().into_owned());
    if let (Some(parent), Some(name), false) = (clean.parent(), clean.file_name(), follows) {
        let directory = view.find(parent, OFlags::DIRECTORY | OFlags::RDONLY)?;
        let name = CString::new(name.as_bytes())?;
        let stat = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mut link_target = String::new();
        if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
            let link = rustix::fs::readlinkat(&directory, &name, Vec::new())?.into_bytes();
            let target = parent.join(std::ffi::OsString::from_vec(link));
            link_target = cleaned(&target.to_string_lossy()).0.to_string_lossy().into_owned();
        }
        return Ok(Place { directory, name, called: last.unwrap_or_default(), stat, link_target, owners });
    }
    let directory = view.find(&clean, OFlags::DIRECTORY | OFlags::RDONLY)?;
    let stat = rustix::fs::fstat(&directory)?;
    let called = match last {
        Some(last) if !path.ends_with('.') => last,
        _ => OsStr::new(".").to_string_lossy().into_owned(),
    };
    Ok(Place { directory, name: c".".to_owned(), called, stat, link_target: String::new(), owners })
}
