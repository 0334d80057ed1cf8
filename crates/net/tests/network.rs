//! The bridge in a network namespace of the test's own: containers reach each other, published ports answer, and nothing is
//! left behind. Each test is a thread that enters a namespace, so the machine's own network is never touched.

use model::Protocol;
use net::{Endpoint, Ipv4Net, Namespace, NetConfig, Network, PublishedPort};
use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use sys::process::{NewNamespaces, unshare};

const A: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
const B: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 3);

/// Runs a test in a network namespace of its own; without the right to make one it is skipped, and says so.
fn isolated(test: impl FnOnce() + Send + 'static) {
    let outcome = thread::spawn(|| {
        if unshare(NewNamespaces::NETWORK.and(NewNamespaces::MOUNT)).is_err() {
            eprintln!("SKIP: network namespaces need root");
            return;
        }
        run("ip link set lo up");
        test();
    });
    if let Err(panic) = outcome.join() {
        std::panic::resume_unwind(panic);
    }
}

fn run(command: &str) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn open(daemon: &str) -> Network {
    let subnet = Ipv4Net { address: Ipv4Addr::new(172, 30, 0, 0), prefix: 16 };
    let gateway = Ipv4Addr::new(172, 30, 0, 1);
    Network::open(NetConfig { daemon: daemon.to_owned(), subnet, gateway, mtu: net::MTU }).unwrap()
}

fn container(network: &Network, address: Ipv4Addr) -> Namespace {
    let namespace = network.namespace().unwrap();
    let [a, b, c, d] = address.octets();
    network.attach(&namespace, &Endpoint { address, mac: [0x02, 0x42, a, b, c, d] }).unwrap();
    namespace
}

fn published(protocol: Protocol, host: Option<IpAddr>, host_port: u16, address: Ipv4Addr) -> PublishedPort {
    PublishedPort { protocol, host, host_port, address, port: 80 }
}

/// Runs something inside a namespace, on a thread of its own.
fn inside<T: Send + 'static>(
    namespace: &Namespace,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let namespace = namespace.as_fd().try_clone_to_owned().unwrap();
    let (ready, entered) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        ready.send(()).unwrap();
        work()
    });
    entered.recv().unwrap();
    thread
}

/// A server on port 80 inside that answers each of `times` clients with its own name and theirs.
fn serve(namespace: &Namespace, name: &'static str, times: usize) -> JoinHandle<()> {
    let (ready, listening) = std::sync::mpsc::channel();
    let thread = inside(namespace, move || {
        let listener = TcpListener::bind("0.0.0.0:80").unwrap();
        ready.send(()).unwrap();
        for _ in 0..times {
            let (mut client, from) = listener.accept().unwrap();
            client.write_all(format!("{name} {}", from.ip()).as_bytes()).unwrap();
        }
    });
    listening.recv().unwrap();
    thread
}

fn fetch(address: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn a_published_port_answers_on_loopback_on_other_addresses_and_from_containers() {
    isolated(|| {
        let network = open("0000000a");
        let (a, b) = (container(&network, A), container(&network, B));
        network.publish(&[published(Protocol::Tcp, None, 8080, A)]).unwrap();
        let server = serve(&a, "a", 5);
        assert_eq!(fetch("172.30.0.2:80").unwrap(), "a 172.30.0.1");
        assert_eq!(fetch("127.0.0.1:8080").unwrap(), "a 172.30.0.1");
        assert_eq!(fetch("172.30.0.1:8080").unwrap(), "a 172.30.0.1");
        // From a neighbour, and from itself: the answer comes back through the host.
        assert_eq!(inside(&b, || fetch("172.30.0.1:8080")).join().unwrap().unwrap(), "a 172.30.0.1");
        assert_eq!(inside(&a, || fetch("172.30.0.1:8080")).join().unwrap().unwrap(), "a 172.30.0.1");
        server.join().unwrap();
        network.unpublish(&[published(Protocol::Tcp, None, 8080, A)]).unwrap();
        assert!(fetch("127.0.0.1:8080").is_err());
        network.destroy().unwrap();
    });
}

#[test]
fn a_port_of_one_address_answers_there_alone() {
    isolated(|| {
        let network = open("0000000b");
        let a = container(&network, A);
        let host = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        network.publish(&[published(Protocol::Tcp, host, 8080, A)]).unwrap();
        let server = serve(&a, "a", 1);
        assert!(fetch("172.30.0.1:8080").is_err());
        assert_eq!(fetch("127.0.0.1:8080").unwrap(), "a 172.30.0.1");
        server.join().unwrap();
        network.destroy().unwrap();
    });
}

#[test]
fn clients_from_outside_keep_their_address_and_reach_published_ports_only() {
    isolated(|| {
        let network = open("0000000c");
        let a = container(&network, A);
        let outside = network.namespace().unwrap();
        run("ip link add up0 type veth peer name up1");
        run("ip addr add 198.18.0.1/24 dev up0");
        run("ip link set up0 up");
        // The other end goes to the outside, by the descriptor that the thread there holds open.
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let (pid, got) = std::sync::mpsc::channel();
        let holder = inside(&outside, move || {
            pid.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
            told.recv().unwrap();
            run("ip addr add 198.18.0.9/24 dev up1");
            run("ip link set up1 up");
            run("ip route add default via 198.18.0.1");
        });
        run(&format!("ip link set up1 netns {}", got.recv().unwrap()));
        tell.send(()).unwrap();
        holder.join().unwrap();
        network.publish(&[published(Protocol::Tcp, None, 8080, A)]).unwrap();
        let server = serve(&a, "a", 1);
        let direct = inside(&outside, || {
            let address: SocketAddr = "172.30.0.2:80".parse().unwrap();
            TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_err()
        });
        assert!(direct.join().unwrap(), "a port that is not published can be reached from outside");
        let answer = inside(&outside, || fetch("198.18.0.1:8080")).join().unwrap().unwrap();
        assert_eq!(answer, "a 198.18.0.9");
        server.join().unwrap();
        network.destroy().unwrap();
    });
}

#[test]
fn datagrams_are_published_too() {
    isolated(|| {
        let network = open("0000000d");
        let a = container(&network, A);
        network.publish(&[published(Protocol::Udp, None, 5353, A)]).unwrap();
        let (ready, bound) = std::sync::mpsc::channel();
        let server = inside(&a, move || {
            let socket = UdpSocket::bind("0.0.0.0:80").unwrap();
            ready.send(()).unwrap();
            let mut buffer = [0; 16];
            let (length, client) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&buffer[..length], client).unwrap();
        });
        bound.recv().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.send_to(b"hello", "127.0.0.1:5353").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(client.recv(&mut buffer).unwrap(), 5);
        server.join().unwrap();
        network.destroy().unwrap();
    });
}

