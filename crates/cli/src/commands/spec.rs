//! The flags of `run` and `create` turned into the request that makes the container.
//!
//! What can be known to be wrong here is refused here, in the words that `docker` uses; the rest is for the daemon to say.

use super::{attach, mounts};
use crate::failure::Failure;
use crate::format::human::parse_bytes;
use crate::table::Parsed;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// The request, and what stays on this side.
pub(crate) struct Spec {
    pub(crate) body: Value,
    pub(crate) name: Option<String>,
    pub(crate) image: String,
    pub(crate) platform: Option<String>,
}

pub(super) fn object(pairs: &[String], what: &str) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() {
            Err(Failure::new(format!("invalid {what}: {text:?}")))
        } else {
            Ok((name.to_owned(), value.to_owned()))
        }
    };
    pairs.iter().map(pair).collect()
}

/// Lines of a file of variables or labels; blank ones and comments are passed over.
fn lines(path: &str) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::new(format!("open {path}: {error}")))?;
    let kept = text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(kept.map(str::to_owned).collect())
}

/// Variables of the environment: files first, then flags; a name alone takes our own value, or nothing.
#[expect(clippy::disallowed_methods, reason = "this crate reads the environment")]
pub(crate) fn environment(parsed: &Parsed) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for path in parsed.all("env-file") {
        found.extend(lines(&path)?);
    }
    found.extend(parsed.all("env"));
    let complete = |entry: String| -> Result<Option<String>, Failure> {
        match entry.split_once('=') {
            Some(("", _)) => Err(Failure::new(format!("invalid environment variable: {entry}"))),
            Some(_) => Ok(Some(entry)),
            None => Ok(std::env::var(&entry).ok().map(|value| format!("{entry}={value}"))),
        }
    };
    found.into_iter().filter_map(|entry| complete(entry).transpose()).collect()
}

fn bytes(parsed: &Parsed, flag: &str) -> Result<i64, Failure> {
    match parsed.get(flag) {
        None => Ok(0),
        Some("-1") if flag == "memory-swap" => Ok(-1),
        Some(text) => parse_bytes(text).map_err(|error| {
            Failure::new(format!("invalid argument {text:?} for \"--{flag}\" flag: {error}"))
        }),
    }
}

/// Splits `1.5` into billionths of a CPU.
fn nano_cpus(text: &str) -> Result<i64, Failure> {
    let cpus: f64 =
        text.parse().map_err(|_| Failure::new(format!("failed to parse {text} as a rational number")))?;
    if cpus < 0.0 || !cpus.is_finite() {
        return Err(Failure::new(format!("--cpus {text}: a positive number is needed")));
    }
    Ok((cpus * 1e9).round() as i64)
}

/// Makes the request.
pub(crate) fn build(parsed: &Parsed, running: bool) -> Result<Spec, Failure> {
    let image = parsed.get("IMAGE").unwrap_or_default().to_owned();
    let command = parsed.rest();
    let detached = running && parsed.is("detach");
    let attach = parsed.all("attach");
    let stream = |name: &str| {
        if attach.is_empty() {
            !detached
        } else {
            attach.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
        }
    };
    let interactive = parsed.is("interactive");
    let stdin = !detached && interactive && (attach.is_empty() || stream("stdin"));
    let (exposed, bindings) = ports(parsed)?;
    let mut labels = Vec::new();
    for path in parsed.all("label-file") {
        labels.extend(lines(&path)?);
    }
    labels.extend(parsed.all("label"));
    if parsed.is("timings") {
        labels.push("bocage.timings=1".into());
    }
    let mut body = json!({
        "Image": image,
        "Hostname": parsed.get("hostname").unwrap_or_default(),
        "Domainname": parsed.get("domainname").unwrap_or_default(),
        "User": parsed.get("user").unwrap_or_default(),
        "AttachStdin": stdin,
        "AttachStdout": stream("stdout"),
        "AttachStderr": stream("stderr"),
        "Tty": parsed.is("tty"),
        "OpenStdin": interactive,
        "StdinOnce": stdin,
        "Env": environment(parsed)?,
        "Cmd": if command.is_empty() { Value::Null } else { json!(command) },
        "WorkingDir": parsed.get("workdir").unwrap_or_default(),
        "Labels": object(&labels, "label")?,
        "ExposedPorts": exposed,
        "Volumes": mounts::volumes(parsed)?.1,
        "HostConfig": host_config(parsed, &bindings)?,
    });
    if let Some(entry) = parsed.get("entrypoint") {
        body["Entrypoint"] = if entry.is_empty() { json!([""]) } else { json!([entry]) };
    }
    if parsed.is("no-healthcheck") {
        body["Healthcheck"] = json!({ "Test": ["NONE"] });
    }
    if let Some(signal) = parsed.get("stop-signal") {
        body["StopSignal"] = json!(signal);
    }
    if let Some(seconds) = parsed.number("stop-timeout")? {
        body["StopTimeout"] = json!(seconds);
    }
    let (network, places) = attach::places(parsed)?;
    body["HostConfig"]["NetworkMode"] = json!(network);
    if !places.is_empty() {
        body["NetworkingConfig"] = json!({ "EndpointsConfig": places });
    }
    let (name, platform) = (parsed.get("name").map(str::to_owned), parsed.get("platform").map(str::to_owned));
    Ok(Spec { body, name, image, platform })
}

