//! Lists: `ps`, `images`, `history`, each as a table, as JSON, or by a template.

use super::tree;
use crate::client::{Client, escape, filters, query};
use crate::failure::Failure;
use crate::format::human::{self, ago};
use crate::format::ports;
use crate::format::table::lay_out;
use crate::format::template::Template;
use crate::printer;
use crate::table::Parsed;
use base::{Clock, Time};
use serde_json::{Value, json};

/// Digits of an id that are shown.
const SHORT: usize = 12;
/// Characters of a mount that are shown.
const MOUNT: usize = 15;
/// Characters of a command that are shown.
const COMMAND: usize = 20;

/// How a list is shown.
pub(crate) struct Columns {
    /// Title and field of each column.
    pub(crate) default: &'static [(&'static str, &'static str)],
    /// Titles of fields that are only shown by templates.
    pub(crate) others: &'static [(&'static str, &'static str)],
}

impl Columns {
    /// The title of each field.
    fn titles(&self) -> Value {
        let all = self.default.iter().chain(self.others);
        Value::Object(all.map(|(title, field)| ((*field).to_owned(), Value::from(*title))).collect())
    }

    /// Shows rows as asked for.
    pub(crate) fn show(&self, rows: &[Value], format: Option<&str>) -> Result<(), Failure> {
        let cell =
            |row: &Value, field: &str| row.get(field).map(crate::format::template::text).unwrap_or_default();
        match format {
            None | Some("table" | "") => {
                let titles: Vec<&str> = self.default.iter().map(|(title, _)| *title).collect();
                let rows: Vec<Vec<String>> = rows
                    .iter()
                    .map(|row| self.default.iter().map(|(_, field)| cell(row, field)).collect())
                    .collect();
                printer::out(&lay_out(&titles, &rows));
            }
            Some("json") => rows.iter().for_each(|row| printer::line(&row.to_string())),
            Some(text) => self.by_template(rows, &text.replace("\\t", "\t").replace("\\n", "\n"))?,
        }
        Ok(())
    }

    fn by_template(&self, rows: &[Value], text: &str) -> Result<(), Failure> {
        let (text, tabular) = match text.strip_prefix("table ") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let template = Template::parse(text)?;
        let lines: Vec<String> = rows.iter().map(|row| template.render(row)).collect::<Result<_, _>>()?;
        if tabular {
            let cells = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<String>>();
            let header = cells(&template.header(&self.titles())?);
            let header: Vec<&str> = header.iter().map(String::as_str).collect();
            let rows: Vec<Vec<String>> = lines.iter().map(|line| cells(line)).collect();
            printer::out(&lay_out(&header, &rows));
        } else {
            lines.iter().for_each(|line| printer::line(line));
        }
        Ok(())
    }
}

