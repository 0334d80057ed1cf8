//! Doors for the fuzzers in `fuzz/` and for the tests of what they found: foreign bytes in, and a panic where something that
//! should hold does not. Whether the bytes were of any use is returned, so that a fuzzer can tell.

use crate::config::ImageFile;
use crate::distribution::{ContentDigest, Repository, Tag, Target};
use crate::manifest::{DOCKER_LIST, DOCKER_MANIFEST, Document, OCI_INDEX, OCI_MANIFEST};
use crate::{Reference, Result};
use model::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;

pub use crate::distribution::request_headers;
pub use crate::registry::fuzzing::response_headers;

/// Unpacks a plain layer into an empty directory, as [`Images::load`](crate::Images::load) does with each.
///
/// # Errors
/// As [`Images::load`](crate::Images::load).
pub fn unpack(archive: &[u8], root: &Path) -> Result<u64> {
    crate::unpack::unpack(archive, root)
}

/// Reads a manifest or an index, each way that somebody may say what it is.
pub fn document(bytes: &[u8]) -> bool {
    let mut read = false;
    for came_as in
        ["", "application/json; charset=utf-8", OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST]
    {
        let ours = Document::parse(bytes, came_as);
        let theirs = Document::<ContentDigest>::read(bytes, came_as);
        if let Ok(document) = &ours {
            // The registry takes what the image store takes, and it means the same.
            let theirs = theirs.as_ref().unwrap_or_else(|error| panic!("only the store reads it: {error}"));
            assert_eq!(document.media_type(), theirs.media_type());
            assert_eq!(document.descriptors().count(), theirs.descriptors().count());
            assert!(matches!(document, Document::Index(_)) == matches!(theirs, Document::Index(_)));
            is_read_back(document, came_as);
        }
        if let Ok(document) = &theirs {
            read = true;
            is_read_back(document, came_as);
        }
    }
    read
}

/// A document that is written is the document that was read.
fn is_read_back<D: Serialize + DeserializeOwned + PartialEq + Debug>(document: &Document<D>, came_as: &str) {
    let written = match document {
        Document::Manifest(manifest) => serde_json::to_vec(manifest),
        Document::Index(index) => serde_json::to_vec(index),
    };
    let written = written.unwrap_or_else(|error| panic!("{document:?} is not written: {error}"));
    match Document::<D>::read(&written, came_as) {
        Ok(again) => assert_eq!(again, *document),
        Err(error) => panic!("{document:?} is not read again: {error}"),
    }
}

/// Reads the configuration of an image.
pub fn config(bytes: &[u8]) -> bool {
    let Ok(file) = serde_json::from_slice::<ImageFile>(bytes) else { return false };
    let written =
        serde_json::to_vec(&file).unwrap_or_else(|error| panic!("{file:?} is not written: {error}"));
    match serde_json::from_slice::<ImageFile>(&written) {
        Ok(again) => assert_eq!(again, file),
        Err(error) => panic!("{file:?} is not read again: {error}"),
    }
    true
}

/// Reads a name of an image, and what registries know its parts by.
pub fn reference(text: &str) -> bool {
    is_shown_as_read::<Repository>(text);
    is_shown_as_read::<Tag>(text);
    is_shown_as_read::<Target>(text);
    is_shown_as_read::<ContentDigest>(text);
    is_shown_as_read::<Digest>(text);
    let Ok(name) = Reference::parse(text) else { return false };
    let same = |shown: &str, of: &Reference| match Reference::parse(shown) {
        Ok(again) => assert_eq!(again, *of, "{text:?} is shown as {shown:?}"),
        Err(error) => panic!("{text:?} is shown as {shown:?}: {error}"),
    };
    same(&name.to_string(), &name);
    same(&name.familiar(), &name);
    let full = name.clone().with_default_tag();
    assert!(!full.is_name_only() && full.same_repository(&name));
    same(&full.familiar(), &full);
    if let Err(error) = name.path().parse::<Repository>() {
        panic!("no registry could have {text:?}: {error}");
    }
    let tag = full.tag().unwrap_or_default();
    if let Ok(tagged) = name.tagged(tag) {
        same(&tagged.to_string(), &tagged);
    }
    true
}

fn is_shown_as_read<T: FromStr + Display>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        assert_eq!(read.to_string(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_of_use_is_told_from_what_is_not() {
        let digest = "sha256:".to_owned() + &"1".repeat(64);
        let manifest =
            format!(r#"{{"schemaVersion":2,"config":{{"digest":"{digest}","size":1}},"layers":null}}"#);
        assert!(document(manifest.as_bytes()) && !document(b"{}"));
        assert!(config(br#"{"os":"linux","rootfs":{"diff_ids":[]},"config":null}"#) && !config(b"7"));
        assert!(reference("nginx") && reference(&format!("a.b:5000/c/d:e@{digest}")) && !reference("A"));
    }

    proptest! {
        #[test]
        fn names_are_shown_as_they_are_read(text in "([a-zA-Z0-9.:-]{1,12}/)?[a-z0-9._/-]{1,12}(:[a-zA-Z0-9_.-]{1,5})?") {
            reference(&text);
        }

        #[test]
        fn lines_of_requests_and_answers_are_understood_or_not(text in "[ -~]{0,40}", bytes: u64) {
            request_headers(&text, bytes);
            response_headers(&text);
        }
    }
}
