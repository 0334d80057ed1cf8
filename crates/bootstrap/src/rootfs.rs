//! The archive that the container of the second stage is made of: the files of the required packages, as they are, so that their dpkg
//! and their shell run; and all packages as they came, for that dpkg to install.
//!
//! From the first file on, `/bin`, `/sbin` and `/lib*` are links to what is below `/usr` (Debian's "usrmerge"): what a package still
//! has there is written to where the links lead.

use crate::deb;
use crate::error::{Error, Result};
use crate::packing::{Bounded, package_error};
use crate::stage::{self, FOLDER};
use base::Time;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use tar::{EntryType, Header};

/// Bytes of a package's files, unpacked.
const PACKAGE_BYTES_MAX: u64 = 16 << 30;

/// A package that goes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Whether its files are needed before anything is installed.
    pub is_required: bool,
}

/// What is written.
#[derive(Clone, Debug)]
pub struct Rootfs<'a> {
    /// The packages, in the order in which their files are written.
    pub packages: &'a [Input],
    /// Which directories of the root are links into `/usr`.
    pub merged: &'a [&'a str],
    /// Files besides, by their paths: the distribution's own configuration.
    pub files: &'a [(&'a str, String)],
    /// What runs in the container.
    pub script: &'a str,
    /// The time of everything that is no package's.
    pub date: Time,
}

/// The directories of the root that are links, for an architecture.
pub fn merged(architecture: &str) -> &'static [&'static str] {
    match architecture {
        "amd64" => &["bin", "sbin", "lib", "lib32", "lib64", "libx32"],
        _ => &["bin", "sbin", "lib"],
    }
}

impl Rootfs<'_> {
    /// Writes it all.
    ///
    /// # Errors
    /// A package cannot be read, or nobody takes what is written.
    pub fn write(&self, out: impl Write) -> Result<()> {
        let mut writer = Writer {
            out: tar::Builder::new(out),
            merged: self.merged,
            directories: BTreeSet::new(),
            date: u64::try_from(self.date.unix_seconds()).unwrap_or(0),
        };
        for name in self.merged {
            let target = format!("usr/{name}");
            writer.directory(&target, 0o755)?;
            let mut header = writer.header(EntryType::Symlink, 0o777, 0);
            writer.out.append_link(&mut header, name, &target).map_err(Error::Write)?;
        }
        for package in self.packages.iter().filter(|package| package.is_required) {
            writer.unpacked(package)?;
        }
        writer.directory("var/lib/dpkg", 0o755)?;
        for name in ["var/lib/dpkg/status", "var/lib/dpkg/available"] {
            writer.file(name, 0o644, b"")?;
        }
        for (path, text) in self.files {
            writer.file(path, 0o644, text.as_bytes())?;
        }
        writer.directory(FOLDER, 0o700)?;
        writer.file(&format!("{FOLDER}/{}", stage::SCRIPT), 0o700, self.script.as_bytes())?;
        for package in self.packages {
            writer.packed(package)?;
        }
        writer.out.into_inner().map_err(Error::Write)?.flush().map_err(Error::Write)
    }
}

struct Writer<'m, W: Write> {
    out: tar::Builder<W>,
    merged: &'m [&'m str],
    directories: BTreeSet<PathBuf>,
    date: u64,
}

