//! The Images door: the image store's words turned into the platform's.

use super::{Door, blocking, registry, to_the_end};
use crate::{Shared, commit};
use base::{Chain, Time};
use images::{ErrorKind, ImageConfig, Piece, Reference};
use model::{ImageId, Phase};
use plan::merge::Defaults;
use platform::{
    Answer, CommitRequest, Credentials, Error, EventKind, History, Image, ImageDetail, ImageSource, Images,
    ImportRequest, Kind, LoadProgress, Loaded, PublishRequest, PullProgress, PullRequest, PushProgress,
    PushRequest, RemoteManifest, Removed, SearchRequest, SearchResult,
};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

/// Pieces of an archive that wait between the thread that makes it and the client that reads it.
const PIECES_MAX: usize = 16;
/// Bytes of one piece.
const PIECE_BYTES: usize = 64 << 10;
/// The built-in image's name.
const DEMO: &str = "bocage/demo:latest";

/// What an error of the image store is to a client.
pub(crate) fn image_error(error: &images::Error) -> Error {
    let kind = match error.kind() {
        ErrorKind::Invalid => Kind::Invalid,
        ErrorKind::NotFound => Kind::NotFound,
        ErrorKind::Conflict => Kind::Conflict,
        ErrorKind::Failed => Kind::Failed,
    };
    Error::new(kind, Chain(error).to_string())
}

/// What an image says about its containers.
pub(crate) fn defaults(image: &images::Image) -> Defaults {
    let config = &image.config;
    Defaults {
        env: config.env.clone(),
        entrypoint: config.entrypoint.clone(),
        command: config.cmd.clone(),
        user: config.user.clone(),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        exposed: config.exposed_ports.keys().filter_map(|port| port.parse().ok()).collect(),
        volumes: config.volumes.keys().cloned().collect(),
        stop_signal: config.stop_signal.clone(),
    }
}

/// Bytes of an image's files; none are counted for one that is gone.
pub(crate) fn image_bytes(shared: &Shared, id: &ImageId) -> u64 {
    shared.images.get(id).map_or(0, |image| image.size)
}

/// Makes the demonstration's image: this very binary, which carries a small web server, and nothing else.
pub(super) fn demo(shared: &Shared) -> Result<String, Error> {
    const PROGRAM: &str = "/proc/self/exe";
    let failed = |error: io::Error| Error::failed(format!("read this program's own file: {error}"));
    let binary = std::fs::read(PROGRAM).map_err(failed)?;
    // The same program makes the same image, however often it is asked for.
    let built = std::fs::metadata(PROGRAM).and_then(|metadata| metadata.modified()).map_err(failed)?;
    let built = built.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    let created = Time::from_unix_seconds(i64::try_from(built.as_secs()).unwrap_or_default());
    let piece = |path: &'static str, mode, bytes| Piece { path, mode, bytes };
    let pieces = [piece("tmp", 0o1777, None), piece("bocage", 0o755, Some(&binary[..]))];
    let mut config = ImageConfig {
        entrypoint: Some(["/bocage", "internal", "web"].map(str::to_owned).to_vec()),
        working_dir: "/".to_owned(),
        stop_signal: "SIGKILL".to_owned(),
        ..ImageConfig::default()
    };
    config.exposed_ports.insert("80/tcp".to_owned(), images::Empty {});
    let reference = Reference::parse(DEMO).map_err(|error| Error::failed(error.to_string()))?;
    let created_by = "bocage demo: the program itself";
    shared
        .images
        .assemble(&pieces, config, created, created_by, Some(reference))
        .map_err(|error| image_error(&error))?;
    Ok(DEMO.to_owned())
}

/// Reads an asynchronous source on a thread that may block.
pub(crate) struct Bridge {
    pub(crate) source: ImageSource,
    pub(crate) runtime: tokio::runtime::Handle,
}

