//! Who reaches whom, with packets: two networks of two families, one that is cut off, one whose containers do not know each
//! other, and a machine outside.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

mod common;

use common::*;
use model::network::{Gateway, GatewayMode, Leaving};
use model::{Protocol, PublishedPort};
use net::{Bridge, Dataplane, Endpoint, Namespace, Upon, UponMode};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::channel;
use std::time::Duration;

/// A container of a number on a bridge, with an address of each family that the bridge has.
fn dual(network: &Dataplane, bridge: &Bridge, number: u8) -> (Endpoint, Namespace) {
    let find = |ipv4| bridge.subnets.iter().find(|subnet| subnet.is_ipv4() == ipv4);
    let [.., a] = bridge.link.as_bytes() else { panic!("a bridge without a name") };
    let (mut ipv4, mut ipv6) = (None, None);
    if let Some(subnet) = find(true)
        && let Some(IpAddr::V4(address)) = subnet.nth(number.into())
    {
        ipv4 = Some((address, subnet.prefix()));
    }
    if let Some(subnet) = find(false)
        && let Some(IpAddr::V6(address)) = subnet.nth(number.into())
    {
        ipv6 = Some((address, subnet.prefix()));
    }
    let endpoint = Endpoint {
        link: network.link_name(u32::from_be_bytes([0, 0, *a, number])),
        inside: "eth0".to_owned(),
        ipv4,
        ipv6,
        mac: [0x02, 0x42, 0, 0, *a, number],
    };
    let namespace = container_on(network, bridge, &endpoint);
    (endpoint, namespace)
}

/// Answers each connection on port 80 of both families with the address that it came from, until the test ends.
fn answer(namespace: &Namespace) {
    let (ready, listening) = channel();
    inside(namespace, move || {
        let listener = TcpListener::bind("[::]:80").unwrap();
        ready.send(()).unwrap();
        while let Ok((mut client, from)) = listener.accept() {
            let from = from.ip().to_canonical().to_string();
            if from == "203.0.113.255" || std::io::Write::write_all(&mut client, from.as_bytes()).is_err() {
                return;
            }
        }
    });
    listening.recv().unwrap();
}

/// What a server answers to a client in a namespace; none if it cannot be reached.
fn from(namespace: &Namespace, address: &str) -> Option<String> {
    let address = address.to_owned();
    inside(namespace, move || ask(&address)).join().unwrap()
}

fn ask(address: &str) -> Option<String> {
    let address: SocketAddr = address.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(400)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).ok()?;
    Some(text)
}

fn port(endpoint: &Endpoint, host: Option<&str>, host_port: u16) -> PublishedPort {
    PublishedPort {
        protocol: Protocol::Tcp,
        host: host.map(|host| host.parse().unwrap()),
        host_port,
        ipv4: endpoint.ipv4.map(|(address, _)| address),
        ipv6: endpoint.ipv6.map(|(address, _)| address),
        port: 80,
    }
}

const RED: [&str; 2] = ["172.31.0.0/24", "fd00:31::/64"];
const BLUE: [&str; 2] = ["172.32.0.0/24", "fd00:32::/64"];

#[test]
fn a_network_of_both_families_answers_on_both_and_sees_its_clients() {
    isolated(|| {
        let network = Dataplane::open("00000020".to_owned()).unwrap();
        let red = bridge("br-red", &RED);
        network.add_bridge(red.clone()).unwrap();
        let outside = outside(&network);
        inside(&outside, || run("ip -6 route add default via fd00:18::1")).join().unwrap();
        let ((a, server), (_, client)) = (dual(&network, &red, 2), dual(&network, &red, 3));
        answer(&server);
        network.publish(&[port(&a, None, 8080)]).unwrap();
        assert_eq!(from(&client, "172.31.0.2:80").as_deref(), Some("172.31.0.3"));
        assert_eq!(from(&client, "[fd00:31::2]:80").as_deref(), Some("fd00:31::3"));
        assert_eq!(ask("[fd00:31::2]:80").as_deref(), Some("fd00:31::1"));
        // The published port, from outside: the container sees who it is.
        assert_eq!(from(&outside, "198.18.0.1:8080").as_deref(), Some(OUTSIDE));
        assert_eq!(from(&outside, "[fd00:18::1]:8080").as_deref(), Some("fd00:18::9"));
        // From the host by an address of its own, from a neighbour, from itself.
        assert!(ask("[fd00:18::1]:8080").is_some());
        assert!(from(&client, "[fd00:18::1]:8080").is_some());
        assert!(from(&server, "[fd00:18::1]:8080").is_some());
        assert!(from(&server, "198.18.0.1:8080").is_some());
        // Not by a route to the container's own address.
        assert_eq!(from(&outside, "172.31.0.2:80"), None);
        assert_eq!(from(&outside, "[fd00:31::2]:80"), None);
        network.unpublish(&[port(&a, None, 8080)]).unwrap();
        assert_eq!(from(&outside, "[fd00:18::1]:8080"), None);
        network.destroy().unwrap();
    });
}

