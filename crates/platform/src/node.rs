//! The Node door: work on a container that is there.

use crate::{Answer, Archive, Difference, PathStat, PutOptions};
use base::Time;
use bytes::Bytes;
use model::ExecId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// A two-way stream to a container: what is written goes to its standard input, what is read is its output.
///
/// With a terminal the output is raw; without one it comes in frames of `[stream, 0, 0, 0, length as u32 big-endian]` and that
/// many bytes, stream 1 for standard output and 2 for standard error. Shutting down the writing half ends its input.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Which streams are taken part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// How a client takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachRequest {
    /// In which streams.
    pub streams: Streams,
    /// Whether what was written before is replayed first.
    pub logs: bool,
    /// Whether it stays for what comes; otherwise only the replay is given.
    pub stream: bool,
}

/// A process to be added to a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`, over the container's.
    pub env: Vec<String>,
    /// The working directory; the container's where empty.
    pub working_dir: String,
    /// The user; the container's where empty.
    pub user: String,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// The terminal's first size: rows, columns.
    pub terminal_size: Option<(u16, u16)>,
    /// Which streams a client will take part in.
    pub streams: Streams,
    /// Whether it has all capabilities.
    pub privileged: bool,
    /// What the client sent.
    pub detach_keys: String,
}

/// What is known of an exec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecState {
    /// Its id.
    pub id: ExecId,
    /// The container, by id.
    pub container: model::ContainerId,
    /// What was asked for.
    pub request: ExecRequest,
    /// Whether it runs.
    pub running: bool,
    /// Its exit code once it has ended.
    pub exit_code: Option<i64>,
    /// Its process id on the host while it runs.
    pub pid: i32,
}

/// Which stream a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output as it was logged: a line with its end, or a part of a long one without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub time: Time,
    /// To which stream.
    pub stream: LogStream,
    /// The bytes, its line end included where it has one.
    pub bytes: Bytes,
}

/// Which lines of a log are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// Lines of standard output.
    pub stdout: bool,
    /// Lines of standard error.
    pub stderr: bool,
    /// Only those at this time or later.
    pub since: Option<Time>,
    /// Only those at this time or earlier.
    pub until: Option<Time>,
    /// Only the last so many of what is there.
    pub tail: Option<u64>,
    /// Whether to go on with what is written, until the container ends.
    pub follow: bool,
}

/// The processes of a container as `ps` shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessTable {
    /// The columns' names.
    pub titles: Vec<String>,
    /// One row a process.
    pub rows: Vec<Vec<String>>,
}

/// Figures of a container at one moment; all counters since its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// When they were read; none if it does not run.
    pub read: Option<Time>,
    /// Nanoseconds of CPU.
    pub cpu_total_ns: u64,
    /// Of these in the kernel.
    pub cpu_kernel_ns: u64,
    /// Of these outside.
    pub cpu_user_ns: u64,
    /// Nanoseconds of CPU that the whole machine used, idle time included.
    pub system_cpu_ns: u64,
    /// CPUs of the machine.
    pub online_cpus: u32,
    /// How the CPU limit held it back.
    pub throttled: ThrottledCpu,
    /// Bytes of memory, page cache included.
    pub memory_bytes: u64,
    /// The most it ever had, where the kernel says.
    pub memory_max_bytes: u64,
    /// The limit, or the machine's memory.
    pub memory_limit_bytes: u64,
    /// How often the limit was hit.
    pub memory_fail_count: u64,
    /// The kernel's own figures by name.
    pub memory_details: Vec<(String, u64)>,
    /// Processes and threads.
    pub pids: u64,
    /// The limit of these; none without one.
    pub pids_limit: Option<u64>,
    /// Bytes read and written by device: major, minor, operation, bytes.
    pub block_bytes: Vec<(u64, u64, String, u64)>,
    /// Operations by device.
    pub block_operations: Vec<(u64, u64, String, u64)>,
    /// By interface.
    pub networks: Vec<(String, NetworkFigures)>,
    /// Whether the machine has the one control group hierarchy (v2).
    pub cgroup_v2: bool,
}

