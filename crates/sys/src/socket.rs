//! What sockets know beyond `rustix`: where a redirected connection was going, which of the host's addresses a datagram came to,
//! and why netlink refuses.

use crate::process::check;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// `IP6T_SO_ORIGINAL_DST` of linux/netfilter_ipv6/ip6_tables.h, and `SO_ORIGINAL_DST` of linux/netfilter_ipv4.h.
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

/// The same for a connection of IPv4, be it on a socket of both families.
///
/// # Errors
/// `ENOENT` if the connection is not known to the connection tracking.
pub fn original_destination4(socket: impl AsFd) -> Result<SocketAddrV4, Errno> {
    // SAFETY: `sockaddr_in` is plain bytes, for which zeroes are valid.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    let (descriptor, out) = (socket.as_fd().as_raw_fd(), (&raw mut address).cast());
    // SAFETY: the kernel writes at most `length` bytes into `address`, which lives across the call.
    let outcome =
        unsafe { libc::getsockopt(descriptor, libc::SOL_IP, ORIGINAL_DESTINATION, out, &raw mut length) };
    check(outcome.into())?;
    Ok(SocketAddrV4::new(
        Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)),
        u16::from_be(address.sin_port),
    ))
}

/// Room for one control message with a `struct in6_pktinfo`, rounded up, aligned as control messages must be.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Between whom a datagram went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DatagramPath {
    /// The other side.
    pub peer: SocketAddr,
    /// This host's address, where [`tell_local_addresses`] asked for it; one of IPv4 in its mapped form.
    pub local: Option<Ipv6Addr>,
}

/// Lets an IPv6 socket tell for each datagram the address that it came to, ipv6(7) and RFC 3542.
///
/// # Errors
/// `ENOPROTOOPT` on a socket of another family.
pub fn tell_local_addresses(socket: impl AsFd) -> Result<(), Errno> {
    switch_on(socket, libc::SOL_IPV6, libc::IPV6_RECVPKTINFO)
}

/// Takes one datagram, without waiting for it: its length in bytes, and between whom it went.
///
/// # Errors
/// `EAGAIN` if there is none.
pub fn receive_datagram(socket: impl AsFd, bytes: &mut [u8]) -> Result<(usize, DatagramPath), Errno> {
    // SAFETY: `sockaddr_storage` is plain bytes, for which zeroes are valid.
    let mut name: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: `msghdr` is plain bytes and pointers, for which zeroes are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: all that `message` points to lives across the call and is as long as it says.
    let length = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) }
        as libc::c_long;
    let length = usize::try_from(check(length)?).map_err(|_| Errno::INVAL)?;
    let mut local = None;
    // SAFETY: `message` and its control bytes were filled in by the kernel.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    if !first.is_null() {
        // SAFETY: a first header, where there is one, lies whole within the control bytes, which are aligned for it.
        let header = unsafe { first.read() };
        let is_info = header.cmsg_level == libc::SOL_IPV6 && header.cmsg_type == libc::IPV6_PKTINFO;
        if is_info && header.cmsg_len as usize >= control_length() {
            // SAFETY: by its type and length a `struct in6_pktinfo` follows the header within the control bytes.
            let info = unsafe { libc::CMSG_DATA(first).cast::<libc::in6_pktinfo>().read_unaligned() };
            local = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
        }
    }
    Ok((length, DatagramPath { peer: socket_address(&name)?, local }))
}

/// `CMSG_LEN` of a `struct in6_pktinfo`.
fn control_length() -> usize {
    // SAFETY: a computation on a number.
    unsafe { libc::CMSG_LEN(size_of::<libc::in6_pktinfo>() as libc::c_uint) as usize }
}

