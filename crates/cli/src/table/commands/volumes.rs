//! Volumes.

use super::super::Takes::{Many, Nothing, One};
use super::super::flags::{FILTER, FLAGS, FORMAT, PRUNE, flag, group};
use super::super::{Entry, Flag, Operands};
use super::VOLUMES;

const LABEL: Flag = flag("label", None, Many("KEY=VALUE"), "Attach a label");
const NO_PAUSE: Flag = flag(
    "no-pause",
    None,
    Nothing,
    "Let containers that have it go on meanwhile: what they write may not fit together",
);

pub(super) const COMMANDS: &[Entry] = &[
    entry!(
        "volume create",
        &[],
        VOLUMES,
        "Make a volume",
        Operands::Between("[NAME]", 0, 1),
        &[group(
            FLAGS,
            &[
                flag("driver", Some('d'), One("NAME"), "Its kind, which is local"),
                flag(
                    "opt",
                    Some('o'),
                    Many("NAME=VALUE"),
                    "What is mounted in it: type, device, o, as mount(8) has them"
                ),
                LABEL,
            ]
        )],
        &[
            "bocage volume create data",
            "bocage volume create -o type=nfs -o device=:/share -o o=addr=nas.example,vers=4 shared"
        ]
    ),
    entry!(
        "volume ls",
        &["volume list"],
        VOLUMES,
        "List volumes",
        Operands::None,
        &[group(FLAGS, &[flag("quiet", Some('q'), Nothing, "Show names only")]), FILTER, FORMAT]
    ),
    entry!(
        "volume inspect",
        &[],
        VOLUMES,
        "Show everything about volumes",
        Operands::Several("VOLUME", 1),
        &[group(
            FLAGS,
            &[flag("format", Some('f'), One("TEMPLATE"), "Show in this form: json, or a Go template")]
        )]
    ),
    entry!(
        "volume rm",
        &["volume remove"],
        VOLUMES,
        "Remove volumes that no container has",
        Operands::Several("VOLUME", 1),
        &[group(FLAGS, &[flag("force", Some('f'), Nothing, "One that is not there is no failure")])]
    ),
    entry!(
        "volume prune",
        &[],
        VOLUMES,
        "Remove the volumes that no container has and nobody gave a name",
        Operands::None,
        &[group(FLAGS, &[flag("all", Some('a'), Nothing, "Also those that have a name")]), PRUNE]
    ),
    entry!(
        "volume update",
        &[],
        VOLUMES,
        "Give a volume other labels",
        Operands::These(&["VOLUME"]),
        &[group(FLAGS, &[LABEL, flag("label-rm", None, Many("KEY"), "Take a label away")])]
    ),
    entry!(
        "volume rename",
        &[],
        VOLUMES,
        "Give a volume that no container has another name",
        Operands::These(&["VOLUME", "NEW"]),
        &[]
    ),
    entry!(
        "volume snapshot",
        &[],
        VOLUMES,
        "Keep a volume as it is now, in a volume that nobody writes",
        Operands::Between("VOLUME [SNAPSHOT]", 1, 2),
        &[group(FLAGS, &[LABEL, NO_PAUSE])],
        &["bocage volume snapshot data                     # data-20260102-030405"]
    ),
    entry!(
        "volume clone",
        &[],
        VOLUMES,
        "Copy a volume, or a snapshot, to a new volume",
        Operands::These(&["VOLUME", "NEW"]),
        &[group(FLAGS, &[LABEL, NO_PAUSE])]
    ),
    entry!(
        "volume backup",
        &[],
        VOLUMES,
        "Write the files of a volume to an archive, .tar.zst",
        Operands::These(&["VOLUME"]),
        &[group(
            FLAGS,
            &[
                flag(
                    "output",
                    Some('o'),
                    One("FILE"),
                    "Write to a file, or to s3://BUCKET/KEY, instead of standard output"
                ),
                NO_PAUSE
            ]
        )],
        &[
            "bocage volume backup -o data.tar.zst data",
            "bocage volume backup data | ssh nas 'cat > data.tar.zst'"
        ]
    ),
    entry!(
        "volume restore",
        &[],
        VOLUMES,
        "Make a volume of an archive's files",
        Operands::These(&["VOLUME"]),
        &[group(
            FLAGS,
            &[
                flag(
                    "input",
                    Some('i'),
                    One("FILE"),
                    "Read a file, or s3://BUCKET/KEY, instead of standard input"
                ),
                LABEL
            ]
        )],
        &["bocage volume restore -i data.tar.zst data"]
    ),
];
