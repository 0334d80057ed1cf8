//! The commands.

use super::Takes::{Many, Nothing, One};
use super::flags::{
    BOOTSTRAP, DAEMON, DAEMON_REGISTRY, EXEC, FILTER, FLAGS, FORMAT, INSPECT_FORMAT, ISOLATION, LIMITS, NAME,
    NETWORK, PROCESS, QUIET, REGISTRY, RUN_ONLY, STOP, STORAGE, flag, group,
};
use super::{Entry, Operands};

/// The headings of `bocage --help`, in their order.
pub(crate) const SECTIONS: [&str; 3] = [CONTAINERS, IMAGES, NODE];
const CONTAINERS: &str = "Containers";
const IMAGES: &str = "Images";
const NODE: &str = "This node";

macro_rules! entry {
    ($name:literal, $aliases:expr, $section:expr, $about:literal, $operands:expr, $groups:expr) => {
        entry!($name, $aliases, $section, $about, $operands, $groups, &[])
    };
    ($name:literal, $aliases:expr, $section:expr, $about:literal, $operands:expr, $groups:expr, $examples:expr) => {
        Entry {
            name: $name,
            aliases: $aliases,
            section: $section,
            about: $about,
            operands: $operands,
            groups: $groups,
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
            "bocage run --rm -it debian bash             # a shell in a new container",
            "bocage run -d --name web -p 8080:80 nginx   # a web server on port 8080",
            "bocage run --rm -v \"$PWD\":/work -w /work alpine ls",
        ]
    ),
    entry!(
        "create",
        &["container create"],
        CONTAINERS,
        "Make a container without starting it",
        Operands::Command(&["IMAGE"]),
        &[
            group(FLAGS, &[flag("attach", Some('a'), Many("STREAM"), "Take part in a stream once started")]),
            NAME,
            PROCESS,
            STORAGE,
            NETWORK,
            LIMITS,
            ISOLATION
        ],
        &["bocage create --name web -p 8080:80 nginx && bocage start web"]
    ),
    entry!(
        "ps",
        &["container ls", "container ps", "container list"],
        CONTAINERS,
        "List containers",
        Operands::None,
        &[
            group(
                FLAGS,
                &[
                    flag("all", Some('a'), Nothing, "Also those that do not run"),
                    flag("last", Some('n'), One("NUMBER"), "The last so many, running or not"),
                    flag("latest", Some('l'), Nothing, "The last one, running or not"),
                    flag("size", Some('s'), Nothing, "Measure their sizes"),
                ]
            ),
            FILTER,
            FORMAT,
            QUIET
        ],
        &[
            "bocage ps -a",
            "bocage ps -a --filter status=exited --format 'table {{.Names}}\\t{{.Status}}'",
            "bocage rm $(bocage ps -aq --filter status=exited)"
        ]
    ),
    entry!(
        "start",
        &["container start"],
        CONTAINERS,
        "Start containers",
        ONE,
        &[group(
            FLAGS,
            &[
                flag("attach", Some('a'), Nothing, "Show its output and wait for its end"),
                flag("interactive", Some('i'), Nothing, "Take part in its standard input"),
                flag("detach-keys", None, One("KEYS"), "Keys that leave it running"),
            ]
        )]
    ),
    entry!(
        "stop",
        &["container stop"],
        CONTAINERS,
        "Ask containers to end, and make them",
        ONE,
        &[STOP],
        &["bocage stop -t 30 web   # half a minute before SIGKILL"]
    ),
    entry!("restart", &["container restart"], CONTAINERS, "Stop containers and start them", ONE, &[STOP]),
    entry!(
        "kill",
        &["container kill"],
        CONTAINERS,
        "Send containers a signal",
        ONE,
        &[group(FLAGS, &[flag("signal", Some('s'), One("SIGNAL"), "Which, KILL by default")])],
        &["bocage kill -s HUP web"]
    ),
    entry!("pause", &["container pause"], CONTAINERS, "Freeze containers", ONE, &[]),
    entry!("unpause", &["container unpause"], CONTAINERS, "Let frozen containers go on", ONE, &[]),
    entry!(
        "rm",
        &["container rm", "container remove"],
        CONTAINERS,
        "Remove containers",
        ONE,
        &[group(
            FLAGS,
            &[
                flag("force", Some('f'), Nothing, "Kill them first if they run"),
                flag("volumes", Some('v'), Nothing, "Remove their anonymous volumes too"),
            ]
        )]
    ),
    entry!(
        "exec",
        &["container exec"],
        CONTAINERS,
        "Run one more process in a container",
        Operands::Command(&["CONTAINER", "COMMAND"]),
        &[EXEC],
        &["bocage exec -it web sh", "bocage exec -u root -e DEBUG=1 web ./repair"]
    ),
    entry!(
        "attach",
        &["container attach"],
        CONTAINERS,
        "Take part in a running container's streams",
        JUST_ONE,
        &[group(
            FLAGS,
            &[
                flag(
                    "detach-keys",
                    None,
                    One("KEYS"),
                    "Keys that leave it running: ctrl-p,ctrl-q by default"
                ),
                flag("no-stdin", None, Nothing, "Do not send standard input"),
                flag("sig-proxy", None, One("BOOL"), "Pass signals on to it: true or false"),
            ]
        )]
    ),
    entry!(
        "logs",
        &["container logs"],
        CONTAINERS,
        "Show what a container wrote",
        JUST_ONE,
        &[group(
            FLAGS,
            &[
                flag("follow", Some('f'), Nothing, "Go on with what it writes"),
                flag(
                    "since",
                    None,
                    One("TIME"),
                    "Only from then on: 2026-01-02T03:04:05Z, or 10m for ten minutes ago"
                ),
                flag("until", None, One("TIME"), "Only until then"),
                flag("tail", Some('n'), One("LINES"), "Only the last so many lines"),
                flag("timestamps", Some('t'), Nothing, "Show when each line was written"),
                flag("details", None, Nothing, "Show what the log driver adds to each line"),
            ]
        )],
        &["bocage logs -f --tail 20 web"]
    ),
    entry!(
        "top",
        &["container top"],
        CONTAINERS,
        "List a container's processes",
        Operands::Command(&["CONTAINER"]),
        &[],
        &["bocage top web -o pid,comm"]
    ),
    entry!(
        "stats",
        &["container stats"],
        CONTAINERS,
        "Show what containers use",
        Operands::Several("CONTAINER", 0),
        &[
            group(
                FLAGS,
                &[
                    flag("all", Some('a'), Nothing, "Also those that do not run"),
                    flag("no-stream", None, Nothing, "Once, and end"),
                    flag("no-trunc", None, Nothing, "Show ids in full length"),
                ]
            ),
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
        Operands::Between("CONTAINER [PORT[/PROTOCOL]]", 1, 2),
        &[]
    ),
    entry!(
        "cp",
        &["container cp"],
        CONTAINERS,
        "Copy files out of a container, or into one",
        Operands::These(&["SOURCE", "DESTINATION"]),
        &[group(
            FLAGS,
            &[
                flag("archive", Some('a'), Nothing, "Keep owners; in a container, its user owns all"),
                flag("follow-link", Some('L'), Nothing, "Copy what a link at the source's end leads to"),
                flag("quiet", Some('q'), Nothing, "Show no progress"),
            ]
        )],
        &[
            "bocage cp web:/etc/nginx/nginx.conf .",
            "bocage cp site/. web:/srv",
            "bocage cp web:/var/log - | tar t"
        ]
    ),
    entry!(
        "diff",
        &["container diff"],
        CONTAINERS,
        "Show which files of a container differ from its image",
        JUST_ONE,
        &[],
        &["bocage diff web   # C changed, A added, D removed"]
    ),
    entry!(
        "export",
        &["container export"],
        CONTAINERS,
        "Write a container's files as an archive",
        JUST_ONE,
        &[group(
            FLAGS,
            &[flag("output", Some('o'), One("FILE"), "Write this file instead of standard output")]
        )],
        &["bocage export web -o web.tar"]
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
        Operands::Between("[NAME[:TAG]]", 0, 1),
        &[
            group(
                FLAGS,
                &[
                    flag("all", Some('a'), Nothing, "For habit: no image is hidden anyway"),
                    flag("digests", None, Nothing, "Show digests"),
                ]
            ),
            FILTER,
            FORMAT,
            QUIET
        ]
    ),
    entry!(
        "pull",
        &["image pull"],
        IMAGES,
        "Take an image in from its registry",
        Operands::These(&["NAME[:TAG|@DIGEST]"]),
        &[group(
            FLAGS,
            &[
                flag("all-tags", Some('a'), Nothing, "All tags of the repository"),
                flag("platform", None, One("OS/ARCH"), "For another platform than this machine's"),
                flag("quiet", Some('q'), Nothing, "Show nothing but the name"),
            ]
        )],
        &[
            "bocage pull nginx                        # docker.io/library/nginx:latest",
            "bocage pull --platform linux/arm64 registry.example:5000/team/app:2",
        ]
    ),
    entry!(
        "push",
        &["image push"],
        IMAGES,
        "Give an image to its registry",
        Operands::These(&["NAME[:TAG]"]),
        &[group(
            FLAGS,
            &[
                flag("all-tags", Some('a'), Nothing, "All tags of the repository that are here"),
                flag("quiet", Some('q'), Nothing, "Show nothing but the name"),
            ]
        )],
        &["bocage tag app registry.example:5000/team/app:2 && bocage push registry.example:5000/team/app:2"]
    ),
    entry!(
        "login",
        &[],
        IMAGES,
        "Log in to a registry; kept where docker keeps it",
        Operands::Between("[SERVER]", 0, 1),
        &[group(
            FLAGS,
            &[
                flag("username", Some('u'), One("NAME"), "The user"),
                flag("password", Some('p'), One("PASSWORD"), "The password, for all on this machine to see"),
                flag("password-stdin", None, Nothing, "Read the password from standard input"),
            ]
        )],
        &[
            "bocage login registry.example:5000",
            "pass r | bocage login -u me --password-stdin registry.example"
        ]
    ),
    entry!("logout", &[], IMAGES, "Forget the login to a registry", Operands::Between("[SERVER]", 0, 1), &[]),
    entry!(
        "load",
        &["image load"],
        IMAGES,
        "Take in images from an archive",
        Operands::None,
        &[group(
            FLAGS,
            &[
                flag("input", Some('i'), One("FILE"), "Read this file instead of standard input"),
                flag("quiet", Some('q'), Nothing, "Show no progress"),
            ]
        )],
        &["bocage load -i nginx.tar", "docker save nginx | bocage load"]
    ),
    entry!(
        "save",
        &["image save"],
        IMAGES,
        "Write images as an archive",
        Operands::Several("IMAGE", 1),
        &[group(
            FLAGS,
            &[flag("output", Some('o'), One("FILE"), "Write this file instead of standard output")]
        )],
        &["bocage save nginx | zstd > nginx.tar.zst"]
    ),
    entry!(
        "import",
        &["image import"],
        IMAGES,
        "Make an image from a root file system",
        Operands::Between("FILE|- [NAME[:TAG]]", 1, 2),
        &[group(
            FLAGS,
            &[
                flag(
                    "change",
                    Some('c'),
                    Many("INSTRUCTION"),
                    "Apply an instruction of a Dockerfile: CMD, ENV, …"
                ),
                flag("message", Some('m'), One("TEXT"), "A comment"),
                flag("platform", None, One("OS/ARCH"), "What it is made for"),
            ]
        )],
        &["tar -C root -c . | bocage import -c 'CMD [\"/bin/sh\"]' - mine:1"]
    ),
    entry!(
        "image bootstrap",
        &[],
        IMAGES,
        "Make a base image from a distribution's packages",
        Operands::These(&["debian|ubuntu[:SUITE]"]),
        &[BOOTSTRAP],
        &[
            "bocage image bootstrap debian:bookworm",
            "bocage image bootstrap ubuntu:noble --package curl,ca-certificates --tag tools:1",
            "bocage image bootstrap debian --mirror http://mirror.example/debian --keyring keys.gpg"
        ]
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
        &[group(
            FLAGS,
            &[
                flag("force", Some('f'), Nothing, "Also those that stopped containers use"),
                flag("no-prune", None, Nothing, "For habit: there are no untagged parents"),
            ]
        )]
    ),
    entry!(
        "history",
        &["image history"],
        IMAGES,
        "Show how an image came to be",
        Operands::These(&["IMAGE"]),
        &[
            group(
                FLAGS,
                &[flag("human", Some('H'), One("BOOL"), "Sizes and dates in words, true by default"),]
            ),
            FORMAT,
            QUIET
        ]
    ),
    entry!(
        "demo",
        &[],
        NODE,
        "Show that it works: three web servers, with no image and no network at hand",
        Operands::None,
        &[group(FLAGS, &[flag("remove", None, Nothing, "Remove what the demonstration left")])]
    ),
    entry!(
        "events",
        &["system events"],
        NODE,
        "Show what happens, as it happens",
        Operands::None,
        &[
            group(
                FLAGS,
                &[
                    flag("since", None, One("TIME"), "Begin with what happened since then"),
                    flag("until", None, One("TIME"), "End then"),
                ]
            ),
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
        &[group(FLAGS, &[flag("format", Some('f'), One("TEMPLATE"), "Show in this form")])]
    ),
    entry!(
        "version",
        &[],
        NODE,
        "Show the versions of both ends",
        Operands::None,
        &[group(FLAGS, &[flag("format", Some('f'), One("TEMPLATE"), "Show in this form")])]
    ),
    entry!(
        "daemon",
        &[],
        NODE,
        "Run the node itself, in the foreground",
        Operands::None,
        &[DAEMON, DAEMON_REGISTRY],
        &["sudo bocage daemon --host unix:///run/my.sock --data-root /srv/bocage"]
    ),
    entry!(
        "registry",
        &[],
        NODE,
        "Run a registry of images, in the foreground",
        Operands::None,
        &[REGISTRY],
        &[
            "bocage registry --listen 127.0.0.1:5000 --data /srv/registry",
            "bocage registry password ann >> users",
            "bocage registry --listen 0.0.0.0:443 --tls-cert c.pem --tls-key k.pem --users users --anonymous-pull '*'"
        ]
    ),
    entry!("daemon status", &[], NODE, "Show the daemon that answers; none is started", Operands::None, &[]),
    entry!(
        "daemon stop",
        &[],
        NODE,
        "End the daemon; containers go on",
        Operands::None,
        &[group(FLAGS, &[flag("containers", None, Nothing, "Stop the containers too")])]
    ),
];
