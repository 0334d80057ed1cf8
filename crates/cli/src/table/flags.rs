//! The flags, in the groups under which the help shows them.

use super::Takes::{Many, Nothing, One};
use super::{Flag, Group, Takes};

/// The heading of flags that need none of their own.
pub(super) const FLAGS: &str = "Flags";

pub(super) const fn flag(long: &'static str, short: Option<char>, takes: Takes, help: &'static str) -> Flag {
    Flag { long, short, takes, help }
}

pub(super) const fn group(heading: &'static str, flags: &'static [Flag]) -> Group {
    Group { heading, flags }
}

pub(super) const NAME: Group = group(
    "Name and image",
    &[
        flag("name", None, One("NAME"), "Give the container this name instead of a made-up one"),
        flag("label", Some('l'), Many("KEY=VALUE"), "Attach a label"),
        flag("label-file", None, Many("FILE"), "Attach labels from a file, one a line"),
        flag("cidfile", None, One("FILE"), "Write the container's id to a file"),
        flag("pull", None, One("WHEN"), "Pull the image: missing (the default), always or never"),
        flag("platform", None, One("OS/ARCH"), "Pull the image of this platform, and refuse another"),
        flag("quiet", Some('q'), Nothing, "Say nothing about pulling the image"),
    ],
);
pub(super) const PROCESS: Group = group(
    "The process",
    &[
        flag(
            "env",
            Some('e'),
            Many("NAME=VALUE"),
            "Set a variable of the environment; NAME alone takes ours",
        ),
        flag("env-file", None, Many("FILE"), "Set variables from a file, one a line"),
        flag("workdir", Some('w'), One("PATH"), "Start in this directory"),
        flag("user", Some('u'), One("USER[:GROUP]"), "Run as this user"),
        flag("group-add", None, Many("GROUP"), "Add a group to the user's own"),
        flag("entrypoint", None, One("PROGRAM"), "Run this instead of the image's entry point"),
        flag("init", None, Nothing, "Run a small init that reaps orphans and passes signals on"),
        flag("interactive", Some('i'), Nothing, "Keep standard input open"),
        flag("tty", Some('t'), Nothing, "Give it a terminal"),
        flag("stop-signal", None, One("SIGNAL"), "The signal that asks it to end"),
        flag("stop-timeout", None, One("SECONDS"), "Seconds between that signal and SIGKILL"),
        flag("restart", None, One("POLICY"), "Start it again: no, on-failure[:MAX], always, unless-stopped"),
        flag("rm", None, Nothing, "Remove it once it has ended"),
        flag("hostname", Some('h'), One("NAME"), "Its host name"),
        flag("domainname", None, One("NAME"), "Its NIS domain name"),
        flag("ulimit", None, Many("NAME=SOFT[:HARD]"), "A resource limit of its processes"),
        flag("oom-score-adj", None, One("NUMBER"), "Adjust which process dies first when memory runs out"),
        flag("no-healthcheck", None, Nothing, "Do not check the health that the image defines"),
    ],
);
pub(super) const STORAGE: Group = group(
    "Files and devices",
    &[
        flag(
            "volume",
            Some('v'),
            Many("[SOURCE:]PATH[:OPTIONS]"),
            "Show a volume, or a directory of the host, at a path",
        ),
        flag(
            "mount",
            None,
            Many("SPEC"),
            "The same in words: type=volume|bind|tmpfs|image,source=…,target=…[,readonly]",
        ),
        flag("volumes-from", None, Many("CONTAINER[:ro]"), "Show all that a container mounts"),
        flag("volume-driver", None, One("NAME"), "The kind of its volumes, which is local"),
        flag("tmpfs", None, Many("PATH[:OPTIONS]"), "Show memory at a path"),
        flag("read-only", None, Nothing, "Make the root file system read-only"),
        flag("shm-size", None, One("BYTES"), "Size of /dev/shm"),
        flag("device", None, Many("DEVICE[:PATH[:rwm]]"), "Show a device of the host"),
    ],
);
pub(super) const NETWORK: Group = group(
    "Network",
    &[
        flag("publish", Some('p'), Many("[IP:][PORT:]PORT[/PROTOCOL]"), "Let the host answer for a port"),
        flag(
            "publish-all",
            Some('P'),
            Nothing,
            "Let the host answer for every exposed port, each on a free one",
        ),
        flag("expose", None, Many("PORT"), "Say that it listens on a port"),
        flag(
            "network",
            None,
            Many("NETWORK"),
            "A network's name, host, none, or container:NAME; or in words: name=…,alias=…,ip=…,ip6=…",
        ),
        flag("net", None, Many("NETWORK"), "The same"),
        flag("network-alias", None, Many("NAME"), "One more name on the first network"),
        flag("net-alias", None, Many("NAME"), "The same"),
        flag("ip", None, One("IP"), "Its address of IPv4 on the first network"),
        flag("ip6", None, One("IP"), "Its address of IPv6 on the first network"),
        flag("link", None, Many("CONTAINER[:NAME]"), "Another container, under a name that it alone knows"),
        flag("add-host", None, Many("NAME:IP"), "Add a line to /etc/hosts"),
        flag("dns", None, Many("IP"), "Ask this name server"),
        flag("dns-search", None, Many("DOMAIN"), "Search this domain"),
        flag("dns-option", None, Many("OPTION"), "Set an option of the resolver"),
        flag("mac-address", None, One("ADDRESS"), "Its hardware address on the first network"),
    ],
);
pub(super) const LIMITS: Group = group(
    "Limits",
    &[
        flag("memory", Some('m'), One("BYTES"), "Limit of memory"),
        flag("memory-swap", None, One("BYTES"), "Limit of memory and swap together, -1 for any"),
        flag("memory-reservation", None, One("BYTES"), "Memory that is left to it under pressure"),
        flag(
            "oom-kill-disable",
            None,
            Nothing,
            "Let it wait instead of dying when memory runs out (cgroup v1)",
        ),
        flag("cpus", None, One("NUMBER"), "How many CPUs it may use"),
        flag("cpu-shares", Some('c'), One("NUMBER"), "Its share beside others, 1024 is usual"),
        flag("cpu-period", None, One("MICROSECONDS"), "Period of the CPU limit"),
        flag("cpu-quota", None, One("MICROSECONDS"), "CPU time in a period"),
        flag("cpuset-cpus", None, One("LIST"), "CPUs it may use: 0-2,7"),
        flag("cpuset-mems", None, One("LIST"), "Memory nodes it may use"),
        flag("pids-limit", None, One("NUMBER"), "Limit of processes and threads"),
    ],
);
pub(super) const ISOLATION: Group = group(
    "Isolation",
    &[
        flag("pid", None, One("MODE"), "Processes: host, or container:NAME"),
        flag("ipc", None, One("MODE"), "Shared memory: private, host, or container:NAME"),
        flag("userns", None, One("MODE"), "User namespace: host, auto or keep"),
        flag("uts", None, One("MODE"), "Host name: host"),
        flag("cgroupns", None, One("MODE"), "Control groups: private or host"),
        flag("cap-add", None, Many("NAME"), "Give a capability"),
        flag("cap-drop", None, Many("NAME"), "Take a capability away"),
        flag("privileged", None, Nothing, "Allow everything, and show all devices"),
        flag("security-opt", None, Many("OPTION"), "no-new-privileges, seccomp=unconfined, seccomp=FILE"),
        flag("sysctl", None, Many("NAME=VALUE"), "A kernel setting inside"),
        flag("log-driver", None, One("NAME"), "local, or none to keep nothing"),
        flag("log-opt", None, Many("NAME=VALUE"), "max-size, max-file"),
    ],
);
pub(super) const RUN_ONLY: Group = group(
    "This terminal",
    &[
        flag("detach", Some('d'), Nothing, "Do not wait for it; print its id"),
        flag("attach", Some('a'), Many("STREAM"), "Take part in stdin, stdout or stderr"),
        flag("timings", None, Nothing, "Print where the time of its start went, step by step"),
        flag("detach-keys", None, One("KEYS"), "Keys that leave it running, ctrl-p,ctrl-q by default"),
        flag("sig-proxy", None, One("BOOL"), "Pass signals on to it: true or false"),
    ],
);
pub(super) const FILTER: Group =
    group(FLAGS, &[flag("filter", Some('f'), Many("NAME=VALUE"), "Show only what fits")]);
