//! Manifests: kept byte for byte, with all their parts, under tags and digests.

use super::*;
use crate::manifest::{DOCKER_MANIFEST, DOCUMENT_BYTES_MAX, OCI_INDEX};

#[test]
fn a_manifest_is_given_back_byte_for_byte_by_tag_and_by_digest() {
    let site = Site::new();
    let (reply, text) = site.push_manifest("a", "v1", b"part", r#", "custom":  [ 1 ]"#);
    assert_eq!(reply.status, StatusCode::CREATED);
    let digest = digest_of(text.as_bytes()).to_string();
    assert_eq!(reply.header("location"), format!("/v2/a/manifests/{digest}"));
    let site = site.again();
    for target in ["v1", &digest] {
        let reply = site.get(&format!("/v2/a/manifests/{target}"));
        assert_eq!((reply.status, reply.body.as_ref()), (StatusCode::OK, text.as_bytes()));
        assert_eq!(
            (reply.header("content-type"), reply.header("docker-content-digest")),
            (OCI, digest.as_str())
        );
        let head = site.ask("HEAD", &format!("/v2/a/manifests/{target}"), &[], b"");
        assert_eq!(head.header("content-length"), text.len().to_string());
    }
    for none in ["v2", &digest_of(b"").to_string()] {
        let reply = site.get(&format!("/v2/a/manifests/{none}"));
        assert_eq!(reply.refusal(), (404, "MANIFEST_UNKNOWN".to_owned()));
    }
}

#[test]
fn a_manifest_is_refused_that_makes_no_sense_or_lacks_a_part() {
    let site = Site::new();
    let put = |target: &str, kind: &str, text: &str| {
        site.ask("PUT", &format!("/v2/a/manifests/{target}"), &[("content-type", kind)], text.as_bytes())
            .refusal()
    };
    let missing = digest_of(b"missing");
    let part = format!(r#"{{"mediaType":"x","digest":"{missing}","size":7}}"#);
    let image = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{part},"layers":[]}}"#);
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{part}]}}"#);
    assert_eq!(put("v1", OCI, &image), (404, "MANIFEST_BLOB_UNKNOWN".to_owned()));
    assert_eq!(put("v1", OCI_INDEX, &index), (404, "MANIFEST_BLOB_UNKNOWN".to_owned()));
    assert_eq!(put(&missing.to_string(), OCI, &image), (400, "DIGEST_INVALID".to_owned()));
    assert_eq!(put("v1", DOCKER_MANIFEST, &image), (400, "MANIFEST_INVALID".to_owned()));
    assert_eq!(put("v1", OCI, "{}"), (400, "MANIFEST_INVALID".to_owned()));
    assert_eq!(put("v1", OCI, r#"{"schemaVersion":1}"#), (400, "MANIFEST_INVALID".to_owned()));
    assert_eq!(put(".v1", OCI, &image), (400, "MANIFEST_INVALID".to_owned()));
    assert_eq!(put("v1", OCI, &" ".repeat(DOCUMENT_BYTES_MAX + 1)), (413, "SIZE_INVALID".to_owned()));
    assert_eq!(site.files(), 0);
}

#[test]
fn an_index_needs_its_manifests_and_layers_from_elsewhere_are_not_asked_for() {
    let site = Site::new();
    let foreign = format!(
        r#", "layers": [{{"mediaType":"application/vnd.oci.image.layer.nondistributable.v1.tar","digest":"{}","size":9}}]"#,
        digest_of(b"elsewhere")
    );
    let config = site.push("a", b"{}");
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{{"mediaType":"x","digest":"{config}","size":2}}{foreign}}}"#
    );
    let child = digest_of(text.as_bytes());
    let put = |path: &str, kind: &str, text: &str| {
        site.ask("PUT", path, &[("content-type", kind)], text.as_bytes())
    };
    let reply = put(&format!("/v2/a/manifests/{child}?tag=x&tag=y"), OCI, &text);
    assert_eq!((reply.status, reply.header("oci-tag")), (StatusCode::CREATED, "x, y"));
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{OCI}","digest":"{child}","size":{}}}]}}"#,
        text.len()
    );
    assert_eq!(put("/v2/a/manifests/all", OCI_INDEX, &index).status, StatusCode::CREATED);
    assert_eq!(site.get("/v2/a/manifests/all").header("content-type"), OCI_INDEX);
    assert_eq!(site.get("/v2/a/manifests/y").body, text);
}

#[test]
fn deleting_a_manifest_takes_its_tags_and_frees_its_parts() {
    let site = Site::new();
    let (_, text) = site.push_manifest("a", "v1", b"part", "");
    site.push_manifest("a", "v2", b"part", "");
    let digest = digest_of(text.as_bytes());
    let delete = |path: &str| site.ask("DELETE", &format!("/v2/a/{path}"), &[], b"");
    let part = format!("blobs/{}", digest_of(b"part"));
    assert_eq!(delete(&part).refusal(), (405, "UNSUPPORTED".to_owned()));
    assert_eq!(delete("manifests/v2").status, StatusCode::ACCEPTED);
    assert_eq!(site.get("/v2/a/manifests/v1").status, StatusCode::OK);
    assert_eq!(delete(&format!("manifests/{digest}")).status, StatusCode::ACCEPTED);
    assert_eq!(site.get("/v2/a/manifests/v1").status, StatusCode::NOT_FOUND);
    assert_eq!(delete(&format!("manifests/{digest}")).status, StatusCode::NOT_FOUND);
    assert_eq!((delete(&part).status, site.files()), (StatusCode::ACCEPTED, 0));
}
