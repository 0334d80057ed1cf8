//! Every command and every flag, as data: what is parsed, what the help says, and what completes.
//!
//! A command is built for the parser only when it is asked for, so that starting up costs the same however many there are.

use clap::{Arg, ArgAction, ArgMatches, Command};

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing: it is there or not. `--flag=false` is understood.
    Nothing,
    /// One value, named so in the help.
    One(&'static str),
    /// A value each time it is given.
    Many(&'static str),
}

/// One flag.
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes: Takes,
    pub(crate) help: &'static str,
}

/// One command.
pub(crate) struct Entry {
    /// Its words: `run`, `image ls`.
    pub(crate) name: &'static str,
    /// Other words for it.
    pub(crate) aliases: &'static [&'static str],
    /// Under which heading `--help` lists it; none leaves it out.
    pub(crate) group: Option<&'static str>,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    /// What follows the flags.
    pub(crate) operands: Operands,
    /// Its flags.
    pub(crate) flags: &'static [&'static [Flag]],
    /// Examples, a line each.
    pub(crate) examples: &'static [&'static str],
}

/// What follows the flags.
#[derive(Clone, Copy)]
pub(crate) enum Operands {
    /// Nothing.
    None,
    /// Exactly these.
    These(&'static [&'static str]),
    /// At least `min` of the one name.
    Several(&'static str, usize),
    /// These, and then a command with its own flags.
    Command(&'static [&'static str]),
}

const fn flag(long: &'static str, short: Option<char>, takes: Takes, help: &'static str) -> Flag {
    Flag { long, short, takes, help }
}

use Takes::{Many, Nothing, One};

const NAME: &[Flag] = &[
    flag("name", None, One("NAME"), "Give the container this name instead of a made-up one"),
    flag("label", Some('l'), Many("KEY=VALUE"), "Attach a label"),
    flag("label-file", None, Many("FILE"), "Attach labels from a file, one a line"),
    flag("cidfile", None, One("FILE"), "Write the container's id to a file"),
    flag(
        "pull",
        None,
        One("WHEN"),
        "Whether to pull the image: missing, never (there is no registry client yet)",
    ),
    flag("platform", None, One("OS/ARCH"), "Refuse an image that is made for another platform"),
];
const PROCESS: &[Flag] = &[
    flag("env", Some('e'), Many("NAME=VALUE"), "Set a variable of the environment; NAME alone takes ours"),
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
];
const STORAGE: &[Flag] = &[
    flag("volume", Some('v'), Many("[SOURCE:]PATH[:OPTIONS]"), "Show a directory of the host at a path"),
    flag("mount", None, Many("SPEC"), "The same in words: type=bind,source=…,target=…[,readonly]"),
    flag("tmpfs", None, Many("PATH[:OPTIONS]"), "Show memory at a path"),
    flag("read-only", None, Nothing, "Make the root file system read-only"),
    flag("shm-size", None, One("BYTES"), "Size of /dev/shm"),
    flag("device", None, Many("DEVICE[:PATH[:rwm]]"), "Show a device of the host"),
];
const NETWORK: &[Flag] = &[
    flag("publish", Some('p'), Many("[IP:][PORT:]PORT[/udp]"), "Let the host answer for a port"),
    flag("publish-all", Some('P'), Nothing, "Let the host answer for every exposed port, each on a free one"),
    flag("expose", None, Many("PORT"), "Say that it listens on a port"),
    flag("network", None, One("MODE"), "bridge, host, none, or container:NAME"),
    flag("net", None, One("MODE"), "The same"),
    flag("add-host", None, Many("NAME:IP"), "Add a line to /etc/hosts"),
    flag("dns", None, Many("IP"), "Ask this name server"),
    flag("dns-search", None, Many("DOMAIN"), "Search this domain"),
    flag("dns-option", None, Many("OPTION"), "Set an option of the resolver"),
    flag("mac-address", None, One("ADDRESS"), "Its hardware address"),
];
const LIMITS: &[Flag] = &[
    flag("memory", Some('m'), One("BYTES"), "Limit of memory"),
    flag("memory-swap", None, One("BYTES"), "Limit of memory and swap together, -1 for any"),
    flag("memory-reservation", None, One("BYTES"), "Memory that is left to it under pressure"),
    flag("oom-kill-disable", None, Nothing, "Let it wait instead of dying when memory runs out (cgroup v1)"),
    flag("cpus", None, One("NUMBER"), "How many CPUs it may use"),
    flag("cpu-shares", Some('c'), One("NUMBER"), "Its share beside others, 1024 is usual"),
    flag("cpu-period", None, One("MICROSECONDS"), "Period of the CPU limit"),
    flag("cpu-quota", None, One("MICROSECONDS"), "CPU time in a period"),
    flag("cpuset-cpus", None, One("LIST"), "CPUs it may use: 0-2,7"),
    flag("cpuset-mems", None, One("LIST"), "Memory nodes it may use"),
    flag("pids-limit", None, One("NUMBER"), "Limit of processes and threads"),
];
const ISOLATION: &[Flag] = &[
    flag("pid", None, One("MODE"), "Processes: host, or container:NAME"),
    flag("ipc", None, One("MODE"), "Shared memory: private, host, or container:NAME"),
    flag("uts", None, One("MODE"), "Host name: host"),
    flag("cgroupns", None, One("MODE"), "Control groups: private or host"),
    flag("cap-add", None, Many("NAME"), "Give a capability"),
    flag("cap-drop", None, Many("NAME"), "Take a capability away"),
    flag("privileged", None, Nothing, "Allow everything, and show all devices"),
    flag("security-opt", None, Many("OPTION"), "no-new-privileges, seccomp=unconfined, seccomp=FILE"),
    flag("sysctl", None, Many("NAME=VALUE"), "A kernel setting inside"),
    flag("log-driver", None, One("NAME"), "local, or none to keep nothing"),
    flag("log-opt", None, Many("NAME=VALUE"), "max-size, max-file"),
];
const RUN_ONLY: &[Flag] = &[
    flag("detach", Some('d'), Nothing, "Do not wait for it; print its id"),
    flag("attach", Some('a'), Many("STREAM"), "Take part in stdin, stdout or stderr"),
    flag("detach-keys", None, One("KEYS"), "Keys that leave it running, ctrl-p,ctrl-q by default"),
    flag("sig-proxy", None, One("BOOL"), "Pass signals on to it, true by default"),
];
const FILTER: &[Flag] = &[flag("filter", Some('f'), Many("NAME=VALUE"), "Show only what fits")];
const FORMAT: &[Flag] =
    &[flag("format", None, One("TEMPLATE"), "Show in this form: table, json, or a Go template")];