#[test]
fn the_edge_answers_over_ipv6_for_a_container_without_it() {
    isolated(|| {
        let network = open("0000000e");
        let a = container(&network, A);
        let ports = [published(Protocol::Tcp, None, 8080, A)];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let edge = thread::spawn(move || net::edge::serve(&path));
        let mut client = loop {
            match net::edge::Client::connect(directory.path()) {
                Ok(client) => break client,
                Err(_) => thread::yield_now(),
            }
        };
        net::edge::write_view(directory.path(), &ports).unwrap();
        network.set_edge_port(client.reload().unwrap()).unwrap();
        network.publish(&ports).unwrap();
        let server = serve(&a, "a", 1);
        assert_eq!(fetch("[::1]:8080").unwrap(), "a 172.30.0.1");
        server.join().unwrap();
        assert!(matches!(net::edge::serve(directory.path()), Err(net::Error::Served { .. })));
        client.exit().unwrap();
        edge.join().unwrap().unwrap();
        network.destroy().unwrap();
    });
}

#[test]
fn a_new_daemon_takes_over_what_runs_and_removes_what_does_not() {
    isolated(|| {
        let network = open("0000000f");
        let (a, _b) = (container(&network, A), container(&network, B));
        let ports = [published(Protocol::Tcp, None, 8080, A), published(Protocol::Tcp, None, 8081, B)];
        network.publish(&ports).unwrap();
        drop(network);
        let network = open("0000000f");
        network.retain(&[A], &ports[..1]).unwrap();
        let links = run("ip -br link");
        assert!(links.contains("v0000000f0002") && !links.contains("v0000000f0003"), "{links}");
        let server = serve(&a, "a", 1);
        assert_eq!(fetch("127.0.0.1:8080").unwrap(), "a 172.30.0.1");
        assert!(fetch("127.0.0.1:8081").is_err());
        server.join().unwrap();
        network.destroy().unwrap();
    });
}

#[test]
fn two_daemons_live_side_by_side_and_leave_nothing() {
    isolated(|| {
        let before = run("ip -br link");
        let first = open("00000010");
        let subnet = Ipv4Net { address: Ipv4Addr::new(172, 31, 0, 0), prefix: 16 };
        let gateway = Ipv4Addr::new(172, 31, 0, 1);
        let config = NetConfig { daemon: "00000011".to_owned(), subnet, gateway, mtu: net::MTU };
        let second = Network::open(config).unwrap();
        let _kept = container(&first, A);
        assert!(Network::used_subnets().unwrap().iter().any(|used| used.address.octets()[..2] == [172, 31]));
        first.destroy().unwrap();
        first.destroy().unwrap();
        second.destroy().unwrap();
        assert_eq!(run("ip -br link"), before);
        match Command::new("nft").args(["list", "tables"]).output() {
            Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), ""),
            Err(_) => eprintln!("SKIP: the program nft is not installed: its listing is not compared"),
        }
    });
}

#[test]
fn a_port_that_a_program_holds_is_told() {
    isolated(|| {
        let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
        let port = published(Protocol::Tcp, None, 8080, A);
        assert_eq!(Network::probe_port(&port).unwrap_err().to_string(), "address already in use");
        drop(listener);
        Network::probe_port(&port).unwrap();
    });
}