/// Of commands that remove what nobody uses.
pub(super) const PRUNE: Group = group(
    FLAGS,
    &[
        flag(
            "filter",
            None,
            Many("NAME=VALUE"),
            "Only what fits: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]",
        ),
        flag("force", Some('f'), Nothing, "Do not ask before"),
    ],
);
pub(super) const FORMAT: Group = group(
    FLAGS,
    &[flag("format", None, One("TEMPLATE"), "Show in this form: table, json, or a Go template")],
);
pub(super) const INSPECT_FORMAT: Group = group(
    FLAGS,
    &[
        flag("format", Some('f'), One("TEMPLATE"), "Show in this form: json, or a Go template"),
        flag("size", Some('s'), Nothing, "Measure sizes too"),
        flag("type", None, One("KIND"), "container, image, network or volume"),
        flag("remote", None, Nothing, "Look at an image at its registry, without pulling it"),
        flag("platform", None, One("OS/ARCH"), "With --remote, the image of this platform"),
    ],
);
pub(super) const QUIET: Group = group(
    FLAGS,
    &[
        flag("quiet", Some('q'), Nothing, "Show ids only"),
        flag("no-trunc", None, Nothing, "Show everything in full length"),
    ],
);
pub(super) const NO_TRUNC: Group =
    group(FLAGS, &[flag("no-trunc", None, Nothing, "Show everything in full length")]);
