//! What a daemon and a shim say to each other: one line of JSON each way, plain data.
//!
//! A caller connects to `shim.sock` in the container's (or the exec's) directory, writes one [`Request`] and a newline,
//! and reads one [`Reply`]. After an accepted `attach` the connection is a stream: output framed as in Docker's
//! multiplexed streams ([`frame_header`]), or raw with a terminal; input raw, its end being the half-close.
//! The truth about a container outlives its shim in `status.json` ([`Status`]).

use crate::setup::Streams;
use crate::timings::Timing;
use base::Time;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// The socket's name in the directory.
pub const SOCKET: &str = "shim.sock";
/// The status file's name in the directory.
pub const STATUS: &str = "status.json";
/// The socket in the directory of a container without a shim, where it waits to be started: who connects is told of
/// a failure, and the connection closes as the program begins.
pub const START: &str = "start.sock";
/// The longest request, in bytes, its newline included.
pub const REQUEST_BYTES_MAX: usize = 4096;
/// The bytes before each piece of output in a multiplexed stream.
pub const FRAME_HEADER_BYTES: usize = 8;

/// The one thing that a connection asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// Take part in the streams.
    Attach(Streams),
    /// Change the terminal's size.
    Resize {
        /// Lines.
        rows: u16,
        /// Characters in a line.
        columns: u16,
    },
    /// Send a signal to the first process.
    Signal(i32),
    /// Tell what is known now.
    Status {},
    /// Tell when it has exited.
    Wait {},
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// It is done, or begins.
    Ok(bool),
    /// The answer to `status` and `wait`.
    Status(Status),
    /// It was not done, and why.
    Error(String),
}

/// What is known of a process that a shim watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its number in the host's pid namespace.
    pub pid: u32,
    /// The clock ticks from boot to its start, the 22nd field of its stat file: with `pid`, its name for ever.
    pub start_ticks: u64,
    /// When it was started.
    pub started_at: Time,
    /// Where its shim is: its process number.
    pub shim_pid: u32,
    /// How it ended; none while it runs.
    pub exit: Option<Exit>,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// When.
    pub finished_at: Time,
    /// Its exit code; 128 and the signal's number if one killed it.
    pub code: i32,
    /// Whether the kernel killed one of its processes because memory ran out.
    pub oom_killed: bool,
}

impl Status {
    /// Reads the status file in a container's directory; none if the container never started.
    ///
    /// # Errors
    /// Where the file is there and cannot be read or understood.
    pub fn read(directory: &Path) -> io::Result<Option<Status>> {
        let Some(bytes) = base::file::read_if_there(&directory.join(STATUS))? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from)
    }
}

/// What a shim tells whoever started it, each in a line: how the start went, and, where it stays, how the program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    /// The program runs.
    Started {
        /// Its number in the host's pid namespace.
        pid: u32,
        /// The clock ticks from boot to its start.
        start_ticks: u64,
        /// When.
        started_at: Time,
        /// Where the time went, where that was asked for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        timings: Vec<Timing>,
    },
    /// It does not, and nothing is left of the attempt.
    Failed(Failure),
    /// The program has ended; the same stands in the status file, written before.
    Ended(Exit),
}

/// Why a start failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step that failed.
    pub step: String,
    /// What failed and why, in words for the person who asked.
    pub message: String,
    /// What a client's exit code depends on.
    pub kind: FailureKind,
}

/// What kind of failure a failed start is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The program does not exist (exit code 127).
    NotFound,
    /// The program exists and cannot be executed (exit code 126).
    NotExecutable,
    /// Anything else.
    Other,
}

/// Which stream a piece of output belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output, and everything with a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its number in frames and records.
    pub const fn number(self) -> u8 {
        match self {
            Stream::Stdout => 1,
            Stream::Stderr => 2,
        }
    }

    /// The stream with this number.
    pub const fn from_number(number: u8) -> Option<Stream> {
        match number {
            1 => Some(Stream::Stdout),
            2 => Some(Stream::Stderr),
            _ => None,
        }
    }
}

/// The header of one piece of output in Docker's multiplexed stream.
pub fn frame_header(stream: Stream, length: u32) -> [u8; FRAME_HEADER_BYTES] {
    let [a, b, c, d] = length.to_be_bytes();
    [stream.number(), 0, 0, 0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_lines_that_the_protocol_names() {
        let line = |request: &Request| serde_json::to_string(request).unwrap();
        assert_eq!(line(&Request::Status {}), r#"{"status":{}}"#);
        assert_eq!(line(&Request::Signal(15)), r#"{"signal":15}"#);
        assert_eq!(
            line(&Request::Resize { rows: 24, columns: 80 }),
            r#"{"resize":{"rows":24,"columns":80}}"#
        );
        assert_eq!(
            line(&Request::Attach(Streams { stdin: true, stdout: true, stderr: false })),
            r#"{"attach":{"stdin":true,"stdout":true,"stderr":false}}"#
        );
        assert_eq!(serde_json::to_string(&Reply::Ok(true)).unwrap(), r#"{"ok":true}"#);
    }

    #[test]
    fn a_frame_names_its_stream_and_its_length() {
        assert_eq!(frame_header(Stream::Stderr, 258), [2, 0, 0, 0, 0, 0, 1, 2]);
    }
}
