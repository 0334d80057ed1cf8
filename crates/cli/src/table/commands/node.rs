//! The node itself.

use super::super::Takes::{Nothing, One};
use super::super::flags::{DAEMON, DAEMON_REGISTRY, FILTER, FLAGS, FORMAT, PRUNE, REGISTRY, flag, group};
use super::super::{Entry, Operands};
use super::NODE;

pub(super) const COMMANDS: &[Entry] = &[
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
    entry!(
        "system df",
        &[],
        NODE,
        "Show what takes room on the disk",
        Operands::None,
        &[group(FLAGS, &[flag("verbose", Some('v'), Nothing, "Each image, container and volume")]), FORMAT],
        &["bocage system df -v"]
    ),
    entry!(
        "system prune",
        &[],
        NODE,
        "Remove what nobody uses: containers that rest, networks, images, volumes",
        Operands::None,
        &[
            group(
                FLAGS,
                &[
                    flag("all", Some('a'), Nothing, "Also images that have a name"),
                    flag("volumes", None, Nothing, "Also volumes that nobody gave a name")
                ]
            ),
            PRUNE
        ],
        &["bocage system prune -af --volumes"]
    ),
];
