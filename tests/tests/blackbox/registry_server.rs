//! `bocage registry`, alone: what it acknowledged is there, whenever it is killed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

use blackbox::{Client, Node, Options, binary, free_port, until};

/// How often a registry is killed while blobs are being pushed.
const KILLS: usize = 4;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A registry with its folder, which is gone with it.
struct Registry {
    folder: PathBuf,
    child: Child,
    address: SocketAddr,
}

/// An answer.
struct Answer {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Registry {
    fn start() -> Registry {
        Registry::start_with(&[])
    }

    fn start_with(flags: &[&str]) -> Registry {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/var/tmp/bocage-test-registry-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (child, address) = spawn(&folder, flags);
        Registry { folder, child, address }
    }

    /// Kills it as a crash does, and starts it again on what it left.
    fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.address) = spawn(&self.folder, &[]);
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        ask(self.address, method, path, headers, body).unwrap()
    }

    fn count(&self, what: &str) -> usize {
        fs::read_dir(self.folder.join("data/images").join(what)).unwrap().count()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Starts a registry, and reads from its first line where it listens.
fn spawn(folder: &Path, flags: &[&str]) -> (Child, SocketAddr) {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let mut child = Command::new(binary())
        .args(["registry", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.join("data"))
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.strip_prefix("registry on http://").and_then(|rest| rest.split(',').next());
    let told = || fs::read_to_string(folder.join("log")).unwrap_or_default();
    let address = address.unwrap_or_else(|| panic!("it says {line:?} and {}", told()));
    (child, address.parse().unwrap())
}

fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: registry\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    )?;
    stream.write_all(body)?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let head_end =
        all.windows(4).position(|four| four == b"\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&all[..head_end]).into_owned();
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    Ok(Answer {
        status: status.ok_or(std::io::ErrorKind::InvalidData)?,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: all[head_end + 4..].to_vec(),
    })
}

/// A digest as sha256sum(1) finds it.
fn digest(content: &[u8]) -> String {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    let output = child.wait_with_output().unwrap();
    format!("sha256:{}", String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap())
}

/// So many bytes that are not all alike.
fn content(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(31).wrapping_add(seed * 7 + at / 251) % 256) as u8).collect()
}

