//! Images: archives in and out, names, removal.

use super::each;
use crate::client::{Client, Pieces, Values, escape, query, source};
use crate::failure::Failure;
use crate::format::human;
use crate::table::Parsed;
use crate::{printer, terminal};
use hyper::Method;
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::path::Path;

pub(super) fn no_file(what: &str, path: &str, error: &std::io::Error) -> Failure {
    Failure::new(format!("{what} {path}: {error}"))
}

pub(crate) async fn load(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let quiet = parsed.is("quiet") || !terminal::is_output();
    let body = match parsed.get("input") {
        Some(path) => {
            source(tokio::fs::File::open(path).await.map_err(|error| no_file("open", path, &error))?)
        }
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::new("requested load from stdin, but stdin is empty")
                .with_hint("name the archive with -i FILE, or send it through a pipe"));
        }
        None => source(tokio::io::stdin()),
    };
    let path = format!("/images/load?quiet={}", u8::from(quiet));
    told(Values::new(client.stream(Method::POST, &path, Some(body)).await?)).await
}

/// Shows the messages of long work; an error among them is the outcome.
async fn told(mut values: Values) -> Result<(), Failure> {
    let mut on_line = false;
    let end_line = |on_line: &mut bool| {
        if std::mem::take(on_line) {
            printer::note("");
        }
    };
    while let Some(message) = values.next().await? {
        if let Some(error) = message["error"].as_str() {
            end_line(&mut on_line);
            return Err(Failure::new(error));
        }
        if let Some(text) = message["stream"].as_str() {
            end_line(&mut on_line);
            printer::out(text);
        } else if let Some(current) = message["progressDetail"]["current"].as_u64() {
            let (id, total) =
                (message["id"].as_str().unwrap_or_default(), message["progressDetail"]["total"].as_u64());
            let total = total.filter(|total| *total > 0).map(|total| format!(" of {}", human::bytes(total)));
            let status = message["status"].as_str().unwrap_or_default();
            printer::raw_error(
                format!("\r\x1b[K{id}: {status} {}{}", human::bytes(current), total.unwrap_or_default())
                    .as_bytes(),
            );
            on_line = true;
        } else if let Some(status) = message["status"].as_str() {
            end_line(&mut on_line);
            printer::line(status);
        }
    }
    end_line(&mut on_line);
    Ok(())
}

pub(crate) async fn save(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let names = parsed.operands();
    let query = names.iter().map(|name| format!("names={}", escape(name))).collect::<Vec<_>>().join("&");
    not_to_a_terminal(parsed.get("output"), "save")?;
    let pieces = client.stream(Method::GET, &format!("/images/get?{query}"), None).await?;
    write_archive(pieces, parsed.get("output")).await
}

/// Refuses to show an archive to a person.
pub(super) fn not_to_a_terminal(output: Option<&str>, verb: &str) -> Result<(), Failure> {
    if output.is_some() || !terminal::is_output() {
        return Ok(());
    }
    let failure = Failure::new(format!("cowardly refusing to {verb} to a terminal"));
    Err(failure.with_hint("use -o FILE, or a pipe"))
}

/// Writes what comes to a file, or to standard output.
pub(super) async fn write_archive(mut pieces: Pieces, output: Option<&str>) -> Result<(), Failure> {
    let Some(path) = output else {
        while let Some(piece) = pieces.next().await? {
            printer::raw(&piece);
        }
        return Ok(());
    };
    // Whole or absent: what is there is replaced only by a complete archive.
    let temporary = format!("{path}.{:08x}.tmp", base::random::number() as u32);
    let written = async {
        let mut file =
            std::fs::File::create(&temporary).map_err(|error| no_file("create", &temporary, &error))?;
        while let Some(piece) = pieces.next().await? {
            file.write_all(&piece).map_err(|error| no_file("write", &temporary, &error))?;
        }
        std::fs::rename(&temporary, path).map_err(|error| no_file("write", path, &error))
    };
    let outcome: Result<(), Failure> = written.await;
    if outcome.is_err() {
        let _ = std::fs::remove_file(Path::new(&temporary));
    }
    outcome
}

pub(crate) async fn import(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let operands = parsed.operands();
    let (file, name) = (operands.first().map(String::as_str).unwrap_or_default(), operands.get(1));
    let body = match file {
        "-" => source(tokio::io::stdin()),
        path => source(tokio::fs::File::open(path).await.map_err(|error| no_file("open", path, &error))?),
    };
    let mut path = format!(
        "/images/create{}",
        query(&[
            ("fromSrc", Some("-".to_owned())),
            ("repo", name.cloned()),
            ("message", parsed.get("message").map(str::to_owned)),
            ("platform", parsed.get("platform").map(str::to_owned)),
        ])
    );
    for change in parsed.all("change") {
        path.push_str(&format!("&changes={}", escape(&change)));
    }
    told(Values::new(client.stream(Method::POST, &path, Some(body)).await?)).await
}

/// Splits a name from its tag: a colon behind the last slash begins one; a colon before it belongs to a port.
fn tagged(name: &str) -> (&str, Option<String>) {
    let last = name.rfind('/').map_or(0, |at| at + 1);
    match name[last..].rfind(':') {
        Some(at) => (&name[..last + at], Some(name[last + at + 1..].to_owned())),
        None => (name, None),
    }
}

pub(crate) async fn commit(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let operands = parsed.operands();
    let name = operands.get(1).map(|name| tagged(name));
    let text = |flag: &str| parsed.get(flag).map(str::to_owned);
    let query = query(&[
        ("container", operands.first().cloned()),
        ("repo", name.as_ref().map(|(repository, _)| (*repository).to_owned())),
        ("tag", name.and_then(|(_, tag)| tag)),
        ("comment", text("message")),
        ("author", text("author")),
        ("pause", text("pause")),
    ]);
    let changes =
        parsed.all("change").iter().map(|change| format!("&changes={}", escape(change))).collect::<String>();
    let made = client.post(&format!("/commit{query}{changes}"), None).await?;
    printer::line(made["Id"].as_str().unwrap_or_default());
    Ok(())
}

pub(crate) async fn tag(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let (image, name) = (parsed.get("IMAGE").unwrap_or_default(), parsed.get("NAME").unwrap_or_default());
    let (repository, tag) = tagged(name);
    let query = query(&[("repo", Some(repository.to_owned())), ("tag", tag)]);
    client.post(&format!("/images/{}/tag{query}", escape(image)), None).await.map(drop)
}

pub(crate) async fn remove(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let flag = |name: &str| parsed.is(name).then(|| "1".to_owned());
    let query = query(&[("force", flag("force")), ("noprune", flag("no-prune"))]);
    each(&parsed.operands(), 1, async |name| {
        let done = client.delete(&format!("/images/{}{query}", escape(name))).await?;
        for step in done.as_array().into_iter().flatten() {
            for what in ["Untagged", "Deleted"] {
                if let Some(name) = step.get(what).and_then(Value::as_str) {
                    printer::line(&format!("{what}: {name}"));
                }
            }
        }
        Ok(None)
    })
    .await
}
