//! Makes an image of a container: its writable layer becomes one more layer over those of its image, and what it runs becomes
//! what the image says.

use crate::Shared;
use crate::container::Request;
use crate::doors::{Bridge, ask, blocking, image_error, written};
use crate::registry::Snapshot;
use images::{Change, Commit, Empty, ImageConfig, Packed, Reference};
use model::container::MountSource;
use model::{ContainerSpec, ImageId, Phase};
use platform::{CommitRequest, Error, ImageSettings};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::sync::Arc;

/// Makes the image. Whoever stops waiting for it does not stop it.
pub(crate) async fn commit(
    shared: &Arc<Shared>,
    name: &str,
    request: CommitRequest,
) -> Result<ImageId, Error> {
    let (_, handle) = shared.registry.find(name)?;
    // One that rests does so until all is read.
    let held = ask(&handle, |reply| Request::Hold { reply }).await?;
    let snapshot = handle.snapshot();
    let still = Still::new(shared, &snapshot, request.pause).await?;
    let runtime = tokio::runtime::Handle::current();
    let (shared, name) = (Arc::clone(shared), name.to_owned());
    let (of, told) = (snapshot.clone(), request.message.clone());
    let made = blocking({
        let shared = Arc::clone(&shared);
        move || {
            let reference = request.reference.as_deref().map(Reference::parse).transpose();
            let reference = reference.map_err(|error| Error::invalid(error.to_string()))?;
            let changes = request.changes.iter().map(|text| Change::parse(text)).collect::<Result<_, _>>();
            let failed = |error: images::Error| image_error(&error);
            let commit = Commit {
                config: config(&shared, &of, request.settings)?,
                changes: changes.map_err(failed)?,
                created_by: plan::merge::args(&of.intent.spec).join(" "),
                author: request.author,
                message: request.message,
                reference: reference.map(Reference::with_default_tag),
            };
            let called = commit.reference.as_ref().map(Reference::familiar);
            let mut layer = Bridge { source: changed(&shared, &of, name), runtime };
            let id = shared.images.commit(&of.intent.image, &mut layer, commit).map_err(failed)?;
            Ok((id, called))
        }
    })
    .await;
    still.end().await;
    drop(held);
    let (id, called) = made?;
    let told = [("comment", told), ("imageID", id.to_string()), ("imageRef", called.unwrap_or_default())];
    shared.tell_container("commit", &snapshot.intent, &told);
    Ok(id)
}

/// The archive of what a container changed.
fn changed(shared: &Arc<Shared>, snapshot: &Snapshot, name: String) -> platform::Archive {
    let (shared, id) = (Arc::clone(shared), snapshot.intent.id);
    written(move |out| {
        let upper = shared.roots.container(id).upper();
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let upper = rustix::fs::open(&upper, flags, Mode::empty())?;
        images::pack(upper.as_fd(), Packed::Changes, out)?;
        // Its files go only after it is forgotten: what was read until now was all there.
        match shared.registry.find(&id.to_string()) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other(format!("container {name} was removed meanwhile"))),
        }
    })
}

/// Keeps the processes of a container still, if they run and that is wished. What is still when the daemon dies is let go on by
/// the next one, as it is not recorded as paused.
pub(crate) struct Still {
    shared: Arc<Shared>,
    of: Option<Snapshot>,
}

impl Still {
    pub(crate) async fn new(shared: &Arc<Shared>, snapshot: &Snapshot, wished: bool) -> Result<Still, Error> {
        let runs = matches!(snapshot.observed.phase, Phase::Running { .. });
        let of = (wished && runs).then(|| snapshot.clone());
        if let Some(of) = &of {
            shared.freeze(&of.intent, true).await?;
        }
        Ok(Still { shared: Arc::clone(shared), of })
    }

    /// Whether it stands still because of this.
    pub(crate) fn is_held(&self) -> bool {
        self.of.is_some()
    }

    pub(crate) async fn end(self) {
        let Some(of) = self.of else { return };
        let now = self.shared.registry.find(&of.intent.id.to_string()).map(|(_, handle)| handle.snapshot());
        // Somebody may have paused it in the meantime, or it may have ended.
        if now.is_ok_and(|now| matches!(now.observed.phase, Phase::Running { .. }))
            && let Err(error) = self.shared.freeze(&of.intent, false).await
        {
            tracing::error!(container = %of.intent.id, %error, "it does not go on after it was read");
        }
    }
}

/// What the new image says: what the container says, with what is wished over it, as Docker puts the two together.
fn config(shared: &Shared, snapshot: &Snapshot, wished: ImageSettings) -> Result<ImageConfig, Error> {
    let spec = &snapshot.intent.spec;
    let image = shared.images.get(&snapshot.intent.image).map_err(|error| image_error(&error))?;
    let mut config = of_container(spec, image.config);
    if wished.entrypoint.is_some() {
        (config.entrypoint, config.cmd) = (wished.entrypoint, wished.command);
    } else if wished.command.is_some() {
        config.cmd = wished.command;
    }
    config.env = plan::merge::environment(&config.env, &wished.env, false);
    config.labels.extend(wished.labels);
    config.exposed_ports.extend(wished.exposed.iter().map(|port| (port.to_string(), Empty {})));
    config.volumes.extend(wished.volumes.into_iter().map(|path| (path, Empty {})));
    for (own, wished) in [
        (&mut config.user, wished.user),
        (&mut config.working_dir, wished.working_dir),
        (&mut config.stop_signal, wished.stop_signal),
    ] {
        if !wished.is_empty() {
            *own = wished;
        }
    }
    config.on_build = wished.on_build;
    if let Some(text) = wished.healthcheck {
        let check = serde_json::from_str(&text);
        config.healthcheck =
            Some(check.map_err(|error| Error::invalid(format!("the health check: {error}")))?);
    }
    config.shell = wished.shell.or(config.shell);
    Ok(config)
}

/// What a container says, where its image said `config`.
fn of_container(spec: &ContainerSpec, config: ImageConfig) -> ImageConfig {
    let mut volumes = config.volumes;
    for mount in &spec.mounts {
        // One that has a name is the user's choice and not the image's.
        if matches!(&mount.source, MountSource::Volume(volume) if volume.anonymous) {
            volumes.insert(mount.target.clone(), Empty {});
        }
    }
    ImageConfig {
        user: spec.user.clone(),
        exposed_ports: spec.exposed.iter().map(|port| (port.to_string(), Empty {})).collect(),
        env: spec.env.clone(),
        entrypoint: spec.entrypoint.clone(),
        cmd: spec.command.clone(),
        volumes,
        working_dir: spec.working_dir.clone(),
        labels: spec.labels.clone(),
        stop_signal: spec.stop_signal.clone(),
        healthcheck: config.healthcheck,
        shell: config.shell,
        ..ImageConfig::default()
    }
}