#[test]
fn networks_do_not_reach_each_other_but_by_published_ports() {
    isolated(|| {
        let network = Dataplane::open("00000021".to_owned()).unwrap();
        let (red, blue) = (bridge("br-red", &RED), bridge("br-blue", &BLUE));
        network.add_bridge(red.clone()).unwrap();
        network.add_bridge(blue.clone()).unwrap();
        let ((a, server), (_, client)) = (dual(&network, &red, 2), dual(&network, &blue, 2));
        answer(&server);
        assert_eq!(from(&client, "172.31.0.2:80"), None);
        assert_eq!(from(&client, "[fd00:31::2]:80"), None);
        network.publish(&[port(&a, None, 8080)]).unwrap();
        assert_eq!(from(&client, "172.32.0.1:8080").as_deref(), Some("172.32.0.2"));
        assert_eq!(from(&client, "[fd00:32::1]:8080").as_deref(), Some("fd00:32::2"));
        // A network that goes takes its rules along, and the other goes on.
        network.remove_bridge("br-blue", false).unwrap();
        assert_eq!(from(&client, "172.32.0.1:8080"), None);
        assert!(ask("172.31.0.2:80").is_some());
        network.destroy().unwrap();
    });
}

#[test]
fn an_internal_network_reaches_the_host_and_itself_alone() {
    isolated(|| {
        let network = Dataplane::open("00000022".to_owned()).unwrap();
        let mut red = bridge("br-red", &RED);
        red.internal = true;
        let blue = bridge("br-blue", &BLUE);
        network.add_bridge(red.clone()).unwrap();
        network.add_bridge(blue.clone()).unwrap();
        let outside = outside(&network);
        let ((_, a), (_, b)) = (dual(&network, &red, 2), dual(&network, &red, 3));
        let (of_blue, c) = dual(&network, &blue, 2);
        answer(&a);
        answer(&c);
        answer(&outside);
        network.publish(&[port(&of_blue, None, 8080)]).unwrap();
        assert_eq!(from(&b, "172.31.0.2:80").as_deref(), Some("172.31.0.3"));
        assert!(ask("172.31.0.2:80").is_some());
        assert_eq!(from(&c, "172.31.0.2:80"), None);
        assert_eq!(from(&outside, "172.31.0.2:80"), None);
        // Out of it, even by a port that others may use.
        assert_eq!(from(&a, "198.18.0.9:80"), None);
        assert_eq!(from(&a, "172.31.0.1:8080"), None);
        assert_eq!(from(&a, "[fd00:31::1]:8080"), None);
        assert!(from(&c, "198.18.0.9:80").is_some());
        network.destroy().unwrap();
    });
}

#[test]
fn containers_that_shall_not_know_each_other_do_not() {
    isolated(|| {
        let network = Dataplane::open("00000023".to_owned()).unwrap();
        let mut red = bridge("br-red", &RED);
        red.neighbours = false;
        network.add_bridge(red.clone()).unwrap();
        let ((a, server), (_, client)) = (dual(&network, &red, 2), dual(&network, &red, 3));
        answer(&server);
        assert_eq!(from(&client, "172.31.0.2:80"), None);
        assert_eq!(from(&client, "[fd00:31::2]:80"), None);
        assert!(ask("172.31.0.2:80").is_some());
        assert!(ask("[fd00:31::2]:80").is_some());
        network.publish(&[port(&a, None, 8080)]).unwrap();
        // Where bridges pass their frames to the tables, br_netfilter, what is translated stays on the bridge, and is kept apart too.
        let filtered = std::fs::read_to_string("/proc/sys/net/bridge/bridge-nf-call-iptables");
        if filtered.is_ok_and(|found| found.trim() == "0") {
            assert!(from(&client, "172.31.0.1:8080").is_some());
        }
        assert!(ask("172.31.0.1:8080").is_some());
        network.destroy().unwrap();
    });
}