pub(super) const STOP: Group = group(
    FLAGS,
    &[
        flag("time", Some('t'), One("SECONDS"), "Seconds until SIGKILL, -1 for never"),
        flag("timeout", None, One("SECONDS"), "The same"),
        flag("signal", Some('s'), One("SIGNAL"), "The signal to send first"),
    ],
);
pub(super) const EXEC: Group = group(
    FLAGS,
    &[
        flag("detach", Some('d'), Nothing, "Do not wait for it"),
        flag("detach-keys", None, One("KEYS"), "Keys that leave it running"),
        flag("env", Some('e'), Many("NAME=VALUE"), "Set a variable of the environment"),
        flag("env-file", None, Many("FILE"), "Set variables from a file"),
        flag("interactive", Some('i'), Nothing, "Keep standard input open"),
        flag("privileged", None, Nothing, "Give it all capabilities"),
        flag("tty", Some('t'), Nothing, "Give it a terminal"),
        flag("user", Some('u'), One("USER[:GROUP]"), "Run as this user"),
        flag("workdir", Some('w'), One("PATH"), "Start in this directory"),
    ],
);

/// A registry alone.
pub(super) const REGISTRY: Group = group(
    FLAGS,
    &[
        flag("listen", None, One("ADDRESS:PORT"), "Listen here [127.0.0.1:5000]"),
        flag("data", None, One("DIRECTORY"), "Where everything is kept [/var/lib/bocage-registry]"),
        flag("users", None, One("FILE"), "Let in whom this file names; SIGHUP reads it again"),
        flag(
            "anonymous-pull",
            None,
            One("PATTERN"),
            "Let everybody pull, from repositories that fit: * is all of them",
        ),
        flag("tls-cert", None, One("FILE"), "Encrypt with this certificate, in PEM"),
        flag("tls-key", None, One("FILE"), "The certificate's key"),
        flag(
            "tls-client-ca",
            None,
            One("FILE"),
            "Let in whose certificate one of these authorities has signed",
        ),
        flag("cache", None, Many("REGISTRY"), "Copy what is asked for from this registry, such as docker.io"),
        flag(
            "cache-login",
            None,
            Many("REGISTRY=USER:FILE"),
            "Ask there as this user, with the password in this file",
        ),
        flag("without-users", None, Nothing, "Let in everybody, also beyond this machine"),
        flag("without-tls", None, Nothing, "Encrypt nothing, also beyond this machine"),
        flag("log-level", Some('l'), One("LEVEL"), "error, warn, info, debug, trace or off [info]"),
    ],
);

