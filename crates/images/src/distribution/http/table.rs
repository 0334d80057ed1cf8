//! Every operation of a registry as data: its address, its method, and what it does to a repository.
//!
//! The endpoints are those of the distribution specification 1.1 ("Endpoints"), Docker's
//! `_catalog`, and where tokens are had.

use super::{Answer, Call, blobs, lists, manifests, uploads, who};
use crate::distribution::access::Action;
use crate::distribution::{Refusal, Repository};
use hyper::Method;
use std::pin::Pin;

/// What answers a request.
pub(super) type Handler =
    for<'c, 'b> fn(&'c mut Call<'b>) -> Pin<Box<dyn Future<Output = Answer> + Send + 'c>>;

/// One operation.
pub(super) struct Operation {
    method: Method,
    place: Place,
    /// What it does to the repository, where it has one.
    pub(super) action: Option<Action>,
    pub(super) handler: Handler,
}

/// What an address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Base,
    Token,
    Catalog,
    Tags,
    Referrers,
    Manifest,
    Blob,
    Uploads,
    Upload,
}

const fn operation(method: Method, place: Place, action: Option<Action>, handler: Handler) -> Operation {
    Operation { method, place, action, handler }
}

const PULL: Option<Action> = Some(Action::Pull);
const PUSH: Option<Action> = Some(Action::Push);
const DELETE: Option<Action> = Some(Action::Delete);

static OPERATIONS: [Operation; 20] = [
    operation(Method::GET, Place::Base, None, |call| Box::pin(lists::base(call))),
    operation(Method::HEAD, Place::Base, None, |call| Box::pin(lists::base(call))),
    operation(Method::GET, Place::Token, None, |call| Box::pin(who::token(call))),
    operation(Method::GET, Place::Catalog, None, |call| Box::pin(lists::catalog(call))),
    operation(Method::GET, Place::Tags, PULL, |call| Box::pin(lists::tags(call))),
    operation(Method::GET, Place::Referrers, PULL, |call| Box::pin(lists::referrers(call))),
    operation(Method::GET, Place::Manifest, PULL, |call| Box::pin(manifests::get(call))),
    operation(Method::HEAD, Place::Manifest, PULL, |call| Box::pin(manifests::head(call))),
    operation(Method::PUT, Place::Manifest, PUSH, |call| Box::pin(manifests::put(call))),
    operation(Method::DELETE, Place::Manifest, DELETE, |call| Box::pin(manifests::delete(call))),
    operation(Method::GET, Place::Blob, PULL, |call| Box::pin(blobs::get(call))),
    operation(Method::HEAD, Place::Blob, PULL, |call| Box::pin(blobs::head(call))),
    operation(Method::DELETE, Place::Blob, DELETE, |call| Box::pin(blobs::delete(call))),
    operation(Method::POST, Place::Uploads, PUSH, |call| Box::pin(uploads::begin(call))),
    operation(Method::GET, Place::Upload, PUSH, |call| Box::pin(uploads::status(call))),
    operation(Method::HEAD, Place::Upload, PUSH, |call| Box::pin(uploads::status(call))),
    operation(Method::PATCH, Place::Upload, PUSH, |call| Box::pin(uploads::patch(call))),
    operation(Method::PUT, Place::Upload, PUSH, |call| Box::pin(uploads::put(call))),
    operation(Method::DELETE, Place::Upload, PUSH, |call| Box::pin(uploads::cancel(call))),
    operation(Method::HEAD, Place::Tags, PULL, |call| Box::pin(lists::tags(call))),
];

impl Operation {
    /// Whether clients try with it what they need to say of themselves.
    pub(super) fn is_base(&self) -> bool {
        self.place == Place::Base
    }
}

/// Where a request goes.
pub(super) struct Routed {
    pub(super) operation: &'static Operation,
    pub(super) repository: Option<Repository>,
    pub(super) parameter: String,
}

/// Finds the operation that a request means.
///
/// # Errors
/// When there is no such address, it takes no such method, or the repository's name is none.
pub(super) fn route(method: &Method, path: &str) -> Result<Routed, Refusal> {
    let (place, name, parameter) = place(path).ok_or_else(|| Refusal::Path(path.to_owned()))?;
    let there = || OPERATIONS.iter().filter(move |operation| operation.place == place);
    let Some(operation) = there().find(|operation| operation.method == method) else {
        let allowed: Vec<&str> = there().map(|operation| operation.method.as_str()).collect();
        return Err(Refusal::Method { method: method.to_string(), allowed: allowed.join(", ") });
    };
    let repository = name.map(|name| super::decode(name).parse()).transpose()?;
    Ok(Routed { operation, repository, parameter: super::decode(parameter) })
}

/// Reads a path from its end: names of repositories may hold any of the words.
fn place(path: &str) -> Option<(Place, Option<&str>, &str)> {
    let rest = path.strip_prefix("/v2")?;
    match rest {
        "" | "/" => return Some((Place::Base, None, "")),
        "/token" => return Some((Place::Token, None, "")),
        "/_catalog" => return Some((Place::Catalog, None, "")),
        _ => {}
    }
    let rest = rest.strip_prefix('/')?;
    if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
        return Some((Place::Uploads, Some(name), ""));
    }
    let (before, last) = rest.rsplit_once('/')?;
    for (ending, place) in [
        ("/manifests", Place::Manifest),
        ("/blobs/uploads", Place::Upload),
        ("/blobs", Place::Blob),
        ("/referrers", Place::Referrers),
    ] {
        if let Some(name) = before.strip_suffix(ending) {
            return Some((place, Some(name), last));
        }
    }
    let name = before.strip_suffix("/tags")?;
    (last == "list").then_some((Place::Tags, Some(name), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        assert_eq!(place("/v2/"), Some((Place::Base, None, "")));
        assert_eq!(place("/v2/_catalog"), Some((Place::Catalog, None, "")));
        assert_eq!(place("/v2/a/tags/list"), Some((Place::Tags, Some("a"), "")));
        assert_eq!(place("/v2/a/b/manifests/v1"), Some((Place::Manifest, Some("a/b"), "v1")));
        assert_eq!(place("/v2/tags/list/blobs/x"), Some((Place::Blob, Some("tags/list"), "x")));
        assert_eq!(place("/v2/a/blobs/uploads/"), Some((Place::Uploads, Some("a"), "")));
        assert_eq!(place("/v2/a/blobs/uploads/0f"), Some((Place::Upload, Some("a"), "0f")));
        assert_eq!(
            place("/v2/a/blobs/manifests/blobs/uploads/0f"),
            Some((Place::Upload, Some("a/blobs/manifests"), "0f"))
        );
        for none in ["/", "/v1/", "/v2/a", "/v2/a/tags/other", "/v2/manifests/v1"] {
            assert_eq!(place(none), None, "{none}");
        }
    }

    #[test]
    fn a_method_that_an_address_does_not_take_is_refused_with_those_that_it_takes() {
        let Err(Refusal::Method { allowed, .. }) = route(&Method::POST, "/v2/a/manifests/v1") else {
            panic!("a manifest cannot be posted");
        };
        assert_eq!(allowed, "GET, HEAD, PUT, DELETE");
        assert!(matches!(route(&Method::GET, "/v2/A/tags/list"), Err(Refusal::Name { .. })));
        assert!(matches!(route(&Method::GET, "/v3/"), Err(Refusal::Path(_))));
    }
}
