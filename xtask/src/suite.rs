//! `cargo xtask suite …`: public test suites that nobody here wrote, against the product.
//!
//! Their runners lie beside the project, in the folder that `BOCAGE_SHARED` names: a suite brings programs of its own, which are
//! neither built nor fetched here. That is why no suite is among the required tests.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{clients, product, say};

/// Runs a suite by its name.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    match words {
        ["distribution"] => distribution(),
        ["clients"] => clients::run(),
        _ => bail!("`suite` takes `distribution` or `clients`"),
    }
}

/// A suite's runner.
fn runner(name: &str) -> Result<PathBuf> {
    let shared = std::env::var_os("BOCAGE_SHARED")
        .context("BOCAGE_SHARED is not set: it names the folder that holds `suites/`")?;
    let path = Path::new(&shared).join("suites").join(name);
    if !path.is_file() {
        bail!("there is no {}", path.display());
    }
    Ok(path)
}

/// A registry on a folder of its own, which is gone with it.
pub(crate) struct Registry {
    folder: PathBuf,
    child: Child,
    address: String,
}

impl Registry {
    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Starts one on a free port.
    pub(crate) fn start(binary: &Path) -> Result<Registry> {
        let folder = PathBuf::from(format!("/var/tmp/bocage-suite-{}", std::process::id()));
        let mut child = Command::new(binary)
            .args(["registry", "--listen", "127.0.0.1:0", "--data"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the registry cannot be started")?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let address = line.strip_prefix("registry on http://").and_then(|rest| rest.split(',').next());
        let address = address.unwrap_or_default().to_owned();
        let registry = Registry { folder, child, address };
        if registry.address.is_empty() {
            bail!("the registry does not say where it listens, but {line:?}");
        }
        Ok(registry)
    }

    /// Files of content and uploads that are left.
    fn left(&self) -> Result<usize> {
        let mut count = 0;
        for place in ["blobs/sha256", "blobs/sha512"] {
            let path = self.folder.join("images").join(place);
            count +=
                fs::read_dir(&path).with_context(|| format!("{} cannot be read", path.display()))?.count();
        }
        Ok(count)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The conformance tests of the distribution specification. They delete all that they push.
fn distribution() -> Result<()> {
    let runner = runner("distribution-conformance.sh")?;
    let registry = Registry::start(&product::build()?)?;
    say::step(&format!("the distribution specification's tests, against {}", registry.address));
    let output = Command::new("bash")
        .arg(&runner)
        .env("OCI_REGISTRY", &registry.address)
        .stderr(Stdio::inherit())
        .output()
        .context("the suite cannot be started")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = said.lines().last().unwrap_or_default();
    say::line(last);
    if !last.contains(" 0 failed") {
        bail!("the registry does not conform");
    }
    match registry.left()? {
        0 => Ok(()),
        left => bail!("everything was deleted, and {left} files of content are still there"),
    }
}
