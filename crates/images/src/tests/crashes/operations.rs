//! The operations that are killed: on what, how, and what may be found afterwards.

use super::whole;
use crate::distribution::announced::ANNOUNCED_KEPT;
use crate::distribution::blobs::Source;
use crate::distribution::digest::Algorithm;
use crate::distribution::{Access, ContentDigest, Registry, Repository, Served, Target, serve};
use crate::hash::digest_of;
use crate::manifest::OCI_MANIFEST;
use crate::registry::{Credentials, Doing, Listener, Parts, PullRequest, PushRequest, Registries, Settings};
use crate::tarwrite::TarWriter;
use crate::{Commit, ContainerUse, Error, ErrorKind, ImageConfig, Images, Piece, Platform, Reference};
use base::{Clock, Time};
use bytes::Bytes;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A store with its registry, opened.
pub(super) struct Site {
    pub(super) root: PathBuf,
    pub(super) images: Arc<Images>,
    registry: Registry,
}

/// Folders in memory, which take a sync at its word.
const IN_MEMORY: &str = "/dev/shm";

/// A folder that is gone with the value; in memory where that can be, as no power is lost here.
pub(super) fn folder() -> TempDir {
    tempfile::tempdir_in(IN_MEMORY).or_else(|_| tempfile::tempdir()).unwrap()
}

/// A registry that nobody kills, for as long as the value lives.
pub(super) struct Server {
    address: SocketAddr,
    runtime: Option<Runtime>,
    _root: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One operation.
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// Makes what it needs beside what every operation finds.
    pub(super) prepare: fn(&Path) -> Option<Server>,
    /// Carries it out, in the process that is killed.
    pub(super) run: fn(&Path),
    /// Looks at what is there afterwards, given what had been acknowledged.
    pub(super) check: fn(&Site, &[String], &str),
    /// Carries it out once more, to its end.
    pub(super) again: fn(&Site, &str),
}

pub(super) const ALL: [Operation; 10] = [
    Operation {
        name: "load",
        prepare: nothing,
        run: |root| load(&open(root, super::BOOT)),
        check: old_is_there,
        again: |site, about| {
            load(site);
            app_is_there(site, about);
        },
    },
    Operation {
        name: "import",
        prepare: nothing,
        run: |root| import(&open(root, super::BOOT)),
        check: old_is_there,
        again: |site, about| {
            import(site);
            has_file(site, "imported:1", "root", about);
        },
    },
    Operation {
        name: "commit",
        prepare: nothing,
        run: |root| commit(&open(root, super::BOOT)),
        check: old_is_there,
        again: |site, about| {
            commit(site);
            has_file(site, "committed:1", "changed", about);
        },
    },
    Operation {
        name: "tag",
        prepare: with_app,
        run: |root| tag(&open(root, super::BOOT)),
        check: |site, _, about| {
            old_is_there(site, &[], about);
            assert!(
                site.images.resolve("app:1").is_ok(),
                "{about}: a name belongs to the one or to the other"
            );
        },
        again: |site, _| tag(site),
    },
    Operation {
        name: "remove",
        prepare: with_app,
        run: |root| remove(&open(root, super::BOOT)),
        check: old_is_there,
        again: |site, about| {
            remove(site);
            assert_eq!(site.images.list().unwrap().len(), 1, "{about}");
        },
    },
    Operation {
        name: "collect",
        prepare: with_hidden_app,
        run: |root| collect_images(&open(root, super::BOOT)),
        check: old_is_there,
        again: |site, about| {
            collect_images(site);
            assert_eq!(fs::read_dir(site.root.join("images/layers")).unwrap().count(), 1, "{about}");
        },
    },
    Operation {
        name: "pull",
        prepare: with_server,
        run: |root| pull(&open(root, super::BOOT)),
        check: old_is_there,
        again: |site, about| {
            pull(site);
            has_file(site, &site.remote("app:1"), "changed", about);
            assert_eq!(whole::names_in(&site.root.join("images/unfinished")).len(), 0, "{about}");
        },
    },
    Operation {
        name: "push",
        prepare: with_server_and_app,
        run: |root| push(&open(root, super::BOOT)),
        check: |site, _, about| {
            old_is_there(site, &[], about);
            app_is_there(site, about);
        },
        again: |site, about| {
            push(site);
            pull_as(site, "pushed:1");
            has_file(site, &site.remote("pushed:1"), "changed", about);
        },
    },
    Operation {
        name: "receive",
        prepare: nothing,
        run: |root| receive(&open(root, super::BOOT)),
        check: |site, said, about| {
            old_is_there(site, &[], about);
            acknowledged_is_there(site, said, about);
        },
        again: |site, about| {
            receive(site);
            acknowledged_is_there(
                site,
                &["first".to_owned(), "mounted".to_owned(), "manifest".to_owned()],
                about,
            );
        },
    },
    Operation {
        name: "delete",
        prepare: with_repositories,
        run: |root| delete(&open(root, super::BOOT)),
        check: |site, said, about| {
            old_is_there(site, &[], about);
            for gone in said {
                assert!(!has(site, gone), "{about}: {gone} is there again");
            }
        },
        again: |site, about| {
            delete(site);
            assert!(!has(site, "manifest") && !has(site, "first"), "{about}");
        },
    },
];

