//! The node itself.

use super::container::go_architecture;
use crate::server::{Answer, Call, VERSION_MAX, VERSION_MIN, empty, json, plain};
use crate::wire::system::{
    Commit, DaemonStatus, DemoImage, Info, PlatformName, Plugins, RuntimeInfo, SwarmInfo, Version,
    VersionComponent,
};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use platform::SystemInfo;
use std::collections::BTreeMap;

pub(crate) async fn ping(_: Call) -> Answer {
    let mut response = plain(StatusCode::OK, "OK");
    let headers = response.headers_mut();
    // Nothing is built yet by either builder; with the older one clients show our answer instead of looking for a plugin.
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert("pragma", HeaderValue::from_static("no-cache"));
    Ok(response)
}

pub(crate) async fn version(call: Call) -> Answer {
    let info = call.doors.system.info().await?;
    let api_version = format!("1.{VERSION_MAX}");
    let min_api_version = format!("1.{VERSION_MIN}");
    let arch = go_architecture(&info.machine).to_owned();
    let details = [
        ("ApiVersion", &api_version),
        ("MinAPIVersion", &min_api_version),
        ("Os", &"linux".to_owned()),
        ("Arch", &arch),
        ("KernelVersion", &info.kernel),
        ("GitCommit", &String::new()),
        ("GoVersion", &String::new()),
        ("BuildTime", &String::new()),
        ("Experimental", &"false".to_owned()),
    ];
    let details = details.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    json(
        StatusCode::OK,
        &Version {
            platform: PlatformName { name: "Bocage".to_owned() },
            components: vec![VersionComponent {
                name: "Engine".to_owned(),
                version: info.version.clone(),
                details,
            }],
            version: info.version,
            api_version,
            min_api_version,
            os: "linux".to_owned(),
            arch,
            kernel_version: info.kernel,
            ..Version::default()
        },
    )
}

pub(crate) async fn info(call: Call) -> Answer {
    json(StatusCode::OK, &described(call.doors.system.info().await?))
}

fn described(info: SystemInfo) -> Info {
    let limit = |name: &str| info.limits.iter().any(|(known, on)| known == name && *on);
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (running, paused, stopped) = info.containers;
    let (http_proxy, https_proxy, no_proxy) = info.proxies.clone();
    Info {
        memory_limit: limit("MemoryLimit"),
        swap_limit: limit("SwapLimit"),
        cpu_cfs_period: limit("CpuCfsPeriod"),
        cpu_cfs_quota: limit("CpuCfsQuota"),
        cpu_shares: limit("CPUShares"),
        cpu_set: limit("CPUSet"),
        pids_limit: limit("PidsLimit"),
        oom_kill_disable: limit("OomKillDisable"),
        id: info.id,
        containers: running + paused + stopped,
        containers_running: running,
        containers_paused: paused,
        containers_stopped: stopped,
        images: info.images,
        driver: "overlay2".to_owned(),
        driver_status: vec![("Backing Filesystem".to_owned(), info.backing_filesystem)],
        plugins: Plugins {
            volume: words(&["local"]),
            network: words(&["bridge", "host", "ipvlan", "macvlan", "null"]),
            authorization: None,
            log: words(&["json-file", "local"]),
        },
        ipv4_forwarding: info.ipv4_forwarding,
        descriptors: info.descriptors,
        system_time: info.now.to_string(),
        logging_driver: "json-file".to_owned(),
        cgroup_driver: "cgroupfs".to_owned(),
        cgroup_version: info.cgroup_version,
        kernel_version: info.kernel,
        operating_system: info.operating_system,
        os_version: info.os_version,
        os_type: "linux".to_owned(),
        architecture: info.machine,
        cpus: info.cpus,
        mem_total: info.memory_bytes,
        docker_root_dir: info.data_root,
        http_proxy,
        https_proxy,
        no_proxy,
        name: info.name,
        server_version: info.version,
        runtimes: BTreeMap::from([("runc".to_owned(), RuntimeInfo { path: "built-in".to_owned() })]),
        default_runtime: "runc".to_owned(),
        swarm: SwarmInfo { local_node_state: "inactive".to_owned(), ..SwarmInfo::default() },
        // Containers go on while the daemon is down: that is what the word means.
        live_restore_enabled: true,
        init_binary: "built-in".to_owned(),
        containerd_commit: Commit::default(),
        security_options: words(&["name=seccomp,profile=builtin"]),
        warnings: Some(info.warnings).filter(|warnings| !warnings.is_empty()),
        ..Info::default()
    }
}

pub(crate) async fn timings(call: Call) -> Answer {
    let timings = call.doors.node.timings(&call.parameter).await?;
    let timings: Vec<_> =
        timings.into_iter().map(|one| serde_json::json!({ "step": one.step, "ns": one.ns })).collect();
    json(StatusCode::OK, &timings)
}

pub(crate) async fn daemon_status(call: Call) -> Answer {
    let info = call.doors.system.info().await?;
    let (running, paused, stopped) = info.containers;
    json(
        StatusCode::OK,
        &DaemonStatus {
            pid: info.pid,
            version: info.version,
            data_root: info.data_root,
            exec_root: info.exec_root,
            started: info.started.to_string(),
            containers: running + paused + stopped,
            running: running + paused,
            images: info.images,
        },
    )
}

pub(crate) async fn daemon_stop(call: Call) -> Answer {
    call.doors.system.stop_daemon(call.query.flag("containers")).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn demo_image(call: Call) -> Answer {
    json(StatusCode::OK, &DemoImage { image: call.doors.system.demo_image().await? })
}
