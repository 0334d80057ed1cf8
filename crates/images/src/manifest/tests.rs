use super::*;
use proptest::prelude::*;

fn digest(fill: u8) -> Digest {
    Digest::from_sha256([fill; 32])
}

fn manifest() -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        artifact_type: String::new(),
        config: Descriptor::new(OCI_CONFIG, digest(1), 10),
        layers: vec![Descriptor::new(DOCKER_LAYER, digest(2), 20)],
        subject: None,
        annotations: BTreeMap::new(),
    }
}

fn for_platform(fill: u8, platform: Option<&str>) -> Descriptor {
    let platform = platform.map(|text| {
        let platform = Platform::parse(text);
        DescriptorPlatform {
            os: platform.os,
            architecture: platform.architecture,
            variant: platform.variant,
            ..DescriptorPlatform::default()
        }
    });
    Descriptor { platform, ..Descriptor::new(OCI_MANIFEST, digest(fill), 1) }
}

fn index(platforms: &[Option<&str>]) -> Index {
    let manifests =
        (1..=u8::MAX).cycle().zip(platforms).map(|(fill, platform)| for_platform(fill, *platform)).collect();
    Index {
        schema_version: 2,
        media_type: String::new(),
        artifact_type: String::new(),
        manifests,
        subject: None,
        annotations: BTreeMap::new(),
    }
}

#[test]
fn a_manifest_is_read_back_as_it_was_written_with_all_that_is_said_of_it() {
    let mut manifest = manifest();
    manifest.artifact_type = "application/example".to_owned();
    manifest.subject = Some(Descriptor::new(OCI_MANIFEST, digest(3), 30));
    manifest.annotations.insert("a".to_owned(), "b".to_owned());
    manifest.layers[0].urls = vec!["https://example.org/layer".to_owned()];
    let bytes = serde_json::to_vec(&manifest).unwrap();
    let document = Document::parse(&bytes, OCI_MANIFEST).unwrap();
    assert_eq!(document, Document::Manifest(Box::new(manifest.clone())));
    assert_eq!(document.artifact_type(), "application/example");
    assert_eq!(document.subject(), manifest.subject.as_ref());
    assert_eq!(document.descriptors().map(|part| part.size).collect::<Vec<_>>(), [10, 20]);
}

#[test]
fn a_document_without_a_type_is_told_by_its_form_or_by_the_transport() {
    let mut manifest = manifest();
    manifest.media_type = String::new();
    let bytes = serde_json::to_vec(&manifest).unwrap();
    for came_as in ["", "application/json", "application/vnd.oci.image.manifest.v1+json; charset=utf-8"] {
        let document = Document::parse(&bytes, came_as).unwrap();
        assert_eq!(document.media_type(), OCI_MANIFEST);
        assert_eq!(document.artifact_type(), OCI_CONFIG);
    }
    let bytes = serde_json::to_vec(&index(&[None])).unwrap();
    assert_eq!(Document::parse(&bytes, "").unwrap().media_type(), OCI_INDEX);
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let both = br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
    assert!(matches!(Document::parse(both, ""), Err(BadDocument::Ambiguous)));
    let manifest = serde_json::to_vec(&manifest()).unwrap();
    assert!(matches!(Document::parse(&manifest, OCI_INDEX), Err(BadDocument::Disagree { .. })));
    let index = serde_json::to_vec(&index(&[])).unwrap();
    assert!(matches!(Document::parse(&index, OCI_MANIFEST), Err(BadDocument::Ambiguous)));
}

#[test]
fn what_is_not_understood_says_why() {
    for (bytes, came_as, why) in [
        ("x", "", "it is not the JSON that it should be"),
        (r#"{"schemaVersion":1}"#, "", "schema 1"),
        (r#"{"schemaVersion":3}"#, "", "schema version 3"),
        (r#"{"schemaVersion":2,"mediaType":"text/plain"}"#, "", "\"text/plain\" is not understood"),
        (r#"{"schemaVersion":2}"#, DOCKER_SCHEMA_1[1], "schema 1"),
        (r#"{"schemaVersion":2,"layers":[]}"#, "", "it is not the JSON"),
        (r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:1","size":1}]}"#, "", "it is not the JSON"),
        (r#"{"schemaVersion":2,"manifests":[{"size":-1}]}"#, "", "it is not the JSON"),
    ] {
        let error = Document::parse(bytes.as_bytes(), came_as).unwrap_err().to_string();
        assert!(error.contains(why), "{bytes}: {error}");
    }
    let large = vec![b' '; DOCUMENT_BYTES_MAX + 1];
    assert!(matches!(Document::parse(&large, ""), Err(BadDocument::TooLarge { .. })));
    let many = index(&vec![None; DESCRIPTORS_MAX + 1]);
    let bytes = serde_json::to_vec(&many).unwrap();
    assert!(matches!(Document::parse(&bytes, ""), Err(BadDocument::TooMany { .. })));
}

#[test]
fn the_manifest_that_runs_best_is_chosen() {
    let index = index(&[
        Some("linux/arm/v6"),
        Some("linux/amd64"),
        Some("linux/arm64/v8"),
        Some("linux/arm/v7"),
        Some("unknown/unknown"),
        Some("linux/amd64"),
    ]);
    for (platform, chosen) in [
        ("linux/amd64", Some(2)),
        ("linux/amd64/v3", Some(2)),
        ("linux/arm64/v8", Some(3)),
        ("linux/arm64", Some(3)),
        ("linux/arm", Some(4)),
        ("linux/arm/v6", Some(1)),
        ("linux/s390x", None),
        ("windows/amd64", None),
    ] {
        let found = index.choose(&Platform::asked_for(platform).unwrap()).map(|found| found.digest);
        assert_eq!(found, chosen.map(digest), "{platform}");
    }
}

#[test]
fn a_manifest_that_names_no_platform_is_the_last_resort() {
    let index = index(&[None, Some("linux/amd64")]);
    let chosen = |platform: &str| index.choose(&Platform::parse(platform)).map(|found| found.digest);
    assert_eq!(chosen("linux/amd64"), Some(digest(2)));
    assert_eq!(chosen("linux/s390x"), Some(digest(1)));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(text in "\\PC*", came_as in "\\PC*") {
        let _ = Document::parse(text.as_bytes(), &came_as);
    }
}

#[test]
fn a_list_of_values_is_not_taken_for_the_object_that_has_them() {
    for list in [r#"[2,"",[]]"#, " \n[]"] {
        assert!(matches!(Document::parse(list.as_bytes(), OCI_INDEX), Err(BadDocument::NoObject)), "{list}");
    }
}