fn host_config(parsed: &Parsed, bindings: &Map<String, Value>) -> Result<Value, Failure> {
    let (binds, _) = mounts::volumes(parsed)?;
    let mut host = json!({
        "Binds": binds,
        "PortBindings": bindings,
        "PublishAllPorts": parsed.is("publish-all"),
        "RestartPolicy": restart(parsed.get("restart"))?,
        "AutoRemove": parsed.is("rm"),
        "CapAdd": capabilities(&parsed.all("cap-add")),
        "CapDrop": capabilities(&parsed.all("cap-drop")),
        "CgroupnsMode": parsed.get("cgroupns").unwrap_or_default(),
        "Dns": parsed.all("dns"),
        "DnsOptions": parsed.all("dns-option"),
        "DnsSearch": parsed.all("dns-search"),
        "ExtraHosts": parsed.all("add-host").iter().map(|line| extra_host(line)).collect::<Result<Vec<_>, _>>()?,
        "GroupAdd": parsed.all("group-add"),
        "IpcMode": parsed.get("ipc").unwrap_or_default(),
        "PidMode": parsed.get("pid").unwrap_or_default(),
        "UsernsMode": parsed.get("userns").unwrap_or_default(),
        "UTSMode": parsed.get("uts").unwrap_or_default(),
        "Privileged": parsed.is("privileged"),
        "ReadonlyRootfs": parsed.is("read-only"),
        "SecurityOpt": security(&parsed.all("security-opt"))?,
        "Tmpfs": tmpfs(&parsed.all("tmpfs")),
        "ShmSize": bytes(parsed, "shm-size")?,
        "Sysctls": object(&parsed.all("sysctl"), "sysctl")?,
        "Memory": bytes(parsed, "memory")?,
        "MemorySwap": bytes(parsed, "memory-swap")?,
        "MemoryReservation": bytes(parsed, "memory-reservation")?,
        "NanoCpus": parsed.get("cpus").map(nano_cpus).transpose()?.unwrap_or(0),
        "CpuShares": parsed.number("cpu-shares")?.unwrap_or(0),
        "CpuPeriod": parsed.number("cpu-period")?.unwrap_or(0),
        "CpuQuota": parsed.number("cpu-quota")?.unwrap_or(0),
        "CpusetCpus": parsed.get("cpuset-cpus").unwrap_or_default(),
        "CpusetMems": parsed.get("cpuset-mems").unwrap_or_default(),
        "PidsLimit": parsed.number("pids-limit")?.unwrap_or(0),
        "OomScoreAdj": parsed.number("oom-score-adj")?.unwrap_or(0),
        "Ulimits": parsed.all("ulimit").iter().map(|text| ulimit(text)).collect::<Result<Vec<_>, _>>()?,
        "Devices": parsed.all("device").iter().map(|text| device(text)).collect::<Result<Vec<_>, _>>()?,
        "Mounts": parsed.all("mount").iter().map(|text| mounts::mount(text)).collect::<Result<Vec<_>, _>>()?,
        "LogConfig": { "Type": parsed.get("log-driver").unwrap_or_default(), "Config": object(&parsed.all("log-opt"), "log option")? },
    });
    host["VolumesFrom"] = json!(parsed.all("volumes-from"));
    host["VolumeDriver"] = json!(parsed.get("volume-driver").unwrap_or_default());
    if parsed.is("init") {
        host["Init"] = json!(true);
    }
    if parsed.is("oom-kill-disable") {
        host["OomKillDisable"] = json!(true);
    }
    if let Some((rows, columns)) = crate::terminal::size().filter(|_| parsed.is("tty")) {
        host["ConsoleSize"] = json!([rows, columns]);
    }
    Ok(host)
}

