//! Names: over sockets of this process, and in network namespaces with what a program there would send.

#![allow(clippy::unwrap_used, reason = "a test ends where its preparation fails")]

#[path = "../../net/tests/common/mod.rs"]
mod common;

use base::Clock;
use common::{isolated, run};
use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name};
use domain::rdata::AllRecordData;
use model::view::{Member, SearchedNetwork};
use model::{ContainerId, NetworkNames, Resolver};
use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use traffic::names::Server;

const ASKER: ContainerId = ContainerId::from_bytes([7; 32]);
const STACK_BYTES: usize = 256 << 10;
const NETWORK: &str = "n";

/// A server and where it is asked.
struct Asked {
    server: Server,
    at: SocketAddr,
}

fn run_now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Datagrams and connections on one port.
fn pair(ip: IpAddr, port: u16) -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let listener = TcpListener::bind((ip, port)).unwrap();
        if let Ok(datagrams) = UdpSocket::bind((ip, listener.local_addr().unwrap().port())) {
            return (datagrams, listener);
        }
    }
    panic!("no port is free for both");
}

fn member(id: u8, name: &str, aliases: &[&str]) -> (ContainerId, Member) {
    let member = Member {
        name: name.to_owned(),
        aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
        ipv4: Some(Ipv4Addr::new(172, 18, 0, id)),
        ipv6: (id == 2).then(|| "fd00::2".parse().unwrap()),
    };
    (ContainerId::from_bytes([id; 32]), member)
}

fn members() -> BTreeMap<ContainerId, Member> {
    [member(2, "web", &["www", "020202020202"]), member(3, "db", &["www"])].into()
}

impl Asked {
    /// Answers with these servers elsewhere, on that port.
    fn start(upstreams: &[IpAddr], port: u16) -> Asked {
        let server = Server::asking(Clock::system(), STACK_BYTES, port).unwrap();
        server.set_network(NETWORK.to_owned(), NetworkNames { name: "Front".to_owned(), members: members() });
        let (datagrams, listener) = pair(Ipv4Addr::LOCALHOST.into(), 0);
        let at = datagrams.local_addr().unwrap();
        let asked = Asked { server, at };
        asked.resolve(resolver(upstreams), Some([datagrams.into(), listener.into()]));
        asked
    }

    fn resolve(&self, resolver: Resolver, sockets: Option<[OwnedFd; 2]>) {
        assert!(run_now(self.server.set_resolver(ASKER, resolver, sockets)).unwrap());
    }

    fn ask(&self, name: &str, rtype: Rtype) -> Vec<u8> {
        by_datagram(self.at, &query(name, rtype, None)).unwrap()
    }
}

fn resolver(upstreams: &[IpAddr]) -> Resolver {
    Resolver {
        networks: vec![SearchedNetwork { network: NETWORK.to_owned(), links: BTreeMap::new() }],
        upstreams: upstreams.to_vec(),
        may_forward: true,
        keeps_single_words: false,
    }
}

fn query(name: &str, rtype: Rtype, bytes_max: Option<u16>) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(4711);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    builder.push((name.parse::<Name<Vec<u8>>>().unwrap(), rtype, Class::IN)).unwrap();
    let mut builder = builder.additional();
    if let Some(bytes_max) = bytes_max {
        let size = |opt: &mut domain::base::message_builder::OptBuilder<'_, _>| {
            opt.set_udp_payload_size(bytes_max);
            Ok(())
        };
        builder.opt(size).unwrap();
    }
    builder.finish()
}

fn by_datagram(to: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(8)))?;
    socket.connect(to)?;
    socket.send(query)?;
    let mut answer = vec![0; 65_535];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn by_stream(stream: &mut TcpStream, query: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(8)))?;
    stream.write_all(&u16::try_from(query.len()).unwrap().to_be_bytes())?;
    stream.write_all(query)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// What an answer says, in the words of the library that other programs read it with: code, and records.
fn told(answer: &[u8]) -> (Rcode, Vec<String>) {
    let message = Message::from_octets(answer).unwrap();
    assert!(message.header().qr() && message.header().ra());
    assert_eq!(message.header().id(), 4711);
    let records = message.answer().unwrap().limit_to::<AllRecordData<_, _>>();
    let words = |record: domain::base::Record<_, AllRecordData<&[u8], _>>| {
        format!("{} {} {} {}", record.owner(), record.ttl().as_secs(), record.rtype(), record.data())
    };
    (message.header().rcode(), records.map(|record| words(record.unwrap())).collect())
}