impl Read for Bridge {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let source = &mut self.source;
        self.runtime.block_on(async {
            let mut length = 0;
            // Whoever reads much at once is not woken for each piece that comes.
            while length < buffer.len() {
                match source.read(&mut buffer[length..]).await? {
                    0 => break,
                    got => length += got,
                }
            }
            Ok(length)
        })
    }
}

/// Hands what is written to whoever reads the other end, in pieces.
struct Pieces {
    sender: mpsc::Sender<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// Runs `write` on a thread that may block, and gives what it writes to whoever reads. An error of its own ends the reading.
pub(crate) fn written(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Box<dyn AsyncRead + Send + Unpin> {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces { sender: sender.clone(), piece: Vec::with_capacity(PIECE_BYTES) };
        if let Err(error) = write(&mut pieces).and_then(|()| pieces.flush()) {
            // A client that went away hears nothing of it any more.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Box::new(Archive { receiver, piece: Vec::new(), used: 0 })
}

/// The reading end of [`Pieces`].
struct Archive {
    receiver: mpsc::Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    used: usize,
}

impl AsyncRead for Archive {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        use std::task::Poll;
        if self.used == self.piece.len() {
            match self.receiver.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok(piece))) => (self.piece, self.used) = (piece, 0),
            }
        }
        let count = buffer.remaining().min(self.piece.len() - self.used);
        buffer.put_slice(&self.piece[self.used..self.used + count]);
        self.used += count;
        Poll::Ready(Ok(()))
    }
}

pub(super) fn tell(shared: &Shared, action: &str, id: &str, name: &str) {
    let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
    shared.events.tell(shared.clock.now(), EventKind::Image, action, id, attributes);
}

fn containers_of(shared: &Shared, id: ImageId) -> u64 {
    shared.registry.all().iter().filter(|snapshot| snapshot.intent.image == id).count() as u64
}

fn loaded(loaded: &images::Loaded) -> Loaded {
    Loaded { id: loaded.id, names: loaded.names.iter().map(Reference::familiar).collect() }
}

