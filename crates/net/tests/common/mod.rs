//! A network namespace for each test, containers on its bridge, and servers in them.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(unreachable_pub, reason = "shared by test programs")]

use model::network::Gateway;
use model::{Protocol, PublishedPort, Subnet};
use net::{Bridge, Dataplane, Endpoint, Namespace, WayOut};
use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use sys::process::{NewNamespaces, unshare};

pub const A: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
pub const B: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 3);

/// Runs a test in a network namespace of its own; without the right to make one it is skipped, and says so.
pub fn isolated(test: impl FnOnce() + Send + 'static) {
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

pub fn run(command: &str) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A bridge of this daemon with these subnets, whose first addresses are the host's.
pub fn bridge(link: &str, subnets: &[&str]) -> Bridge {
    let subnets: Vec<Subnet> = subnets.iter().map(|text| text.parse().unwrap()).collect();
    Bridge {
        link: link.to_owned(),
        is_foreign: false,
        mtu: net::MTU,
        gateways: subnets.iter().map(|subnet| subnet.nth(1).unwrap()).collect(),
        subnets,
        neighbours: true,
        internal: false,
        ipv4: Gateway::default(),
        ipv6: Gateway::default(),
    }
}

/// The name of the bridge that [`open`] makes.
pub fn first_bridge(daemon: &str) -> String {
    format!("boc-{daemon}")
}

pub fn open(daemon: &str) -> Dataplane {
    let dataplane = Dataplane::open(daemon.to_owned()).unwrap();
    dataplane.add_bridge(bridge(&first_bridge(daemon), &["172.30.0.0/16"])).unwrap();
    dataplane
}

/// The place of a container with this address on the first bridge.
pub fn endpoint(network: &Dataplane, address: Ipv4Addr) -> Endpoint {
    let [a, b, c, d] = address.octets();
    Endpoint {
        link: network.link_name(u32::from_be_bytes([0, 0, c, d])),
        inside: "eth0".to_owned(),
        ipv4: Some((address, 16)),
        ipv6: None,
        mac: [0x02, 0x42, a, b, c, d],
    }
}

/// A container on a bridge, which is its way out.
pub fn container_on(network: &Dataplane, bridge: &Bridge, endpoint: &Endpoint) -> Namespace {
    let namespace = network.namespace().unwrap();
    network.attach(&namespace, &bridge.link, endpoint).unwrap();
    let hop = |ipv4: bool| bridge.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == ipv4);
    let (mut way, inside) = (WayOut::default(), endpoint.inside.clone());
    if let (Some(IpAddr::V4(hop)), Some(_)) = (hop(true), endpoint.ipv4) {
        way.ipv4 = Some((inside.clone(), Some(hop)));
    }
    if let (Some(IpAddr::V6(hop)), Some(_)) = (hop(false), endpoint.ipv6) {
        way.ipv6 = Some((inside, Some(hop)));
    }
    Dataplane::set_way_out(&namespace, &way).unwrap();
    namespace
}

pub fn container(network: &Dataplane, address: Ipv4Addr) -> Namespace {
    let endpoint = endpoint(network, address);
    let daemon = &endpoint.link[1..9];
    container_on(network, &bridge(&first_bridge(daemon), &["172.30.0.0/16"]), &endpoint)
}

/// Keeps the links of these containers on the first bridge, and these ports.
pub fn retain(network: &Dataplane, addresses: &[Ipv4Addr], ports: &[PublishedPort]) {
    let links: Vec<(String, String)> = addresses
        .iter()
        .map(|address| endpoint(network, *address).link)
        .map(|link| (first_bridge(&link[1..9]), link))
        .map(|(bridge, link)| (link, bridge))
        .collect();
    let links: Vec<(&str, &str)> =
        links.iter().map(|(link, bridge)| (link.as_str(), bridge.as_str())).collect();
    network.retain(&links, ports).unwrap();
}

pub fn detach(network: &Dataplane, address: Ipv4Addr) {
    network.detach(&endpoint(network, address).link).unwrap();
}

pub fn published(
    protocol: Protocol,
    host: Option<IpAddr>,
    host_port: u16,
    address: Ipv4Addr,
) -> PublishedPort {
    PublishedPort { protocol, host, host_port, ipv4: Some(address), ipv6: None, port: 80 }
}

/// Runs something inside a namespace, on a thread of its own.
pub fn inside<T: Send + 'static>(
    namespace: &Namespace,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let namespace = namespace.as_fd().try_clone_to_owned().unwrap();
    let (ready, entered) = channel();
    let thread = thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        ready.send(()).unwrap();
        work()
    });
    entered.recv().unwrap();
    thread
}

/// A server on port 80 inside that answers each of `times` clients with its own name and theirs.
pub fn serve(namespace: &Namespace, name: &'static str, times: usize) -> JoinHandle<()> {
    let (ready, listening) = channel();
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

pub fn fetch(address: &str) -> std::io::Result<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Where clients from outside come from, and the host's address on their wire.
pub const OUTSIDE: &str = "198.18.0.9";

/// A namespace on a wire with the host, which routes everything to the host.
pub fn outside(network: &Dataplane) -> Namespace {
    let outside = network.namespace().unwrap();
    run("ip link add up0 type veth peer name up1");
    run("ip addr add 198.18.0.1/24 dev up0");
    run("ip addr add fd00:18::1/64 dev up0 nodad");
    run("ip link set up0 up");
    let (tell, told) = channel::<()>();
    let (thread, got) = channel();
    // The wire's other end is moved by the id of a thread that is inside.
    let holder = inside(&outside, move || {
        thread.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        told.recv().unwrap();
        std::fs::write("/proc/sys/net/ipv6/conf/up1/disable_ipv6", "0").unwrap();
        run("ip addr add 198.18.0.9/24 dev up1");
        run("ip addr add fd00:18::9/64 dev up1 nodad");
        run("ip link set up1 up");
        run("ip route add default via 198.18.0.1");
    });
    run(&format!("ip link set up1 netns {}", got.recv().unwrap()));
    tell.send(()).unwrap();
    holder.join().unwrap();
    outside
}

/// Lets a namespace send to the host's loopback address over a link, as a hostile neighbour would.
pub fn take_loopback_for_the_host(namespace: &Namespace, link: &'static str, host: &'static str) {
    let done = inside(namespace, move || {
        run("ip addr del 127.0.0.1/8 dev lo");
        std::fs::write(format!("/proc/sys/net/ipv4/conf/{link}/route_localnet"), "1").unwrap();
        run(&format!("ip route add 127.0.0.1 via {host} dev {link}"));
    });
    done.join().unwrap();
}

/// A server of datagrams on port 80 inside that answers each of `times` datagrams with its name.
pub fn serve_datagrams(namespace: &Namespace, name: &'static str, times: usize) -> JoinHandle<()> {
    let (ready, bound) = channel();
    let server = inside(namespace, move || {
        let socket = UdpSocket::bind("0.0.0.0:80").unwrap();
        ready.send(()).unwrap();
        for _ in 0..times {
            let (_, client) = socket.recv_from(&mut [0; 16]).unwrap();
            socket.send_to(name.as_bytes(), client).unwrap();
        }
    });
    bound.recv().unwrap();
    server
}

/// A client of datagrams.
pub fn datagram_client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind((address, 0)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client
}

/// Sends a datagram and returns the answer, which must come from where it was sent to.
pub fn exchange(client: &UdpSocket, to: &str) -> String {
    client.send_to(b"hello", to).unwrap();
    let mut buffer = [0; 16];
    let (length, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(from, to.parse::<SocketAddr>().unwrap());
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}
