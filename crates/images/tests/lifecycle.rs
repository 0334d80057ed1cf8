//! Names, removal, saving and making of images, and what a crash leaves.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;

use common::{Place, Tar, docker_archive, docker_archive_packed, gzip, hex};
use images::{
    Change, ContainerUse, Error, ErrorKind, ImageConfig, Images, Piece, Platform, Reference, Removed,
};
use model::ImageId;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

fn layer(text: &str) -> Vec<u8> {
    Tar::new().file("text", text.as_bytes()).end()
}

fn nobody(_: &ImageId) -> Vec<ContainerUse> {
    Vec::new()
}

fn used(running: bool) -> impl Fn(&ImageId) -> Vec<ContainerUse> {
    move |_| vec![ContainerUse { id: "abcabcabcabc".to_owned(), running }]
}

fn untagged(name: &str) -> Removed {
    Removed::Untagged(name.to_owned())
}

fn message<T>(result: images::Result<T>) -> (String, ErrorKind) {
    let Err(error) = result else { panic!("it succeeded") };
    let told = base::Chain(&error).to_string();
    (told, error.kind())
}

#[test]
fn an_image_is_found_by_name_tag_id_and_the_beginning_of_an_id() {
    let place = Place::new();
    let id = place.load(&docker_archive("app:latest", &[&layer("1")])).unwrap()[0].id;
    let hex = id.0.hex();
    for name in ["app", "app:latest", "docker.io/library/app", &hex, &hex[..12], &hex[..4], &id.to_string()] {
        assert_eq!(place.images.resolve(name).unwrap().id, id, "{name}");
    }
    assert_eq!(place.images.resolve(&format!("app@{id}")).unwrap().id, id);
    let missing = message(place.images.resolve("other"));
    assert_eq!(missing, ("No such image: other:latest".to_owned(), ErrorKind::NotFound));
    let zeros = format!("sha256:{}", "0".repeat(64));
    assert_eq!(message(place.images.resolve(&zeros)).0, format!("No such image: {zeros}"));
    assert_eq!(
        message(place.images.resolve("a b")),
        ("invalid reference format".to_owned(), ErrorKind::Invalid)
    );
}

#[test]
fn a_beginning_that_several_ids_have_is_refused() {
    let place = Place::new();
    for number in 0..17 {
        place.load(&docker_archive(&format!("app:{number}"), &[&layer(&number.to_string())])).unwrap();
    }
    let mut first: Vec<String> =
        place.images.list().unwrap().iter().map(|image| image.id.0.hex()[..1].to_owned()).collect();
    first.sort();
    let double = first.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0].clone();
    assert!(matches!(place.images.resolve(&double), Err(Error::Ambiguous { .. })));
}

#[test]
fn a_tag_is_one_more_name_and_moves_to_another_image() {
    let place = Place::new();
    let one = place.load(&docker_archive("one:1", &[&layer("1")])).unwrap()[0].id;
    let two = place.load(&docker_archive("two:1", &[&layer("2")])).unwrap()[0].id;
    place.images.tag("one:1", "alias").unwrap();
    assert_eq!(place.images.resolve("one:1").unwrap().repo_tags, ["alias:latest", "one:1"]);
    place.images.tag(&two.0.short(), "alias").unwrap();
    assert_eq!(place.images.resolve("alias").unwrap().id, two);
    assert_eq!(place.images.get(&one).unwrap().repo_tags, ["one:1"]);
    assert_eq!(message(place.images.tag("one:1", "BAD name")).1, ErrorKind::Invalid);
    assert_eq!(message(place.images.tag("none", "x")).0, "No such image: none:latest");
    assert!(matches!(place.images.tag("one:1", &format!("x@{one}")), Err(Error::TagWithDigest)));
}

#[test]
fn the_last_name_takes_the_image_and_its_own_layers_with_it() {
    let place = Place::new();
    let (base, own) = (layer("base"), layer("own"));
    place.load(&docker_archive("base:1", &[&base])).unwrap();
    let id = place.load(&docker_archive("app:1", &[&base, &own])).unwrap()[0].id;
    place.images.tag("app:1", "app:2").unwrap();
    assert_eq!(place.images.remove("app:2", false, &nobody).unwrap(), [untagged("app:2")]);
    let chain = hex(format!("sha256:{} sha256:{}", hex(&base), hex(&own)).as_bytes());
    let wanted =
        [untagged("app:1"), Removed::Deleted(id.to_string()), Removed::Deleted(format!("sha256:{chain}"))];
    assert_eq!(place.images.remove("app:1", false, &nobody).unwrap(), wanted);
    assert_eq!(place.kept().len(), 3, "the base's blob, layer and configuration");
    assert_eq!(message(place.images.remove("app:1", true, &nobody)).0, "No such image: app:1");
    let base_id = place.images.resolve("base:1").unwrap().id;
    place.images.remove(&base_id.0.short(), false, &nobody).unwrap();
    assert!(place.kept().is_empty());
}

