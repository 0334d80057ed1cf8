//! Pages as a client of this machine sees them, through curl(1), and the addresses they are asked for at.

use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};

/// The page at an address, or nothing where there is none within three seconds or its status is not 200.
#[must_use]
pub fn page(url: &str) -> Option<String> {
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--noproxy", "*", "--globoff", "--max-time", "3", url])
        .stdin(Stdio::null())
        .output()
        .expect("curl can be started");
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A TCP port that nothing on this machine listens at, nor will by chance: the kernel gives it to nobody for a while.
///
/// # Panics
/// Where the kernel has no port left.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port can be had");
    listener.local_addr().expect("a socket has an address").port()
}

/// An address of this machine other than loopback's: the one that it would speak to the world from.
#[must_use]
pub fn host_address() -> Option<String> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    // Sends nothing: only the route is looked up. The address is one of those kept for documentation (RFC 5737).
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}
