//! What is shown inside: `Binds`, `Mounts`, `Tmpfs`, and the anonymous volumes of `Volumes`.

use super::bytes;
use crate::wire::{BindOptions, Config, HostConfig, MountSpec, TmpfsOptions, VolumeOptions};
use model::VolumeSpec;
use model::container::{Mount, MountSource, VolumeMount, VolumesFrom};
use platform::Error;
use std::collections::BTreeSet;

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "slave", "rslave", "shared", "rshared"];

/// What is mounted, and the paths that want a volume unless something is.
pub(super) fn convert(
    config: &Config,
    host: &HostConfig,
    version: u32,
) -> Result<(Vec<Mount>, BTreeSet<String>), Error> {
    let mut mounts = Vec::new();
    for text in host.binds.iter().flatten() {
        mounts.push(bind(text)?);
    }
    for spec in &host.mounts {
        mounts.push(mount(spec, version)?);
    }
    for (target, options) in &host.tmpfs {
        mounts.push(tmpfs(target, options)?);
    }
    let mut targets = BTreeSet::new();
    for mount in &mut mounts {
        mount.target = clean(&mount.target);
        if !targets.insert(mount.target.clone()) {
            return Err(Error::invalid(format!("Duplicate mount point: {}", mount.target)));
        }
    }
    let volumes = config.volumes.iter().flat_map(|volumes| volumes.keys());
    Ok((mounts, volumes.map(|target| clean(target)).collect()))
}

/// `CONTAINER[:ro]`.
pub(super) fn volumes_from(text: &str) -> Result<VolumesFrom, Error> {
    let (container, mode) = text.split_once(':').unwrap_or((text, ""));
    if container.is_empty() {
        return Err(Error::invalid("volumes-from specification cannot be an empty string"));
    }
    let mut writable = None;
    for word in mode.split(',').filter(|word| !word.is_empty()) {
        match word {
            "ro" => writable = Some(false),
            "rw" => writable = Some(true),
            "z" | "Z" => {}
            _ => return Err(Error::invalid(format!("invalid mode: {mode}"))),
        }
    }
    Ok(VolumesFrom { container: container.to_owned(), writable })
}

/// A path without empty parts, `.` and a slash at the end.
fn clean(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn volume_name(name: &str) -> Result<(), Error> {
    let valid = name.len() > 1
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if valid {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
         allowed. If you intended to pass a host directory, use absolute path"
    )))
}

/// `/host:/inside[:options]`, `name:/inside[:options]` or `/inside`.
fn bind(text: &str) -> Result<Mount, Error> {
    let invalid = || Error::invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.splitn(4, ':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => return Err(invalid()),
    };
    if target.is_empty() || (parts.len() > 1 && source.is_empty()) {
        return Err(invalid());
    }
    let (mut read_only, mut copy, mut propagation) = (false, true, String::new());
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "nocopy" => copy = false,
            // SELinux labels and Docker Desktop's consistency: nothing to be done on such a machine, as in dockerd.
            "z" | "Z" | "consistent" | "cached" | "delegated" => {}
            _ if PROPAGATIONS.contains(&option) => option.clone_into(&mut propagation),
            _ => return Err(Error::invalid(format!("invalid mode: {options}"))),
        }
    }
    let source = if source.starts_with('/') {
        MountSource::Bind {
            path: clean(source),
            create: true,
            recursive: true,
            propagation,
            read_only_top: false,
        }
    } else {
        if !source.is_empty() {
            volume_name(source)?;
        }
        MountSource::Volume(VolumeMount { name: source.to_owned(), copy, ..VolumeMount::default() })
    };
    Ok(Mount { target: target.to_owned(), source, read_only })
}

