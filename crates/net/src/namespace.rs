//! Network namespaces, made ahead of need.
//!
//! Making one costs the kernel more than everything else that a container's network needs, so a few are kept ready. Each is
//! made by a short-lived thread that enters it: the thread leaves behind a descriptor of the namespace and a netlink socket
//! that works inside it from anywhere.

use crate::netlink::Socket;
use crate::{Error, link, setting};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};
use sys::process::{NewNamespaces, unshare};

/// Namespaces that are kept ready.
pub(crate) const READY_MAX: usize = 8;
/// Stack of the thread that makes one, in bytes.
const STACK_BYTES: usize = 64 << 10;
/// What every namespace is set to. A namespace's ports and its ICMP sockets are nobody else's, so a program there needs no privilege
/// for port 80 or to ping, ip(7) and icmp(7), as Docker has it since 20.10. Without addresses of its family, IPv6 stays
/// off but on the loopback link.
const SETTINGS: [(&str, &str); 3] = [
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
    ("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"),
];

/// Does something on a thread of its own, which may enter a namespace: it ends there.
fn in_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).map_err(Error::Namespace)?;
    thread.join().unwrap_or_else(|_| {
        Err(Error::Namespace(io::Error::other("the thread inside the namespace panicked")))
    })
}

/// Moves the calling thread into a network namespace.
fn enter(file: &OwnedFd) -> Result<(), Error> {
    let kind = Some(rustix::thread::LinkNameSpaceType::Network);
    rustix::thread::move_into_link_name_space(file.as_fd(), kind)
        .map_err(|errno| Error::Namespace(errno.into()))
}

/// Does something in a network namespace, on a thread of its own that enters it.
pub(crate) fn inside<T: Send + 'static>(
    file: OwnedFd,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    in_thread(move || {
        enter(&file)?;
        work()
    })
}

/// A network namespace with its loopback link up. It lives as long as the descriptor, or a process in it.
pub struct Namespace {
    file: OwnedFd,
    socket: Socket,
}

impl Namespace {
    /// Makes one.
    pub(crate) fn make() -> Result<Namespace, Error> {
        Namespace::prepare(|| {
            unshare(NewNamespaces::NETWORK).map_err(|errno| Error::Namespace(errno.into()))?;
            Ok(File::open("/proc/thread-self/ns/net").map_err(Error::Namespace)?.into())
        })
    }

    /// One that exists, and in which nothing was set up yet.
    ///
    /// # Errors
    /// Where it cannot be entered, or a setting is refused.
    pub fn adopt(file: OwnedFd) -> Result<Namespace, Error> {
        Namespace::prepare(move || {
            enter(&file)?;
            Ok(file)
        })
    }

    /// Sets one up, in a thread that `enter`s it.
    fn prepare(enter: impl FnOnce() -> Result<OwnedFd, Error> + Send + 'static) -> Result<Namespace, Error> {
        in_thread(move || {
            let file = enter()?;
            let socket = Socket::open_route()?;
            link::loopback_up(&socket)?;
            for (path, value) in SETTINGS {
                match std::fs::write(path, value) {
                    // A kernel without IPv6 needs no switch.
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::Setting { path: path.into(), source: error });
                    }
                    _ => {}
                }
            }
            Ok(Namespace { file, socket })
        })
    }

    /// One that a process lives in, as it is.
    ///
    /// # Errors
    /// Where it cannot be entered.
    pub fn join(file: OwnedFd) -> Result<Namespace, Error> {
        let entered = file.try_clone().map_err(Error::Namespace)?;
        let socket = inside(entered, Socket::open_route)?;
        Ok(Namespace { file, socket })
    }

    /// Lets a link inside have addresses of IPv6: those that it is given, and none that it makes up or hears of.
    ///
    /// # Errors
    /// Where it cannot be entered, or a setting is refused.
    pub(crate) fn allow_ipv6(&self, link: &str) -> Result<(), Error> {
        let (file, link) = (self.file.try_clone().map_err(Error::Namespace)?, link.to_owned());
        inside(file, move || {
            for (name, value) in [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")] {
                setting::of_link("ipv6", &link, name, value)?;
            }
            Ok(())
        })
    }

    /// A netlink socket inside.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The descriptor alone.
    pub fn into_fd(self) -> OwnedFd {
        self.file
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The namespaces that are ready.
#[derive(Default)]
pub(crate) struct Pool {
    ready: Mutex<Vec<Namespace>>,
}

impl Pool {
    /// One that is ready, or a new one.
    pub(crate) fn take(&self) -> Result<Namespace, Error> {
        self.take_ready().map_or_else(Namespace::make, Ok)
    }

    /// One that is ready, if there is.
    pub(crate) fn take_ready(&self) -> Option<Namespace> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Whether fewer than half are ready.
    pub(crate) fn runs_low(&self) -> bool {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).len() < READY_MAX / 2
    }

    /// Makes one more, unless enough are ready.
    pub(crate) fn refill(&self) -> Result<(), Error> {
        if self.ready.lock().unwrap_or_else(PoisonError::into_inner).len() >= READY_MAX {
            return Ok(());
        }
        let made = Namespace::make()?;
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(made);
        Ok(())
    }
}
