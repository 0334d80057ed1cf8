//! From the Engine API's words to the model's: a create or update request becomes a spec.
//!
//! What makes no sense by itself is refused here, in dockerd's words; what makes no sense on this node (a capability that
//! does not exist, a limit that the kernel cannot keep) is refused behind the door. Fields that are not built were
//! refused before, by the table.
//!
//! Start with [`container`]; the files beside it each convert one group of fields.

mod attachment;
mod limits;
mod mounts;
mod network;
mod new_network;
mod security;

pub(crate) use attachment::{attachment, is_user_defined};
pub(crate) use limits::{resources, restart_policy};
pub(crate) use new_network::network;

use crate::wire::{Config, CreateRequest, HostConfig, OneOrMany};
use model::container::{Device, LogPolicy, Origin, Sharing, Userns};
use model::{ContainerSpec, PortKey};
use platform::{Error, ImageSettings};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The least bytes that a log file may be bounded to.
const LOG_FILE_BYTES_MIN: u64 = 4096;

/// What the user sent, completed with defaults, as it is kept with the container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sent {
    pub(crate) config: Config,
    pub(crate) host: HostConfig,
}

impl Sent {
    /// As it is kept.
    pub(crate) fn origin(&self) -> Result<Origin, Error> {
        let text = serde_json::to_string(self)
            .map_err(|error| Error::failed(format!("keep the request: {error}")))?;
        Ok(Origin(text))
    }

    /// As it was kept; what was made by another front-end shows defaults.
    pub(crate) fn of(origin: &Origin) -> Sent {
        serde_json::from_str::<serde_json::Value>(&origin.0)
            .and_then(crate::wire::read_value)
            .unwrap_or_else(|_| Sent::default())
    }
}

/// The little of what the user sent that a line of a list shows: a list has no time to make values of all the rest.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Shown {
    host: ShownHost,
}

/// See [`Shown`].
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ShownHost {
    network_mode: Option<String>,
    tmpfs: Option<BTreeMap<String, IgnoredAny>>,
}

impl Shown {
    /// Of what was kept; of what was made by another front-end nothing.
    pub(crate) fn of(origin: &Origin) -> Shown {
        serde_json::from_str(&origin.0).unwrap_or_default()
    }

    /// The network mode in the user's words.
    pub(crate) fn network_mode(&self) -> &str {
        self.host.network_mode.as_deref().unwrap_or_default()
    }

    /// Whether a mount in memory was asked for by `--tmpfs`.
    pub(crate) fn has_tmpfs(&self, target: &str) -> bool {
        let mut targets = self.host.tmpfs.iter().flat_map(BTreeMap::keys);
        targets.any(|key| key.trim_end_matches('/') == target)
    }
}

/// A container as a spec, and what the user should know. `version` is the minor number of the client's.
pub(crate) fn container(
    mut request: CreateRequest,
    version: u32,
) -> Result<(ContainerSpec, Vec<String>), Error> {
    complete(&mut request, version);
    let mut warnings = Vec::new();
    let mut spec = ContainerSpec::default();
    configured(&mut spec, &request.config)?;
    network::convert(&mut spec, &request, version, &mut warnings)?;
    let host = &request.host_config;
    (spec.mounts, spec.volumes) = mounts::convert(&request.config, host, version)?;
    spec.volume_driver.clone_from(&host.volume_driver);
    spec.volumes_from = host
        .volumes_from
        .iter()
        .flatten()
        .map(|text| mounts::volumes_from(text))
        .collect::<Result<_, _>>()?;
    spec.resources = resources(host);
    spec.restart = restart_policy(&host.restart_policy)?;
    spec.security = security::convert(host)?;
    hosted(&mut spec, host, &mut warnings)?;
    if spec.terminal && host.console_size != (0, 0) && version >= 42 {
        spec.terminal_size = Some(size(host.console_size));
    }
    spec.origin = Sent { config: request.config, host: request.host_config }.origin()?;
    Ok((spec, warnings))
}

/// What is wrong, as Docker tells of several things at once.
fn joined(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        several => format!("* {}", several.join("\n* ")),
    }
}

/// Rows and columns within what a terminal can have.
pub(crate) fn size((rows, columns): (u64, u64)) -> (u16, u16) {
    let bounded = |count: u64| u16::try_from(count).unwrap_or(u16::MAX);
    (bounded(rows), bounded(columns))
}

/// Fills in what dockerd would, so that it is shown.
fn complete(request: &mut CreateRequest, version: u32) {
    let host = &mut request.host_config;
    let default = |field: &mut String, value: &str| {
        if field.is_empty() {
            value.clone_into(field);
        }
    };
    if host.network_mode == "default" {
        host.network_mode.clear();
    }
    default(&mut host.network_mode, "bridge");
    default(&mut host.runtime, "runc");
    default(&mut host.cgroupns_mode, "private");
    default(&mut host.ipc_mode, if version < 40 { "shareable" } else { "private" });
    default(&mut host.log_config.kind, "json-file");
    default(&mut host.restart_policy.name, "no");
    if host.shm_size == 0 {
        host.shm_size = 64 << 20;
    }
    if version < 42 {
        host.console_size = (0, 0);
    }
    if version < 25 {
        // Such clients remove their containers themselves.
        host.auto_remove = false;
    }
    host.pids_limit = host.pids_limit.filter(|limit| *limit > 0);
}

