//! Endpoints that Docker does not have.

use super::{Operation, Way, done, operation};
use crate::handle::{network, registry, system};

pub(super) const OPERATIONS: &[Operation] = &[
    operation("DaemonStatus", "GET", "/bocage/v1/daemon", |call| Box::pin(system::daemon_status(call)), &[]),
    operation(
        "DaemonStop",
        "POST",
        "/bocage/v1/daemon/stop",
        |call| Box::pin(system::daemon_stop(call)),
        &[done("containers")],
    ),
    operation(
        "ContainerTimings",
        "GET",
        "/bocage/v1/containers/{id}/timings",
        |call| Box::pin(system::timings(call)),
        &[],
    ),
    operation(
        "NetworkRules",
        "GET",
        "/bocage/v1/networks/{id}/rules",
        |call| Box::pin(network::rules(call)),
        &[],
    ),
    operation(
        "DistributionManifest",
        "GET",
        "/bocage/v1/distribution/{name*}/manifest",
        |call| Box::pin(registry::manifest(call)),
        &[done("X-Registry-Auth")],
    ),
    Operation {
        id: "DistributionPublish",
        method: "POST",
        path: "/bocage/v1/distribution/{name*}/manifest",
        way: Way::Done(|call| Box::pin(registry::publish(call))),
        parameters: &[done("X-Registry-Auth")],
        body: &[
            done("Manifests"),
            done("Manifests.[].Name"),
            done("Manifests.[].Platform"),
            done("Manifests.[].Platform.architecture"),
            done("Manifests.[].Platform.os"),
            done("Manifests.[].Platform.variant"),
        ],
    },
    operation(
        "DistributionImage",
        "GET",
        "/bocage/v1/distribution/{name*}/image",
        |call| Box::pin(registry::remote_image(call)),
        &[done("platform"), done("X-Registry-Auth")],
    ),
    operation(
        "ImagePushAs",
        "POST",
        "/bocage/v1/images/{name*}/push",
        |call| Box::pin(registry::push(call)),
        &[done("tag"), done("compression"), done("X-Registry-Auth")],
    ),
    operation("DemoImage", "POST", "/bocage/v1/demo-image", |call| Box::pin(system::demo_image(call)), &[]),
];