fn records(answer: &[u8]) -> Vec<String> {
    let (rcode, records) = told(answer);
    assert_eq!(rcode, Rcode::NOERROR);
    records
}

#[test]
fn members_are_found_by_name_alias_network_and_address() {
    let asked = Asked::start(&[], 53);
    assert_eq!(records(&asked.ask("web", Rtype::A)), ["web 600 A 172.18.0.2"]);
    assert_eq!(records(&asked.ask("Web.FRONT.", Rtype::A)), ["Web.FRONT 600 A 172.18.0.2"]);
    assert_eq!(records(&asked.ask("020202020202", Rtype::A)), ["020202020202 600 A 172.18.0.2"]);
    assert_eq!(records(&asked.ask("web", Rtype::AAAA)), ["web 600 AAAA fd00::2"]);
    assert_eq!(
        records(&asked.ask("2.0.18.172.in-addr.arpa", Rtype::PTR)),
        ["2.0.18.172.in-addr.arpa 600 PTR web.Front."]
    );
    for (name, rtype) in
        [("db", Rtype::AAAA), ("web", Rtype::MX), ("web.front", Rtype::MX), ("web", Rtype::TXT)]
    {
        assert_eq!(told(&asked.ask(name, rtype)), (Rcode::NOERROR, Vec::new()), "{name} {rtype}");
    }
    // Nobody else can be asked.
    for (name, rtype) in [("nobody", Rtype::A), ("9.0.18.172.in-addr.arpa", Rtype::PTR), (".", Rtype::NS)] {
        assert_eq!(told(&asked.ask(name, rtype)), (Rcode::SERVFAIL, Vec::new()), "{name} {rtype}");
    }
}

#[test]
fn several_addresses_take_turns() {
    let asked = Asked::start(&[], 53);
    let first = |answer: Vec<u8>| records(&answer).into_iter().next().unwrap();
    let seen: std::collections::BTreeSet<String> =
        (0..4).map(|_| first(asked.ask("www", Rtype::A))).collect();
    assert_eq!(seen.len(), 2);
    asked.server.drop_member(NETWORK, ContainerId::from_bytes([3; 32]));
    assert_eq!(records(&asked.ask("www", Rtype::A)).len(), 1);
}

#[test]
fn three_hundred_addresses_are_cut_for_a_datagram_and_whole_on_a_stream() {
    let asked = Asked::start(&[], 53);
    for number in 0..300_u16 {
        let [high, low] = number.to_be_bytes();
        let mut id = [9; 32];
        id[..2].copy_from_slice(&[high, low]);
        let many = Member {
            name: format!("many-{number}"),
            aliases: vec!["many".to_owned()],
            ipv4: Some(Ipv4Addr::new(172, 19, high, low)),
            ipv6: None,
        };
        asked.server.set_member(NETWORK, ContainerId::from_bytes(id), many).unwrap();
    }
    for (bytes_max, least) in [(None, 512), (Some(100), 512), (Some(1232), 1232), (Some(4096), 4096)] {
        let answer = by_datagram(asked.at, &query("many", Rtype::A, bytes_max)).unwrap();
        assert!(Message::from_octets(&answer[..]).unwrap().header().tc());
        assert!(answer.len() <= least && answer.len() > least - 30, "{}", answer.len());
        assert_eq!(Message::from_octets(&answer[..]).unwrap().opt().is_some(), bytes_max.is_some());
        assert!(!records(&answer).is_empty());
    }
    let mut stream = TcpStream::connect(asked.at).unwrap();
    for _ in 0..2 {
        let answer = by_stream(&mut stream, &query("many", Rtype::A, None)).unwrap();
        assert_eq!(records(&answer).len(), 300);
        assert!(!Message::from_octets(&answer[..]).unwrap().header().tc());
    }
}

