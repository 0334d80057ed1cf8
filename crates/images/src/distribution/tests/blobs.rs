//! Blobs: pushed in every way, read, mounted, deleted.

use super::*;
use std::io::Write;

/// Questions until a request that was cut has ended.
const ASKS_MAX: usize = 10_000;

#[test]
fn a_blob_that_was_pushed_in_one_request_is_read_whole_and_in_parts() {
    let site = Site::new();
    let content: Vec<u8> = (0..2_000_000_u32).map(|number| (number % 251) as u8).collect();
    let digest = site.push("a/b", &content);
    let path = format!("/v2/a/b/blobs/{digest}");
    let whole = site.get(&path);
    assert_eq!(
        (whole.status, whole.header("docker-content-digest")),
        (StatusCode::OK, digest.to_string().as_str())
    );
    assert!(whole.body == content);
    let head = site.ask("HEAD", &path, &[], b"");
    assert_eq!((head.header("content-length"), head.body.len()), ("2000000", 0));
    let part = site.ask("GET", &path, &[("range", "bytes=1999990-")], b"");
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.header("content-range"), "bytes 1999990-1999999/2000000");
    assert!(part.body == content[1_999_990..]);
    let beyond = site.ask("GET", &path, &[("range", "bytes=2000000-")], b"");
    assert_eq!((beyond.status.as_u16(), beyond.header("content-range")), (416, "bytes */2000000"));
    assert_eq!(site.get(&format!("/v2/other/blobs/{digest}")).refusal(), (404, "BLOB_UNKNOWN".to_owned()));
    assert_eq!(site.get("/v2/a/b/blobs/sha256:no").refusal(), (400, "DIGEST_INVALID".to_owned()));
}