#[test]
fn a_registry_that_is_killed_in_the_middle_of_an_upload_loses_nothing_that_it_acknowledged() {
    let mut registry = Registry::start();
    let layer = content(1, 300_000);
    let layer_digest = digest(&layer);
    let push = |registry: &Registry, content: &[u8], digest: &str| {
        registry.ask("POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), "", content).status
    };
    assert_eq!(push(&registry, &layer, &layer_digest), 201);
    let part = format!(r#"{{"mediaType":"application/x","digest":"{layer_digest}","size":300000}}"#);
    let manifest = format!(r#"{{"schemaVersion":2,"config":{part},"layers":[{part}]}}"#);
    let kind = "content-type: application/vnd.oci.image.manifest.v1+json\r\n";
    assert_eq!(registry.ask("PUT", "/v2/app/manifests/v1", kind, manifest.as_bytes()).status, 201);

    let big = content(2, 4_000_000);
    let location = registry.ask("POST", "/v2/app/blobs/uploads/", "", b"").headers["location"].clone();
    let answer = registry.ask("PATCH", &location, "content-range: 0-999999\r\n", &big[..1_000_000]);
    assert_eq!((answer.status, answer.headers["range"].as_str()), (202, "0-999999"));
    // The second piece is cut in its middle.
    let mut stream = TcpStream::connect(registry.address).unwrap();
    write!(stream, "PATCH {location} HTTP/1.1\r\nhost: registry\r\ncontent-length: 3000000\r\n\r\n").unwrap();
    stream.write_all(&big[1_000_000..3_000_000]).unwrap();
    let data =
        registry.folder.join("data/images/uploads").join(location.rsplit('/').next().unwrap()).join("data");
    until("a part of the second piece is written", || {
        (fs::metadata(&data).ok()?.len() > 1_000_000).then_some(())
    });
    registry.crash();

    assert_eq!(registry.ask("GET", "/v2/app/manifests/v1", "", b"").body, manifest.as_bytes());
    assert!(registry.ask("GET", &format!("/v2/app/blobs/{layer_digest}"), "", b"").body == layer);
    let range = registry.ask("GET", &location, "", b"").headers["range"].clone();
    let have: usize = range.strip_prefix("0-").unwrap().parse::<usize>().unwrap() + 1;
    assert!((1_000_000..=3_000_000).contains(&have), "{range}");
    let big_digest = digest(&big);
    let rest = format!("content-range: {have}-3999999\r\n");
    let answer = registry.ask("PUT", &format!("{location}?digest={big_digest}"), &rest, &big[have..]);
    assert_eq!(answer.status, 201);
    registry.crash();
    assert!(registry.ask("GET", &format!("/v2/app/blobs/{big_digest}"), "", b"").body == big);
    assert_eq!((registry.count("blobs/sha256"), registry.count("uploads"), registry.count("tmp")), (3, 0, 0));
}

#[test]
fn every_blob_whose_push_was_answered_is_there_after_a_kill_at_any_moment() {
    let mut registry = Registry::start();
    let mut pushed: Vec<(String, Vec<u8>)> = Vec::new();
    for round in 0..KILLS {
        let address = registry.address;
        let (sender, answered) = mpsc::channel();
        let pushing = thread::spawn(move || {
            for number in 0.. {
                let content = content(round * 1000 + number, 50_000 + number);
                let digest = digest(&content);
                let path = format!("/v2/app/blobs/uploads/?digest={digest}");
                match ask(address, "POST", &path, "", &content) {
                    Ok(answer) => {
                        assert_eq!(answer.status, 201);
                        if sender.send((digest, content)).is_err() {
                            return;
                        }
                    }
                    // It was killed.
                    Err(_) => return,
                }
            }
        });
        for _ in 0..=round * 3 {
            pushed.push(answered.recv().unwrap());
        }
        registry.crash();
        pushing.join().unwrap();
        pushed.extend(answered.try_iter());
        for (digest, content) in &pushed {
            let answer = registry.ask("GET", &format!("/v2/app/blobs/{digest}"), "", b"");
            assert!(answer.status == 200 && answer.body == *content, "{digest}: {}", answer.status);
        }
    }
    // Of each round, the one may be there too that was recorded and not answered.
    let files = registry.count("blobs/sha256");
    assert!((pushed.len()..=pushed.len() + KILLS).contains(&files), "{files} files of {}", pushed.len());
}

#[test]
fn the_daemons_registry_has_what_it_acknowledged_after_the_daemon_was_killed() {
    if !blackbox::ready(Client::Bocage, &[]) {
        return;
    }
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let words = vec!["--registry-listen".to_owned(), address.to_string()];
    let mut node = Node::start_with(Options { words, ..Options::default() });
    let content = content(5, 100_000);
    let digest = digest(&content);
    let path = format!("/v2/app/blobs/uploads/?digest={digest}");
    assert_eq!(ask(address, "POST", &path, "", &content).unwrap().status, 201);
    node.kill();
    node.start_again();
    let path = format!("/v2/app/blobs/{digest}");
    let answer = until("the registry answers", || ask(address, "GET", &path, "", b"").ok());
    assert!(answer.status == 200 && answer.body == content, "{}", answer.status);
    assert_eq!(ask(address, "DELETE", &path, "", b"").unwrap().status, 202);
    node.stop();
}

/// Bytes of all blobs.
fn blob_bytes(node: &Node) -> u64 {
    let blobs = fs::read_dir(node.data_root().join("images/blobs/sha256")).unwrap();
    blobs.map(|blob| blob.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_push_to_the_daemons_own_registry_copies_nothing() {
    if !blackbox::ready(Client::Docker, &["busybox", "nginx"]) {
        return;
    }
    let address = SocketAddr::from(([127, 0, 0, 1], free_port())).to_string();
    let words = vec!["--registry-listen".to_owned(), address.clone()];
    let node = Node::start_with(Options { words, ..Options::default() });
    for (client, image) in [(Client::Docker, "busybox"), (Client::Bocage, "nginx")] {
        assert_eq!(node.load(&blackbox::image_path(image)).code, 0);
        let cli = node.cli(client);
        let name = format!("{address}/team/{image}:1");
        let id = cli.ok(&["inspect", "--format", "{{.Id}}", image]);
        cli.ok(&["tag", image, &name]);
        let before = blob_bytes(&node);
        cli.ok(&["push", &name]);
        let more = blob_bytes(&node) - before;
        assert!(more < 10_000, "{more} bytes more: a manifest is not so large");
        cli.ok(&["rmi", &name, image]);
        if image == "busybox" {
            cli.ok(&["rmi", "alpine"]);
        }
        assert_eq!(cli.run(&["image", "inspect", &id]).code, 1);
        cli.ok(&["pull", &name]);
        assert_eq!(cli.ok(&["inspect", "--format", "{{.Id}}", &name]), id);
    }
    let cli = node.cli(Client::Bocage);
    let (all, part) = (format!("{address}/other/all:1"), format!("{address}/team/busybox:1"));
    cli.ok(&["manifest", "create", &all, &part]);
    assert!(cli.fails(1, &["manifest", "create", &all, &part]).contains("written down already"));
    cli.ok(&["manifest", "create", "--amend", &all, &part]);
    let index = cli.ok(&["manifest", "push", "--purge", &all]);
    assert!(cli.fails(1, &["manifest", "push", &all]).contains("no index"));
    assert!(cli.ok(&["manifest", "inspect", "-v", &all]).contains(&index));
    cli.ok(&["rmi", &part]);
    for client in [Client::Docker, Client::Bocage] {
        let cli = node.cli(client);
        assert_eq!(cli.ok(&["run", "--rm", &all, "echo", "works"]), "works");
        cli.ok(&["rmi", &all]);
    }
    node.stop();
}

#[test]
fn what_would_be_open_to_everybody_is_refused_unless_it_is_asked_for() {
    let refused = |words: &[&str]| {
        let output = Command::new(binary()).arg("registry").args(words).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["--listen", "0.0.0.0:5000"]).contains("--without-users"));
    assert!(refused(&["--listen", "5000"]).contains("127.0.0.1:5000"));
    assert!(refused(&["--anonymous-pull", "*"]).contains("--users FILE"));
    assert!(refused(&["--data", "here"]).contains("absolute path"));
}

/// Pushes an image of one layer, which is no archive: registries do not mind. Its manifest.
fn push(registry: &Registry, repository: &str, tag: &str, layer: &[u8]) -> String {
    let layer_digest = digest(layer);
    let path = format!("/v2/{repository}/blobs/uploads/?digest={layer_digest}");
    assert_eq!(registry.ask("POST", &path, "", layer).status, 201);
    let part = format!(r#"{{"mediaType":"application/x","digest":"{layer_digest}","size":{}}}"#, layer.len());
    let manifest = format!(r#"{{"schemaVersion":2,"config":{part},"layers":[{part}]}}"#);
    let kind = "content-type: application/vnd.oci.image.manifest.v1+json\r\n";
    let path = format!("/v2/{repository}/manifests/{tag}");
    assert_eq!(registry.ask("PUT", &path, kind, manifest.as_bytes()).status, 201);
    manifest
}

#[test]
fn a_copy_fetches_what_it_lacks_and_gives_it_when_its_upstream_is_gone() {
    let mut upstream = Registry::start();
    let big = content(5, 3_000_000);
    let (manifest, blob) = (push(&upstream, "team/tool", "1", &big), digest(&big));
    let address = upstream.address.to_string();
    let copy = Registry::start_with(&["--cache", &address]);
    let directory = address.replace(':', "_");
    // By its name here; as a mirror that is told for whom; and as one that is not.
    for path in [
        format!("/v2/{directory}/team/tool/manifests/1"),
        format!("/v2/team/tool/manifests/1?ns={address}"),
        "/v2/team/tool/manifests/1".to_owned(),
    ] {
        let answer = copy.ask("GET", &path, "", b"");
        assert_eq!(
            (answer.status, String::from_utf8_lossy(&answer.body).as_ref()),
            (200, manifest.as_str()),
            "{path}"
        );
    }
    let path = format!("/v2/team/tool/blobs/{blob}");
    assert_eq!(copy.ask("HEAD", &path, "", b"").headers["content-length"], "3000000");
    // Several at once, and one that wants a part.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(copy.ask("GET", &path, "", b"").body == big));
        }
        scope.spawn(|| {
            let part = copy.ask("GET", &path, "range: bytes=1000000-1000009\r\n", b"");
            assert_eq!((part.status, part.body.as_slice()), (206, &big[1_000_000..1_000_010]));
        });
    });
    until("it is kept", || (copy.count("blobs/sha256") == 2).then_some(()));
    // What no manifest names is not fetched, and nobody pushes to a copy.
    let other = content(6, 1000);
    push(&upstream, "team/other", "1", &other);
    assert_eq!(copy.ask("GET", &format!("/v2/team/tool/blobs/{}", digest(&other)), "", b"").status, 404);
    assert_eq!(copy.ask("GET", "/v2/team/nothing/manifests/1", "", b"").status, 404);
    let refused = copy.ask("POST", &format!("/v2/{directory}/team/tool/blobs/uploads/"), "", b"");
    assert!(
        refused.status == 403 && String::from_utf8_lossy(&refused.body).contains("is a copy of"),
        "{}",
        refused.status
    );
    // Its own repositories are its own.
    push(&copy, "team/own", "1", &other);
    assert_eq!(copy.ask("GET", "/v2/team/own/manifests/1", "", b"").status, 200);
    upstream.child.kill().unwrap();
    upstream.child.wait().unwrap();
    assert_eq!(copy.ask("GET", "/v2/team/tool/manifests/1", "", b"").status, 200);
    assert!(copy.ask("GET", &path, "", b"").body == big);
    let gone = copy.ask("GET", "/v2/team/other/manifests/1", "", b"");
    assert!(
        gone.status == 502 && String::from_utf8_lossy(&gone.body).contains("cannot be asked"),
        "{}",
        gone.status
    );
}

#[test]
fn a_blob_that_is_not_what_it_is_called_is_not_kept() {
    let upstream = Registry::start();
    let first = content(7, 5000);
    push(&upstream, "tool", "1", &first);
    let copy = Registry::start_with(&["--cache", &upstream.address.to_string()]);
    assert_eq!(copy.ask("HEAD", "/v2/tool/manifests/1", "", b"").status, 200);
    // Its bytes change on the upstream's disk.
    let file =
        upstream.folder.join("data/images/blobs/sha256").join(digest(&first).trim_start_matches("sha256:"));
    fs::write(file, content(8, 5000)).unwrap();
    let path = format!("/v2/tool/blobs/{}", digest(&first));
    let answer = copy.ask("GET", &path, "", b"");
    assert_ne!(digest(&answer.body), digest(&first));
    until("it is thrown away", || (copy.count("tmp") == 0).then_some(()));
    assert_eq!(copy.count("blobs/sha256"), 1, "the manifest alone");
}
