//! The image: a configuration and one layer, in the archive that `docker load` takes (the "Combined Image JSON + Filesystem Changeset
//! Format" of Docker's image specification v1.2).

use crate::error::{Error, Result};
use crate::layer::Layer;
use aws_lc_rs::digest;
use base::Time;
use model::Digest;
use serde_json::{Value, json};
use std::io::Write;
use tar::{EntryType, Header};

/// What the image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name and tag.
    pub name: String,
    /// The architecture, in Docker's words.
    pub architecture: String,
    /// When the archive was made, which is when the image was.
    pub created: Time,
    /// How it was made, for its history.
    pub made_by: String,
    /// Labels, by their names.
    pub labels: Vec<(String, String)>,
}

/// An image that is ready to be written.
#[derive(Debug)]
pub struct Image {
    layer: Layer,
    layer_bytes: u64,
    config: Vec<u8>,
    manifest: Vec<u8>,
    created: Time,
    id: Digest,
}

impl Image {
    /// Puts an image together.
    ///
    /// # Errors
    /// The layer cannot be read.
    pub fn new(mut layer: Layer, description: &Description) -> Result<Image> {
        let (layer_bytes, diff_id) = layer.measure()?;
        let labels: serde_json::Map<String, Value> =
            description.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let config = json!({
            "architecture": description.architecture,
            "config": {
                "Cmd": ["bash"],
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Labels": labels,
            },
            "created": description.created.to_string(),
            "history": [{ "created": description.created.to_string(), "created_by": description.made_by }],
            "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": [diff_id.to_string()] },
        });
        let config = config.to_string().into_bytes();
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&config);
        let id = crate::fetch::sha256(hash);
        let manifest = json!([{
            "Config": format!("{}.json", id.hex()),
            "RepoTags": [description.name],
            "Layers": ["layer.tar"],
        }]);
        let manifest = manifest.to_string().into_bytes();
        Ok(Image { layer, layer_bytes, config, manifest, created: description.created, id })
    }

    /// Its id: the hash of its configuration.
    pub fn id(&self) -> Digest {
        self.id
    }

    /// How many bytes its layer has.
    pub fn layer_bytes(&self) -> u64 {
        self.layer_bytes
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// The layer cannot be read, or nobody takes what is written.
    pub fn write(&mut self, mut out: impl Write) -> Result<()> {
        let seconds = u64::try_from(self.created.unix_seconds()).unwrap_or(0);
        out.write_all(header("layer.tar", self.layer_bytes, seconds)?.as_bytes()).map_err(Error::Write)?;
        self.layer.write(&mut out)?;
        pad(&mut out, self.layer_bytes)?;
        let config = format!("{}.json", self.id.hex());
        for (name, bytes) in [(config.as_str(), &self.config), ("manifest.json", &self.manifest)] {
            out.write_all(header(name, bytes.len() as u64, seconds)?.as_bytes()).map_err(Error::Write)?;
            out.write_all(bytes).map_err(Error::Write)?;
            pad(&mut out, bytes.len() as u64)?;
        }
        out.write_all(&[0; 1024]).and_then(|()| out.flush()).map_err(Error::Write)
    }
}

fn header(name: &str, size: u64, mtime: u64) -> Result<Header> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_path(name).map_err(Error::Write)?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// Fills a block up.
fn pad(out: &mut impl Write, size: u64) -> Result<()> {
    let rest = (size.wrapping_neg() % 512) as usize;
    out.write_all(&[0; 512][..rest]).map_err(Error::Write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Read as _;

    fn hash(bytes: &[u8]) -> Digest {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(bytes);
        crate::fetch::sha256(hash)
    }

    #[test]
    fn an_archive_has_what_its_manifest_names_and_is_the_same_each_time() {
        let mut export = tar::Builder::new(Vec::new());
        let mut file = header("etc/x", 3, 1).unwrap();
        export.append_data(&mut file, "etc/x", b"abc".as_slice()).unwrap();
        let export = export.into_inner().unwrap();
        let description = Description {
            name: "debian:test".to_owned(),
            architecture: "amd64".to_owned(),
            created: Time::from_unix_seconds(1_000_000),
            made_by: "a test".to_owned(),
            labels: vec![("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())],
        };
        let written = || {
            let layer =
                Layer::read(export.as_slice(), tempfile::tempfile().unwrap(), description.created).unwrap();
            let mut image = Image::new(layer, &description).unwrap();
            let mut bytes = Vec::new();
            image.write(&mut bytes).unwrap();
            (bytes, image.id())
        };
        let (bytes, id) = written();
        assert_eq!((bytes.clone(), id), written());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "debian:test");
        let config = &files[manifest[0]["Config"].as_str().unwrap()];
        assert_eq!(hash(config), id);
        let config: Value = serde_json::from_slice(config).unwrap();
        let layer = &files[manifest[0]["Layers"][0].as_str().unwrap()];
        assert_eq!(config["rootfs"]["diff_ids"][0], hash(layer).to_string());
        assert_eq!(config["created"], "1970-01-12T13:46:40Z");
        assert_eq!(config["config"]["Labels"], json!({ "a": "1", "b": "2" }));
    }
}
