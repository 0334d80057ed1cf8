//! The bridge in a network namespace of the test's own: containers reach each other, published ports answer, and nothing is
//! left behind. Each test is a thread that enters a namespace, so the machine's own network is never touched.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]

mod common;

use common::*;
use model::Protocol;
use net::Dataplane;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

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
fn a_new_daemon_takes_over_what_runs_and_removes_what_does_not() {
    isolated(|| {
        let network = open("0000000f");
        let (a, _b) = (container(&network, A), container(&network, B));
        let ports = [published(Protocol::Tcp, None, 8080, A), published(Protocol::Tcp, None, 8081, B)];
        network.publish(&ports).unwrap();
        drop(network);
        let network = open("0000000f");
        retain(&network, &[A], &ports[..1]);
        let links = run("ip -br link");
        assert!(links.contains("v0000000f000002") && !links.contains("v0000000f000003"), "{links}");
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
        let second = Dataplane::open("00000011".to_owned()).unwrap();
        second.add_bridge(bridge("boc-00000011", &["172.31.0.0/16", "fd00:31::/64"])).unwrap();
        let _kept = container(&first, A);
        let used = Dataplane::used_subnets().unwrap();
        for wanted in ["172.31.0.0/16", "fd00:31::/64"] {
            assert!(used.contains(&wanted.parse().unwrap()), "{wanted}: {used:?}");
        }
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
        assert_eq!(net::probe_port(&port).unwrap_err().to_string(), "address already in use");
        drop(listener);
        net::probe_port(&port).unwrap();
    });
}

#[test]
fn clients_from_outside_keep_their_address_and_reach_published_ports_only() {
    isolated(|| {
        let network = open("0000000c");
        let a = container(&network, A);
        let outside = outside(&network);
        network.publish(&[published(Protocol::Tcp, None, 8080, A)]).unwrap();
        let server = serve(&a, "a", 1);
        assert!(
            is_cut_off(&outside, "172.30.0.2:80"),
            "a port that is not published can be reached from outside"
        );
        let answer = inside(&outside, || fetch("198.18.0.1:8080")).join().unwrap().unwrap();
        assert_eq!(answer, format!("a {OUTSIDE}"));
        server.join().unwrap();
        network.destroy().unwrap();
    });
}

/// Whether nothing answers there.
fn is_cut_off(namespace: &net::Namespace, address: &'static str) -> bool {
    let tried = inside(namespace, move || {
        let address: SocketAddr = address.parse().unwrap();
        TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_err()
    });
    tried.join().unwrap()
}

#[test]
fn a_neighbour_on_the_wire_does_not_reach_ports_of_loopback() {
    isolated(|| {
        let network = open("00000012");
        let a = container(&network, A);
        let outside = outside(&network);
        let ports = [
            published(Protocol::Tcp, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), 8080, A),
            published(Protocol::Tcp, None, 8081, A),
        ];
        network.publish(&ports).unwrap();
        take_loopback_for_the_host(&outside, "up1", "198.18.0.1");
        let server = serve(&a, "a", 1);
        assert!(is_cut_off(&outside, "127.0.0.1:8080"));
        assert!(is_cut_off(&outside, "127.0.0.1:8081"));
        assert_eq!(fetch("127.0.0.1:8080").unwrap(), "a 172.30.0.1");
        server.join().unwrap();
        network.destroy().unwrap();
    });
}

#[test]
fn a_container_does_not_reach_the_hosts_loopback() {
    isolated(|| {
        let network = open("00000013");
        let a = container(&network, A);
        let _hosts_own = TcpListener::bind("127.0.0.1:8080").unwrap();
        take_loopback_for_the_host(&a, "eth0", "172.30.0.1");
        assert!(is_cut_off(&a, "127.0.0.1:8080"));
        network.destroy().unwrap();
    });
}

#[test]
fn datagrams_are_published_and_follow_their_port_to_another_container() {
    isolated(|| {
        let network = open("0000000d");
        let (a, b) = (container(&network, A), container(&network, B));
        let client = datagram_client("127.0.0.1");
        for (namespace, address, name) in [(&a, A, "a"), (&b, B, "b")] {
            let ports = [published(Protocol::Udp, None, 5353, address)];
            // A client that comes too early is not led to nobody ever after.
            client.send_to(b"early", "127.0.0.1:5353").unwrap();
            network.publish(&ports).unwrap();
            let server = serve_datagrams(namespace, name, 1);
            assert_eq!(exchange(&client, "127.0.0.1:5353"), name);
            server.join().unwrap();
            network.unpublish(&ports).unwrap();
        }
        network.destroy().unwrap();
    });
}

