//! Making a container: everything that can be known to be wrong is refused here, before anything is made.

use crate::registry::{Handle, no_such};
use crate::tables::Record;
use crate::{Shared, compose, container, machine, signal, volumes};
use model::container::{MountSource, NetworkMode, Resources, RestartPolicy, Sharing};
use model::{ContainerId, ContainerIntent, ContainerSpec, Desired, Observed};
use plan::merge::{self, Defaults};
use platform::{Created, Error, NewContainer};
use runtime::setup::{SettingOf, setting_of};
use std::sync::Arc;

/// The least memory that a container can be limited to, in bytes.
const MEMORY_BYTES_MIN: u64 = 6 << 20;
/// Names that are made up before giving up.
const NAME_ATTEMPTS_MAX: u32 = 8;

/// Makes a container intent.
pub(crate) async fn create(shared: &Arc<Shared>, new: NewContainer) -> Result<Created, Error> {
    let mut spec = new.spec;
    let name = new.name.as_deref().map(checked_name).transpose()?;
    let (image, defaults, lease) = image(shared, &spec.image).await?;
    merge::complete(&mut spec, &defaults);
    check(shared, &mut spec)?;
    let warnings = checked_resources(shared, &spec.resources)?;
    let leases = volumes::find_images(shared, &mut spec).await?;
    volumes::name_all(&mut spec, &defaults.volumes);
    let id = ContainerId::from_bytes(base::random::bytes());
    let name = claim(shared, name, id)?;
    let created = shared.clock.now();
    let intent = ContainerIntent { id, name, created, image, spec, desired: Desired::Created };
    let observed = Observed::created();
    let made = prepare(shared, &intent, &observed).await;
    if let Err(error) = made {
        shared.registry.release(&intent.name, id);
        let _ = shared.remove_files(&intent).await;
        return Err(error);
    }
    let handle: Handle = container::spawn(shared, intent.clone(), observed, None, None);
    shared.registry.insert(id, handle);
    // From here on the container itself keeps its image.
    drop((lease, leases));
    shared.tell_container("create", &intent, &[]);
    Ok(Created { id, warnings })
}

/// Makes what the container needs on disk, and then, last, its entry in the table and those of its volumes.
async fn prepare(shared: &Arc<Shared>, intent: &ContainerIntent, observed: &Observed) -> Result<(), Error> {
    let shared = Arc::clone(shared);
    let record = Record { intent: intent.clone(), observed: observed.clone() };
    crate::doors::blocking(move || {
        let files = shared.roots.container(record.intent.id);
        for directory in [files.upper(), files.work(), files.log()] {
            std::fs::create_dir_all(&directory)
                .map_err(|error| Error::failed(format!("make {}: {error}", directory.display())))?;
        }
        volumes::make(&shared, &record)
    })
    .await
}

async fn image(shared: &Arc<Shared>, name: &str) -> Result<(model::ImageId, Defaults, images::Lease), Error> {
    let (shared, name) = (Arc::clone(shared), name.to_owned());
    super::doors::blocking(move || {
        let image = shared.images.resolve(&name).map_err(|error| crate::doors::image_error(&error))?;
        let lease = shared.images.lease(&image.id).map_err(|error| crate::doors::image_error(&error))?;
        Ok((image.id, crate::doors::defaults(&image), lease))
    })
    .await
}

fn claim(shared: &Shared, wanted: Option<String>, id: ContainerId) -> Result<String, Error> {
    if let Some(name) = wanted {
        shared.registry.claim(&name, id)?;
        return Ok(name);
    }
    let mut outcome = Err(Error::conflict("no free name was found: give one with --name"));
    for attempt in 0..NAME_ATTEMPTS_MAX {
        let name = plan::names::made_up(base::random::number(), attempt);
        match shared.registry.claim(&name, id) {
            Ok(()) => return Ok(name),
            Err(error) => outcome = Err(error),
        }
    }
    outcome
}

