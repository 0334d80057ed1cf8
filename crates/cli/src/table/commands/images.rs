//! Images and their registries.

use super::super::Takes::{Many, Nothing, One};
use super::super::flags::{BOOTSTRAP, FILTER, FLAGS, FORMAT, NO_TRUNC, PRUNE, QUIET, flag, group};
use super::super::{Entry, Flag, Operands};
use super::IMAGES;

const CHANGE: Flag =
    flag("change", Some('c'), Many("INSTRUCTION"), "Apply an instruction of a Dockerfile: CMD, ENV, …");

pub(super) const COMMANDS: &[Entry] = &[
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
                    flag("tree", None, Nothing, "Show which image lies upon which, and what it adds"),
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
                flag("compression", None, One("gzip|zstd|none"), "How layers go out that came plain (gzip)"),
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
                CHANGE,
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
        "commit",
        &["container commit"],
        IMAGES,
        "Make an image of a container and what it changed",
        Operands::Between("CONTAINER [NAME[:TAG]]", 1, 2),
        &[group(
            FLAGS,
            &[
                flag("author", Some('a'), One("NAME"), "Who makes it"),
                CHANGE,
                flag("message", Some('m'), One("TEXT"), "A comment"),
                flag(
                    "pause",
                    Some('p'),
                    One("BOOL"),
                    "Let its processes stand still meanwhile, true by default"
                ),
            ]
        )],
        &["bocage commit -c 'CMD [\"nginx\"]' web mine:1"]
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
        "image prune",
        &[],
        IMAGES,
        "Remove images that nobody uses",
        Operands::None,
        &[group(FLAGS, &[flag("all", Some('a'), Nothing, "Also those that have a name")]), PRUNE],
        &["bocage image prune -af --filter until=240h"]
    ),
    entry!(
        "search",
        &[],
        IMAGES,
        "Look for images at a registry",
        Operands::These(&["WORD"]),
        &[
            group(FLAGS, &[flag("limit", None, One("NUMBER"), "Results at most, 25 where nothing is said")]),
            FILTER,
            FORMAT,
            NO_TRUNC
        ],
        &["bocage search nginx", "bocage search registry.example:5000/team"]
    ),
    entry!(
        "manifest inspect",
        &[],
        IMAGES,
        "Show the manifest or index of an image at its registry",
        Operands::These(&["NAME[:TAG|@DIGEST]"]),
        &[group(FLAGS, &[flag("verbose", Some('v'), Nothing, "Its digest and platforms beside it")])]
    ),
    entry!(
        "manifest create",
        &[],
        IMAGES,
        "Write down an index: one name for the images of several platforms",
        Operands::Several("NAME", 2),
        &[group(
            FLAGS,
            &[flag("amend", Some('a'), Nothing, "Add to the index that was written down before")]
        )],
        &[
            "bocage manifest create team/app:1 team/app:1-amd64 team/app:1-arm64 && bocage manifest push team/app:1"
        ]
    ),
    entry!(
        "manifest push",
        &[],
        IMAGES,
        "Give an index that was written down to its registry",
        Operands::These(&["NAME"]),
        &[group(FLAGS, &[flag("purge", Some('p'), Nothing, "Forget it here once it is there")])]
    ),
    entry!(
        "manifest rm",
        &[],
        IMAGES,
        "Forget indexes that were written down",
        Operands::Several("NAME", 1),
        &[]
    ),
];
