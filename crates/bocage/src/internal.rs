//! Roles that are not for typing: the edge process, the demonstration's web server, and texts for the project's own tools.

use base::Chain;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The port of the demonstration's web server.
const WEB_PORT: u16 = 80;
/// How long a client may take to say what it wants.
const WEB_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of a request that are read.
const WEB_REQUEST_BYTES_MAX: u64 = 16 << 10;

/// `bocage edge --dir DIRECTORY`.
pub(crate) fn edge(arguments: &[OsString]) -> ExitCode {
    let [flag, directory] = arguments else { return usage() };
    if flag != "--dir" {
        return usage();
    }
    // What the daemon's terminal or session does is none of its business.
    let _ = rustix::process::setsid();
    match traffic::serve(Path::new(directory), base::Clock::system()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("edge: {}", Chain(&error))),
    }
}

/// `bocage internal web | api-coverage`.
pub(crate) fn run(arguments: &[OsString]) -> ExitCode {
    match arguments.first().and_then(|word| word.to_str()) {
        Some("web") => match web() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("web: listen on port {WEB_PORT}: {error}")),
        },
        Some("api-coverage") => {
            cli::print(&api_docker::coverage::markdown());
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    fail("this role is started by bocage itself; `bocage --help` lists the commands")
}

fn fail(message: &str) -> ExitCode {
    cli::print_error(message);
    ExitCode::FAILURE
}

/// A web server of one page: which container answers. Its image asks to be stopped by SIGKILL: it holds nothing.
fn web() -> std::io::Result<()> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, WEB_PORT))?;
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for client in listener.incoming() {
        // One client that breaks off is not the end of the server.
        let _ = client.and_then(|client| answer(client, &hostname));
    }
    Ok(())
}

fn answer(mut client: TcpStream, hostname: &str) -> std::io::Result<()> {
    client.set_read_timeout(Some(WEB_TIMEOUT))?;
    client.set_write_timeout(Some(WEB_TIMEOUT))?;
    let mut lines = BufReader::new(client.try_clone()?.take(WEB_REQUEST_BYTES_MAX)).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (status, body) = match first.split(' ').nth(1) {
        Some("/") => (
            "200 OK",
            format!("<!doctype html>\n<title>Bocage</title>\n<h1>Hello from container {hostname}</h1>\n"),
        ),
        _ => ("404 Not Found", "not found: this server has one page, /\n".to_owned()),
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