const INSPECT_FORMAT: &[Flag] = &[
    flag("format", Some('f'), One("TEMPLATE"), "Show in this form: json, or a Go template"),
    flag("size", Some('s'), Nothing, "Measure sizes too"),
    flag("type", None, One("KIND"), "container or image"),
];
const QUIET: &[Flag] = &[
    flag("quiet", Some('q'), Nothing, "Show ids only"),
    flag("no-trunc", None, Nothing, "Show everything in full length"),
];
const STOP: &[Flag] = &[
    flag("time", Some('t'), One("SECONDS"), "Seconds until SIGKILL, -1 for never"),
    flag("timeout", None, One("SECONDS"), "The same"),
    flag("signal", Some('s'), One("SIGNAL"), "The signal to send first"),
];
const EXEC: &[Flag] = &[
    flag("detach", Some('d'), Nothing, "Do not wait for it"),
    flag("detach-keys", None, One("KEYS"), "Keys that leave it running"),
    flag("env", Some('e'), Many("NAME=VALUE"), "Set a variable of the environment"),
    flag("env-file", None, Many("FILE"), "Set variables from a file"),
    flag("interactive", Some('i'), Nothing, "Keep standard input open"),
    flag("privileged", None, Nothing, "Give it all capabilities"),
    flag("tty", Some('t'), Nothing, "Give it a terminal"),
    flag("user", Some('u'), One("USER[:GROUP]"), "Run as this user"),
    flag("workdir", Some('w'), One("PATH"), "Start in this directory"),
];
const DAEMON: &[Flag] = &[
    flag("data-root", None, One("DIRECTORY"), "Where images and containers are kept [/var/lib/bocage]"),
    flag("exec-root", None, One("DIRECTORY"), "Where sockets and states of this boot are kept [/run/bocage]"),
    flag(
        "host",
        Some('H'),
        Many("ADDRESS"),
        "Listen here: unix:///path or tcp://127.0.0.1:PORT [EXEC-ROOT/bocage.sock]",
    ),
    flag(
        "tcp-without-tls",
        None,
        Nothing,
        "Allow tcp:// on a loopback address: every local user can then be root",
    ),
    flag("log-level", Some('l'), One("LEVEL"), "error, warn, info, debug or trace [info]"),
];

