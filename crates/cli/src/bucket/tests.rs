//! A store in this process, which keeps objects and says no when asked to.

use super::*;
use crate::client::{Address, Client};
use hyper::Method;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

#[derive(Default)]
struct Kept {
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<u32, Vec<u8>>,
    asked: Vec<String>,
    /// Requests that fail before one succeeds.
    failures: u32,
}

struct Store {
    kept: Arc<Mutex<Kept>>,
    address: String,
}

fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).header("etag", "\"tag\"").body(Full::new(body.into())).unwrap()
}

fn served(kept: &mut Kept, method: &str, path: &str, query: &str, body: Vec<u8>) -> Response<Full<Bytes>> {
    if path == "/bocage/source" {
        return answer(200, vec![7; query.parse().unwrap()]);
    }
    kept.asked.push(format!("{method} {path}?{query}"));
    if kept.failures > 0 {
        kept.failures -= 1;
        return answer(503, "<Error><Message>slow down</Message></Error>");
    }
    let number = query.strip_prefix("partNumber=").and_then(|rest| rest.split('&').next());
    match (method, number) {
        ("PUT", Some(number)) => drop(kept.parts.insert(number.parse().unwrap(), body)),
        ("PUT", None) => drop(kept.objects.insert(path.to_owned(), body)),
        ("POST", _) if query == "uploads=" => {
            return answer(200, "<X><UploadId>an id</UploadId></X>");
        }
        ("POST", _) => {
            let whole = std::mem::take(&mut kept.parts).into_values().flatten().collect();
            kept.objects.insert(path.to_owned(), whole);
        }
        ("DELETE", _) => kept.parts.clear(),
        _ => {
            return match kept.objects.get(path) {
                Some(object) => answer(200, object.clone()),
                None => answer(404, "<Error><Message>The key is not there.</Message></Error>"),
            };
        }
    }
    answer(200, "")
}

impl Store {
    async fn start() -> Store {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let here = Arc::clone(&kept);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&here);
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| async {
                        let (parts, body) = request.into_parts();
                        assert!(
                            parts.uri.path().starts_with("/bocage/")
                                || parts.headers.contains_key("authorization")
                        );
                        let body = body.collect().await.unwrap().to_bytes().to_vec();
                        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
                        let mut kept = kept.lock().unwrap();
                        Ok::<_, Infallible>(served(&mut kept, parts.method.as_str(), path, query, body))
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Store { kept, address }
    }

    fn object(&self, address: &str) -> Object {
        let endpoint = format!("http://{}", self.address);
        let variable = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("mine".to_owned()),
            "AWS_ENDPOINT_URL" => Some(endpoint.clone()),
            _ => None,
        };
        let object = Object::with(address, &variable).unwrap().unwrap();
        Object { part_bytes: 1000, ..object }
    }

    async fn bytes(&self, count: usize) -> Pieces {
        let client = Client::new(Address::Tcp(self.address.clone()));
        client.stream(Method::GET, &format!("/bocage/source?{count}"), None).await.unwrap()
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }
}

#[tokio::test]
async fn small_and_large_objects_are_written_and_read() {
    let store = Store::start().await;
    for (count, requests) in [(0, 1), (999, 1), (1000, 3), (2500, 5)] {
        store.kept().asked.clear();
        let object = store.object("s3://backups/a folder/x.tar.zst");
        object.write(store.bytes(count).await).await.unwrap();
        assert_eq!(store.kept().asked.len(), requests, "{count}");
        assert_eq!(store.kept().objects["/backups/a%20folder/x.tar.zst"].len(), count);
        let read = object.read().await.unwrap().collect().await.unwrap().to_bytes();
        assert_eq!(read, vec![7; count]);
    }
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_is_asked_again() {
    let store = Store::start().await;
    store.kept().failures = 2;
    store.object("s3://backups/x").write(store.bytes(5).await).await.unwrap();
    assert_eq!(store.kept().asked.len(), 3);
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_stores_words() {
    let store = Store::start().await;
    let failure = store.object("s3://backups/gone").read().await.unwrap_err();
    let told = format!("s3://backups/gone at http://{}: 404 Not Found: The key is not there.", store.address);
    assert_eq!(failure.message, told);
    assert_eq!(store.kept().asked.len(), 1, "once is enough");
}

#[test]
fn what_is_missing_is_named() {
    let told = |address: &str| Object::with(address, &|_| None).err().map(|failure| failure.message);
    assert!(Object::with("file.tar.zst", &|_| None).unwrap().is_none());
    assert_eq!(told("s3://bucket").unwrap(), "s3://bucket names no object");
    assert_eq!(told("s3://bucket/x").unwrap(), "s3://bucket/x: AWS_ACCESS_KEY_ID is not set");
}
