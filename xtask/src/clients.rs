//! `cargo xtask suite clients`: other people's clients and Debian's docker-registry, against `bocage registry`.
//!
//! ```text
//!  test image -> skopeo: as it is, as OCI with gzip, with zstd, an index of two platforms -> ours
//!  ours -> docker-registry -> ours again (skopeo, all platforms)          digests equal at each hop
//!  podman, buildah, docker: pull from ours, push back under another name  configurations equal
//! ```
//!
//! Each client keeps its images and its passwords in a scratch folder, which is gone at the end. A client that is not installed is
//! named, and nothing is said of it. docker needs a daemon: ours, by its socket.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::scratch::{Daemon, until};
use crate::suite::Registry;
use crate::{images, product, say, shell};

/// How long a registry may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// skopeo would pack layers anew by its own lights.
const AS_IT_IS: [&str; 1] = ["--preserve-digests"];
/// What the clients read instead of the machine's own configuration.
const CONFIGURATION: &str = "unqualified-search-registries = []\n";

/// Debian's registry, on the scratch folder.
struct Theirs {
    child: Child,
    address: String,
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one line of the table says.
struct Row {
    what: String,
    how: Result<String>,
}

/// Everything that the lines share.
struct Bench {
    folder: PathBuf,
    ours: Registry,
    theirs: Option<Theirs>,
    binary: PathBuf,
    rows: Vec<Row>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        crate::scratch::unmount_below(&self.folder);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs all and prints the table.
pub(crate) fn run() -> Result<()> {
    product::build()?;
    images::ensure()?;
    shell::as_root(&["suite", "clients"], as_root)
}

/// The half that needs root: the clients unpack images.
pub(crate) fn as_root() -> Result<()> {
    let binary = product::built()?;
    let folder = PathBuf::from(format!("/var/tmp/bocage-clients-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    fs::write(folder.join("registries.conf"), CONFIGURATION)?;
    fs::write(folder.join("auth.json"), "{}")?;
    fs::write(folder.join("policy.json"), r#"{"default":[{"type":"insecureAcceptAnything"}]}"#)?;
    let ours = Registry::start(&binary)?;
    let mut bench = Bench { folder, ours, theirs: None, binary, rows: Vec::new() };
    bench.theirs = bench.start_theirs()?;
    bench.all()?;
    let mut failed = 0;
    for Row { what, how } in &bench.rows {
        match how {
            Ok(said) => say::line(&format!("  ok      {what:<58} {said}")),
            Err(error) => {
                failed += 1;
                say::line(&format!("  FAILED  {what:<58} {error:#}"));
            }
        }
    }
    say::line(&format!("{} lines, {failed} failed", bench.rows.len()));
    if failed > 0 {
        bail!("{failed} lines failed");
    }
    Ok(())
}

/// A manifest's digest, as sha256sum(1) would say it.
fn digest(manifest: &str) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(manifest.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Bench {
    fn start_theirs(&self) -> Result<Option<Theirs>> {
        if !shell::found("docker-registry") {
            say::step("docker-registry is not installed: nothing is copied to it");
            return Ok(None);
        }
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let data = self.folder.join("theirs");
        let text = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            data.display()
        );
        let configuration = self.folder.join("theirs.yml");
        fs::write(&configuration, text)?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().context("docker-registry cannot be started")?;
        let theirs = Theirs { child, address };
        until(START_TIMEOUT, || Ok(TcpStream::connect(&theirs.address).map(drop)?))?;
        Ok(Some(theirs))
    }

    /// A client's command, whose images and passwords stay in the scratch folder.
    fn client(&self, program: &str, words: &[&str]) -> Command {
        let path = |name: &str| self.folder.join(name);
        let root = path("storage").display().to_string();
        let runroot = path("run").display().to_string();
        let storage = ["--root", &root, "--runroot", &runroot, "--storage-driver", "vfs"];
        let own: &[&str] = if matches!(program, "podman" | "buildah") { &storage } else { &[] };
        let mut command = shell::command(program, &[own, words].concat());
        command.env("REGISTRY_AUTH_FILE", path("auth.json")).env("DOCKER_CONFIG", path("docker"));
        command.env("CONTAINERS_REGISTRIES_CONF", path("registries.conf")).env("HOME", &self.folder);
        command.env("XDG_RUNTIME_DIR", path("run")).env("TMPDIR", &self.folder);
        command
    }

    fn skopeo(&self, words: &[&str]) -> Result<String> {
        let policy = self.folder.join("policy.json").display().to_string();
        shell::output(&mut self.client("skopeo", &[&["--policy", &policy], words].concat()))
    }

    fn copy(&self, from: &str, to: &str, more: &[&str]) -> Result<()> {
        let words =
            [&["copy", "--src-tls-verify=false", "--dest-tls-verify=false"], more, &[from, to]].concat();
        self.skopeo(&words).map(drop)
    }

    fn our(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.ours.address())
    }

    /// The manifest or index of a name, byte for byte.
    fn raw(&self, name: &str) -> Result<String> {
        self.skopeo(&["inspect", "--raw", "--tls-verify=false", name])
    }

    fn row(&mut self, what: &str, how: impl FnOnce(&Bench) -> Result<String>) {
        say::step(what);
        let how = how(self);
        self.rows.push(Row { what: what.to_owned(), how });
    }

    fn all(&mut self) -> Result<()> {
        let image = images::path("busybox");
        let archive = format!("docker-archive:{}", image.display());
        if shell::found("skopeo") {
            self.skopeo_rows(&archive)?;
        } else {
            say::step("skopeo is not installed: its lines are missing");
        }
        for program in ["podman", "buildah"] {
            if shell::found(program) {
                self.row(&format!("{program}: pulls from ours and pushes back"), |bench| {
                    bench.there_and_back(program, &image)
                });
            } else {
                say::step(&format!("{program} is not installed: its line is missing"));
            }
        }
        if shell::found("docker") {
            self.row("docker: pushes to ours and pulls again", |bench| bench.by_docker(&image));
        } else {
            say::step("docker is not installed: its line is missing");
        }
        Ok(())
    }

    fn skopeo_rows(&mut self, archive: &str) -> Result<()> {
        let kinds: [(&str, &[&str]); 3] = [
            ("docker", &["--format", "v2s2"]),
            ("oci", &["--format", "oci"]),
            ("zstd", &["--format", "oci", "--dest-compress-format", "zstd"]),
        ];
        for (kind, words) in kinds {
            // From the directory on, each copy is byte for byte.
            let layout = format!("dir:{}", self.folder.join(kind).display());
            self.copy(archive, &layout, &[&["--dest-compress"], words].concat())?;
            let name = format!("skopeo/{kind}:1");
            self.row(&format!("skopeo: {kind} to ours and back"), |bench| {
                bench.copy(&layout, &bench.our(&name), &AS_IT_IS)?;
                let back = bench.folder.join(format!("{kind}-back"));
                bench.copy(&bench.our(&name), &format!("dir:{}", back.display()), &AS_IT_IS)?;
                let sent = fs::read_to_string(bench.folder.join(kind).join("manifest.json"))?;
                same(&digest(&sent), &digest(&fs::read_to_string(back.join("manifest.json"))?))
            });
            self.both_ways(&name, &format!("skopeo: {kind}"), &AS_IT_IS);
        }
        self.row("skopeo: an index of two platforms to ours", Bench::push_index);
        self.both_ways("skopeo/index:1", "skopeo: an index of two platforms", &["--all", AS_IT_IS[0]]);
        Ok(())
    }

    /// From ours to theirs, and from there to ours again.
    fn both_ways(&mut self, name: &str, what: &str, words: &[&str]) {
        let Some(theirs) = self.theirs.as_ref().map(|theirs| format!("docker://{}/{name}", theirs.address))
        else {
            return;
        };
        self.row(&format!("{what} from ours to docker-registry"), |bench| {
            bench.copy(&bench.our(name), &theirs, words)?;
            same(&digest(&bench.raw(&bench.our(name))?), &digest(&bench.raw(&theirs)?))
        });
        self.row(&format!("{what} from docker-registry to ours"), |bench| {
            let again = bench.our(&format!("again/{name}"));
            bench.copy(&theirs, &again, words)?;
            same(&digest(&bench.raw(&theirs)?), &digest(&bench.raw(&again)?))
        });
    }

    /// Puts an index together of what is there: `skopeo` cannot, so it is sent as any client sends one.
    fn push_index(&self) -> Result<String> {
        let mut manifests = Vec::new();
        for (kind, architecture) in [("oci", "amd64"), ("zstd", "arm64")] {
            let name = format!("skopeo/{kind}:1");
            let manifest = self.raw(&self.our(&name))?;
            self.copy(&self.our(&name), &self.our(&format!("skopeo/index:{architecture}")), &AS_IT_IS)?;
            manifests.push(serde_json::json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": manifest.len(),
                "digest": format!("sha256:{}", digest(&manifest)),
                "platform": {"os": "linux", "architecture": architecture},
            }));
        }
        let kind = "application/vnd.oci.image.index.v1+json";
        let index =
            serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}).to_string();
        let url = format!("http://{}/v2/skopeo/index/manifests/1", self.ours.address());
        let header = format!("content-type: {kind}");
        let words =
            ["--silent", "--fail", "--request", "PUT", "--header", &header, "--data-binary", &index, &url];
        shell::quietly(&mut shell::command("curl", &words))?;
        same(&digest(&index), &digest(&self.raw(&self.our("skopeo/index:1"))?))
    }

