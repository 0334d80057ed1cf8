//! A registry that keeps what is pushed to it in memory, for as long as the test lasts. It believes every digest: whether they are
//! right is for the product to see.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What is kept, by path.
#[derive(Debug, Default)]
struct Kept {
    blobs: BTreeMap<String, Vec<u8>>,
    /// With the type that each was pushed as.
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// Methods and paths in the order in which they were asked for.
    asked: Vec<String>,
    /// Where the parts begin that were asked for.
    begins: Vec<usize>,
}

/// A registry on a port of this machine.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    ends: Arc<AtomicBool>,
    /// No byte of a layer comes from here on; half of each comes where this is [`HALF`].
    end: Arc<AtomicUsize>,
    serving: Option<JoinHandle<()>>,
}

/// One request that was read.
struct Request {
    method: String,
    path: String,
    query: String,
    kind: String,
    authorization: String,
    /// The first byte that is wanted, and the last.
    range: Option<(usize, Option<usize>)>,
    body: Vec<u8>,
}

/// Layers come whole.
const WHOLE: usize = usize::MAX;
/// Half of each answer with a layer comes.
const HALF: usize = usize::MAX - 1;

impl Registry {
    /// Starts one. With `authorization` it answers only those who send that header: `Basic …`.
    ///
    /// # Panics
    /// Where no port can be had.
    #[must_use]
    pub fn start(authorization: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
        let address = listener.local_addr().expect("a listener has an address");
        let (kept, ends) = (Arc::new(Mutex::new(Kept::default())), Arc::new(AtomicBool::new(false)));
        let end = Arc::new(AtomicUsize::new(WHOLE));
        let (shared, ended, until) = (Arc::clone(&kept), Arc::clone(&ends), Arc::clone(&end));
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (kept, end) = (Arc::clone(&shared), Arc::clone(&until));
                std::thread::spawn(move || serve(&stream, &kept, &end, authorization));
            }
        });
        Self { address, kept, ends, end, serving: Some(serving) }
    }

    /// The full name of a repository here.
    #[must_use]
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on layers are asked for in vain: half of them comes, and no more.
    pub fn hold_layers_back(&self) {
        self.end.store(HALF, Ordering::SeqCst);
    }

    /// From now on no byte of a layer comes from this one on.
    pub fn hold_back_from(&self, byte: usize) {
        self.end.store(byte, Ordering::SeqCst);
    }

    /// From now on layers come whole.
    pub fn give_all(&self) {
        self.end.store(WHOLE, Ordering::SeqCst);
    }

    /// The first bytes that requests asked for of a layer, since something was held back last.
    #[must_use]
    pub fn begins(&self) -> Vec<usize> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.begins.clone()
    }

    /// How many requests so far begin so: method and path.
    #[must_use]
    pub fn asked(&self, prefix: &str) -> usize {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.asked.iter().filter(|asked| asked.starts_with(prefix)).count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

/// The beginning of what is packed with gzip: a layer.
const GZIP: &[u8] = b"\x1f\x8b";

fn serve(stream: &TcpStream, kept: &Mutex<Kept>, end: &AtomicUsize, authorization: Option<&str>) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(request) = read(&mut reader) {
        let (status, headers, body) = match authorization {
            Some(wanted) if request.authorization != wanted => {
                (401, "WWW-Authenticate: Basic realm=\"test\"\r\n".to_owned(), Vec::new())
            }
            _ => answer(&request, &mut kept.lock().unwrap_or_else(PoisonError::into_inner)),
        };
        let is_layer = request.method == "GET" && body.starts_with(GZIP);
        let (status, headers, body) = match request.range {
            Some((from, last)) if is_layer && from < body.len() => {
                let last = last.unwrap_or(body.len()).min(body.len() - 1);
                kept.lock().unwrap_or_else(PoisonError::into_inner).begins.push(from);
                let range = format!("Content-Range: bytes {from}-{last}/{}\r\n", body.len());
                (206, headers + &range, body[from..=last].to_vec())
            }
            _ => (status, headers, body),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n");
        let mut body = if request.method == "HEAD" { &[][..] } else { &body };
        let from = request.range.map_or(0, |(from, _)| from);
        match end.load(Ordering::SeqCst) {
            _ if !is_layer => {}
            HALF => body = &body[..length / 2],
            end => body = &body[..length.min(end.saturating_sub(from))],
        }
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(body)).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (mut length, mut kind, mut authorization, mut range) = (0, String::new(), String::new(), None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "content-type" => kind = value.trim().to_owned(),
            "authorization" => authorization = value.trim().to_owned(),
            "range" => {
                let (from, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
                range = Some((from.parse().ok()?, last.parse().ok()));
            }
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), kind, authorization, range, body })
}

/// Status, headers and body.
fn answer(request: &Request, kept: &mut Kept) -> (u16, String, Vec<u8>) {
    let Request { method, path, .. } = request;
    kept.asked.push(format!("{method} {path}"));
    let missing = |code: &str| {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"unknown"}}]}}"#);
        (404, String::new(), body.into_bytes())
    };
    match method.as_str() {
        _ if path == "/v2/" => (200, String::new(), b"{}".to_vec()),
        "POST" => (202, format!("Location: {path}1\r\n"), Vec::new()),
        "PUT" if path.contains("/manifests/") => {
            kept.manifests.insert(path.clone(), (request.kind.clone(), request.body.clone()));
            (201, String::new(), Vec::new())
        }
        "PUT" => {
            let digest = request.query.trim_start_matches("digest=").replace("%3A", ":");
            let repository = path.split("/uploads/").next().unwrap_or_default();
            kept.blobs.insert(format!("{repository}/{digest}"), request.body.clone());
            (201, String::new(), Vec::new())
        }
        _ if path == "/v2/_catalog" => {
            let repository = |path: &String| {
                path.strip_prefix("/v2/")?.split_once("/manifests/").map(|(name, _)| format!("{name:?}"))
            };
            let names: BTreeSet<String> = kept.manifests.keys().filter_map(repository).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(",");
            (200, String::new(), format!(r#"{{"repositories":[{names}]}}"#).into_bytes())
        }
        _ if path.contains("/manifests/") => match kept.manifests.get(path) {
            Some((kind, body)) => (200, format!("Content-Type: {kind}\r\n"), body.clone()),
            None => missing("MANIFEST_UNKNOWN"),
        },
        _ => kept
            .blobs
            .get(path)
            .map_or_else(|| missing("BLOB_UNKNOWN"), |body| (200, String::new(), body.clone())),
    }
}
