//! The two tables, and the loop that runs one.

use super::environment::{Child, Outcome};
use super::{capabilities, host, identity, mounts, program, root, streams};
use crate::shim::wire::Failure;

/// One step of isolation.
pub(crate) struct Step {
    /// Its name, in failures and timings.
    pub(crate) name: &'static str,
    /// The steps that must have been run before it: what the tests hold the tables to.
    #[cfg_attr(not(test), expect(dead_code, reason = "the order of the tables is tested, not worked out"))]
    pub(crate) after: &'static [&'static str],
    /// What it does.
    act: fn(&mut Child<'_>) -> Outcome,
}

const fn step(
    name: &'static str,
    after: &'static [&'static str],
    act: fn(&mut Child<'_>) -> Outcome,
) -> Step {
    Step { name, after, act }
}

/// A container's first process, from the clone to the program.
pub(crate) const CONTAINER: &[Step] = &[
    step("die with the shim", &[], host::die_with_shim),
    step("hide from other processes", &[], host::hide),
    step("default signals", &[], host::default_signals),
    step("join the control groups", &[], host::join_cgroups),
    step("join the namespaces", &["join the control groups"], host::join_namespaces),
    step("session", &[], host::session),
    step("host name", &["join the namespaces"], host::host_name),
    step("loopback link", &["join the namespaces"], host::loopback),
    step("out-of-memory score", &[], host::out_of_memory_score),
    step("kernel settings", &["join the namespaces"], host::kernel_settings),
    step("open what the host gives", &[], mounts::open_sources),
    step("part from the host's mounts", &["open what the host gives"], root::part),
    step("mount the root", &["part from the host's mounts"], root::mount_root),
    step("change the root", &["mount the root", "kernel settings", "out-of-memory score"], root::pivot),
    step("mount the file systems", &["change the root", "open what the host gives"], mounts::mount_all),
    step("mask paths", &["mount the file systems"], mounts::mask_paths),
    step("protect paths", &["mount the file systems"], mounts::protect_paths),
    step("make the working directory", &["mount the file systems"], program::make_directory),
    step("read-only root", &["make the working directory", "mask paths"], root::make_read_only),
    step("standard streams", &["mount the file systems", "session"], streams::connect),
    step("find the user", &["change the root"], identity::find_user),
    step("own the standard streams", &["find the user", "standard streams"], streams::give_to_user),
    step("enter the working directory", &["make the working directory"], program::enter_directory),
    step("resource limits", &["mount the file systems"], identity::resource_limits),
    step("bounding capabilities", &["mask paths", "protect paths"], capabilities::bound),
    step("become the user", &["bounding capabilities", "find the user"], identity::become_user),
    step("capabilities", &["become the user"], capabilities::keep),
    step("die with the shim, as the user", &["become the user"], host::die_with_shim),
    step("enter the working directory, as the user", &["capabilities"], program::enter_directory),
    step("find the program", &["capabilities"], program::find),
    step("no new privileges", &["capabilities"], capabilities::no_new_privileges),
    step("close descriptors", &["standard streams", "find the program"], program::close_descriptors),
    step("system call filter", &["no new privileges", "close descriptors"], capabilities::filter),
    step("the filter's capability", &["system call filter"], capabilities::drop_last),
];

/// One more process in a container that runs.
pub(crate) const ENTER: &[Step] = &[
    step("die with the shim", &[], host::die_with_shim),
    step("hide from other processes", &[], host::hide),
    step("default signals", &[], host::default_signals),
    step("join the control groups", &[], host::join_cgroups),
    step("out-of-memory score", &[], host::out_of_memory_score),
    step("enter the container", &["join the control groups", "hide from other processes"], host::enter),
    step("session", &["enter the container"], host::session),
    step("standard streams", &["enter the container", "session"], streams::connect),
    step("find the user", &["enter the container"], identity::find_user),
    step("own the standard streams", &["find the user", "standard streams"], streams::give_to_user),
    step("enter the working directory", &["enter the container"], program::enter_directory),
    step("resource limits", &["enter the container"], identity::resource_limits),
    step("bounding capabilities", &["enter the container"], capabilities::bound),
    step("become the user", &["bounding capabilities", "find the user"], identity::become_user),
    step("capabilities", &["become the user"], capabilities::keep),
    step("die with the shim, as the user", &["become the user"], host::die_with_shim),
    step("enter the working directory, as the user", &["capabilities"], program::enter_directory),
    step("find the program", &["capabilities"], program::find),
    step("no new privileges", &["capabilities"], capabilities::no_new_privileges),
    step("close descriptors", &["standard streams", "find the program"], program::close_descriptors),
    step("system call filter", &["no new privileges", "close descriptors"], capabilities::filter),
    step("the filter's capability", &["system call filter"], capabilities::drop_last),
];

/// Runs a table and becomes the program. Returns only with a failure, which names its step.
pub(crate) fn run(table: &[Step], child: &mut Child<'_>) -> Failure {
    for step in table {
        if let Err(problem) = (step.act)(child) {
            return problem.at(step.name);
        }
    }
    program::execute(child).at("execute")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(table: &[Step], name: &str) -> usize {
        table.iter().position(|step| step.name == name).unwrap_or_else(|| panic!("no step {name:?}"))
    }

    #[test]
    fn every_step_stands_after_what_it_needs() {
        for table in [CONTAINER, ENTER] {
            for (at, step) in table.iter().enumerate() {
                for needed in step.after {
                    assert!(position(table, needed) < at, "{:?} before {needed:?}", step.name);
                }
            }
        }
    }

    #[test]
    fn no_two_steps_share_a_name() {
        for table in [CONTAINER, ENTER] {
            for (at, step) in table.iter().enumerate() {
                assert_eq!(position(table, step.name), at);
            }
        }
    }

    #[test]
    fn the_security_order_holds() {
        let orders = [
            ["open what the host gives", "change the root"],
            ["change the root", "mount the file systems"],
            ["mount the file systems", "mask paths"],
            ["mask paths", "become the user"],
            ["protect paths", "become the user"],
            ["read-only root", "become the user"],
            ["resource limits", "become the user"],
            ["mount the file systems", "capabilities"],
            ["bounding capabilities", "become the user"],
            ["become the user", "capabilities"],
            ["capabilities", "find the program"],
            ["capabilities", "no new privileges"],
            ["no new privileges", "system call filter"],
            ["close descriptors", "system call filter"],
        ];
        for [before, after] in orders {
            assert!(position(CONTAINER, before) < position(CONTAINER, after), "{before} … {after}");
        }
        assert!(position(ENTER, "hide from other processes") < position(ENTER, "enter the container"));
    }

    #[test]
    fn only_the_filters_own_capability_is_dropped_after_the_filter() {
        for table in [CONTAINER, ENTER] {
            assert_eq!(position(table, "system call filter"), table.len() - 2);
            assert_eq!(position(table, "the filter's capability"), table.len() - 1);
        }
    }

    #[test]
    fn both_tables_end_in_the_same_steps() {
        let names = |table: &[Step]| -> Vec<&str> {
            let from = position(table, "find the user");
            table[from..].iter().map(|step| step.name).collect()
        };
        assert_eq!(names(CONTAINER), names(ENTER));
    }
}
