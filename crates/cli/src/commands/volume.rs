//! Volumes: `docker`'s verbs, and those of our own that copy them, pack them up and bring them back.

use super::each;
use super::image::{no_file, not_to_a_terminal, write_archive};
use super::list::{Columns, labels, string};
use super::spec::object;
use crate::bucket::Object;
use crate::client::{Client, escape, filters, query, source};
use crate::failure::Failure;
use crate::format::human;
use crate::printer;
use crate::table::Parsed;
use hyper::Method;
use serde_json::{Value, json};
use std::io::IsTerminal;

const COLUMNS: Columns = Columns {
    default: &[("DRIVER", "Driver"), ("VOLUME NAME", "Name")],
    others: &[
        ("SCOPE", "Scope"),
        ("MOUNTPOINT", "Mountpoint"),
        ("LABELS", "Labels"),
        ("LINKS", "Links"),
        ("SIZE", "Size"),
        ("GROUP", "Group"),
        ("AVAILABILITY", "Availability"),
        ("STATUS", "Status"),
    ],
};

/// One of the commands.
pub(crate) async fn command(client: &Client, parsed: &Parsed, name: &str) -> Result<(), Failure> {
    match name {
        "volume create" => create(client, parsed).await,
        "volume ls" => list(client, parsed).await,
        "volume inspect" => inspect(client, parsed).await,
        "volume rm" => remove(client, parsed).await,
        "volume update" => update(client, parsed).await,
        "volume rename" => rename(client, parsed).await,
        "volume snapshot" | "volume clone" => copy(client, parsed, name == "volume snapshot").await,
        "volume backup" => backup(client, parsed).await,
        "volume restore" => restore(client, parsed).await,
        other => Err(Failure::new(format!("the command {other} has no action"))),
    }
}

fn path(name: &str, verb: &str) -> String {
    format!("/bocage/v1/volumes/{}/{verb}", escape(name))
}

async fn create(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let body = json!({
        "Name": parsed.operands().first().cloned().unwrap_or_default(),
        "Driver": parsed.get("driver").unwrap_or("local"),
        "DriverOpts": object(&parsed.all("opt"), "option")?,
        "Labels": object(&parsed.all("label"), "label")?,
    });
    let made = client.post("/volumes/create", Some(&body)).await?;
    printer::line(string(&made, "Name"));
    Ok(())
}

async fn list(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let query = query(&[("filters", filters(&parsed.all("filter"))?)]);
    let answer = client.get(&format!("/volumes{query}")).await?;
    let all = answer["Volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if parsed.is("quiet") && parsed.get("format").is_none() {
        all.iter().for_each(|volume| printer::line(string(volume, "Name")));
        return Ok(());
    }
    let row = |volume: &Value| {
        json!({
            "Driver": string(volume, "Driver"), "Name": string(volume, "Name"), "Scope": string(volume, "Scope"),
            "Mountpoint": string(volume, "Mountpoint"), "Labels": labels(&volume["Labels"]), "Links": "N/A",
            "Size": "N/A", "Group": "N/A", "Availability": "N/A", "Status": "N/A",
        })
    };
    COLUMNS.show(&all.iter().map(row).collect::<Vec<_>>(), parsed.get("format"))
}

async fn inspect(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    super::show::shown(parsed, async |name| client.text(&format!("/volumes/{}", escape(name))).await).await
}

async fn remove(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let query = query(&[("force", parsed.is("force").then(|| "1".to_owned()))]);
    each(&parsed.operands(), 1, async |name| {
        client.delete(&format!("/volumes/{}{query}", escape(name))).await?;
        Ok(Some(name.to_owned()))
    })
    .await
}