#[test]
fn an_image_in_use_is_refused_in_dockers_words() {
    let place = Place::new();
    let id = place.load(&docker_archive("app:1", &[&layer("1")])).unwrap()[0].id;
    let short = id.0.short();
    let remove = |name: &str, force, running| message(place.images.remove(name, force, &used(running)));
    assert_eq!(
        remove("app:1", false, true).0,
        format!(
            "conflict: unable to remove repository reference \"app:1\" (must force) - container abcabcabcabc is using its referenced image {short}"
        )
    );
    assert_eq!(
        remove(&short, true, true),
        (
            format!(
                "conflict: unable to delete {short} (cannot be forced) - image is being used by running container abcabcabcabc"
            ),
            ErrorKind::Conflict
        )
    );
    assert_eq!(
        remove(&short, false, false).0,
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container abcabcabcabc"
        )
    );
    place.images.tag("app:1", "other:1").unwrap();
    assert_eq!(
        message(place.images.remove(&short, false, &nobody)).0,
        format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
        )
    );
    // Of two names, one may go even now.
    assert_eq!(place.images.remove("other:1", false, &used(true)).unwrap(), [untagged("other:1")]);
    // By force, the last name may go; the image stays.
    assert_eq!(place.images.remove("app:1", true, &used(true)).unwrap(), [untagged("app:1")]);
    assert!(place.images.resolve(&short).unwrap().repo_tags.is_empty());
}

#[test]
fn an_image_removed_by_force_stays_for_its_stopped_container_until_that_is_gone() {
    let place = Place::new();
    let id = place.load(&docker_archive("app:1", &[&layer("1")])).unwrap()[0].id;
    let removed = place.images.remove("app:1", true, &used(false)).unwrap();
    assert_eq!(removed, [untagged("app:1"), Removed::Deleted(id.to_string())]);
    assert!(place.images.list().unwrap().is_empty());
    assert_eq!(message(place.images.resolve(&id.to_string())).1, ErrorKind::NotFound);
    place.images.collect(&|_| true).unwrap();
    assert!(place.images.rootfs(&id).unwrap()[0].join("text").exists());
    assert_eq!(place.images.get(&id).unwrap().config.cmd.unwrap(), ["sh"]);
    place.images.collect(&|_| false).unwrap();
    assert!(place.kept().is_empty());
    assert!(place.images.get(&id).is_err());
}

#[test]
fn a_lease_keeps_an_image_while_a_container_is_made_from_it() {
    let place = Place::new();
    let id = place.load(&docker_archive("app:1", &[&layer("1")])).unwrap()[0].id;
    let lease = place.images.lease(&id).unwrap();
    assert_eq!(message(place.images.remove(&id.to_string(), true, &nobody)).1, ErrorKind::Conflict);
    drop(lease);
    place.images.remove(&id.to_string(), true, &nobody).unwrap();
    assert!(place.kept().is_empty());
    assert_eq!(message(place.images.lease(&id).map(drop)).1, ErrorKind::NotFound);
}

#[test]
fn history_tells_the_last_step_first() {
    let place = Place::new();
    let id = place.load(&docker_archive("app:1", &[&layer("1"), &layer("22")])).unwrap()[0].id;
    let history = place.images.history("app:1").unwrap();
    assert_eq!(
        (history[0].id.as_str(), history[0].size, history[0].tags.as_slice()),
        (id.to_string().as_str(), 2, &["app:1".to_owned()][..])
    );
    assert_eq!(
        (history[1].id.as_str(), history[1].size, history[1].created_by.as_str()),
        ("<missing>", 1, "ADD")
    );
}

/// The files of an archive by name.
fn files(archive: &[u8], directory: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut tar = Command::new("tar").args(["-xC"]).arg(directory).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut tar.stdin.take().unwrap(), archive).unwrap();
    assert!(tar.wait().unwrap().success(), "tar(1) reads it");
    let mut out = std::collections::BTreeMap::new();
    for name in ["index.json", "manifest.json", "oci-layout", "repositories"] {
        out.insert(name.to_owned(), fs::read(directory.join(name)).unwrap());
    }
    for entry in fs::read_dir(directory.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(
            hex(&bytes),
            path.file_name().unwrap().to_str().unwrap(),
            "a blob has its digest for a name"
        );
        out.insert(format!("blobs/sha256/{}", hex(&bytes)), bytes);
    }
    out
}

