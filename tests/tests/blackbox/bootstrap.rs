//! `bocage image bootstrap`: an archive of packages that the test makes up becomes an image, whose packages install themselves in a
//! container; what is not to be believed does not, and nothing is left of any of it.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use blackbox::archive::{Files, Made, Mirror, Says, Signer, files};
use blackbox::{Cli, Client, Node, image_path, ready, until};
use rustix::process::Signal;

/// As much of dpkg as small packages need: the last word of its options says little, as all is done at once.
const DPKG: &str = r#"#!/bin/sh
set -eu
packages=
for word; do
    case $word in
        --audit) exit 0 ;;
        --*) ;;
        *) packages="$packages $word" ;;
    esac
done
for file in $packages; do
    name=${file%.deb}
    info=/var/lib/dpkg/info/$name
    mkdir -p $info
    ar -p $file control.tar | tar -x -C $info -f -
    ar -p $file data.tar | tar -x -C / -f -
    echo "Setting up $name ..."
    if [ -e $info/postinst ]; then $info/postinst configure; fi
    echo "Package: $name" >> /var/lib/dpkg/status
done
"#;

/// What the shell and the programs are.
const APPLETS: [&str; 12] =
    ["sh", "ar", "cat", "chmod", "ln", "mkdir", "readlink", "rm", "sleep", "tar", "touch", "date"];

/// The one static program of the busybox image.
fn busybox() -> Vec<u8> {
    let mut outer = tar::Archive::new(fs::File::open(image_path("busybox")).unwrap());
    let mut entries = outer.entries().unwrap().map(Result::unwrap);
    let layer = entries.find(|entry| entry.path().unwrap().extension() == Some("tar".as_ref())).unwrap();
    let mut inner = tar::Archive::new(layer);
    let mut files = inner.entries().unwrap().map(Result::unwrap);
    let is_busybox = |path: &Path| path.ends_with("bin/busybox");
    let mut file =
        files.find(|file| file.header().entry_type().is_file() && is_busybox(&file.path().unwrap())).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A system of one package, and another that is asked for by its name, whose script runs when it is installed.
fn packages(script: &str) -> Vec<Made> {
    let (busybox, links) = (busybox(), APPLETS.map(|name| format!("./bin/{name}")));
    let mut system: Vec<(&str, u32, &[u8])> = vec![
        ("./bin/", 0o755, b""),
        ("./bin/busybox", 0o755, &busybox),
        ("./usr/bin/dpkg", 0o755, DPKG.as_bytes()),
    ];
    system.extend(links.iter().map(|link| (link.as_str(), 0, b"busybox".as_slice())));
    let passwd = [("./etc/passwd", 0o644, b"root:x:0:0::/root:/bin/sh\n".as_slice())];
    vec![
        Made::new("dpkg", "Essential: yes\nPre-Depends: base-files", None, &system),
        Made::new("base-files", "", None, &passwd),
        Made::new("app", "Depends: lib", Some(script), &[("./usr/share/app", 0o644, b"app\n")]),
        Made::new("lib", "", None, &[("./lib/lib", 0o644, b"lib\n")]),
    ]
}

/// A daemon, a mirror, and the key with which its archive is signed.
struct Stage {
    node: Node,
    mirror: Mirror,
    keyring: String,
}

impl Stage {
    fn of(script: &str, spoil: impl FnOnce(&mut Files)) -> Option<Stage> {
        if !ready(Client::Bocage, &["busybox"]) {
            return None;
        }
        let signer = Signer::new(9, 4);
        let mut files = files(&packages(script), &Says::default(), Some(&signer));
        spoil(&mut files);
        let node = Node::start(&[]);
        let keyring = node.home().join("keyring.gpg");
        fs::write(&keyring, signer.keyring()).unwrap();
        let keyring = keyring.to_string_lossy().into_owned();
        Some(Stage { node, mirror: Mirror::start(files), keyring })
    }

    fn cli(&self) -> Cli {
        self.node.cli(Client::Bocage)
    }

    fn words<'w>(&'w self, mirror: &'w str) -> Vec<&'w str> {
        let given = ["image", "bootstrap", "debian:bookworm", "--mirror", mirror, "--keyring", &self.keyring];
        [given.as_slice(), &["--package", "app"]].concat()
    }

    /// Nothing is left but images with a name that was asked for.
    fn ends(self) {
        let cli = self.cli();
        assert_eq!(cli.ok(&["ps", "-a", "-q"]), "");
        assert!(!cli.ok(&["images", "-a"]).contains("bocage-bootstrap"));
        self.node.stop();
    }
}

#[test]
fn an_archive_becomes_an_image_and_the_same_one_again() {
    let escaped = format!("/var/tmp/bocage-escaped-{}", std::process::id());
    let script = format!(
        "#!/bin/sh\nset -e\necho \"$1 as $(cat /proc/1/comm)\" > /etc/app\ndate > /etc/when\nrm /etc/when\n\
         mkdir -p /var/log /var/tmp\necho x > /var/log/app.log\ntouch {escaped}\n"
    );
    let Some(stage) = Stage::of(&script, |_| {}) else { return };
    let (cli, url) = (stage.cli(), stage.mirror.url());
    let first = cli.run(&stage.words(&url));
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.err.contains("signed by: A test <test@example>"), "{first:?}");
    let id = first.out.trim().to_owned();
    assert_eq!(cli.inspect("debian:bookworm", "{{.Id}} {{.Created}}"), format!("{id} 2026-01-01T00:00:00Z"));
    // The script ran, in a container, and its traces of the moment are gone.
    let look = "cat /etc/app /usr/share/app /lib/lib; readlink /bin; ls /var/log /var/tmp /bocage-bootstrap 2>&1; date -r /etc/app +%Y";
    let seen = cli.ok(&[
        "run",
        "--rm",
        "debian:bookworm",
        "busybox",
        "sh",
        "-c",
        &format!("ls() {{ busybox ls \"$@\"; }}; {look}"),
    ]);
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[..4], ["configure as sh", "app", "lib", "usr/bin"], "{seen}");
    assert!(!seen.contains("app.log") && !seen.contains("escaped"), "{seen}");
    assert!(seen.contains("No such file") && seen.ends_with("2026"), "{seen}");
    assert!(!Path::new(&escaped).exists(), "a package's script wrote to the host");
    // Once more from nothing, into a cache, and out of the cache: the same image.
    cli.ok(&["rmi", "debian:bookworm"]);
    let cache = stage.node.home().join("cache").to_string_lossy().into_owned();
    for _ in 0..2 {
        let again = cli.ok(&[stage.words(&url).as_slice(), &["--cache", &cache, "--quiet"]].concat());
        assert_eq!(again, id);
    }
    assert_eq!(stage.mirror.asked("app_1_all.deb"), 2);
    stage.ends();
}

