//! `config.json` of a bundle, as the OCI runtime specification 1.2 has it: the fields for Linux, by their names there.
//!
//! Plain data: what it means is decided in [`super::convert`]. A field that is null is a field that is absent, and one that is unknown
//! is passed over, as the specification demands.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Declares structs of the specification: all their fields may be absent, and those that say nothing are not written.
macro_rules! objects {
    ($($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $kind:ty,)* })*) => { $(
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub struct $name { $(
            $(#[$field_about])*
            #[serde(skip_serializing_if = "says_nothing")]
            pub $field: $kind,
        )* }
    )* };
}

/// Whether a value is the one that an absent field has.
fn says_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

objects! {
    /// The whole file.
    Config {
        /// The version of the specification.
        oci_version: String,
        /// The root file system.
        root: Option<Root>,
        /// What runs.
        process: Option<Process>,
        /// The host name.
        hostname: Option<String>,
        /// The NIS domain name.
        domainname: Option<String>,
        /// Mounts, in order.
        mounts: Vec<Mount>,
        /// Programs that are run on the way.
        hooks: Hooks,
        /// What the user keeps with it.
        annotations: BTreeMap<String, String>,
        /// What is Linux's own.
        linux: Linux,
    }

    /// The root file system.
    Root {
        /// Its path, from the bundle's on.
        path: PathBuf,
        /// Whether it cannot be written.
        readonly: bool,
    }

    /// What runs.
    Process {
        /// Whether it has a terminal.
        terminal: bool,
        /// The terminal's size.
        console_size: Option<ConsoleSize>,
        /// Its working directory.
        cwd: PathBuf,
        /// `NAME=value`.
        env: Vec<String>,
        /// The program and its arguments.
        args: Vec<String>,
        /// Resource limits.
        rlimits: Vec<Rlimit>,
        /// The five sets.
        capabilities: Option<Capabilities>,
        /// Whether privileges can no longer be gained.
        no_new_privileges: bool,
        /// The AppArmor profile.
        apparmor_profile: Option<String>,
        /// The adjustment of the out-of-memory score.
        oom_score_adj: Option<i32>,
        /// The SELinux label.
        selinux_label: Option<String>,
        /// The priority of input and output.
        io_priority: Option<IoPriority>,
        /// How it is scheduled.
        scheduler: Option<Scheduler>,
        /// Processors for exec.
        #[serde(rename = "execCPUAffinity")]
        exec_cpu_affinity: Option<CpuAffinity>,
        /// Who it runs as.
        user: User,
    }

    /// The size of a terminal.
    ConsoleSize {
        /// Lines.
        height: u16,
        /// Characters in a line.
        width: u16,
    }

    /// One resource limit.
    Rlimit {
        /// Its name, such as `RLIMIT_NOFILE`.
        #[serde(rename = "type")]
        kind: String,
        /// The limit in force.
        soft: u64,
        /// The ceiling for it.
        hard: u64,
    }

    /// The five sets of capabilities.
    Capabilities {
        /// See capabilities(7).
        bounding: Vec<String>,
        /// See capabilities(7).
        effective: Vec<String>,
        /// See capabilities(7).
        permitted: Vec<String>,
        /// See capabilities(7).
        inheritable: Vec<String>,
        /// See capabilities(7).
        ambient: Vec<String>,
    }

    /// The priority of input and output.
    IoPriority {
        /// Such as `IOPRIO_CLASS_BE`.
        class: String,
        /// 0 to 7.
        priority: i64,
    }

    /// How a process is scheduled.
    Scheduler {
        /// Such as `SCHED_OTHER`.
        policy: String,
        /// -20 to 19.
        nice: i32,
        /// 0 to 99.
        priority: i32,
        /// Such as `SCHED_FLAG_RESET_ON_FORK`.
        flags: Vec<String>,
        /// Nanoseconds.
        runtime: u64,
        /// Nanoseconds.
        deadline: u64,
        /// Nanoseconds.
        period: u64,
    }

    /// The processors of a process that is added.
    CpuAffinity {
        /// Until it is in its control groups.
        initial: Option<String>,
        /// From then on.
        #[serde(rename = "final")]
        last: Option<String>,
    }

    /// Who a process runs as.
    User {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// The mask of permissions for new files.
        umask: Option<u32>,
        /// Groups besides.
        additional_gids: Vec<u32>,
    }

    /// One mount.
    Mount {
        /// Where.
        destination: PathBuf,
        /// The kind of file system, or `bind`.
        #[serde(rename = "type")]
        kind: Option<String>,
        /// What.
        source: Option<PathBuf>,
        /// Words of mount(8).
        options: Vec<String>,
        /// Owners shown through a mapping.
        uid_mappings: Vec<IdMapping>,
        /// Groups shown through a mapping.
        gid_mappings: Vec<IdMapping>,
    }

    /// Numbers inside and outside of a user namespace.
    IdMapping {
        /// The first inside.
        #[serde(rename = "containerID")]
        container_id: u32,
        /// The first outside.
        #[serde(rename = "hostID")]
        host_id: u32,
        /// How many.
        size: u32,
    }

    /// Programs that are run on the way.
    Hooks {
        /// As `create_runtime`, before it; an older name.
        prestart: Vec<Hook>,
        /// In the runtime's namespaces.
        create_runtime: Vec<Hook>,
        /// In the container's, before its root changes.
        create_container: Vec<Hook>,
        /// In the container, before its program.
        start_container: Vec<Hook>,
        /// In the runtime's, once the program runs.
        poststart: Vec<Hook>,
        /// In the runtime's, once the container is deleted.
        poststop: Vec<Hook>,
    }

    /// One program.
    Hook {
        /// Its absolute path.
        path: PathBuf,
        /// Its arguments, its name first.
        args: Vec<String>,
        /// `NAME=value`; none for what whoever runs it has.
        env: Option<Vec<String>>,
        /// Seconds.
        timeout: Option<i64>,
    }

    /// What is Linux's own.
    Linux {
        /// Mapping of users.
        uid_mappings: Vec<IdMapping>,
        /// Mapping of groups.
        gid_mappings: Vec<IdMapping>,
        /// Kernel settings.
        sysctl: BTreeMap<String, String>,
        /// Limits.
        resources: Resources,
        /// Where its control group is.
        cgroups_path: Option<String>,
        /// Its namespaces.
        namespaces: Vec<Namespace>,
        /// Device nodes.
        devices: Vec<Device>,
        /// Network devices that are moved into it.
        net_devices: BTreeMap<String, Value>,
        /// The system call filter, in the specification's own form.
        seccomp: Option<Value>,
        /// How mounts pass between its root and the host.
        rootfs_propagation: Option<String>,
        /// Hidden paths.
        masked_paths: Vec<PathBuf>,
        /// Protected paths.
        readonly_paths: Vec<PathBuf>,
        /// The SELinux label of its mounts.
        mount_label: Option<String>,
        /// Intel's resource director.
        intel_rdt: Option<Value>,
        /// Which system it takes itself to be on.
        personality: Option<Personality>,
        /// The offsets of its clocks.
        time_offsets: BTreeMap<String, TimeOffset>,
        /// Where its memory comes from.
        memory_policy: Option<MemoryPolicy>,
    }

    /// A namespace.
    Namespace {
        /// Its kind: `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup`, `time`.
        #[serde(rename = "type")]
        kind: String,
        /// Where it is; none for a new one.
        path: Option<PathBuf>,
    }

    /// A device node.
    Device {
        /// `c`, `b`, `u` or `p`.
        #[serde(rename = "type")]
        kind: String,
        /// Where it appears.
        path: PathBuf,
        /// Its major number.
        major: Option<i64>,
        /// Its minor number.
        minor: Option<i64>,
        /// Its permissions.
        file_mode: Option<u32>,
        /// Its owner.
        uid: Option<u32>,
        /// Its group.
        gid: Option<u32>,
    }

    /// Which system a program takes itself to be on.
    Personality {
        /// `LINUX` or `LINUX32`.
        domain: String,
        /// None is known.
        flags: Vec<String>,
    }

    /// How far a clock is ahead.
    TimeOffset {
        /// Seconds.
        secs: i64,
        /// Nanoseconds.
        nanosecs: u32,
    }

    /// Where memory comes from.
    MemoryPolicy {
        /// Such as `MPOL_BIND`.
        mode: String,
        /// Memory nodes, as a list.
        nodes: String,
        /// Such as `MPOL_F_STATIC_NODES`.
        flags: Vec<String>,
    }

    /// Limits.
    Resources {
        /// Device rules.
        devices: Vec<DeviceRule>,
        /// Memory.
        memory: Memory,
        /// Processor time.
        cpu: Cpu,
        /// Processes.
        pids: Option<Pids>,
        /// Block devices.
        #[serde(rename = "blockIO")]
        block_io: BlockIo,
        /// Huge pages.
        hugepage_limits: Vec<HugepageLimit>,
        /// Marks of packets.
        network: Network,
        /// Remote direct memory access.
        rdma: BTreeMap<String, Rdma>,
        /// Files of control groups v2.
        unified: BTreeMap<String, String>,
    }

    /// A device rule.
    DeviceRule {
        /// Allows (otherwise denies).
        allow: bool,
        /// `a`, `b` or `c`.
        #[serde(rename = "type")]
        kind: Option<String>,
        /// Its major number.
        major: Option<i64>,
        /// Its minor number.
        minor: Option<i64>,
        /// A subset of `rwm`.
        access: Option<String>,
    }

    /// Memory, in bytes.
    Memory {
        /// The limit.
        limit: Option<i64>,
        /// The limit that bites under pressure.
        reservation: Option<i64>,
        /// Memory and swap together.
        swap: Option<i64>,
        /// The kernel's.
        kernel: Option<i64>,
        /// Its buffers for TCP.
        #[serde(rename = "kernelTCP")]
        kernel_tcp: Option<i64>,
        /// 0 to 100.
        swappiness: Option<u64>,
        /// Whether nobody is killed.
        #[serde(rename = "disableOOMKiller")]
        disable_oom_killer: bool,
        /// Whether groups beneath count.
        use_hierarchy: Option<bool>,
        /// Whether a limit beneath what is used is refused.
        check_before_update: bool,
    }

    /// Processor time.
    Cpu {
        /// The share.
        shares: Option<u64>,
        /// Microseconds in a period.
        quota: Option<i64>,
        /// Microseconds saved up.
        burst: Option<u64>,
        /// Microseconds of a period.
        period: Option<u64>,
        /// Microseconds for real-time processes.
        realtime_runtime: Option<i64>,
        /// Microseconds of their period.
        realtime_period: Option<u64>,
        /// A list of processors.
        cpus: Option<String>,
        /// A list of memory nodes.
        mems: Option<String>,
        /// Only when nobody else wants to.
        idle: Option<i64>,
    }

    /// Processes and threads.
    Pids {
        /// How many.
        limit: i64,
    }

    /// Block devices.
    BlockIo {
        /// The share.
        weight: Option<u16>,
        /// The share against groups beneath.
        leaf_weight: Option<u16>,
        /// Shares on single devices.
        weight_device: Vec<WeightDevice>,
        /// Bytes in a second.
        throttle_read_bps_device: Vec<ThrottleDevice>,
        /// Bytes in a second.
        throttle_write_bps_device: Vec<ThrottleDevice>,
        /// Operations in a second.
        #[serde(rename = "throttleReadIOPSDevice")]
        throttle_read_iops_device: Vec<ThrottleDevice>,
        /// Operations in a second.
        #[serde(rename = "throttleWriteIOPSDevice")]
        throttle_write_iops_device: Vec<ThrottleDevice>,
    }

    /// A share on a device.
    WeightDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
        /// The share.
        weight: Option<u16>,
        /// The share against groups beneath.
        leaf_weight: Option<u16>,
    }

    /// A rate on a device.
    ThrottleDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
        /// How much in a second.
        rate: u64,
    }

    /// Huge pages of one size.
    HugepageLimit {
        /// Such as `2MB`.
        page_size: String,
        /// Bytes.
        limit: u64,
    }

    /// Marks of packets.
    Network {
        /// The class.
        #[serde(rename = "classID")]
        class_id: Option<u32>,
        /// Priorities by interface.
        priorities: Vec<InterfacePriority>,
    }

    /// The priority of packets on an interface.
    InterfacePriority {
        /// Its name.
        name: String,
        /// The priority.
        priority: u32,
    }

    /// Remote direct memory access on one device.
    Rdma {
        /// Handles.
        hca_handles: Option<u32>,
        /// Objects.
        hca_objects: Option<u32>,
    }
}

impl Config {
    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// Where it is no JSON, or a field has another kind of value than the specification gives it: with its line, or its name.
    pub fn parse(text: &[u8]) -> Result<Config, serde_json::Error> {
        from_json(text)
    }
}

/// Reads an object of the specification, in which null means absent.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    let mut value: Value = serde_json::from_slice(text)?;
    forget_nulls(&mut value);
    serde_json::from_value(value)
}

fn forget_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(forget_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_absent_and_what_is_unknown_is_passed_over() {
        let text = br#"{"ociVersion":"1.2.0","mounts":null,"future":{"x":1},
            "linux":{"resources":{"memory":null,"blockIO":{"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":5}]}}}}"#;
        let config = Config::parse(text).unwrap();
        assert_eq!(config.mounts, []);
        assert_eq!(config.linux.resources.block_io.throttle_read_iops_device[0].rate, 5);
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_an_error() {
        let error = Config::parse(br#"{"hostname":{}}"#).unwrap_err().to_string();
        assert!(error.contains("expected a string"), "{error}");
    }

    #[test]
    fn what_says_nothing_is_not_written() {
        assert_eq!(serde_json::to_string(&Config::default()).unwrap(), "{}");
    }
}