/// Opens what is in a directory. All of its registry counts as announced long ago.
pub(super) fn open(root: &Path, boot: &str) -> Site {
    let clock = Clock::system();
    let store = Arc::new(Store::open(&root.join("state.redb")).unwrap());
    let images = Images::open_in_boot(&root.join("images"), store, clock, boot.to_owned()).unwrap();
    let images = Arc::new(images);
    let long_ago = clock.instant().checked_sub(ANNOUNCED_KEPT).unwrap();
    let registry = Registry::open_at(Arc::clone(&images), clock, long_ago).unwrap();
    Site { root: root.to_owned(), images, registry }
}

fn named(name: &str) -> Option<Reference> {
    Some(Reference::parse(name).unwrap())
}

/// Some bytes that are not all alike.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn archive(file: &str, length: usize) -> Vec<u8> {
    let mut tar = TarWriter::new(Vec::new(), 1);
    tar.directory("made", 0o755).unwrap();
    tar.file(file, 0o644, &content(length)).unwrap();
    tar.finish().unwrap()
}

fn assemble_base(images: &Images) {
    let bytes = content(3000);
    let pieces = [Piece { path: "base", mode: 0o644, bytes: Some(&bytes) }];
    images
        .assemble(&pieces, ImageConfig::default(), Time::from_unix_seconds(1), "made", named("base:1"))
        .unwrap();
}

/// What every operation finds: one image, and the archive of another one on top of it.
pub(super) fn prepare(root: &Path) {
    let scratch = folder();
    let other = open(scratch.path(), super::BOOT);
    assemble_base(&other.images);
    let base = other.images.resolve("base:1").unwrap().id;
    let commit = Commit { reference: named("app:1"), ..Commit::default() };
    other.images.commit(&base, &mut archive("changed", 9000).as_slice(), commit).unwrap();
    other.images.save(&["app:1".to_owned()], &mut File::create(root.join("app.tar")).unwrap()).unwrap();
    assemble_base(&open(root, super::BOOT).images);
}

fn nothing(_: &Path) -> Option<Server> {
    None
}

fn with_app(root: &Path) -> Option<Server> {
    load(&open(root, super::BOOT));
    None
}

fn with_hidden_app(root: &Path) -> Option<Server> {
    let site = open(root, super::BOOT);
    load(&site);
    let stopped = |_: &_| vec![ContainerUse { id: "c".to_owned(), running: false }];
    site.images.remove("app:1", true, &stopped).unwrap();
    None
}

/// A registry that has the image, whose address stands in a file.
fn with_server(root: &Path) -> Option<Server> {
    let own = folder();
    let Site { registry, .. } = open(own.path(), super::BOOT);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(serve(
        listener,
        Arc::new(Served::new(Arc::new(registry), Access::everyone(), Clock::system())),
    ));
    fs::write(root.join("address"), address.to_string()).unwrap();
    let server = Server { address, runtime: Some(runtime), _root: own };
    let scratch = folder();
    fs::copy(root.join("app.tar"), scratch.path().join("app.tar")).unwrap();
    fs::write(scratch.path().join("address"), server.address.to_string()).unwrap();
    let giver = open(scratch.path(), super::BOOT);
    load(&giver);
    push_as(&giver, "app:1");
    Some(server)
}

fn with_server_and_app(root: &Path) -> Option<Server> {
    with_app(root);
    with_server(root)
}

fn with_repositories(root: &Path) -> Option<Server> {
    receive(&open(root, super::BOOT));
    None
}

fn has_file(site: &Site, image: &str, file: &str, about: &str) {
    let found = site.images.resolve(image).unwrap_or_else(|error| panic!("{about}: {image}: {error}"));
    assert!(found.directories.iter().any(|directory| directory.join(file).exists()), "{about}: {image}");
}

fn old_is_there(site: &Site, _: &[String], about: &str) {
    has_file(site, "base:1", "base", about);
}

fn app_is_there(site: &Site, about: &str) {
    has_file(site, "app:1", "changed", about);
}

fn load(site: &Site) {
    let mut archive = File::open(site.root.join("app.tar")).unwrap();
    site.images.load(&mut archive, &mut |_| {}).unwrap();
}

fn import(site: &Site) {
    let archive = archive("root", 5000);
    site.images.import(&mut archive.as_slice(), named("imported:1"), "", &[], &Platform::default()).unwrap();
}

fn commit(site: &Site) {
    let base = site.images.resolve("base:1").unwrap().id;
    let commit = Commit { reference: named("committed:1"), ..Commit::default() };
    site.images.commit(&base, &mut archive("changed", 7000).as_slice(), commit).unwrap();
}

fn tag(site: &Site) {
    site.images.tag("base:1", "app:1").unwrap();
}