    /// An image from an archive to ours by a client, away, from ours again, and to ours by another name.
    fn there_and_back(&self, program: &str, image: &Path) -> Result<String> {
        let run = |words: &[&str]| shell::output(&mut self.client(program, words));
        let (first, second) =
            (format!("{}/{program}:1", self.ours.address()), format!("{}/{program}:2", self.ours.address()));
        let archive = format!("docker-archive:{}", image.display());
        let policy = self.folder.join("policy.json").display().to_string();
        let source = ["--tls-verify=false", "--signature-policy", &policy];
        let only = || -> Result<String> {
            let ids = run(&["images", "--quiet", "--no-trunc"])?;
            Ok(ids.lines().next().unwrap_or_default().to_owned())
        };
        run(&[&["pull", "--quiet"], &source[1..], &[&archive]].concat())?;
        run(&["tag", &only()?, &first])?;
        run(&[&["push", "--quiet"], &source[..], &[&first]].concat())?;
        run(&["rmi", "--all", "--force"])?;
        run(&[&["pull", "--quiet"], &source[..], &[&first]].concat())?;
        let pulled = only()?;
        // What came from Docker's kind of archive may have become OCI's on its way out; from there on it stays.
        same(&self.configuration(&first)?, &pulled)?;
        run(&["tag", &pulled, &second])?;
        run(&[&["push", "--quiet"], &source[..], &[&second]].concat())?;
        run(&["rmi", "--all", "--force"])?;
        same(&pulled, &self.configuration(&second)?)
    }

