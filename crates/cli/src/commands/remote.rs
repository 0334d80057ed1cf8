//! What registries have: `search`, `manifest inspect`, `image inspect --remote`.

use super::list::{Columns, shortened, string};
use super::registry::shown;
use crate::client::{Client, escape, filters, query};
use crate::failure::Failure;
use crate::format::json;
use crate::names::Name;
use crate::printer;
use crate::table::Parsed;
use serde_json::{Value, json};

/// Characters of a description that are shown.
const DESCRIPTION: usize = 45;

const SEARCH: Columns = Columns {
    default: &[
        ("NAME", "Name"),
        ("DESCRIPTION", "Description"),
        ("STARS", "StarCount"),
        ("OFFICIAL", "IsOfficial"),
    ],
    others: &[("AUTOMATED", "IsAutomated")],
};

pub(crate) async fn search(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let word = parsed.get("WORD").unwrap_or_default();
    let query = query(&[
        ("term", Some(word.to_owned())),
        ("limit", parsed.get("limit").map(str::to_owned)),
        ("filters", filters(&parsed.all("filter"))?),
    ]);
    let found = read(&client.text_as(&format!("/images/search{query}"), shown(&Name::of(word))?).await?)?;
    let full = parsed.is("no-trunc");
    let row = |one: &Value| {
        json!({
            "Name": string(one, "name"),
            "Description": shortened(&string(one, "description").replace(['\n', '\r'], " "), DESCRIPTION, full),
            "StarCount": one["star_count"].as_u64().unwrap_or_default().to_string(),
            "IsOfficial": if one["is_official"] == true { "[OK]" } else { "" },
            "IsAutomated": "",
        })
    };
    let rows: Vec<Value> = found.as_array().into_iter().flatten().map(row).collect();
    SEARCH.show(&rows, parsed.get("format"))
}

/// Asks about what the registry of a name has under it.
pub(super) async fn ask(
    client: &Client,
    text: &str,
    what: &str,
    platform: Option<&str>,
) -> Result<String, Failure> {
    let name = Name::of(text);
    let query = query(&[("platform", platform.map(str::to_owned))]);
    client
        .text_as(&format!("/bocage/v1/distribution/{}/{what}{query}", escape(&name.whole())), shown(&name)?)
        .await
}

pub(super) fn read(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::new(format!("read the daemon's answer: {error}")))
}

pub(crate) async fn manifest(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let name = parsed.get("NAME[:TAG|@DIGEST]").unwrap_or_default();
    let mut remote = read(&ask(client, name, "manifest", None).await?)?;
    let manifest = remote["Text"].take();
    let manifest = manifest.as_str().unwrap_or_default();
    if !parsed.is("verbose") {
        // In the order in which it was written.
        printer::line(json::indent(manifest).trim_end());
        return Ok(());
    }
    let all = json!({
        "Ref": remote["Name"].take(),
        "Descriptor": remote["Descriptor"].take(),
        "Platforms": remote["Platforms"].take(),
        "Manifest": read(manifest)?,
    });
    printer::line(json::indent(&all.to_string()).trim_end());
    Ok(())
}

/// An image as `inspect` shows it, from its registry.
pub(super) async fn image(client: &Client, name: &str, platform: Option<&str>) -> Result<String, Failure> {
    ask(client, name, "image", platform).await
}
