//! Deletes the links of containers that ended, away from the path of those who wait.
//!
//! Deleting a link costs its caller tens of milliseconds: the kernel waits until nobody can be looking at it any more. When the last
//! process of a container has ended the kernel deletes its link by itself, many at a time and while nobody waits.
//! So links are left to it for a moment, and only those are deleted that are still there afterwards, because
//! something else keeps the namespace alive.
//!
//! A link is named by its index, which is not given out again, so a new link of the same name is never meant. The thread
//! ends when there is nothing left to do. What it could not delete is told to whoever detaches next, and removed by the next
//! [`crate::Network::retain`].

use crate::netlink::Socket;
use crate::{Error, link};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the kernel is given.
const GRACE: Duration = Duration::from_millis(100);
/// Stack of the thread, in bytes.
const STACK_BYTES: usize = 64 << 10;

#[derive(Default)]
struct Doomed {
    links: Vec<u32>,
    is_running: bool,
    failure: Option<Error>,
}

struct Shared {
    socket: Socket,
    doomed: Mutex<Doomed>,
}

impl Shared {
    fn doomed(&self) -> MutexGuard<'_, Doomed> {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            std::thread::sleep(GRACE);
            let links = std::mem::take(&mut self.doomed().links);
            for index in links {
                if let Err(error) = link::delete_index(&self.socket, index) {
                    self.doomed().failure = Some(error);
                }
            }
            let mut doomed = self.doomed();
            if doomed.links.is_empty() {
                doomed.is_running = false;
                return;
            }
        }
    }
}

/// Deletes links later.
pub(crate) struct Reaper {
    shared: Arc<Shared>,
}

impl Reaper {
    pub(crate) fn new() -> Result<Reaper, Error> {
        Ok(Reaper { shared: Arc::new(Shared { socket: Socket::open_route()?, doomed: Mutex::default() }) })
    }

    /// Sees to it that a link is gone soon. An error is of an earlier link.
    pub(crate) fn delete(&self, index: u32) -> Result<(), Error> {
        let mut doomed = self.shared.doomed();
        doomed.links.push(index);
        if !doomed.is_running {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || shared.run());
            if thread.is_err() {
                doomed.links.pop();
                drop(doomed);
                return link::delete_index(&self.shared.socket, index);
            }
            doomed.is_running = true;
        }
        doomed.failure.take().map_or(Ok(()), Err)
    }
}