/// A registry in the daemon.
pub(super) const DAEMON_REGISTRY: Group = group(
    "Registry",
    &[
        flag("registry", None, Nothing, "Serve a registry; any other flag of it does so as well"),
        flag("registry-listen", None, One("ADDRESS:PORT"), "Listen here [127.0.0.1:5000]"),
        flag("registry-users", None, One("FILE"), "Let in whom this file names"),
        flag(
            "registry-anonymous-pull",
            None,
            One("PATTERN"),
            "Let everybody pull, from repositories that fit: * is all of them",
        ),
        flag("registry-tls-cert", None, One("FILE"), "Encrypt with this certificate, in PEM"),
        flag("registry-tls-key", None, One("FILE"), "The certificate's key"),
        flag(
            "registry-tls-client-ca",
            None,
            One("FILE"),
            "Let in whose certificate one of these authorities has signed",
        ),
        flag(
            "registry-cache",
            None,
            Many("REGISTRY"),
            "Copy what is asked for from this registry, such as docker.io",
        ),
        flag(
            "registry-cache-login",
            None,
            Many("REGISTRY=USER:FILE"),
            "Ask there as this user, with the password in this file",
        ),
        flag("registry-without-users", None, Nothing, "Let in everybody, also beyond this machine"),
        flag("registry-without-tls", None, Nothing, "Encrypt nothing, also beyond this machine"),
    ],
);

pub(super) const DAEMON: Group = group(
    FLAGS,
    &[
        flag("data-root", None, One("DIRECTORY"), "Where images and containers are kept [/var/lib/bocage]"),
        flag(
            "exec-root",
            None,
            One("DIRECTORY"),
            "Where sockets and states of this boot are kept [/run/bocage]",
        ),
        flag(
            "config",
            None,
            One("FILE"),
            "Settings: registries, mirrors, certificates [/etc/bocage/config.yaml]",
        ),
        flag(
            "host",
            Some('H'),
            Many("ADDRESS"),
            "Listen here: unix:///path or tcp://127.0.0.1:PORT [EXEC-ROOT/bocage.sock]",
        ),
        flag(
            "userns-default",
            None,
            One("MODE"),
            "User namespace of containers that do not say: host, auto or keep [host]",
        ),
        flag(
            "tcp-without-tls",
            None,
            Nothing,
            "Allow tcp:// on a loopback address: every local user can then be root",
        ),
        flag("log-level", Some('l'), One("LEVEL"), "error, warn, info, debug or trace [info]"),
    ],
);

/// How a base image is made.
pub(super) const BOOTSTRAP: Group = group(
    FLAGS,
    &[
        flag("package", None, Many("NAME[,NAME]"), "Install these too, and what they need"),
        flag("tag", None, One("NAME[:TAG]"), "Give the image this name [DISTRIBUTION:SUITE]"),
        flag("mirror", None, One("URL"), "Fetch from here instead of the distribution's own mirror"),
        flag("components", None, One("NAME[,NAME]"), "Parts of the archive [main]"),
        flag("security", None, Nothing, "Take the distribution's security updates in"),
        flag(
            "keyring",
            None,
            One("FILE"),
            "Believe these keys [/usr/share/keyrings/DISTRIBUTION-archive-keyring.gpg]",
        ),
        flag("allow-unsigned", None, Nothing, "Believe whoever answers: no signature is looked at"),
        flag("allow-expired", None, Nothing, "Take an archive of the past"),
        flag("arch", None, One("NAME"), "Its architecture, which must be the daemon's"),
        flag("cache", None, One("DIRECTORY"), "Keep what is fetched here, for the next time"),
        flag("quiet", Some('q'), Nothing, "Show the image's id only"),
    ],
);
