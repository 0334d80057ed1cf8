//! What a container has written.

use crate::body::Body;
use crate::server::{Answer, Call, typed};
use crate::time;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use hyper::Response;
use platform::{Error, LogLine, LogRequest, LogStream};
use tokio::sync::mpsc;

/// The first version whose clients are told that output comes in frames.
const FRAMES_NAMED_SINCE: u32 = 42;

pub(crate) async fn logs(call: Call) -> Answer {
    let flag = |name: &str| call.query.flag(name);
    let now = call.clock.now();
    let request = LogRequest {
        stdout: flag("stdout"),
        stderr: flag("stderr"),
        since: time::parse(call.query.text("since"), now)?,
        until: time::parse(call.query.text("until"), now)?,
        // Whatever is no number means all, as in dockerd.
        tail: call.query.text("tail").parse().ok(),
        follow: flag("follow"),
    };
    if !request.stdout && !request.stderr {
        return Err(Error::invalid("Bad parameters: you must choose at least one stream"));
    }
    let container = call.doors.control.inspect(&call.parameter, false).await?;
    let terminal = container.intent.spec.terminal;
    let lines = call.doors.node.logs(&call.parameter, request).await?;
    let writer =
        Writer { terminal, timestamps: flag("timestamps"), details: flag("details"), inside: [false; 2] };
    let parts = stream::unfold((lines, writer), |(mut lines, mut writer)| async {
        let bytes = writer.next(&mut lines).await?;
        Some((Ok(bytes), (lines, writer)))
    });
    let content_type = if !terminal && call.version >= FRAMES_NAMED_SINCE {
        "application/vnd.docker.multiplexed-stream"
    } else {
        "application/vnd.docker.raw-stream"
    };
    Ok(typed(Response::new(Body::parts(parts)), content_type))
}

/// Lines as the client gets them.
struct Writer {
    terminal: bool,
    timestamps: bool,
    details: bool,
    /// Whether the last piece of each stream ended within a line.
    inside: [bool; 2],
}

/// Bytes that are put together before they are sent, while more is at hand.
const BATCH_BYTES: usize = 32 << 10;

impl Writer {
    /// The next lines, as many as are at hand.
    async fn next(&mut self, lines: &mut mpsc::Receiver<LogLine>) -> Option<Bytes> {
        let mut out = BytesMut::new();
        self.write(&lines.recv().await?, &mut out);
        while out.len() < BATCH_BYTES
            && let Ok(line) = lines.try_recv()
        {
            self.write(&line, &mut out);
        }
        Some(out.freeze())
    }

    fn write(&mut self, line: &LogLine, out: &mut BytesMut) {
        let (index, number) = if line.stream == LogStream::Stdout { (0, 1) } else { (1, 2) };
        let mut prefix = String::new();
        // The rest of a long line goes on where the piece before ended.
        if !self.inside[index] {
            if self.timestamps {
                prefix = line.time.rfc3339_nine() + " ";
            }
            if self.details {
                // Details come from options of logging drivers, of which none gives any.
                prefix.push(' ');
            }
        }
        self.inside[index] = !line.bytes.ends_with(b"\n");
        if !self.terminal {
            let length = u32::try_from(prefix.len() + line.bytes.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&[number, 0, 0, 0]);
            out.extend_from_slice(&length.to_be_bytes());
        }
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(&line.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Time;

    fn write(writer: &mut Writer, text: &'static str) -> Vec<u8> {
        let mut out = BytesMut::new();
        let line =
            LogLine { time: Time::from_unix_seconds(0), stream: LogStream::Stdout, bytes: text.into() };
        writer.write(&line, &mut out);
        out.to_vec()
    }

    #[test]
    fn lines_come_in_frames_and_a_long_line_has_one_time() {
        let mut writer = Writer { terminal: false, timestamps: true, details: false, inside: [false; 2] };
        let first = write(&mut writer, "ab");
        assert_eq!(first[..8], [1, 0, 0, 0, 0, 0, 0, 33]);
        assert_eq!(&first[8..], b"1970-01-01T00:00:00.000000000Z ab");
        assert_eq!(write(&mut writer, "c\n"), b"\x01\0\0\0\0\0\0\x02c\n");
    }

    #[test]
    fn the_lines_of_a_terminal_are_bare() {
        let mut writer = Writer { terminal: true, timestamps: false, details: false, inside: [false; 2] };
        assert_eq!(write(&mut writer, "a\r\n"), b"a\r\n");
    }
}
