//! Archives that are good, and archives that are not, from a mirror to what is believed of it.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected fails")]

#[path = "common/archive.rs"]
mod archive;

use archive::{Files, Made, Mirror, Says, Signer};
use base::Time;
use bootstrap::archive::{Archive, Place, Shelf, Trust, fetch, index};
use bootstrap::distribution::Distribution;
use bootstrap::fetch::Fetcher;
use bootstrap::openpgp::Keyring;
use bootstrap::{Error, Result, resolve};

/// A day after the archive was made.
const NOW: i64 = archive::SIGNED_AT as i64 + 86_400;

fn packages() -> Vec<Made> {
    vec![
        Made::new("base", "Essential: yes\nDepends: lib", None, &[("./etc/base", 0o644, b"base")]),
        Made::new("lib", "", None, &[("./usr/lib/lib", 0o644, b"lib")]),
        Made::new("other", "", None, &[]),
    ]
}

/// Whom to believe; nobody's signature is looked at without a signer.
fn trust(signer: Option<&Signer>) -> Trust {
    let keyring = signer.map(|signer| Keyring::parse(&signer.keyring()).unwrap());
    Trust { keyring, expired: false, now: Time::from_unix_seconds(NOW) }
}

struct Tried {
    mirror: Mirror,
    folder: tempfile::TempDir,
}

impl Tried {
    fn of(files: Files) -> Tried {
        Tried { mirror: Mirror::start(files), folder: tempfile::tempdir().unwrap() }
    }

    fn place(&self, suite: &str) -> Place {
        Place { mirror: self.mirror.url(), suite: suite.to_owned(), components: vec!["main".to_owned()] }
    }

    /// The packages that are fetched, by their names.
    fn bootstrap(&self, suite: &str, trust: &Trust) -> Result<Vec<String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fetcher = Fetcher::new(&dial::Proxies::default(), "test")?;
            let shelf = Shelf::new(self.folder.path());
            let debian = Distribution::of("debian")?;
            let archives = [Archive::open(&fetcher, self.place(suite), trust, debian).await?];
            let index = index(&fetcher, &shelf, &archives, "amd64").await?;
            let chosen = resolve::choose(&index, &[])?;
            let packages: Vec<_> = chosen.names().filter_map(|name| index.get(name)).collect();
            let paths = fetch(&fetcher, &shelf, &archives, &packages, &|_| {}).await?;
            assert!(paths.values().all(|path| path.is_file()));
            Ok(paths.into_keys().collect())
        })
    }

    fn left(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }
}

fn signed(version: u8) -> (Files, Signer) {
    let signer = Signer::new(1, version);
    (archive::files(&packages(), &Says::default(), Some(&signer)), signer)
}

const PACKAGE: &str = "pool/main/lib_1_all.deb";
const IN_RELEASE: &str = "dists/bookworm/InRelease";

#[test]
fn a_signed_archive_is_believed_and_its_packages_are_fetched() {
    for version in [4, 6] {
        let (files, signer) = signed(version);
        let tried = Tried::of(files);
        assert_eq!(tried.bootstrap("bookworm", &trust(Some(&signer))).unwrap(), ["base", "lib"]);
        assert_eq!(tried.mirror.asked("other"), 0);
        // What is on the shelf is not fetched again.
        tried.bootstrap("bookworm", &trust(Some(&signer))).unwrap();
        assert_eq!(tried.mirror.asked(PACKAGE), 1);
    }
}

#[test]
fn a_changed_release_is_not_believed() {
    let (mut files, signer) = signed(4);
    let text = String::from_utf8(files[IN_RELEASE].clone()).unwrap();
    files.insert(IN_RELEASE.to_owned(), text.replace("Components: main", "Components: evil").into_bytes());
    let error = Tried::of(files).bootstrap("bookworm", &trust(Some(&signer))).unwrap_err();
    assert!(matches!(error, Error::Distrust { .. }), "{error}");
    assert!(
        base::Chain(&error).to_string().contains("is wrong: the text was changed"),
        "{}",
        base::Chain(&error)
    );
}

#[test]
fn a_stranger_s_signature_is_not_believed() {
    let (files, _) = signed(4);
    let error = Tried::of(files).bootstrap("bookworm", &trust(Some(&Signer::new(2, 4)))).unwrap_err();
    assert!(
        base::Chain(&error).to_string().contains("the keyring does not have the key"),
        "{}",
        base::Chain(&error)
    );
}

#[test]
fn a_changed_package_is_refused_and_not_kept() {
    let (mut files, signer) = signed(4);
    files.get_mut(PACKAGE).unwrap()[200] ^= 1;
    let tried = Tried::of(files);
    let error = tried.bootstrap("bookworm", &trust(Some(&signer))).unwrap_err();
    assert!(matches!(&error, Error::Changed { what: "its hash is", .. }), "{error}");
    let (mut files, _) = signed(4);
    files.get_mut(PACKAGE).unwrap().push(0);
    tried.mirror.serve(files);
    let error = tried.bootstrap("bookworm", &trust(Some(&signer))).unwrap_err();
    assert!(matches!(&error, Error::Changed { what: "its size is more than", .. }), "{error}");
    // The index, and perhaps the other package.
    assert!(tried.left() <= 2, "{}", tried.left());
}