fn remove(site: &Site) {
    match site.images.remove("app:1", false, &|_| Vec::new()) {
        Ok(_) => {}
        // It was done before it was killed.
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
    }
}

fn collect_images(site: &Site) {
    site.images.collect(&|_| false).unwrap();
}

/// Listens to all and says nothing.
struct Deaf;

impl<Step> Listener<Step> for Deaf {
    fn tell(&self, _: Step) -> Doing<'_> {
        Box::pin(async {})
    }
    fn gone(&self) -> Doing<'_> {
        Box::pin(std::future::pending())
    }
}

impl Site {
    /// The name of something in the registry that nobody kills.
    fn remote(&self, name: &str) -> String {
        format!("{}/{name}", fs::read_to_string(self.root.join("address")).unwrap())
    }
}

/// Every layer is large enough to come in parts, and for its beginning to be kept.
fn with_registries<T>(ask: impl FnOnce(&Registries, &Runtime) -> Result<T, Error>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let parts = Parts { layer_bytes_min: 1, bytes: 100 };
    ask(&Registries::new(Settings { parts, ..Settings::default() }), &runtime).unwrap();
    runtime.shutdown_background();
}

fn pull_as(site: &Site, name: &str) {
    let reference = Reference::parse(&site.remote(name)).unwrap();
    let request = PullRequest { reference, platform: None, credentials: Credentials::default() };
    with_registries(|registries, runtime| site.images.pull(registries, runtime.handle(), &request, &Deaf));
}

fn pull(site: &Site) {
    pull_as(site, "app:1");
}

fn push_as(site: &Site, name: &str) {
    let reference = Reference::parse(&site.remote(name)).unwrap();
    site.images.tag("app:1", &site.remote(name)).unwrap();
    let request = PushRequest { reference, credentials: Credentials::default(), compression: None };
    with_registries(|registries, runtime| site.images.push(registries, runtime.handle(), &request, &Deaf));
}

fn push(site: &Site) {
    push_as(site, "pushed:1");
}

/// Tells the parent test that something was answered.
fn acknowledge(what: &str) {
    rustix::io::write(std::io::stdout(), format!("\nacknowledged {what}\n").as_bytes()).unwrap();
}

fn repository(name: &str) -> Repository {
    name.parse().unwrap()
}

fn first() -> Vec<u8> {
    content(5000)
}

fn manifest() -> String {
    let digest = digest_of(&first());
    let part = format!(r#"{{"mediaType":"x","digest":"{digest}","size":5000}}"#);
    format!(r#"{{"schemaVersion":2,"config":{part},"layers":[]}}"#)
}

/// What a client does that pushes: a blob in two pieces, the same for another repository, a manifest with a tag.
fn receive(site: &Site) {
    let registry = &site.registry;
    let (name, bytes) = (repository("a"), first());
    let digest = ContentDigest::from(digest_of(&bytes));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let id = registry.begin_upload(&name, Algorithm::Sha256).unwrap();
    let mut upload = runtime.block_on(registry.upload(&name, &id)).unwrap();
    for piece in bytes.chunks(3000) {
        upload.write(&[Bytes::copy_from_slice(piece)]).unwrap();
        upload.sync().unwrap();
    }
    registry.end_upload(&mut upload, digest).unwrap();
    acknowledge("first");
    let source = Source { from: Some(&name), readable: &|_| true, images: false };
    assert!(registry.mount(&repository("b"), digest, &source).unwrap());
    acknowledge("mounted");
    let target = Target::Tag("v1".parse().unwrap());
    registry.put_manifest(&name, &target, &[], OCI_MANIFEST, manifest().as_bytes()).unwrap();
    acknowledge("manifest");
}

/// Whether the registry has something by the word that it is acknowledged with.
fn has(site: &Site, what: &str) -> bool {
    let digest = ContentDigest::from(digest_of(&first()));
    match what {
        "first" => site.registry.blob(&repository("a"), digest).is_ok(),
        "mounted" => site.registry.blob(&repository("b"), digest).is_ok(),
        "manifest" => {
            let target = Target::Tag("v1".parse().unwrap());
            let found = site.registry.manifest(&repository("a"), &target);
            found.is_ok_and(|(_, bytes)| bytes == manifest().as_bytes())
        }
        other => panic!("nothing is called {other}"),
    }
}

fn acknowledged_is_there(site: &Site, said: &[String], about: &str) {
    for what in said {
        assert!(has(site, what), "{about}: {what} was acknowledged and is lost");
    }
}

/// Takes everything away: the manifest, the blob from one repository; from the other it is collected.
fn delete(site: &Site) {
    let digest = ContentDigest::from(digest_of(&first()));
    let whole = Target::Digest(ContentDigest::from(digest_of(manifest().as_bytes())));
    // Where it was killed behind that, it is gone already.
    if site.registry.delete_manifest(&repository("a"), &whole).is_ok() {
        acknowledge("manifest");
    }
    if site.registry.delete_blob(&repository("a"), digest).is_ok() {
        acknowledge("first");
    }
    site.registry.collect().unwrap();
}
