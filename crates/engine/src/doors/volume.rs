//! The Volumes door.

use super::{Bridge, Door, blocking, image_error, to_the_end, written};
use crate::Shared;
use crate::commit::Still;
use crate::registry::Snapshot;
use crate::volumes::{names, tell, told, volume_error};
use ::images::FilesManner;
use base::Chain;
use model::{ContainerId, Phase, VolumeSpec};
use platform::{Answer, Archive, CopyVolume, Error, EventKind, NewVolume, Volume, VolumeCopy, Volumes};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How hard a backup is packed: what zstd(1) does where nobody says.
const LEVEL: i32 = 3;

impl Volumes for Door {
    fn create(&self, new: NewVolume) -> Answer<'_, Volume> {
        let shared = self.0.clone();
        Box::pin(to_the_end(blocking(move || {
            let made = shared.volumes.create(new.name.as_deref(), new.spec);
            let (volume, is_new) = made.map_err(|error| volume_error(&error))?;
            if is_new {
                tell(&shared, "create", &volume.intent.name, &[]);
            }
            Ok(told(volume))
        })))
    }

    fn list(&self, sizes: bool) -> Answer<'_, Vec<Volume>> {
        let shared = self.0.clone();
        Box::pin(blocking(move || Ok(crate::usage::volumes(&shared, sizes))))
    }

    fn inspect<'a>(&'a self, name: &'a str) -> Answer<'a, Volume> {
        let found = self.0.volumes.get(name).map(told).map_err(|error| volume_error(&error));
        Box::pin(std::future::ready(found))
    }

    fn remove<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        let (shared, name) = (self.0.clone(), name.to_owned());
        Box::pin(to_the_end(blocking(move || {
            shared.volumes.remove(&name).map_err(|error| volume_error(&error))?;
            tell(&shared, "destroy", &name, &[]);
            Ok(())
        })))
    }

    fn rename<'a>(&'a self, name: &'a str, new: &'a str) -> Answer<'a, ()> {
        let (shared, name, new) = (self.0.clone(), name.to_owned(), new.to_owned());
        Box::pin(to_the_end(blocking(move || {
            shared.volumes.rename(&name, &new).map_err(|error| volume_error(&error))?;
            tell(&shared, "rename", &new, &[("oldName", name)]);
            Ok(())
        })))
    }

    fn relabel<'a>(&'a self, name: &'a str, labels: BTreeMap<String, String>) -> Answer<'a, ()> {
        let (shared, name) = (self.0.clone(), name.to_owned());
        Box::pin(to_the_end(blocking(move || {
            shared.volumes.relabel(&name, labels).map_err(|error| volume_error(&error))?;
            tell(&shared, "update", &name, &[]);
            Ok(())
        })))
    }

    fn copy<'a>(&'a self, name: &'a str, wanted: CopyVolume) -> Answer<'a, VolumeCopy> {
        let (shared, name) = (self.0.clone(), name.to_owned());
        Box::pin(to_the_end(async move { copy(&shared, name, wanted).await }))
    }

    fn backup<'a>(&'a self, name: &'a str, pause: bool) -> Answer<'a, Archive> {
        let (shared, name) = (self.0.clone(), name.to_owned());
        Box::pin(async move { backup(&shared, name, pause).await })
    }

    fn restore(&self, new: NewVolume, archive: Archive) -> Answer<'_, Volume> {
        let (shared, runtime) = (self.0.clone(), tokio::runtime::Handle::current());
        Box::pin(to_the_end(blocking(move || {
            let name = new.name.unwrap_or_default();
            let failed = |error: volumes::Error| volume_error(&error);
            let mut building = shared.volumes.build_new(&name, new.spec).map_err(failed)?;
            let root = open(&building.data(&name))?;
            let manner = FilesManner { beneath: PathBuf::from("/"), top: true, ..FilesManner::default() };
            let mut source = Bridge { source: archive, runtime };
            ::images::put(&mut source, root.as_fd(), manner).map_err(|error| image_error(&error))?;
            building.sync().map_err(failed)?;
            building.record().map_err(failed)?;
            building.finish(None).map_err(failed)?;
            tell(&shared, "create", &name, &[]);
            shared.volumes.get(&name).map(told).map_err(failed)
        })))
    }

    fn pruned(&self, bytes: u64) {
        let attributes = BTreeMap::from([("reclaimed".to_owned(), bytes.to_string())]);
        self.0.events.tell(self.0.clock.now(), EventKind::Volume, "prune", "", attributes);
    }
}

fn open(path: &Path) -> Result<rustix::fd::OwnedFd, Error> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|error| Error::failed(format!("open {}: {error}", path.display())))
}

