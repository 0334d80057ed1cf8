//! The edge process, on a thread of the test's own network namespace: what it serves, holds and lets go.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

#[path = "../../net/tests/common/mod.rs"]
mod common;

use base::Clock;
use common::*;
use model::view::{Member, SearchedNetwork};
use model::{ContainerId, NetworkNames, Protocol, PublishedPort, Resolver, View};
use net::Dataplane;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use traffic::Client;

const OWNER: ContainerId = ContainerId::from_bytes([1; 32]);
const OTHER: ContainerId = ContainerId::from_bytes([2; 32]);

/// An edge process and a daemon's view of it.
struct Edge {
    directory: tempfile::TempDir,
    client: Client,
    process: JoinHandle<Result<(), traffic::Error>>,
}

fn connect(directory: &Path) -> Client {
    for _ in 0..1000 {
        if let Ok(client) = Client::connect(directory) {
            return client;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("the edge process does not answer");
}

impl Edge {
    fn start() -> Edge {
        Edge::serve(tempfile::tempdir().unwrap())
    }

    fn serve(directory: tempfile::TempDir) -> Edge {
        let path = directory.path().to_owned();
        let process = thread::spawn(move || traffic::serve(&path, Clock::system()));
        let client = connect(directory.path());
        Edge { directory, client, process }
    }

    /// Publishes exactly these ports.
    fn publish(&mut self, network: &Dataplane, ports: &[PublishedPort]) {
        self.client.set_ports(OWNER, ports).unwrap();
        network.set_edge_port(self.client.port()).unwrap();
        retain(network, &[A, B], ports);
    }

    fn end(self) -> tempfile::TempDir {
        self.client.exit().unwrap();
        self.process.join().unwrap().unwrap();
        self.directory
    }
}

#[test]
fn the_edge_answers_over_ipv6_for_a_container_without_it() {
    isolated(|| {
        let network = open("0000000e");
        let (a, outside) = (container(&network, A), outside(&network));
        let mut edge = Edge::start();
        edge.publish(&network, &[published(Protocol::Tcp, None, 8080, A)]);
        let server = serve(&a, "a", 3);
        assert_eq!(fetch("[::1]:8080").unwrap(), "a 172.30.0.1");
        assert_eq!(fetch("[fd00:18::1]:8080").unwrap(), "a 172.30.0.1");
        let answer = inside(&outside, || fetch("[fd00:18::1]:8080")).join().unwrap().unwrap();
        assert_eq!(answer, "a 172.30.0.1");
        server.join().unwrap();
        assert!(fetch("[::1]:8081").is_err());
        assert!(matches!(
            traffic::serve(edge.directory.path(), Clock::system()),
            Err(traffic::Error::Served { .. })
        ));
        edge.end();
        network.destroy().unwrap();
    });
}

#[test]
fn a_port_of_one_ipv6_address_answers_there_alone() {
    isolated(|| {
        let network = open("00000020");
        let a = container(&network, A);
        run("ip addr add fd00::1/128 dev lo");
        let mut edge = Edge::start();
        let at = |host: &str| Some(host.parse::<IpAddr>().unwrap());
        let ports =
            [published(Protocol::Tcp, at("::1"), 8080, A), published(Protocol::Tcp, at("fd00::1"), 8081, A)];
        edge.publish(&network, &ports);
        let server = serve(&a, "a", 2);
        assert_eq!(fetch("[::1]:8080").unwrap(), "a 172.30.0.1");
        assert_eq!(fetch("[fd00::1]:8081").unwrap(), "a 172.30.0.1");
        assert!(fetch("[fd00::1]:8080").is_err());
        assert!(fetch("[::1]:8081").is_err());
        assert!(fetch("127.0.0.1:8080").is_err());
        server.join().unwrap();
        edge.end();
        network.destroy().unwrap();
    });
}

#[test]
fn datagrams_over_ipv6_follow_their_port_to_another_container() {
    isolated(|| {
        let network = open("00000021");
        let (a, b) = (container(&network, A), container(&network, B));
        let mut edge = Edge::start();
        let client = datagram_client("::1");
        for (namespace, address, name) in [(&a, A, "a"), (&b, B, "b")] {
            let port = published(Protocol::Udp, None, 5353, address);
            net::probe_port(&port).unwrap();
            edge.publish(&network, std::slice::from_ref(&port));
            let server = serve_datagrams(namespace, name, 2);
            assert_eq!(exchange(&client, "[::1]:5353"), name);
            assert_eq!(exchange(&client, "[::1]:5353"), name);
            server.join().unwrap();
            assert!(matches!(net::probe_port(&port), Err(net::Error::PortTaken)));
            edge.publish(&network, &[]);
        }
        edge.end();
        network.destroy().unwrap();
    });
}

#[test]
fn datagrams_are_answered_from_the_address_that_they_came_to() {
    isolated(|| {
        let network = open("00000022");
        let (a, outside) = (container(&network, A), outside(&network));
        run("ip addr add fd00:18::77/64 dev up0 nodad");
        let mut edge = Edge::start();
        edge.publish(&network, &[published(Protocol::Udp, None, 5353, A)]);
        let server = serve_datagrams(&a, "a", 2);
        let client = inside(&outside, || {
            let client = datagram_client("fd00:18::9");
            (exchange(&client, "[fd00:18::1]:5353"), exchange(&client, "[fd00:18::77]:5353"))
        });
        assert_eq!(client.join().unwrap(), ("a".to_owned(), "a".to_owned()));
        server.join().unwrap();
        edge.end();
        network.destroy().unwrap();
    });
}

#[test]
fn a_published_port_is_taken_for_everybody_else_until_it_is_let_go() {
    isolated(|| {
        let network = open("00000023");
        let mut edge = Edge::start();
        let loopback = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let ports = [
            published(Protocol::Tcp, None, 8080, A),
            published(Protocol::Tcp, loopback, 8081, A),
            published(Protocol::Udp, loopback, 8082, A),
        ];
        edge.publish(&network, &ports);
        for port in &ports {
            assert!(matches!(net::probe_port(port), Err(net::Error::PortTaken)), "{port:?}");
        }
        assert!(TcpListener::bind("0.0.0.0:8080").is_err());
        assert!(TcpListener::bind("[::1]:8080").is_err());
        // The other addresses' 8081 are free.
        assert!(TcpListener::bind("172.30.0.1:8081").is_ok());
        edge.publish(&network, &[]);
        for port in &ports {
            net::probe_port(port).unwrap();
        }
        edge.end();
        network.destroy().unwrap();
    });
}

#[test]
fn each_direction_of_a_connection_ends_by_itself() {
    isolated(|| {
        let network = open("00000024");
        let a = container(&network, A);
        let mut edge = Edge::start();
        edge.publish(&network, &[published(Protocol::Tcp, None, 8080, A)]);
        let (ready, listening) = std::sync::mpsc::channel();
        let server = inside(&a, move || {
            let listener = TcpListener::bind("0.0.0.0:80").unwrap();
            ready.send(()).unwrap();
            let (mut client, _) = listener.accept().unwrap();
            // The answer comes after the request's end.
            let mut request = Vec::new();
            client.read_to_end(&mut request).unwrap();
            client.write_all(&request).unwrap();
        });
        listening.recv().unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
        let mut client = TcpStream::connect("[::1]:8080").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        assert!(received == sent, "{} of {} bytes came back", received.len(), sent.len());
        server.join().unwrap();
        edge.end();
        network.destroy().unwrap();
    });
}

#[test]
fn a_container_that_does_not_listen_resets_its_clients() {
    isolated(|| {
        let network = open("00000025");
        let _a = container(&network, A);
        let mut edge = Edge::start();
        edge.publish(&network, &[published(Protocol::Tcp, None, 8080, A)]);
        assert!(fetch("[::1]:8080").is_err());
        // Nobody is served who comes to the listener itself.
        let own = edge.client.port();
        assert!(fetch(&format!("[{}]:{own}", Ipv6Addr::LOCALHOST)).is_err());
        edge.end();
        network.destroy().unwrap();
    });
}

#[test]
fn a_new_edge_is_told_everything_at_once() {
    isolated(|| {
        let network = open("00000026");
        let a = container(&network, A);
        let mut edge = Edge::start();
        let ports = [published(Protocol::Tcp, None, 8080, A), published(Protocol::Tcp, None, 8081, A)];
        edge.publish(&network, &ports);
        let directory = edge.end();
        assert!(fetch("[::1]:8080").is_err());
        // What one that was killed leaves behind.
        std::fs::write(directory.path().join("edge.sock"), "").unwrap();
        let mut edge = Edge::serve(directory);
        network.set_edge_port(edge.client.port()).unwrap();
        edge.client.set_ports(OWNER, &ports[1..]).unwrap();
        let view = View { ports: [(OWNER, ports[..1].to_vec())].into(), ..View::default() };
        assert!(edge.client.replace(view).unwrap().is_empty());
        let server = serve(&a, "a", 1);
        assert_eq!(fetch("[::1]:8080").unwrap(), "a 172.30.0.1");
        assert!(fetch("[::1]:8081").is_err());
        server.join().unwrap();
        edge.end();
        network.destroy().unwrap();
    });
}

#[test]
fn one_client_reaches_several_ports_from_one_socket() {
    isolated(|| {
        let network = open("00000027");
        let (a, b) = (container(&network, A), container(&network, B));
        let mut edge = Edge::start();
        edge.publish(
            &network,
            &[published(Protocol::Udp, None, 5353, A), published(Protocol::Udp, None, 5354, B)],
        );
        let servers = [serve_datagrams(&a, "a", 2), serve_datagrams(&b, "b", 2)];
        let client = datagram_client("::1");
        for (port, name) in [(5353, "a"), (5354, "b"), (5353, "a"), (5354, "b")] {
            assert_eq!(exchange(&client, &format!("[::1]:{port}")), name);
        }
        servers.into_iter().for_each(|server| server.join().unwrap());
        edge.end();
        network.destroy().unwrap();
    });
}

/// Asks for the address of `web` at 127.0.0.11, from inside a namespace.
fn address_of_web(namespace: &net::Namespace) -> std::io::Result<Ipv4Addr> {
    let asking = inside(namespace, || {
        let client = datagram_client("127.0.0.1");
        client.connect("127.0.0.11:53")?;
        client.send(b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x00\x00\x01\x00\x01")?;
        let mut answer = [0; 512];
        let length = client.recv(&mut answer)?;
        // The last record ends with it.
        Ok(Ipv4Addr::from(*answer[..length].last_chunk::<4>().unwrap()))
    });
    asking.join().unwrap()
}

fn resolver() -> Resolver {
    let networks = vec![SearchedNetwork { network: "n".to_owned(), ..SearchedNetwork::default() }];
    Resolver { networks, ..Resolver::default() }
}

fn sockets(namespace: &net::Namespace) -> Option<[std::os::fd::OwnedFd; 2]> {
    let opened = net::resolver_sockets(namespace).unwrap();
    Some([opened.datagrams, opened.listener])
}

#[test]
fn names_and_ports_go_on_without_a_daemon_and_are_taken_over_by_the_next() {
    isolated(|| {
        let network = open("00000028");
        let (a, b) = (container(&network, A), container(&network, B));
        let mut edge = Edge::start();
        edge.publish(&network, &[published(Protocol::Tcp, None, 8080, A)]);
        let web = Member { name: "web".to_owned(), ipv4: Some(A), ..Member::default() };
        let names = NetworkNames { name: "front".to_owned(), members: [(OWNER, web.clone())].into() };
        edge.client.set_network("n", names.clone()).unwrap();
        assert!(!edge.client.set_resolver(OWNER, resolver(), None).unwrap(), "nobody opened its sockets");
        assert!(edge.client.set_resolver(OWNER, resolver(), sockets(&a)).unwrap());
        assert!(edge.client.set_member("nowhere", OWNER, web).is_err());
        let Edge { directory, client, process } = edge;
        drop(client);
        assert_eq!(address_of_web(&a).unwrap(), A);
        let server = serve(&a, "a", 1);
        assert_eq!(fetch("[::1]:8080").unwrap(), "a 172.30.0.1");
        server.join().unwrap();
        // The next daemon knows of one more container, whose sockets it has to open.
        let mut edge = Edge { client: connect(directory.path()), directory, process };
        let view = View {
            networks: [("n".to_owned(), names)].into(),
            resolvers: [(OWNER, resolver()), (OTHER, resolver())].into(),
            ..View::default()
        };
        assert_eq!(edge.client.replace(view).unwrap(), [OTHER]);
        assert!(edge.client.set_resolver(OTHER, resolver(), sockets(&b)).unwrap());
        assert_eq!(address_of_web(&a).unwrap(), A);
        assert_eq!(address_of_web(&b).unwrap(), A);
        assert!(fetch("[::1]:8080").is_err());
        edge.client.drop_resolver(OTHER).unwrap();
        assert!(address_of_web(&b).is_err());
        edge.end();
        network.destroy().unwrap();
    });
}

#[test]
fn ten_thousand_ports_take_memory_alone() {
    isolated(|| {
        let network = open("00000029");
        let a = container(&network, A);
        let mut edge = Edge::start();
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        edge.publish(&network, &[published(Protocol::Tcp, None, 9_999, A)]);
        let before = descriptors();
        let ports: Vec<PublishedPort> = (10_000..15_000)
            .flat_map(|port| [Protocol::Tcp, Protocol::Udp].map(|kind| published(kind, None, port, A)))
            .collect();
        edge.publish(&network, &ports);
        assert!(descriptors() < before + 70, "{} descriptors more", descriptors() - before);
        let server = serve(&a, "a", 1);
        assert_eq!(fetch("[::1]:14999").unwrap(), "a 172.30.0.1");
        server.join().unwrap();
        let server = serve_datagrams(&a, "a", 1);
        assert_eq!(exchange(&datagram_client("::1"), "[::1]:14999"), "a");
        server.join().unwrap();
        edge.end();
        network.destroy().unwrap();
    });
}