impl<W: Write> Writer<'_, W> {
    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(self.date);
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        if self.directories.insert(PathBuf::from(path)) {
            let mut header = self.header(EntryType::Directory, mode, 0);
            self.out.append_data(&mut header, path, std::io::empty()).map_err(Error::Write)?;
        }
        Ok(())
    }

    fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let mut header = self.header(EntryType::Regular, mode, bytes.len() as u64);
        self.out.append_data(&mut header, path, bytes).map_err(Error::Write)
    }

    /// A package as it came.
    fn packed(&mut self, package: &Input) -> Result<()> {
        let failed = package_error(&package.path);
        let file = File::open(&package.path).map_err(&failed)?;
        let size = file.metadata().map_err(&failed)?.len();
        let mut header = self.header(EntryType::Regular, 0o600, size);
        let path = format!("{FOLDER}/{}.deb", package.name);
        self.out.append_data(&mut header, path, file).map_err(Error::Write)
    }

    /// A package's files, with the owners, modes and times that they have in it.
    fn unpacked(&mut self, package: &Input) -> Result<()> {
        let failed = package_error(&package.path);
        let file = BufReader::new(File::open(&package.path).map_err(&failed)?);
        let files = Bounded { input: deb::files(file).map_err(&failed)?, left: PACKAGE_BYTES_MAX };
        let mut archive = tar::Archive::new(files);
        for entry in archive.entries().map_err(&failed)? {
            let mut entry = entry.map_err(&failed)?;
            let named = plain(&entry.path_bytes());
            let own = named.ok_or_else(|| failed(std::io::Error::other("a file's name leads out of it")))?;
            let kind = entry.header().entry_type();
            // The root itself, and the links that are made already.
            if own.as_os_str().is_empty() || (kind.is_symlink() && self.is_merged(&own)) {
                continue;
            }
            let path = self.merge(own);
            let mut header = entry.header().clone();
            match kind {
                EntryType::Directory => {
                    if self.directories.insert(path.clone()) {
                        self.out.append_data(&mut header, &path, std::io::empty()).map_err(Error::Write)?;
                    }
                }
                EntryType::Link | EntryType::Symlink => {
                    let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                    let target = match kind {
                        EntryType::Link => self.merge(plain(&target).unwrap_or_default()),
                        _ => PathBuf::from(OsStr::from_bytes(&target)),
                    };
                    self.out.append_link(&mut header, &path, &target).map_err(Error::Write)?;
                }
                _ => self.out.append_data(&mut header, &path, entry.by_ref()).map_err(Error::Write)?,
            }
        }
        Ok(())
    }

    fn is_merged(&self, path: &Path) -> bool {
        self.merged.iter().any(|name| Path::new(name) == path)
    }

    /// Where a file goes whose package knows nothing of the links.
    fn merge(&self, path: PathBuf) -> PathBuf {
        let first = path.components().next();
        match first.is_some_and(|first| self.is_merged(Path::new(first.as_os_str()))) {
            true => Path::new("usr").join(path),
            false => path,
        }
    }
}

/// A name without what means nothing in it; none for one that leads elsewhere.
fn plain(name: &[u8]) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(OsStr::from_bytes(name)).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::tests::ar;

    fn package(folder: &Path, name: &str, files: &[(&str, EntryType, &str)]) -> Input {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, kind, text) in files {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.set_mtime(1);
            let is_file = *kind == EntryType::Regular;
            header.set_size(if is_file { text.len() as u64 } else { 0 });
            if kind.is_symlink() || kind.is_hard_link() {
                tar.append_link(&mut header, path, text).unwrap();
            } else {
                tar.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
        }
        let data = tar.into_inner().unwrap();
        let path = folder.join(name);
        std::fs::write(&path, ar(&[("debian-binary", b"2.0\n"), ("data.tar", &data)])).unwrap();
        Input { name: name.to_owned(), path, is_required: true }
    }

    /// What each path has become: `path -> target` of links.
    fn written(packages: &[Input]) -> Vec<String> {
        let date = Time::from_unix_seconds(5);
        let rootfs = Rootfs {
            packages,
            merged: &["bin", "lib"],
            files: &[("etc/x", "y".to_owned())],
            script: "true",
            date,
        };
        let mut out = Vec::new();
        rootfs.write(&mut out).unwrap();
        let mut archive = tar::Archive::new(out.as_slice());
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .map(|entry| match entry.link_name().unwrap() {
                Some(target) => format!("{} -> {}", entry.path().unwrap().display(), target.display()),
                None => entry.path().unwrap().display().to_string(),
            })
            .collect()
    }

    #[test]
    fn files_go_where_the_links_of_the_root_lead() {
        let folder = tempfile::tempdir().unwrap();
        let shell = [
            ("./bin", EntryType::Directory, ""),
            ("./bin/dash", EntryType::Regular, "x"),
            ("./bin/sh", EntryType::Symlink, "dash"),
            ("./bin/other", EntryType::Link, "./bin/dash"),
            ("./usr/share/doc", EntryType::Directory, ""),
        ];
        let base = [("./bin", EntryType::Symlink, "usr/bin"), ("./usr/share/doc", EntryType::Directory, "")];
        let packages = [package(folder.path(), "dash", &shell), package(folder.path(), "base-files", &base)];
        assert_eq!(
            written(&packages),
            [
                "usr/bin",
                "bin -> usr/bin",
                "usr/lib",
                "lib -> usr/lib",
                "usr/bin/dash",
                "usr/bin/sh -> dash",
                "usr/bin/other -> usr/bin/dash",
                "usr/share/doc",
                "var/lib/dpkg",
                "var/lib/dpkg/status",
                "var/lib/dpkg/available",
                "etc/x",
                "bocage-bootstrap",
                "bocage-bootstrap/install",
                "bocage-bootstrap/dash.deb",
                "bocage-bootstrap/base-files.deb",
            ]
        );
    }

    #[test]
    fn a_name_that_leads_out_is_refused() {
        assert_eq!(plain(b"./usr//bin/x").unwrap(), Path::new("usr/bin/x"));
        assert_eq!(plain(b"/etc/x").unwrap(), Path::new("etc/x"));
        assert_eq!(plain(b"usr/../../etc"), None);
    }
}
