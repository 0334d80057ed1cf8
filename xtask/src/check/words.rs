//! Words that say something about one machine and nothing about the project.

use std::fs;

use anyhow::Result;

use crate::shell;

/// The largest file that is looked at, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Places of one person's or one machine's, which mean nothing on another. In two halves, so that this file has none of them.
const PRIVATE: [(&str, &str); 5] =
    [("/work", "/main"), ("/work", "/shared"), ("/home", "/user/"), ("/root", "/.cargo"), ("/tmp", "/brief")];

/// Looks through every file of the repository.
pub(super) fn check() -> Result<Vec<String>> {
    let listed = shell::output(&mut shell::command("git", &["ls-files", "-z"]))?;
    let mut found = Vec::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let path = shell::workspace().join(name);
        if fs::metadata(&path).map_or(true, |metadata| metadata.len() > FILE_BYTES_MAX) {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        for (number, line) in text.lines().enumerate() {
            for (first, second) in PRIVATE {
                let word = format!("{first}{second}");
                if line.contains(&word) {
                    found.push(format!("{name}:{}: `{word}` is a place of one machine", number + 1));
                }
            }
        }
    }
    Ok(found)
}
