//! File trees that become layers: static busybox, the Debian root, and what stands on it.
//!
//! Invariant: a root that is only half made is never taken for a finished one: it is made under another name and renamed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Mirror, Recipe, write_file};
use crate::shell;

/// What the Debian root has beyond the smallest: `ps` and `top`, `ip` and `ss`.
const BASE_PACKAGES: &str = "procps,iproute2";

/// Keeps packages from starting their services while they are installed in a root.
const NO_SERVICES: &str = "#!/bin/sh\nexit 101\n";

/// Makes the tree of the busybox image.
pub(super) fn busybox(root: &Path) -> Result<()> {
    remove(root)?;
    for (folder, mode) in [("bin", 0o755), ("etc", 0o755), ("usr", 0o755), ("root", 0o700), ("tmp", 0o1777)] {
        let path = root.join(folder);
        fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    for (link, place) in [("sbin", "bin"), ("usr/bin", "../bin"), ("usr/sbin", "../bin")] {
        symlink(place, root.join(link)).with_context(|| format!("the link {link} cannot be made"))?;
    }
    let program = static_busybox(root)?;
    let inside = root.join("bin/busybox");
    fs::copy(&program, &inside).with_context(|| format!("{} cannot be copied", program.display()))?;
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o755))?;
    let applets = shell::output(&mut shell::command(&inside.to_string_lossy(), &["--list"]))?;
    for applet in applets.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet))
            .with_context(|| format!("the applet {applet} has no link"))?;
    }
    let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    write_file(&root.join("etc/passwd"), 0o644, users.as_bytes())?;
    write_file(&root.join("etc/group"), 0o644, b"root:x:0:\nnogroup:x:65534:\n")
}

/// The machine's own static busybox, or the one inside Debian's package, which is not installed for that.
fn static_busybox(root: &Path) -> Result<PathBuf> {
    if shell::quietly(&mut shell::command("dpkg-query", &["--status", "busybox-static"])).is_ok() {
        return shell::path_of("busybox").context("busybox-static is installed and has no program");
    }
    let fetched = root.with_extension("package");
    let tree = fetched.join("tree");
    download(&fetched, &["busybox-static"])?;
    unpack(&fetched, &tree)?;
    ["bin/busybox", "usr/bin/busybox"]
        .iter()
        .map(|name| tree.join(name))
        .find(|path| path.is_file())
        .context("the package busybox-static holds no busybox")
}

/// Fetches Debian packages into a folder, without what they need.
fn download(fetched: &Path, packages: &[&str]) -> Result<()> {
    remove(fetched)?;
    fs::create_dir_all(fetched).with_context(|| format!("{} cannot be made", fetched.display()))?;
    // apt fetches as a user of its own, who must be able to write here.
    fs::set_permissions(fetched, fs::Permissions::from_mode(0o777))?;
    let words: Vec<&str> = ["download"].iter().chain(packages).copied().collect();
    shell::quietly(shell::command("apt-get", &words).current_dir(fetched))
}

/// Unpacks all packages of a folder into a tree.
fn unpack(fetched: &Path, tree: &Path) -> Result<()> {
    let entries = fs::read_dir(fetched)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut packages: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect();
    packages.sort();
    if packages.is_empty() {
        bail!("apt-get downloaded no package");
    }
    packages.iter().try_for_each(|package| {
        let words = ["-x".as_ref(), package.as_os_str(), tree.as_os_str()];
        shell::quietly(&mut shell::command("dpkg-deb", &words))
    })
}

/// Makes a tree of packages that are unpacked and not installed.
pub(super) fn unpacked(root: &Path, packages: &str) -> Result<()> {
    let fetched = root.with_extension("packages");
    remove(root)?;
    download(&fetched, &packages.split(' ').collect::<Vec<_>>())?;
    unpack(&fetched, root)?;
    remove(&fetched)
}

/// The Debian root that all Debian images share, made once.
pub(super) fn debian(work: &Path) -> Result<PathBuf> {
    let root = work.join("base");
    if root.is_dir() {
        return Ok(root);
    }
    let mirror = Mirror::find()?;
    let half = work.join("base.half");
    remove(&half)?;
    debootstrap(&mirror, &half, BASE_PACKAGES)?;
    write_file(&half.join("usr/sbin/policy-rc.d"), 0o755, NO_SERVICES.as_bytes())?;
    fs::rename(&half, &root).context("the finished Debian root cannot be renamed")?;
    Ok(root)
}

/// Makes the smallest Debian root with some packages more, from the machine's mirror.
pub(crate) fn debootstrap(mirror: &Mirror, root: &Path, packages: &str) -> Result<()> {
    let Some(program) = shell::path_of("debootstrap") else {
        bail!("debootstrap is not installed");
    };
    let include = format!("--include={packages}");
    let components = format!("--components={}", mirror.components);
    let words =
        ["--variant=minbase", &include, &components, &mirror.suite, &root.to_string_lossy(), &mirror.uri];
    let mut command = shell::command(&program.to_string_lossy(), &words);
    with_proxy(&mut command, mirror);
    shell::quietly(command.env("PATH", root_path()))
}

/// Makes a copy of the Debian root with a recipe's packages and files in it.
pub(super) fn variant(base: &Path, root: &Path, recipe: &Recipe) -> Result<()> {
    let mirror = Mirror::find()?;
    remove(root)?;
    let words = ["-a".as_ref(), "--reflink=auto".as_ref(), base.as_os_str(), root.as_os_str()];
    shell::quietly(&mut shell::command("cp", &words))?;
    for name in ["etc/resolv.conf", "etc/hosts"] {
        let content = fs::read(Path::new("/").join(name)).unwrap_or_default();
        write_file(&root.join(name), 0o644, &content)?;
    }
    inside(root, &mirror, "apt-get update -q")?;
    let install = format!("apt-get install -qy --no-install-recommends {}", recipe.packages.join(" "));
    inside(root, &mirror, &install)?;
    for (path, mode, content) in recipe.files {
        write_file(&root.join(path), *mode, content.as_bytes())?;
    }
    inside(root, &mirror, recipe.script)?;
    // The machine's own names are no part of the image.
    fs::copy(base.join("etc/hosts"), root.join("etc/hosts"))
        .map_or_else(|_| remove(&root.join("etc/hosts")), |_| Ok(()))
}

/// Runs a script in a root, by the root's own shell.
fn inside(root: &Path, mirror: &Mirror, script: &str) -> Result<()> {
    let chroot = shell::path_of("chroot").context("there is no chroot program")?;
    let script = format!("set -e\n{script}");
    let words = [root.as_os_str(), "/bin/sh".as_ref(), "-c".as_ref(), script.as_ref()];
    let mut command = shell::command(&chroot.to_string_lossy(), &words);
    command
        .env_clear()
        .env("PATH", root_path())
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8");
    with_proxy(&mut command, mirror);
    shell::quietly(&mut command)
}

fn with_proxy(command: &mut std::process::Command, mirror: &Mirror) {
    if let Some(proxy) = &mirror.proxy {
        command.env("http_proxy", proxy).env("https_proxy", proxy);
    }
}

fn root_path() -> &'static str {
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

/// Removes a file or tree if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    let told = || format!("{} cannot be removed", path.display());
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).with_context(told),
        Ok(_) => fs::remove_file(path).with_context(told),
        Err(_) => Ok(()),
    }
}