/// The containers that have a volume and run.
fn runners(shared: &Shared, name: &str) -> Vec<Snapshot> {
    let runs = |snapshot: &Snapshot| matches!(snapshot.observed.phase, Phase::Running { .. });
    let mut all = shared.registry.all();
    all.retain(|snapshot| runs(snapshot) && names(&snapshot.intent.spec).any(|used| used == name));
    all
}

/// Keeps all containers still that have a volume and run.
async fn still(
    shared: &Arc<Shared>,
    name: &str,
    wished: bool,
) -> Result<(Vec<Still>, Vec<ContainerId>), Error> {
    let (mut held, mut free) = (Vec::new(), Vec::new());
    for snapshot in runners(shared, name) {
        match Still::new(shared, &snapshot, wished).await {
            Ok(still) if still.is_held() => held.push(still),
            Ok(_) => free.push(snapshot.intent.id),
            Err(error) => {
                go_on(held).await;
                return Err(error);
            }
        }
    }
    Ok((held, free))
}

async fn go_on(held: Vec<Still>) {
    for still in held {
        still.end().await;
    }
}

async fn copy(shared: &Arc<Shared>, name: String, wanted: CopyVolume) -> Result<VolumeCopy, Error> {
    let source = shared.volumes.get(&name).map_err(|error| volume_error(&error))?;
    let to = wanted.name.unwrap_or_else(|| format!("{name}-{}", stamp(shared)));
    let mut labels = source.intent.spec.labels;
    labels.extend(wanted.labels);
    // What is mounted in the volume is copied, not mounted again.
    let spec =
        VolumeSpec { labels, snapshot_of: wanted.snapshot.then(|| name.clone()), ..VolumeSpec::default() };
    let before = runners(shared, &name);
    let (held, unpaused) = still(shared, &name, wanted.pause).await?;
    let paused =
        before.iter().map(|snapshot| snapshot.intent.id).filter(|id| !unpaused.contains(id)).collect();
    let (copied, all_read) = tokio::sync::oneshot::channel();
    let here = Arc::clone(shared);
    let copying = tokio::task::spawn_blocking(move || {
        here.volumes.copy(&name, &to, spec, || {
            let _ = copied.send(());
        })
    });
    // Told, or dropped where it failed: either way nothing is read any more.
    let _ = all_read.await;
    go_on(held).await;
    let failed = |error: &dyn std::fmt::Display| Error::failed(format!("copy the volume: {error}"));
    let (volume, figures) =
        copying.await.map_err(|error| failed(&error))?.map_err(|error| volume_error(&error))?;
    tell(shared, "create", &volume.intent.name, &[]);
    let (bytes, shared_bytes) = (figures.bytes, figures.shared_bytes);
    Ok(VolumeCopy { volume: told(volume), bytes, shared_bytes, paused, unpaused })
}

/// The time as a part of a name: `20260102-030405`.
fn stamp(shared: &Shared) -> String {
    let (year, month, day, hour, minute, second) = shared.clock.now().civil();
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

async fn backup(shared: &Arc<Shared>, name: String, pause: bool) -> Result<Archive, Error> {
    // Refused before anything is answered.
    shared.volumes.get(&name).map_err(|error| volume_error(&error))?;
    let (held, _) = still(shared, &name, pause).await?;
    let shared = Arc::clone(shared);
    if held.is_empty() {
        return Ok(written(move |out| {
            let visit =
                shared.volumes.visit(&name).map_err(|error| io::Error::other(Chain(&error).to_string()))?;
            pack(visit.path(), out)
        }));
    }
    // Nobody stands still for as long as a client reads.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let archive = written(move |out| {
        let copied = shared.volumes.copy_aside(&name);
        let told = copied.as_ref().map(drop).map_err(volume_error);
        let _ = sender.send(told);
        match copied {
            Ok((aside, called)) => pack(&aside.data(&called), out),
            // Told before anything is answered.
            Err(_) => Ok(()),
        }
    });
    let told = receiver.await;
    go_on(held).await;
    told.unwrap_or_else(|_| Err(Error::failed("copy the volume: no answer")))?;
    Ok(archive)
}

fn pack(path: &Path, out: &mut dyn Write) -> io::Result<()> {
    let root = open(path).map_err(|error| io::Error::other(error.message))?;
    let mut packed = zstd::stream::write::Encoder::new(out, LEVEL)?;
    packed.include_checksum(true)?;
    ::images::pack_one(root.as_fd(), c".", b".", ::images::Owners::default(), &mut packed)?;
    packed.finish().map(drop)
}