#[test]
fn a_routed_network_is_reached_by_its_own_addresses_on_published_ports() {
    isolated(|| {
        let network = Dataplane::open("00000024".to_owned()).unwrap();
        let mut red = bridge("br-red", &RED);
        red.ipv4 = Gateway { mode: GatewayMode::Routed, leaving: Leaving::Unchanged };
        red.ipv6 = Gateway { mode: GatewayMode::Unprotected, leaving: Leaving::Masquerade };
        network.add_bridge(red.clone()).unwrap();
        let outside = outside(&network);
        inside(&outside, || run("ip -6 route add default via fd00:18::1")).join().unwrap();
        let ((a, server), (_, other)) = (dual(&network, &red, 2), dual(&network, &red, 3));
        answer(&server);
        answer(&other);
        answer(&outside);
        assert_eq!(from(&outside, "172.31.0.2:80"), None);
        let entry = PublishedPort { host_port: 0, ipv6: None, ..port(&a, None, 0) };
        network.publish(std::slice::from_ref(&entry)).unwrap();
        assert_eq!(from(&outside, "172.31.0.2:80").as_deref(), Some(OUTSIDE));
        assert_eq!(from(&outside, "172.31.0.3:80"), None);
        assert_eq!(from(&outside, "[fd00:31::3]:80").as_deref(), Some("fd00:18::9"));
        // Outwards each family does as it was told.
        assert_eq!(from(&other, "198.18.0.9:80").as_deref(), Some("172.31.0.3"));
        assert_eq!(from(&other, "[fd00:18::9]:80").as_deref(), Some("fd00:18::1"));
        network.unpublish(&[entry]).unwrap();
        assert_eq!(from(&outside, "172.31.0.2:80"), None);
        network.destroy().unwrap();
    });
}

#[test]
fn packets_leave_with_the_address_that_was_chosen() {
    isolated(|| {
        let network = Dataplane::open("00000025".to_owned()).unwrap();
        let mut red = bridge("br-red", &RED);
        red.ipv4.leaving = Leaving::Address("198.18.0.77".parse().unwrap());
        network.add_bridge(red.clone()).unwrap();
        let outside = outside(&network);
        run("ip addr add 198.18.0.77/24 dev up0");
        answer(&outside);
        let (_, client) = dual(&network, &red, 2);
        assert_eq!(from(&client, "198.18.0.9:80").as_deref(), Some("198.18.0.77"));
        network.destroy().unwrap();
    });
}

#[test]
fn a_network_of_ipv6_alone_works() {
    isolated(|| {
        let network = Dataplane::open("00000026".to_owned()).unwrap();
        let red = bridge("br-red", &RED[1..]);
        network.add_bridge(red.clone()).unwrap();
        let ((_, server), (_, client)) = (dual(&network, &red, 2), dual(&network, &red, 3));
        answer(&server);
        assert_eq!(from(&client, "[fd00:31::2]:80").as_deref(), Some("fd00:31::3"));
        let links = inside(&client, || run("ip -6 route show default")).join().unwrap();
        assert!(links.contains("fd00:31::1"), "{links}");
        network.destroy().unwrap();
    });
}

