//! `images --tree`: which image lies upon which.

use super::list::{id_of, string};
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::format::human;
use crate::format::table::lay_out;
use crate::printer;
use serde_json::Value;

/// One image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    names: Vec<String>,
    id: String,
    size: u64,
    containers: u64,
    /// Its layers, the bottom one first.
    layers: Vec<String>,
}

/// Shows the images of a list as a tree.
pub(super) async fn show(client: &Client, listed: &Value) -> Result<(), Failure> {
    let mut nodes = Vec::new();
    for image in listed.as_array().into_iter().flatten() {
        let id = string(image, "Id");
        let detail = client.get(&format!("/images/{}/json", escape(id))).await?;
        let texts = |list: &Value| {
            let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
            texts.map(str::to_owned).collect::<Vec<_>>()
        };
        nodes.push(Node {
            names: texts(&image["RepoTags"]),
            id: id.to_owned(),
            size: image["Size"].as_u64().unwrap_or_default(),
            containers: image["Containers"].as_u64().unwrap_or_default(),
            layers: texts(&detail["RootFS"]["Layers"]),
        });
    }
    printer::out(&lay_out(&["IMAGE", "IMAGE ID", "SIZE", "ADDS", "CONTAINERS"], &rows(&nodes)));
    Ok(())
}

/// The rows of the tree, each image below the one that it lies upon.
fn rows(nodes: &[Node]) -> Vec<Vec<String>> {
    let parents: Vec<Option<usize>> = (0..nodes.len()).map(|index| parent(nodes, index)).collect();
    let mut rows = Vec::new();
    below(nodes, &parents, None, "", &mut rows);
    rows
}

/// The image with the most layers that are the lowest ones of another. Of images with the same layers the first stands for all.
fn parent(nodes: &[Node], index: usize) -> Option<usize> {
    let own = &nodes[index].layers;
    let fits = |other: &usize| {
        let layers = &nodes[*other].layers;
        let same = layers.len() == own.len();
        !layers.is_empty() && own.starts_with(layers) && (!same || *other < index)
    };
    // The first of the longest.
    (0..nodes.len()).filter(fits).rev().max_by_key(|other| nodes[*other].layers.len())
}

fn below(
    nodes: &[Node],
    parents: &[Option<usize>],
    upon: Option<usize>,
    indent: &str,
    rows: &mut Vec<Vec<String>>,
) {
    let children: Vec<usize> = (0..nodes.len()).filter(|index| parents[*index] == upon).collect();
    for (place, index) in children.iter().enumerate() {
        let node = &nodes[*index];
        let last = place + 1 == children.len();
        let (branch, deeper) = match (upon, last) {
            (None, _) => ("", ""),
            (Some(_), false) => ("├─ ", "│  "),
            (Some(_), true) => ("└─ ", "   "),
        };
        let name = if node.names.is_empty() { "<none>".to_owned() } else { node.names.join(", ") };
        let adds = node.size.saturating_sub(upon.map_or(0, |upon| nodes[upon].size));
        rows.push(vec![
            format!("{indent}{branch}{name}"),
            id_of(&node.id, false),
            human::bytes(node.size),
            human::bytes(adds),
            node.containers.to_string(),
        ]);
        below(nodes, parents, Some(*index), &format!("{indent}{deeper}"), rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_stands_below_the_one_with_the_most_of_its_layers() {
        let node = |name: &str, size, layers: &[&str]| Node {
            names: vec![name.to_owned()],
            size,
            layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
            ..Node::default()
        };
        let nodes = [
            node("web", 30, &["a", "b", "c"]),
            node("base", 10, &["a"]),
            node("other", 5, &["x"]),
            node("middle", 20, &["a", "b"]),
            node("again", 20, &["a", "b"]),
            node("empty", 0, &[]),
        ];
        let names: Vec<String> =
            rows(&nodes).into_iter().map(|row| format!("{} {}", row[0], row[3])).collect();
        assert_eq!(
            names,
            ["base 10B", "└─ middle 10B", "   ├─ web 10B", "   └─ again 0B", "other 5B", "empty 0B"]
        );
    }
}
