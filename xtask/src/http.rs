//! As much of HTTP/1.1 as measuring and fetching a page need: one request after another on one kept connection (RFC 9112).

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// The longest that one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest body that is read.
const BODY_BYTES_MAX: u64 = 64 << 20;
/// The most lines of a head.
const HEAD_LINES_MAX: usize = 200;

/// A kept connection.
pub(crate) struct Connection<S: Read + Write> {
    stream: BufReader<S>,
}

impl Connection<UnixStream> {
    /// Connects to a daemon's socket.
    pub(crate) fn unix(socket: &Path) -> Result<Self> {
        let told = || format!("{} does not answer", socket.display());
        let stream = UnixStream::connect(socket).with_context(told)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).with_context(told)?;
        Ok(Self { stream: BufReader::new(stream) })
    }
}

/// Fetches a page over TCP.
pub(crate) fn fetch(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let told = || format!("http://{address}{path} does not answer");
    let stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT).with_context(told)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).with_context(told)?;
    let mut connection = Connection { stream: BufReader::new(stream) };
    let (status, body) = connection.request("GET", path, "text/plain", &[]).with_context(told)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

impl<S: Read + Write> Connection<S> {
    /// Sends a request and reads the whole answer: its status and body.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>)> {
        self.send(method, path, kind, body)?;
        let (status, length) = self.head()?;
        let body = match length {
            Length::None => Vec::new(),
            Length::Bytes(count) => self.exactly(count)?,
            Length::Chunked => self.chunks()?,
        };
        Ok((status, body))
    }

    /// Sends a request whose answer may take the connection over, and reads what comes until it is closed.
    pub(crate) fn last_request(
        mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>)> {
        self.send(method, path, kind, body)?;
        let (status, length) = self.head()?;
        let mut body = Vec::new();
        match length {
            Length::None => drop(self.stream.take(BODY_BYTES_MAX).read_to_end(&mut body)?),
            Length::Bytes(count) => body = self.exactly(count)?,
            Length::Chunked => body = self.chunks()?,
        }
        Ok((status, body))
    }

    fn send(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<()> {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        let stream = self.stream.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat())?;
        stream.flush()?;
        Ok(())
    }

    fn head(&mut self) -> Result<(u16, Length)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status: u16 = status.with_context(|| format!("`{first}` is no status line"))?;
        let mut length = Length::None;
        for _ in 0..HEAD_LINES_MAX {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                return Ok((status, if status == 204 || status == 304 { Length::None } else { length }));
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length =
                    Length::Bytes(value.trim().parse().context("the length of the answer is no number")?);
            } else if line.starts_with("transfer-encoding:") && line.contains("chunked") {
                length = Length::Chunked;
            }
        }
        bail!("the head of the answer has more than {HEAD_LINES_MAX} lines")
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while (body.len() as u64) < BODY_BYTES_MAX {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default();
            let size =
                u64::from_str_radix(size, 16).with_context(|| format!("`{line}` is no length of a chunk"))?;
            body.extend(self.exactly(size)?);
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
        bail!("the answer is longer than {BODY_BYTES_MAX} bytes")
    }

    fn exactly(&mut self, count: u64) -> Result<Vec<u8>> {
        if count > BODY_BYTES_MAX {
            bail!("the answer is longer than {BODY_BYTES_MAX} bytes");
        }
        let mut body = Vec::new();
        self.stream.by_ref().take(count).read_to_end(&mut body)?;
        if body.len() as u64 != count {
            bail!("the answer ends after {} of {count} bytes", body.len());
        }
        Ok(body)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.by_ref().take(BODY_BYTES_MAX).read_line(&mut line)? == 0 {
            bail!("the connection was closed in the middle of an answer");
        }
        Ok(line.trim_end().to_owned())
    }
}

/// How the end of a body is told.
enum Length {
    None,
    Bytes(u64),
    Chunked,
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Write};

    use super::{BufReader, Connection};

    /// Answers with what was prepared, whatever is asked.
    struct Prepared(Cursor<Vec<u8>>);

    impl Read for Prepared {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Prepared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn answers_of_every_kind_of_length_are_read_on_one_connection() {
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n\
                    HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno";
        let stream = BufReader::new(Prepared(Cursor::new(text.as_bytes().to_vec())));
        let mut connection = Connection { stream };
        assert_eq!(connection.request("GET", "/", "", &[]).unwrap(), (200, b"abcde".to_vec()));
        assert_eq!(connection.request("GET", "/", "", &[]).unwrap(), (204, Vec::new()));
        assert_eq!(connection.request("GET", "/", "", &[]).unwrap(), (404, b"no".to_vec()));
        assert!(connection.request("GET", "/", "", &[]).is_err());
    }
}
