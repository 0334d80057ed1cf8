//! `stats`: what containers use, once or again and again.

use super::list::{Columns, string};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::format::human::{binary_bytes, bytes};
use crate::printer;
use crate::table::Parsed;
use serde_json::{Value, json};
use std::time::Duration;

/// Seconds between two looks.
const PAUSE: Duration = Duration::from_secs(1);

const STATS: Columns = Columns {
    default: &[
        ("CONTAINER ID", "ID"),
        ("NAME", "Name"),
        ("CPU %", "CPUPerc"),
        ("MEM USAGE / LIMIT", "MemUsage"),
        ("MEM %", "MemPerc"),
        ("NET I/O", "NetIO"),
        ("BLOCK I/O", "BlockIO"),
        ("PIDS", "PIDs"),
    ],
    others: &[("CONTAINER", "Container")],
};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}

/// The share of CPU between two samples, 100 for one CPU.
fn cpu_percent(stats: &Value) -> f64 {
    let (now, before) = (&stats["cpu_stats"], &stats["precpu_stats"]);
    let used = number(&now["cpu_usage"]["total_usage"]) - number(&before["cpu_usage"]["total_usage"]);
    let passed = number(&now["system_cpu_usage"]) - number(&before["system_cpu_usage"]);
    let cpus = number(&now["online_cpus"]).max(1.0);
    if used > 0.0 && passed > 0.0 { used / passed * cpus * 100.0 } else { 0.0 }
}

/// Memory that it could not give back at once: page cache that nobody used lately is left out.
fn memory(stats: &Value) -> u64 {
    let memory = &stats["memory_stats"];
    let usage = memory["usage"].as_u64().unwrap_or_default();
    let cache = memory["stats"].get("total_inactive_file").or_else(|| memory["stats"].get("inactive_file"));
    let cache = cache.and_then(Value::as_u64).unwrap_or_default();
    if cache < usage { usage - cache } else { usage }
}

fn row(stats: &Value, container: &str, full: bool) -> Value {
    let id = string(stats, "id");
    let id = if full { id.to_owned() } else { id.chars().take(12).collect() };
    let name = string(stats, "name").trim_start_matches('/').to_owned();
    if stats["read"].as_str().is_none_or(|read| read.starts_with("0001")) {
        return json!({"ID": id, "Name": name, "Container": container, "CPUPerc": "0.00%", "MemUsage": "0B / 0B", "MemPerc": "0.00%",
            "NetIO": "0B / 0B", "BlockIO": "0B / 0B", "PIDs": "0"});
    }
    let (used, limit) = (memory(stats), stats["memory_stats"]["limit"].as_u64().unwrap_or_default());
    let network = |field: &str| -> u64 {
        let all = stats["networks"].as_object().into_iter().flatten();
        all.filter_map(|(_, interface)| interface[field].as_u64()).sum()
    };
    let blocks = |operation: &str| -> u64 {
        let all = stats["blkio_stats"]["io_service_bytes_recursive"].as_array().into_iter().flatten();
        let fitting = all.filter(|entry| string(entry, "op").eq_ignore_ascii_case(operation));
        fitting.filter_map(|entry| entry["value"].as_u64()).sum()
    };
    let share = if limit > 0 { used as f64 / limit as f64 * 100.0 } else { 0.0 };
    json!({
        "ID": id,
        "Name": name,
        "Container": container,
        "CPUPerc": format!("{:.2}%", cpu_percent(stats)),
        "MemUsage": format!("{} / {}", binary_bytes(used), binary_bytes(limit)),
        "MemPerc": format!("{share:.2}%"),
        "NetIO": format!("{} / {}", bytes(network("rx_bytes")), bytes(network("tx_bytes"))),
        "BlockIO": format!("{} / {}", bytes(blocks("read")), bytes(blocks("write"))),
        "PIDs": stats["pids_stats"]["current"].as_u64().unwrap_or_default().to_string(),
    })
}

pub(crate) async fn stats(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let (named, once) = (parsed.operands(), parsed.is("no-stream"));
    loop {
        let names = if named.is_empty() { running(client, parsed.is("all")).await? } else { named.clone() };
        let looks = names.iter().map(|name| {
            let client = client.clone();
            let path = format!("/containers/{}/stats?stream=0", escape(name));
            tokio::spawn(async move { client.get(&path).await })
        });
        // All at once: each may wait for its second sample.
        let looks: Vec<_> = looks.collect();
        let mut rows = Vec::new();
        for (name, look) in names.iter().zip(looks) {
            match look.await {
                Ok(Ok(stats)) => rows.push(row(&stats, name, parsed.is("no-trunc"))),
                Ok(Err(failure)) if named.is_empty() && failure.status == Some(404) => {}
                Ok(Err(failure)) => return Err(failure),
                Err(error) => return Err(Failure::new(format!("ask for the figures of {name}: {error}"))),
            }
        }
        if !once && parsed.get("format").is_none() {
            printer::out("\x1b[H\x1b[2J");
        }
        STATS.show(&rows, parsed.get("format"))?;
        if once {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn running(client: &Client, all: bool) -> Result<Vec<String>, Failure> {
    let listed = client.get(&format!("/containers/json?all={}", u8::from(all))).await?;
    Ok(listed.as_array().into_iter().flatten().map(|container| string(container, "Id").to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_as_docker_shows_them() {
        let stats = json!({
            "id": "0123456789abcdef", "name": "/web", "read": "2026-01-01T00:00:00Z",
            "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
            "memory_stats": {"usage": 3_145_728, "limit": 104_857_600, "stats": {"inactive_file": 1_048_576}},
            "networks": {"eth0": {"rx_bytes": 1500, "tx_bytes": 0}}, "pids_stats": {"current": 3},
            "blkio_stats": {"io_service_bytes_recursive": [{"op": "Read", "value": 4096}]}
        });
        let row = row(&stats, "web", false);
        assert_eq!((string(&row, "CPUPerc"), string(&row, "MemUsage")), ("40.00%", "2MiB / 100MiB"));
        assert_eq!(
            (string(&row, "NetIO"), string(&row, "BlockIO"), string(&row, "PIDs")),
            ("1.5kB / 0B", "4.1kB / 0B", "3")
        );
    }
}