impl Images for Door {
    fn images(&self) -> Answer<'_, Vec<Image>> {
        Box::pin(async move {
            let shared = self.0.clone();
            blocking(move || {
                let listed = shared.images.list().map_err(|error| image_error(&error))?;
                let image = |image: images::ImageSummary| Image {
                    containers: containers_of(&shared, image.id),
                    id: image.id,
                    tags: image.repo_tags,
                    digests: image.repo_digests,
                    created: image.created,
                    size: image.size,
                    labels: image.labels,
                };
                let mut images: Vec<Image> = listed.into_iter().map(image).collect();
                images.sort_by_key(|image| std::cmp::Reverse(image.created));
                Ok(images)
            })
            .await
        })
    }

    fn image<'a>(&'a self, name: &'a str) -> Answer<'a, ImageDetail> {
        Box::pin(async move {
            let (shared, name) = (self.0.clone(), name.to_owned());
            blocking(move || {
                let found = shared.images.resolve(&name).map_err(|error| image_error(&error))?;
                Ok(detail(&shared, found))
            })
            .await
        })
    }

    fn history<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<History>> {
        Box::pin(async move {
            let (shared, name) = (self.0.clone(), name.to_owned());
            blocking(move || {
                let steps = shared.images.history(&name).map_err(|error| image_error(&error))?;
                let step = |step: images::History| History {
                    id: step.id,
                    created: step.created,
                    created_by: step.created_by,
                    tags: step.tags,
                    size: step.size,
                    comment: step.comment,
                };
                Ok(steps.into_iter().map(step).collect())
            })
            .await
        })
    }

    fn load(&self, archive: ImageSource, progress: mpsc::Sender<LoadProgress>) -> Answer<'_, Vec<Loaded>> {
        Box::pin(async move {
            let shared = self.0.clone();
            let runtime = tokio::runtime::Handle::current();
            blocking(move || {
                let mut source = Bridge { source: archive, runtime };
                let mut told = |step: images::Progress| {
                    // Progress is for people: where they do not keep up, it is left out.
                    let images::Progress { layer: id, current, total } = step;
                    let _ = progress.try_send(LoadProgress::Layer { id, current, total });
                };
                let images =
                    shared.images.load(&mut source, &mut told).map_err(|error| image_error(&error))?;
                let images: Vec<Loaded> = images.iter().map(loaded).collect();
                for image in &images {
                    let id = image.id.to_string();
                    tell(&shared, "load", &id, image.names.first().unwrap_or(&id));
                    let _ = progress.blocking_send(LoadProgress::Done(image.clone()));
                }
                Ok(images)
            })
            .await
        })
    }

    fn import(&self, rootfs: ImageSource, request: ImportRequest) -> Answer<'_, ImageId> {
        Box::pin(async move {
            let shared = self.0.clone();
            let runtime = tokio::runtime::Handle::current();
            blocking(move || {
                let failed = |error: images::Error| image_error(&error);
                let reference = match request.reference.as_deref() {
                    Some(text) => {
                        Some(Reference::parse(text).map_err(|error| Error::invalid(error.to_string()))?)
                    }
                    None => None,
                };
                let changes: Result<Vec<_>, _> =
                    request.changes.iter().map(|text| images::Change::parse(text)).collect();
                let platform = if request.platform.is_empty() {
                    images::Platform::default()
                } else {
                    images::Platform::parse(&request.platform)
                };
                let mut source = Bridge { source: rootfs, runtime };
                let reference = reference.map(Reference::with_default_tag);
                let name = reference.as_ref().map(Reference::familiar);
                let id = shared
                    .images
                    .import(&mut source, reference, &request.message, &changes.map_err(failed)?, &platform)
                    .map_err(failed)?;
                tell(&shared, "import", &id.to_string(), &name.unwrap_or_else(|| id.to_string()));
                Ok(id)
            })
            .await
        })
    }

    fn save<'a>(&'a self, names: &'a [String]) -> Answer<'a, Box<dyn AsyncRead + Send + Unpin>> {
        Box::pin(async move {
            let (shared, names) = (self.0.clone(), names.to_vec());
            let (sender, receiver) = mpsc::channel(PIECES_MAX);
            let (found, finding) = tokio::sync::oneshot::channel();
            tokio::task::spawn_blocking(move || {
                let images = Arc::clone(&shared.images);
                let saving = match images.saving(&names) {
                    Ok(saving) => saving,
                    Err(error) => {
                        let _ = found.send(Err(image_error(&error)));
                        return;
                    }
                };
                let _ = found.send(Ok(()));
                let mut pieces = Pieces { sender: sender.clone(), piece: Vec::with_capacity(PIECE_BYTES) };
                let written =
                    saving.write(&mut pieces).map_err(|error| io::Error::other(Chain(&error).to_string()));
                if let Err(error) = written.and_then(|()| pieces.flush()) {
                    // A client that went away hears nothing of it any more.
                    let _ = sender.blocking_send(Err(error));
                }
                for name in names {
                    tell(&shared, "save", &name, &name);
                }
            });
            let gone = |_| Error::failed("the daemon gave up on this request");
            finding.await.map_err(gone)??;
            let archive: Box<dyn AsyncRead + Send + Unpin> =
                Box::new(Archive { receiver, piece: Vec::new(), used: 0 });
            Ok(archive)
        })
    }

    fn commit<'a>(&'a self, container: &'a str, request: CommitRequest) -> Answer<'a, ImageId> {
        Box::pin(async move {
            let (shared, container) = (self.0.clone(), container.to_owned());
            to_the_end(async move { commit::commit(&shared, &container, request).await }).await
        })
    }

    fn pull(&self, request: PullRequest, progress: mpsc::Sender<PullProgress>) -> Answer<'_, ()> {
        Box::pin(registry::pull(&self.0, request, progress))
    }

    fn push(&self, request: PushRequest, progress: mpsc::Sender<PushProgress>) -> Answer<'_, ()> {
        Box::pin(registry::push(&self.0, request, progress))
    }

    fn remote_manifest(&self, request: PullRequest) -> Answer<'_, RemoteManifest> {
        Box::pin(registry::remote_manifest(&self.0, request))
    }

    fn publish(&self, request: PublishRequest) -> Answer<'_, String> {
        Box::pin(registry::publish(&self.0, request))
    }

    fn remote_image(&self, request: PullRequest) -> Answer<'_, ImageDetail> {
        Box::pin(registry::remote_image(&self.0, request))
    }

    fn search(&self, request: SearchRequest) -> Answer<'_, Vec<SearchResult>> {
        Box::pin(registry::search(&self.0, request))
    }

    fn login<'a>(&'a self, address: &'a str, credentials: Credentials) -> Answer<'a, String> {
        Box::pin(registry::login(&self.0, address, credentials))
    }

    fn tag<'a>(&'a self, source: &'a str, target: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let (shared, source, target) = (self.0.clone(), source.to_owned(), target.to_owned());
            blocking(move || {
                let id = shared.images.tag(&source, &target).map_err(|error| image_error(&error))?;
                tell(&shared, "tag", &id.to_string(), &target);
                Ok(())
            })
            .await
        })
    }

    fn remove<'a>(&'a self, name: &'a str, force: bool) -> Answer<'a, Vec<Removed>> {
        Box::pin(async move {
            let (shared, name) = (self.0.clone(), name.to_owned());
            blocking(move || {
                let users = |id: &ImageId| users(&shared, id);
                let removed =
                    shared.images.remove(&name, force, &users).map_err(|error| image_error(&error))?;
                let removed = removed.into_iter().map(|step| match step {
                    images::Removed::Untagged(name) => {
                        tell(&shared, "untag", &name, &name);
                        Removed::Untagged(name)
                    }
                    images::Removed::Deleted(id) => {
                        tell(&shared, "delete", &id, &id);
                        Removed::Deleted(id)
                    }
                });
                Ok(removed.collect())
            })
            .await
        })
    }
}

