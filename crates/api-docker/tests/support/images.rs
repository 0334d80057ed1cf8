//! The node's images and what it says of itself.

use super::{Node, image, image_id, ready};
use base::Time;
use model::ImageId;
use platform::*;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

impl Images for Node {
    fn images(&self) -> Answer<'_, Vec<Image>> {
        ready(Ok(vec![image()]))
    }
    fn image<'a>(&'a self, name: &'a str) -> Answer<'a, ImageDetail> {
        if !matches!(name, "busybox" | "busybox:latest" | "team/busybox") {
            return ready(Err(Error::not_found(format!("No such image: {name}:latest"))));
        }
        ready(Ok(ImageDetail {
            image: image(),
            parent: String::new(),
            comment: String::new(),
            author: String::new(),
            architecture: "amd64".into(),
            variant: String::new(),
            os: "linux".into(),
            layers: vec!["sha256:00".into()],
            env: vec!["PATH=/bin".into()],
            command: Some(vec!["sh".into()]),
            entrypoint: None,
            user: String::new(),
            working_dir: String::new(),
            exposed: Default::default(),
            volumes: Default::default(),
            stop_signal: String::new(),
            on_build: Vec::new(),
            shell: None,
            healthcheck: None,
            last_tagged: Time::NEVER,
            directories: vec!["/top".into(), "/below".into()],
        }))
    }
    fn history<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<History>> {
        ready(Ok(Vec::new()))
    }
    fn load(
        &self,
        mut archive: ImageSource,
        progress: mpsc::Sender<LoadProgress>,
    ) -> Answer<'_, Vec<Loaded>> {
        Box::pin(async move {
            let mut bytes = Vec::new();
            archive.read_to_end(&mut bytes).await.map_err(|error| Error::failed(error.to_string()))?;
            self.ask(format!("load {}", bytes.len()));
            if bytes == b"bad" {
                return Err(Error::invalid("this is no archive"));
            }
            let loaded = Loaded { id: image_id(), names: vec!["busybox:latest".into()] };
            let layer = LoadProgress::Layer { id: "aa".into(), current: 1, total: 2 };
            progress.send(layer).await.map_err(|_| Error::failed("nobody listens"))?;
            if bytes == b"half" {
                // The client is told of the layer first.
                tokio::task::yield_now().await;
                return Err(Error::invalid("the archive ends early"));
            }
            let _ = progress.send(LoadProgress::Done(loaded.clone())).await;
            Ok(vec![loaded])
        })
    }
    fn import(&self, _: ImageSource, request: ImportRequest) -> Answer<'_, ImageId> {
        self.ask(format!("import {request:?}"));
        ready(Ok(image_id()))
    }
    fn commit<'a>(&'a self, container: &'a str, request: CommitRequest) -> Answer<'a, ImageId> {
        self.ask(format!("commit {container} {request:?}"));
        ready(Ok(image_id()))
    }
    fn pull(&self, request: PullRequest, progress: mpsc::Sender<PullProgress>) -> Answer<'_, ()> {
        Box::pin(async move {
            let user = request.credentials.user.clone();
            self.ask(format!("pull {} {} {user}", request.name, request.platform));
            if request.name.contains("none") {
                return Err(Error::not_found("manifest for none:latest not found"));
            }
            let tell = async |told| progress.send(told).await.map_err(|_| Error::failed("nobody listens"));
            tell(PullProgress::Found { repository: "library/busybox".into(), tag: "latest".into() }).await?;
            for state in [Incoming::Wanted, Incoming::Downloading(1, 2), Incoming::Complete] {
                tell(PullProgress::Layer { id: "aa".into(), state }).await?;
            }
            let (name, digest) = ("busybox:latest".to_owned(), "sha256:00".to_owned());
            tell(PullProgress::Done { name, digest, newer: true }).await
        })
    }
    fn push(&self, request: PushRequest, progress: mpsc::Sender<PushProgress>) -> Answer<'_, ()> {
        Box::pin(async move {
            self.ask(format!("push {} {}", request.name, request.credentials.identity_token));
            let tell = async |told| progress.send(told).await.map_err(|_| Error::failed("nobody listens"));
            tell(PushProgress::Repository("docker.io/library/busybox".into())).await?;
            for state in [Outgoing::Preparing, Outgoing::Mounted("a/b".into())] {
                tell(PushProgress::Layer { id: "aa".into(), state }).await?;
            }
            let (tag, digest) = ("latest".to_owned(), "sha256:00".to_owned());
            tell(PushProgress::Done { tag, digest, size: 7 }).await
        })
    }
    fn remote_manifest(&self, request: PullRequest) -> Answer<'_, RemoteManifest> {
        if request.name.contains("none") {
            return ready(Err(Error::not_found("manifest for none:latest not found")));
        }
        let platform =
            RemotePlatform { os: "linux".into(), architecture: "amd64".into(), variant: String::new() };
        ready(Ok(RemoteManifest {
            name: request.name,
            digest: "sha256:00".into(),
            media_type: "application/vnd.oci.image.index.v1+json".into(),
            text: "{}".into(),
            images: vec![RemotePart {
                digest: "sha256:01".into(),
                media_type: "application/vnd.oci.image.manifest.v1+json".into(),
                size: 3,
                platform: Some(platform.clone()),
            }],
            platforms: vec![platform],
        }))
    }
    fn publish(&self, request: PublishRequest) -> Answer<'_, String> {
        self.ask(format!("publish {} {:?}", request.name, request.images));
        ready(Ok("sha256:00".into()))
    }
    fn remote_image(&self, _: PullRequest) -> Answer<'_, ImageDetail> {
        self.image("busybox")
    }
    fn search(&self, request: SearchRequest) -> Answer<'_, Vec<SearchResult>> {
        self.ask(format!("search {} {}", request.term, request.limit));
        let one = |name: &str, stars, official| SearchResult {
            name: name.into(),
            description: "words".into(),
            stars,
            official,
        };
        ready(Ok(vec![one("busybox", 9, true), one("else/busybox", 1, false)]))
    }
    fn login<'a>(&'a self, address: &'a str, credentials: Credentials) -> Answer<'a, String> {
        self.ask(format!("login {address} {}", credentials.user));
        ready(match credentials.password.as_str() {
            "right" => Ok(String::new()),
            _ => Err(Error::new(Kind::Unauthorized, "unauthorized: incorrect username or password")),
        })
    }
    fn save<'a>(&'a self, names: &'a [String]) -> Answer<'a, Box<dyn AsyncRead + Send + Unpin>> {
        self.ask(format!("save {names:?}"));
        ready(Ok(Box::new(&b"archive"[..]) as Box<dyn AsyncRead + Send + Unpin>))
    }
    fn tag<'a>(&'a self, source: &'a str, target: &'a str) -> Answer<'a, ()> {
        self.ask(format!("tag {source} {target}"));
        ready(Ok(()))
    }
    fn remove<'a>(&'a self, name: &'a str, _: bool) -> Answer<'a, Vec<Removed>> {
        ready(Ok(vec![Removed::Untagged(name.into()), Removed::Deleted(image_id().to_string())]))
    }
}

impl System for Node {
    fn info(&self) -> Answer<'_, SystemInfo> {
        ready(Ok(SystemInfo { machine: "x86_64".into(), version: "1.2.3".into(), ..SystemInfo::default() }))
    }
    fn disk_usage(&self, of: Measured) -> Answer<'_, DiskUsage> {
        let volumes = if of.volumes { vec![super::volumes::volume("v1", 1)] } else { Vec::new() };
        let (images, registry) = if of.images { (9, 3) } else { (0, 0) };
        ready(Ok(DiskUsage { images, registry, volumes, ..DiskUsage::default() }))
    }
    fn forget_unfinished(&self) -> Answer<'_, ()> {
        self.ask("forget unfinished".to_owned());
        ready(Ok(()))
    }
    fn stop_daemon(&self, containers: bool) -> Answer<'_, ()> {
        self.ask(format!("stop daemon {containers}"));
        ready(Ok(()))
    }
    fn demo_image(&self) -> Answer<'_, String> {
        ready(Ok("bocage/demo:latest".into()))
    }
}
