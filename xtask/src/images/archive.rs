//! A docker-archive: the configuration, the layers, and a manifest that names them, in one tar file.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Recipe;
use super::layer::Layer;
use crate::shell;

/// Writes an image's archive, whole or not at all.
pub(super) fn write(recipe: &Recipe, layers: &[Layer], path: &Path) -> Result<()> {
    let told = || format!("the archive {} cannot be written", path.display());
    let config = serde_json::to_vec(&config(recipe, layers)?).with_context(told)?;
    let config_name = format!("{}.json", super::hex(&Sha256::digest(&config)));
    let half = path.with_extension("half");
    let mut tar = tar::Builder::new(File::create(&half).with_context(told)?);
    bytes(&mut tar, &config_name, &config).with_context(told)?;
    let mut names = Vec::new();
    for layer in layers {
        let name = format!("{}/layer.tar", layer.digest);
        let mut file = File::open(&layer.path).with_context(told)?;
        tar.append_file(&name, &mut file).with_context(told)?;
        names.push(name);
    }
    let manifest = json!([{ "Config": config_name, "RepoTags": recipe.tags, "Layers": names }]);
    bytes(&mut tar, "manifest.json", manifest.to_string().as_bytes()).with_context(told)?;
    tar.into_inner().and_then(|file| file.sync_all()).with_context(told)?;
    fs::rename(&half, path).with_context(told)
}

fn config(recipe: &Recipe, layers: &[Layer]) -> Result<Value> {
    let now = shell::output(&mut shell::command("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]))?;
    let now = now.trim();
    let digests: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect();
    let base = json!({ "created": now, "created_by": "ADD the root of Debian's packages /" });
    let upper =
        json!({ "created": now, "created_by": format!("RUN apt-get install {}", recipe.packages.join(" ")) });
    let command =
        json!({ "created": now, "created_by": format!("CMD {}", recipe.config["Cmd"]), "empty_layer": true });
    let mut history = vec![base];
    history.extend(std::iter::repeat_n(upper, layers.len().saturating_sub(1)));
    history.push(command);
    Ok(json!({
        "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
        "os": "linux",
        "created": now,
        "config": recipe.config,
        "rootfs": { "type": "layers", "diff_ids": digests },
        "history": history,
    }))
}

fn bytes(tar: &mut tar::Builder<File>, name: &str, content: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    Ok(tar.append_data(&mut header, name, content)?)
}
