//! The project's pages: each is reached from README.md, and each link between them leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::files::short;
use crate::shell;

/// Dead links, and pages that nobody finds.
pub(super) fn check() -> Result<Vec<String>> {
    let workspace = shell::workspace();
    let mut found = Vec::new();
    let mut reached = BTreeSet::new();
    let mut waiting = vec![workspace.join("README.md")];
    while let Some(page) = waiting.pop() {
        if !reached.insert(page.clone()) {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap_or_default();
        for link in links(&text) {
            let target = resolved(page.parent().unwrap_or(workspace), &link);
            if !target.exists() {
                found.push(format!("{} links to `{link}`, which is not there", short(&page)));
            } else if target.extension().is_some_and(|ending| ending == "md") {
                waiting.push(target);
            }
        }
    }
    for page in below(&workspace.join("docs")) {
        if !reached.contains(&page) {
            found.push(format!("{} is linked from no page that README.md leads to", short(&page)));
        }
    }
    Ok(found)
}

/// The links of a page that stay in the repository, without their fragments.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let inside = targets.filter(|link| !link.contains("://") && !link.starts_with(['#', '<']));
    let inside = inside.filter(|link| !link.is_empty() && !link.contains(char::is_whitespace));
    inside.map(|link| link.split('#').next().unwrap_or(link).to_owned()).collect()
}

/// A link as a path, its `..` followed.
fn resolved(folder: &Path, link: &str) -> PathBuf {
    let mut path = folder.to_owned();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                path.pop();
            }
            name => path.push(name),
        }
    }
    path
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut pages = Vec::new();
    for path in entries {
        if path.is_dir() {
            pages.extend(below(&path));
        } else if path.extension().is_some_and(|ending| ending == "md") {
            pages.push(path);
        }
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::links;

    #[test]
    fn only_links_inside_the_repository_are_followed() {
        let text = "[a](docs/a.md#part) [b](https://b.example/) [c](#here) `x[0](y z)`";
        assert_eq!(links(text), ["docs/a.md"]);
    }
}
