//! The node itself.

use super::{Operation, Way, done, ignored, operation};
use crate::handle::{disk, events, registry, system};

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
    operation("SystemDataUsage", "GET", "/system/df", |call| Box::pin(disk::usage(call)), &[done("type")]),
    Operation {
        id: "SystemAuth",
        method: "POST",
        path: "/auth",
        way: Way::Done(|call| Box::pin(registry::auth(call))),
        parameters: &[],
        body: &[
            done("username"),
            done("password"),
            ignored("email", "no registry wants one any more"),
            done("serveraddress"),
        ],
    },
];