/// The part that does not depend on the host.
fn configured(spec: &mut ContainerSpec, config: &Config) -> Result<(), Error> {
    if config.image.is_empty() {
        return Err(Error::invalid("no image specified"));
    }
    let env = config.env.clone().unwrap_or_default();
    if let Some(bad) = env.iter().find(|entry| entry.is_empty() || entry.starts_with('=')) {
        return Err(Error::invalid(format!("invalid environment variable: {bad}")));
    }
    spec.image.clone_from(&config.image);
    spec.entrypoint = config.entrypoint.as_ref().map(|words| words.0.clone());
    // An empty list is what clients send for a command that was not given.
    spec.command = config.cmd.as_ref().map(|words| words.0.clone()).filter(|words| !words.is_empty());
    if spec.entrypoint.as_ref().is_some_and(Vec::is_empty) {
        spec.entrypoint = None;
    } else if spec.entrypoint.as_ref().is_some_and(|words| words.len() == 1 && words[0].is_empty()) {
        // One empty word is how an image's entry point is taken away.
        spec.entrypoint = Some(Vec::new());
    }
    spec.env = env;
    spec.working_dir.clone_from(&config.working_dir);
    spec.user.clone_from(&config.user);
    spec.labels.clone_from(&config.labels);
    spec.terminal = config.tty;
    spec.open_stdin = config.open_stdin;
    spec.stdin_once = config.stdin_once;
    spec.hostname.clone_from(&config.hostname);
    spec.domainname.clone_from(&config.domainname);
    spec.stop_signal.clone_from(&config.stop_signal);
    spec.stop_timeout_seconds = config.stop_timeout;
    spec.exposed = exposed(config)?;
    Ok(())
}

/// What an image is to say about its containers.
pub(crate) fn image_settings(config: Config) -> Result<ImageSettings, Error> {
    let healthcheck = config.healthcheck.as_ref().map(serde_json::to_string).transpose();
    let words = |given: Option<OneOrMany>| given.map(|words| words.0).filter(|words| !words.is_empty());
    Ok(ImageSettings {
        exposed: exposed(&config)?,
        env: config.env.unwrap_or_default(),
        command: words(config.cmd),
        entrypoint: words(config.entrypoint),
        user: config.user,
        working_dir: config.working_dir,
        labels: config.labels,
        volumes: config.volumes.unwrap_or_default().into_keys().collect(),
        stop_signal: config.stop_signal,
        on_build: config.on_build.unwrap_or_default(),
        healthcheck: healthcheck.map_err(|error| Error::failed(format!("keep the health check: {error}")))?,
        shell: words(config.shell),
    })
}

fn exposed(config: &Config) -> Result<BTreeSet<PortKey>, Error> {
    let mut ports = BTreeSet::new();
    for text in config.exposed_ports.keys() {
        ports.extend(network::port_range(text)?);
    }
    Ok(ports)
}

/// The part that depends on the host, but for what has a file of its own.
fn hosted(spec: &mut ContainerSpec, host: &HostConfig, warnings: &mut Vec<String>) -> Result<(), Error> {
    spec.groups = host.group_add.clone().unwrap_or_default();
    spec.pid = sharing(&host.pid_mode, "PID", &[""])?;
    spec.ipc = match host.ipc_mode.as_str() {
        "none" => {
            return Err(Error::not_supported(
                "HostConfig.IpcMode \"none\" is not supported yet: an IPC namespace always comes with /dev/shm",
            ));
        }
        mode => sharing(mode, "IPC", &["", "private", "shareable"])?,
    };
    spec.uts = sharing(&host.uts_mode, "UTS", &[""])?;
    spec.cgroup = match host.cgroupns_mode.as_str() {
        "private" => Sharing::Private,
        "host" => Sharing::Host,
        mode => return Err(Error::invalid(format!("invalid cgroup namespace mode: {mode}"))),
    };
    spec.userns = userns(host, &spec.labels)?;
    spec.read_only = host.readonly_rootfs;
    spec.devices = host.devices.iter().map(device).collect::<Result<_, _>>()?;
    spec.sysctls.clone_from(&host.sysctls);
    spec.ulimits = limits::ulimits(host)?;
    spec.shm_bytes = match u64::try_from(host.shm_size) {
        Err(_) => return Err(Error::invalid("SHM size can not be less than 0")),
        Ok(bytes) => Some(bytes),
    };
    spec.init = host.init.unwrap_or(false);
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(Error::invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        )));
    }
    spec.oom_score_adj = i32::try_from(host.oom_score_adj).ok().filter(|adjustment| *adjustment != 0);
    spec.auto_remove = host.auto_remove;
    spec.log = log_policy(host, warnings)?;
    Ok(())
}

