//! What was seen of a container. Written by the engine alone.

use crate::{NetworkId, PortKey};
use base::Time;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
    /// Its places on networks while it runs, in the order in which it was connected.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
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
    /// Which network.
    pub network: NetworkId,
    /// The name of the host's end of its link; empty where there is none.
    pub link: String,
    /// The name of the link inside.
    pub inside: String,
    /// Its address of IPv4, with the bits of its subnet's prefix.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Where it sends what is on none of its subnets.
    pub gateway4: Option<Ipv4Addr>,
    /// Its address of IPv6, with the bits of its subnet's prefix.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// Where it sends what is on none of its subnets.
    pub gateway6: Option<Ipv6Addr>,
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
            endpoints: Vec::new(),
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
