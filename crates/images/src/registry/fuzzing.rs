//! A door for fuzzers: what a registry says in the lines of its answer.

use super::challenge::{Challenge, best};
use super::ranges::first_byte;
use super::session::resolve;
use super::tags::next_page;

/// Reads a `WWW-Authenticate`, a `Content-Range`, a `Link` and a `Location`. Panics where what is understood could not be.
pub fn response_headers(text: &str) {
    if let Some(Challenge::Bearer { realm, service, scope }) = best([text]) {
        assert!(!realm.is_empty());
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
        let said = format!(
            "Bearer realm=\"{}\",service=\"{}\",scope=\"{}\"",
            quoted(&realm),
            quoted(&service),
            quoted(&scope)
        );
        assert_eq!(best([said.as_str()]), Some(Challenge::Bearer { realm, service, scope }), "{text:?}");
    }
    if let Some(first) = first_byte(text) {
        assert_eq!(first_byte(&format!("bytes {first}-{}/*", u64::MAX)), Some(first), "{text:?}");
        assert!(text.contains(&first.to_string()), "{text:?} does not begin at {first}");
    }
    let base = hyper::Uri::from_static("http://registry:5000/v2/name/blobs/uploads/");
    let place = resolve(&base, next_page(text).unwrap_or(text));
    assert!(!place.is_empty(), "{text:?}");
}