const CONTAINERS: Option<&str> = Some("Containers");
const IMAGES: Option<&str> = Some("Images");
const NODE: Option<&str> = Some("This node");

macro_rules! entry {
    ($name:literal, $aliases:expr, $group:expr, $about:literal, $operands:expr, $flags:expr) => {
        entry!($name, $aliases, $group, $about, $operands, $flags, &[])
    };
    ($name:literal, $aliases:expr, $group:expr, $about:literal, $operands:expr, $flags:expr, $examples:expr) => {
        Entry {
            name: $name,
            aliases: $aliases,
            group: $group,
            about: $about,
            operands: $operands,
            flags: $flags,
            examples: $examples,
        }
    };
}

const ONE: Operands = Operands::Several("CONTAINER", 1);
const JUST_ONE: Operands = Operands::These(&["CONTAINER"]);

/// All commands.
pub(crate) const COMMANDS: &[Entry] = &[
    entry!(
        "run",
        &["container run"],
        CONTAINERS,
        "Make a container from an image and start it",
        Operands::Command(&["IMAGE"]),
        &[RUN_ONLY, NAME, PROCESS, STORAGE, NETWORK, LIMITS, ISOLATION],
        &[
            "bocage run --rm -it debian bash            a shell in a new container",
            "bocage run -d --name web -p 8080:80 nginx  a web server on port 8080",
            "bocage run -v \"$PWD\":/work -w /work alpine ls",
        ]
    ),
    entry!(
        "create",
        &["container create"],
        CONTAINERS,
        "Make a container without starting it",
        Operands::Command(&["IMAGE"]),
        &[
            &[flag("attach", Some('a'), Many("STREAM"), "Take part in a stream once started")],
            NAME,
            PROCESS,
            STORAGE,
            NETWORK,
            LIMITS,
            ISOLATION
        ]
    ),
    entry!(
        "ps",
        &["container ls", "container ps", "container list"],
        CONTAINERS,
        "List containers",
        Operands::None,
        &[
            &[
                flag("all", Some('a'), Nothing, "Also those that do not run"),
                flag("last", Some('n'), One("NUMBER"), "The last so many, running or not"),
                flag("latest", Some('l'), Nothing, "The last one, running or not"),
                flag("size", Some('s'), Nothing, "Measure their sizes"),
            ],
            FILTER,
            FORMAT,
            QUIET
        ]
    ),
    entry!(
        "start",
        &["container start"],
        CONTAINERS,
        "Start containers",
        ONE,
        &[&[
            flag("attach", Some('a'), Nothing, "Show its output and wait for its end"),
            flag("interactive", Some('i'), Nothing, "Take part in its standard input"),
            flag("detach-keys", None, One("KEYS"), "Keys that leave it running"),
        ]]
    ),
    entry!("stop", &["container stop"], CONTAINERS, "Ask containers to end, and make them", ONE, &[STOP]),
    entry!("restart", &["container restart"], CONTAINERS, "Stop containers and start them", ONE, &[STOP]),
    entry!(
        "kill",
        &["container kill"],
        CONTAINERS,
        "Send containers a signal",
        ONE,
        &[&[flag("signal", Some('s'), One("SIGNAL"), "Which, KILL by default")]]
    ),
    entry!("pause", &["container pause"], CONTAINERS, "Freeze containers", ONE, &[]),
    entry!("unpause", &["container unpause"], CONTAINERS, "Let frozen containers go on", ONE, &[]),
    entry!(
        "rm",
        &["container rm"],
        CONTAINERS,
        "Remove containers",
        ONE,
        &[&[
            flag("force", Some('f'), Nothing, "Kill them first if they run"),
            flag("volumes", Some('v'), Nothing, "Remove their anonymous volumes too"),
        ]]
    ),
    entry!(
        "exec",
        &["container exec"],
        CONTAINERS,
        "Run one more process in a container",
        Operands::Command(&["CONTAINER", "COMMAND"]),
        &[EXEC],
        &["bocage exec -it web sh"]
    ),
    entry!(
        "attach",
        &["container attach"],
        CONTAINERS,
        "Take part in a running container's streams",
        JUST_ONE,
        &[&[
            flag("detach-keys", None, One("KEYS"), "Keys that leave it running"),
            flag("no-stdin", None, Nothing, "Do not send standard input"),
            flag("sig-proxy", None, One("BOOL"), "Pass signals on to it, true by default"),
        ]]
    ),
    entry!(
        "logs",
        &["container logs"],
        CONTAINERS,
        "Show what a container wrote",
        JUST_ONE,
        &[&[
            flag("follow", Some('f'), Nothing, "Go on with what it writes"),
            flag("since", None, One("TIME"), "Only from then on: 2026-01-02T03:04:05Z, or 10m ago"),
            flag("until", None, One("TIME"), "Only until then"),
            flag("tail", Some('n'), One("LINES"), "Only the last so many lines"),
            flag("timestamps", Some('t'), Nothing, "Show when each line was written"),
        ]]
    ),
    entry!(
        "top",
        &["container top"],
        CONTAINERS,
        "List a container's processes",
        Operands::Command(&["CONTAINER"]),
        &[]
    ),
    entry!(
        "stats",
        &["container stats"],
        CONTAINERS,
        "Show what containers use",
        Operands::Several("CONTAINER", 0),
        &[
            &[
                flag("all", Some('a'), Nothing, "Also those that do not run"),
                flag("no-stream", None, Nothing, "Once, and end"),
                flag("no-trunc", None, Nothing, "Show ids in full length"),
            ],
            FORMAT
        ]
    ),
    entry!(
        "wait",
        &["container wait"],
        CONTAINERS,
        "Wait for containers to end, and print their exit codes",
        ONE,
        &[]
    ),
    entry!(
        "port",
        &["container port"],
        CONTAINERS,
        "Show where a container's ports are published",
        Operands::Several("CONTAINER", 1),
        &[]
    ),
    entry!(
        "rename",
        &["container rename"],
        CONTAINERS,
        "Give a container another name",
        Operands::These(&["CONTAINER", "NAME"]),
        &[]
    ),
    entry!(
        "inspect",
        &["container inspect", "image inspect"],
        CONTAINERS,
        "Show everything about containers or images",
        Operands::Several("NAME", 1),
        &[INSPECT_FORMAT],
        &["bocage inspect -f '{{.NetworkSettings.IPAddress}}' web"]
    ),
    entry!(
        "images",
        &["image ls", "image list"],
        IMAGES,
        "List images",
        Operands::Several("NAME", 0),
        &[
            &[
                flag("all", Some('a'), Nothing, "Accepted for habit: there are no hidden images"),
                flag("digests", None, Nothing, "Show digests"),
            ],
            FILTER,
            FORMAT,
            QUIET
        ]
    ),
    entry!(
        "load",
        &["image load"],
        IMAGES,
        "Take in images from an archive",
        Operands::None,
        &[&[
            flag("input", Some('i'), One("FILE"), "Read this file instead of standard input"),
            flag("quiet", Some('q'), Nothing, "Show no progress"),
        ]],
        &["bocage load -i nginx.tar", "docker save nginx | bocage load"]
    ),
    entry!(
        "save",
        &["image save"],
        IMAGES,
        "Write images as an archive",
        Operands::Several("IMAGE", 1),
        &[&[flag("output", Some('o'), One("FILE"), "Write this file instead of standard output")]]
    ),
    entry!(
        "import",
        &["image import"],
        IMAGES,
        "Make an image from a root file system",
        Operands::Several("FILE|- [NAME]", 1),
        &[&[
            flag(
                "change",
                Some('c'),
                Many("INSTRUCTION"),
                "Apply an instruction of a Dockerfile: CMD, ENV, …"
            ),
            flag("message", Some('m'), One("TEXT"), "A comment"),
            flag("platform", None, One("OS/ARCH"), "What it is made for"),
        ]]
    ),
    entry!(
        "tag",
        &["image tag"],
        IMAGES,
        "Give an image one more name",
        Operands::These(&["IMAGE", "NAME"]),
        &[]
    ),
    entry!(
        "rmi",
        &["image rm", "image remove"],
        IMAGES,
        "Remove images",
        Operands::Several("IMAGE", 1),
        &[&[
            flag("force", Some('f'), Nothing, "Also those that stopped containers use"),
            flag("no-prune", None, Nothing, "Accepted for habit: there are no parents"),
        ]]
    ),
    entry!(
        "history",
        &["image history"],
        IMAGES,
        "Show how an image came to be",
        Operands::These(&["IMAGE"]),
        &[
            &[flag("human", Some('H'), One("BOOL"), "Sizes and dates in words, true by default"),],
            FORMAT,
            QUIET
        ]
    ),
    entry!(
        "demo",
        &[],
        NODE,
        "Show that it works: three web servers, without an image or a network at hand",
        Operands::None,
        &[&[flag("remove", None, Nothing, "Remove what the demonstration left")]]
    ),
    entry!(
        "events",
        &["system events"],
        NODE,
        "Show what happens, as it happens",
        Operands::None,
        &[
            &[
                flag("since", None, One("TIME"), "Begin with what happened since then"),
                flag("until", None, One("TIME"), "End then"),
            ],
            FILTER,
            FORMAT
        ]
    ),
    entry!(
        "info",
        &["system info"],
        NODE,
        "Show what this node is",
        Operands::None,
        &[&[flag("format", Some('f'), One("TEMPLATE"), "Show in this form")]]
    ),
    entry!(
        "version",
        &[],
        NODE,
        "Show the versions of both ends",
        Operands::None,
        &[&[flag("format", Some('f'), One("TEMPLATE"), "Show in this form")]]
    ),
    entry!(
        "daemon",
        &[],
        NODE,
        "Run the node itself, in the foreground",
        Operands::None,
        &[DAEMON],
        &["sudo bocage daemon --host unix:///run/my.sock --data-root /srv/bocage"]
    ),
    entry!("daemon status", &[], NODE, "Show the daemon that answers", Operands::None, &[]),
    entry!(
        "daemon stop",
        &[],
        NODE,
        "End the daemon; containers go on",
        Operands::None,
        &[&[flag("containers", None, Nothing, "Stop the containers too")]]
    ),
];

