//! Files of a container: compared, exported, copied out and in.

use crate::body::{Body, BodyReader};
use crate::from_model::go_file_mode;
use crate::server::{Answer, Call, empty, json, typed};
use crate::wire::{ContainerPathStat, FilesystemChange};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use hyper::{Response, StatusCode};
use platform::{Difference, Error, PathStat, PutOptions};

/// Where clients read what is at a path: JSON, in base64.
const STAT_HEADER: &str = "x-docker-container-path-stat";

pub(crate) async fn changes(call: Call) -> Answer {
    let differences = call.doors.node.differences(&call.parameter).await?;
    let told = |(difference, path)| FilesystemChange {
        path,
        kind: match difference {
            Difference::Changed => 0,
            Difference::Added => 1,
            Difference::Removed => 2,
        },
    };
    json(StatusCode::OK, &differences.into_iter().map(told).collect::<Vec<_>>())
}

pub(crate) async fn export(call: Call) -> Answer {
    let archive = call.doors.node.export(&call.parameter).await?;
    Ok(typed(Response::new(Body::reader(archive)), "application/octet-stream"))
}

pub(crate) async fn archive_info(call: Call) -> Answer {
    let stat = call.doors.node.path_stat(&call.parameter, path(&call)?).await?;
    with_stat(empty(StatusCode::OK), &stat)
}

pub(crate) async fn archive(call: Call) -> Answer {
    let (stat, archive) = call.doors.node.copy_out(&call.parameter, path(&call)?).await?;
    with_stat(typed(Response::new(Body::reader(archive)), "application/x-tar"), &stat)
}

pub(crate) async fn put_archive(call: Call) -> Answer {
    let path = path(&call)?.to_owned();
    let options = PutOptions {
        keep_kinds: call.query.flag("noOverwriteDirNonDir"),
        own_by_user: call.query.flag("copyUIDGID"),
    };
    let body = Box::new(BodyReader::new(call.body));
    call.doors.node.copy_in(&call.parameter, &path, options, body).await?;
    Ok(empty(StatusCode::OK))
}

fn path(call: &Call) -> Result<&str, Error> {
    call.query.given("path").ok_or_else(|| Error::invalid("bad parameter: 'path' cannot be empty"))
}

fn with_stat(mut response: Response<Body>, stat: &PathStat) -> Answer {
    let told = ContainerPathStat {
        name: stat.name.clone(),
        size: stat.size,
        mode: go_file_mode(stat.mode),
        mtime: stat.modified.to_string(),
        link_target: stat.link_target.clone(),
    };
    let failed = |error: &dyn std::fmt::Display| Error::failed(format!("tell what is at a path: {error}"));
    let json = serde_json::to_vec(&told).map_err(|error| failed(&error))?;
    let value = HeaderValue::try_from(STANDARD.encode(json)).map_err(|error| failed(&error))?;
    response.headers_mut().insert(STAT_HEADER, value);
    Ok(response)
}
