//! Capabilities, filters, hidden paths.

use crate::wire::HostConfig;
use model::container::{Seccomp, Security};
use platform::Error;

pub(super) fn convert(host: &HostConfig) -> Result<Security, Error> {
    let mut security = Security {
        privileged: host.privileged,
        cap_add: host.cap_add.clone().unwrap_or_default(),
        cap_drop: host.cap_drop.clone().unwrap_or_default(),
        masked_paths: host.masked_paths.clone(),
        read_only_paths: host.readonly_paths.clone(),
        ..Security::default()
    };
    for option in host.security_opt.iter().flatten() {
        apply(&mut security, option)?;
    }
    Ok(security)
}

/// One `name`, `name=value` or, as it was written once, `name:value`.
fn apply(security: &mut Security, option: &str) -> Result<(), Error> {
    let invalid = || Error::invalid(format!("invalid --security-opt 2: {option:?}"));
    if option == "no-new-privileges" {
        security.no_new_privileges = true;
        return Ok(());
    }
    let (name, value) = option
        .split_once('=')
        .or_else(|| option.split_once(':'))
        .ok_or_else(|| Error::invalid(format!("invalid --security-opt 1: {option:?}")))?;
    let refused = |why: &str| {
        Err(Error::not_supported(format!(
            "HostConfig.SecurityOpt \"{name}={value}\" is not supported yet: {why}"
        )))
    };
    match (name, value) {
        ("no-new-privileges", "true") => security.no_new_privileges = true,
        ("no-new-privileges", "false") => security.no_new_privileges = false,
        ("no-new-privileges", _) => return Err(invalid()),
        ("seccomp", "unconfined") => security.seccomp = Seccomp::Unconfined,
        ("seccomp", "builtin") => security.seccomp = Seccomp::Default,
        ("seccomp", profile) => {
            if let Err(error) = serde_json::from_str::<serde_json::Value>(profile) {
                return Err(Error::invalid(format!("Decoding seccomp profile failed: {error}")));
            }
            security.seccomp = Seccomp::Profile(profile.to_owned());
        }
        // Neither AppArmor nor SELinux is used, so that both are off already.
        ("apparmor", "unconfined") | ("label", "disable") => {}
        ("apparmor", _) => return refused("AppArmor profiles are not applied"),
        ("label", _) => return refused("SELinux labels are not applied"),
        ("systempaths", "unconfined") => {
            security.masked_paths = Some(Vec::new());
            security.read_only_paths = Some(Vec::new());
        }
        ("writable-cgroups", "false") => {}
        ("writable-cgroups", _) => return refused("control groups are shown read-only"),
        _ => return Err(invalid()),
    }
    Ok(())
}
