//! Images.

use super::signed;
use crate::wire::container::GraphDriver;
use crate::wire::image::{ImageConfig, ImageMetadata, RootFs};
use crate::wire::{Empty, ImageInspect, ImageSummary, OneOrMany};
use platform::{Image, ImageDetail};
use std::collections::BTreeMap;

/// The first version in which the size is given once only.
const ONE_SIZE_SINCE: u32 = 44;

pub(crate) fn image_summary(image: &Image) -> ImageSummary {
    ImageSummary {
        containers: signed(image.containers),
        created: image.created.unix_seconds(),
        id: image.id.to_string(),
        labels: Some(image.labels.clone()).filter(|labels| !labels.is_empty()),
        parent_id: String::new(),
        repo_digests: image.digests.clone(),
        repo_tags: image.tags.clone(),
        shared_size: -1,
        size: signed(image.size),
    }
}

pub(crate) fn image_inspect(detail: &ImageDetail, version: u32) -> ImageInspect {
    let ImageDetail { image, directories, .. } = detail;
    let text = |value: &String| value.clone();
    let words = |value: &Option<Vec<String>>| value.clone().map(OneOrMany);
    let (top, below) = directories.split_first().map_or(("", &[][..]), |(top, below)| (top, below));
    let mut data = BTreeMap::from([("UpperDir".to_owned(), top.to_owned())]);
    if !below.is_empty() {
        data.insert("LowerDir".to_owned(), below.join(":"));
    }
    ImageInspect {
        id: image.id.to_string(),
        repo_tags: image.tags.clone(),
        repo_digests: image.digests.clone(),
        parent: text(&detail.parent),
        comment: text(&detail.comment),
        created: image.created.to_string(),
        docker_version: String::new(),
        author: text(&detail.author),
        config: ImageConfig {
            user: text(&detail.user),
            exposed_ports: detail.exposed.iter().map(|port| (port.to_string(), Empty {})).collect(),
            env: detail.env.clone(),
            entrypoint: words(&detail.entrypoint),
            cmd: words(&detail.command),
            volumes: detail.volumes.iter().map(|path| (path.clone(), Empty {})).collect(),
            working_dir: text(&detail.working_dir),
            labels: image.labels.clone(),
            stop_signal: text(&detail.stop_signal),
            healthcheck: detail.healthcheck.as_ref().and_then(|text| crate::wire::read(text.as_bytes()).ok()),
            on_build: detail.on_build.clone(),
            shell: words(&detail.shell),
        },
        architecture: text(&detail.architecture),
        variant: text(&detail.variant),
        os: text(&detail.os),
        size: signed(image.size),
        virtual_size: if version < ONE_SIZE_SINCE { signed(image.size) } else { 0 },
        graph_driver: GraphDriver { data, name: "overlay2".to_owned() },
        root_fs: RootFs { kind: "layers".to_owned(), layers: detail.layers.clone() },
        metadata: ImageMetadata { last_tag_time: detail.last_tagged.to_string() },
    }
}
