//! The node itself.

use super::{Operation, done, not_yet, operation};
use crate::handle::{events, system};

const NO_REGISTRY: &str = "there is no client for registries yet; bring images with `load` or `import`";

pub(super) const OPERATIONS: &[Operation] = &[
    operation("SystemPing", "GET", "/_ping", |call| Box::pin(system::ping(call)), &[]),
    operation("SystemPingHead", "HEAD", "/_ping", |call| Box::pin(system::ping(call)), &[]),
    operation("SystemVersion", "GET", "/version", |call| Box::pin(system::version(call)), &[]),
    operation("SystemInfo", "GET", "/info", |call| Box::pin(system::info(call)), &[]),
    operation(
        "SystemEvents",
        "GET",
        "/events",
        |call| Box::pin(events::events(call)),
        &[done("since"), done("until"), done("filters")],
    ),
    not_yet("SystemDataUsage", "GET", "/system/df", "sizes of everything are not added up yet"),
    not_yet("SystemAuth", "POST", "/auth", NO_REGISTRY),
];