    /// The digest of the configuration of what is in a registry.
    fn configuration(&self, name: &str) -> Result<String> {
        let (host, rest) = name.split_once('/').context("a name has a registry")?;
        let (path, tag) = rest.rsplit_once(':').context("a name has a tag")?;
        let url = format!("http://{host}/v2/{path}/manifests/{tag}");
        let said = shell::output(&mut shell::command("curl", &["--silent", "--fail", &url]))?;
        let manifest: Value = serde_json::from_str(&said).context("a manifest is JSON")?;
        Ok(manifest["config"]["digest"].as_str().unwrap_or_default().to_owned())
    }

    fn by_docker(&self, image: &Path) -> Result<String> {
        let daemon = Daemon::start(&self.binary, "clients")?;
        let host = format!("unix://{}", daemon.socket().display());
        let run =
            |words: &[&str]| shell::output(&mut self.client("docker", &[&["--host", &host], words].concat()));
        let name = format!("{}/docker:1", self.ours.address());
        run(&["load", "--input", &image.display().to_string()])?;
        run(&["tag", "busybox", &name])?;
        let id = run(&["inspect", "--format", "{{.Id}}", &name])?;
        run(&["push", &name])?;
        run(&["rmi", &name])?;
        run(&["pull", &name])?;
        let pulled = run(&["inspect", "--format", "{{.Id}}", &name])?;
        let said = same(id.trim(), pulled.trim());
        daemon.stop()?;
        said
    }
}

/// Both digests, if they are one.
fn same(one: &str, other: &str) -> Result<String> {
    let short = |digest: &str| digest.trim_start_matches("sha256:").chars().take(12).collect::<String>();
    if one.is_empty() || one != other {
        bail!("{one} became {other}");
    }
    Ok(short(one))
}