/// The containers that are made from an image.
fn users(shared: &Shared, id: &ImageId) -> Vec<images::ContainerUse> {
    let uses = |snapshot: &crate::registry::Snapshot| {
        crate::volumes::images(&snapshot.intent).any(|used| used == *id)
    };
    let all = shared.registry.all().into_iter().filter(uses);
    let user = |snapshot: crate::registry::Snapshot| images::ContainerUse {
        id: snapshot.intent.id.short(),
        running: matches!(snapshot.observed.phase, Phase::Running { .. } | Phase::Paused { .. }),
    };
    all.map(user).collect()
}

pub(super) fn detail(shared: &Shared, found: images::Image) -> ImageDetail {
    let defaults = defaults(&found);
    let config = found.config;
    ImageDetail {
        image: Image {
            containers: containers_of(shared, found.id),
            id: found.id,
            tags: found.repo_tags,
            digests: found.repo_digests,
            created: found.created,
            size: found.size,
            labels: config.labels,
        },
        parent: String::new(),
        comment: found.comment,
        author: found.author,
        architecture: found.architecture,
        variant: found.variant,
        os: found.os,
        layers: found.diff_ids.iter().map(ToString::to_string).collect(),
        env: config.env,
        command: config.cmd,
        entrypoint: config.entrypoint,
        user: config.user,
        working_dir: config.working_dir,
        exposed: defaults.exposed,
        volumes: defaults.volumes,
        stop_signal: config.stop_signal,
        on_build: config.on_build,
        shell: config.shell,
        healthcheck: config.healthcheck.map(|check| check.to_string()),
        last_tagged: if found.last_tagged.is_set() { found.last_tagged } else { Time::NEVER },
        directories: found.directories.iter().map(|path| path.display().to_string()).collect(),
    }
}
