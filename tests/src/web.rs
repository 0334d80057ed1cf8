//! Pages as a client of this machine sees them, through curl(1), and the addresses they are asked for at.

use std::net::{TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

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

/// The ports that the kernel gives to nobody by itself: below its dynamic ones, above those that services have.
const FIXED_PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A TCP port that nothing on this machine listens at, nor will by chance. Tests that run at the same time start at different
/// places, by their process ids.
///
/// # Panics
/// Where no port is left.
#[must_use]
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(FIXED_PORTS.end - FIXED_PORTS.start);
    let first = std::process::id().wrapping_mul(97);
    let ports = (0..count).map(|_| {
        let next = first.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        FIXED_PORTS.start + u16::try_from(next % count).unwrap_or(0)
    });
    let mut free = ports.filter(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok());
    free.next().expect("a port can be had")
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