/// Capabilities as the kernel writes them, each once.
fn capabilities(given: &[String]) -> BTreeSet<String> {
    let name = |text: &String| match text.to_ascii_uppercase() {
        all if all == "ALL" || all.starts_with("CAP_") => all,
        short => format!("CAP_{short}"),
    };
    given.iter().map(name).collect()
}

fn restart(text: Option<&str>) -> Result<Value, Failure> {
    let (name, count) = text.unwrap_or("no").split_once(':').unwrap_or((text.unwrap_or("no"), "0"));
    let count: i64 = count
        .parse()
        .map_err(|_| Failure::new("invalid restart policy format: maximum retry count must be an integer"))?;
    Ok(json!({ "Name": name, "MaximumRetryCount": count }))
}

fn extra_host(line: &str) -> Result<String, Failure> {
    let split = line.split_once('=').or_else(|| line.split_once(':'));
    match split {
        Some((name, address)) if !name.is_empty() && !address.is_empty() => {
            Ok(format!("{name}:{}", address.trim_start_matches('[').trim_end_matches(']')))
        }
        _ => Err(Failure::new(format!("bad format for add-host: {line:?}"))),
    }
}

/// A seccomp profile is named by its file here and sent as its text.
fn security(options: &[String]) -> Result<Vec<String>, Failure> {
    let option = |option: &String| match option.split_once(['=', ':']) {
        Some(("seccomp", file)) if file != "unconfined" && file != "builtin" => {
            let text = fs::read_to_string(file)
                .map_err(|error| Failure::new(format!("opening seccomp profile ({file}) failed: {error}")))?;
            let profile: Value = serde_json::from_str(&text).map_err(|error| {
                Failure::new(format!("compacting json for seccomp profile ({file}) failed: {error}"))
            })?;
            Ok(format!("seccomp={profile}"))
        }
        _ => Ok(option.clone()),
    };
    options.iter().map(option).collect()
}

fn tmpfs(given: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        (path.to_owned(), options.to_owned())
    };
    given.iter().map(pair).collect()
}

fn ulimit(text: &str) -> Result<Value, Failure> {
    let bad = || {
        Failure::new(format!("invalid argument {text:?} for \"--ulimit\" flag: NAME=SOFT[:HARD] is needed"))
    };
    let (name, values) = text.split_once('=').ok_or_else(bad)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard): (i64, i64) = (soft.parse().map_err(|_| bad())?, hard.parse().map_err(|_| bad())?);
    Ok(json!({ "Name": name, "Soft": soft, "Hard": hard }))
}

fn device(text: &str) -> Result<Value, Failure> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_mode = |mode: &str| !mode.is_empty() && mode.chars().all(|c| "rwm".contains(c));
    let (inside, mode) = match parts[..] {
        [one] => (one, "rwm"),
        [_, mode] if is_mode(mode) => (parts[0], mode),
        [_, inside] => (inside, "rwm"),
        [_, inside, mode] if is_mode(mode) => (inside, mode),
        _ => return Err(Failure::new(format!("invalid device specification: {text}"))),
    };
    Ok(json!({ "PathOnHost": parts[0], "PathInContainer": inside, "CgroupPermissions": mode }))
}

