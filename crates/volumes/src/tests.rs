//! Volumes on a disk of their own, with a daemon that dies at every step.

use super::*;
use std::fs;

struct Node {
    folder: tempfile::TempDir,
}

impl Node {
    fn new() -> Node {
        let node = Node { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(node.root()).unwrap();
        node
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("volumes")
    }

    fn open(&self) -> Volumes {
        let store = Store::open(&self.folder.path().join("table")).unwrap();
        Volumes::open(&self.root(), Arc::new(store), Clock::system()).unwrap()
    }

    fn directories(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn names(volumes: &Volumes) -> Vec<String> {
    volumes.list().into_iter().map(|volume| volume.intent.name).collect()
}

fn container(number: u8) -> ContainerId {
    ContainerId::from_bytes([number; 32])
}

fn with_options() -> VolumeSpec {
    let options = [("type", "tmpfs"), ("device", "tmpfs")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    VolumeSpec { options, ..VolumeSpec::default() }
}

#[test]
fn a_volume_is_made_once_and_found_by_the_next_daemon() {
    let node = Node::new();
    let volumes = node.open();
    let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
    let (made, is_new) =
        volumes.create(Some("data"), VolumeSpec { labels, ..VolumeSpec::default() }).unwrap();
    assert!(is_new && made.path.is_dir());
    let (same, is_new) = volumes.create(Some("data"), VolumeSpec::default()).unwrap();
    assert!(!is_new && same == made);
    let error = volumes.create(Some("data"), with_options()).unwrap_err();
    assert!(error.to_string().starts_with("create data: volume name must be unique"), "{error}");
    fs::write(made.path.join("file"), "words").unwrap();
    drop(volumes);
    let found = node.open().get("data").unwrap();
    assert_eq!(found, made);
    assert_eq!(fs::read_to_string(found.path.join("file")).unwrap(), "words");
}

#[test]
fn a_volume_without_a_name_gets_one_of_64_digits() {
    let volumes = Node::new();
    let (made, _) = volumes.open().create(None, VolumeSpec::default()).unwrap();
    assert!(made.intent.name.len() == 64 && made.intent.spec.anonymous);
}

#[test]
fn what_somebody_has_is_neither_removed_nor_renamed() {
    let node = Node::new();
    let volumes = node.open();
    volumes.create(Some("data"), VolumeSpec::default()).unwrap();
    volumes.adopt(container(1), &["data"], false);
    let told = |error: Error| error.to_string();
    let expected = format!("volume is in use - [{}]", container(1));
    assert_eq!(told(volumes.remove("data").unwrap_err()), format!("remove data: {expected}"));
    assert_eq!(told(volumes.rename("data", "other").unwrap_err()), format!("rename data: {expected}"));
    volumes.release(container(1));
    let visit = volumes.visit("data").unwrap();
    assert!(told(volumes.remove("data").unwrap_err()).contains("is being copied"));
    drop(visit);
    volumes.remove("data").unwrap();
    assert_eq!(told(volumes.remove("data").unwrap_err()), "get data: no such volume");
    assert_eq!(node.directories(), [""; 0]);
}

#[test]
fn a_volume_is_renamed_with_its_files() {
    let node = Node::new();
    let volumes = node.open();
    let (made, _) = volumes.create(Some("old"), VolumeSpec::default()).unwrap();
    fs::write(made.path.join("file"), "words").unwrap();
    volumes.create(Some("there"), VolumeSpec::default()).unwrap();
    assert!(volumes.rename("old", "there").is_err() && volumes.rename("old", "a/b").is_err());
    volumes.rename("old", "new").unwrap();
    assert_eq!(names(&volumes), ["new", "there"]);
    drop(volumes);
    let found = node.open().get("new").unwrap();
    assert_eq!(fs::read_to_string(found.path.join("file")).unwrap(), "words");
    assert_eq!(found.path, node.root().join("new/_data"));
}

#[test]
fn a_copy_is_whole_and_its_source_stays() {
    let node = Node::new();
    let volumes = node.open();
    let (made, _) = volumes.create(Some("one"), VolumeSpec::default()).unwrap();
    fs::write(made.path.join("file"), "words").unwrap();
    let mut told = false;
    let (copy, figures) = volumes.copy("one", "two", VolumeSpec::default(), || told = true).unwrap();
    assert!(told && figures.bytes == 5);
    fs::write(made.path.join("file"), "other").unwrap();
    assert_eq!(fs::read_to_string(copy.path.join("file")).unwrap(), "words");
    assert!(volumes.copy("one", "two", VolumeSpec::default(), || ()).is_err());
    assert!(volumes.copy("none", "three", VolumeSpec::default(), || ()).is_err());
    assert_eq!(node.directories(), ["one", "two"]);
}

#[test]
fn what_is_given_up_leaves_nothing() {
    let node = Node::new();
    let volumes = node.open();
    let building = volumes.build_new("data", VolumeSpec::default()).unwrap();
    fs::write(building.data("data").join("half"), "").unwrap();
    drop(building);
    assert_eq!((names(&volumes).len(), node.directories().len()), (0, 0));
    volumes.create(Some("data"), VolumeSpec::default()).unwrap();
    drop(volumes.retire(container(1), &["data"]).unwrap());
    assert!(volumes.get("data").unwrap().path.is_dir());
}

#[test]
fn volumes_of_a_container_go_unless_another_has_them() {
    let node = Node::new();
    let volumes = node.open();
    let (own, common) = (made_up(), made_up());
    let spec = VolumeSpec { anonymous: true, ..VolumeSpec::default() };
    let mut building = volumes.build(&[(own.clone(), spec.clone()), (common.clone(), spec)]).unwrap();
    building.record().unwrap();
    building.finish(Some(container(1))).unwrap();
    volumes.adopt(container(2), &[&common], false);
    let mut retired = volumes.retire(container(1), &[&own, &common]).unwrap();
    assert_eq!(retired.names(), [own]);
    retired.record().unwrap();
    retired.finish().unwrap();
    volumes.release(container(1));
    assert_eq!(names(&volumes), [common]);
}

#[test]
fn a_daemon_that_dies_while_it_makes_a_volume_leaves_all_of_it_or_nothing() {
    let node = Node::new();
    let volumes = node.open();
    // Before its row is written.
    let building = volumes.build_new("before", VolumeSpec::default()).unwrap();
    std::mem::forget(building);
    // After its row is written, and before it is in its place.
    let mut building = volumes.build_new("after", VolumeSpec::default()).unwrap();
    fs::write(building.data("after").join("file"), "words").unwrap();
    building.record().unwrap();
    std::mem::forget(building);
    drop(volumes);
    let volumes = node.open();
    assert_eq!(names(&volumes), ["after"]);
    assert_eq!(fs::read_to_string(volumes.path("after").join("file")).unwrap(), "words");
    assert_eq!(node.directories(), ["after"]);
}

#[test]
fn a_daemon_that_dies_while_it_removes_a_volume_leaves_all_of_it_or_nothing() {
    for is_recorded in [false, true] {
        let node = Node::new();
        let volumes = node.open();
        let (made, _) = volumes.create(Some("data"), VolumeSpec::default()).unwrap();
        fs::write(made.path.join("file"), "words").unwrap();
        let mut retired = volumes.retire(container(1), &["data"]).unwrap();
        if is_recorded {
            retired.record().unwrap();
        }
        std::mem::forget(retired);
        drop(volumes);
        let volumes = node.open();
        if is_recorded {
            assert_eq!((names(&volumes).len(), node.directories().len()), (0, 0));
        } else {
            assert_eq!(fs::read_to_string(volumes.path("data").join("file")).unwrap(), "words");
        }
    }
}

#[test]
fn a_daemon_that_dies_while_it_renames_a_volume_ends_with_the_new_name() {
    for is_moved in [false, true] {
        let node = Node::new();
        let volumes = node.open();
        let (made, _) = volumes.create(Some("old"), VolumeSpec::default()).unwrap();
        fs::write(made.path.join("file"), "words").unwrap();
        let intent = VolumeIntent { name: "new".to_owned(), ..made.intent };
        let record = Record { intent, directory: "old".to_owned() };
        volumes
            .write("new", |tx| {
                tx.remove(&VOLUMES, &"old".to_owned());
                tx.put(&VOLUMES, &"new".to_owned(), &record)
            })
            .unwrap();
        if is_moved {
            fs::rename(node.root().join("old"), node.root().join("new")).unwrap();
        }
        drop(volumes);
        let volumes = node.open();
        assert_eq!(names(&volumes), ["new"]);
        assert_eq!(fs::read_to_string(volumes.path("new").join("file")).unwrap(), "words");
        assert_eq!(node.directories(), ["new"]);
    }
}

#[test]
fn a_directory_that_came_from_elsewhere_is_a_volume() {
    let node = Node::new();
    fs::create_dir_all(node.root().join("saved/_data")).unwrap();
    fs::create_dir_all(node.root().join("no volume")).unwrap();
    let volumes = node.open();
    assert_eq!(names(&volumes), ["saved"]);
    assert_eq!(node.directories(), ["no volume", "saved"]);
}

#[test]
fn two_who_make_the_same_volume_at_once_get_one() {
    let node = Node::new();
    let volumes = node.open();
    let made: Vec<bool> = std::thread::scope(|scope| {
        let one = || volumes.create(Some("data"), VolumeSpec::default()).unwrap().1;
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.iter().filter(|is_new| **is_new).count(), 1);
}

#[test]
fn a_file_system_is_mounted_for_the_first_and_unmounted_with_the_last() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: needs root");
        return;
    }
    let node = Node::new();
    let volumes = node.open();
    volumes.create(Some("memory"), with_options()).unwrap();
    let path = volumes.mount(container(1), "memory").unwrap();
    fs::write(path.join("file"), "words").unwrap();
    volumes.mount(container(2), "memory").unwrap();
    volumes.unmount(container(1));
    assert!(path.join("file").exists() && volumes.get("memory").unwrap().is_mounted);
    // A daemon that dies: the next one finds who still runs.
    drop(volumes);
    let volumes = node.open();
    volumes.adopt(container(2), &["memory"], true);
    volumes.settle();
    assert!(path.join("file").exists());
    volumes.unmount(container(2));
    assert!(!path.join("file").exists() && !mounting::is_mounted(&path));
    // And one that finds that nobody does.
    volumes.mount(container(3), "memory").unwrap();
    drop(volumes);
    let volumes = node.open();
    volumes.settle();
    assert!(!mounting::is_mounted(&path));
    volumes.remove("memory").unwrap();
}

#[test]
fn a_file_system_that_the_kernel_has_not_is_named() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: needs root");
        return;
    }
    let node = Node::new();
    let volumes = node.open();
    let options = [("type", "nosuchfs"), ("device", "x")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    volumes.create(Some("odd"), VolumeSpec { options, ..VolumeSpec::default() }).unwrap();
    let told = volumes.mount(container(1), "odd").unwrap_err().to_string();
    assert!(told.contains("no file system \"nosuchfs\""), "{told}");
    assert!(!volumes.get("odd").unwrap().is_mounted);
}

/// A small file system in memory over a directory, gone with the value.
struct Small(PathBuf);

impl Small {
    fn over(path: PathBuf) -> Small {
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("none", &path, "tmpfs", flags, Some(c"size=1m")).unwrap();
        Small(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_disk_that_gets_full_leaves_no_half_volume() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: needs root");
        return;
    }
    let node = Node::new();
    let layer = node.folder.path().join("layer");
    fs::create_dir_all(layer.join("data")).unwrap();
    fs::write(layer.join("data/large"), vec![1; 3 << 20]).unwrap();
    let _small = Small::over(node.root());
    let volumes = node.open();
    volumes.create(Some("there"), VolumeSpec::default()).unwrap();
    let fill = |name: &str| {
        let building = volumes.build(&[(name.to_owned(), VolumeSpec::default())]).unwrap();
        let layers = std::slice::from_ref(&layer);
        building.fill(name, Filling { layers, path: Path::new("/data") }).unwrap_err()
    };
    for name in ["new", "there"] {
        let told = base::Chain(&fill(name)).to_string();
        assert!(told.starts_with(&format!("fill volume {name}")) && told.contains("No space left"), "{told}");
    }
    assert_eq!(names(&volumes), ["there"]);
    assert_eq!(node.directories(), ["there"]);
    assert_eq!(fs::read_dir(node.root().join("there")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(volumes.path("there")).unwrap().count(), 0);
    let copied = volumes.copy("there", "copy", VolumeSpec::default(), || ());
    assert!(copied.is_ok(), "there is room again");
}

#[test]
fn what_was_mounted_in_a_volume_outlives_a_daemon_that_dies_while_it_fills_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIP: needs root");
        return;
    }
    let node = Node::new();
    let theirs = node.folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("file"), "words").unwrap();
    let device = theirs.display().to_string();
    let options = [("type", "none"), ("o", "bind"), ("device", &device)];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let spec = VolumeSpec { options, ..VolumeSpec::default() };
    let volumes = node.open();
    let building = volumes.build_new("bound", spec.clone()).unwrap();
    Wanted::read(&spec.options).unwrap().mount(&building.data("bound")).unwrap();
    std::mem::forget(building);
    drop(volumes);
    let volumes = node.open();
    assert_eq!((names(&volumes).len(), node.directories().len()), (0, 0));
    assert_eq!(fs::read_to_string(theirs.join("file")).unwrap(), "words");
}
