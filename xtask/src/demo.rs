//! `cargo xtask demo`: a real web server made from Debian's packages, published three times by a daemon of its own.
//!
//! Flow: build, make the image, start a daemon on roots of its own, load the archive, run three containers, fetch each page, kill
//! one and start it again, kill the daemon and start it again while the pages go on, remove everything.
//!
//! Where no mirror of Debian's packages answers, the image that the binary carries takes nginx's place.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::scratch::{Daemon, until};
use crate::{http, images, product, say, shell};

/// The longest that a server may take until its page is there.
const PAGE_TIMEOUT: Duration = Duration::from_secs(20);
/// The containers of the demonstration.
const NAMES: [&str; 3] = ["demo-one", "demo-two", "demo-three"];
/// Words of the page that the image serves.
const WELCOME: &str = "Welcome to nginx!";

/// Builds as the user, then shows as root.
pub(crate) fn run() -> Result<()> {
    product::build()?;
    images::ensure()?;
    shell::as_root(&["demo"], as_root)
}

/// The half that needs root.
pub(crate) fn as_root() -> Result<()> {
    let binary = product::built()?;
    let archive = images::path("nginx");
    if !archive.is_file() {
        say::line(
            "There is no nginx image, as no mirror of Debian's packages answers: this is the built-in image.",
        );
        return built_in(&binary);
    }
    let mut daemon = Daemon::start(&binary, "demo")?;
    let shown = show(&mut daemon, &archive);
    let cleaned = daemon.stop();
    shown?;
    cleaned.context("the demonstration could not be cleaned up")?;
    say::line(
        "demo: three nginx containers answered on published ports, one was killed and started again, \
         the daemon was killed and found them all; nothing is left.",
    );
    Ok(())
}

fn show(daemon: &mut Daemon, archive: &Path) -> Result<()> {
    let start = Instant::now();
    say::line(&daemon.bocage(&["load", "-i", &archive.to_string_lossy()])?);
    say::line(&format!("loaded {} in {} ms", archive.display(), start.elapsed().as_millis()));
    for name in NAMES {
        let start = Instant::now();
        let id = daemon.bocage(&["run", "-d", "--name", name, "-p", "80", "nginx:latest"])?;
        ensure!(id.len() == 64, "`run -d` printed no id but `{id}`");
        let started = start.elapsed();
        let address = page(daemon, name)?;
        let answered = start.elapsed();
        say::line(&format!(
            "{name}: http://{address}/ started in {} ms, page after {} ms",
            ms(started),
            ms(answered)
        ));
    }
    say::line(&daemon.bocage(&["ps"])?);
    killed_container(daemon)?;
    killed_daemon(daemon)
}

/// One container is killed, is seen to have ended, and starts again.
fn killed_container(daemon: &Daemon) -> Result<()> {
    let name = NAMES[1];
    daemon.bocage(&["kill", name])?;
    let code = daemon.bocage(&["wait", name])?;
    ensure!(code == "137", "{name} was killed and ended with {code}");
    let start = Instant::now();
    daemon.bocage(&["start", name])?;
    let started = start.elapsed();
    let address = page(daemon, name)?;
    say::line(&format!(
        "{name}: killed (137), started again in {} ms, answers on http://{address}/",
        ms(started)
    ));
    Ok(())
}

/// The daemon is killed; the pages go on; the next daemon finds every container.
fn killed_daemon(daemon: &mut Daemon) -> Result<()> {
    let addresses: Vec<SocketAddr> = NAMES.iter().map(|name| page(daemon, name)).collect::<Result<_>>()?;
    let pid = daemon.pid().unwrap_or_default();
    daemon.kill()?;
    for address in &addresses {
        welcome(*address).context("without the daemon")?;
    }
    say::line(&format!("the daemon (pid {pid}) was killed with SIGKILL: all three pages still answer"));
    let start = Instant::now();
    daemon.start_again()?;
    let running = daemon.bocage(&["ps", "-q"])?.lines().count();
    ensure!(running == NAMES.len(), "the next daemon found {running} of {} containers", NAMES.len());
    say::line(&format!("the next daemon found all {running} containers in {} ms", ms(start.elapsed())));
    for name in NAMES {
        page(daemon, name)?;
        let log = daemon.bocage(&["logs", name])?;
        ensure!(log.contains("GET / HTTP/1.1"), "the log of {name} has no request in it");
        daemon.bocage(&["stop", name])?;
        daemon.bocage(&["rm", name])?;
    }
    Ok(())
}

/// Where a container is published, once its page is there.
fn page(daemon: &Daemon, name: &str) -> Result<SocketAddr> {
    let said = daemon.bocage(&["port", name, "80"])?;
    let port =
        said.lines().next().and_then(|line| line.rsplit(':').next()).and_then(|port| port.parse().ok());
    let port: u16 = port.with_context(|| format!("`port {name} 80` printed `{said}`"))?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    until(PAGE_TIMEOUT, || welcome(address)).with_context(|| format!("the page of {name} is not there"))?;
    Ok(address)
}

fn welcome(address: SocketAddr) -> Result<()> {
    let (status, body) = http::fetch(address, "/")?;
    if status != 200 || !body.contains(WELCOME) {
        bail!("http://{address}/ answers {status} and not nginx's page");
    }
    Ok(())
}

/// The demonstration that needs no image: the binary's own, on roots of its own.
fn built_in(binary: &Path) -> Result<()> {
    let daemon = Daemon::start(binary, "demo")?;
    say::line(&daemon.bocage(&["demo"])?);
    daemon.stop()?;
    say::line("demo: three containers of the built-in image answered on published ports; nothing is left.");
    Ok(())
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
