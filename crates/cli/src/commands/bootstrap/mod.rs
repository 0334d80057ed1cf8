//! `image bootstrap`: a base image out of a distribution's packages, made with any daemon that speaks the Engine API.
//!
//! ```text
//!  mirror -> packages, verified -> POST /images/create?fromSrc=-  an image for the moment
//!                                  POST /containers/create        a container of it: the second stage
//!                                  GET  /containers/…/export      what it has become -> one layer, tidied
//!                                  POST /images/load              the image
//! ```
//!
//! The image for the moment and its container go away again, however it ends; after a `kill -9`, with the next one. What is fetched, and why it is believed, is said in
//! the crate `bootstrap`; nothing of the distribution runs or is unpacked on this machine but by the daemon.

mod leftovers;
mod steps;
mod wish;

use super::list::string;
use crate::client::{Client, Pieces, Values, escape, query};
use crate::failure::Failure;
use crate::pump::Frames;
use crate::table::Parsed;
use crate::{blocking, printer, start};
use base::{Chain, Time};
use bootstrap::archive::{self, Archive, Progress, Shelf, Trust};
use bootstrap::fetch::Fetcher;
use bootstrap::image::{Description, Image};
use bootstrap::index::Package;
use bootstrap::layer::Layer;
use bootstrap::resolve::{self, Chosen};
use bootstrap::rootfs::{Input, Rootfs, merged};
use bootstrap::{Error, stage};
use hyper::Method;
use leftovers::Moment;
use serde_json::json;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use steps::{Said, Steps};
use tokio::signal::unix::{SignalKind, signal};
use wish::{Wish, trust, wish};

/// The exit codes of whoever was interrupted, or asked to end: 128 and the signal's number.
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let failure = Failure::new(Chain(&error).to_string());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

/// Makes the image, and tells its id.
pub(crate) async fn bootstrap(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let wish = wish(client, parsed).await?;
    let steps = Steps::new(parsed.is("quiet"));
    let made = Moment::new();
    match made.tidy(client).await? {
        0 => {}
        gone => steps
            .line(&format!("removed what was left of an earlier one: {gone} containers, images and folders")),
    }
    let room = Room::new(parsed.get("cache"), &made)?;
    let work = async {
        let fetcher = Fetcher::new(&start::proxies(), concat!("bocage/", env!("CARGO_PKG_VERSION")))?;
        let trust = trust(&fetcher, &room, &wish, parsed, &steps).await?;
        let fetched = fetch(&fetcher, &wish, &trust, &room, &steps).await?;
        make(client, &wish, &fetched, &room, &made, &steps).await
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        code = asked_to_end() => Err(Failure::silent(code)),
    };
    steps.end_line();
    // Whatever has happened, and whether or not it was there.
    let removed = made.remove(client).await;
    let id = outcome?;
    removed?;
    printer::line(&id);
    Ok(())
}

async fn asked_to_end() -> u8 {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => INTERRUPTED,
        _ = terminate.recv() => TERMINATED,
    }
}

/// Where files lie while the image is made. What is there for the moment only is gone with the value.
struct Room {
    shelf: Shelf,
    spool: PathBuf,
    temporary: Option<PathBuf>,
}

impl Room {
    fn new(cache: Option<&str>, moment: &Moment) -> Result<Room, Failure> {
        let (folder, is_temporary) = match cache {
            Some(folder) => (PathBuf::from(folder), false),
            None => (moment.folder(), true),
        };
        let mode = if is_temporary { 0o700 } else { 0o755 };
        let made = fs::DirBuilder::new().mode(mode).recursive(!is_temporary).create(&folder);
        made.map_err(|error| Failure::new(format!("make the directory {}: {error}", folder.display())))?;
        let spool = folder.join(format!("{:016x}.spool", base::random::number()));
        Ok(Room { shelf: Shelf::new(&folder), spool, temporary: is_temporary.then_some(folder) })
    }