#[test]
fn what_is_not_to_be_believed_makes_no_image() {
    let changed = |files: &mut Files| {
        let text = String::from_utf8(files["dists/bookworm/InRelease"].clone()).unwrap();
        let text = text.replace("Components: main", "Components: mine");
        files.insert("dists/bookworm/InRelease".to_owned(), text.into_bytes());
    };
    let Some(stage) = Stage::of("#!/bin/sh\n", changed) else { return };
    let (cli, url) = (stage.cli(), stage.mirror.url());
    let said = cli.fails(1, &stage.words(&url));
    assert!(said.contains("is not to be believed") && said.contains("the text was changed"), "{said}");
    assert_eq!(stage.mirror.asked(".deb"), 0);
    let said =
        cli.fails(1, &["image", "bootstrap", "debian:bookworm", "--mirror", &url, "--keyring", "/nowhere"]);
    assert!(said.contains("open the keyring /nowhere: No such file"), "{said}");
    // Only who asks for it gets it, and is warned.
    let given = cli.run(&[
        "image",
        "bootstrap",
        "debian:bookworm",
        "--mirror",
        &url,
        "--allow-unsigned",
        "--tag",
        "mine:1",
    ]);
    assert!(given.code == 0 && given.err.contains("WARNING! No signature is looked at"), "{given:?}");
    assert_eq!(cli.ok(&["images", "-q"]).lines().count(), 1);
    stage.ends();
}

#[test]
fn a_package_that_does_not_install_is_told_with_its_words() {
    let Some(stage) = Stage::of("#!/bin/sh\necho no such luck >&2\nexit 7\n", |_| {}) else { return };
    let said = stage.cli().fails(1, &stage.words(&stage.mirror.url()));
    assert!(said.contains("exit code 7") && said.contains("no such luck"), "{said}");
    let said = stage.cli().fails(
        1,
        &[
            "image",
            "bootstrap",
            "debian:bookwurm",
            "--mirror",
            &stage.mirror.url(),
            "--keyring",
            &stage.keyring,
        ],
    );
    assert!(said.contains("has no suite \"bookwurm\"") && said.contains("hint: it has bookworm"), "{said}");
    let said = stage
        .cli()
        .fails(1, &[stage.words(&stage.mirror.url()).as_slice(), &["--package", "ap,lbi"]].concat());
    assert!(said.contains("there is no package \"ap\"") && said.contains("did you mean app?"), "{said}");
    assert_eq!(stage.cli().ok(&["images", "-a", "-q"]), "");
    stage.ends();
}

#[test]
fn nothing_is_left_of_one_that_is_interrupted() {
    let Some(stage) = Stage::of("#!/bin/sh\nsleep 1000\n", |_| {}) else { return };
    let cli = stage.cli();
    // One that is killed leaves all of it, for the next one to remove; that one is left alone while it works.
    let temporary = stage.node.home().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let cli = cli.with("TMPDIR", &temporary.to_string_lossy());
    let folders = || fs::read_dir(&temporary).unwrap().count();
    let url = stage.mirror.url();
    let making = cli.spawn(&stage.words(&url));
    until("the second stage runs", || (!cli.ok(&["ps", "-q"]).is_empty()).then_some(()));
    making.signal(Signal::KILL);
    let _ = making.finish();
    assert_eq!(
        (cli.ok(&["ps", "-a", "-q"]).lines().count(), cli.ok(&["images", "-q"]).lines().count(), folders()),
        (1, 1, 1)
    );
    let left = cli.ok(&["ps", "-a", "-q"]);
    let making = cli.spawn(&stage.words(&url));
    until("what was left is gone and the next one runs", || {
        let there = cli.ok(&["ps", "-q"]);
        (!there.is_empty() && !there.contains(&left)).then_some(())
    });
    let said = cli.run(&["image", "bootstrap", "debian:bookworm", "--mirror", &url, "--keyring", "/nowhere"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!((cli.ok(&["ps", "-q"]).lines().count(), folders()), (1, 1), "it was left alone");
    making.signal(Signal::INT);
    let said = making.finish();
    assert!(said.err.contains("removed what was left of an earlier one: 3"), "{said:?}");
    assert_eq!((cli.ok(&["images", "-a", "-q"]), folders()), (String::new(), 0));
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let making = cli.spawn(&stage.words(&stage.mirror.url()));
        until("the second stage runs", || (!cli.ok(&["ps", "-q"]).is_empty()).then_some(()));
        making.signal(signal);
        let said = making.finish();
        assert_eq!(said.code, code, "{said:?}");
        assert_eq!(cli.ok(&["images", "-a", "-q"]), "");
    }
    stage.ends();
}
