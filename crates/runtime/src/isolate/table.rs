//! The two tables, and the loop that runs one.

use super::environment::{Child, Outcome};
use super::{attributes, capabilities, hooks, host, identity, mounts, program, root, streams};
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
    step("first processors", &[], attributes::first_processors),
    step("join the control groups", &["first processors"], host::join_own_cgroups),
    step("join the namespaces", &["join the control groups"], host::join_namespaces),
    step("take the user namespace", &["join the control groups"], host::take_privileges),
    step("last processors", &["join the control groups"], attributes::last_processors),
    step("session", &[], host::session),
    step("host name", &["join the namespaces", "take the user namespace"], host::host_name),
    step("loopback link", &["join the namespaces", "take the user namespace"], host::loopback),
    step("out-of-memory score", &["take the user namespace"], host::out_of_memory_score),
    step("kernel settings", &["join the namespaces", "take the user namespace"], host::kernel_settings),
    step("scheduling", &["take the user namespace"], attributes::scheduling),
    step("memory policy", &[], attributes::memory_policy),
    step("open the labels", &[], attributes::open_labels),
    step("make the file systems", &["join the namespaces", "take the user namespace"], mounts::make_all),
    step("part from the host's mounts", &["take the user namespace"], root::part),
    step("mount the root", &["part from the host's mounts"], root::mount_root),
    step("mount the file systems", &["mount the root", "make the file systems"], mounts::mount_all),
    step("hooks outside", &["mount the file systems", "kernel settings"], hooks::outside),
    step("hooks of the creation", &["hooks outside"], hooks::create_container),
    step(
        "change the root",
        &["hooks of the creation", "out-of-memory score", "open the labels"],
        root::pivot,
    ),
    step("mask paths", &["mount the file systems", "change the root"], mounts::mask_paths),
    step("protect paths", &["mount the file systems", "change the root"], mounts::protect_paths),
    step("make the working directory", &["mount the file systems"], program::make_directory),
    step("finish the root", &["make the working directory", "mask paths"], root::finish),
    step("standard streams", &["change the root", "session"], streams::connect),
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
    step("wait for the start", &["find the program", "standard streams"], program::wait_for_start),
    step("hooks of the start", &["wait for the start"], hooks::start_container),
    step("personality", &[], attributes::personality),
    step("labels", &["change the root"], attributes::set_labels),
    step("no new privileges", &["capabilities", "labels"], capabilities::no_new_privileges),
    step("close descriptors", &["standard streams", "find the program"], program::close_descriptors),
    step("system call filter", &["no new privileges", "close descriptors"], capabilities::filter),
    step("the filter's capability", &["system call filter"], capabilities::drop_last),
    step("wait for the start, filtered", &["the filter's capability"], program::wait_for_start_filtered),
];

/// One more process in a container that runs.
pub(crate) const ENTER: &[Step] = &[
    step("die with the shim", &[], host::die_with_shim),
    step("hide from other processes", &[], host::hide),
    step("default signals", &[], host::default_signals),
    step("first processors", &[], attributes::first_processors),
    step("join the control groups", &["first processors"], host::join_own_cgroups),
    step("last processors", &["join the control groups"], attributes::last_processors),
    step("out-of-memory score", &[], host::out_of_memory_score),
    step("scheduling", &[], attributes::scheduling),
    step("memory policy", &[], attributes::memory_policy),
    step("open the labels", &[], attributes::open_labels),
    step("resource limits", &[], identity::resource_limits),
    step("enter the container", &["join the control groups", "hide from other processes"], host::enter),
    step("session", &["enter the container"], host::session),
    step("standard streams", &["enter the container", "session"], streams::connect),
    step("find the user", &["enter the container"], identity::find_user),
    step("own the standard streams", &["find the user", "standard streams"], streams::give_to_user),
    step("enter the working directory", &["enter the container"], program::enter_directory),
    step("bounding capabilities", &["enter the container"], capabilities::bound),
    step("become the user", &["bounding capabilities", "find the user"], identity::become_user),
    step("capabilities", &["become the user"], capabilities::keep),
    step("die with the shim, as the user", &["become the user"], host::die_with_shim),
    step("enter the working directory, as the user", &["capabilities"], program::enter_directory),
    step("find the program", &["capabilities"], program::find),
    step("personality", &[], attributes::personality),
    step("labels", &["enter the container"], attributes::set_labels),
    step("no new privileges", &["capabilities", "labels"], capabilities::no_new_privileges),
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
        child.stopwatch.mark(step.name);
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
            ["take the user namespace", "make the file systems"],
            ["part from the host's mounts", "mount the root"],
            ["mount the root", "mount the file systems"],
            ["mount the file systems", "change the root"],
            ["change the root", "mask paths"],
            ["mount the file systems", "mask paths"],
            ["change the root", "standard streams"],
            ["change the root", "find the user"],
            ["open the labels", "change the root"],
            ["hooks of the creation", "become the user"],
            ["mask paths", "become the user"],
            ["protect paths", "become the user"],
            ["finish the root", "become the user"],
            ["resource limits", "become the user"],
            ["mount the file systems", "capabilities"],
            ["bounding capabilities", "become the user"],
            ["become the user", "capabilities"],
            ["capabilities", "find the program"],
            ["capabilities", "no new privileges"],
            ["capabilities", "wait for the start"],
            ["capabilities", "hooks of the start"],
            ["labels", "no new privileges"],
            ["no new privileges", "system call filter"],
            ["close descriptors", "system call filter"],
        ];
        for [before, after] in orders {
            assert!(position(CONTAINER, before) < position(CONTAINER, after), "{before} … {after}");
        }
        assert!(position(ENTER, "hide from other processes") < position(ENTER, "enter the container"));
    }

    #[test]
    fn only_the_filters_own_capability_is_dropped_after_the_filter_and_some_wait_there() {
        for (table, waits) in [(CONTAINER, 1), (ENTER, 0)] {
            assert_eq!(position(table, "system call filter"), table.len() - 2 - waits);
            assert_eq!(position(table, "the filter's capability"), table.len() - 1 - waits);
        }
    }

    #[test]
    fn both_tables_end_in_the_same_steps() {
        let names = |table: &[Step]| -> Vec<&str> {
            let from = position(table, "bounding capabilities");
            let only_first = ["wait for the start", "hooks of the start", "wait for the start, filtered"];
            table[from..].iter().map(|step| step.name).filter(|name| !only_first.contains(name)).collect()
        };
        assert_eq!(names(CONTAINER), names(ENTER));
    }
}
