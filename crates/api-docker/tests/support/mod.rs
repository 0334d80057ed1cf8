//! A node that does nothing but remember what it was asked, and an HTTP client that talks to a server before it.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]
#![allow(dead_code, reason = "each test file uses a part of it")]

mod images;
mod networks;
mod volumes;

use api_docker::Listener;
use base::{Clock, Time};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use model::container::{Resources, RestartPolicy};
use model::{
    ContainerId, ContainerIntent, ContainerSpec, Desired, Digest, ExecId, ImageId, NetworkSpec, Observed,
    Origin, Phase,
};
use platform::*;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc};

/// The digits of the only container's id.
pub(crate) const CONTAINER: &str = "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1";
/// The digits of the only exec's id.
pub(crate) const EXEC: &str = "e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1";

/// What was asked, in order.
pub(crate) struct Node {
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) spec: Mutex<ContainerSpec>,
    pub(crate) phase: Mutex<Phase>,
    /// The networks that were made, besides the three.
    pub(crate) networks: Mutex<Vec<NetworkSpec>>,
    pub(crate) terminal_exec: bool,
    pub(crate) exec_error: Option<Error>,
    pub(crate) exec_exit: Mutex<Option<i64>>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) ends: tokio::sync::watch::Sender<Option<i64>>,
    /// Streams that are open.
    pub(crate) sessions: Arc<AtomicUsize>,
}

impl Default for Node {
    fn default() -> Node {
        let spec =
            ContainerSpec { image: "busybox".into(), command: Some(vec!["sh".into()]), ..Default::default() };
        Node {
            asked: Mutex::default(),
            spec: Mutex::new(spec),
            phase: Mutex::new(Phase::Running { pid: 42 }),
            networks: Mutex::default(),
            terminal_exec: false,
            exec_error: None,
            exec_exit: Mutex::default(),
            events: broadcast::Sender::new(16),
            ends: tokio::sync::watch::Sender::new(None),
            sessions: Arc::default(),
        }
    }
}

pub(crate) fn image_id() -> ImageId {
    ImageId(Digest::from_sha256([0xab; 32]))
}

impl Node {
    fn ask(&self, what: impl Into<String>) {
        self.asked.lock().unwrap().push(what.into());
    }

    pub(crate) fn was_asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn known(&self, name: &str) -> Result<(), Error> {
        if name == "web" || (!name.is_empty() && CONTAINER.starts_with(name)) {
            return Ok(());
        }
        Err(Error::not_found(format!("No such container: {name}")))
    }

    fn container(&self) -> Container {
        let phase = self.phase.lock().unwrap().clone();
        let networks = self.memberships(matches!(phase, Phase::Running { .. }));
        let endpoints = networks.iter().filter_map(|membership| membership.endpoint.clone()).collect();
        Container {
            intent: ContainerIntent {
                id: CONTAINER.parse().unwrap(),
                name: "web".into(),
                created: Time::from_unix_seconds(1_700_000_000),
                image: image_id(),
                spec: self.spec.lock().unwrap().clone(),
                desired: Desired::Running,
            },
            observed: Observed { phase, endpoints, ..Observed::created() },
            args: vec!["sh".into(), "-c".into(), "sleep 1".into()],
            entrypoint_args: 0,
            networks,
            mounts: Vec::new(),
            files: Files::default(),
            sizes: Some(Sizes { writable: 10, total: 20 }),
            execs: Vec::new(),
        }
    }
}

pub(crate) fn ready<T: Send + 'static>(value: Result<T, Error>) -> Answer<'static, T> {
    Box::pin(std::future::ready(value))
}