/// The entry that the first words of a command line mean, and how many words it takes.
pub(crate) fn find(words: &[String]) -> Option<(&'static Entry, usize)> {
    let matches = |name: &str| {
        let parts: Vec<&str> = name.split(' ').collect();
        (words.len() >= parts.len() && parts.iter().zip(words).all(|(part, word)| part == word))
            .then_some(parts.len())
    };
    COMMANDS
        .iter()
        .flat_map(|entry| std::iter::once(&entry.name).chain(entry.aliases).map(move |name| (entry, *name)))
        .filter_map(|(entry, name)| matches(name).map(|count| (entry, count)))
        .max_by_key(|(_, count)| *count)
}

impl Entry {
    /// The command for the parser.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.name)
            .bin_name(format!("bocage {}", self.name))
            .about(self.about)
            .disable_help_flag(true)
            .disable_version_flag(true)
            .arg(Arg::new("help").long("help").action(ArgAction::Help).help("Show this"));
        for flag in self.flags.iter().copied().flatten() {
            command = command.arg(argument(flag));
        }
        let one = |name: &'static str| Arg::new(name).required(true).value_name(name);
        command = match self.operands {
            Operands::None => command,
            Operands::These(names) => names.iter().fold(command, |command, name| command.arg(one(name))),
            Operands::Several(name, min) => command.arg(
                Arg::new("operands")
                    .value_name(name)
                    .num_args(min.max(1)..)
                    .required(min > 0)
                    .action(ArgAction::Append),
            ),
            Operands::Command(names) => {
                names.iter().fold(command, |command, name| command.arg(one(name))).arg(
                    Arg::new("ARG")
                        .num_args(0..)
                        .trailing_var_arg(true)
                        .allow_hyphen_values(true)
                        .value_name("ARG"),
                )
            }
        };
        if self.examples.is_empty() {
            command
        } else {
            command.after_help(format!("Examples:\n  {}", self.examples.join("\n  ")))
        }
    }
}

