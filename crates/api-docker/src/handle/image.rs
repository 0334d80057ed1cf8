//! Images.

use super::progress::{PROGRESS_MESSAGES_MAX, told};
use super::registry;
use crate::body::{Body, BodyReader};
use crate::filters::{Filters, glob};
use crate::from_model::{self, signed};
use crate::server::{Answer, Call, empty, json, typed};
use crate::time;
use crate::to_model;
use crate::wire::stream::{JsonMessage, Progress};
use crate::wire::{Config, DeleteItem, HistoryItem, IdAnswer};
use base::Time;
use hyper::{Response, StatusCode};
use platform::{CommitRequest, Error, Image, ImportRequest, LoadProgress, Loaded, Removed};
use tokio::sync::mpsc;

const FILTERS: [&str; 6] = ["before", "dangling", "label", "reference", "since", "until"];

pub(crate) async fn list(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &FILTERS)?;
    let dangling = filters.flag("dangling")?;
    let mut bounds = [None, None];
    for (bound, name) in bounds.iter_mut().zip(["before", "since"]) {
        for value in filters.values(name) {
            *bound = Some(call.doors.images.image(value).await?.image.created);
        }
    }
    let [mut before, since] = bounds;
    for value in filters.values("until") {
        let until = time::parse(value, call.clock.now())?;
        before = before.into_iter().chain(until).min();
    }
    let mut images = call.doors.images.images().await?;
    images.retain(|image| {
        dangling.is_none_or(|dangling| dangling == image.tags.is_empty())
            && before.is_none_or(|before: Time| image.created < before)
            && since.is_none_or(|since: Time| image.created > since)
            && filters.labels(&image.labels)
    });
    if filters.has("reference") {
        images.iter_mut().for_each(|image| keep_names(image, &filters));
        images.retain(|image| !image.tags.is_empty() || !image.digests.is_empty());
    }
    let lines: Vec<_> = images.iter().map(from_model::image_summary).collect();
    json(StatusCode::OK, &lines)
}

/// Keeps the names that fit `reference`, with and without their tag or digest.
fn keep_names(image: &mut Image, filters: &Filters) {
    let fits = |name: &String| {
        let bare = name.split('@').next().unwrap_or_default();
        let slash = bare.rfind('/').map_or(0, |at| at + 1);
        let bare = bare[slash..].rfind(':').map_or(bare, |at| &bare[..slash + at]);
        filters.any("reference", |pattern| glob(pattern, name) || glob(pattern, bare))
    };
    image.tags.retain(fits);
    image.digests.retain(fits);
}

pub(crate) async fn inspect(call: Call) -> Answer {
    let detail = call.doors.images.image(&call.parameter).await?;
    json(StatusCode::OK, &from_model::image_inspect(&detail, call.version))
}

pub(crate) async fn history(call: Call) -> Answer {
    let steps = call.doors.images.history(&call.parameter).await?;
    let items: Vec<HistoryItem> = steps
        .into_iter()
        .map(|step| HistoryItem {
            comment: step.comment,
            created: step.created.unix_seconds(),
            created_by: step.created_by,
            id: step.id,
            size: signed(step.size),
            tags: Some(step.tags).filter(|tags| !tags.is_empty()),
        })
        .collect();
    json(StatusCode::OK, &items)
}

/// A name and a tag as one reference.
fn reference(repository: &str, tag: &str) -> Result<String, Error> {
    if repository.is_empty() {
        return Err(Error::invalid("repository name must not be empty"));
    }
    if tag.is_empty() {
        return Ok(repository.to_owned());
    }
    if repository.contains('@') {
        return Err(Error::invalid("cannot import digest reference"));
    }
    let last = repository.rsplit('/').next().unwrap_or_default();
    let bare = last.rfind(':').map_or(repository.len(), |at| repository.len() - last.len() + at);
    Ok(format!("{}:{tag}", &repository[..bare]))
}

pub(crate) async fn tag(call: Call) -> Answer {
    let target = reference(call.query.text("repo"), call.query.text("tag"))?;
    call.doors.images.tag(&call.parameter, &target).await?;
    Ok(empty(StatusCode::CREATED))
}

pub(crate) async fn delete(call: Call) -> Answer {
    let removed = call.doors.images.remove(&call.parameter, call.query.flag("force")).await?;
    json(StatusCode::OK, &deleted(removed).collect::<Vec<_>>())
}