impl Control for Node {
    fn create(&self, new: NewContainer) -> Answer<'_, Created> {
        self.ask(format!("create {:?}", new.name));
        if let Some(error) = self.missing_network(&new.spec) {
            return ready(Err(error));
        }
        *self.spec.lock().unwrap() = new.spec;
        ready(Ok(Created { id: CONTAINER.parse().unwrap(), warnings: Vec::new() }))
    }
    fn resolve(&self, name: &str) -> Result<ContainerId, Error> {
        self.known(name).map(|()| CONTAINER.parse().unwrap())
    }
    fn inspect<'a>(&'a self, name: &'a str, _: bool) -> Answer<'a, Container> {
        ready(self.known(name).map(|()| self.container()))
    }
    fn list(&self, _: Selection) -> Answer<'_, Vec<Container>> {
        ready(Ok(vec![self.container()]))
    }
    fn start<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        self.ask("start");
        ready(self.known(name).and_then(|()| match *self.phase.lock().unwrap() {
            Phase::Running { .. } => Err(Error::not_modified("it runs")),
            _ => Ok(()),
        }))
    }
    fn stop<'a>(&'a self, name: &'a str, options: StopOptions) -> Answer<'a, ()> {
        self.ask(format!("stop {options:?}"));
        ready(self.known(name))
    }
    fn restart<'a>(&'a self, name: &'a str, options: StopOptions) -> Answer<'a, ()> {
        self.ask(format!("restart {options:?}"));
        ready(self.known(name))
    }
    fn kill<'a>(&'a self, name: &'a str, signal: &'a str) -> Answer<'a, ()> {
        self.ask(format!("kill {signal}"));
        ready(self.known(name))
    }
    fn pause<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        ready(self.known(name))
    }
    fn unpause<'a>(&'a self, name: &'a str) -> Answer<'a, ()> {
        ready(self.known(name))
    }
    fn rename<'a>(&'a self, name: &'a str, new: &'a str) -> Answer<'a, ()> {
        self.ask(format!("rename {new}"));
        ready(self.known(name))
    }
    fn update<'a>(
        &'a self,
        name: &'a str,
        resources: Resources,
        restart: Option<RestartPolicy>,
        origin: Option<Origin>,
    ) -> Answer<'a, Vec<String>> {
        self.ask(format!("update {resources:?} {restart:?} {}", origin.is_some()));
        ready(self.known(name).map(|()| Vec::new()))
    }
    fn remove<'a>(&'a self, name: &'a str, options: RemoveOptions) -> Answer<'a, ()> {
        self.ask(format!("remove {options:?}"));
        ready(self.known(name))
    }
    fn wait<'a>(&'a self, name: &'a str, until: WaitFor) -> Answer<'a, Answer<'static, i64>> {
        self.ask(format!("wait {until:?}"));
        let mut ends = self.ends.subscribe();
        let end: Answer<'static, i64> =
            Box::pin(async move { Ok(ends.wait_for(Option::is_some).await.unwrap().unwrap()) });
        ready(self.known(name).map(|()| end))
    }
    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
    fn past_events(&self, _: Time, _: Time) -> Vec<Event> {
        vec![event("create")]
    }
}

pub(crate) fn event(action: &str) -> Event {
    let actor = Actor { id: CONTAINER.into(), attributes: [("name".to_owned(), "web".to_owned())].into() };
    Event { time: Time::from_unix_seconds(5), kind: EventKind::Container, action: action.into(), actor }
}

/// A process that sends back what it reads, and `end` once its input has ended.
fn echo(sessions: &Arc<AtomicUsize>) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(1024);
    let sessions = Arc::clone(sessions);
    sessions.fetch_add(1, Relaxed);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(theirs);
        let mut buffer = [0; 64];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            if write.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
        let _ = write.write_all(b"end").await;
        sessions.fetch_sub(1, Relaxed);
    });
    ours
}

