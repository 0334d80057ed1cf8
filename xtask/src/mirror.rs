//! The Debian mirror that this machine uses, and roots made from it.
//!
//! Flow: apt is asked which archives it reads (never a file of ours: behind a proxy or on Ubuntu the answer differs), the
//! first that has a component `main` is handed to debootstrap. Debian's stable suite stands in where apt knows another
//! distribution, so that an image has the same contents whoever makes it.
//!
//! Absent on purpose: a list of fall-back mirrors. Where apt reaches nothing, neither would they.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::{say, shell};

/// The suite of all roots: pinned, because names and versions of packages are part of what tests see.
const SUITE: &str = "bookworm";

/// The longest wait for one debootstrap, in seconds: a slow mirror needs minutes, a dead one for ever.
const DEBOOTSTRAP_SECONDS_MAX: &str = "900";

/// The longest wait for the mirror's first answer, in seconds.
const ANSWER_SECONDS_MAX: &str = "20";

/// The address of Debian's archive as apt on this machine reaches it, or the reason why there is none.
pub(crate) fn address() -> Result<String> {
    let targets = shell::output(&mut shell::command(
        "apt-get",
        &["indextargets", "--format", "$(SITE) $(CODENAME) $(COMPONENT)", "Created-By: Packages"],
    ))
    .context("apt cannot say which mirror it uses")?;
    let found = targets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (site, suite, component) = (words.next()?, words.next()?, words.next()?);
        (suite == SUITE && component == "main").then(|| site.trim_end_matches('/').to_owned())
    });
    let address = found.unwrap_or_else(|| "http://deb.debian.org/debian".to_owned());
    let release = format!("{address}/dists/{SUITE}/Release");
    let asked = shell::quietly(&mut shell::command(
        "timeout",
        &[ANSWER_SECONDS_MAX, "/usr/lib/apt/apt-helper", "download-file", &release, "/dev/null"],
    ));
    asked.with_context(|| format!("the Debian mirror {address} does not answer"))?;
    Ok(address)
}

/// Makes a Debian root with the given packages in the folder `into`, which must not exist. Needs root.
///
/// The root is made beside its place and renamed at the end, so that what stands there is whole.
pub(crate) fn debootstrap(packages: &[&str], into: &Path) -> Result<()> {
    if into.exists() {
        bail!("{} exists already", into.display());
    }
    let address = address()?;
    shell::install(&[("debootstrap", "debootstrap")])?;
    say::step(&format!("making a Debian root from {address} with {}", packages.join(" ")));
    let mut part = into.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    if part.exists() {
        shell::quietly(&mut shell::command("rm", &["-rf", "--one-file-system", &part.to_string_lossy()]))?;
    }
    let include = format!("--include={}", packages.join(","));
    shell::quietly(&mut shell::command(
        "timeout",
        &[
            DEBOOTSTRAP_SECONDS_MAX,
            "debootstrap",
            "--variant=minbase",
            &include,
            SUITE,
            &part.to_string_lossy(),
            &address,
        ],
    ))?;
    std::fs::rename(part, into).with_context(|| format!("{} could not be put into place", into.display()))
}