/// A name without its leading slash, if it is one.
pub(crate) fn checked_name(name: &str) -> Result<String, Error> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    if plan::names::is_valid(bare) {
        return Ok(bare.to_owned());
    }
    Err(Error::invalid(format!(
        "Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
}

/// Refuses what cannot work, and turns names of other containers into their ids.
fn check(shared: &Shared, spec: &mut ContainerSpec) -> Result<(), Error> {
    if merge::args(spec).is_empty() || merge::args(spec)[0].is_empty() {
        return Err(Error::invalid("no command specified"));
    }
    if !spec.working_dir.is_empty() && !spec.working_dir.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            spec.working_dir
        )));
    }
    if !spec.stop_signal.is_empty() {
        signal::parse(&spec.stop_signal)?;
    }
    compose::capabilities(spec)?;
    if spec.auto_remove && spec.restart != RestartPolicy::No {
        return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    volumes::inherit(shared, spec)?;
    for mount in &spec.mounts {
        check_mount(mount)?;
    }
    crate::networks::resolve(shared, spec)?;
    let by_id = |name: &mut String| -> Result<(), Error> {
        let (id, _) = shared.registry.find(name).map_err(|_| no_such(name))?;
        *name = id.to_string();
        Ok(())
    };
    if let NetworkMode::Container(name) = &mut spec.network {
        by_id(name)?;
        if !spec.hostname.is_empty() {
            return Err(Error::invalid("conflicting options: hostname and the network mode"));
        }
        // One address, one name.
        let (_, owner) = shared.registry.find(name)?;
        spec.hostname = compose::hostname(&owner.snapshot().intent);
        if !spec.ports.is_empty() || spec.publish_all {
            return Err(Error::invalid(
                "conflicting options: port publishing and the container type network mode",
            ));
        }
    }
    for sharing in [&mut spec.pid, &mut spec.ipc, &mut spec.uts] {
        if let Sharing::Container(name) = sharing {
            by_id(name)?;
        }
    }
    if let Some(name) = spec.sysctls.keys().find(|name| !is_private(name, spec)) {
        return Err(Error::invalid(format!(
            "sysctl '{name}' is not in a namespace of the container's own: set it on the host, or leave it out"
        )));
    }
    if spec.uts == Sharing::Host && !spec.hostname.is_empty() {
        return Err(Error::invalid("conflicting options: hostname and the UTS mode"));
    }
    Ok(())
}

/// Whether a kernel setting belongs to a namespace that the container has to itself, namespaces(7).
fn is_private(name: &str, spec: &ContainerSpec) -> bool {
    match setting_of(name) {
        Some(SettingOf::Ipc) => spec.ipc == Sharing::Private,
        Some(SettingOf::Network) => spec.network != NetworkMode::Host,
        // Names and users have flags of their own.
        Some(SettingOf::Uts | SettingOf::User) | None => false,
    }
}

fn check_mount(mount: &model::container::Mount) -> Result<(), Error> {
    let target = &mount.target;
    if !target.starts_with('/') {
        return Err(Error::invalid(format!("invalid mount path: '{target}' mount path must be absolute")));
    }
    if target.trim_matches('/').is_empty() {
        return Err(Error::invalid("invalid specification: destination can't be '/'"));
    }
    match &mount.source {
        MountSource::Volume(volume) => ::volumes::check_subpath(&volume.name, &volume.subpath)
            .map_err(|error| volumes::volume_error(&error)),
        MountSource::Image { name, subpath, .. } => ::volumes::check_subpath(name, subpath)
            .map_err(|_| Error::invalid(format!("the subpath {subpath:?} of image {name} leaves the image"))),
        MountSource::Bind { path, create: false, .. } if !std::path::Path::new(path).exists() => {
            Err(Error::invalid(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {path}"
            )))
        }
        _ => Ok(()),
    }
}

/// Refuses limits that make no sense or that this kernel cannot keep. Returns what the user should know.
pub(crate) fn checked_resources(shared: &Shared, resources: &Resources) -> Result<Vec<String>, Error> {
    if let Some(bytes) = resources.memory_bytes.filter(|bytes| *bytes > 0) {
        if bytes < MEMORY_BYTES_MIN {
            return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
        }
        let swap = resources.memory_swap_bytes.unwrap_or(0);
        if swap > 0 && u64::try_from(swap).is_ok_and(|swap| swap < bytes) {
            return Err(Error::invalid(
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ));
        }
        if resources.memory_reservation_bytes.is_some_and(|reserved| reserved > bytes) {
            return Err(Error::invalid(
                "Minimum memory limit can not be less than memory reservation limit, see usage",
            ));
        }
    } else if resources.memory_swap_bytes.is_some_and(|swap| swap > 0) {
        return Err(Error::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    let cpus = u64::from(machine::cpus());
    if resources.nano_cpus.is_some_and(|nano| nano > cpus * 1_000_000_000) {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )));
    }
    if resources.nano_cpus.is_some_and(|nano| nano > 0)
        && resources.cpu_quota_us.is_some_and(|quota| quota > 0)
    {
        return Err(Error::invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set"));
    }
    for (list, what) in [(&resources.cpuset_cpus, "CPUs"), (&resources.cpuset_mems, "memory nodes")] {
        let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else { continue };
        check_set(list, what, if what == "CPUs" { cpus } else { u64::MAX })?;
    }
    let mut warnings = Vec::new();
    if resources.oom_kill_disable && !shared.host.layout().is_v1() {
        warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.".to_owned());
    }
    Ok(warnings)
}

/// Checks a list such as `0-2,7`, cpuset(7).
fn check_set(list: &str, what: &str, count: u64) -> Result<(), Error> {
    let bad = || Error::invalid(format!("Invalid value {list} for cpuset {what}"));
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) =
            (first.trim().parse().map_err(|_| bad())?, last.trim().parse().map_err(|_| bad())?);
        if first > last {
            return Err(bad());
        }
        if last >= count {
            return Err(Error::invalid(format!(
                "Requested {what} are not available - requested {list}, available: 0-{}",
                count - 1
            )));
        }
    }
    Ok(())
}
