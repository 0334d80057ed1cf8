//! The sabotages, as data: for each protection the change that takes it away, and the tests that must fail then.
//!
//! Texts are short and stand on one line, so that they survive a move of what is around them; each must be found exactly once. A
//! sabotage breaks the product and never the tests. None of them lets a container reach further than the room that its tests run in.

/// A protection that is taken away.
pub(super) struct Sabotage {
    /// What is done, in few words; `docs/security.md` uses them too.
    pub(super) name: &'static str,
    /// The changes.
    pub(super) edits: &'static [Edit],
    /// The tests of which one must fail at least.
    pub(super) tests: &'static [Named],
    /// What an attacker gains where nobody notices.
    pub(super) why: &'static str,
}

/// One change of one file.
pub(super) struct Edit {
    pub(super) file: &'static str,
    /// Stands exactly once in the file.
    pub(super) find: &'static str,
    pub(super) replace: &'static str,
}

/// A test, by its name in its place, or several by what their names begin with.
pub(super) struct Named {
    pub(super) place: Place,
    pub(super) name: &'static str,
}

/// Where a test lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The runtime on this machine's kernel.
    Kernel,
    /// The whole product, by its clients.
    BlackBox,
}

impl Place {
    /// All of them, the quickest first.
    pub(super) const ALL: [Place; 2] = [Place::Kernel, Place::BlackBox];

    /// What cargo is told.
    pub(super) fn cargo_words(self) -> &'static [&'static str] {
        match self {
            Place::Kernel => &["--package", "runtime", "--test", "kernel"],
            Place::BlackBox => &["--package", "blackbox", "--test", "blackbox"],
        }
    }

    /// The folder of the package.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Place::Kernel => "crates/runtime",
            Place::BlackBox => "tests",
        }
    }
}

impl Sabotage {
    /// Whether its name or a test's holds one of the words, or there are none.
    pub(super) fn is_meant_by(&self, words: &[&str]) -> bool {
        let holds = |word: &&str| {
            self.name.contains(*word) || self.tests.iter().any(|test| test.name.contains(*word))
        };
        words.is_empty() || words.iter().any(holds)
    }
}

const fn edit(file: &'static str, find: &'static str, replace: &'static str) -> Edit {
    Edit { file, find, replace }
}

const fn kernel(name: &'static str) -> Named {
    Named { place: Place::Kernel, name }
}

const fn black_box(name: &'static str) -> Named {
    Named { place: Place::BlackBox, name }
}

const CAPABILITIES: &str = "crates/runtime/src/isolate/capabilities.rs";
const ENTRY: &str = "crates/runtime/src/shim/entry.rs";
const COMPOSE: &str = "crates/engine/src/compose.rs";
const DEV: &str = "crates/runtime/src/isolate/dev.rs";
const FILTER: &str = "crates/runtime/src/seccomp/default.rs";
const HOST: &str = "crates/runtime/src/isolate/host.rs";
const CLONE: &str = "crates/runtime/src/shim/clone.rs";
const MOUNTS: &str = "crates/runtime/src/isolate/mounts.rs";
const PATHS: &str = "crates/runtime/src/isolate/paths.rs";
const PROGRAM: &str = "crates/runtime/src/isolate/program.rs";
const ROOT: &str = "crates/runtime/src/isolate/root.rs";
const START: &str = "crates/runtime/src/start.rs";
const STREAMS: &str = "crates/runtime/src/isolate/streams.rs";
const TABLE: &str = "crates/runtime/src/isolate/table.rs";