#[test]
fn what_is_saved_is_both_kinds_of_archive_and_is_loaded_again() {
    let place = Place::new();
    let (base, own) = (layer("base"), layer("own"));
    let archive = docker_archive_packed("app:1", &[&base, &own], &[&gzip(&base), &own]);
    let id = place.load(&archive).unwrap()[0].id;
    place.images.tag("app:1", "app:2").unwrap();
    place.load(&docker_archive("base:1", &[&base])).unwrap();
    let mut saved = Vec::new();
    place.images.save(&["app".to_owned(), "base:1".to_owned()], &mut saved).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = files(&saved, directory.path());
    assert_eq!(files.len(), 4 + 2 + 2 + 2, "four tables, two layers, two configurations, two manifests");
    let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["app:1", "app:2"]));
    let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
    assert_eq!(index["manifests"][1]["annotations"]["io.containerd.image.name"], "docker.io/library/app:2");
    assert_eq!(index["manifests"][1]["annotations"]["org.opencontainers.image.ref.name"], "2");
    // As either kind alone, it gives the same images.
    let mut only_oci = Tar::new();
    for (name, bytes) in files.iter().filter(|(name, _)| *name != "manifest.json") {
        only_oci = only_oci.file(name, bytes);
    }
    for archive in [saved, only_oci.end()] {
        let other = Place::new();
        assert_eq!(other.load(&archive).unwrap().len(), 2);
        assert_eq!(other.images.resolve("app:2").unwrap().id, id);
        assert_eq!(other.images.resolve("app:1").unwrap().directories.len(), 2);
        let mut again = Vec::new();
        other.images.save(&["app".to_owned(), "base:1".to_owned()], &mut again).unwrap();
        assert_eq!(
            hex(&again),
            hex(&{
                let mut first = Vec::new();
                place.images.save(&["app".to_owned(), "base:1".to_owned()], &mut first).unwrap();
                first
            }),
            "bit by bit"
        );
    }
}

#[test]
fn saving_what_is_not_there_writes_nothing() {
    let place = Place::new();
    place.load(&docker_archive("app:1", &[&layer("1")])).unwrap();
    let mut saved = Vec::new();
    let error = message(place.images.save(&["app:1".to_owned(), "none".to_owned()], &mut saved));
    assert_eq!((error.0.as_str(), saved.len()), ("No such image: none:latest", 0));
    // An id is saved without a name.
    let id = place.images.resolve("app:1").unwrap().id;
    place.images.save(&[id.to_string()], &mut saved).unwrap();
    let other = Place::new();
    assert!(other.load(&saved).unwrap()[0].names.is_empty());
}

#[test]
fn a_root_file_system_is_imported_with_changes() {
    let place = Place::new();
    let changes = [Change::parse("CMD [\"/bin/x\"]").unwrap(), Change::parse("EXPOSE 80").unwrap()];
    let reference = Some(Reference::parse("made").unwrap());
    let rootfs = gzip(&layer("root"));
    let platform = Platform::parse("linux/arm64/v8");
    let id = place.images.import(&mut rootfs.as_slice(), reference, "by hand", &changes, &platform).unwrap();
    let image = place.images.resolve("made").unwrap();
    assert_eq!((image.id, image.comment.as_str(), image.size), (id, "by hand", 4));
    assert_eq!((image.architecture.as_str(), image.variant.as_str()), ("arm64", "v8"));
    assert_eq!(image.config.cmd.unwrap(), ["/bin/x"]);
    assert!(image.config.exposed_ports.contains_key("80/tcp"));
    assert_eq!(place.images.history("made").unwrap()[0].comment, "by hand");
    let text = message(place.images.import(&mut &b"no archive"[..], None, "", &[], &Platform::default())).0;
    assert_eq!(text, "\"the root file system\" of the archive is no layer");
}

#[test]
fn an_image_put_together_from_files_is_the_same_each_time() {
    let place = Place::new();
    let long = format!("{}/program", "d".repeat(120));
    let pieces = [
        Piece { path: "tmp", mode: 0o1777, bytes: None },
        Piece { path: "bin/server", mode: 0o755, bytes: Some(b"program") },
        Piece { path: &long, mode: 0o644, bytes: Some(&[1; 1000]) },
    ];
    let make = || {
        let config = ImageConfig { cmd: Some(vec!["/bin/server".to_owned()]), ..ImageConfig::default() };
        let reference = Some(Reference::parse("demo").unwrap());
        place
            .images
            .assemble(&pieces, config, base::Time::from_unix_seconds(5), "assembled", reference)
            .unwrap()
    };
    assert_eq!(make(), make());
    let root = place.images.resolve("demo").unwrap().directories.remove(0);
    assert_eq!(fs::read(root.join("bin/server")).unwrap(), b"program");
    assert_eq!(fs::read(root.join(long)).unwrap(), [1; 1000]);
    assert_eq!(
        std::os::unix::fs::MetadataExt::mode(&fs::metadata(root.join("tmp")).unwrap()) & 0o7777,
        0o1777
    );
    assert_eq!(place.kept().len(), 3);
}

