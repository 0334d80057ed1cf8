//! Containers.

use super::super::Takes::{Many, Nothing, One};
use super::super::flags::{
    EXEC, FILTER, FLAGS, FORMAT, INSPECT_FORMAT, ISOLATION, LIMITS, NAME, NETWORK, PROCESS, PRUNE, QUIET,
    RUN_ONLY, STOP, STORAGE, flag, group,
};
use super::super::{Entry, Operands};
use super::CONTAINERS;

const ONE: Operands = Operands::Several("CONTAINER", 1);
const JUST_ONE: Operands = Operands::These(&["CONTAINER"]);

pub(super) const COMMANDS: &[Entry] = &[
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
            "bocage run -d --network front --network name=back,alias=db,ip=10.0.0.9 postgres",
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
        "Show everything about containers, images or networks",
        Operands::Several("NAME", 1),
        &[INSPECT_FORMAT],
        &["bocage inspect -f '{{.NetworkSettings.IPAddress}}' web"]
    ),
    entry!(
        "container prune",
        &[],
        CONTAINERS,
        "Remove containers of which nothing runs",
        Operands::None,
        &[PRUNE]
    ),
];
