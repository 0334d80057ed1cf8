//! The `filters` parameter: a JSON object of lists, or of objects whose keys are the values.

use crate::time;
use base::Time;
use platform::Error;
use serde_json::Value;
use std::collections::BTreeMap;

/// Filters by name, each with the values of which one must fit (of `label`, all).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads the parameter and refuses names that are not accepted.
    pub(crate) fn parse(text: &str, accepted: &[&str]) -> Result<Filters, Error> {
        if text.is_empty() {
            return Ok(Filters::default());
        }
        let bad = || Error::invalid("invalid filter");
        let Ok(Value::Object(fields)) = serde_json::from_str(text) else { return Err(bad()) };
        let mut filters = BTreeMap::new();
        for (name, values) in fields {
            if !accepted.contains(&name.as_str()) {
                return Err(Error::invalid(format!("invalid filter '{name}'")));
            }
            let values: Option<Vec<String>> = match values {
                Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
                Value::Object(set) => Some(
                    set.into_iter().filter(|(_, on)| on != &Value::Bool(false)).map(|(key, _)| key).collect(),
                ),
                _ => None,
            };
            filters.insert(name, values.ok_or_else(bad)?);
        }
        filters.retain(|_, values: &mut Vec<String>| !values.is_empty());
        Ok(Filters(filters))
    }

    /// The values of a filter.
    pub(crate) fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether any value fits, or the filter was not given.
    pub(crate) fn any(&self, name: &str, fits: impl Fn(&str) -> bool) -> bool {
        self.0.get(name).is_none_or(|values| values.iter().any(|value| fits(value)))
    }

    /// Whether the filter was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A filter that is a switch.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        let mut outcome = None;
        for value in self.values(name) {
            let on = match value.as_str() {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err(Error::invalid(format!("invalid filter '{name}={value}'"))),
            };
            if outcome.is_some_and(|before| before != on) {
                return Err(Error::invalid(format!("invalid filter '{name}'")));
            }
            outcome = Some(on);
        }
        Ok(outcome)
    }

    /// The moment before which something must have been made.
    pub(crate) fn until(&self, now: Time) -> Result<Option<Time>, Error> {
        match self.values("until") {
            [] => Ok(None),
            [one] => time::parse(one, now),
            _ => Err(Error::invalid("more than one until filter specified")),
        }
    }

    /// Whether labels have all that `label` asks for and nothing that `label!` excludes.
    pub(crate) fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|have| have == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").iter().all(has) && !self.values("label!").iter().any(has)
    }
}

/// Whether a path pattern fits a text: `*` for any characters but `/`, `?` for one of them, as Go's `path.Match`.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern_rest, mut text_rest) = (pattern.chars(), text.chars());
    loop {
        match pattern_rest.next() {
            None => return text_rest.as_str().is_empty(),
            Some('*') => {
                let after = pattern_rest.as_str();
                let mut from = text_rest.as_str();
                loop {
                    if glob(after, from) {
                        return true;
                    }
                    match from.chars().next() {
                        Some(next) if next != '/' => from = &from[next.len_utf8()..],
                        _ => return false,
                    }
                }
            }
            Some('?') if text_rest.next().is_some_and(|next| next != '/') => {}
            Some(literal) if literal != '?' && text_rest.next() == Some(literal) => {}
            Some(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for text in [r#"{"label":["a=1","b"]}"#, r#"{"label":{"a=1":true,"b":true}}"#] {
            let filters = Filters::parse(text, &["label"]).unwrap();
            assert_eq!(filters.values("label"), ["a=1", "b"]);
        }
    }

    #[test]
    fn unknown_names_and_other_shapes_are_refused() {
        let message = Filters::parse(r#"{"colour":["red"]}"#, &["label"]).unwrap_err().message;
        assert_eq!(message, "invalid filter 'colour'");
        for bad in ["[]", "{", r#"{"label":1}"#] {
            assert!(Filters::parse(bad, &["label"]).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_labels_must_fit() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())]);
        let fits = |text: &str| Filters::parse(text, &["label", "label!"]).unwrap().labels(&labels);
        assert!(fits(r#"{"label":["a=1","b"]}"#) && !fits(r#"{"label":["a=2","b"]}"#));
        assert!(!fits(r#"{"label!":["b"]}"#));
    }

    #[test]
    fn stars_stop_at_slashes() {
        assert!(glob("bus*", "busybox") && glob("*/app:?", "team/app:1"));
        assert!(!glob("*", "team/app") && !glob("bus?", "bus") && !glob("a", "ab"));
    }
}