/// How a CPU limit held a container back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThrottledCpu {
    /// Periods that passed.
    pub periods: u64,
    /// Periods in which it was held back.
    pub throttled_periods: u64,
    /// For how long in all, in nanoseconds.
    pub throttled_ns: u64,
}

/// Counters of one interface, seen from the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkFigures {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Packets dropped on the way in.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Send errors.
    pub tx_errors: u64,
    /// Packets dropped on the way out.
    pub tx_dropped: u64,
}

/// The label of a container whose start is measured.
pub const TIMED_LABEL: &str = "bocage.timings";

/// How long one step of a start took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The step.
    pub step: String,
    /// Nanoseconds.
    pub ns: u64,
}

/// Containers that are there. `name` is an id, a unique prefix of one, or a name.
pub trait Node: Send + Sync {
    /// Takes part in a container's streams. Of one that does not run yet: from its start on, with nothing missed.
    fn attach<'a>(&'a self, name: &'a str, request: AttachRequest) -> Answer<'a, Box<dyn Stream>>;

    /// Sets the terminal's size.
    fn resize<'a>(&'a self, name: &'a str, rows: u16, columns: u16) -> Answer<'a, ()>;

    /// Reads the log. The channel ends with the last line, or with the container's end when following.
    fn logs<'a>(&'a self, name: &'a str, request: LogRequest) -> Answer<'a, mpsc::Receiver<LogLine>>;

    /// Its processes; `ps_args` as for ps(1), `-ef` where empty.
    fn top<'a>(&'a self, name: &'a str, ps_args: &'a str) -> Answer<'a, ProcessTable>;

    /// Its figures now, and those of the sample before (about a second ago where there is one) for rates.
    fn stats<'a>(&'a self, name: &'a str) -> Answer<'a, (Stats, Stats)>;

    /// Prepares a process in a running container.
    fn exec_create<'a>(&'a self, name: &'a str, request: ExecRequest) -> Answer<'a, ExecId>;

    /// Starts it. With `attach` the stream carries its input and output until it has ended.
    fn exec_start<'a>(
        &'a self,
        id: &'a str,
        attach: bool,
        size: Option<(u16, u16)>,
    ) -> Answer<'a, Option<Box<dyn Stream>>>;

    /// Sets its terminal's size.
    fn exec_resize<'a>(&'a self, id: &'a str, rows: u16, columns: u16) -> Answer<'a, ()>;

    /// Where the time of a container's last start went, by its whole id; only where its label [`TIMED_LABEL`] asked for it.
    fn timings<'a>(&'a self, id: &'a str) -> Answer<'a, Vec<Timing>>;

    /// What differs from its image, in the order of the paths.
    fn differences<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<(Difference, String)>>;

    /// Everything that it sees, but what is mounted in it.
    fn export<'a>(&'a self, name: &'a str) -> Answer<'a, Archive>;

    /// What is at a path. A slash at its end follows a link there.
    fn path_stat<'a>(&'a self, name: &'a str, path: &'a str) -> Answer<'a, PathStat>;

    /// What is at a path, with all that is in it: named in the archive by the path's last part.
    fn copy_out<'a>(&'a self, name: &'a str, path: &'a str) -> Answer<'a, (PathStat, Archive)>;

    /// Unpacks an archive, plain or packed, in a directory that is there.
    fn copy_in<'a>(
        &'a self,
        name: &'a str,
        path: &'a str,
        options: PutOptions,
        archive: Archive,
    ) -> Answer<'a, ()>;

    /// What is known of it. `No such exec instance: x` otherwise.
    fn exec_inspect<'a>(&'a self, id: &'a str) -> Answer<'a, ExecState>;
}
