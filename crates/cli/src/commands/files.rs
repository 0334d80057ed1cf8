//! Files of a container: `cp`, `diff` and `export`.
//!
//! What is copied goes through an archive. From a container it is unpacked beside its destination and moved there by name, so that nothing is
//! ever written through a link that came with it.

use crate::blocking;
use crate::client::{Body, Client, PathStat, Pieces, escape, query, source};
use crate::failure::Failure;
use crate::printer;
use crate::table::Parsed;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Component, Path, PathBuf};

/// Go's bits of a file mode for a directory and for a link.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_LINK: u32 = 1 << 27;
/// Links in a container that are followed for `--follow-link` and for destinations.
const LINKS_MAX: u32 = 40;

pub(crate) async fn diff(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let name = parsed.get("CONTAINER").unwrap_or_default();
    let changes = client.get(&format!("/containers/{}/changes", escape(name))).await?;
    for change in changes.as_array().into_iter().flatten() {
        let kind = match change["Kind"].as_u64() {
            Some(0) => "C",
            Some(1) => "A",
            _ => "D",
        };
        printer::line(&format!("{kind} {}", change["Path"].as_str().unwrap_or_default()));
    }
    Ok(())
}

pub(crate) async fn export(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let name = parsed.get("CONTAINER").unwrap_or_default();
    super::image::not_to_a_terminal(parsed.get("output"), "export")?;
    let pieces =
        client.stream(hyper::Method::GET, &format!("/containers/{}/export", escape(name)), None).await?;
    super::image::write_archive(pieces, parsed.get("output")).await
}

/// One end of a copy.
enum End<'a> {
    Container(&'a str, &'a str),
    Local(&'a str),
    /// An archive on standard input or output.
    Stream,
}

impl End<'_> {
    fn parse(word: &str) -> End<'_> {
        if word == "-" {
            return End::Stream;
        }
        // A path of this machine that holds a colon is written with a slash before it.
        match word.split_once(':') {
            Some((name, path)) if !name.is_empty() && !name.starts_with(['/', '.']) => {
                End::Container(name, path)
            }
            _ => End::Local(word),
        }
    }
}

pub(crate) async fn copy(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let (from, to) =
        (parsed.get("SOURCE").unwrap_or_default(), parsed.get("DESTINATION").unwrap_or_default());
    if from.is_empty() || to.is_empty() {
        return Err(Failure::new("neither the source nor the destination of a copy can be empty"));
    }
    match (End::parse(from), End::parse(to)) {
        (End::Container(..), End::Container(..)) => Err(Failure::new(
            "copying between containers is not supported",
        )
        .with_hint(
            "copy to this machine first, or through a pipe: bocage cp ONE:PATH - | bocage cp - OTHER:PATH",
        )),
        (End::Container(name, path), to) => out_of(client, parsed, name, path, to).await,
        (from, End::Container(name, path)) => into(client, parsed, from, name, path).await,
        _ => Err(Failure::new("must specify at least one container source")
            .with_hint("a container's path is written NAME:PATH")),
    }
}

/// What is at a path of a container; none where nothing is.
async fn stat(client: &Client, name: &str, path: &str) -> Result<Option<PathStat>, Failure> {
    client.path_stat(&archive_path(name, path, &[])).await
}

fn archive_path(name: &str, path: &str, more: &[(&str, Option<String>)]) -> String {
    let mut pairs = vec![("path", Some(path.to_owned()))];
    pairs.extend_from_slice(more);
    format!("/containers/{}/archive{}", escape(name), query(&pairs))
}

/// Follows the links at a path's end, in the container.
async fn followed(client: &Client, name: &str, path: &str) -> Result<(String, Option<PathStat>), Failure> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match stat(client, name, &path).await? {
            Some(found) if found.mode & GO_LINK != 0 && !found.link_target.is_empty() => {
                path = found.link_target;
            }
            found => return Ok((path, found)),
        }
    }
    Err(Failure::new(format!("{name}:{path}: too many levels of symbolic links")))
}

async fn out_of(
    client: &Client,
    parsed: &Parsed,
    name: &str,
    path: &str,
    to: End<'_>,
) -> Result<(), Failure> {
    let path = match parsed.is("follow-link") {
        true => followed(client, name, path).await?.0,
        false => path.to_owned(),
    };
    let pieces = client.stream(hyper::Method::GET, &archive_path(name, &path, &[]), None).await?;
    let End::Local(to) = to else {
        return super::image::write_archive(pieces, None).await;
    };
    let contents_only = path.ends_with("/.") || path.trim_end_matches('/').is_empty();
    let target = PathBuf::from(to);
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let room = if target.is_dir() { target.clone() } else { parent };
    if !room.is_dir() {
        return Err(Failure::new(format!(
            "invalid output path: directory {:?} does not exist",
            room.display()
        )));
    }
    let staged = Staged::new(&room)?;
    let owned = parsed.is("archive");
    unpack(pieces, staged.path.clone(), owned).await?;
    let single = staged.only_entry(contents_only)?;
    let is_directory = single.symlink_metadata().is_ok_and(|found| found.is_dir());
    if !is_directory && !target.exists() && to.ends_with('/') {
        return Err(Failure::new(format!("the destination directory {to} must exist")));
    }
    if is_directory && target.symlink_metadata().is_ok() && !target.is_dir() {
        return Err(Failure::new(format!("cannot copy a directory over {to}, which is none")));
    }
    let last = Path::new(&path).file_name();
    let place = match last {
        Some(last) if target.is_dir() && !contents_only => target.join(last),
        _ => target,
    };
    settle(&single, &place).map_err(|error| Failure::new(format!("write {}: {error}", place.display())))
}

