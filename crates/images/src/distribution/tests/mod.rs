//! The registry as a client sees it: a server in this process, and a client of a few lines.

mod access;
mod blobs;
mod collecting;
mod lists;
mod manifests;
mod tls;

use super::access::Access;
use super::announced::ANNOUNCED_KEPT;
use super::{ContentDigest, Registry, Served, serve};
use crate::Images;
use crate::hash::digest_of;
use base::Clock;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use store::Store;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// A registry that is served, with its directory.
struct Site {
    root: TempDir,
    runtime: Runtime,
    registry: Arc<Registry>,
    address: SocketAddr,
}

/// What it answered.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of a refusal, with its status.
    fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["errors"][0]["code"].as_str().unwrap().to_owned())
    }
}

/// Opens the registry of a directory; all that is in it counts as announced long ago.
fn open(root: &Path) -> Arc<Registry> {
    let clock = Clock::system();
    let store = Arc::new(Store::open(&root.join("state.redb")).unwrap());
    let images = Arc::new(Images::open(&root.join("images"), store, clock).unwrap());
    let long_ago = clock.instant().checked_sub(ANNOUNCED_KEPT).unwrap();
    Arc::new(Registry::open_at(images, clock, long_ago).unwrap())
}

impl Site {
    fn new() -> Site {
        Site::on(tempfile::tempdir().unwrap(), Access::everyone())
    }

    fn on(root: TempDir, access: Access) -> Site {
        Site::with(root, |registry| Served::new(registry, access, Clock::system()))
    }

    fn with(root: TempDir, serving: impl FnOnce(Arc<Registry>) -> Served) -> Site {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let registry = open(root.path());
        let served = Arc::new(serving(Arc::clone(&registry)));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, served));
        Site { root, runtime, registry, address }
    }

    /// Ends the server and opens it again on what it left.
    fn again(self) -> Site {
        let Site { root, runtime, registry, .. } = self;
        drop(runtime);
        assert_eq!(Arc::strong_count(&registry), 1, "nobody uses the registry any more");
        drop(registry);
        Site::on(root, Access::everyone())
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = Request::builder().method(method).uri(path).header("host", "registry");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        self.runtime.block_on(async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Reply { status: parts.status, headers: parts.headers, body }
        })
    }

    fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"")
    }

    /// Pushes a blob in one request.
    fn push(&self, repository: &str, content: &[u8]) -> ContentDigest {
        let digest = ContentDigest::from(digest_of(content));
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let reply = self.ask("POST", &path, &[], content);
        assert_eq!(reply.status, StatusCode::CREATED, "{:?}", reply.body);
        digest
    }

    /// Begins an upload and tells where it goes on.
    fn begin(&self, repository: &str) -> String {
        let reply = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], b"");
        assert_eq!(reply.status, StatusCode::ACCEPTED);
        reply.header("location").to_owned()
    }

    /// Pushes a manifest with one layer, which is its configuration too, and what else `more` says as JSON.
    fn push_manifest(&self, repository: &str, target: &str, part: &[u8], more: &str) -> (Reply, String) {
        let digest = self.push(repository, part);
        let descriptor =
            format!(r#"{{"mediaType":"application/vnd.example","digest":"{digest}","size":{}}}"#, part.len());
        let text = format!(
            r#"{{ "schemaVersion": 2, "mediaType": "{OCI}", "config": {descriptor}, "layers": [{descriptor}]{more} }}"#
        );
        let path = format!("/v2/{repository}/manifests/{target}");
        (self.ask("PUT", &path, &[("content-type", OCI)], text.as_bytes()), text)
    }

    /// Files of content that are on the disk.
    fn files(&self) -> usize {
        let count =
            |name: &str| std::fs::read_dir(self.root.path().join("images/blobs").join(name)).unwrap().count();
        count("sha256") + count("sha512")
    }

    /// Uploads that are on the disk.
    fn uploads(&self) -> usize {
        std::fs::read_dir(self.root.path().join("images/uploads")).unwrap().count()
    }
}

const OCI: &str = crate::manifest::OCI_MANIFEST;

#[test]
fn a_registry_says_that_it_is_one() {
    let site = Site::new();
    let reply = site.get("/v2/");
    assert_eq!(
        (reply.status, reply.header("docker-distribution-api-version")),
        (StatusCode::OK, "registry/2.0")
    );
    assert_eq!(site.get("/v1/").refusal(), (404, "UNSUPPORTED".to_owned()));
    let reply = site.ask("POST", "/v2/a/manifests/b", &[], b"");
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "GET, HEAD, PUT, DELETE"));
    assert_eq!(site.get("/v2/UPPER/tags/list").refusal(), (400, "NAME_INVALID".to_owned()));
}