/// What the stock client cannot say in a flag it can say in a label.
fn userns(host: &HostConfig, labels: &BTreeMap<String, String>) -> Result<Userns, Error> {
    /// The label that says it.
    const LABEL: &str = "bocage.userns";
    let (mode, where_) = match (host.userns_mode.as_str(), labels.get(LABEL)) {
        ("", Some(label)) => (label.as_str(), " in the label bocage.userns"),
        (mode, _) => (mode, ""),
    };
    let userns = match mode {
        "" => Userns::Default,
        "host" => Userns::Host,
        "auto" => Userns::Auto,
        "keep" => Userns::Keep,
        _ => {
            let message = format!("invalid USER mode{where_}: {mode}: it is one of host, auto, keep");
            return Err(Error::invalid(message));
        }
    };
    if host.privileged && matches!(userns, Userns::Auto | Userns::Keep) {
        return Err(Error::invalid(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
        ));
    }
    let modes = [&host.pid_mode, &host.ipc_mode, &host.uts_mode, &host.network_mode];
    let shares = modes.iter().any(|mode| *mode == "host" || mode.starts_with("container:"));
    if shares && matches!(userns, Userns::Auto | Userns::Keep) {
        return Err(Error::invalid(
            "cannot share the network, process, IPC or UTS namespace of the host or of another container when user namespaces are \
             enabled: use --userns=host with the host's; with a container's, say nothing: its user namespace is shared too",
        ));
    }
    Ok(userns)
}

fn sharing(mode: &str, what: &str, private: &[&str]) -> Result<Sharing, Error> {
    if private.contains(&mode) {
        return Ok(Sharing::Private);
    }
    match mode.split_once(':') {
        None if mode == "host" => Ok(Sharing::Host),
        Some(("container", name)) if !name.is_empty() => Ok(Sharing::Container(name.to_owned())),
        _ => Err(Error::invalid(format!("invalid {what} mode: {mode}"))),
    }
}

fn device(mapping: &crate::wire::DeviceMapping) -> Result<Device, Error> {
    let access = if mapping.cgroup_permissions.is_empty() { "rwm" } else { &mapping.cgroup_permissions };
    if access.bytes().any(|letter| !b"rwm".contains(&letter)) {
        return Err(Error::invalid(format!("invalid device mode: {access}")));
    }
    if mapping.path_on_host.is_empty() {
        return Err(Error::invalid("invalid device specification: PathOnHost is empty"));
    }
    let inside =
        if mapping.path_in_container.is_empty() { &mapping.path_on_host } else { &mapping.path_in_container };
    Ok(Device { source: mapping.path_on_host.clone(), target: inside.clone(), access: access.to_owned() })
}

fn log_policy(host: &HostConfig, warnings: &mut Vec<String>) -> Result<LogPolicy, Error> {
    let mut policy = LogPolicy::default();
    let driver = host.log_config.kind.as_str();
    match driver {
        "json-file" | "local" => {}
        "none" => policy.none = true,
        _ => {
            return Err(Error::not_supported(format!(
                "HostConfig.LogConfig.Type \"{driver}\" is not supported yet: logs are kept here, as \"json-file\" or \"local\", or not \
                 at all, as \"none\""
            )));
        }
    }
    for (name, value) in &host.log_config.config {
        let bad = || {
            Error::invalid(format!("invalid value \"{value}\" for log opt '{name}' of {driver} log driver"))
        };
        match name.as_str() {
            "max-size" if value == "-1" => warnings.push(format!(
                "A log without a bound could fill the disk: it is kept to {} files of {} bytes",
                policy.files_max, policy.file_bytes_max
            )),
            "max-size" => policy.file_bytes_max = bytes(value).ok_or_else(bad)?.max(LOG_FILE_BYTES_MIN),
            "max-file" => {
                policy.files_max = value.parse().ok().filter(|files| *files > 0).ok_or_else(bad)?;
            }
            // What is read back is the same either way: it is the log's own business.
            "compress" => {}
            "mode" if value == "blocking" => {}
            _ => {
                return Err(Error::not_supported(format!(
                    "HostConfig.LogConfig.Config \"{name}\" is not supported yet: max-size and max-file are"
                )));
            }
        }
    }
    Ok(policy)
}

/// A size as people write it: `64m`, `1g`, `512KiB`, `1000`; units are powers of 1024.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|mark: char| !mark.is_ascii_digit() && mark != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let unit = unit.trim_start().to_ascii_lowercase();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let scaled = number * (1u64 << shift) as f64;
    (scaled < u64::MAX as f64).then_some(scaled as u64)
}

#[cfg(test)]
mod tests;