fn argument(flag: &Flag) -> Arg {
    let mut argument = Arg::new(flag.long).long(flag.long).help(flag.help);
    if let Some(short) = flag.short {
        argument = argument.short(short);
    }
    match flag.takes {
        // `-it`, `--rm`, and `--rm=false`.
        Takes::Nothing => argument
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("BOOL")
            .hide_possible_values(true)
            .action(ArgAction::Set),
        Takes::One(name) => argument
            .value_name(name)
            .action(ArgAction::Set)
            .allow_hyphen_values(true)
            .overrides_with(flag.long),
        Takes::Many(name) => argument.value_name(name).action(ArgAction::Append).allow_hyphen_values(true),
    }
}

/// The flags and operands of one command line.
pub(crate) struct Parsed(pub(crate) ArgMatches);

impl Parsed {
    /// Whether a flag without a value is given, and not as `--flag=false`.
    pub(crate) fn is(&self, long: &str) -> bool {
        self.get(long).is_some_and(|value| !matches!(value, "false" | "0" | "f" | "F" | "FALSE" | "False"))
    }

    /// The value of a flag.
    pub(crate) fn get(&self, long: &str) -> Option<&str> {
        self.0.try_get_one::<String>(long).ok().flatten().map(String::as_str)
    }

    /// The value of a flag as a number.
    ///
    /// # Errors
    /// It is none; the flag is named.
    pub(crate) fn number(&self, long: &str) -> Result<Option<i64>, String> {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| format!("invalid argument {text:?} for \"--{long}\": a number is needed"))
        };
        self.get(long).map(parse).transpose()
    }

    /// All values of a flag.
    pub(crate) fn all(&self, long: &str) -> Vec<String> {
        self.0
            .try_get_many::<String>(long)
            .ok()
            .flatten()
            .map(|values| values.cloned().collect())
            .unwrap_or_default()
    }

    /// The operands of a command that takes several.
    pub(crate) fn operands(&self) -> Vec<String> {
        self.all("operands")
    }
}

