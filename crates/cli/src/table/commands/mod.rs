//! The commands, a file for each heading of the help.

use super::Entry;

macro_rules! entry {
    ($name:literal, $aliases:expr, $section:expr, $about:literal, $operands:expr, $groups:expr) => {
        entry!($name, $aliases, $section, $about, $operands, $groups, &[])
    };
    ($name:literal, $aliases:expr, $section:expr, $about:literal, $operands:expr, $groups:expr, $examples:expr) => {
        Entry {
            name: $name,
            aliases: $aliases,
            section: $section,
            about: $about,
            operands: $operands,
            groups: $groups,
            examples: $examples,
        }
    };
}

mod containers;
mod images;
mod networks;
mod node;
mod volumes;

/// The headings of `bocage --help`, in their order.
pub(crate) const SECTIONS: [&str; 5] = [CONTAINERS, IMAGES, NETWORKS, VOLUMES, NODE];
const CONTAINERS: &str = "Containers";
const IMAGES: &str = "Images";
const NETWORKS: &str = "Networks";
const VOLUMES: &str = "Volumes";
const NODE: &str = "This node";

/// All commands.
pub(crate) fn all() -> impl Iterator<Item = &'static Entry> {
    [containers::COMMANDS, images::COMMANDS, networks::COMMANDS, volumes::COMMANDS, node::COMMANDS]
        .into_iter()
        .flatten()
}
