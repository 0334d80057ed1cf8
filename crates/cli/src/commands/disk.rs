//! What takes room on the disk: `system df`, and everything that frees it.

use super::list::{Columns, container_row, image_rows, string};
use crate::client::{Client, filters, query};
use crate::failure::Failure;
use crate::format::human;
use crate::printer;
use crate::table::Parsed;
use base::{Clock, Time};
use serde_json::{Value, json};
use std::io::BufRead;

const KINDS: Columns = Columns {
    default: &[
        ("TYPE", "Type"),
        ("TOTAL", "TotalCount"),
        ("ACTIVE", "Active"),
        ("SIZE", "Size"),
        ("RECLAIMABLE", "Reclaimable"),
    ],
    others: &[],
};
const IMAGES: Columns = Columns {
    default: &[
        ("REPOSITORY", "Repository"),
        ("TAG", "Tag"),
        ("IMAGE ID", "ID"),
        ("CREATED", "CreatedSince"),
        ("SIZE", "Size"),
        ("SHARED SIZE", "SharedSize"),
        ("UNIQUE SIZE", "UniqueSize"),
        ("CONTAINERS", "Containers"),
    ],
    others: &[],
};
const CONTAINERS: Columns = Columns {
    default: &[
        ("CONTAINER ID", "ID"),
        ("IMAGE", "Image"),
        ("COMMAND", "Command"),
        ("LOCAL VOLUMES", "LocalVolumes"),
        ("SIZE", "Size"),
        ("CREATED", "RunningFor"),
        ("STATUS", "Status"),
        ("NAMES", "Names"),
    ],
    others: &[],
};
const VOLUMES: Columns =
    Columns { default: &[("VOLUME NAME", "Name"), ("LINKS", "Links"), ("SIZE", "Size")], others: &[] };

/// How many there are of a kind, and what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kind {
    total: usize,
    active: usize,
    bytes: u64,
    free: u64,
}

impl Kind {
    fn row(self, name: &str) -> Value {
        let Kind { total, active, bytes, free } = self;
        let part = (free * 100).checked_div(bytes).map(|part| format!(" ({part}%)"));
        json!({
            "Type": name,
            "TotalCount": total.to_string(),
            "Active": active.to_string(),
            "Size": human::bytes(bytes),
            "Reclaimable": human::bytes(free) + &part.unwrap_or_default(),
        })
    }
}