/// What `bocage --help` says.
pub(crate) fn overview() -> String {
    let mut text = String::from(
        "bocage: containers, images and networks of this machine, in one program\n\n\
         Usage: bocage [-H ADDRESS] COMMAND [ARG]...\n\n\
         Start here:\n  bocage demo                       see it work, with nothing at hand\n  \
         bocage load -i nginx.tar          take in an image\n  bocage run -d -p 8080:80 nginx    run it\n",
    );
    for group in [CONTAINERS, IMAGES, NODE].into_iter().flatten() {
        text.push_str(&format!("\n{group}:\n"));
        for entry in COMMANDS.iter().filter(|entry| entry.group == Some(group)) {
            text.push_str(&format!("  {:<15} {}\n", entry.name, entry.about));
        }
    }
    text.push_str(
        "\nFlags:\n  -H, --host ADDRESS  Ask the daemon there: unix:///path or tcp://127.0.0.1:PORT\n      --help          Show this\n  \
         -v, --version       Show the version\n\nThe daemon is started when none runs. BOCAGE_HOST and DOCKER_HOST choose another one.\n\
         `bocage COMMAND --help` says more about a command. The `docker` client works with the same daemon.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_command_is_found_by_its_longest_name() {
        assert_eq!(
            find(&words("image ls -q")).map(|(entry, count)| (entry.name, count)),
            Some(("images", 2))
        );
        assert_eq!(
            find(&words("daemon stop")).map(|(entry, count)| (entry.name, count)),
            Some(("daemon stop", 2))
        );
        assert_eq!(find(&words("daemon --x")).map(|(entry, count)| (entry.name, count)), Some(("daemon", 1)));
        assert!(find(&words("fly")).is_none());
    }

    #[test]
    fn every_command_line_grammar_is_consistent() {
        for entry in COMMANDS {
            entry.command().debug_assert();
        }
    }

    #[test]
    fn flags_are_understood_as_docker_does() {
        let (run, _) = find(&words("run")).unwrap();
        let parse = |text: &str| Parsed(run.command().try_get_matches_from(words(text)).unwrap());
        let parsed =
            parse("run -it --rm -e A=1 -e B -p 80:80 -h host --pids-limit -1 busybox sh -c -x --help");
        assert!(parsed.is("interactive") && parsed.is("tty") && parsed.is("rm") && !parsed.is("detach"));
        assert_eq!(parsed.all("env"), ["A=1", "B"]);
        assert_eq!((parsed.get("hostname"), parsed.number("pids-limit")), (Some("host"), Ok(Some(-1))));
        assert_eq!((parsed.get("IMAGE"), parsed.all("ARG")), (Some("busybox"), words("sh -c -x --help")));
        assert!(!parse("run --rm=false busybox").is("rm"));
    }

    #[test]
    fn the_overview_lists_every_command_that_has_a_group() {
        let text = overview();
        assert!(COMMANDS.iter().filter(|entry| entry.group.is_some()).all(|entry| text.contains(entry.name)));
    }
}
