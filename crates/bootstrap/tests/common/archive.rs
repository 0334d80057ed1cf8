//! An archive of packages that a test makes up, and a server for it: few files, kept in memory, signed by a key of the test's own.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "several crates of tests share this file, and none uses all of it"
)]

#[path = "signer.rs"]
mod signer;

pub use signer::Signer;

use aws_lc_rs::digest;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A file of a package: its path, its mode, its bytes; a link where the mode is 0, the bytes being where it leads.
pub type FileOf<'t> = (&'t str, u32, &'t [u8]);

/// A package that is made up.
#[derive(Debug, Clone, Default)]
pub struct Made {
    name: String,
    /// What stands in the index besides what follows from the file.
    fields: String,
    file: Vec<u8>,
}

impl Made {
    /// A package with further fields, a script that runs after it was unpacked, and files.
    #[must_use]
    pub fn new(name: &str, fields: &str, script: Option<&str>, files: &[FileOf<'_>]) -> Self {
        let control = format!("Package: {name}\nVersion: 1\nArchitecture: all\n{fields}\n");
        let mut inner: Vec<FileOf<'_>> = vec![("./control", 0o644, control.as_bytes())];
        inner.extend(script.map(|script| ("./postinst", 0o755, script.as_bytes())));
        let file = ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar", &archive(&inner)),
            ("data.tar", &archive(files)),
        ]);
        Self { name: name.to_owned(), fields: fields.to_owned(), file }
    }
}

/// What the archive says of itself.
#[derive(Debug, Clone)]
pub struct Says {
    /// `Suite` and `Codename`.
    pub names: (String, String),
    /// `Date`.
    pub date: String,
    /// `Valid-Until`.
    pub valid_until: Option<String>,
}

impl Default for Says {
    fn default() -> Self {
        let names = ("stable".to_owned(), "bookworm".to_owned());
        Self { names, date: "Thu, 01 Jan 2026 00:00:00 UTC".to_owned(), valid_until: None }
    }
}

/// When texts are signed: at the date above.
pub const SIGNED_AT: u32 = 1_767_225_600;

/// The files of an archive, by their paths below the mirror.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The files of an archive with the one component `main`, for amd64; unsigned without a signer.
#[must_use]
pub fn files(packages: &[Made], says: &Says, signer: Option<&Signer>) -> Files {
    let mut files = Files::new();
    let mut index = String::new();
    for package in packages {
        let path = format!("pool/main/{}_1_all.deb", package.name);
        let _ = write!(
            index,
            "Package: {}\nVersion: 1\nArchitecture: all\nFilename: {path}\nSize: {}\nSHA256: {}\n{}\n\n",
            package.name,
            package.file.len(),
            sha256(&package.file),
            package.fields.trim_end()
        );
        files.insert(path, package.file.clone());
    }
    let suite = &says.names.1;
    let listed = format!("{} {} main/binary-amd64/Packages", sha256(index.as_bytes()), index.len());
    files.insert(format!("dists/{suite}/main/binary-amd64/Packages"), index.into_bytes());
    let until = says.valid_until.as_ref().map(|until| format!("Valid-Until: {until}\n")).unwrap_or_default();
    let release = format!(
        "Suite: {}\nCodename: {suite}\nDate: {}\n{until}Architectures: all amd64\nComponents: main\nSHA256:\n {listed}\n",
        says.names.0, says.date
    );
    match signer {
        Some(signer) => {
            files.insert(format!("dists/{suite}/InRelease"), signer.sign(&release, SIGNED_AT).into_bytes())
        }
        None => files.insert(format!("dists/{suite}/Release"), release.into_bytes()),
    };
    files
}

fn sha256(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn archive(files: &[FileOf<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(if *mode == 0 { 0o777 } else { *mode });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(0);
        let put = if *mode == 0 {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, path, String::from_utf8_lossy(bytes).as_ref())
        } else {
            header.set_entry_type(if path.ends_with('/') {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, *bytes)
        };
        put.expect("memory can be written to");
    }
    tar.into_inner().expect("memory can be written to")
}

/// ar(5), as deb(5) wants it.
fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        out.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len()).bytes(),
        );
        out.extend(*bytes);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

/// A server of files, for as long as the test lasts.
#[derive(Debug)]
pub struct Mirror {
    address: SocketAddr,
    files: Arc<Mutex<Files>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Paths of which only the first half comes, once.
    cut: Arc<Mutex<Vec<String>>>,
    ends: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mirror {
    /// Serves files below `/debian`.
    ///
    /// # Panics
    /// Where no port can be had.
    #[must_use]
    pub fn start(files: Files) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
        let address = listener.local_addr().expect("a listener has an address");
        let mut mirror = Self {
            address,
            files: Arc::new(Mutex::new(files)),
            asked: Arc::default(),
            cut: Arc::default(),
            ends: Arc::default(),
            serving: None,
        };
        let (files, asked) = (Arc::clone(&mirror.files), Arc::clone(&mirror.asked));
        let (cut, ends) = (Arc::clone(&mirror.cut), Arc::clone(&mirror.ends));
        mirror.serving = Some(std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes in the middle is no failure of the server's.
                let _ = serve(&stream, &files, &asked, &cut);
            }
        }));
        mirror
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/debian", self.address)
    }

    /// Puts other files in place of those that are there.
    pub fn serve(&self, files: Files) {
        *locked(&self.files) = files;
    }

    /// Breaks off in the middle of a file, the next time it is asked for.
    pub fn break_off_once(&self, path: &str) {
        locked(&self.cut).push(path.to_owned());
    }

    /// How often paths with this in them were asked for.
    #[must_use]
    pub fn asked(&self, part: &str) -> usize {
        locked(&self.asked).iter().filter(|path| path.contains(part)).count()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // One last connection, so that it looks.
        let _ = TcpStream::connect(self.address);
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

/// Answers one request on a connection, and ends it.
fn serve(
    stream: &TcpStream,
    files: &Mutex<Files>,
    asked: &Mutex<Vec<String>>,
    cut: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let path = path.strip_prefix("/debian/").unwrap_or_default().to_owned();
    locked(asked).push(path.clone());
    let found = locked(files).get(&path).cloned();
    let status = if found.is_some() { "200 OK" } else { "404 Not Found" };
    let body = found.unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let mut out = stream;
    out.write_all(head.as_bytes())?;
    let mut cut = locked(cut);
    let length = match cut.iter().position(|one| *one == path) {
        Some(at) => {
            cut.remove(at);
            body.len() / 2
        }
        None => body.len(),
    };
    out.write_all(&body[..length])
}
