//! Archives for the tests, made byte by byte so that they can also be wrong, and a store to load them into.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]
#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

use base::Clock;
use images::{Images, Loaded, Result};
use sha2::{Digest as _, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;

/// A tar archive that grows.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

/// One entry's header.
#[derive(Clone)]
pub struct Header<'a> {
    pub path: &'a str,
    pub flag: u8,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime: u64,
    pub link: &'a str,
    pub device: (u32, u32),
}

impl<'a> Header<'a> {
    pub fn new(path: &'a str, flag: u8) -> Header<'a> {
        let mode = if flag == b'5' { 0o755 } else { 0o644 };
        Header { path, flag, mode, uid: 0, gid: 0, size: 0, mtime: 1_000_000_000, link: "", device: (0, 0) }
    }

    pub fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, self.path);
        put(100, &format!("{:07o}", self.mode));
        put(108, &format!("{:07o}", self.uid));
        put(116, &format!("{:07o}", self.gid));
        put(124, &format!("{:011o}", self.size));
        put(136, &format!("{:011o}", self.mtime));
        put(157, self.link);
        put(257, "ustar\x0000");
        put(329, &format!("{:07o}", self.device.0));
        put(337, &format!("{:07o}", self.device.1));
        block[156] = self.flag;
        sum(&mut block);
        block
    }
}

/// Sets the checksum of a header.
pub fn sum(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

impl Tar {
    pub fn new() -> Tar {
        Tar::default()
    }

    pub fn raw(mut self, bytes: &[u8]) -> Tar {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn data(mut self, bytes: &[u8]) -> Tar {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn entry(self, header: &Header<'_>, bytes: &[u8]) -> Tar {
        let header = Header { size: bytes.len() as u64, ..header.clone() };
        self.raw(&header.block()).data(bytes)
    }

    pub fn file(self, path: &str, bytes: &[u8]) -> Tar {
        self.entry(&Header::new(path, b'0'), bytes)
    }

    pub fn program(self, path: &str, bytes: &[u8]) -> Tar {
        self.entry(&Header { mode: 0o755, ..Header::new(path, b'0') }, bytes)
    }

    pub fn directory(self, path: &str) -> Tar {
        self.entry(&Header::new(path, b'5'), b"")
    }

    pub fn symlink(self, path: &str, target: &str) -> Tar {
        self.entry(&Header { link: target, ..Header::new(path, b'2') }, b"")
    }

    pub fn hardlink(self, path: &str, target: &str) -> Tar {
        self.entry(&Header { link: target, ..Header::new(path, b'1') }, b"")
    }

    pub fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..).find(|digits| (rest + digits).to_string().len() == *digits).unwrap() + rest;
            bytes.extend_from_slice(format!("{length} {key}=").as_bytes());
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        self.entry(&Header::new("pax", b'x'), &bytes)
    }

    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// The configuration of an image with these plain layers.
pub fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", hex(layer))).collect();
    let history: Vec<_> = layers
        .iter()
        .map(|_| serde_json::json!({"created": "2024-05-06T07:08:09Z", "created_by": "ADD"}))
        .collect();
    serde_json::to_vec(&serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09.5Z",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": null, "Entrypoint": null, "ExposedPorts": {"80/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
    }))
    .unwrap()
}

/// A docker-archive of one image, in the manner of Docker before version 25: the table of contents comes last.
pub fn docker_archive(name: &str, layers: &[&[u8]]) -> Vec<u8> {
    docker_archive_packed(name, layers, layers)
}

/// The same, with layers packed in some way.
pub fn docker_archive_packed(name: &str, plain: &[&[u8]], packed: &[&[u8]]) -> Vec<u8> {
    let config = config(plain);
    let config_name = format!("{}.json", hex(&config));
    let mut tar = Tar::new();
    let mut names = Vec::new();
    for (index, layer) in packed.iter().enumerate() {
        let directory = format!("{index:064x}");
        tar = tar.directory(&format!("{directory}/")).file(&format!("{directory}/VERSION"), b"1.0");
        names.push(format!("{directory}/layer.tar"));
        tar = tar.file(&names[index], layer);
    }
    let manifest = serde_json::json!([{"Config": config_name, "RepoTags": [name], "Layers": names}]);
    tar.file(&config_name, &config).file("manifest.json", &serde_json::to_vec(&manifest).unwrap()).end()
}

/// An OCI layout of one image; layers as `(plain, packed, media type)`.
pub fn oci_archive(name: &str, layers: &[(&[u8], &[u8], &str)]) -> Vec<u8> {
    let config = config(&layers.iter().map(|(plain, _, _)| *plain).collect::<Vec<_>>());
    let blob = |bytes: &[u8], media_type: &str| serde_json::json!({"mediaType": media_type, "digest": format!("sha256:{}", hex(bytes)), "size": bytes.len()});
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(&config, "application/vnd.oci.image.config.v1+json"),
        "layers": layers.iter().map(|(_, packed, media)| blob(packed, media)).collect::<Vec<_>>(),
    }))
    .unwrap();
    let mut descriptor = blob(&manifest, "application/vnd.oci.image.manifest.v1+json");
    descriptor["annotations"] = serde_json::json!({"io.containerd.image.name": name});
    let index =
        serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "manifests": [descriptor]})).unwrap();
    let mut tar =
        Tar::new().file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).file("index.json", &index);
    for bytes in layers.iter().map(|(_, packed, _)| *packed).chain([config.as_slice(), &manifest]) {
        tar = tar.file(&format!("blobs/sha256/{}", hex(bytes)), bytes);
    }
    tar.end()
}

/// An image store of its own.
pub struct Place {
    pub directory: tempfile::TempDir,
    pub images: Images,
}

impl Place {
    pub fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let images = open(directory.path());
        Place { directory, images }
    }

    pub fn load(&self, archive: &[u8]) -> Result<Vec<Loaded>> {
        self.images.load(&mut &archive[..], &mut |_| {})
    }

    /// Loads an image of one layer and returns where that was unpacked.
    pub fn unpack(&self, layer: &[u8]) -> Result<PathBuf> {
        let loaded = self.load(&docker_archive("test:1", &[layer]))?;
        Ok(self.images.rootfs(&loaded[0].id).unwrap().remove(0))
    }

    /// Everything that is kept: blobs and layers, whole or not, and what an operation is making.
    pub fn kept(&self) -> Vec<PathBuf> {
        let root = self.directory.path().join("images");
        let mut kept = Vec::new();
        for directory in ["blobs/sha256", "layers", "unfinished", "tmp"] {
            kept.extend(std::fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path()));
        }
        kept
    }
}

/// Opens the image store of a directory.
pub fn open(directory: &Path) -> Images {
    let store = Arc::new(Store::open(&directory.join("state.redb")).unwrap());
    Images::open(&directory.join("images"), store, Clock::system()).unwrap()
}

/// A file system of `bytes`, seen by this thread (and those it starts) alone and gone with it.
pub fn small_disk(root: &Path, bytes: u64) {
    use rustix::mount::{MountFlags, MountPropagationFlags};
    use rustix::thread::UnshareFlags;
    #[expect(
        deprecated,
        reason = "a mount namespace of its own takes no file descriptor from any other thread"
    )]
    rustix::thread::unshare(UnshareFlags::NEWNS).unwrap();
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let options = std::ffi::CString::new(format!("size={bytes}")).unwrap();
    rustix::mount::mount("tmpfs", root, "tmpfs", MountFlags::empty(), options.as_c_str()).unwrap();
}