impl platform::Node for Node {
    fn attach<'a>(&'a self, name: &'a str, request: AttachRequest) -> Answer<'a, Box<dyn Stream>> {
        self.ask(format!("attach {request:?}"));
        ready(self.known(name).map(|()| Box::new(echo(&self.sessions)) as Box<dyn Stream>))
    }
    fn resize<'a>(&'a self, name: &'a str, rows: u16, columns: u16) -> Answer<'a, ()> {
        self.ask(format!("resize {rows} {columns}"));
        ready(self.known(name))
    }
    fn logs<'a>(&'a self, name: &'a str, request: LogRequest) -> Answer<'a, mpsc::Receiver<LogLine>> {
        self.ask(format!("logs {request:?}"));
        let (sender, receiver) = mpsc::channel(2);
        for (stream, text) in [(LogStream::Stdout, "out\n"), (LogStream::Stderr, "err\n")] {
            let line = LogLine {
                time: Time::from_unix_seconds(1),
                stream,
                bytes: Bytes::from_static(text.as_bytes()),
            };
            sender.try_send(line).unwrap();
        }
        ready(self.known(name).map(|()| receiver))
    }
    fn top<'a>(&'a self, name: &'a str, _: &'a str) -> Answer<'a, ProcessTable> {
        ready(
            self.known(name)
                .map(|()| ProcessTable { titles: vec!["PID".into()], rows: vec![vec!["1".into()]] }),
        )
    }
    fn stats<'a>(&'a self, name: &'a str) -> Answer<'a, (Stats, Stats)> {
        let now =
            Stats { read: Some(Time::from_unix_seconds(9)), memory_bytes: 7, pids: 3, ..Stats::default() };
        ready(self.known(name).map(|()| (now, Stats::default())))
    }
    fn exec_create<'a>(&'a self, name: &'a str, request: ExecRequest) -> Answer<'a, ExecId> {
        self.ask(format!("exec {:?}", request.args));
        ready(self.known(name).map(|()| EXEC.parse().unwrap()))
    }
    fn exec_start<'a>(
        &'a self,
        _: &'a str,
        attach: bool,
        size: Option<(u16, u16)>,
    ) -> Answer<'a, Option<Box<dyn Stream>>> {
        self.ask(format!("exec start {attach} {size:?}"));
        *self.exec_exit.lock().unwrap() = Some(3);
        ready(match &self.exec_error {
            Some(error) => Err(error.clone()),
            None => Ok(attach.then(|| Box::new(echo(&self.sessions)) as Box<dyn Stream>)),
        })
    }
    fn exec_resize<'a>(&'a self, _: &'a str, _: u16, _: u16) -> Answer<'a, ()> {
        ready(Ok(()))
    }
    fn timings<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<platform::Timing>> {
        ready(Ok(vec![platform::Timing { step: "clone".into(), ns: 1500 }]))
    }
    fn differences<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<(platform::Difference, String)>> {
        ready(self.known(name).map(|()| vec![(platform::Difference::Added, "/new".into())]))
    }
    fn export<'a>(&'a self, name: &'a str) -> Answer<'a, platform::Archive> {
        ready(self.known(name).map(|()| Box::new(&b"tar"[..]) as platform::Archive))
    }
    fn path_stat<'a>(&'a self, name: &'a str, path: &'a str) -> Answer<'a, platform::PathStat> {
        self.ask(format!("stat {path}"));
        ready(self.known(name).map(|()| path_stat()))
    }
    fn copy_out<'a>(
        &'a self,
        name: &'a str,
        path: &'a str,
    ) -> Answer<'a, (platform::PathStat, platform::Archive)> {
        self.ask(format!("copy out {path}"));
        ready(self.known(name).map(|()| (path_stat(), Box::new(&b"tar"[..]) as platform::Archive)))
    }
    fn copy_in<'a>(
        &'a self,
        name: &'a str,
        path: &'a str,
        options: platform::PutOptions,
        _: platform::Archive,
    ) -> Answer<'a, ()> {
        self.ask(format!("copy in {path} {options:?}"));
        ready(self.known(name))
    }
    fn exec_inspect<'a>(&'a self, id: &'a str) -> Answer<'a, ExecState> {
        if id != EXEC {
            return ready(Err(Error::not_found(format!("No such exec instance: {id}"))));
        }
        let request = ExecRequest {
            args: vec!["sh".into()],
            terminal: self.terminal_exec,
            streams: Streams { stdin: true, stdout: true, stderr: true },
            ..ExecRequest::default()
        };
        ready(Ok(ExecState {
            id: EXEC.parse().unwrap(),
            container: CONTAINER.parse().unwrap(),
            request,
            running: false,
            exit_code: *self.exec_exit.lock().unwrap(),
            pid: 0,
        }))
    }
}

fn path_stat() -> platform::PathStat {
    platform::PathStat {
        name: "link".into(),
        size: 3,
        mode: 0o120_777,
        modified: Time::from_unix_seconds(1_600_000_000),
        link_target: "/bin".into(),
    }
}

pub(crate) fn image() -> Image {
    Image {
        id: image_id(),
        tags: vec!["busybox:latest".into()],
        digests: Vec::new(),
        created: Time::from_unix_seconds(1_600_000_000),
        size: 5,
        labels: Default::default(),
        containers: 1,
    }
}

/// A server before a node, on a socket of its own that goes with it.
pub(crate) struct Server {
    pub(crate) node: Arc<Node>,
    pub(crate) socket: PathBuf,
    _directory: tempfile::TempDir,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
    /// Each line as JSON.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    pub(crate) fn start(node: Node) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("api.sock");
        let node = Arc::new(node);
        let doors = Doors {
            control: node.clone(),
            node: node.clone(),
            images: node.clone(),
            volumes: node.clone(),
            networks: node.clone(),
            system: node.clone(),
        };
        let listener = Listener::Unix(UnixListener::bind(&socket).unwrap());
        tokio::spawn(api_docker::serve(listener, doors, Clock::system()));
        Server { node, socket, _directory: directory }
    }

    pub(crate) async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    /// Sends a request with a body of the given type and gives the answer's head and body.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> hyper::Response<hyper::body::Incoming> {
        let io = TokioIo::new(self.connect().await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "docker");
        let request = match content_type {
            "" => request,
            content_type => request.header("content-type", content_type),
        };
        sender.send_request(request.body(Full::new(body.into())).unwrap()).await.unwrap()
    }

    /// Asks with what the client shows to a registry.
    pub(crate) async fn send_as(&self, path: &str, auth: &str) -> Reply {
        let io = TokioIo::new(self.connect().await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().method("POST").uri(path).header("host", "docker");
        let request = request.header("x-registry-auth", auth).body(Full::new(Bytes::new())).unwrap();
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Reply {
        let (parts, body) = self.open(method, path, content_type, body).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, "application/json", serde_json::to_vec(body).unwrap()).await
    }
}