#[test]
fn what_is_no_query_is_told_so_or_not_answered() {
    let asked = Asked::start(&[], 53);
    let good = query("web", Rtype::A, None);
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        by_datagram(asked.at, &bytes).map(|answer| answer[3] & 15)
    };
    // Another opcode; two questions; none; a name that points at itself; a label that leads out of the message.
    assert_eq!(changed(2, 0x28).unwrap(), Rcode::NOTIMP.to_int());
    for (at, byte) in [(5, 2), (5, 0), (12, 0xc0), (12, 60), (11, 1)] {
        assert_eq!(changed(at, byte).unwrap(), Rcode::FORMERR.to_int(), "{at}");
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let mut response = good.clone();
    response[2] |= 0x80;
    for silent in [&b""[..], b"hello", &response] {
        socket.send_to(silent, asked.at).unwrap();
    }
    // The first answer is that of the last: the others got none.
    socket.send_to(&good, asked.at).unwrap();
    let mut bytes = [0; 512];
    let (length, _) = socket.recv_from(&mut bytes).unwrap();
    assert_eq!(records(&bytes[..length]).len(), 1);
    // A later version of EDNS.
    let mut later = query("web", Rtype::A, Some(1232));
    let version = later.len() - 5;
    later[version] = 1;
    let answer = by_datagram(asked.at, &later).unwrap();
    assert_eq!(Message::from_octets(&answer[..]).unwrap().opt_rcode().to_int(), 16);
}

/// A name server elsewhere: counts what it is asked, and answers with a text, cut over datagrams where the name says so.
fn upstream(ip: IpAddr, port: u16, rcode: Rcode) -> (u16, Arc<AtomicUsize>) {
    let (datagrams, listener) = pair(ip, port);
    let port = datagrams.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = move |bytes: &[u8], is_stream: bool| {
        let message = Message::from_octets(bytes).unwrap();
        let question = message.sole_question().unwrap();
        let is_long = question.qname().to_string().starts_with("long");
        let mut builder = MessageBuilder::new_vec().start_answer(&message, rcode).unwrap();
        builder.header_mut().set_ra(true);
        if is_long && !is_stream {
            builder.header_mut().set_tc(true);
        } else if rcode == Rcode::NOERROR {
            let text = vec![if is_long { 200 } else { 3 }, b'a', b'b', b'c'];
            let mut data = text;
            data.resize(1 + usize::from(data[0]), b'x');
            let times = if is_long { 10 } else { 1 };
            for _ in 0..times {
                let data = domain::rdata::Txt::from_octets(data.clone()).unwrap();
                builder.push((question.qname(), 300, data)).unwrap();
            }
        }
        builder.finish()
    };
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        let mut bytes = [0; 512];
        while let Ok((length, peer)) = datagrams.recv_from(&mut bytes) {
            count.fetch_add(1, Ordering::SeqCst);
            // A stranger's answer under a wrong number comes first.
            let mut wrong = answer(&bytes[..length], false);
            wrong[0] ^= 1;
            datagrams.send_to(&wrong, peer).unwrap();
            datagrams.send_to(&answer(&bytes[..length], false), peer).unwrap();
        }
    });
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut bytes = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut bytes).unwrap();
            let answer = answer(&bytes, true);
            stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    (port, asked)
}

const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

#[test]
fn what_is_not_known_is_asked_elsewhere_and_kept() {
    let (port, count) = upstream(FIRST, 0, Rcode::NOERROR);
    let asked = Asked::start(&[FIRST], port);
    let answer = asked.ask("Example.org", Rtype::TXT);
    assert_eq!(records(&answer), ["Example.org 300 TXT \"abc\""]);
    // The question comes back as it was written this time.
    assert_eq!(records(&asked.ask("example.ORG", Rtype::TXT)).len(), 1);
    assert_eq!(asked.ask("example.ORG", Rtype::TXT)[12..25], query("example.ORG", Rtype::TXT, None)[12..25]);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // Another type, and other flags, are other questions.
    asked.ask("example.org", Rtype::SRV);
    by_datagram(asked.at, &query("example.org", Rtype::TXT, Some(1232))).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 3);
    // A member's name of one word is never asked elsewhere; one with dots is, for what members do not have.
    asked.ask("web", Rtype::TXT);
    assert_eq!(count.load(Ordering::SeqCst), 3);
    asked.ask("web.front", Rtype::TXT);
    assert_eq!(count.load(Ordering::SeqCst), 4);
}