#[test]
fn pieces_are_taken_in_their_order_only() {
    let site = Site::new();
    let location = site.begin("a");
    let patch = |range: &str, body: &[u8]| site.ask("PATCH", &location, &[("content-range", range)], body);
    let reply = patch("0-3", b"0123");
    assert_eq!((reply.status, reply.header("range")), (StatusCode::ACCEPTED, "0-3"));
    let reply = patch("6-9", b"6789");
    assert_eq!((reply.refusal().0, reply.header("range")), (416, "0-3"));
    assert_eq!(patch("4-9", b"45").refusal(), (400, "SIZE_INVALID".to_owned()));
    assert_eq!(patch("four", b"45").refusal(), (400, "BLOB_UPLOAD_INVALID".to_owned()));
    let status = site.get(&location);
    assert_eq!((status.status, status.header("range")), (StatusCode::NO_CONTENT, "0-3"));
    let digest = ContentDigest::from(digest_of(b"0123456789"));
    let end = format!("{location}?digest={digest}");
    assert_eq!(site.ask("PUT", &end, &[("content-range", "5-9")], b"56789").refusal().0, 416);
    let reply = site.ask("PUT", &end, &[("content-range", "4-9")], b"456789");
    assert_eq!(
        (reply.status, reply.header("location")),
        (StatusCode::CREATED, format!("/v2/a/blobs/{digest}").as_str())
    );
    assert_eq!(site.get(reply.header("location")).body, "0123456789");
    assert_eq!(site.get(&location).refusal(), (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
}

#[test]
fn content_with_another_digest_is_refused_and_nothing_is_left() {
    let site = Site::new();
    let wanted = ContentDigest::from(digest_of(b"wanted"));
    let single = site.ask("POST", &format!("/v2/a/blobs/uploads/?digest={wanted}"), &[], b"other");
    assert_eq!(single.refusal(), (400, "DIGEST_INVALID".to_owned()));
    let location = site.begin("a");
    let reply = site.ask("PUT", &format!("{location}?digest={wanted}"), &[], b"other");
    assert_eq!(reply.refusal(), (400, "DIGEST_INVALID".to_owned()));
    assert_eq!(site.ask("PUT", &site.begin("a"), &[], b"x").refusal(), (400, "DIGEST_INVALID".to_owned()));
    let open = site.begin("a");
    assert_eq!(site.ask("DELETE", &open, &[], b"").status, StatusCode::NO_CONTENT);
    // One is left: the upload whose digest was never said.
    assert_eq!((site.files(), site.uploads()), (0, 1));
}

#[test]
fn an_upload_goes_on_after_the_registry_was_opened_again() {
    let site = Site::new();
    let location = site.begin("a");
    assert_eq!(site.ask("PATCH", &location, &[], b"before ").status, StatusCode::ACCEPTED);
    let site = site.again();
    assert_eq!(site.get(&location).header("range"), "0-6");
    assert_eq!(site.ask("PATCH", &location, &[], b"and ").status, StatusCode::ACCEPTED);
    let digest = ContentDigest::from(digest_of(b"before and after"));
    let reply = site.ask("PUT", &format!("{location}?digest={digest}"), &[], b"after");
    assert_eq!(reply.status, StatusCode::CREATED);
    let site = site.again();
    assert_eq!(site.get(&format!("/v2/a/blobs/{digest}")).body, "before and after");
    assert_eq!(site.uploads(), 0);
}

#[test]
fn what_came_before_the_connection_was_cut_can_be_gone_on_from() {
    let site = Site::new();
    let location = site.begin("a");
    let mut stream = std::net::TcpStream::connect(site.address).unwrap();
    write!(stream, "PATCH {location} HTTP/1.1\r\nhost: registry\r\ncontent-length: 10\r\n\r\n01234").unwrap();
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    drop(stream);
    // Whoever asks waits until the request that was cut has let go of the upload.
    let kept = (0..ASKS_MAX).any(|_| site.get(&location).header("range") == "0-4");
    assert!(kept, "what came is there");
    let digest = ContentDigest::from(digest_of(b"0123456789"));
    let reply =
        site.ask("PUT", &format!("{location}?digest={digest}"), &[("content-range", "5-9")], b"56789");
    assert_eq!(reply.status, StatusCode::CREATED);
}

#[test]
fn a_blob_is_mounted_from_the_repository_that_has_it() {
    let site = Site::new();
    let digest = site.push("a", b"content");
    let mount = |query: &str| site.ask("POST", &format!("/v2/b/blobs/uploads/?mount={query}"), &[], b"");
    assert_eq!(mount(&format!("{digest}&from=none")).status, StatusCode::ACCEPTED);
    assert_eq!(site.get(&format!("/v2/b/blobs/{digest}")).status, StatusCode::NOT_FOUND);
    assert_eq!(mount(&format!("{digest}&from=a")).status, StatusCode::CREATED);
    assert_eq!(site.get(&format!("/v2/b/blobs/{digest}")).body, "content");
    let delete = |name: &str| site.ask("DELETE", &format!("/v2/{name}/blobs/{digest}"), &[], b"").status;
    assert_eq!((delete("b"), delete("b"), site.files()), (StatusCode::ACCEPTED, StatusCode::NOT_FOUND, 1));
    // Without a name, whoever has it.
    assert_eq!(mount(&digest.to_string()).status, StatusCode::CREATED);
    assert_eq!((delete("a"), site.files()), (StatusCode::ACCEPTED, 1));
    assert_eq!((delete("b"), site.files()), (StatusCode::ACCEPTED, 0));
}

#[test]
fn content_may_be_named_by_sha_512() {
    use crate::distribution::digest::{Algorithm, ContentHasher};
    let site = Site::new();
    let mut hasher = ContentHasher::new(Algorithm::Sha512);
    hasher.update(b"content");
    let digest = hasher.finish();
    for begin in ["", "?digest-algorithm=sha512"] {
        let reply = site.ask("POST", &format!("/v2/a/blobs/uploads/{begin}"), &[], b"");
        let location = reply.header("location").to_owned();
        assert_eq!(site.ask("PATCH", &location, &[], b"content").status, StatusCode::ACCEPTED);
        let reply = site.ask("PUT", &format!("{location}?digest={digest}"), &[], b"");
        assert_eq!(reply.status, StatusCode::CREATED);
    }
    let site = site.again();
    assert_eq!(site.get(&format!("/v2/a/blobs/{digest}")).body, "content");
    assert_eq!(site.ask("DELETE", &format!("/v2/a/blobs/{digest}"), &[], b"").status, StatusCode::ACCEPTED);
    assert_eq!(site.files(), 0);
}