/// First and last of `80` or `80-90`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && first > 0).then_some((first, last))
}

/// Ports as the API writes them: an object by `80/tcp`.
type Ports = Map<String, Value>;

/// `-p` and `--expose` as exposed ports and their bindings.
fn ports(parsed: &Parsed) -> Result<(Ports, Ports), Failure> {
    let (mut exposed, mut bindings) = (Map::new(), Map::new());
    for text in parsed.all("expose") {
        let (ports, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        let (first, last) =
            range(ports).ok_or_else(|| Failure::new(format!("invalid range format for --expose: {text}")))?;
        (first..=last).for_each(|port| drop(exposed.insert(format!("{port}/{protocol}"), json!({}))));
    }
    for text in parsed.all("publish") {
        for (key, binding) in published(&text).ok_or_else(|| {
            Failure::new(format!("invalid publish format: {text}"))
                .with_hint("write [IP:][HOST-PORT:]PORT[/udp], as in 8080:80")
        })? {
            exposed.insert(key.clone(), json!({}));
            if let Value::Array(list) = bindings.entry(key).or_insert_with(|| json!([])) {
                list.push(binding);
            }
        }
    }
    Ok((exposed, bindings))
}

/// Takes one `-p` apart.
fn published(text: &str) -> Option<Vec<(String, Value)>> {
    let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return None;
    }
    let (front, inside) = text.rsplit_once(':').unwrap_or(("", text));
    let (host, outside) = match front.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':').unwrap_or(rest)),
        None => front.rsplit_once(':').unwrap_or(("", front)),
    };
    // `127.0.0.1::80`: an address and any port; `8080:80` has no address.
    let (host, outside) = if outside.contains('.') { (outside, "") } else { (host, outside) };
    let (first, last) = range(inside)?;
    let outside = if outside.is_empty() { None } else { Some(range(outside)?) };
    let one = |port: u16| {
        let shown = match outside {
            None => String::new(),
            Some((low, high)) if high - low == last - first => (low + (port - first)).to_string(),
            Some((low, high)) => format!("{low}-{high}"),
        };
        (format!("{port}/{protocol}"), json!({ "HostIp": host, "HostPort": shown }))
    };
    if outside.is_some_and(|(low, high)| last > first && high - low != last - first) {
        return None;
    }
    Some((first..=last).map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_are_read_in_all_their_forms() {
        let shown = |text: &str| {
            published(text).map(|all| {
                let one = |(key, binding): (String, Value)| {
                    format!(
                        "{}:{}->{key}",
                        binding["HostIp"].as_str().unwrap(),
                        binding["HostPort"].as_str().unwrap()
                    )
                };
                all.into_iter().map(one).collect::<Vec<_>>().join(" ")
            })
        };
        for (text, read) in [
            ("80", ":->80/tcp"),
            ("8080:80", ":8080->80/tcp"),
            ("127.0.0.1:8080:80/udp", "127.0.0.1:8080->80/udp"),
            ("127.0.0.1::80", "127.0.0.1:->80/tcp"),
            ("[::1]:8080:80", "::1:8080->80/tcp"),
            ("8000-8001:80-81", ":8000->80/tcp :8001->81/tcp"),
            ("8000-8010:80", ":8000-8010->80/tcp"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(read), "{text}");
        }
        for bad in ["", "x", "80/x", "1-3:80-81", "0", "8080:"] {
            assert_eq!(published(bad), None, "{bad}");
        }
    }

    #[test]
    fn devices_and_limits_are_read() {
        assert_eq!(device("/dev/a:r").unwrap()["CgroupPermissions"], "r");
        assert_eq!(device("/dev/a:/dev/b:rw").unwrap()["PathInContainer"], "/dev/b");
        assert_eq!(ulimit("nofile=10:20").unwrap(), json!({"Name":"nofile","Soft":10,"Hard":20}));
        assert!(ulimit("nofile").is_err());
        assert_eq!(restart(Some("on-failure:3")).unwrap()["MaximumRetryCount"], 3);
        assert_eq!(nano_cpus("1.5").unwrap(), 1_500_000_000);
    }
}
