//! What the library hands to the shim program: everything that was decided, in one memory file.
//!
//! A line of JSON, then the system call filter as it goes to the kernel. Whatever many starts share is worked out once
//! in the daemon (where control groups are mounted, the compiled filter) and comes along.

use crate::cgroup::Group;
use crate::seccomp::Listener;
use crate::setup::{ExecSetup, Handover, Process, Setup, Stdio, Watch};
use serde::{Deserialize, Serialize};
use std::path::Path;
use sys::filter::Instruction;

/// One instruction of the filter, in bytes.
const INSTRUCTION_BYTES: usize = 8;

/// What is to be started.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// A container or one more process.
    pub(crate) task: Task,
    /// Its control groups.
    pub(crate) group: Group,
    /// The flags with which its filter is loaded: `FLAG_…` of [`sys::filter`].
    pub(crate) filter_flags: u32,
    /// Who decides over the calls that its filter leaves to somebody.
    pub(crate) listener: Option<Listener>,
}

/// A system call filter, ready for the kernel.
#[derive(Debug)]
pub(crate) struct Filter {
    /// The program.
    pub(crate) instructions: Vec<Instruction>,
    /// `FLAG_…` of [`sys::filter`].
    pub(crate) flags: u32,
}

impl Filter {
    /// Whether it leaves calls to somebody.
    pub(crate) const fn asks(&self) -> bool {
        self.flags & sys::filter::FLAG_LISTENER != 0
    }
}

/// A container or one more process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// A container with its first process.
    Run(Box<Setup>),
    /// One more process in a container that runs.
    Exec(Box<ExecSetup>),
}

impl Task {
    /// The id, for messages.
    pub(crate) fn id(&self) -> &str {
        match self {
            Task::Run(setup) => &setup.id,
            Task::Exec(setup) => &setup.id,
        }
    }

    /// Where the socket and the status file go.
    pub(crate) fn directory(&self) -> &Path {
        match self {
            Task::Run(setup) => &setup.directory,
            Task::Exec(setup) => &setup.directory,
        }
    }

    /// What runs.
    pub(crate) fn process(&self) -> &Process {
        match self {
            Task::Run(setup) => &setup.process,
            Task::Exec(setup) => &setup.process,
        }
    }

    /// Who stays with it.
    pub(crate) fn watch(&self) -> &Watch {
        match self {
            Task::Run(setup) => &setup.watch,
            Task::Exec(setup) => &setup.watch,
        }
    }

    /// What it is given where no shim stays with it.
    pub(crate) fn handover(&self) -> Option<&Handover> {
        match self.watch() {
            Watch::Shim => None,
            Watch::Caller(handover) => Some(handover),
        }
    }

    /// The container; none for one more process in one.
    pub(crate) fn setup(&self) -> Option<&Setup> {
        match self {
            Task::Run(setup) => Some(setup),
            Task::Exec(_) => None,
        }
    }

    /// Its standard streams.
    pub(crate) fn stdio(&self) -> &Stdio {
        match self {
            Task::Run(setup) => &setup.stdio,
            Task::Exec(setup) => &setup.stdio,
        }
    }
}

impl Order {
    /// As bytes for the memory file. An empty filter is none.
    pub(crate) fn encode(&self, filter: &[Instruction]) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        for instruction in filter {
            bytes.extend_from_slice(&instruction.code.to_ne_bytes());
            bytes.push(instruction.yes);
            bytes.push(instruction.no);
            bytes.extend_from_slice(&instruction.operand.to_ne_bytes());
        }
        Ok(bytes)
    }

    /// From bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Order, Option<Filter>), serde_json::Error> {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let order: Order = serde_json::from_slice(&bytes[..end])?;
        let rest = bytes.get(end + 1..).unwrap_or_default();
        let instructions: Vec<Instruction> = rest
            .chunks_exact(INSTRUCTION_BYTES)
            .map(|chunk| Instruction {
                code: u16::from_ne_bytes([chunk[0], chunk[1]]),
                yes: chunk[2],
                no: chunk[3],
                operand: u32::from_ne_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]),
            })
            .collect();
        let flags = order.filter_flags;
        let filter = (!instructions.is_empty()).then_some(Filter { instructions, flags });
        Ok((order, filter))
    }
}
