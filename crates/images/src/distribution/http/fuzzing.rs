//! A door for fuzzers: what a client says in the lines of its request.

use super::range::{Wanted, piece, wanted};
use super::{Query, decode, encode, table};
use hyper::Method;

/// Reads a path, a query, a `Range` and a `Content-Range` as if they came with requests for content of so many bytes. Panics
/// where what is understood could not be.
pub fn request_headers(text: &str, bytes: u64) {
    if let Wanted::Part(part) = wanted(Some(text), bytes) {
        assert!(part.start < part.end && part.end <= bytes, "{text:?} of {bytes} is {part:?}");
        let said = format!("bytes={}-{}", part.start, part.end - 1);
        assert_eq!(wanted(Some(&said), bytes), Wanted::Part(part), "{text:?} of {bytes}");
    }
    if let Some(piece_) = piece(text) {
        assert!(piece_.start < piece_.end, "{text:?} is {piece_:?}");
        assert_eq!(piece(&format!("{}-{}", piece_.start, piece_.end - 1)), Some(piece_), "{text:?}");
    }
    let query = Query::parse(text);
    let _ = (query.given("digest"), query.all("tag").count());
    assert_eq!(decode(&encode(text)), text);
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
        if let Ok(routed) = table::route(&method, text) {
            let name = routed.repository.map(|repository| repository.to_string()).unwrap_or_default();
            assert!(!name.contains("..") && !name.starts_with('/'), "{text:?} leads to {name:?}");
        }
    }
}
