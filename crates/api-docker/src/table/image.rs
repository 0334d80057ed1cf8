//! Images.

use super::{Field, Operation, Way, done, ignored, not_yet, operation, refused};
use crate::handle::{disk, image, registry};

const NO_SEARCH: &str = "registries are not searched yet; `pull` wants the whole name";
const NO_REMOTE: &str = "images are not looked at in their registry yet; `pull` brings them";
const NO_BUILD: &str = "images are not built yet; bring one with `load` or `import`";
const ONE_PLATFORM: &str = "an image is kept for one platform only, the machine's own";

const NO_CACHE: &str = "nothing is built yet, and so nothing is cached";
const NOT_IN_IMAGES: &str = "an image says nothing of it";

/// What the image of a container is to say otherwise than the container.
const COMMIT_BODY: &[Field] = &[
    ignored("Hostname", NOT_IN_IMAGES),
    ignored("Domainname", NOT_IN_IMAGES),
    done("User"),
    ignored("AttachStdin", NOT_IN_IMAGES),
    ignored("AttachStdout", NOT_IN_IMAGES),
    ignored("AttachStderr", NOT_IN_IMAGES),
    done("ExposedPorts"),
    ignored("Tty", NOT_IN_IMAGES),
    ignored("OpenStdin", NOT_IN_IMAGES),
    ignored("StdinOnce", NOT_IN_IMAGES),
    done("Env"),
    done("Cmd"),
    done("Healthcheck"),
    done("Healthcheck.Test"),
    done("Healthcheck.Interval"),
    done("Healthcheck.Timeout"),
    done("Healthcheck.Retries"),
    done("Healthcheck.StartPeriod"),
    done("Healthcheck.StartInterval"),
    ignored("ArgsEscaped", "it has a meaning on Windows only"),
    ignored("Image", NOT_IN_IMAGES),
    done("Volumes"),
    done("WorkingDir"),
    done("Entrypoint"),
    ignored("NetworkDisabled", NOT_IN_IMAGES),
    ignored("MacAddress", NOT_IN_IMAGES),
    done("OnBuild"),
    done("Labels"),
    done("StopSignal"),
    ignored("StopTimeout", NOT_IN_IMAGES),
    done("Shell"),
];

pub(super) const OPERATIONS: &[Operation] = &[
    operation(
        "ImageList",
        "GET",
        "/images/json",
        |call| Box::pin(image::list(call)),
        &[
            ignored("all", "there are no intermediate images to hide"),
            done("filters"),
            refused("shared-size", "sizes shared between images are not added up yet"),
            ignored("digests", "digests are always listed"),
            refused("manifests", ONE_PLATFORM),
        ],
    ),
    operation(
        "ImageCreate",
        "POST",
        "/images/create",
        |call| Box::pin(image::create(call)),
        &[
            done("fromImage"),
            done("fromSrc"),
            done("repo"),
            done("tag"),
            done("message"),
            done("changes"),
            done("platform"),
            done("X-Registry-Auth"),
            ignored("inputImage", "the body is the archive itself"),
        ],
    ),
    operation(
        "ImageInspect",
        "GET",
        "/images/{name*}/json",
        |call| Box::pin(image::inspect(call)),
        &[refused("manifests", ONE_PLATFORM), refused("platform", ONE_PLATFORM)],
    ),
    operation(
        "ImageHistory",
        "GET",
        "/images/{name*}/history",
        |call| Box::pin(image::history(call)),
        &[refused("platform", ONE_PLATFORM)],
    ),
    operation(
        "ImageTag",
        "POST",
        "/images/{name*}/tag",
        |call| Box::pin(image::tag(call)),
        &[done("repo"), done("tag")],
    ),
    operation(
        "ImageDelete",
        "DELETE",
        "/images/{name*}",
        |call| Box::pin(image::delete(call)),
        &[
            done("force"),
            refused("noprune", "an image without a name and without users is always removed"),
            refused("platforms", ONE_PLATFORM),
        ],
    ),
    operation(
        "ImageGetAll",
        "GET",
        "/images/get",
        |call| Box::pin(image::save(call)),
        &[done("names"), refused("platform", ONE_PLATFORM)],
    ),
    operation(
        "ImageGet",
        "GET",
        "/images/{name*}/get",
        |call| Box::pin(image::save(call)),
        &[refused("platform", ONE_PLATFORM)],
    ),
    operation(
        "ImageLoad",
        "POST",
        "/images/load",
        |call| Box::pin(image::load(call)),
        &[
            done("quiet"),
            refused("platform", ONE_PLATFORM),
            ignored("imagesTarball", "the body is the archive itself"),
        ],
    ),
    operation(
        "ImagePush",
        "POST",
        "/images/{name*}/push",
        |call| Box::pin(registry::push(call)),
        &[done("tag"), done("X-Registry-Auth"), refused("platform", ONE_PLATFORM)],
    ),
    not_yet("ImageSearch", "GET", "/images/search", NO_SEARCH),
    operation(
        "ImagePrune",
        "POST",
        "/images/prune",
        |call| Box::pin(disk::prune_images(call)),
        &[done("filters")],
    ),
    not_yet("ImageBuild", "POST", "/build", NO_BUILD),
    operation(
        "BuildPrune",
        "POST",
        "/build/prune",
        |call| Box::pin(disk::prune_builds(call)),
        &[
            ignored("keep-storage", NO_CACHE),
            ignored("reserved-space", NO_CACHE),
            ignored("max-used-space", NO_CACHE),
            ignored("min-free-space", NO_CACHE),
            ignored("all", NO_CACHE),
            ignored("filters", NO_CACHE),
        ],
    ),
    Operation {
        id: "ImageCommit",
        method: "POST",
        path: "/commit",
        way: Way::Done(|call| Box::pin(image::commit(call))),
        parameters: &[
            done("container"),
            done("repo"),
            done("tag"),
            done("comment"),
            done("author"),
            done("pause"),
            done("changes"),
        ],
        body: COMMIT_BODY,
    },
    not_yet("DistributionInspect", "GET", "/distribution/{name*}/json", NO_REMOTE),
    not_yet("Session", "POST", "/session", NO_BUILD),
    not_yet("Grpc", "POST", "/grpc", NO_BUILD),
];
