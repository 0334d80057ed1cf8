//! The library's side of a start: hands the order to a shim and waits for its one line.

use crate::cgroup::{self, Group, Layout};
use crate::seccomp::{self, Filters};
use crate::setup::{ExecSetup, Setup};
use crate::shim::wire::{Failure, Report};
use crate::shim::{Order, PROGRAM_NAME, Task};
use crate::timings::Timing;
use base::Time;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::time::Duration;

/// The longest report, in bytes.
const REPORT_BYTES_MAX: usize = 64 * 1024;
/// As much of it as is read at once.
const REPORT_BYTES_AT_ONCE: usize = 512;
/// How often the sealing of the program is tried, and the wait between two tries.
const SEAL_TRIES_MAX: u32 = 50;
const SEAL_WAIT: Duration = Duration::from_millis(2);
/// As much of an id as a title shows, in characters.
const TITLE_ID_CHARACTERS: usize = 12;

/// Why a program does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The shim program could not be put into memory.
    #[error("put the shim program into sealed memory")]
    Program(#[source] io::Error),
    /// The order could not be written.
    #[error("write the order for the shim of {id}")]
    Order {
        /// The container's or exec's id.
        id: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The system call filter could not be built.
    #[error("build the system call filter of {id}")]
    Filter {
        /// The container's or exec's id.
        id: String,
        /// What is wrong with the profile.
        #[source]
        source: seccomp::Error,
    },
    /// The shim program could not be started.
    #[error("start the shim of {id}")]
    Spawn {
        /// The container's or exec's id.
        id: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The shim ended without a word.
    #[error("the shim of {id} gave no report")]
    NoReport {
        /// The container's or exec's id.
        id: String,
        /// What was wrong with it.
        #[source]
        source: io::Error,
    },
    /// The program was not started, and nothing is left of the attempt.
    #[error("{}", failure.message)]
    Start {
        /// Which step failed, why, and what a client's exit code depends on.
        failure: Failure,
    },
    /// The control groups of this machine could not be found.
    #[error("find the control groups")]
    ControlGroups(#[source] cgroup::Error),
}

/// The shim program in sealed memory: nobody can change it any more, whoever gets hold of it.
#[derive(Debug)]
pub struct ShimProgram {
    memory: OwnedFd,
}

impl ShimProgram {
    /// Copies the program into a memory file and seals it.
    ///
    /// # Errors
    /// Where memory files are not to be had, memfd_create(2).
    pub fn new(program: &[u8]) -> Result<ShimProgram, Error> {
        let failed = |error: Errno| Error::Program(error.into());
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        // Linux from 6.3 on wants to be told that a memory file will be executed; before, it does not know the flag.
        let memory = rustix::fs::memfd_create(c"bocage-shim", flags | MemfdFlags::EXEC)
            .or_else(|_| rustix::fs::memfd_create(c"bocage-shim", flags))
            .map_err(failed)?;
        let mut file = File::from(memory);
        file.write_all(program).map_err(Error::Program)?;
        seal(&file).map_err(failed)?;
        Ok(ShimProgram { memory: file.into() })
    }
}

/// Takes away, for good, every way to change the memory of a file.
fn seal(file: &File) -> Result<(), Errno> {
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    for _ in 1..SEAL_TRIES_MAX {
        match rustix::fs::fcntl_add_seals(file, seals) {
            // The kernel itself still holds a page, to write it out or to move it: for a moment.
            Err(Errno::BUSY) => std::thread::sleep(SEAL_WAIT),
            other => return other,
        }
    }
    rustix::fs::fcntl_add_seals(file, seals)
}

/// What every start on this machine shares: looked up once.
#[derive(Debug)]
pub struct Host {
    program: ShimProgram,
    layout: Layout,
    filters: Filters,
}

impl Host {
    /// Looks at the machine.
    ///
    /// # Errors
    /// Where no control groups are mounted.
    pub fn new(program: ShimProgram) -> Result<Host, Error> {
        Ok(Host::with_layout(program, Layout::detect().map_err(Error::ControlGroups)?))
    }

    /// The same, where the layout is known, or where less of the machine is to be used than there is.
    pub fn with_layout(program: ShimProgram, layout: Layout) -> Host {
        Host { program, layout, filters: Filters::default() }
    }

    /// The shim program.
    pub(crate) fn program(&self) -> BorrowedFd<'_> {
        self.program.memory.as_fd()
    }

    /// The machine's control group hierarchies.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The group of a container, by the path in its setup.
    pub fn group(&self, path: &std::path::Path) -> Group {
        Group::new(self.layout.clone(), path)
    }
}

/// A program that runs, and the shim that watches it.
#[derive(Debug)]
pub struct Started {
    /// The program's number in this pid namespace.
    pub pid: u32,
    /// The clock ticks from boot to its start: with `pid`, its name for ever.
    pub start_ticks: u64,
    /// When it was started.
    pub started_at: Time,
    /// Where the time went, where that was asked for.
    pub timings: Vec<Timing>,
    /// The shim, a child of this process.
    pub shim: Shim,
    /// Word of the program's end.
    pub ending: Ending,
}

/// Where a shim says that its program has ended: one line, [`Report::Ended`]. The end of the pipe without it says that the shim
/// has gone.
#[derive(Debug)]
pub struct Ending {
    /// Where the line comes.
    pub pipe: OwnedFd,
    /// What was read of it already.
    pub read: Vec<u8>,
}

/// A shim that this process started. It goes on when this value or this process ends; it is only to be reaped.
#[derive(Debug)]
pub struct Shim {
    /// Its number.
    pub pid: u32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
}

impl Shim {
    /// Waits for its end and reaps it.
    ///
    /// # Errors
    /// `ECHILD` if it was reaped before.
    pub fn reap(&self) -> io::Result<()> {
        loop {
            match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Err(Errno::INTR) => {}
                other => return other.map(drop).map_err(io::Error::from),
            }
        }
    }
}

/// Starts a container and waits until its program runs. `inherited` are the descriptors that the setup names by number.
///
/// # Errors
/// [`Error::Start`] where the container is at fault; the others where the machine is. Nothing is left behind.
pub fn start(host: &Host, setup: &Setup, inherited: &[(BorrowedFd<'_>, RawFd)]) -> Result<Started, Error> {
    let group = host.group(&setup.cgroup.path);
    let mut order =
        Order { task: Task::Run(Box::new(setup.clone())), group, filter_flags: 0, listener: None };
    hand_over(host, &mut order, c"run", inherited)
}

/// Starts one more process in a container that runs.
///
/// # Errors
/// As [`start`].
pub fn exec(host: &Host, setup: &ExecSetup, inherited: &[(BorrowedFd<'_>, RawFd)]) -> Result<Started, Error> {
    let group = host.group(&setup.cgroup);
    let mut order =
        Order { task: Task::Exec(Box::new(setup.clone())), group, filter_flags: 0, listener: None };
    hand_over(host, &mut order, c"exec", inherited)
}

fn hand_over(
    host: &Host,
    order: &mut Order,
    mode: &std::ffi::CStr,
    inherited: &[(BorrowedFd<'_>, RawFd)],
) -> Result<Started, Error> {
    let process = order.task.process();
    let filter = host
        .filters
        .filter(&process.seccomp, &process.capabilities.bounding)
        .map_err(|source| Error::Filter { id: order.task.id().to_owned(), source })?;
    order.filter_flags = filter.flags;
    order.listener.clone_from(&filter.listener);
    let id = order.task.id();
    let written = write_order(order, &filter.instructions);
    let memory = written.map_err(|source| Error::Order { id: id.to_owned(), source })?;
    let spawn_error = |source: io::Error| Error::Spawn { id: id.to_owned(), source };
    let (report_read, report_write) = io::pipe().map_err(spawn_error)?;
    // The two numbers of our own are the first that the setup leaves free.
    let mut free = (3..).filter(|number| !inherited.iter().any(|(_, taken)| taken == number));
    let (order_number, report_number) = (free.next().unwrap_or(3), free.next().unwrap_or(4));
    let mut descriptors = vec![(memory.as_fd(), order_number), (report_write.as_fd(), report_number)];
    descriptors.extend_from_slice(inherited);
    let word = |text: String| CString::new(text).map_err(|error| spawn_error(error.into()));
    let mut arguments = vec![word(title(id))?, CString::from(mode)];
    // The standard streams need no mention.
    for (_, number) in descriptors.iter().filter(|(_, number)| *number > 2) {
        arguments.push(word(number.to_string())?);
    }
    let spawned = sys::process::spawn(&sys::process::Spawn {
        program: host.program.memory.as_fd(),
        arguments: &arguments,
        environment: &[],
        descriptors: &descriptors,
    });
    let pid = spawned.map_err(|error| spawn_error(error.into()))?;
    drop((report_write, memory));
    let shim = shim_of(pid).map_err(spawn_error)?;
    let report = read_report(report_read).map_err(|source| Error::NoReport { id: id.to_owned(), source });
    match report {
        Ok((Report::Started { pid, start_ticks, started_at, timings }, ending)) => {
            Ok(Started { pid, start_ticks, started_at, timings, shim, ending })
        }
        Ok((Report::Failed(failure), _)) => {
            // It has ended or is about to: nothing may be left of it, not even a zombie.
            let _ = shim.reap();
            Err(Error::Start { failure })
        }
        Ok((Report::Ended(_), _)) => Err(Error::NoReport {
            id: id.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidData, "an end is told before a start"),
        }),
        Err(error) => {
            let _ = shim.reap();
            Err(error)
        }
    }
}

/// What lists of processes show: which container a shim is for.
fn title(id: &str) -> String {
    let end = id.char_indices().nth(TITLE_ID_CHARACTERS).map_or(id.len(), |(at, _)| at);
    format!("{} {}", PROGRAM_NAME.to_string_lossy(), &id[..end])
}

fn write_order(order: &Order, filter: &[sys::filter::Instruction]) -> io::Result<File> {
    let bytes = order.encode(filter).map_err(io::Error::from)?;
    let mut memory = File::from(rustix::fs::memfd_create(c"bocage-order", MemfdFlags::CLOEXEC)?);
    memory.write_all(&bytes)?;
    memory.rewind()?;
    Ok(memory)
}

/// The number cannot mean another process yet: the child is not reaped.
fn shim_of(pid: Pid) -> io::Result<Shim> {
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    Ok(Shim { pid: pid.as_raw_nonzero().get().unsigned_abs(), pidfd })
}

/// The report is one line. The end of the pipe would not do: a container that waits to be started still has a copy.
fn read_report(mut pipe: io::PipeReader) -> io::Result<(Report, Ending)> {
    let mut read = Vec::with_capacity(REPORT_BYTES_AT_ONCE);
    let end = loop {
        if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
            break end + 1;
        }
        let already = read.len();
        if already >= REPORT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the report is too long"));
        }
        read.resize(already + REPORT_BYTES_AT_ONCE, 0);
        match pipe.read(&mut read[already..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(got) => read.truncate(already + got),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => read.truncate(already),
            Err(error) => return Err(error),
        }
    };
    // A program may have ended by now, and word of it may be here too.
    let rest = read.split_off(end);
    Ok((serde_json::from_slice(&read)?, Ending { pipe: pipe.into(), read: rest }))
}
