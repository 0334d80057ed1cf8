//! One layer: a file tree, or what changed from one tree to another, as a tar file with its digest.
//!
//! Changes are found by comparing metadata, as the second tree began as an exact copy of the first. What was removed becomes a
//! whiteout, an empty file named `.wh.NAME` (image specification, "Whiteouts").

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// Places whose content is no part of an image: the kernel's, the machine's, caches and manuals.
const LEFT_OUT: [&str; 14] = [
    "dev/",
    "proc/",
    "sys/",
    "tmp/",
    "run/",
    "etc/resolv.conf",
    "etc/hostname",
    "var/cache/apt/",
    "var/cache/debconf/",
    "var/lib/apt/lists/",
    "var/log/apt/",
    "usr/share/man/",
    "usr/share/doc/",
    "usr/share/locale/",
];

/// A layer that has been written.
pub(super) struct Layer {
    /// The tar file.
    pub(super) path: PathBuf,
    /// SHA-256 of the tar file, in hexadecimal digits.
    pub(super) digest: String,
}

/// Writes the layer that turns the tree `below` (or nothing) into the tree `root`.
pub(super) fn write(below: Option<&Path>, root: &Path, path: &Path) -> Result<Layer> {
    let old = below.map_or_else(|| Ok(BTreeMap::new()), list)?;
    let new = list(root)?;
    let told = || format!("the layer {} cannot be written", path.display());
    let file = File::create(path).with_context(told)?;
    let mut tar = tar::Builder::new(Hashing { file: BufWriter::new(file), hash: Sha256::new() });
    tar.follow_symlinks(false);
    for (name, _) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        // Where the folder itself is gone, its whiteout says it all.
        if name.parent().is_none_or(|parent| parent.as_os_str().is_empty() || new.contains_key(parent)) {
            whiteout(&mut tar, name).with_context(told)?;
        }
    }
    let mut links: HashMap<(u64, u64), PathBuf> = HashMap::new();
    for (name, found) in &new {
        if old.get(name).is_some_and(|before| is_same(before, found)) {
            continue;
        }
        append(&mut tar, root, name, found, &mut links)
            .with_context(|| format!("{} cannot be put into a layer", name.display()))?;
    }
    let mut out = tar.into_inner().with_context(told)?;
    out.flush().with_context(told)?;
    Ok(Layer { path: path.to_owned(), digest: super::hex(&out.hash.finalize()) })
}

/// Every path of a tree that belongs into an image, relative to the tree.
fn list(root: &Path) -> Result<BTreeMap<PathBuf, Metadata>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for entry in fs::read_dir(&path).with_context(|| format!("{} cannot be read", path.display()))? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            let metadata = entry.metadata().with_context(|| format!("{} cannot be read", name.display()))?;
            if is_left_out(&name) || metadata.file_type().is_socket() {
                continue;
            }
            if metadata.is_dir() {
                folders.push(name.clone());
            }
            found.insert(name, metadata);
        }
    }
    Ok(found)
}

fn is_left_out(name: &Path) -> bool {
    let text = name.to_string_lossy();
    LEFT_OUT.iter().any(|place| text == *place || (place.ends_with('/') && text.starts_with(place)))
}

fn is_same(before: &Metadata, after: &Metadata) -> bool {
    let times =
        before.is_dir() || (before.mtime(), before.mtime_nsec()) == (after.mtime(), after.mtime_nsec());
    let sizes = before.is_dir() || before.len() == after.len();
    times && sizes && (before.mode(), before.uid(), before.gid()) == (after.mode(), after.uid(), after.gid())
}

fn whiteout(tar: &mut tar::Builder<impl Write>, name: &Path) -> io::Result<()> {
    let file = name.file_name().unwrap_or_default().to_string_lossy();
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(0);
    tar.append_data(&mut header, name.with_file_name(format!(".wh.{file}")), io::empty())
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    root: &Path,
    name: &Path,
    found: &Metadata,
    links: &mut HashMap<(u64, u64), PathBuf>,
) -> Result<()> {
    let path = root.join(name);
    let mut header = tar::Header::new_gnu();
    header.set_metadata_in_mode(found, tar::HeaderMode::Complete);
    if found.file_type().is_symlink() {
        header.set_size(0);
        return Ok(tar.append_link(&mut header, name, fs::read_link(&path)?)?);
    }
    if found.is_dir() {
        header.set_size(0);
        return Ok(tar.append_data(&mut header, name, io::empty())?);
    }
    if found.nlink() > 1 {
        let inode = (found.dev(), found.ino());
        if let Some(first) = links.get(&inode) {
            header.set_entry_type(tar::EntryType::Link);
            header.set_size(0);
            return Ok(tar.append_link(&mut header, name, first)?);
        }
        links.insert(inode, name.to_owned());
    }
    Ok(tar.append_data(&mut header, name, File::open(&path)?)?)
}

/// A file that keeps the digest of what is written to it.
struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
