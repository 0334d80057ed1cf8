//! What may be asked for: names, and options of mount(8) that belong together. Pure.

use crate::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Component, Path};

/// Letters of a name: those of a file's name, with room for what stands in front of it while it is made.
const NAME_BYTES_MAX: usize = 240;

/// Checks a name.
///
/// # Errors
/// [`Error::ShortName`], [`Error::LongName`], [`Error::Name`].
pub fn check_name(name: &str) -> Result<()> {
    let valid = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    match name.len() {
        1 => Err(Error::ShortName { name: name.to_owned() }),
        _ if !valid => Err(Error::Name { name: name.to_owned() }),
        long if long > NAME_BYTES_MAX => Err(Error::LongName { name: name.to_owned(), max: NAME_BYTES_MAX }),
        _ => Ok(()),
    }
}

/// Checks the options of a volume: all known, and none without those that it needs.
///
/// # Errors
/// [`Error::Option`], [`Error::MissingOption`], [`Error::Quota`].
pub fn check_options(name: &str, options: &BTreeMap<String, String>) -> Result<()> {
    /// An option, and those that it cannot be without.
    const KNOWN: [(&str, &[&str]); 4] =
        [("device", &["type"]), ("o", &["device", "type"]), ("size", &[]), ("type", &["device"])];
    for option in options.keys() {
        let Some((_, needs)) = KNOWN.iter().find(|(known, _)| known == option) else {
            return Err(Error::Option { name: name.to_owned(), option: option.clone() });
        };
        if let Some(missing) = needs.iter().find(|needed| !options.contains_key(**needed)) {
            return Err(Error::MissingOption { name: name.to_owned(), option: missing });
        }
    }
    if options.contains_key("size") {
        return Err(Error::Quota { name: name.to_owned() });
    }
    Ok(())
}

/// Checks the part of a volume that is shown.
///
/// # Errors
/// [`Error::Subpath`].
pub fn check_subpath(name: &str, path: &str) -> Result<()> {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if Path::new(path).components().all(inside) {
        return Ok(());
    }
    Err(Error::Subpath { name: name.to_owned(), path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[(&str, &str)]) -> BTreeMap<String, String> {
        words.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_are_those_that_such_daemons_take() {
        for good in ["data", "a1", "0_.-", &"x".repeat(240)] {
            check_name(good).unwrap();
        }
        for (bad, told) in [
            ("a", "too short"),
            ("-a", "invalid characters"),
            ("a/b", "invalid characters"),
            ("", "invalid characters"),
            ("..", "invalid characters"),
            ("größe", "invalid characters"),
            (&*"x".repeat(241), "too long"),
        ] {
            let message = check_name(bad).unwrap_err().to_string();
            assert!(message.contains(told) && message.starts_with(&format!("create {bad}: ")), "{message}");
        }
    }

    #[test]
    fn options_need_one_another() {
        let told = |words: &[(&str, &str)]| check_options("vol", &options(words)).unwrap_err().to_string();
        check_options("vol", &options(&[])).unwrap();
        check_options("vol", &options(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")])).unwrap();
        assert_eq!(told(&[("colour", "red")]), "create vol: invalid option: \"colour\"");
        assert_eq!(told(&[("type", "nfs")]), "create vol: missing required option: \"device\"");
        assert_eq!(told(&[("device", "/x")]), "create vol: missing required option: \"type\"");
        assert!(told(&[("size", "1g")]).contains("no quota support"));
    }

    #[test]
    fn a_subpath_stays_in_the_volume() {
        for good in ["", "a", "a/b", "./a"] {
            check_subpath("vol", good).unwrap();
        }
        for bad in ["/a", "..", "a/../../b"] {
            assert!(check_subpath("vol", bad).is_err(), "{bad}");
        }
    }
}
