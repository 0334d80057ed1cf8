//! Every operation of the API as data: its address, whether it is built, and what becomes of each of its parameters
//! and fields.
//!
//! The server routes by this table, [`crate::coverage`] refuses by it, and `docs/api-coverage.md` is generated from it, so
//! that the three cannot disagree. A test walks the API's description and misses no operation, parameter or field here.
//!
//! To build an operation: write its handler in `handle`, replace `not_yet` by `done` here, and list its fields.

mod container;
mod create;
mod image;
mod later;
mod network;
mod ours;
mod system;
mod volume;

use crate::server::{Call, Outcome};

/// What answers a request.
pub(crate) type Handler = fn(Call) -> Outcome;

/// One operation of the API.
pub(crate) struct Operation {
    /// Its name in the API's description.
    pub(crate) id: &'static str,
    /// The HTTP method.
    pub(crate) method: &'static str,
    /// The path, with at most one `{parameter}`; `{parameter*}` may hold slashes.
    pub(crate) path: &'static str,
    /// Whether it is built.
    pub(crate) way: Way,
    /// Its query parameters and headers.
    pub(crate) parameters: &'static [Field],
    /// The fields of its body, each with its dotted path: `*` for any key of a map, `[]` for any item of a list.
    pub(crate) body: &'static [Field],
}

/// Whether an operation is built.
pub(crate) enum Way {
    /// It is, and this answers it.
    Done(Handler),
    /// It is not, and this is said to whoever asks.
    NotYet(&'static str),
}

/// A query parameter or a field of a body.
pub(crate) struct Field {
    /// Its name or dotted path.
    pub(crate) name: &'static str,
    /// What becomes of it.
    pub(crate) standing: Standing,
}

/// What becomes of a parameter or field.
pub(crate) enum Standing {
    /// It does what the API's description says.
    Done,
    /// It is refused unless it holds its default. Null, false, 0 and what is empty are always defaults.
    Refused {
        /// Further defaults, as JSON.
        defaults: &'static [&'static str],
        /// What the user is told after the field's name.
        why: &'static str,
    },
    /// It is read over, as Docker does.
    Ignored(&'static str),
}

pub(crate) const fn done(name: &'static str) -> Field {
    Field { name, standing: Standing::Done }
}

pub(crate) const fn refused(name: &'static str, why: &'static str) -> Field {
    Field { name, standing: Standing::Refused { defaults: &[], why } }
}

pub(crate) const fn refused_unless(
    name: &'static str,
    defaults: &'static [&'static str],
    why: &'static str,
) -> Field {
    Field { name, standing: Standing::Refused { defaults, why } }
}

pub(crate) const fn ignored(name: &'static str, why: &'static str) -> Field {
    Field { name, standing: Standing::Ignored(why) }
}

/// An operation that is built and takes no body.
pub(crate) const fn operation(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    handler: Handler,
    parameters: &'static [Field],
) -> Operation {
    Operation { id, method, path, way: Way::Done(handler), parameters, body: &[] }
}

/// An operation that is not built.
pub(crate) const fn not_yet(
    id: &'static str,
    method: &'static str,
    path: &'static str,
    why: &'static str,
) -> Operation {
    Operation { id, method, path, way: Way::NotYet(why), parameters: &[], body: &[] }
}

/// All operations, by topic, in the order of the documentation.
pub(crate) const TOPICS: [(&str, &[Operation]); 8] = [
    ("System", system::OPERATIONS),
    ("Containers", container::OPERATIONS),
    ("Images", image::OPERATIONS),
    ("Networks", network::OPERATIONS),
    ("Volumes", volume::OPERATIONS),
    ("Not built yet", later::OPERATIONS),
    ("Bocage's own", ours::OPERATIONS),
    ("Bocage's own, for volumes", volume::OURS),
];

/// All operations.
pub(crate) fn all() -> impl Iterator<Item = &'static Operation> {
    TOPICS.iter().flat_map(|(_, operations)| operations.iter())
}

/// The operation that a request means, and the value of its path's parameter, still percent-encoded.
pub(crate) fn find<'p>(method: &str, path: &'p str) -> Option<(&'static Operation, &'p str)> {
    let exact = all().find(|operation| operation.method == method && operation.path == path);
    exact.map(|operation| (operation, "")).or_else(|| {
        all()
            .filter(|operation| operation.method == method)
            .find_map(|operation| Some((operation, parameter(operation.path, path)?)))
    })
}

/// The value of a pattern's parameter, where the path fits.
fn parameter<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let (before, rest) = pattern.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    let value = path.strip_prefix(before)?.strip_suffix(after)?;
    (!value.is_empty() && (name.ends_with('*') || !value.contains('/'))).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, path: &str) -> Option<(&'static str, String)> {
        find(method, path).map(|(operation, value)| (operation.id, value.to_owned()))
    }

    #[test]
    fn a_fixed_path_wins_over_a_pattern() {
        assert_eq!(found("GET", "/images/json"), Some(("ImageList", String::new())));
        assert_eq!(found("GET", "/images/get"), Some(("ImageGetAll", String::new())));
    }

    #[test]
    fn names_of_images_may_hold_slashes_and_ids_of_containers_may_not() {
        assert_eq!(found("GET", "/images/a/b:c/json"), Some(("ImageInspect", "a/b:c".to_owned())));
        assert_eq!(found("GET", "/containers/a/b/json"), None);
        assert_eq!(found("GET", "/containers/a/json"), Some(("ContainerInspect", "a".to_owned())));
    }

    #[test]
    fn no_two_operations_have_one_address_or_one_name() {
        let mut seen = std::collections::BTreeSet::new();
        for operation in all() {
            assert!(seen.insert((operation.method, operation.path)), "{}", operation.path);
            assert!(seen.insert((operation.id, "")), "{}", operation.id);
        }
    }
}