fn items<'a>(usage: &'a Value, name: &str) -> &'a [Value] {
    usage[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn figure(item: &Value, name: &str) -> u64 {
    item[name].as_u64().unwrap_or_default()
}

/// Images: what none of the used ones has to itself could go.
fn images(usage: &Value) -> Kind {
    let all = items(usage, "Images");
    let used: Vec<&Value> = all.iter().filter(|image| figure(image, "Containers") > 0).collect();
    let kept: u64 =
        used.iter().map(|image| figure(image, "Size").saturating_sub(figure(image, "SharedSize"))).sum();
    let bytes = figure(usage, "LayersSize");
    Kind { total: all.len(), active: used.len(), bytes, free: bytes.saturating_sub(kept) }
}

fn containers(usage: &Value) -> Kind {
    let all = items(usage, "Containers");
    let lives =
        |container: &&Value| matches!(string(container, "State"), "running" | "paused" | "restarting");
    let room =
        |containers: &mut dyn Iterator<Item = &Value>| containers.map(|one| figure(one, "SizeRw")).sum();
    let bytes: u64 = room(&mut all.iter());
    let kept: u64 = room(&mut all.iter().filter(lives));
    Kind { total: all.len(), active: all.iter().filter(lives).count(), bytes, free: bytes - kept }
}

fn volumes(usage: &Value) -> Kind {
    let all = items(usage, "Volumes");
    let is_used = |volume: &&Value| figure(&volume["UsageData"], "RefCount") > 0;
    let room = |volumes: &mut dyn Iterator<Item = &Value>| {
        volumes.map(|one| figure(&one["UsageData"], "Size")).sum()
    };
    let bytes: u64 = room(&mut all.iter());
    let kept: u64 = room(&mut all.iter().filter(is_used));
    Kind { total: all.len(), active: all.iter().filter(is_used).count(), bytes, free: bytes - kept }
}

pub(crate) async fn usage(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let usage = client.get("/system/df").await?;
    if parsed.is("verbose") {
        return each(&usage, parsed.get("format"));
    }
    let mut rows = vec![
        images(&usage).row("Images"),
        containers(&usage).row("Containers"),
        volumes(&usage).row("Local Volumes"),
        Kind::default().row("Build Cache"),
    ];
    let bytes = figure(&usage, "RegistrySize");
    if bytes > 0 {
        // What it is made of the registry itself knows.
        rows.push(json!({
            "Type": "Registry", "TotalCount": "", "Active": "", "Size": human::bytes(bytes), "Reclaimable": "",
        }));
    }
    KINDS.show(&rows, parsed.get("format"))
}

/// Each image, container and volume.
fn each(usage: &Value, format: Option<&str>) -> Result<(), Failure> {
    let now = Clock::system().now();
    let images: Vec<Value> =
        items(usage, "Images").iter().flat_map(|image| image_rows(image, false, now)).collect();
    let containers: Vec<Value> = items(usage, "Containers").iter().map(|one| container(one, now)).collect();
    let volume = |volume: &Value| {
        let data = &volume["UsageData"];
        json!({
            "Name": string(volume, "Name"),
            "Links": figure(data, "RefCount").to_string(),
            "Size": data["Size"].as_u64().map_or_else(|| "N/A".to_owned(), human::bytes),
        })
    };
    let volumes: Vec<Value> = items(usage, "Volumes").iter().map(volume).collect();
    if format == Some("json") {
        let all = json!({ "Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": [] });
        printer::line(&all.to_string());
        return Ok(());
    }
    if format.is_some() {
        return Err(Failure::new("with --verbose, the only format is json"));
    }
    for (title, columns, rows) in [
        ("Images", &IMAGES, images),
        ("Containers", &CONTAINERS, containers),
        ("Local Volumes", &VOLUMES, volumes),
    ] {
        printer::line(&format!("{title} space usage:\n"));
        columns.show(&rows, None)?;
        printer::line("");
    }
    printer::line("Build cache usage: 0B");
    Ok(())
}

fn container(container: &Value, now: Time) -> Value {
    let mut row = container_row(container, false, now);
    // All that is its own, and nothing of its image.
    row["Size"] = human::bytes(figure(container, "SizeRw")).into();
    row
}

/// Asks before something is removed, unless told not to.
fn may(parsed: &Parsed, warning: &str) -> bool {
    if parsed.is("force") {
        return true;
    }
    printer::raw_error(format!("WARNING! {warning}\nAre you sure you want to continue? [y/N] ").as_bytes());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    let yes = read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes");
    if !yes {
        printer::note("nothing was removed: answer y, or give --force");
    }
    yes
}

/// What was removed, and the bytes that came back.
#[derive(Debug, Default)]
struct Freed {
    lines: String,
    bytes: u64,
}

impl Freed {
    fn add(&mut self, answer: &Value, title: &str, field: &str) {
        self.bytes += figure(answer, "SpaceReclaimed");
        let removed = items(answer, field);
        if removed.is_empty() {
            return;
        }
        self.lines += &format!("Deleted {title}:\n");
        for one in removed {
            let steps = [("untagged", "Untagged"), ("deleted", "Deleted")];
            let step = steps
                .iter()
                .find_map(|(word, field)| Some(format!("{word}: {}", one.get(*field)?.as_str()?)));
            self.lines += &step.unwrap_or_else(|| one.as_str().unwrap_or_default().to_owned());
            self.lines.push('\n');
        }
        self.lines.push('\n');
    }

    fn tell(&self) {
        printer::out(&format!("{}Total reclaimed space: {}\n", self.lines, human::bytes(self.bytes)));
    }
}

async fn ask(client: &Client, path: &str, wanted: &[String]) -> Result<Value, Failure> {
    client.post(&format!("{path}{}", query(&[("filters", filters(wanted)?)])), None).await
}

/// The filters of an image prune: with `--all`, images with names as well.
fn of_images(parsed: &Parsed) -> Vec<String> {
    let mut wanted = parsed.all("filter");
    if parsed.is("all") {
        wanted.push("dangling=false".to_owned());
    }
    wanted
}

/// What a command removes, as it warns of it.
fn warning(parsed: &Parsed, name: &str) -> String {
    let images = match parsed.is("all") {
        true => "all images without at least one container associated to them",
        false => "all dangling images",
    };
    let volumes = match parsed.is("all") && name == "volume prune" {
        true => "all local volumes not used by at least one container",
        false => "anonymous local volumes not used by at least one container",
    };
    match name {
        "container prune" => "This will remove all stopped containers.".to_owned(),
        "network prune" => {
            "This will remove all custom networks not used by at least one container.".to_owned()
        }
        "volume prune" => format!("This will remove {volumes}."),
        "image prune" => format!("This will remove {images}."),
        _ => {
            let volumes = if parsed.is("volumes") { format!("  - {volumes}\n") } else { String::new() };
            format!(
                "This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n\
                 {volumes}  - {images}\n"
            )
        }
    }
}

/// `container prune`, `image prune`, `network prune`, `volume prune` and, for all of them, `system prune`.
pub(crate) async fn prune(client: &Client, parsed: &Parsed, name: &str) -> Result<(), Failure> {
    let wanted = parsed.all("filter");
    let is_system = name == "system prune";
    let with_volumes = name == "volume prune" || is_system && parsed.is("volumes");
    if is_system && with_volumes && wanted.iter().any(|filter| filter.starts_with("until")) {
        return Err(Failure::new("The \"until\" filter is not supported with \"--volumes\""));
    }
    if !may(parsed, &warning(parsed, name)) {
        return Ok(());
    }
    let mut freed = Freed::default();
    if name == "container prune" || is_system {
        let answer = ask(client, "/containers/prune", &wanted).await?;
        freed.add(&answer, "Containers", "ContainersDeleted");
    }
    if name == "network prune" || is_system {
        let answer = ask(client, "/networks/prune", &wanted).await?;
        freed.add(&answer, "Networks", "NetworksDeleted");
    }
    if with_volumes {
        let mut wanted = wanted.clone();
        if !is_system && parsed.is("all") {
            wanted.push("all=true".to_owned());
        }
        freed.add(&ask(client, "/volumes/prune", &wanted).await?, "Volumes", "VolumesDeleted");
    }
    if name == "image prune" || is_system {
        freed.add(&ask(client, "/images/prune", &of_images(parsed)).await?, "Images", "ImagesDeleted");
    }
    // Networks take no room on the disk.
    match name {
        "network prune" => printer::out(&freed.lines),
        _ => freed.tell(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_go_is_what_nothing_that_is_used_has_to_itself() {
        let usage = json!({
            "LayersSize": 100,
            "Images": [{"Size": 60, "SharedSize": 20, "Containers": 1}, {"Size": 60, "SharedSize": 20, "Containers": 0}],
            "Containers": [{"SizeRw": 3, "State": "running"}, {"SizeRw": 4, "State": "exited"}],
            "Volumes": [{"UsageData": {"RefCount": 1, "Size": 5}}, {"UsageData": {"RefCount": 0, "Size": 6}}],
        });
        assert_eq!(images(&usage), Kind { total: 2, active: 1, bytes: 100, free: 60 });
        assert_eq!(containers(&usage), Kind { total: 2, active: 1, bytes: 7, free: 4 });
        assert_eq!(volumes(&usage), Kind { total: 2, active: 1, bytes: 11, free: 6 });
        assert_eq!(images(&usage).row("Images")["Reclaimable"], "60B (60%)");
        assert_eq!(Kind::default().row("Build Cache")["Reclaimable"], "0B");
    }
}