#[test]
fn thousands_of_ports_are_published_at_once() {
    isolated(|| {
        let network = open("00000014");
        let ports: Vec<_> = (10_000..13_000).map(|port| published(Protocol::Tcp, None, port, A)).collect();
        network.publish(&ports).unwrap();
        retain(&network, &[], &ports);
        network.unpublish(&ports[7..8]).unwrap();
        // One is missing: the others are taken away all the same.
        network.unpublish(&ports).unwrap();
        network.publish(&[published(Protocol::Tcp, None, 10_000, B)]).unwrap();
        // The port is another container's now.
        assert!(network.publish(&ports[..1]).is_err());
        network.destroy().unwrap();
    });
}

fn wait_until(mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("it did not come about within five seconds");
}

#[test]
fn the_first_packet_after_attaching_arrives() {
    isolated(|| {
        let network = open("00000019");
        for last in 2..34 {
            // Links that are being deleted keep the kernel from noticing others.
            let address = Ipv4Addr::new(172, 30, 0, last);
            let container = container(&network, address);
            let client = UdpSocket::bind("0.0.0.0:0").unwrap();
            client.connect((address, 9)).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            client.send(b"hello").unwrap();
            // Nobody listens there, and says so.
            assert_eq!(client.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            detach(&network, address);
            drop(container);
        }
        network.destroy().unwrap();
    });
}

#[test]
fn a_namespace_asks_no_privilege_for_low_ports_and_pings() {
    isolated(|| {
        let network = open("0000001a");
        network.refill().unwrap();
        let settings = inside(&network.namespace().unwrap(), || {
            ["ip_unprivileged_port_start", "ping_group_range"]
                .map(|name| std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")))
                .map(|text| text.unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
        });
        assert_eq!(settings.join().unwrap(), ["0", "0 2147483647"]);
        network.destroy().unwrap();
    });
}

#[test]
fn a_detached_link_goes_away_and_its_address_can_be_used_at_once() {
    isolated(|| {
        let network = open("00000015");
        let old = container(&network, A);
        detach(&network, A);
        let new = container(&network, A);
        let server = serve(&new, "new", 1);
        assert_eq!(fetch("172.30.0.2:80").unwrap(), "new 172.30.0.1");
        server.join().unwrap();
        detach(&network, A);
        detach(&network, A);
        // Its namespace lives on, so the kernel would not remove it.
        wait_until(|| !run("ip -br link").contains("v00000015000002"));
        drop((old, new));
        network.destroy().unwrap();
    });
}

#[test]
fn a_link_that_lost_its_bridge_is_connected_again() {
    isolated(|| {
        let network = open("00000016");
        let a = container(&network, A);
        run("ip link del boc-00000016");
        drop(network);
        let network = open("00000016");
        retain(&network, &[A], &[]);
        let server = serve(&a, "a", 1);
        assert_eq!(fetch("172.30.0.2:80").unwrap(), "a 172.30.0.1");
        server.join().unwrap();
        network.destroy().unwrap();
    });
}

/// Runs `nft`, where it is installed; where it is not, says what is not checked.
fn nft(arguments: &str, unchecked: &str) -> Option<String> {
    if Command::new("nft").arg("--version").output().is_err() {
        eprintln!("SKIP: the program nft is not installed: {unchecked}");
        return None;
    }
    Some(run(&format!("nft {arguments}")))
}

#[test]
fn a_table_of_another_shape_is_replaced() {
    isolated(|| {
        let Some(_) = nft("add table inet bocage-00000017", "tables of other versions are not tried") else {
            return;
        };
        run("nft add set inet bocage-00000017 ports_any { type ipv4_addr ; }");
        run("nft add chain inet bocage-00000017 guard { type filter hook forward priority 7 ; }");
        let network = open("00000017");
        let a = container(&network, A);
        retain(&network, &[A], &[published(Protocol::Tcp, None, 8080, A)]);
        let server = serve(&a, "a", 1);
        assert_eq!(fetch("127.0.0.1:8080").unwrap(), "a 172.30.0.1");
        server.join().unwrap();
        network.destroy().unwrap();
    });
}

#[test]
fn the_kernel_tells_the_table_as_it_is_meant() {
    isolated(|| {
        let network = open("00000018");
        let host = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let ports = [
            published(Protocol::Tcp, None, 8080, A),
            published(Protocol::Udp, host, 53, B),
            published(Protocol::Tcp, Some("fd00::1".parse().unwrap()), 443, B),
        ];
        network.publish(&ports).unwrap();
        network.set_edge_port(40_000).unwrap();
        network.set_edge_port(40_001).unwrap();
        // The same said to the program, so that both are told in the words of its version.
        let wanted = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(wanted.path(), include_str!("table.nft")).unwrap();
        let load = format!("-f {}", wanted.path().display());
        let Some(_) = nft(&load, "the table's listing is not compared") else { return };
        let told = run("nft list table inet bocage-00000018");
        assert_eq!(told, run("nft list table inet wanted").replace("inet wanted", "inet bocage-00000018"));
        network.destroy().unwrap();
    });
}