    /// An empty file without a name.
    fn spool(&self) -> Result<fs::File, Failure> {
        let opened = fs::File::options().read(true).write(true).create_new(true).open(&self.spool);
        let file = opened.and_then(|file| fs::remove_file(&self.spool).map(|()| file));
        file.map_err(|error| Failure::new(format!("write to {}: {error}", self.spool.display())))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(folder) = &self.temporary {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// What was fetched.
struct Fetched {
    archives: Vec<Archive>,
    chosen: Chosen,
    inputs: Vec<Input>,
    /// When the newest of the archives was made.
    date: Time,
}

async fn fetch(
    fetcher: &Fetcher,
    wish: &Wish,
    trust: &Trust,
    room: &Room,
    steps: &Steps,
) -> Result<Fetched, Failure> {
    let mut archives = Vec::new();
    for place in &wish.places {
        let archive = Archive::open(fetcher, place.clone(), trust, wish.distribution).await?;
        let signed = archive.signer.as_ref();
        let signed =
            signed.map_or("not looked at".to_owned(), |by| format!("{} ({})", by.user, by.fingerprint));
        steps.line(&format!(
            "{} {} of {}; signed by: {signed}",
            place.mirror, place.suite, archive.release.date
        ));
        archives.push(archive);
    }
    let index = archive::index(fetcher, &room.shelf, &archives, &wish.architecture).await?;
    // Whoever uses the image wants to install more; archives without apt are made without.
    let apt = index.get("apt").map(|apt| apt.name.clone());
    let wishes: Vec<String> = apt.into_iter().chain(wish.packages.iter().cloned()).collect();
    let chosen = resolve::choose(&index, &wishes)?;
    let packages: Vec<&Package> = chosen.names().filter_map(|name| index.get(name)).collect();
    let bytes: u64 = packages.iter().map(|package| package.size).sum();
    let count = packages.len();
    let told = |far: Progress| {
        let (here, all) =
            (crate::format::human::bytes(far.bytes.min(bytes)), crate::format::human::bytes(bytes));
        steps.now(&format!("fetching packages: {} of {count}, {here} of {all}", far.packages));
    };
    let paths = archive::fetch(fetcher, &room.shelf, &archives, &packages, &told).await?;
    steps.line(&format!(
        "{count} packages, {}, each with the hash that the archive names",
        crate::format::human::bytes(bytes)
    ));
    let input = |name: &String, is_required| {
        paths.get(name).map(|path| Input { name: name.clone(), path: path.clone(), is_required })
    };
    let required = chosen.required.iter().filter_map(|name| input(name, true));
    let later = chosen.later.iter().flatten().filter_map(|name| input(name, false));
    let inputs = required.chain(later).collect();
    let date = archives.iter().map(|archive| archive.release.date).max().unwrap_or_default();
    Ok(Fetched { archives, chosen, inputs, date })
}

async fn make(
    client: &Client,
    wish: &Wish,
    fetched: &Fetched,
    room: &Room,
    made: &Moment,
    steps: &Steps,
) -> Result<String, Failure> {
    unpack(client, wish, fetched, made, steps).await?;
    install(client, fetched, made, steps).await?;
    steps.now("taking the files over");
    let path = format!("/containers/{}/export", made.name);
    let export = client.stream(Method::GET, &path, None).await?;
    let (spool, date) = (room.spool()?, fetched.date);
    let description = describe(wish, fetched);
    let image = blocking::read(export, move |export| {
        Layer::read(export, spool, date).and_then(|layer| Image::new(layer, &description))
    });
    let mut image = image.await??;
    let size = crate::format::human::bytes(image.layer_bytes());
    let (body, written) = blocking::body(move |output| image.write(output));
    done(client.stream(Method::POST, "/images/load?quiet=1", Some(body)).await?).await?;
    written.await.map_err(|error| Failure::new(format!("write the image: {error}")))??;
    steps.line(&format!("made {}, {size}", wish.name));
    let loaded = client.get(&format!("/images/{}/json", escape(&wish.name))).await?;
    Ok(string(&loaded, "Id").to_owned())
}

/// Makes the image for the moment.
async fn unpack(
    client: &Client,
    wish: &Wish,
    fetched: &Fetched,
    made: &Moment,
    steps: &Steps,
) -> Result<(), Failure> {
    steps.now("unpacking the required packages");
    let inputs = fetched.inputs.clone();
    let script = stage::script(&fetched.chosen);
    let sources: String = fetched.archives.iter().map(|archive| archive.place.line() + "\n").collect();
    let files = if fetched.chosen.names().any(|name| name == "apt") {
        vec![("etc/apt/sources.list", sources)]
    } else {
        Vec::new()
    };
    let (merged, date) = (merged(&wish.architecture), fetched.date);
    let (body, written) = blocking::body(move |output| {
        Rootfs { packages: &inputs, merged, files: &files, script: &script, date }.write(output)
    });
    let asked = query(&[
        ("fromSrc", Some("-".to_owned())),
        ("repo", Some(made.name.clone())),
        ("changes", Some(made.change())),
    ]);
    let sent = async {
        done(client.stream(Method::POST, &format!("/images/create{asked}"), Some(body)).await?).await
    };
    let sent: Result<(), Failure> = sent.await;
    let written = written.await.map_err(|error| Failure::new(format!("unpack the packages: {error}")))?;
    // A package that cannot be read is the reason why the daemon did not get all of it.
    match written {
        Err(error @ Error::Package { .. }) => Err(error.into()),
        other => sent.and(other.map_err(Failure::from)),
    }
}

/// Reads an answer of messages to its end; an error among them is the outcome.
async fn done(pieces: Pieces) -> Result<(), Failure> {
    let mut values = Values::new(pieces);
    while let Some(message) = values.next().await? {
        if let Some(error) = message["error"].as_str() {
            return Err(Failure::new(error));
        }
    }
    Ok(())
}

/// Lets the packages install themselves.
async fn install(client: &Client, fetched: &Fetched, made: &Moment, steps: &Steps) -> Result<(), Failure> {
    let body = json!({
        "Image": made.name,
        "Cmd": stage::command(),
        "Env": stage::environment(fetched.date),
        "WorkingDir": "/",
        "User": "0:0",
        "Labels": made.labels(),
        "HostConfig": { "NetworkMode": "none" },
    });
    client.post(&format!("/containers/create?name={}", made.name), Some(&body)).await?;
    client.post(&format!("/containers/{}/start", made.name), None).await?;
    let path = format!("/containers/{}/logs?follow=1&stdout=1&stderr=1", made.name);
    let mut pieces = client.stream(Method::GET, &path, None).await?;
    let mut said = Said::default();
    let mut frames = Frames::default();
    let count = fetched.inputs.len();
    while let Some(piece) = pieces.next().await? {
        frames.each(&piece, |_, bytes| said.push(&String::from_utf8_lossy(bytes)));
        steps.now(&format!("installing: {} of {count} packages set up", said.set_up.min(count)));
    }
    let ended = client.post(&format!("/containers/{}/wait", made.name), None).await?;
    match ended["StatusCode"].as_i64() {
        Some(0) => {
            steps.line(&format!("{count} packages installed"));
            Ok(())
        }
        code => Err(Failure::new(format!(
            "the packages did not install, with the exit code {}; it said:\n  {}",
            code.unwrap_or(-1),
            said.why().join("\n  ").trim_end()
        ))),
    }
}

fn describe(wish: &Wish, fetched: &Fetched) -> Description {
    let all =
        |word: &dyn Fn(&Archive) -> String| fetched.archives.iter().map(word).collect::<Vec<_>>().join(", ");
    let labels = [
        ("bocage.bootstrap.archive", all(&|archive| archive.place.mirror.clone())),
        ("bocage.bootstrap.suite", all(&|archive| archive.place.suite.clone())),
        ("bocage.bootstrap.date", all(&|archive| archive.release.date.to_string())),
    ];
    let packages = wish.packages.iter().map(|name| format!(" --package {name}")).collect::<String>();
    Description {
        name: wish.name.clone(),
        architecture: wish.architecture.clone(),
        created: fetched.date,
        made_by: format!(
            "bocage image bootstrap {}:{}{packages}",
            wish.distribution.name, wish.places[0].suite
        ),
        labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}
