//! The licences of everything that is compiled in: each dependency must be usable under one of a short list.

use anyhow::Result;
use serde_json::Value;

/// Licences that ask for no more than to be named. All may be combined with the project's own.
const ALLOWED: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    // The web's authorities: data, which ask that the licence be passed along.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Every package must have a licence that the list satisfies.
pub(super) fn check(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found = Vec::new();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_default();
        if !is_allowed(licence) {
            let (name, version) = (package["name"].as_str().unwrap_or_default(), &package["version"]);
            found.push(format!("{name} {version} is under `{licence}`, which the list does not allow"));
        }
    }
    Ok(found)
}

/// Whether an SPDX expression can be satisfied from the list. `AND` binds closer than `OR`; `/` is an old way to write `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest) && rest.is_empty()
}

fn any_of(rest: &mut &[&str]) -> bool {
    let mut allowed = all_of(rest);
    while let [first, tail @ ..] = *rest
        && *first == "OR"
    {
        *rest = tail;
        // Both sides are read, whatever the first one said.
        let other = all_of(rest);
        allowed = allowed || other;
    }
    allowed
}

fn all_of(rest: &mut &[&str]) -> bool {
    let mut allowed = one(rest);
    while let [first, tail @ ..] = *rest
        && *first == "AND"
    {
        *rest = tail;
        let other = one(rest);
        allowed = allowed && other;
    }
    allowed
}

fn one(rest: &mut &[&str]) -> bool {
    match **rest {
        ["(", ref tail @ ..] => {
            *rest = tail;
            let allowed = any_of(rest);
            if let [")", tail @ ..] = *rest {
                *rest = tail;
                return allowed;
            }
            false
        }
        [name, "WITH", exception, ref tail @ ..] => {
            *rest = tail;
            ALLOWED.contains(&format!("{name} WITH {exception}").as_str())
        }
        [name, ref tail @ ..] => {
            *rest = tail;
            ALLOWED.contains(&name)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn an_expression_is_allowed_when_the_list_satisfies_it() {
        for yes in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(GPL-2.0 OR MIT) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(is_allowed(yes), "{yes}");
        }
        for no in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT MIT"] {
            assert!(!is_allowed(no), "{no}");
        }
    }
}
