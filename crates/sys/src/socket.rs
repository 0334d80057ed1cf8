//! Options of sockets: what netfilter knows of a redirected connection, and how netlink explains itself.

use crate::process::check;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use std::net::{Ipv6Addr, SocketAddrV6};

/// `IP6T_SO_ORIGINAL_DST` of linux/netfilter_ipv6/ip6_tables.h.
const ORIGINAL_DESTINATION: libc::c_int = 80;
// Of linux/netlink.h, netlink(7).
const SOL_NETLINK: libc::c_int = 270;
const NETLINK_CAP_ACK: libc::c_int = 10;
const NETLINK_EXT_ACK: libc::c_int = 11;

/// Where a redirected IPv6 connection was going before.
///
/// # Errors
/// `ENOENT` if the connection is not known to the connection tracking.
pub fn original_destination(socket: impl AsFd) -> Result<SocketAddrV6, Errno> {
    // SAFETY: `sockaddr_in6` is plain bytes, for which zeroes are valid.
    let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    let (descriptor, out) = (socket.as_fd().as_raw_fd(), (&raw mut address).cast());
    // SAFETY: the kernel writes at most `length` bytes into `address`, which lives across the call.
    let outcome =
        unsafe { libc::getsockopt(descriptor, libc::SOL_IPV6, ORIGINAL_DESTINATION, out, &raw mut length) };
    check(outcome.into())?;
    Ok(SocketAddrV6::new(Ipv6Addr::from(address.sin6_addr.s6_addr), u16::from_be(address.sin6_port), 0, 0))
}

/// Lets the kernel answer refusals with its reason as text, and without repeating the request.
///
/// # Errors
/// `ENOPROTOOPT` on kernels before 4.12.
pub fn explain_refusals(socket: impl AsFd) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    for option in [NETLINK_CAP_ACK, NETLINK_EXT_ACK] {
        // SAFETY: the kernel reads one `int` from `on`, which lives across the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_fd().as_raw_fd(),
                SOL_NETLINK,
                option,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        check(result.into())?;
    }
    Ok(())
}
