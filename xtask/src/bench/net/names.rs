//! Queries for a name of a container's own network, asked from inside it at the address that its `resolv.conf` names: one at a
//! time, each answered before the next is sent. The engines take turns, a block of queries each.

use std::fs::File;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::json;

use super::super::engine::Engine;
use super::super::numbers::{median, percentile};
use crate::say;

/// The network that is made for it.
const NETWORK: &str = "bocage-bench-names";
/// Queries of one engine in a row.
const BLOCK_QUERIES: usize = 3000;
/// Queries that are not counted: whoever answers wakes up.
const WARM_UP_QUERIES: usize = 300;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Letters of an id that are a name too.
const SHORT_ID: usize = 12;

/// A container that asks.
struct Asker {
    id: String,
    pid: u32,
    server: IpAddr,
}

/// All rounds, and their figures.
pub(super) fn compare(engines: &mut [Engine], rounds: usize) -> Result<()> {
    let mut askers = Vec::new();
    for (place, engine) in engines.iter_mut().enumerate() {
        match prepare(engine) {
            Ok(asker) => askers.push((place, asker, Vec::new(), Vec::new())),
            Err(error) => {
                say::step(&format!("{} is left out of names: {error:#}", engine.name));
                remove_network(engine);
            }
        }
    }
    let outcome = (0..rounds).try_for_each(|_| {
        askers.iter_mut().try_for_each(|(place, asker, rates, times)| {
            let block = block(asker).with_context(|| format!("names of {}", engines[*place].name))?;
            rates.push(1_000_000.0 * block.len() as f64 / block.iter().sum::<f64>());
            times.extend(block);
            anyhow::Ok(())
        })
    });
    say::line(&format!("\nnames: {rounds} blocks of {BLOCK_QUERIES} queries, one at a time"));
    say::line(&format!("{:<10}{:>12}{:>10}{:>10}", "engine", "queries/s", "p50 us", "p99 us"));
    for (place, asker, rates, times) in askers {
        let engine = &mut engines[place];
        say::line(&format!(
            "{:<10}{:>12.0}{:>10.1}{:>10.1}",
            engine.name,
            median(&rates),
            median(&times),
            percentile(&times, 99)
        ));
        engine.remove(&asker.id)?;
        remove_network(engine);
    }
    outcome
}

fn prepare(engine: &mut Engine) -> Result<Asker> {
    let line = engine.line();
    let network = json!({ "Name": NETWORK, "CheckDuplicate": true }).to_string();
    line.call("POST", "/networks/create", network.as_bytes(), "make a network")?;
    let id = line.create(&["sleep", "10000"], NETWORK)?;
    line.start(&id)?;
    let pid = line.pid(&id)?;
    let path = format!("/proc/{pid}/root/etc/resolv.conf");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let server = text.lines().find_map(|line| line.strip_prefix("nameserver ")?.trim().parse().ok());
    let asker = Asker { id, pid, server: server.context("its resolv.conf names no server")? };
    block(&asker)?;
    Ok(asker)
}

fn remove_network(engine: &mut Engine) {
    // It may never have been made; what is left goes with the engine.
    let _ = engine.line().call("DELETE", &format!("/networks/{NETWORK}"), &[], "remove the network");
}

/// One block: the microseconds of each query.
fn block(asker: &Asker) -> Result<Vec<f64>> {
    let path = format!("/proc/{}/ns/net", asker.pid);
    let namespace = File::open(&path).with_context(|| format!("{path} cannot be opened"))?;
    let (server, query) = (asker.server, query(&asker.id[..SHORT_ID]));
    // The thread ends in the namespace that it entered.
    let asking = std::thread::spawn(move || -> Result<Vec<f64>> {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        socket.connect((server, 53))?;
        let mut times = Vec::with_capacity(BLOCK_QUERIES);
        for number in 0..WARM_UP_QUERIES + BLOCK_QUERIES {
            let start = Instant::now();
            socket.send(&query)?;
            let mut answer = [0; 512];
            let length = socket.recv(&mut answer)?;
            let time = start.elapsed();
            let [_, _, _, flags, _, _, _, answers, ..] = answer;
            if length < query.len() || flags & 15 != 0 || answers == 0 {
                bail!("its own name is not resolved");
            }
            if number >= WARM_UP_QUERIES {
                times.push(time.as_secs_f64() * 1_000_000.0);
            }
        }
        Ok(times)
    });
    asking.join().unwrap_or_else(|_| bail!("the thread that asks panicked"))
}

/// A query for the addresses of a name of one word, RFC 1035 4.
fn query(name: &str) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.push(u8::try_from(name.len()).unwrap_or_default());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
    bytes
}