/// Every sabotage, in the order of `docs/security.md`.
pub(super) const SABOTAGES: &[Sabotage] = &[
    Sabotage {
        name: "the program in memory is not sealed",
        edits: &[edit(START, "seal(&file).map_err(failed)?;", "")],
        tests: &[kernel("escapes::the_program_that_enters_is_sealed_memory")],
        why: "whoever opens /proc/PID/exe for writing replaces what enters every other container",
    },
    Sabotage {
        name: "a process that enters is not hidden",
        edits: &[edit(
            HOST,
            "pub(super) fn hide(_: &mut Child<'_>) -> Outcome {",
            "pub(super) fn hide(_: &mut Child<'_>) -> Outcome {\n    if true { return Ok(()); }",
        )],
        tests: &[kernel("escapes::a_process_that_enters_shows_nothing_of_itself")],
        why: "the container opens what the entering process has open: its program, the host's directories",
    },
    Sabotage {
        name: "magic links are followed",
        // The kernel follows none below a root of its own choosing: it must be a plain name that is looked up.
        edits: &[
            edit(
                PROGRAM,
                "let found = paths::find_or_make(child.root()?, path, Missing::Directory)?;",
                "let Ok(found) = paths::find_or_make(child.root()?, path, Missing::Directory) else { return Ok(()) };",
            ),
            edit(
                PROGRAM,
                "paths::find(child.root()?, path, OFlags::PATH | OFlags::DIRECTORY).and_then(rustix::process::fchdir);",
                "rustix::process::chdir(path);",
            ),
        ],
        tests: &[
            kernel("isolation::links_in_the_image_lead_no_mount_and_no_directory_out_of_it"),
            kernel("exec::users_directories_and_exit_codes_are_the_execs_own"),
            black_box("escapes::files::a_descriptor_of_the_host_is_no_working_folder"),
        ],
        why: "/proc/self/fd/N as a working folder is a directory of the host",
    },
    Sabotage {
        name: "a descriptor of the host stays open",
        edits: &[
            edit(
                ROOT,
                "rustix::mount::fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())",
                "rustix::mount::fsmount(context, FsMountFlags::empty(), MountAttrFlags::empty())",
            ),
            edit(PROGRAM, "match sys::process::close_on_exec_from(3) {", "match sys::process::close_on_exec_from(900) {"),
        ],
        tests: &[
            kernel("isolation::nothing_of_the_shim_or_the_daemon_is_open_in_the_container"),
            black_box("escapes::files::a_command_has_the_three_streams_and_no_other_descriptor"),
        ],
        why: "a program walks from the open directory to the host's root",
    },
    Sabotage {
        name: "links are followed out of the root",
        edits: &[
            edit(PATHS, "ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;", "ResolveFlags::empty();"),
            edit(
                PATHS,
                "match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {",
                "match rustix::fs::openat2(root, path.strip_prefix(\"/\").map(|p| Path::new(\"./\").join(p)).unwrap_or(path.to_owned()), flags | OFlags::CLOEXEC, Mode::empty(), resolve) {",
            ),
        ],
        tests: &[
            black_box("escapes::files::links_of_an_image_lead_nowhere"),
            black_box("escapes::files::names_that_are_exchanged_while_a_neighbour_starts_lead_nowhere"),
            black_box("escapes::files::a_copy_never_leaves_the_container"),
        ],
        why: "a link of the image decides where on the host a volume is mounted and folders are made",
    },
    Sabotage {
        name: "mounts over /proc are allowed",
        edits: &[edit(MOUNTS, "if found.f_type as u64 == PROC_MAGIC &&", "if found.f_type as u64 == 1 &&")],
        tests: &[black_box("escapes::files::nothing_is_mounted_over_proc")],
        why: "a volume hides what is masked there and lies to the runtime",
    },
    Sabotage {
        name: "/proc and /sys are mounted where links lead",
        edits: &[edit(MOUNTS, "is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);", "is_err();")],
        tests: &[kernel("escapes::the_kernels_file_systems_are_mounted_on_ordinary_directories")],
        why: "what looks like /proc is a folder of the image, in which nothing is masked",
    },
    Sabotage {
        name: "files are masked with what stands at /dev/null",
        edits: &[edit(
            MOUNTS,
            "copy_of_open(null.as_fd(), false).during(\"copy the null device\")?",
            "copy_of_open(find_if_there(root.as_fd(), Path::new(\"/dev/null\"))?.as_ref().unwrap_or(null).as_fd(), false).during(\"copy\")?",
        )],
        tests: &[kernel("isolation::a_masked_path_is_never_what_the_image_or_a_volume_puts_at_dev_null")],
        why: "the image or a volume decides what is shown in place of a masked file",
    },
    Sabotage {
        name: "the null device is the one of the image",
        edits: &[edit(COMPOSE, "plain(\"/dev\", MountKind::Dev, &[]),", "")],
        tests: &[black_box("escapes::files::a_null_device_of_the_image_masks_nothing")],
        why: "links of the image stand where the container's devices should",
    },
    Sabotage {
        name: "nothing is masked",
        edits: &[edit(MOUNTS, "put(cover.as_fd(), target.as_fd()).during(format_args!(\"mask {name}\"))?;", "let _ = target;")],
        tests: &[
            kernel("isolation::paths_are_masked_and_protected"),
            black_box("escapes::contained::the_page_says_what_a_default_container_has"),
        ],
        why: "keys, memory and firmware of the machine are read",
    },
    Sabotage {
        name: "nothing is protected",
        edits: &[edit(
            MOUNTS,
            "put(copy.as_fd(), target.as_fd()).during(format_args!(\"protect {name}\"))?;",
            "let _ = target;",
        )],
        tests: &[
            kernel("isolation::paths_are_masked_and_protected"),
            black_box("escapes::calls::the_machine_is_not_restarted_from_inside"),
        ],
        why: "settings of the whole machine are written, sysrq-trigger among them",
    },
    Sabotage {
        name: "the console is what a name leads to",
        edits: &[edit(
            STREAMS,
            "let copy = copy_of_open(slave, false).during(\"copy the terminal's mount\")?;",
            "let _ = slave; let copy = rustix::mount::open_tree(rustix::fs::CWD, c\"/dev/pts/0\", rustix::mount::OpenTreeFlags::OPEN_TREE_CLONE).during(\"copy\")?;",
        )],
        tests: &[
            kernel("escapes::a_terminal_is_never_made_by_what_a_volume_puts_in_place_of_the_multiplexer"),
            black_box("escapes::files::a_console_is_the_terminal_and_nothing_that_a_link_names"),
        ],
        why: "a link in place of the terminal makes a file of /proc writable as /dev/console",
    },
    Sabotage {
        name: "a multiplexer is not looked at",
        edits: &[edit(STREAMS, "if kind != DEVPTS ||", "if kind == 1 &&")],
        tests: &[kernel("escapes::a_terminal_is_never_made_by_what_a_volume_puts_in_place_of_the_multiplexer")],
        why: "a command's terminal is opened from a file that the container chose",
    },
    Sabotage {
        name: "settings are written behind the new root",
        edits: &[
            edit(TABLE, r#"    step("kernel settings", &["join the namespaces", "take the user namespace"], host::kernel_settings),"#, ""),
            edit(TABLE, r#"    step("mount the file systems", &["mount the root", "make the file systems"], mounts::mount_all),"#, ""),
            edit(TABLE, r#"    step("mask paths", &["mount the file systems", "change the root"], mounts::mask_paths),"#, r#"    step("kernel settings", &["change the root"], host::kernel_settings),
                step("mount the file systems", &["mount the root", "make the file systems"], mounts::mount_all),
                step("mask paths", &["mount the file systems", "change the root"], mounts::mask_paths),"#),
        ],
        tests: &[
            kernel("escapes::settings_are_written_to_the_kernel_and_not_to_a_file_of_the_image"),
            black_box("escapes::files::what_is_written_to_proc_is_written_to_the_kernel"),
        ],
        why: "a file of the image takes what the kernel should be told",
    },
    Sabotage {
        name: "the filter is not loaded",
        edits: &[edit(CAPABILITIES, "let Some(filter) = child.filter else { return Ok(()) };", "let Some(filter) = child.filter.filter(|_| false) else { return Ok(()) };")],
        tests: &[
            kernel("isolation::capabilities_are_dockers_and_the_filter_is_loaded"),
            black_box("escapes::calls::calls_that_a_container_has_no_business_with_are_refused"),
        ],
        why: "every hole of every system call is within reach",
    },
    Sabotage {
        name: "the filter lets new mounts and namespaces through",
        edits: &[edit(FILTER, "const ALLOWED: &str = \"", "const ALLOWED: &str = \" fsopen fsconfig unshare ")],
        tests: &[black_box("escapes::calls::calls_that_a_container_has_no_business_with_are_refused")],
        why: "a user namespace brings the capability for a call with a known hole",
    },
    Sabotage {
        name: "the filter lets keys through",
        edits: &[edit(FILTER, "const ALLOWED: &str = \"", "const ALLOWED: &str = \" keyctl add_key request_key ")],
        tests: &[black_box("escapes::calls::keys_of_one_container_are_not_found_in_another")],
        why: "keys belong to users, not to containers",
    },
    Sabotage {
        name: "the session keyring is inherited",
        edits: &[edit(HOST, "let _ = sys::process::join_session_keyring(&child.keyring);", "")],
        tests: &[black_box("escapes::calls::keys_of_one_container_are_not_found_in_another")],
        why: "every container holds the keys of the one that started the engine",
    },
    Sabotage {
        name: "processes share the host's numbers",
        edits: &[edit(ENTRY, "Namespace::New if kind == NewNamespaces::CGROUP => {}", "Namespace::New if kind == NewNamespaces::CGROUP || kind == NewNamespaces::PID => {}")],
        tests: &[
            kernel("isolation::a_container_has_its_own_processes_name_and_loopback_link"),
            black_box("escapes::calls::processes_of_the_host_and_of_neighbours_cannot_be_traced"),
        ],
        why: "processes of others are seen, signalled and traced",
    },
    Sabotage {
        name: "capabilities are kept",
        // Both: a program that root executes has what the bounding set has, whatever was permitted before.
        edits: &[
            edit(CAPABILITIES, "let permitted = set_of(&wanted.permitted)? & had;", "let permitted = had;"),
            edit(CAPABILITIES, "match rustix::thread::remove_capability_from_bounding_set(one) {", "match if number < 41 { Ok(()) } else { rustix::thread::remove_capability_from_bounding_set(one) } {"),
        ],
        tests: &[
            kernel("isolation::capabilities_are_dockers_and_the_filter_is_loaded"),
            black_box("escapes::calls::processes_of_the_host_and_of_neighbours_cannot_be_traced"),
        ],
        why: "root in the container is root",
    },
    Sabotage {
        name: "the bounding set is not lowered",
        edits: &[edit(
            CAPABILITIES,
            "match rustix::thread::remove_capability_from_bounding_set(one) {",
            "match if number < 41 { Ok(()) } else { rustix::thread::remove_capability_from_bounding_set(one) } {",
        )],
        tests: &[kernel("isolation::capabilities_are_dockers_and_the_filter_is_loaded")],
        why: "a file with capabilities gives back what was taken away",
    },
    Sabotage {
        name: "a shim listens without a file",
        edits: &[edit(
            CLONE,
            "rustix::net::listen(&socket, BACKLOG)?;",
            "rustix::net::listen(&socket, BACKLOG)?;
             let open = <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(format!(\"shim{}-{name}\", std::process::id())).map_err(|_| Errno::INVAL)?;
             std::mem::forget(std::os::unix::net::UnixListener::bind_addr(&open).map_err(|_| Errno::INVAL)?);",
        )],
        tests: &[black_box("escapes::calls::nothing_of_the_engine_listens_on_a_socket_without_a_file")],
        why: "a container on the host's network tells the shim what to do",
    },
    Sabotage {
        name: "every device may be opened",
        edits: &[edit(DEV, "[DeviceEntry::DENY_ALL].into_iter().chain(defaults).chain(named).collect()", "{ drop((defaults.count(), named.count())); Vec::new() }")],
        tests: &[kernel("escapes::a_device_of_the_host_cannot_be_opened_by_its_number")],
        why: "the disk of the host is read and written by its number",
    },
    Sabotage {
        name: "processes are not limited",
        edits: &[edit(COMPOSE, "pids: positive(resources.pids).map(number),", "pids: None,")],
        tests: &[black_box("escapes::exhaustion::a_fork_bomb_is_held_by_its_limit_and_hurts_nobody_else")],
        why: "a fork bomb takes the numbers of every process of the machine",
    },
    Sabotage {
        name: "memory is not limited",
        edits: &[edit(COMPOSE, "let limit_bytes = positive(resources.memory_bytes).map(number);", "let limit_bytes: Option<i64> = None;")],
        tests: &[black_box("escapes::exhaustion::a_memory_hog_is_killed_alone")],
        why: "a container takes the memory of its neighbours",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::super::tree::applied;
    use super::*;
    use crate::shell;

    #[test]
    fn every_text_of_a_sabotage_stands_once_in_its_file() {
        let mut rotten = Vec::new();
        for sabotage in SABOTAGES {
            for edit in sabotage.edits {
                let text = fs::read_to_string(shell::workspace().join(edit.file)).unwrap();
                if !applied(&text, edit).is_ok_and(|broken| broken != text) {
                    rotten.push(format!("{}: {}", sabotage.name, edit.find));
                }
            }
        }
        assert!(rotten.is_empty(), "{}", rotten.join("\n"));
    }

    #[test]
    fn no_two_sabotages_share_a_name_and_each_names_a_test() {
        let names: BTreeSet<&str> = SABOTAGES.iter().map(|sabotage| sabotage.name).collect();
        assert_eq!(names.len(), SABOTAGES.len());
        assert!(SABOTAGES.iter().all(|sabotage| !sabotage.tests.is_empty() && !sabotage.why.is_empty()));
    }
}
