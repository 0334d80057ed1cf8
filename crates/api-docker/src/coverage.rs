//! Nothing is accepted and then ignored: requests are held against the table before anybody acts on them.
//!
//! A field that is not built is refused by its full name unless it holds its default. The same walk spells the names
//! of fields as the API does, since Go takes them in any case. Names that the API does not know are read over, as Go
//! does. [`markdown`] writes the table down for people.

use crate::table::{self, Field, Operation, Standing, Way};
use platform::Error;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

/// The fields of one level of a body, by the next part of their names.
#[derive(Default)]
struct Level {
    standing: Option<&'static Standing>,
    below: HashMap<&'static str, Level>,
}

impl Level {
    fn of(fields: &'static [Field]) -> Level {
        let mut root = Level::default();
        for field in fields {
            let mut at = &mut root;
            for part in field.name.split('.') {
                at = at.below.entry(part).or_default();
            }
            at.standing = Some(&field.standing);
        }
        root
    }

    /// The level below a key, and the key as the API spells it.
    fn step(&self, key: &str) -> Option<(&Level, Option<&'static str>)> {
        if let Some(level) = self.below.get(key).or_else(|| self.below.get("*")) {
            return Some((level, None));
        }
        let (name, level) = self.below.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))?;
        Some((level, Some(name)))
    }
}

/// The bodies of all operations that have fields, by the operation's name.
static BODIES: LazyLock<HashMap<&'static str, Level>> = LazyLock::new(|| {
    let with_body = table::all().filter(|operation| !operation.body.is_empty());
    with_body.map(|operation| (operation.id, Level::of(operation.body))).collect()
});

/// Refuses a body that asks for what is not built, and spells its fields as the API does.
pub(crate) fn check_body(operation: &Operation, body: &mut Value) -> Result<(), Error> {
    match BODIES.get(operation.id) {
        Some(level) => walk(level, body, &mut String::new()),
        None => Ok(()),
    }
}

/// The depth is bounded by the table's own.
fn walk(level: &Level, value: &mut Value, path: &mut String) -> Result<(), Error> {
    if let Some(Standing::Refused { defaults, why }) = level.standing
        && !is_default(value, defaults)
    {
        return Err(refusal(path, why));
    }
    let length = path.len();
    match value {
        Value::Object(fields) => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            for key in keys {
                let Some((below, spelled)) = level.step(&key) else { continue };
                let name = spelled.map_or(key.as_str(), |name| name).to_owned();
                if spelled.is_some()
                    && let Some(field) = fields.remove(&key)
                {
                    fields.insert(name.clone(), field);
                }
                if length > 0 {
                    path.push('.');
                }
                path.push_str(&name);
                if let Some(field) = fields.get_mut(&name) {
                    walk(below, field, path)?;
                }
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            let Some(below) = level.below.get("[]") else { return Ok(()) };
            items.iter_mut().try_for_each(|item| walk(below, item, path))?;
        }
        _ => {}
    }
    Ok(())
}

/// Refuses parameters that ask for what is not built.
pub(crate) fn check_parameters<'q>(
    operation: &Operation,
    parameters: impl Iterator<Item = (&'q str, &'q str)>,
) -> Result<(), Error> {
    for (name, value) in parameters {
        let field = operation.parameters.iter().find(|field| field.name == name);
        if let Some(Field { standing: Standing::Refused { defaults, why }, .. }) = field {
            let text = Value::String(value.to_owned());
            if crate::server::is_true(value) && !is_default(&text, defaults) {
                return Err(refusal(name, why));
            }
        }
    }
    Ok(())
}

fn refusal(name: &str, why: &str) -> Error {
    Error::not_supported(format!("{name} is not supported yet: {why}"))
}

/// Whether a value says no more than its absence would.
fn is_default(value: &Value, defaults: &[&str]) -> bool {
    let nothing = match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(|field| is_default(field, &[])),
    };
    nothing
        || defaults
            .iter()
            .any(|text| serde_json::from_str::<Value>(text).is_ok_and(|default| default == *value))
}

/// What a test may know of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The operation's name in the API's description.
    pub operation: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path, with `{name}` for its parameter.
    pub path: &'static str,
    /// `done`, `refused` or `ignored`.
    pub standing: &'static str,
    /// The parameter or dotted field; empty for the operation itself.
    pub field: &'static str,
    /// Whether it is part of the body.
    pub in_body: bool,
}