#[test]
fn a_changed_index_is_refused() {
    let (mut files, signer) = signed(4);
    let index = files.get_mut("dists/bookworm/main/binary-amd64/Packages").unwrap();
    let text = String::from_utf8(index.clone()).unwrap().replace("Essential: yes", "Essential: no ");
    *index = text.into_bytes();
    let error = Tried::of(files).bootstrap("bookworm", &trust(Some(&signer))).unwrap_err();
    assert!(matches!(&error, Error::Changed { .. }), "{error}");
}

#[test]
fn a_broken_connection_is_tried_again() {
    let (files, signer) = signed(4);
    let tried = Tried::of(files);
    for path in [IN_RELEASE, PACKAGE] {
        tried.mirror.break_off_once(path);
    }
    assert_eq!(tried.bootstrap("bookworm", &trust(Some(&signer))).unwrap().len(), 2);
    assert_eq!(tried.mirror.asked(PACKAGE), 2);
}

#[test]
fn a_damaged_file_of_the_cache_is_fetched_again() {
    let (files, signer) = signed(4);
    let tried = Tried::of(files);
    tried.bootstrap("bookworm", &trust(Some(&signer))).unwrap();
    for entry in std::fs::read_dir(tried.folder.path()).unwrap() {
        std::fs::write(entry.unwrap().path(), "damaged").unwrap();
    }
    assert_eq!(tried.bootstrap("bookworm", &trust(Some(&signer))).unwrap().len(), 2);
}

#[test]
fn an_unsigned_archive_is_taken_only_where_that_is_asked_for() {
    let tried = Tried::of(archive::files(&packages(), &Says::default(), None));
    let signer = Signer::new(1, 4);
    let error = tried.bootstrap("bookworm", &trust(Some(&signer))).unwrap_err();
    assert!(matches!(error, Error::UnknownSuite { .. }), "{error}");
    assert_eq!(tried.bootstrap("bookworm", &trust(None)).unwrap(), ["base", "lib"]);
    // The same under the name of one that is signed.
    let mut files = archive::files(&packages(), &Says::default(), None);
    let release = files.remove("dists/bookworm/Release").unwrap();
    files.insert(IN_RELEASE.to_owned(), release);
    tried.mirror.serve(files);
    let error = tried.bootstrap("bookworm", &trust(Some(&signer))).unwrap_err();
    assert!(matches!(error, Error::NotSigned { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--allow-unsigned"));
    assert_eq!(tried.bootstrap("bookworm", &trust(None)).unwrap(), ["base", "lib"]);
}

#[test]
fn an_archive_of_the_past_is_taken_only_where_that_is_asked_for() {
    let signer = Signer::new(1, 4);
    let says = Says { valid_until: Some("Thu, 01 Jan 2026 12:00:00 UTC".to_owned()), ..Says::default() };
    let tried = Tried::of(archive::files(&packages(), &says, Some(&signer)));
    let error = tried.bootstrap("bookworm", &trust(Some(&signer))).unwrap_err();
    assert!(error.to_string().contains("no longer valid since 2026-01-01T12:00:00Z"), "{error}");
    let patient = Trust { expired: true, ..trust(Some(&signer)) };
    assert_eq!(tried.bootstrap("bookworm", &patient).unwrap(), ["base", "lib"]);
}

#[test]
fn another_suite_in_its_place_is_refused() {
    let (files, signer) = signed(4);
    let moved = files.into_iter().map(|(path, bytes)| (path.replace("bookworm", "trixie"), bytes)).collect();
    let tried = Tried::of(moved);
    let error = tried.bootstrap("trixie", &trust(Some(&signer))).unwrap_err();
    assert!(error.to_string().contains("is of the suite bookworm (stable), not of trixie"), "{error}");
    // One that is not there is told with those that are.
    let error = tried.bootstrap("buster", &trust(Some(&signer))).unwrap_err();
    assert_eq!(error.hint().unwrap(), "it has trixie");
}

#[test]
fn without_a_keyring_only_keys_of_known_fingerprints_are_taken_from_the_archive() {
    let (signer, other) = (Signer::new(1, 4), Signer::new(2, 4));
    let both = [signer.keyring(), other.keyring()].concat();
    let keyring =
        [("./usr/share/keyrings/k.gpg", 0o644, both.as_slice()), ("./usr/share/doc/k", 0o644, b"k")];
    let mut made = packages();
    made.push(Made::new("debian-archive-keyring", "", None, &keyring));
    // Signed by the other: nobody whom we know.
    let tried = Tried::of(archive::files(&made, &Says::default(), Some(&other)));
    let name = |signer: &Signer| Keyring::parse(&signer.keyring()).unwrap().fingerprints().remove(0);
    let known = |names: &[&str]| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fetcher = Fetcher::new(&dial::Proxies::default(), "test").unwrap();
            let (shelf, place) = (Shelf::new(tried.folder.path()), tried.place("bookworm"));
            let debian = Distribution::of("debian").unwrap();
            bootstrap::known::keys(&fetcher, &shelf, &place, debian, "amd64", names).await.unwrap()
        })
    };
    assert!(known(Distribution::of("debian").unwrap().fingerprints).is_none());
    let ours = known(&[&name(&signer)]).unwrap();
    assert_eq!(ours.fingerprints(), [name(&signer)]);
    let error = tried.bootstrap("bookworm", &Trust { keyring: Some(ours), ..trust(None) }).unwrap_err();
    assert!(matches!(error, Error::Distrust { .. }), "{error}");
    let theirs = known(&[&name(&other)]);
    assert!(tried.bootstrap("bookworm", &Trust { keyring: theirs, ..trust(None) }).is_ok());
}
