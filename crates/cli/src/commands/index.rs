//! `manifest create`, `manifest push` and `manifest rm`: indexes that are written down here until they are pushed.
//!
//! An index is a file beside the logins, in the directory of docker's own configuration; only this program reads it.

use super::registry::shown;
use super::remote::{ask, read};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::names::Name;
use crate::table::Parsed;
use crate::{printer, start};
use base::file::{Durability, read_if_there, remove_all, write_atomically};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where the files lie, in the directory of the configuration.
const DIRECTORY: &str = "bocage-manifests";

fn file(name: &Name<'_>) -> Result<PathBuf, Failure> {
    Ok(start::docker_config()?.join(DIRECTORY).join(format!("{}.json", escape(&name.whole()))))
}

fn failed(what: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{what} {}: {error}", path.display()))
}

/// The images of an index that was written down.
fn written(name: &Name<'_>) -> Result<Option<Vec<Value>>, Failure> {
    let path = file(name)?;
    let text = read_if_there(&path).map_err(|error| failed("read", &path, &error))?;
    let parse = |text: Vec<u8>| {
        serde_json::from_slice(&text)
            .map_err(|error| Failure::new(format!("read {}: {error}", path.display())))
    };
    text.map(parse).transpose()
}

pub(crate) async fn create(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let operands = parsed.operands();
    let Some((list, images)) = operands.split_first() else { return Ok(()) };
    let name = Name::of(list);
    let mut members = match written(&name)? {
        None => Vec::new(),
        Some(before) if parsed.is("amend") => before,
        Some(_) => {
            let failure = Failure::new(format!("the index {} is written down already", name.familiar()));
            return Err(failure.with_hint("--amend adds to it, `bocage manifest rm` forgets it"));
        }
    };
    for image in images {
        let part = Name::of(image);
        if part.registry != name.registry {
            return Err(Failure::new(format!(
                "cannot use source images from a different registry than the target image: {} != {}",
                part.registry, name.registry
            )));
        }
        let remote = read(&ask(client, image, "manifest", None).await?)?;
        let Some([platform]) = remote["Platforms"].as_array().map(Vec::as_slice) else {
            let failure = Failure::new(format!("{image} is an index itself"));
            return Err(failure.with_hint("name its images by digest: `bocage manifest inspect` shows them"));
        };
        let digest = remote["Descriptor"]["digest"].as_str().unwrap_or_default();
        let member = json!({ "Name": format!("{}@{digest}", part.full()), "Platform": platform });
        // One image for each platform: the last one that was named.
        members.retain(|other| other["Platform"] != member["Platform"]);
        members.push(member);
    }
    let path = file(&name)?;
    let directory = path.parent().unwrap_or(&path);
    std::fs::create_dir_all(directory).map_err(|error| failed("make", directory, &error))?;
    let text = Value::from(members).to_string();
    write_atomically(&path, text.as_bytes(), Durability::Process)
        .map_err(|error| failed("write", &path, &error))?;
    printer::line(&format!("Created manifest list {}", name.whole()));
    Ok(())
}

pub(crate) async fn push(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let text = parsed.get("NAME").unwrap_or_default();
    let name = Name::of(text);
    let Some(members) = written(&name)? else { return Err(nothing(&name)) };
    let path = format!("/bocage/v1/distribution/{}/manifest", escape(&name.whole()));
    let answer = client.post_as(&path, &json!({ "Manifests": members }), shown(&name)?).await?;
    printer::line(answer["Digest"].as_str().unwrap_or_default());
    if parsed.is("purge") {
        forget(&name)?;
    }
    Ok(())
}

fn nothing(name: &Name<'_>) -> Failure {
    Failure::new(format!("no index {} is written down here", name.familiar()))
        .with_hint("`bocage manifest create` writes one down")
}

fn forget(name: &Name<'_>) -> Result<(), Failure> {
    let path = file(name)?;
    remove_all(&path).map_err(|error| failed("remove", &path, &error))
}

pub(crate) fn remove(parsed: &Parsed) -> Result<(), Failure> {
    for text in parsed.operands() {
        let name = Name::of(&text);
        if written(&name)?.is_none() {
            return Err(nothing(&name));
        }
        forget(&name)?;
    }
    Ok(())
}
