//! The System door.

use super::{Door, blocking, image_error};
use crate::{Shared, machine};
use images::Forget;
use model::Phase;
use platform::{Answer, DiskUsage, Measured, System, SystemInfo};
use std::fs;

impl System for Door {
    fn info(&self) -> Answer<'_, SystemInfo> {
        Box::pin(async move {
            let shared = self.0.clone();
            blocking(move || {
                let uname = rustix::system::uname();
                let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
                let mut counts = (0, 0, 0);
                for snapshot in shared.registry.all() {
                    match snapshot.observed.phase {
                        Phase::Running { .. } => counts.0 += 1,
                        Phase::Paused { .. } => counts.1 += 1,
                        _ => counts.2 += 1,
                    }
                }
                let v2 = !shared.host.layout().is_v1();
                let has = |controller: &str| v2 || shared.host.layout().hierarchy(controller).is_some();
                let limits = [
                    ("MemoryLimit", has("memory")),
                    ("SwapLimit", has("memory")),
                    ("CpuCfsPeriod", has("cpu")),
                    ("CpuCfsQuota", has("cpu")),
                    ("CPUShares", has("cpu")),
                    ("CPUSet", has("cpuset")),
                    ("PidsLimit", has("pids")),
                    ("OomKillDisable", !v2 && has("memory")),
                ];
                Ok(SystemInfo {
                    id: shared.identity.bridge.clone(),
                    name: text(uname.nodename()),
                    version: shared.version.to_owned(),
                    kernel: text(uname.release()),
                    operating_system: machine::os_release("PRETTY_NAME"),
                    os_version: machine::os_release("VERSION_ID"),
                    machine: text(uname.machine()),
                    cpus: machine::cpus(),
                    memory_bytes: machine::memory_bytes(),
                    cgroup_version: if v2 { "2" } else { "1" }.to_owned(),
                    limits: limits.map(|(name, on)| (name.to_owned(), on)).to_vec(),
                    data_root: shared.roots.data.display().to_string(),
                    exec_root: shared.roots.exec.display().to_string(),
                    pid: i32::try_from(std::process::id()).unwrap_or_default(),
                    containers: counts,
                    images: shared.images.list().map_or(0, |images| images.len() as u64),
                    started: shared.started,
                    now: shared.clock.now(),
                    descriptors: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
                    warnings: warnings(&shared),
                    proxies: shared.proxies.clone(),
                    backing_filesystem: machine::filesystem(&shared.roots.data),
                    ipv4_forwarding: fs::read("/proc/sys/net/ipv4/ip_forward")
                        .is_ok_and(|text| text.starts_with(b"1")),
                })
            })
            .await
        })
    }

    fn disk_usage(&self, of: Measured) -> Answer<'_, DiskUsage> {
        Box::pin(async move {
            let shared = self.0.clone();
            blocking(move || crate::usage::measure(&shared, of)).await
        })
    }

    fn forget_unfinished(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let shared = self.0.clone();
            let forget = move || shared.images.forget_unfinished(Forget::All);
            blocking(move || forget().map_err(|error| image_error(&error))).await
        })
    }

    fn stop_daemon(&self, containers: bool) -> Answer<'_, ()> {
        Box::pin(async move {
            if containers {
                crate::container::stop_all(&self.0).await;
            }
            self.0.stop.notify_one();
            Ok(())
        })
    }

    fn demo_image(&self) -> Answer<'_, String> {
        Box::pin(async move {
            let shared = self.0.clone();
            blocking(move || super::image::demo(&shared)).await
        })
    }
}

/// What the user should know of this node.
fn warnings(shared: &Shared) -> Vec<String> {
    shared.networks.warning().into_iter().chain(crate::usage::warning(shared)).collect()
}