/// The whole table, flat: each operation, followed by its parameters and fields.
pub fn entries() -> Vec<Entry> {
    let mut entries = Vec::new();
    for operation in table::all() {
        let Operation { id, method, path, way, parameters, body } = operation;
        let standing = if matches!(way, Way::Done(_)) { "done" } else { "refused" };
        let own = Entry { operation: id, method, path, standing, field: "", in_body: false };
        entries.push(own);
        for (fields, in_body) in [(parameters, false), (body, true)] {
            entries.extend(fields.iter().map(|field| {
                let standing = match field.standing {
                    Standing::Done => "done",
                    Standing::Refused { .. } => "refused",
                    Standing::Ignored(_) => "ignored",
                };
                Entry { standing, field: field.name, in_body, ..own }
            }));
        }
    }
    entries
}

/// `docs/api-coverage.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# What of the Docker Engine API is built\n\n\
         Generated from the table that the server itself routes and refuses by (`crates/api-docker/src/table/`); a test walks the \
         API's description and finds every operation, parameter and field of a request here.\n\n\
         - **done**: it does what the API's description says.\n\
         - **refused**: answered with status 501 and its name, unless it holds its default.\n\
         - **ignored**: read over, as Docker does, for the reason given.\n\n\
         An operation that is refused is refused with all its parameters and fields.\n",
    );
    for (topic, operations) in table::TOPICS {
        let _ = write!(page, "\n## {topic}\n\n| operation | request | |\n|---|---|---|\n");
        for Operation { id, method, path, way, .. } in operations {
            let path = path.replace('*', "");
            let standing = match way {
                Way::Done(_) => "done".to_owned(),
                Way::NotYet(why) => format!("refused: {why}"),
            };
            let _ = writeln!(page, "| {id} | `{method} {path}` | {standing} |");
        }
        for operation in operations.iter() {
            fields(&mut page, operation);
        }
    }
    page
}

fn fields(page: &mut String, operation: &Operation) {
    if operation.parameters.is_empty() && operation.body.is_empty() {
        return;
    }
    let _ = write!(page, "\n### {}\n\n| field | |\n|---|---|\n", operation.id);
    for Field { name, standing } in operation.parameters.iter().chain(operation.body) {
        let standing = match standing {
            Standing::Done => "done".to_owned(),
            Standing::Refused { defaults: [], why } => format!("refused: {why}"),
            Standing::Refused { defaults, why } => {
                format!("refused unless `{}`: {why}", defaults.join("`, `"))
            }
            Standing::Ignored(why) => format!("ignored: {why}"),
        };
        let _ = writeln!(page, "| `{name}` | {standing} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(mut body: Value) -> Result<Value, String> {
        let create = table::all().find(|operation| operation.id == "ContainerCreate").unwrap();
        check_body(create, &mut body).map(|()| body).map_err(|error| error.message)
    }

    #[test]
    fn a_refused_field_is_named_in_full() {
        let message = check(json!({"HostConfig": {"BlkioWeight": 10}})).unwrap_err();
        assert!(message.starts_with("HostConfig.BlkioWeight is not supported yet: "), "{message}");
        let body =
            json!({"HostConfig": {"Mounts": [{}, {"VolumeOptions": {"DriverConfig": {"Name": "remote"}}}]}});
        assert!(check(body).unwrap_err().starts_with("HostConfig.Mounts.VolumeOptions.DriverConfig.Name is"));
    }

    #[test]
    fn defaults_are_never_refused() {
        check(json!({"HostConfig": {"BlkioWeight": 0, "MemorySwappiness": -1, "Isolation": "default", "Links": [],
            "StorageOpt": {}, "DeviceRequests": null, "VolumeDriver": "local"}, "Healthcheck": {"Test": ["NONE"]},
            "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": {}, "GwPriority": 0}}}}))
        .unwrap();
    }

    #[test]
    fn fields_may_be_spelled_in_any_case() {
        let body = check(json!({"image": "x", "hostconfig": {"MEMORY": 1}, "Unknown": 1})).unwrap();
        assert_eq!(body, json!({"Image": "x", "HostConfig": {"Memory": 1}, "Unknown": 1}));
        assert!(check(json!({"hostConfig": {"blkioweight": 1}})).is_err());
    }
}