#[test]
fn a_container_can_change_its_way_out_and_leave_a_network() {
    isolated(|| {
        let network = Dataplane::open("00000027".to_owned()).unwrap();
        let (red, blue) = (bridge("br-red", &RED), bridge("br-blue", &BLUE));
        network.add_bridge(red.clone()).unwrap();
        network.add_bridge(blue).unwrap();
        let (_, namespace) = dual(&network, &red, 2);
        let joined =
            Namespace::join(std::os::fd::AsFd::as_fd(&namespace).try_clone_to_owned().unwrap()).unwrap();
        let second = Endpoint {
            link: network.link_name(77),
            inside: "eth1".to_owned(),
            ipv4: Some((Ipv4Addr::new(172, 32, 0, 9), 24)),
            ipv6: Some((Ipv6Addr::new(0xfd00, 0x32, 0, 0, 0, 0, 0, 9), 64)),
            mac: [2, 0x42, 0, 0, 0, 9],
        };
        network.attach(&joined, "br-blue", &second).unwrap();
        let way =
            net::WayOut { ipv4: Some(("eth1".to_owned(), Some(Ipv4Addr::new(172, 32, 0, 1)))), ipv6: None };
        Dataplane::set_way_out(&joined, &way).unwrap();
        Dataplane::set_way_out(&joined, &way).unwrap();
        let routes = inside(&joined, || run("ip route") + &run("ip -6 route")).join().unwrap();
        assert!(routes.contains("default via 172.32.0.1 dev eth1"), "{routes}");
        assert_eq!(routes.matches("default").count(), 1, "{routes}");
        Dataplane::remove_inside(&joined, "eth1").unwrap();
        Dataplane::remove_inside(&joined, "eth1").unwrap();
        let routes = inside(&joined, || run("ip -br link")).join().unwrap();
        assert!(routes.contains("eth0") && !routes.contains("eth1"), "{routes}");
        network.destroy().unwrap();
    });
}

#[test]
fn links_upon_a_link_of_the_host_reach_each_other_and_the_wire() {
    isolated(|| {
        let network = Dataplane::open("00000028".to_owned()).unwrap();
        let outside = outside(&network);
        let upon = Upon { parent: "up0".to_owned(), mode: UponMode::MacvlanBridge, mtu: None };
        let place = |number: u8| Endpoint {
            link: String::new(),
            inside: "eth0".to_owned(),
            ipv4: Some((Ipv4Addr::new(198, 18, 0, number), 24)),
            ipv6: None,
            mac: [2, 0x42, 0, 0, 0, number],
        };
        let (a, b) = (network.namespace().unwrap(), network.namespace().unwrap());
        network.attach_upon(&a, &upon, &place(20)).unwrap();
        network.attach_upon(&b, &upon, &place(21)).unwrap();
        answer(&a);
        assert_eq!(from(&b, "198.18.0.20:80").as_deref(), Some("198.18.0.21"));
        assert_eq!(from(&outside, "198.18.0.20:80").as_deref(), Some(OUTSIDE));
        let missing = Upon { parent: "nowhere".to_owned(), ..upon };
        let refused = network.attach_upon(&a, &missing, &place(22)).unwrap_err();
        assert_eq!(refused.to_string(), "there is no link nowhere on this host");
        network.destroy().unwrap();
    });
}

#[test]
fn a_host_that_listens_to_its_routers_goes_on_to_when_it_forwards() {
    isolated(|| {
        run("ip link add wire0 type veth peer name wire1");
        let path = |link: &str| format!("/proc/sys/net/ipv6/conf/{link}/accept_ra");
        std::fs::write(path("wire0"), "1").unwrap();
        std::fs::write(path("wire1"), "0").unwrap();
        let network = Dataplane::open("00000029".to_owned()).unwrap();
        network.add_bridge(bridge("br-red", &RED)).unwrap();
        let told = |link: &str| std::fs::read_to_string(path(link)).unwrap().trim().to_owned();
        assert_eq!((told("wire0").as_str(), told("wire1").as_str()), ("2", "0"));
        // No container is a router of the host's.
        network.add_bridge(bridge("br-blue", &BLUE)).unwrap();
        assert_eq!((told("br-red").as_str(), told("br-blue").as_str()), ("0", "0"));
        assert_eq!(
            network.has_foreign_link("wire0").unwrap_err().to_string(),
            "the link wire0 of this host is no bridge"
        );
        run("ip link add own0 type bridge");
        assert!(network.has_foreign_link("own0").unwrap());
        assert!(!network.has_foreign_link("br-red").unwrap());
        network.destroy().unwrap();
    });
}

