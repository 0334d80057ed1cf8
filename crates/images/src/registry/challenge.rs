//! Reads what a registry wants before it answers: `WWW-Authenticate` (RFC 9110, 11.6.1), of which registries use two
//! schemes (distribution project, "Token Authentication Specification").

use std::collections::BTreeMap;

/// A way to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// By user name and password with each request.
    Basic,
    /// By a token that is had elsewhere.
    Bearer {
        /// Where.
        realm: String,
        /// The name of the registry there.
        service: String,
        /// What the token is to allow, as the registry says it.
        scope: String,
    },
}

/// The best way that some headers offer: tokens, as they do less harm when they leak.
pub(crate) fn best<'h>(headers: impl IntoIterator<Item = &'h str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers {
        for (scheme, mut parameters) in challenges(header) {
            let mut take = |name: &str| parameters.remove(name).unwrap_or_default();
            match scheme.as_str() {
                "bearer" => {
                    let (realm, service, scope) = (take("realm"), take("service"), take("scope"));
                    if !realm.is_empty() {
                        return Some(Challenge::Bearer { realm, service, scope });
                    }
                }
                "basic" => basic = Some(Challenge::Basic),
                _ => {}
            }
        }
    }
    basic
}

/// The schemes of one header in small letters, each with its parameters.
fn challenges(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header.trim();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c == ',' || c.is_whitespace()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let after = after.trim_start();
        match (after.strip_prefix('='), found.last_mut()) {
            (Some(value), Some((_, parameters))) if !word.is_empty() => {
                let (value, after) = value_of(value.trim_start());
                parameters.insert(word.to_ascii_lowercase(), value);
                rest = after;
            }
            _ => {
                if !word.is_empty() {
                    found.push((word.to_ascii_lowercase(), BTreeMap::new()));
                }
                rest = after.strip_prefix('=').unwrap_or(after);
            }
        }
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
    }
    found
}

/// A token or a quoted text, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c == ',' || c.is_whitespace()).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(realm: &str, service: &str, scope: &str) -> Option<Challenge> {
        let [realm, service, scope] = [realm, service, scope].map(str::to_owned);
        Some(Challenge::Bearer { realm, service, scope })
    }

    #[test]
    fn the_ways_that_registries_offer_are_understood() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/x:pull,push""#;
        assert_eq!(
            best([hub]),
            bearer("https://auth.docker.io/token", "registry.docker.io", "repository:library/x:pull,push")
        );
        assert_eq!(best(["Basic realm=\"Registry\", charset=\"UTF-8\""]), Some(Challenge::Basic));
        assert_eq!(best([r#"Basic realm="a", Bearer realm=https://b"#]), bearer("https://b", "", ""));
        assert_eq!(best(["Basic realm=x", r#"BEARER REALM="a\"b""#]), bearer("a\"b", "", ""));
        assert_eq!(best(["Negotiate"]), None);
        assert_eq!(best(["Bearer service=x"]), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic_or_go_on_for_ever(header in "[ -~]*") {
            let _ = best([header.as_str()]);
        }
    }
}
