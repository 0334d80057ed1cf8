//! `cargo xtask bench start`: what a container costs, in time, memory and syncs, beside Docker and Podman.
//!
//! Flow: each engine that is there gets the busybox image and one kept connection to its API. A round is create, start, wait and
//! delete of `busybox true`; the engines take their rounds in turn, so that a busy moment of the machine meets all of them. Then
//! the daemon's memory is read at rest and beside sleeping containers, and where strace is installed the syncs of some rounds are
//! counted.
//!
//! Invariants: ours is a daemon on roots of its own; Podman too; of a Docker that runs already only what was made here is
//! removed. Memory is the proportional set size, in which a page that n processes share counts 1/n for each.
//!
//! Absent on purpose: a Docker daemon started by this tool: it would write its own firewall rules into the machine.

mod memory;
mod peers;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::scratch::Daemon;
use crate::{images, product, say, shell};
use peers::Peer;

/// Rounds of each engine and network, unless told otherwise.
const ROUNDS: usize = 300;
/// Rounds before the first that counts: caches are filled and address pools made.
const WARM_UP_ROUNDS: usize = 5;
/// The networks that are measured, and the most that the median may be, in milliseconds.
const NETWORKS: [(&str, f64); 2] = [("none", 15.0), ("bridge", 25.0)];

/// Builds as the user, then measures as root.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    rounds(words)?;
    product::build()?;
    images::ensure()?;
    let all: Vec<&str> = std::iter::once("bench").chain(words.iter().copied()).collect();
    shell::as_root(&all, || as_root(words))
}

/// The half that needs root.
pub(crate) fn as_root(words: &[&str]) -> Result<()> {
    let rounds = rounds(words)?;
    let binary = product::built()?;
    let archive = images::path("busybox");
    let image = std::fs::read(&archive)
        .with_context(|| format!("there is no busybox image to measure with at {}", archive.display()))?;
    let daemon = Daemon::start(&binary, "bench")?;
    let measured = measure(&daemon, &image, rounds);
    let stopped = daemon.stop();
    measured?;
    stopped
}

fn rounds(words: &[&str]) -> Result<usize> {
    match words {
        [] => Ok(ROUNDS),
        [number] => match number.parse() {
            Ok(rounds) if rounds > 0 => Ok(rounds),
            _ => bail!("`{number}` is no number of rounds"),
        },
        _ => bail!("usage: cargo xtask bench start [ROUNDS]"),
    }
}

fn measure(daemon: &Daemon, image: &[u8], rounds: usize) -> Result<()> {
    let pid = daemon.pid().context("the daemon has no process")?;
    let rest = memory::proportional_kib(pid)?;
    let mut peers = vec![Peer::ours(daemon)?];
    peers.extend(peers::others());
    peers.retain_mut(|peer| match peer.load(image) {
        Ok(()) => true,
        Err(error) => {
            say::step(&format!("{} is left out: {error:#}", peer.label()));
            false
        }
    });
    if !peers.first().is_some_and(Peer::is_ours) {
        bail!("our own daemon did not take the image");
    }
    say::line(&format!(
        "create+start+wait+delete of `busybox true`, {rounds} rounds each in turn, one kept connection each\n\
         {:<18} {:<8} {:>10} {:>10} {:>12}",
        "engine", "network", "median ms", "p95 ms", "x our median"
    ));
    for (network, wanted) in NETWORKS {
        compare(&mut peers, network, wanted, rounds)?;
    }
    say::line(&format!("daemon at rest, before its first container: {} of memory (PSS)", mib(rest)));
    say::line(&format!("daemon after these rounds: {}", mib(memory::proportional_kib(pid)?)));
    memory::beside_sleepers(daemon)?;
    memory::syncs(&mut peers[0], pid)
}

/// Measures all engines on one network, in turn, and prints a line for each.
fn compare(peers: &mut [Peer], network: &str, wanted: f64, rounds: usize) -> Result<()> {
    let mut times: Vec<Result<Vec<Duration>>> = peers.iter().map(|_| Ok(Vec::with_capacity(rounds))).collect();
    for number in 0..WARM_UP_ROUNDS + rounds {
        for (peer, times) in peers.iter_mut().zip(&mut times) {
            let Ok(list) = times else { continue };
            let start = Instant::now();
            match peer.round(network) {
                Ok(()) if number < WARM_UP_ROUNDS => {}
                Ok(()) => list.push(start.elapsed()),
                Err(error) => *times = Err(error),
            }
        }
    }
    let mut ours = None;
    for (peer, times) in peers.iter().zip(times) {
        let label = peer.label();
        let mut times = match times {
            Ok(times) => times,
            Err(error) if peer.is_ours() => return Err(error.context(format!("a round with network {network}"))),
            Err(error) => {
                say::line(&format!("{label:<18} {network:<8} left out: {error:#}"));
                continue;
            }
        };
        times.sort_unstable();
        let (median, tail) = (ms(at_percent(&times, 50)), ms(at_percent(&times, 95)));
        let unit = *ours.get_or_insert(median);
        say::line(&format!("{label:<18} {network:<8} {median:>10.2} {tail:>10.2} {:>12.1}", median / unit));
    }
    let reached = ours.is_some_and(|median| median <= wanted);
    say::line(&format!(
        "  wanted with network {network}: a median of at most {wanted:.0} ms: {}",
        if reached { "reached" } else { "NOT reached" }
    ));
    Ok(())
}

/// The value below which so many percent of a sorted list lie.
fn at_percent(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A number of KiB as MiB.
fn mib(kib: u64) -> String {
    let hundredths = kib * 100 / 1024;
    format!("{}.{:02} MiB", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::{Duration, at_percent, mib};

    #[test]
    fn percentiles_are_taken_from_the_list_itself() {
        let list: Vec<Duration> = (1..=300).map(Duration::from_millis).collect();
        assert_eq!(at_percent(&list, 50), Duration::from_millis(150));
        assert_eq!(at_percent(&list, 95), Duration::from_millis(285));
        assert_eq!(at_percent(&list[..1], 95), Duration::from_millis(1));
        assert_eq!(at_percent(&[], 50), Duration::ZERO);
    }

    #[test]
    fn memory_is_shown_in_hundredths_of_a_mebibyte() {
        assert_eq!(mib(1024), "1.00 MiB");
        assert_eq!(mib(410), "0.40 MiB");
    }
}
