//! Any blocks as a layer: unpacked or refused without a panic, and nothing beside its directory is touched. Each block gets the
//! checksum of a header, so that damage reaches the fields; it stays one where a block is data. `fuzz/seeds/layer` has archives of GNU
//! tar to begin with. Runs as root.

#![no_main]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const BLOCK_BYTES: usize = 512;

/// A folder of this process, in which nobody else is.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("bocage-fuzz-{}", std::process::id()));
    fs::create_dir_all(folder.join("beside")).expect("a folder can be made");
    fs::write(folder.join("beside/file"), "untouched").expect("a file can be written");
    folder
});

/// What would change if something were made, linked, written or renamed there.
fn looks(path: &Path) -> (u64, u64, u32, i64, i64) {
    let is = fs::symlink_metadata(path).expect("it is still there");
    (is.nlink(), is.size(), is.mode(), is.ctime(), is.ctime_nsec())
}

fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut archive = bytes.to_vec();
    for block in archive.chunks_exact_mut(BLOCK_BYTES).filter(|block| block.iter().any(|&byte| byte != 0)) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    archive
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let root = FOLDER.join("root");
    fs::create_dir(&root).expect("a folder can be made");
    let watched = ["beside", "beside/file"].map(|name| FOLDER.join(name));
    let before: Vec<_> = watched.iter().map(|path| looks(path)).collect();
    let _ = images::fuzzing::unpack(&with_checksums(bytes), &root);
    assert_eq!(watched.iter().map(|path| looks(path)).collect::<Vec<_>>(), before);
    assert_eq!(fs::read_dir(&*FOLDER).expect("it can be read").count(), 2, "something is beside the layer");
    fs::remove_dir_all(&root).expect("a layer can be removed");
});