pub(crate) const PS: Columns = Columns {
    default: &[
        ("CONTAINER ID", "ID"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("PORTS", "Ports"),
        ("NAMES", "Names"),
    ],
    others: &[
        ("SIZE", "Size"),
        ("CREATED AT", "CreatedAt"),
        ("LABELS", "Labels"),
        ("STATE", "State"),
        ("NETWORKS", "Networks"),
        ("MOUNTS", "Mounts"),
        ("LOCAL VOLUMES", "LocalVolumes"),
    ],
};
const PS_SIZE: Columns = Columns {
    default: &[
        ("CONTAINER ID", "ID"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("PORTS", "Ports"),
        ("NAMES", "Names"),
        ("SIZE", "Size"),
    ],
    others: PS.others,
};
const IMAGES: Columns = Columns {
    default: &[
        ("REPOSITORY", "Repository"),
        ("TAG", "Tag"),
        ("IMAGE ID", "ID"),
        ("CREATED", "CreatedSince"),
        ("SIZE", "Size"),
    ],
    others: &[("DIGEST", "Digest"), ("CREATED AT", "CreatedAt")],
};
const IMAGES_DIGESTS: Columns = Columns {
    default: &[
        ("REPOSITORY", "Repository"),
        ("TAG", "Tag"),
        ("DIGEST", "Digest"),
        ("IMAGE ID", "ID"),
        ("CREATED", "CreatedSince"),
        ("SIZE", "Size"),
    ],
    others: IMAGES.others,
};
const HISTORY: Columns = Columns {
    default: &[
        ("IMAGE", "ID"),
        ("CREATED", "CreatedSince"),
        ("CREATED BY", "CreatedBy"),
        ("SIZE", "Size"),
        ("COMMENT", "Comment"),
    ],
    others: &[("CREATED AT", "CreatedAt")],
};

pub(crate) fn string<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The first `length` characters, the last of them an ellipsis if there were more.
pub(super) fn shortened(text: &str, length: usize, full: bool) -> String {
    if full || text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length - 1).chain(['…']).collect()
}

/// An id as it is shown.
pub(super) fn id_of(text: &str, full: bool) -> String {
    if full {
        text.to_owned()
    } else {
        text.strip_prefix("sha256:").unwrap_or(text).chars().take(SHORT).collect()
    }
}

pub(super) fn labels(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten();
    pairs
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(",")
}

/// What is mounted, by name or place; only the beginning of a long one.
fn mounts(value: &Value, full: bool) -> (String, usize) {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |mount: &Value| {
        let name =
            if string(mount, "Name").is_empty() { string(mount, "Source") } else { string(mount, "Name") };
        shortened(name, MOUNT, full)
    };
    let volumes = all.iter().filter(|mount| string(mount, "Type") == "volume").count();
    (all.iter().map(one).collect::<Vec<_>>().join(","), volumes)
}

/// The image as it was named; an id is cut to the length in which ids are shown.
fn image_of(text: &str, full: bool) -> String {
    if text.starts_with("sha256:") && !full { id_of(text, full) } else { text.to_owned() }
}

/// A point in time as Go prints it.
pub(super) fn printed(time: Time) -> String {
    let (date, clock) = (time.to_string(), time.to_string());
    let clock = clock.get(11..19).unwrap_or_default();
    format!("{} {clock} +0000 UTC", date.get(..10).unwrap_or_default())
}

pub(super) fn container_row(container: &Value, full: bool, now: Time) -> Value {
    let created = Time::from_unix_seconds(container["Created"].as_i64().unwrap_or_default());
    let command = format!("\"{}\"", shortened(string(container, "Command"), COMMAND, full));
    let names: Vec<&str> =
        strings(&container["Names"]).into_iter().map(|name| name.trim_start_matches('/')).collect();
    let networks = container["NetworkSettings"]["Networks"].as_object();
    let (mounts, volumes) = mounts(&container["Mounts"], full);
    let size = |name: &str| container[name].as_u64().unwrap_or_default();
    let size = match size("SizeRootFs") {
        0 => human::bytes(size("SizeRw")),
        all => format!("{} (virtual {})", human::bytes(size("SizeRw")), human::bytes(all)),
    };
    json!({
        "ID": id_of(string(container, "Id"), full),
        "Image": image_of(string(container, "Image"), full),
        "Command": command,
        "CreatedAt": printed(created),
        "RunningFor": ago(created, now),
        "Status": string(container, "Status"),
        "State": string(container, "State"),
        "Ports": ports::cell(&container["Ports"]),
        "Names": names.join(","),
        "Labels": labels(&container["Labels"]),
        "Mounts": mounts,
        "LocalVolumes": volumes.to_string(),
        "Networks": networks.map(|all| all.keys().cloned().collect::<Vec<_>>().join(",")).unwrap_or_default(),
        "Size": size,
    })
}

pub(crate) async fn containers(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let limit = if parsed.is("latest") { Some(1) } else { parsed.number("last")?.filter(|count| *count > 0) };
    let size = parsed.is("size") || parsed.get("format").is_some_and(|format| format.contains(".Size"));
    let flag = |on: bool| on.then(|| "1".to_owned());
    let query = query(&[
        ("all", flag(parsed.is("all") || limit.is_some())),
        ("size", flag(size)),
        ("limit", limit.map(|limit| limit.to_string())),
        ("filters", filters(&parsed.all("filter"))?),
    ]);
    let listed = client.get(&format!("/containers/json{query}")).await?;
    let (full, now) = (parsed.is("no-trunc"), Clock::system().now());
    let rows: Vec<Value> = listed
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| container_row(container, full, now))
        .collect();
    if parsed.is("quiet") {
        rows.iter().for_each(|row| printer::line(string(row, "ID")));
        return Ok(());
    }
    let columns = if parsed.is("size") { &PS_SIZE } else { &PS };
    columns.show(&rows, parsed.get("format"))
}

