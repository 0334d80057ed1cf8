//! The daemon's end of the control connection.

use crate::Error;
use crate::control::{Answer, Request, SOCKET, file, line, socket_path};
use model::{ContainerId, Member, NetworkNames, PublishedPort, Resolver, View};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an answer of the process is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to an edge process. Every method is one request and waits for its answer.
pub struct Client {
    stream: BufReader<UnixStream>,
    port: u16,
}

fn talk(operation: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Talk { operation, source }
}

impl Client {
    /// Connects to the process that serves a directory.
    ///
    /// # Errors
    /// None serves it.
    pub fn connect(directory: &Path) -> Result<Client, Error> {
        let failed = "connect to the edge process of";
        let (_directory, path) = socket_path(directory)?;
        let stream = UnixStream::connect(&path).map_err(file(failed, directory))?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(file(failed, directory))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(file(failed, directory))?;
        let mut client = Client { stream: BufReader::new(stream), port: 0 };
        client.port = client.ask(&Request::Greet, &[])?.port;
        Ok(client)
    }

    /// The port that redirected connections and datagrams must come to. It is the same as long as the process lives.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process that answers, so that its end can be waited for: readable once it has ended, pidfd_open(2).
    ///
    /// # Errors
    /// It has ended already.
    pub fn process(&self) -> Result<OwnedFd, Error> {
        let failed = |errno: rustix::io::Errno| Error::File {
            operation: "watch the edge process",
            path: PathBuf::from(SOCKET),
            source: errno.into(),
        };
        let peer = rustix::net::sockopt::socket_peercred(self.stream.get_ref()).map_err(failed)?;
        rustix::process::pidfd_open(peer.pid, rustix::process::PidfdFlags::empty()).map_err(failed)
    }

    fn ask(&mut self, request: &Request, sockets: &[OwnedFd]) -> Result<Answer, Error> {
        let bytes = line(request).map_err(talk("write a request to"))?;
        self.send(&bytes, sockets).map_err(talk("write a request to"))?;
        let mut answer = String::new();
        self.stream.read_line(&mut answer).map_err(talk("wait for an answer of"))?;
        let answer: Answer =
            serde_json::from_str(&answer).map_err(|error| talk("understand the answer of")(error.into()))?;
        match answer.refusal {
            Some(reason) => Err(Error::Refused { reason }),
            None => Ok(answer),
        }
    }

    /// Sends a line; the sockets go with its first bytes.
    fn send(&mut self, bytes: &[u8], sockets: &[OwnedFd]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("there is no room for so many sockets"));
        }
        let stream = self.stream.get_mut();
        let sent = sendmsg(&*stream, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        stream.write_all(&bytes[sent..])
    }

    /// Lets it answer for exactly these ports of a container.
    ///
    /// # Errors
    /// It did not answer, or refused.
    pub fn set_ports(&mut self, owner: ContainerId, ports: &[PublishedPort]) -> Result<(), Error> {
        self.ask(&Request::SetPorts { owner, ports: ports.to_vec() }, &[]).map(drop)
    }

    /// Tells it of a network and all its members.
    ///
    /// # Errors
    /// It did not answer, or refused.
    pub fn set_network(&mut self, network: &str, names: NetworkNames) -> Result<(), Error> {
        self.ask(&Request::SetNetwork { network: network.to_owned(), names }, &[]).map(drop)
    }

    /// Lets it forget a network.
    ///
    /// # Errors
    /// It did not answer.
    pub fn drop_network(&mut self, network: &str) -> Result<(), Error> {
        self.ask(&Request::DropNetwork { network: network.to_owned() }, &[]).map(drop)
    }

    /// Tells it of one member of a network that it knows.
    ///
    /// # Errors
    /// It did not answer, or does not know the network.
    pub fn set_member(&mut self, network: &str, id: ContainerId, member: Member) -> Result<(), Error> {
        self.ask(&Request::SetMember { network: network.to_owned(), id, member }, &[]).map(drop)
    }

    /// Lets it forget a member of a network.
    ///
    /// # Errors
    /// It did not answer.
    pub fn drop_member(&mut self, network: &str, id: ContainerId) -> Result<(), Error> {
        self.ask(&Request::DropMember { network: network.to_owned(), id }, &[]).map(drop)
    }

    /// Lets it answer a container's queries; on these sockets, one for datagrams and one that listens, or without them on those
    /// that it has. Tells whether it has any.
    ///
    /// # Errors
    /// It did not answer, or refused.
    pub fn set_resolver(
        &mut self,
        container: ContainerId,
        resolver: Resolver,
        sockets: Option<[OwnedFd; 2]>,
    ) -> Result<bool, Error> {
        let sockets = sockets.map_or_else(Vec::new, Vec::from);
        let answer = self.ask(&Request::SetResolver { container, resolver }, &sockets)?;
        Ok(answer.without_sockets.is_empty())
    }

    /// Lets it answer them no longer; its sockets are closed when this returns.
    ///
    /// # Errors
    /// It did not answer.
    pub fn drop_resolver(&mut self, container: ContainerId) -> Result<(), Error> {
        self.ask(&Request::DropResolver { container }, &[]).map(drop)
    }

    /// Tells it everything, in place of all it knew. Returns the containers whose sockets it does not have.
    ///
    /// # Errors
    /// It did not answer, or refused.
    pub fn replace(&mut self, view: View) -> Result<Vec<ContainerId>, Error> {
        self.ask(&Request::Replace { view }, &[]).map(|answer| answer.without_sockets)
    }

    /// Ends it.
    ///
    /// # Errors
    /// It did not answer.
    pub fn exit(mut self) -> Result<(), Error> {
        self.ask(&Request::Exit, &[]).map(drop)
    }
}