#[test]
fn a_long_answer_is_cut_for_a_datagram_and_fetched_whole_for_a_stream() {
    let (port, count) = upstream(FIRST, 0, Rcode::NOERROR);
    let asked = Asked::start(&[FIRST], port);
    let answer = asked.ask("long.example", Rtype::TXT);
    assert!(Message::from_octets(&answer[..]).unwrap().header().tc());
    let mut stream = TcpStream::connect(asked.at).unwrap();
    let answer = by_stream(&mut stream, &query("long.example", Rtype::TXT, None)).unwrap();
    assert_eq!(records(&answer).len(), 10);
    let before = count.load(Ordering::SeqCst);
    // It is kept, and still too long for a datagram.
    let answer = asked.ask("long.example", Rtype::TXT);
    assert!(Message::from_octets(&answer[..]).unwrap().header().tc() && answer.len() <= 512);
    assert_eq!(count.load(Ordering::SeqCst), before);
}

#[test]
fn a_server_that_refuses_or_is_silent_is_passed_over() {
    let (port, refusing) = upstream(FIRST, 0, Rcode::REFUSED);
    let (_, good) = upstream(SECOND, port, Rcode::NOERROR);
    let asked = Asked::start(&[FIRST, SECOND], port);
    assert_eq!(records(&asked.ask("a.example", Rtype::TXT)).len(), 1);
    assert_eq!((refusing.load(Ordering::SeqCst), good.load(Ordering::SeqCst)), (1, 1));
    // Nobody listens there; and one that takes everything and says nothing.
    let silent = UdpSocket::bind(("127.0.0.4", port)).unwrap();
    for first in ["127.0.0.3", "127.0.0.4"] {
        asked.resolve(resolver(&[first.parse().unwrap(), SECOND]), None);
        assert_eq!(records(&asked.ask(&format!("{first}.example"), Rtype::TXT)).len(), 1);
    }
    // Where all refuse, that is the answer.
    asked.resolve(resolver(&[FIRST]), None);
    assert_eq!(told(&asked.ask("b.example", Rtype::TXT)).0, Rcode::REFUSED);
    // The silent one is asked last from now on.
    asked.resolve(resolver(&["127.0.0.4".parse().unwrap(), SECOND]), None);
    silent.set_nonblocking(true).unwrap();
    let drain = || std::iter::from_fn(|| silent.recv(&mut [0; 512]).ok()).count();
    drain();
    assert_eq!(records(&asked.ask("c.example", Rtype::TXT)).len(), 1);
    assert_eq!(drain(), 0);
}

#[test]
fn who_asks_the_same_at_the_same_time_waits_for_one_answer() {
    let silent = UdpSocket::bind((FIRST, 0)).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    let asked = Asked::start(&[FIRST], silent.local_addr().unwrap().port());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    // Another question behind them shows that they were all read.
    for (name, rtype) in
        [("a.example", Rtype::A), ("A.example", Rtype::A), ("a.example", Rtype::A), ("b.example", Rtype::A)]
    {
        client.send_to(&query(name, rtype, None), asked.at).unwrap();
    }
    let mut bytes = [0; 512];
    let mut questions = BTreeMap::new();
    while questions.len() < 2 {
        let (length, from) = silent.recv_from(&mut bytes).unwrap();
        let question = bytes[12..length].to_ascii_lowercase();
        assert!(questions.insert(question, (bytes[..length].to_vec(), from)).is_none(), "it was asked twice");
    }
    for (query, from) in questions.values() {
        let message = Message::from_octets(&query[..]).unwrap();
        let builder = MessageBuilder::new_vec().start_answer(&message, Rcode::NXDOMAIN).unwrap();
        silent.send_to(&builder.finish(), from).unwrap();
    }
    for _ in 0..4 {
        let (length, _) = client.recv_from(&mut bytes).unwrap();
        let message = Message::from_octets(&bytes[..length]).unwrap();
        assert_eq!((message.header().id(), message.header().rcode()), (4711, Rcode::NXDOMAIN));
    }
}

