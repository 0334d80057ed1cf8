//! Which capabilities a container keeps, capabilities(7).

/// Every capability that Linux knows, by its number.
pub const ALL: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The fourteen that a container keeps unless it asks for something else: Docker's.
pub const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The capability that a text means, with or without `CAP_`, in any case; none if there is no such.
pub fn named(text: &str) -> Option<&'static str> {
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    ALL.into_iter().find(|name| &name[4..] == bare)
}

/// A name that is no capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(pub String);

/// What is kept after additions and removals; `ALL` stands for all of them in either list.
///
/// # Errors
/// The first name that is no capability.
pub fn kept(privileged: bool, add: &[String], drop: &[String]) -> Result<Vec<&'static str>, Unknown> {
    let is_all = |text: &String| text.eq_ignore_ascii_case("ALL") || text.eq_ignore_ascii_case("CAP_ALL");
    let known = |names: &[String]| -> Result<Vec<&'static str>, Unknown> {
        names.iter().filter(|t| !is_all(t)).map(|t| named(t).ok_or_else(|| Unknown(t.clone()))).collect()
    };
    let (added, dropped) = (known(add)?, known(drop)?);
    if privileged {
        return Ok(ALL.to_vec());
    }
    let (add_all, drop_all) = (add.iter().any(is_all), drop.iter().any(is_all));
    let keeps = |name: &&'static str| {
        if add_all {
            !dropped.contains(name)
        } else if drop_all {
            added.contains(name)
        } else {
            (DEFAULT.contains(name) && !dropped.contains(name)) || added.contains(name)
        }
    };
    Ok(ALL.into_iter().filter(keeps).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn fourteen_are_kept_by_default() {
        let kept = kept(false, &[], &[]).unwrap();
        assert_eq!(kept.len(), 14);
        assert!(DEFAULT.iter().all(|name| kept.contains(name)));
    }

    #[test]
    fn names_are_read_with_and_without_their_prefix() {
        let kept = kept(false, &words("net_admin CAP_SYS_TIME"), &words("MKNOD")).unwrap();
        assert!(
            kept.contains(&"CAP_NET_ADMIN") && kept.contains(&"CAP_SYS_TIME") && !kept.contains(&"CAP_MKNOD")
        );
        assert_eq!(super::kept(false, &words("FLY"), &[]), Err(Unknown("FLY".to_owned())));
    }

    #[test]
    fn all_can_be_added_or_dropped_with_exceptions() {
        assert_eq!(kept(false, &words("CHOWN"), &words("ALL")).unwrap(), ["CAP_CHOWN"]);
        assert_eq!(kept(false, &words("ALL"), &words("CHOWN")).unwrap().len(), ALL.len() - 1);
        assert_eq!(kept(true, &[], &words("CHOWN")).unwrap().len(), ALL.len());
    }
}