/// One of the longer form.
fn mount(spec: &MountSpec, version: u32) -> Result<Mount, Error> {
    let MountSpec { kind, source, target, read_only, .. } = spec;
    let bad = |why: &str| Error::invalid(format!("invalid mount config for type \"{kind}\": {why}"));
    if target.is_empty() {
        return Err(bad("field Target must not be empty"));
    }
    let options = [
        ("BindOptions", "bind", spec.bind_options.is_some()),
        ("VolumeOptions", "volume", spec.volume_options.is_some()),
        ("TmpfsOptions", "tmpfs", spec.tmpfs_options.is_some()),
        ("ImageOptions", "image", spec.image_options.is_some()),
    ];
    for (name, of, given) in options {
        if given && kind != of && version >= 42 {
            return Err(Error::invalid(format!("{name} must not be specified on mount type \"{kind}\"")));
        }
    }
    let source = match kind.as_str() {
        "bind" => {
            let options = spec.bind_options.clone().unwrap_or_default();
            check_read_only(*read_only, &options).map_err(|why| bad(&why))?;
            if source.is_empty() {
                return Err(bad("field Source must not be empty"));
            }
            if !source.starts_with('/') {
                return Err(bad(&format!("invalid mount path: '{source}' mount path must be absolute")));
            }
            if !options.propagation.is_empty() && !PROPAGATIONS.contains(&options.propagation.as_str()) {
                return Err(bad(&format!("invalid propagation mode: {}", options.propagation)));
            }
            MountSource::Bind {
                path: clean(source),
                create: options.create_mountpoint && version >= 42,
                recursive: !options.non_recursive || version < 40,
                propagation: options.propagation,
                read_only_top: options.read_only_non_recursive,
            }
        }
        "volume" => {
            if source.is_empty() {
                if *read_only {
                    return Err(bad("must not set ReadOnly mode when using anonymous volumes"));
                }
            } else {
                volume_name(source)?;
            }
            volume(source, spec.volume_options.clone().unwrap_or_default())
        }
        "image" => {
            if source.is_empty() {
                return Err(bad("field Source must not be empty"));
            }
            let subpath = spec.image_options.clone().unwrap_or_default().subpath;
            MountSource::Image { name: source.clone(), id: None, subpath }
        }
        "tmpfs" if !source.is_empty() => return Err(bad("field Source must not be specified")),
        "tmpfs" => long_tmpfs(&spec.tmpfs_options.clone().unwrap_or_default()).map_err(|why| bad(&why))?,
        "npipe" | "cluster" => {
            return Err(Error::not_supported(format!(
                "HostConfig.Mounts of type \"{kind}\" is not supported yet: bind, volume, tmpfs and image are"
            )));
        }
        _ => return Err(bad("mount type unknown")),
    };
    let read_only = *read_only || kind == "image";
    Ok(Mount { target: target.clone(), source, read_only })
}

/// How far a bind is read-only: said only of one that is, and in one way.
fn check_read_only(read_only: bool, options: &BindOptions) -> Result<(), String> {
    let (top, all) = (options.read_only_non_recursive, options.read_only_force_recursive);
    if top && all {
        return Err("mount options conflict: ReadOnlyNonRecursive and ReadOnlyForceRecursive".to_owned());
    }
    if (top || all) && !read_only {
        return Err(
            "mount options conflict: ReadOnlyNonRecursive or ReadOnlyForceRecursive without ReadOnly"
                .to_owned(),
        );
    }
    Ok(())
}

fn volume(source: &str, options: VolumeOptions) -> MountSource {
    let driver = options.driver_config.unwrap_or_default();
    let spec = VolumeSpec { labels: options.labels, options: driver.options, ..VolumeSpec::default() };
    MountSource::Volume(VolumeMount {
        name: source.to_owned(),
        copy: !options.no_copy,
        subpath: options.subpath,
        spec,
        ..VolumeMount::default()
    })
}

fn long_tmpfs(options: &TmpfsOptions) -> Result<MountSource, String> {
    let mut words = Vec::new();
    for option in &options.options {
        match option.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [word @ ("exec" | "noexec")] => words.push(word.to_owned()),
            [word] | [word, _] => return Err(format!("invalid option: {word}")),
            _ => return Err("invalid option array length".to_owned()),
        }
    }
    Ok(MountSource::Tmpfs {
        size_bytes: u64::try_from(options.size_bytes).ok().filter(|bytes| *bytes > 0),
        mode: Some(options.mode).filter(|mode| *mode != 0),
        options: words,
    })
}

/// `--tmpfs /path:size=64m,mode=1777,noexec`.
fn tmpfs(target: &str, options: &str) -> Result<Mount, Error> {
    let (mut size_bytes, mut mode, mut words, mut read_only) = (None, None, Vec::new(), false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let bad = || Error::invalid(format!("invalid tmpfs option [{option:?}]"));
        match option.split_once('=') {
            Some(("size", text)) if !text.ends_with('%') => size_bytes = Some(bytes(text).ok_or_else(bad)?),
            Some(("mode", text)) => mode = Some(u32::from_str_radix(text, 8).map_err(|_| bad())?),
            None if option == "ro" => read_only = true,
            None if option == "rw" => read_only = false,
            _ => words.push(option.to_owned()),
        }
    }
    let source = MountSource::Tmpfs { size_bytes, mode, options: words };
    Ok(Mount { target: target.to_owned(), source, read_only })
}