async fn update(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let name = parsed.get("VOLUME").unwrap_or_default();
    let volume = client.get(&format!("/volumes/{}", escape(name))).await?;
    let mut labels = object(&parsed.all("label"), "label")?;
    let gone = parsed.all("label-rm");
    for (key, value) in volume["Labels"].as_object().into_iter().flatten() {
        // What the daemon shows as a label of its own is none that was given.
        if !gone.contains(key) && key != "com.docker.volume.anonymous" && key != "bocage.snapshot-of" {
            labels.entry(key.clone()).or_insert_with(|| value.as_str().unwrap_or_default().to_owned());
        }
    }
    client.post(&path(name, "labels"), Some(&json!({ "Labels": labels }))).await?;
    printer::line(name);
    Ok(())
}

async fn rename(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let (name, new) = (parsed.get("VOLUME").unwrap_or_default(), parsed.get("NEW").unwrap_or_default());
    let query = query(&[("name", Some(new.to_owned()))]);
    client.post(&(path(name, "rename") + &query), None).await.map(drop)
}

/// `snapshot` and `clone`.
async fn copy(client: &Client, parsed: &Parsed, snapshot: bool) -> Result<(), Failure> {
    let operands = parsed.operands();
    let body = json!({
        "Name": operands.get(1).cloned().unwrap_or_default(),
        "Snapshot": snapshot,
        "Pause": !parsed.is("no-pause"),
        "Labels": object(&parsed.all("label"), "label")?,
    });
    let name = operands.first().map(String::as_str).unwrap_or_default();
    let made = client.post(&path(name, "copy"), Some(&body)).await?;
    let figure = |name: &str| made[name].as_u64().unwrap_or_default();
    let count = |name: &str| made[name].as_array().map_or(0, Vec::len);
    let (bytes, shared) = (figure("Bytes"), figure("SharedBytes"));
    let how = match shared {
        0 => "copied",
        all if all == bytes => "shared on the disk",
        _ => "shared on the disk in part",
    };
    printer::note(&format!("{} {how}", human::bytes(bytes)));
    if count("Paused") > 0 {
        printer::note(&format!("{} stood still meanwhile", containers(count("Paused"))));
    }
    if count("NotPaused") > 0 {
        printer::note(&format!(
            "WARNING: {} ran meanwhile: what was written may not fit together",
            containers(count("NotPaused"))
        ));
    }
    printer::line(string(&made["Volume"], "Name"));
    Ok(())
}

fn containers(count: usize) -> String {
    if count == 1 { "1 container".to_owned() } else { format!("{count} containers") }
}

async fn backup(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    not_to_a_terminal(parsed.get("output"), "write an archive")?;
    let name = parsed.get("VOLUME").unwrap_or_default();
    let query = query(&[("pause", parsed.is("no-pause").then(|| "0".to_owned()))]);
    // What cannot be written is told before the daemon begins.
    let kept = parsed.get("output").map(Object::of).transpose()?.flatten();
    let pieces = client.stream(Method::GET, &(path(name, "backup") + &query), None).await?;
    match kept {
        Some(kept) => kept.write(pieces).await,
        None => write_archive(pieces, parsed.get("output")).await,
    }
}

async fn restore(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let name = parsed.get("VOLUME").unwrap_or_default();
    let kept = parsed.get("input").map(Object::of).transpose()?.flatten();
    let body = match parsed.get("input") {
        Some(_) if let Some(kept) = &kept => kept.read().await?,
        Some(path) => {
            source(tokio::fs::File::open(path).await.map_err(|error| no_file("open", path, &error))?)
        }
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::new("an archive is read from standard input, which is a terminal")
                .with_hint("name the archive with -i FILE, or send it through a pipe"));
        }
        None => source(tokio::io::stdin()),
    };
    let labels = object(&parsed.all("label"), "label")?;
    let labels = (!labels.is_empty()).then(|| json!(labels).to_string());
    let query = query(&[("labels", labels)]);
    let mut rest = client.stream(Method::POST, &(path(name, "restore") + &query), Some(body)).await?;
    while rest.next().await?.is_some() {}
    printer::line(name);
    Ok(())
}
