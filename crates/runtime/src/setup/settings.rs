//! Which kernel setting belongs to which namespace: what belongs to none would be set for the whole host.

/// The settings of an ipc namespace, beside all in `fs.mqueue`: namespaces(7), ipc_namespaces(7).
const OF_IPC: [&str; 9] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_next_id",
    "kernel.shm_rmid_forced",
];

/// The kind of namespace that a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingOf {
    /// The network's.
    Network,
    /// That of inter-process communication.
    Ipc,
    /// The one of names.
    Uts,
    /// That of users.
    User,
}

/// The namespace of a setting such as `net.core.somaxconn`, written with dots or slashes; none for the whole host.
pub fn setting_of(name: &str) -> Option<SettingOf> {
    let name = name.replace('/', ".");
    if name.starts_with("net.") {
        Some(SettingOf::Network)
    } else if OF_IPC.contains(&name.as_str()) || name.starts_with("fs.mqueue.") {
        Some(SettingOf::Ipc)
    } else if name == "kernel.domainname" || name == "kernel.hostname" {
        Some(SettingOf::Uts)
    } else {
        name.starts_with("user.").then_some(SettingOf::User)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_belongs_to_one_namespace_or_to_the_host() {
        assert_eq!(setting_of("net.core.somaxconn"), Some(SettingOf::Network));
        assert_eq!(setting_of("net/ipv4/conf/eth0.1/forwarding"), Some(SettingOf::Network));
        assert_eq!(setting_of("kernel.sem"), Some(SettingOf::Ipc));
        assert_eq!(setting_of("kernel.panic"), None);
        assert_eq!(setting_of("vm.swappiness"), None);
    }
}