fn socket_address(name: &libc::sockaddr_storage) -> Result<SocketAddr, Errno> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: `sockaddr_storage` is longer than `sockaddr_in`, aligned for it, and of this family.
            let name = unsafe { (&raw const *name).cast::<libc::sockaddr_in>().read() };
            let address = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Ok(SocketAddrV4::new(address, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for `sockaddr_in6`.
            let name = unsafe { (&raw const *name).cast::<libc::sockaddr_in6>().read() };
            let address = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Ok(SocketAddrV6::new(address, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => Err(Errno::AFNOSUPPORT),
    }
}

/// Sends one datagram, without waiting, from the address that the path names.
///
/// # Errors
/// `EAGAIN` if there is no room for it; what the kernel knows of the way there.
pub fn send_datagram(socket: impl AsFd, bytes: &[u8], path: &DatagramPath) -> Result<(), Errno> {
    let (SocketAddr::V6(peer), Some(local)) = (path.peer, path.local) else {
        return rustix::net::sendto(&socket, bytes, rustix::net::SendFlags::DONTWAIT, &path.peer).map(drop);
    };
    // SAFETY: `sockaddr_in6` is plain bytes, for which zeroes are valid.
    let mut name: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
    name.sin6_port = peer.port().to_be();
    name.sin6_addr.s6_addr = peer.ip().octets();
    name.sin6_scope_id = peer.scope_id();
    // The way back is routed: only the address is given, not the link.
    let info = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: local.octets() }, ipi6_ifindex: 0 };
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: `msghdr` is plain bytes and pointers, for which zeroes are valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control_length() as _;
    // SAFETY: the control bytes are aligned and have room for a header and a `struct in6_pktinfo`.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const message);
        (*first).cmsg_level = libc::SOL_IPV6;
        (*first).cmsg_type = libc::IPV6_PKTINFO;
        (*first).cmsg_len = control_length() as _;
        libc::CMSG_DATA(first).cast::<libc::in6_pktinfo>().write_unaligned(info);
    }
    // SAFETY: all that `message` points to lives across the call and is as long as it says; the kernel only reads it.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) }
        as libc::c_long;
    check(sent).map(drop)
}

/// Lets the kernel answer refusals with its reason as text, and without repeating the request.
///
/// # Errors
/// `ENOPROTOOPT` on kernels before 4.12.
pub fn explain_refusals(socket: impl AsFd) -> Result<(), Errno> {
    switch_on(&socket, SOL_NETLINK, NETLINK_CAP_ACK)?;
    switch_on(&socket, SOL_NETLINK, NETLINK_EXT_ACK)
}

/// Sets an option that is a truth value, setsockopt(2).
fn switch_on(socket: impl AsFd, level: libc::c_int, option: libc::c_int) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads one `int` from `on`, which lives across the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    check(result.into()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn bound(address: &str) -> UdpSocket {
        UdpSocket::bind(address).unwrap()
    }

    #[test]
    fn a_datagram_tells_which_address_it_came_to_and_is_answered_from_there() {
        let server = bound("[::]:0");
        tell_local_addresses(&server).unwrap();
        let port = server.local_addr().unwrap().port();
        for (own, to) in [("[::1]:0", "[::1]"), ("127.0.0.2:0", "127.0.0.3")] {
            let client = bound(own);
            let to: SocketAddr = format!("{to}:{port}").parse().unwrap();
            client.send_to(b"hello", to).unwrap();
            let mut buffer = [0; 8];
            // Loopback delivers before the sender returns.
            let (length, path) = receive_datagram(&server, &mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"hello");
            assert_eq!(path.local.map(|local| local.to_canonical()), Some(to.ip()));
            send_datagram(&server, b"you", &path).unwrap();
            assert_eq!(client.recv_from(&mut buffer).unwrap(), (3, to));
        }
    }

    #[test]
    fn a_socket_of_ipv4_knows_no_local_address_and_is_answered_all_the_same() {
        let (server, client) = (bound("127.0.0.1:0"), bound("127.0.0.1:0"));
        assert!(matches!(receive_datagram(&server, &mut [0; 8]), Err(Errno::AGAIN)));
        client.send_to(b"hello", server.local_addr().unwrap()).unwrap();
        let (_, path) = receive_datagram(&server, &mut [0; 8]).unwrap();
        assert_eq!(path, DatagramPath { peer: client.local_addr().unwrap(), local: None });
        send_datagram(&server, b"you", &path).unwrap();
        assert_eq!(client.recv_from(&mut [0; 8]).unwrap().0, 3);
    }
}