/// One row for each name of an image, or one without.
pub(super) fn image_rows(image: &Value, full: bool, now: Time) -> Vec<Value> {
    let created = Time::from_unix_seconds(image["Created"].as_i64().unwrap_or_default());
    let digest = strings(&image["RepoDigests"])
        .first()
        .and_then(|name| name.split_once('@'))
        .map_or("<none>", |(_, digest)| digest)
        .to_owned();
    let size = image["Size"].as_u64().unwrap_or_default();
    // Minus one says that nobody has measured it.
    let shared = image["SharedSize"].as_u64();
    let row = |repository: &str, tag: &str| {
        json!({
            "Repository": repository,
            "Tag": tag,
            "Digest": digest,
            "ID": id_of(string(image, "Id"), full),
            "CreatedAt": printed(created),
            "CreatedSince": ago(created, now),
            "Size": human::bytes(size),
            "SharedSize": shared.map_or("N/A".to_owned(), human::bytes),
            "UniqueSize": shared.map_or("N/A".to_owned(), |shared| human::bytes(size.saturating_sub(shared))),
            "Containers": image["Containers"].as_i64().map_or("N/A".to_owned(), |count| count.to_string()),
        })
    };
    let tags = strings(&image["RepoTags"]);
    if tags.is_empty() {
        return vec![row("<none>", "<none>")];
    }
    tags.iter()
        .map(|name| name.rsplit_once(':').map_or_else(|| row(name, "<none>"), |(name, tag)| row(name, tag)))
        .collect()
}

pub(crate) async fn images(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let mut wanted = parsed.all("filter");
    wanted.extend(parsed.operands().first().map(|name| format!("reference={name}")));
    let listed = client.get(&format!("/images/json{}", query(&[("filters", filters(&wanted)?)]))).await?;
    if parsed.is("tree") {
        return tree::show(client, &listed).await;
    }
    let (full, now) = (parsed.is("no-trunc"), Clock::system().now());
    let rows: Vec<Value> =
        listed.as_array().into_iter().flatten().flat_map(|image| image_rows(image, full, now)).collect();
    if parsed.is("quiet") {
        rows.iter().for_each(|row| printer::line(string(row, "ID")));
        return Ok(());
    }
    let columns = if parsed.is("digests") { &IMAGES_DIGESTS } else { &IMAGES };
    columns.show(&rows, parsed.get("format"))
}

pub(crate) async fn history(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let name = parsed.get("IMAGE").unwrap_or_default();
    let steps = client.get(&format!("/images/{}/history", escape(name))).await?;
    let (full, now) = (parsed.is("no-trunc"), Clock::system().now());
    let in_words = parsed.get("human").is_none_or(|text| text != "false");
    let row = |step: &Value| {
        let created = Time::from_unix_seconds(step["Created"].as_i64().unwrap_or_default());
        let size = step["Size"].as_u64().unwrap_or_default();
        let id = string(step, "Id");
        json!({
            "ID": if id == "<missing>" { id.to_owned() } else { id_of(id, full) },
            "CreatedSince": if in_words { ago(created, now) } else { created.to_string() },
            "CreatedAt": created.to_string(),
            "CreatedBy": shortened(string(step, "CreatedBy"), 45, full),
            "Size": if in_words { human::bytes(size) } else { size.to_string() },
            "Comment": string(step, "Comment"),
        })
    };
    let rows: Vec<Value> = steps.as_array().into_iter().flatten().map(row).collect();
    if parsed.is("quiet") {
        rows.iter().for_each(|row| printer::line(string(row, "ID")));
        return Ok(());
    }
    HISTORY.show(&rows, parsed.get("format"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_shown_as_docker_shows_it() {
        let container = json!({
            "Id": "0123456789abcdef", "Names": ["/web"], "Image": "nginx", "Command": "/docker-entrypoint.sh nginx -g x",
            "Created": 1_000_000, "Status": "Up 3 minutes", "State": "running",
            "Ports": [{"PrivatePort": 80, "Type": "tcp", "IP": "0.0.0.0", "PublicPort": 8080},
                      {"PrivatePort": 80, "Type": "tcp", "IP": "::", "PublicPort": 8080}, {"PrivatePort": 443, "Type": "tcp"}]
        });
        let row = container_row(&container, false, Time::from_unix_seconds(1_000_180));
        assert_eq!(row["ID"], "0123456789ab");
        assert_eq!(row["Command"], "\"/docker-entrypoint.…\"");
        assert_eq!(row["RunningFor"], "3 minutes ago");
        assert_eq!(row["Ports"], "443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
        assert_eq!(row["Names"], "web");
    }

    #[test]
    fn an_image_without_a_name_is_shown_all_the_same() {
        let image = json!({"Id": "sha256:0123456789abcdef", "RepoTags": [], "Created": 0, "Size": 5_000_000});
        let rows = image_rows(&image, false, Time::from_unix_seconds(10));
        assert_eq!(
            (rows.len(), &rows[0]["Repository"], &rows[0]["Size"]),
            (1, &json!("<none>"), &json!("5MB"))
        );
    }
}
