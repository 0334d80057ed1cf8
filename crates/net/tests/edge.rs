//! The edge process, on a thread of the test's own network namespace: what it serves, holds and lets go.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;

use common::*;
use model::Protocol;
use model::PublishedPort;
use net::Network;
use net::edge::Client;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// An edge process and a daemon's view of it.
struct Edge {
    directory: tempfile::TempDir,
    client: Client,
    process: JoinHandle<Result<(), net::Error>>,
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
        let process = thread::spawn(move || net::edge::serve(&path));
        let client = connect(directory.path());
        Edge { directory, client, process }
    }

    /// Publishes exactly these ports.
    fn publish(&mut self, network: &Network, ports: &[PublishedPort]) {
        net::edge::write_view(self.directory.path(), ports).unwrap();
        network.set_edge_port(self.client.reload().unwrap()).unwrap();
        network.retain(&[A, B], ports).unwrap();
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
        assert!(matches!(net::edge::serve(edge.directory.path()), Err(net::Error::Served { .. })));
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
            Network::probe_port(&port).unwrap();
            edge.publish(&network, std::slice::from_ref(&port));
            let server = serve_datagrams(namespace, name, 2);
            assert_eq!(exchange(&client, "[::1]:5353"), name);
            assert_eq!(exchange(&client, "[::1]:5353"), name);
            server.join().unwrap();
            assert!(matches!(Network::probe_port(&port), Err(net::Error::PortTaken)));
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
            assert!(matches!(Network::probe_port(port), Err(net::Error::PortTaken)), "{port:?}");
        }
        assert!(TcpListener::bind("0.0.0.0:8080").is_err());
        assert!(TcpListener::bind("[::1]:8080").is_err());
        // The other addresses' 8081 are free.
        assert!(TcpListener::bind("172.30.0.1:8081").is_ok());
        edge.publish(&network, &[]);
        for port in &ports {
            Network::probe_port(port).unwrap();
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
        let own = edge.client.reload().unwrap();
        let answer = fetch(&format!("[{}]:{own}", Ipv6Addr::LOCALHOST));
        assert!(answer.is_err() || answer.is_ok_and(|text| text.is_empty()));
        edge.end();
        network.destroy().unwrap();
    });
}

#[test]
fn the_next_edge_serves_what_the_last_one_served() {
    isolated(|| {
        let network = open("00000026");
        let a = container(&network, A);
        let mut edge = Edge::start();
        edge.publish(&network, &[published(Protocol::Tcp, None, 8080, A)]);
        let directory = edge.end();
        assert!(fetch("[::1]:8080").is_err());
        // What one that was killed leaves behind.
        std::fs::write(directory.path().join("edge.sock"), "").unwrap();
        let mut edge = Edge::serve(directory);
        network.set_edge_port(edge.client.reload().unwrap()).unwrap();
        let server = serve(&a, "a", 1);
        assert_eq!(fetch("[::1]:8080").unwrap(), "a 172.30.0.1");
        server.join().unwrap();
        edge.end();
        network.destroy().unwrap();
    });
}
