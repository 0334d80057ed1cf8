//! The floor: what the common programs take for the parts of the work, on the same bytes, one after the other.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::spent::Spent;
use crate::{say, shell};

/// What is done with all layers, as the shell says it; the folder is `$0`, and in `$@` are the plain layers.
const PARTS: [(&str, &str, &str); 8] = [
    ("gzip -6", "gzip", "for l; do gzip -6 < \"$l\" > \"$0/${l##*/}.gz\" || exit 1; done"),
    ("gzip -1", "gzip", "for l; do gzip -1 < \"$l\" > /dev/null || exit 1; done"),
    ("gzip -d", "gzip", "gzip -dc \"$0\"/*.gz > /dev/null"),
    ("zstd -3", "zstd", "for l; do zstd -q -3 -T1 -c \"$l\" > \"$0/${l##*/}.zst\" || exit 1; done"),
    ("zstd -d", "zstd", "zstd -qdc \"$0\"/*.zst > /dev/null"),
    ("sha256 (openssl)", "openssl", "openssl dgst -sha256 \"$@\""),
    ("tar -x", "tar", "mkdir \"$0/tree\" && for l; do tar -xf \"$l\" -C \"$0/tree\" || exit 1; done"),
    ("cp and sync", "cp", "for l; do cp \"$l\" \"$0/\" && sync \"$0/${l##*/}\" || exit 1; done"),
];

/// Measures all parts once and tells what they took.
pub(super) fn tell(layers: &[PathBuf]) -> Result<()> {
    let folder = PathBuf::from(format!("/var/tmp/bocage-bench-floor-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let told = parts(&folder, layers);
    std::fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    told
}

fn parts(folder: &Path, layers: &[PathBuf]) -> Result<()> {
    let bytes: u64 = layers.iter().filter_map(|layer| Some(layer.metadata().ok()?.len())).sum();
    say::line(&format!("the image: {} layers, {} MB of plain archives", layers.len(), bytes / 1_000_000));
    for (name, program, script) in PARTS {
        if !shell::found(program) {
            say::line(&format!("floor: {name:<18} {program} is not installed"));
            continue;
        }
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(folder).args(layers);
        let spent = Spent::by(&mut command, None)?;
        say::line(&format!("floor: {name:<18}{:>8.3}{:>7.2}", spent.wall, spent.processor));
    }
    Ok(())
}
