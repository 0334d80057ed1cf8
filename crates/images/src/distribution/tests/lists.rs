//! Lists: page by page.

use super::*;

#[test]
fn tags_and_repositories_are_listed_page_by_page() {
    let site = Site::new();
    for tag in ["b", "a", "10", "B"] {
        site.push_manifest("z/app", tag, b"part", "");
    }
    site.push("a", b"blob");
    assert_eq!(site.get("/v2/none/tags/list").refusal(), (404, "NAME_UNKNOWN".to_owned()));
    let all = site.get("/v2/z/app/tags/list");
    assert_eq!(all.json(), serde_json::json!({"name": "z/app", "tags": ["10", "B", "a", "b"]}));
    let first = site.get("/v2/z/app/tags/list?n=3");
    assert_eq!(first.header("link"), r#"</v2/z/app/tags/list?n=3&last=a>; rel="next""#);
    let last = site.get("/v2/z/app/tags/list?n=3&last=a");
    assert_eq!((last.json()["tags"].clone(), last.header("link")), (serde_json::json!(["b"]), ""));
    assert_eq!(site.get("/v2/z/app/tags/list?n=0").json()["tags"], serde_json::json!([]));
    assert_eq!(site.get("/v2/z/app/tags/list?n=many").refusal().0, 400);
    let catalog = site.get("/v2/_catalog?n=1");
    assert_eq!(catalog.json(), serde_json::json!({"repositories": ["a"]}));
    assert_eq!(catalog.header("link"), r#"</v2/_catalog?n=1&last=a>; rel="next""#);
}

#[test]
fn what_is_said_of_a_manifest_is_found_by_its_subject_and_by_its_kind() {
    let site = Site::new();
    let subject = digest_of(b"a manifest that comes later");
    let path = format!("/v2/a/referrers/{subject}");
    assert_eq!(site.get(&path).json()["manifests"], serde_json::json!([]));
    let said = |kind: &str| {
        let more = format!(
            r#", "artifactType": "{kind}", "annotations": {{"k": "{kind}"}}, "subject": {{"mediaType":"{OCI}","digest":"{subject}","size":1}}"#
        );
        let (reply, text) = site.push_manifest("a", kind, b"part", &more);
        assert_eq!(reply.header("oci-subject"), subject.to_string());
        digest_of(text.as_bytes()).to_string()
    };
    let (signature, _) = (said("signature"), said("sbom"));
    let all = site.get(&path);
    assert_eq!(all.header("content-type"), crate::manifest::OCI_INDEX);
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);
    let some = site.get(&format!("{path}?artifactType=signature"));
    assert_eq!(some.header("oci-filters-applied"), "artifactType");
    let found = &some.json()["manifests"];
    assert_eq!(
        (found[0]["digest"].as_str(), found[0]["annotations"]["k"].as_str()),
        (Some(signature.as_str()), Some("signature"))
    );
    assert_eq!(found.as_array().unwrap().len(), 1);
    site.ask("DELETE", &format!("/v2/a/manifests/{signature}"), &[], b"");
    assert_eq!(site.get(&path).json()["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(site.get("/v2/a/referrers/sha256:no").refusal().0, 400);
}

#[test]
fn long_lists_of_referrers_are_cut_into_pages_that_name_each_once() {
    let site = Site::new();
    let subject = digest_of(b"subject");
    for number in 0..5 {
        let more = format!(
            r#", "annotations": {{"k": "{}"}}, "subject": {{"mediaType":"{OCI}","digest":"{subject}","size":1}}"#,
            "x".repeat(400_000)
        );
        site.push_manifest("a", &format!("v{number}"), format!("part {number}").as_bytes(), &more);
    }
    let mut seen = Vec::new();
    let mut path = format!("/v2/a/referrers/{subject}");
    let mut pages = 0;
    while !path.is_empty() {
        let page = site.get(&path);
        for manifest in page.json()["manifests"].as_array().unwrap() {
            seen.push(manifest["digest"].as_str().unwrap().to_owned());
        }
        let next = page.header("link").split(['<', '>']).nth(1).unwrap_or_default();
        path = next.to_owned();
        pages += 1;
    }
    seen.dedup();
    assert_eq!((seen.len(), pages), (5, 2));
}