/// A directory for what comes, gone with the value.
struct Staged {
    path: PathBuf,
}

impl Staged {
    fn new(room: &Path) -> Result<Staged, Failure> {
        let path = room.join(format!(".bocage-cp-{:016x}", base::random::number()));
        fs::create_dir(&path)
            .map_err(|error| Failure::new(format!("write to {}: {error}", room.display())))?;
        Ok(Staged { path })
    }

    /// What was copied: the one thing in the archive, or, of contents alone, the directory that holds them.
    fn only_entry(&self, contents_only: bool) -> Result<PathBuf, Failure> {
        if contents_only {
            return Ok(self.path.clone());
        }
        let failed = |error: io::Error| Failure::new(format!("read {}: {error}", self.path.display()));
        let first = fs::read_dir(&self.path).map_err(failed)?.next();
        match first {
            Some(first) => Ok(first.map_err(failed)?.path()),
            None => Ok(self.path.clone()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Moves something to its place. A directory is merged into one that is there; anything else takes the place of what is there.
fn settle(from: &Path, to: &Path) -> io::Result<()> {
    let is_directory = from.symlink_metadata()?.is_dir();
    let there = to.symlink_metadata().ok();
    if is_directory && there.as_ref().is_some_and(fs::Metadata::is_dir) {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            settle(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    match there {
        Some(there) if there.is_dir() => {
            return Err(io::Error::other("a directory is in the way"));
        }
        Some(_) if is_directory => return Err(io::Error::other("it would take the place of a file")),
        _ => {}
    }
    fs::rename(from, to)
}

/// Unpacks what comes, on a thread that may block.
async fn unpack(pieces: Pieces, place: PathBuf, owned: bool) -> Result<(), Failure> {
    let unpacked = blocking::read(pieces, move |input| {
        let mut archive = tar::Archive::new(input);
        archive.set_preserve_permissions(true);
        archive.set_preserve_mtime(true);
        archive.set_preserve_ownerships(owned);
        archive.set_overwrite(true);
        archive.unpack(&place)
    });
    unpacked.await?.map_err(|error| Failure::new(format!("unpack the archive: {error}")))
}

async fn into(
    client: &Client,
    parsed: &Parsed,
    from: End<'_>,
    name: &str,
    path: &str,
) -> Result<(), Failure> {
    let owned = parsed.is("archive").then(|| "true".to_owned());
    let options = [("noOverwriteDirNonDir", Some("true".to_owned())), ("copyUIDGID", owned)];
    // Of a link to nothing, the copy makes what it leads to.
    let (path, found) = followed(client, name, path).await?;
    let is_directory = found.as_ref().is_some_and(|found| found.mode & GO_DIRECTORY != 0);
    let End::Local(from) = from else {
        if std::io::stdin().is_terminal() {
            return Err(Failure::new("an archive is read from standard input, which is a terminal"));
        }
        if !is_directory {
            return Err(Failure::new(format!("destination \"{name}:{path}\" must be a directory")));
        }
        return put(client, &archive_path(name, &path, &options), source(tokio::io::stdin())).await;
    };
    let local = PathBuf::from(from);
    let look = if parsed.is("follow-link") { fs::metadata(&local) } else { fs::symlink_metadata(&local) };
    let metadata = look.map_err(|error| Failure::new(format!("read {from}: {error}")))?;
    let contents_only = from.ends_with("/.");
    let clean = path.trim_end_matches('/');
    let (parent, last) = clean.rsplit_once('/').unwrap_or(("", clean));
    let (directory, called) = match (&found, metadata.is_dir()) {
        (Some(_), true) if is_directory && contents_only => (path.clone(), String::from(".")),
        (Some(_), _) if is_directory => (path.clone(), local_name(&local)?),
        (Some(_), true) => {
            return Err(Failure::new("cannot copy directory").with_hint(format!("{name}:{path} is a file")));
        }
        (None, false) if path.ends_with('/') => {
            return Err(Failure::new("no such directory")
                .with_hint(format!("make {path} in the container first, or leave the slash out")));
        }
        _ => (format!("{parent}/"), last.to_owned()),
    };
    let follows = parsed.is("follow-link");
    let (body, packing) = blocking::body(move |output| {
        let mut archive = tar::Builder::new(output);
        archive.follow_symlinks(follows);
        match metadata.is_dir() {
            true => archive.append_dir_all(&called, &local)?,
            false => archive.append_path_with_name(&local, &called)?,
        }
        archive.finish()
    });
    let sent = put(client, &archive_path(name, &directory, &options), body).await;
    let packed = packing.await.map_err(|error| Failure::new(format!("pack {from}: {error}")))?;
    // What the daemon says is the reason, where it broke off.
    sent?;
    packed.map_err(|error| Failure::new(format!("pack {from}: {error}")))
}

/// The last part of a path, as the directory knows it.
fn local_name(path: &Path) -> Result<String, Failure> {
    let last = path.components().next_back();
    let name = match last {
        Some(Component::Normal(name)) => Some(name.to_owned()),
        _ => fs::canonicalize(path).ok().and_then(|whole| Some(whole.file_name()?.to_owned())),
    };
    let name = name.ok_or_else(|| Failure::new(format!("{} has no name to be copied by", path.display())))?;
    Ok(name.to_string_lossy().into_owned())
}

async fn put(client: &Client, path: &str, body: Body) -> Result<(), Failure> {
    let mut rest = client.stream(hyper::Method::PUT, path, Some(body)).await?;
    while rest.next().await?.is_some() {}
    Ok(())
}