#[test]
fn a_container_that_may_not_ask_outside_asks_nobody() {
    let (port, count) = upstream(FIRST, 0, Rcode::NOERROR);
    let asked = Asked::start(&[FIRST], port);
    asked.resolve(Resolver { may_forward: false, ..resolver(&[FIRST]) }, None);
    assert_eq!(told(&asked.ask("example.org", Rtype::A)).0, Rcode::SERVFAIL);
    assert_eq!(records(&asked.ask("web", Rtype::A)).len(), 1);
    asked.resolve(Resolver { keeps_single_words: true, ..resolver(&[FIRST]) }, None);
    assert_eq!(told(&asked.ask("single", Rtype::A)), (Rcode::NOERROR, Vec::new()));
    assert_eq!(count.load(Ordering::SeqCst), 0);
    run_now(asked.server.drop_resolver(ASKER));
    assert!(by_datagram(asked.at, &query("web", Rtype::A, None)).is_err());
    // Its port is free again.
    drop(UdpSocket::bind(asked.at).unwrap());
}

/// Runs something in a namespace and waits for it.
fn within<T: Send + 'static>(namespace: &impl AsFd, work: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = namespace.as_fd().try_clone_to_owned().unwrap();
    let thread = thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        work()
    });
    thread.join().unwrap()
}

#[test]
fn a_program_in_a_namespace_asks_port_53_beside_a_server_of_its_own() {
    isolated(|| {
        let network = common::open("00000030");
        let namespace = common::container(&network, common::A);
        let server = Server::start(Clock::system(), STACK_BYTES).unwrap();
        let names = NetworkNames { name: "front".to_owned(), members: members() };
        server.set_network(NETWORK.to_owned(), names);
        let resolver_at = SocketAddr::from(([127, 0, 0, 11], 53));
        // Once, and again as after the end of whoever held the sockets.
        for _ in 0..2 {
            let sockets = net::resolver_sockets(&namespace).unwrap();
            let sockets = Some([sockets.datagrams, sockets.listener]);
            assert!(run_now(server.set_resolver(ASKER, resolver(&[]), sockets)).unwrap());
            within(&namespace, move || {
                let (own, _listener) = pair(Ipv4Addr::UNSPECIFIED.into(), 53);
                own.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
                let answer = by_datagram(resolver_at, &query("web", Rtype::A, None)).unwrap();
                assert_eq!(records(&answer), ["web 600 A 172.18.0.2"]);
                let mut stream = TcpStream::connect(resolver_at).unwrap();
                let answer = by_stream(&mut stream, &query("db", Rtype::A, None)).unwrap();
                assert_eq!(records(&answer), ["db 600 A 172.18.0.3"]);
                // Its own server is asked on its own addresses.
                let client = UdpSocket::bind("127.0.0.1:0").unwrap();
                client.send_to(b"mine", "127.0.0.1:53").unwrap();
                assert_eq!(own.recv_from(&mut [0; 16]).unwrap().1, client.local_addr().unwrap());
            });
        }
        let listing =
            within(&namespace, || std::process::Command::new("nft").args(["list", "ruleset"]).output());
        if let Ok(listing) = listing {
            let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
            assert_eq!(listing.matches(" set ").count(), 4, "{listing}");
        }
        run("ip link show lo");
        network.destroy().unwrap();
    });
}

/// A process in a user and a network namespace of its own; ended with this value.
struct Stranger(std::process::Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_namespace_of_another_user_namespace_is_answered_too() {
    isolated(|| {
        let words = ["--user", "--map-root-user", "--net", "sleep", "60"];
        let stranger = Stranger(std::process::Command::new("unshare").args(words).spawn().unwrap());
        let path = format!("/proc/{}/ns/net", stranger.0.id());
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let is_there = || std::fs::read_link(&path).is_ok_and(|other| other != own);
        for _ in 0..1000 {
            if is_there() {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if !is_there() {
            eprintln!("SKIP: this machine makes no user namespaces");
            return;
        }
        let namespace = std::fs::File::open(&path).unwrap();
        within(&namespace, || run("ip link set lo up"));
        let sockets = net::resolver_sockets(&namespace).unwrap();
        let server = Server::start(Clock::system(), STACK_BYTES).unwrap();
        server.set_network(NETWORK.to_owned(), NetworkNames { name: "front".to_owned(), members: members() });
        let sockets = Some([sockets.datagrams, sockets.listener]);
        assert!(run_now(server.set_resolver(ASKER, resolver(&[]), sockets)).unwrap());
        let answer = within(&namespace, || {
            by_datagram(SocketAddr::from(([127, 0, 0, 11], 53)), &query("web", Rtype::A, None)).unwrap()
        });
        assert_eq!(records(&answer), ["web 600 A 172.18.0.2"]);
    });
}