/// The steps of a removal in the API's words.
pub(super) fn deleted(steps: Vec<Removed>) -> impl Iterator<Item = DeleteItem> {
    steps.into_iter().map(|step| match step {
        Removed::Untagged(name) => DeleteItem { untagged: Some(name), deleted: None },
        Removed::Deleted(id) => DeleteItem { untagged: None, deleted: Some(id) },
    })
}

/// Makes an image of a container.
pub(crate) async fn commit(mut call: Call) -> Answer {
    let config: Option<Config> = call.json().await?;
    let (repository, tag) = (call.query.text("repo"), call.query.text("tag"));
    let request = CommitRequest {
        reference: if repository.is_empty() { None } else { Some(reference(repository, tag)?) },
        message: call.query.text("comment").to_owned(),
        author: call.query.text("author").to_owned(),
        pause: call.query.flag_or("pause", true),
        settings: config.map(to_model::image_settings).transpose()?.unwrap_or_default(),
        changes: call.query.all("changes").flat_map(str::lines).map(str::to_owned).collect(),
    };
    let id = call.doors.images.commit(call.query.text("container"), request).await?;
    json(StatusCode::CREATED, &IdAnswer { id: id.to_string() })
}

pub(crate) async fn save(call: Call) -> Answer {
    let mut names: Vec<String> = call.query.all("names").map(str::to_owned).collect();
    if !call.parameter.is_empty() {
        names = vec![call.parameter];
    }
    let archive = call.doors.images.save(&names).await?;
    Ok(typed(Response::new(Body::reader(archive)), "application/x-tar"))
}

/// `pull` and `import`, which share an operation.
pub(crate) async fn create(call: Call) -> Answer {
    if call.query.given("fromImage").is_some() {
        return registry::pull(call).await;
    }
    if call.query.given("fromSrc").is_some_and(|source| source != "-") {
        return Err(Error::not_supported(
            "fromSrc with an address is not supported yet: fetch the archive and send it as the request's body, with fromSrc=-",
        ));
    }
    let (repository, tag) = (call.query.text("repo"), call.query.text("tag"));
    let request = ImportRequest {
        reference: if repository.is_empty() { None } else { Some(reference(repository, tag)?) },
        message: call.query.text("message").to_owned(),
        changes: call.query.all("changes").map(str::to_owned).collect(),
        platform: call.query.text("platform").to_owned(),
    };
    let id = call.doors.images.import(Box::new(BodyReader::new(call.body)), request).await?;
    json(StatusCode::OK, &JsonMessage { status: id.to_string(), ..JsonMessage::default() })
}

/// Takes an archive in.
pub(crate) async fn load(call: Call) -> Answer {
    let (sender, progress) = mpsc::channel(PROGRESS_MESSAGES_MAX);
    let (doors, body) = (call.doors, BodyReader::new(call.body));
    let work = Box::pin(async move { doors.images.load(Box::new(body), sender).await.map(drop) });
    let quiet = call.query.flag("quiet");
    // Names and ids that were told already.
    let mut told_before = Vec::new();
    let words = move |progress| load_words(progress, quiet, &mut told_before);
    told(work, progress, Box::new(words)).await
}

/// What a client is told of one step of progress, in Docker's words.
fn load_words(progress: LoadProgress, quiet: bool, told_before: &mut Vec<String>) -> Vec<JsonMessage> {
    match progress {
        LoadProgress::Layer { .. } if quiet => Vec::new(),
        LoadProgress::Layer { id, current, total } => vec![JsonMessage {
            status: "Loading layer".to_owned(),
            progress_detail: Some(Progress { current, total }),
            id,
            ..JsonMessage::default()
        }],
        LoadProgress::Done(Loaded { id, names }) => {
            let mut lines = String::new();
            for name in &names {
                lines += &format!("Loaded image: {name}\n");
            }
            if names.is_empty() {
                lines = format!("Loaded image ID: {id}\n");
            }
            if told_before.contains(&lines) {
                return Vec::new();
            }
            told_before.push(lines.clone());
            vec![JsonMessage { stream: lines, ..JsonMessage::default() }]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_replaces_the_one_of_the_name() {
        assert_eq!(reference("a/b", "1").unwrap(), "a/b:1");
        assert_eq!(reference("host:5000/b:2", "1").unwrap(), "host:5000/b:1");
        assert_eq!(reference("host:5000/b", "").unwrap(), "host:5000/b");
        assert!(reference("", "1").is_err());
    }
}
