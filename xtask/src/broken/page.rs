//! The table of attacks in `docs/security.md`, held to the sources: it names tests and sabotages that exist, and all of the sabotages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::sabotages::SABOTAGES;
use crate::shell;

/// The heading of the table.
const TABLE: &str = "## Ways out that others found";

/// The columns of the table's lines: attack, what stops it, tests, sabotages.
fn rows() -> Vec<Vec<String>> {
    let page = fs::read_to_string(shell::workspace().join("docs/security.md")).unwrap();
    let table = page.split(TABLE).nth(1).unwrap().split("\n## ").next().unwrap();
    let lines = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    lines.map(|line| line.split('|').skip(1).map(|column| column.trim().to_owned()).collect()).collect()
}

/// The text of every Rust file below a folder.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(ending) if ending == "rs" => fs::read_to_string(&path).unwrap(),
        _ => String::new(),
    };
    entries.map(text).collect()
}

#[test]
fn every_test_that_the_page_names_exists() {
    let all = sources(&shell::workspace().join("tests/tests"))
        + &sources(&shell::workspace().join("crates/runtime"));
    for row in rows() {
        let names: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test makes the attack: {}", row[0]);
        for name in names {
            assert!(all.contains(&format!("fn {name}(")), "there is no test `{name}`");
        }
    }
}

#[test]
fn the_page_and_the_table_of_sabotages_name_the_same() {
    let rows = rows();
    let columns = rows.iter().flat_map(|row| row[3].split("; ")).filter(|name| *name != "–");
    let named: BTreeSet<&str> = columns.collect();
    let known: BTreeSet<&str> = SABOTAGES.iter().map(|sabotage| sabotage.name).collect();
    assert_eq!(named, known);
}

#[test]
fn every_test_of_a_sabotage_stands_beside_it_on_the_page() {
    for row in rows() {
        for sabotage in
            SABOTAGES.iter().filter(|sabotage| row[3].split("; ").any(|name| name == sabotage.name))
        {
            let mut names = sabotage.tests.iter().map(|test| test.name.rsplit("::").next().unwrap());
            assert!(names.any(|name| row[2].contains(name)), "{}", sabotage.name);
        }
    }
}
