//! What was seen of a container. Written by the engine alone.

use crate::PortKey;
use base::Time;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// What the engine last saw of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Where it is in its life.
    pub phase: Phase,
    /// When its process was last started; [`Time::NEVER`] before.
    pub started: Time,
    /// When its process last ended; [`Time::NEVER`] before.
    pub finished: Time,
    /// How often its policy started it again.
    pub restarts: u32,
    /// Attempts in a row that did not last: what the wait before the next one grows with.
    #[serde(default)]
    pub attempts: u32,
    /// Why the last start failed; empty otherwise.
    pub error: String,
    /// Its place on the network while it runs.
    pub network: Option<Endpoint>,
}

/// Where a container is in its life.
///
/// ```text
/// Created -> Running <-> Paused
///    |          |          |
///    |          v          v
///    +------> Exited <-----+      Exited -> Running (start), Exited -> Restarting -> Running (policy)
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Its process has never run.
    Created,
    /// Its process runs.
    Running {
        /// The process id on the host.
        pid: i32,
    },
    /// Its processes are frozen.
    Paused {
        /// The process id on the host.
        pid: i32,
    },
    /// Its process has ended, and its policy starts it again at the given time.
    Restarting {
        /// How it ended.
        exit: Exit,
        /// When it is started again.
        at: Time,
    },
    /// Its process has ended.
    Exited(Exit),
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code, or 128 and the signal's number.
    pub code: i32,
    /// Whether the kernel killed it for its memory limit.
    pub oom_killed: bool,
}

/// A place on a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The container's address.
    pub address: Ipv4Addr,
    /// The bits of its subnet's prefix.
    pub prefix: u8,
    /// Where it sends what is not on its subnet.
    pub gateway: Ipv4Addr,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The ports that the host answers for, as they were chosen.
    pub ports: Vec<Published>,
}

/// A port of the host that leads to a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The port inside.
    pub inside: PortKey,
    /// The host's address; none is every address of both families.
    pub host: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
}

impl Observed {
    /// Before anything happened.
    pub fn created() -> Observed {
        Observed {
            phase: Phase::Created,
            started: Time::NEVER,
            finished: Time::NEVER,
            restarts: 0,
            attempts: 0,
            error: String::new(),
            network: None,
        }
    }

    /// Its process id while it has one.
    pub fn pid(&self) -> Option<i32> {
        match self.phase {
            Phase::Running { pid } | Phase::Paused { pid } => Some(pid),
            _ => None,
        }
    }

    /// How it last ended, if it did.
    pub fn exit(&self) -> Option<Exit> {
        match self.phase {
            Phase::Exited(exit) | Phase::Restarting { exit, .. } => Some(exit),
            _ => None,
        }
    }
}