#[test]
fn a_table_that_somebody_flushed_is_noticed_and_written_again() {
    isolated(|| {
        if std::process::Command::new("nft").arg("--version").output().is_err() {
            return;
        }
        let network = Dataplane::open("0000002b".to_owned()).unwrap();
        let red = bridge("br-red", &RED);
        network.add_bridge(red.clone()).unwrap();
        let (a, server) = dual(&network, &red, 2);
        answer(&server);
        network.publish(&[port(&a, None, 8080)]).unwrap();
        for flush in [
            "nft flush ruleset",
            "nft flush table inet bocage-0000002b",
            "nft delete element inet bocage-0000002b bridges { br-red }",
        ] {
            let watch = network.watch().unwrap();
            // What the daemon itself changes is no news.
            network.publish(&[port(&a, None, 8081)]).unwrap();
            network.unpublish(&[port(&a, None, 8081)]).unwrap();
            let noticed = std::thread::spawn(move || watch.changed());
            std::thread::sleep(Duration::from_millis(50));
            assert!(!noticed.is_finished(), "before: {flush}");
            run(flush);
            assert_eq!(noticed.join().unwrap().unwrap(), net::Seen::Taken);
            assert_eq!(network.is_whole().unwrap(), flush.contains("element"), "{flush}");
            network.repair(&[port(&a, None, 8080)], Some(40_000)).unwrap();
            assert!(network.is_whole().unwrap());
            assert!(ask("172.31.0.1:8080").is_some(), "after: {flush}");
        }
        network.destroy().unwrap();
    });
}

#[test]
fn a_hundred_networks_with_ten_containers_each_come_and_go() {
    isolated(|| {
        let before = run("ip -br link");
        let network = Dataplane::open("0000002c".to_owned()).unwrap();
        let mut all = Vec::new();
        for one in 0..100_u8 {
            let link = format!("br-{one}");
            let own = bridge(&link, &[&format!("10.77.{one}.0/24"), &format!("fd00:77:0:{one}::/64")]);
            network.add_bridge(own.clone()).unwrap();
            for number in 2..12_u8 {
                let link = network.link_name(u32::from_be_bytes([0, 0, one, number]));
                let place = Endpoint {
                    link,
                    inside: "eth0".to_owned(),
                    ipv4: Some((Ipv4Addr::new(10, 77, one, number), 24)),
                    ipv6: None,
                    mac: [2, 0x42, 10, 77, one, number],
                };
                let namespace = network.namespace().unwrap();
                network.attach(&namespace, &own.link, &place).unwrap();
                all.push((place, namespace));
            }
        }
        // The first and the last still know whom they may reach.
        answer(&all[0].1);
        answer(&all[999].1);
        assert!(from(&all[1].1, "10.77.0.2:80").is_some());
        assert!(from(&all[990].1, "10.77.99.11:80").is_some());
        assert_eq!(from(&all[990].1, "10.77.0.2:80"), None);
        for (place, namespace) in all {
            network.detach(&place.link).unwrap();
            drop(namespace);
        }
        for one in 0..100 {
            network.remove_bridge(&format!("br-{one}"), false).unwrap();
        }
        network.destroy().unwrap();
        assert_eq!(run("ip -br link"), before);
    });
}

#[test]
fn datagrams_of_both_families_come_and_go() {
    isolated(|| {
        let network = Dataplane::open("0000002a".to_owned()).unwrap();
        let red = bridge("br-red", &RED);
        network.add_bridge(red.clone()).unwrap();
        let outside = outside(&network);
        let (a, server) = dual(&network, &red, 2);
        let (ready, bound) = channel();
        let echo = inside(&server, move || {
            let socket = UdpSocket::bind("[::]:80").unwrap();
            ready.send(()).unwrap();
            for _ in 0..2 {
                let (_, client) = socket.recv_from(&mut [0; 16]).unwrap();
                socket.send_to(client.ip().to_canonical().to_string().as_bytes(), client).unwrap();
            }
        });
        bound.recv().unwrap();
        network.publish(&[PublishedPort { protocol: Protocol::Udp, ..port(&a, None, 5353) }]).unwrap();
        let answers = inside(&outside, || {
            [("0.0.0.0", "198.18.0.1:5353"), ("::", "[fd00:18::1]:5353")]
                .map(|(own, to)| exchange(&datagram_client(own), to))
        });
        assert_eq!(answers.join().unwrap(), [OUTSIDE, "fd00:18::9"]);
        echo.join().unwrap();
        network.destroy().unwrap();
    });
}