#[test]
fn what_a_crash_left_is_removed_when_the_store_is_opened() {
    let Place { directory, images } = Place::new();
    images.load(&mut docker_archive("app:1", &[&layer("1")]).as_slice(), &mut |_| {}).unwrap();
    drop(images);
    let root = directory.path().join("images");
    fs::create_dir_all(root.join("tmp/half/0")).unwrap();
    fs::create_dir_all(root.join("layers/00000000abc/deep/er")).unwrap();
    fs::write(root.join("blobs/sha256").join("0".repeat(64)), b"x").unwrap();
    let images = common::open(directory.path());
    let place = Place { directory, images };
    assert_eq!(place.kept().len(), 3);
    assert!(place.images.resolve("app:1").unwrap().directories[0].join("text").exists());
}

/// Names the directory to the process that is killed; the test starts itself with it.
const VICTIM: &str = "IMAGES_TEST_VICTIM";

/// Not a test of its own: the body of the process that is killed.
#[test]
#[expect(clippy::disallowed_methods, reason = "the parent test hands the path over in the environment")]
fn helper_that_loads_and_removes_until_it_is_killed() {
    let Ok(path) = std::env::var(VICTIM) else { return };
    let images = common::open(Path::new(&path));
    let archive = docker_archive("app:1", &[&layer("1"), &Tar::new().file("big", &vec![7; 2 << 20]).end()]);
    println!("ready");
    loop {
        images.load(&mut archive.as_slice(), &mut |_| {}).unwrap();
        images.remove("app:1", true, &nobody).unwrap();
    }
}

#[test]
fn kill_9_at_any_moment_leaves_whole_images_only() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..12u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "helper_that_loads_and_removes_until_it_is_killed", "--nocapture"])
            .env(VICTIM, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"ready\n") {
            let mut byte = [0];
            output.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        // Some work, a different amount each time, before the end.
        for _ in 0..round * 7 {
            std::hint::black_box(hex(&[0; 64 << 10]));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let images = common::open(directory.path());
        let place = Kept { images: &images, root: directory.path() };
        place.check();
    }
}

struct Kept<'a> {
    images: &'a Images,
    root: &'a Path,
}

impl Kept<'_> {
    /// Either the whole image or nothing.
    fn check(&self) {
        let count = |name: &str| fs::read_dir(self.root.join("images").join(name)).unwrap().count();
        let list = self.images.list().unwrap();
        if list.is_empty() {
            assert_eq!((count("blobs/sha256"), count("layers"), count("tmp")), (0, 0, 0));
            return;
        }
        assert_eq!((count("blobs/sha256"), count("layers"), count("tmp")), (3, 2, 0));
        let directories = self.images.resolve("app:1").unwrap().directories;
        assert_eq!(fs::read(directories[0].join("big")).unwrap().len(), 2 << 20);
        let mut saved = Vec::new();
        self.images.save(&["app:1".to_owned()], &mut saved).unwrap();
    }
}

#[test]
fn loads_and_removals_at_the_same_time_do_not_harm_one_another() {
    let place = Place::new();
    let base = layer("base");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (place, base) = (&place, &base);
            scope.spawn(move || {
                let own = layer(&number.to_string());
                let name = format!("app{number}:1");
                for _ in 0..10 {
                    place.load(&docker_archive(&name, &[base, &own])).unwrap();
                    place.images.tag(&name, &format!("other{number}:1")).unwrap();
                    let directories = place.images.resolve(&name).unwrap().directories;
                    assert!(directories.iter().all(|directory| directory.join("text").exists()));
                    place.images.remove(&name, false, &nobody).unwrap();
                    place.images.remove(&format!("other{number}:1"), false, &nobody).unwrap();
                }
            });
        }
    });
    assert!(place.images.list().unwrap().is_empty());
    // What a removal had to leave, because a load counted on it, goes with the next one.
    place.load(&docker_archive("last:1", &[&base])).unwrap();
    place.images.remove("last:1", false, &nobody).unwrap();
    assert!(place.kept().is_empty(), "{:?}", place.kept());
}

#[test]
fn an_image_can_be_removed_while_it_is_saved() {
    let place = Place::new();
    let id = place.load(&docker_archive("app:1", &[&layer("1")])).unwrap()[0].id;
    let saving = place.images.saving(&["app:1".to_owned()]).unwrap();
    place.images.remove("app:1", false, &nobody).unwrap();
    let mut saved = Vec::new();
    saving.write(&mut saved).unwrap();
    drop(saving);
    assert_eq!(Place::new().load(&saved).unwrap()[0].id, id);
    place.load(&docker_archive("other:1", &[&layer("2")])).unwrap();
    place.images.remove("other:1", false, &nobody).unwrap();
    assert!(place.kept().is_empty(), "{:?}", place.kept());
}
