//! Rows N1, N2: published ports.

use blackbox::{free_port, host_address, page, rows, until};

/// What the web server's own page says.
const WELCOME: &str = "Welcome to nginx!";

/// A program that sends each datagram back; perl is part of every Debian root.
const ECHO: &str = "$s = IO::Socket::INET->new(LocalPort => 5353, Proto => 'udp') or die; \
                    while (1) { $from = $s->recv($text, 1500); $s->send($text, 0, $from) }";

fn is_served(url: &str) {
    until(&format!("nginx answers at {url}"), || page(url)?.contains(WELCOME).then_some(()));
}

rows! {
    /// N1
    fn a_published_port_answers_at_every_address(_node, cli) needs ["nginx", "busybox"] {
        let port = free_port();
        cli.ok(&["run", "-d", "--name", "web", "-p", &format!("{port}:80"), "nginx"]);
        is_served(&format!("http://127.0.0.1:{port}/"));
        is_served(&format!("http://localhost:{port}/"));
        if std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|addresses| !addresses.is_empty()) {
            is_served(&format!("http://[::1]:{port}/"));
        }
        let gateway = cli.inspect("web", "{{.NetworkSettings.Networks.bridge.Gateway}}");
        let address = cli.inspect("web", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
        is_served(&format!("http://{gateway}:{port}/"));
        is_served(&format!("http://{address}/"));
        // From another container: at the container's own address, at the gateway, at an address of the host.
        let mut urls = vec![format!("http://{address}/"), format!("http://{gateway}:{port}/")];
        if let Some(host) = host_address() {
            is_served(&format!("http://{host}:{port}/"));
            urls.push(format!("http://{host}:{port}/"));
        }
        for url in urls {
            let said = cli.run(&["run", "--rm", "busybox", "wget", "-q", "-O", "-", &url]);
            assert!(said.code == 0 && said.out.contains(WELCOME), "{url} from another container: {said:?}");
        }
        // From itself, through its own published port.
        let own = format!("http://{gateway}:{port}/");
        let said = cli.run(&["run", "--rm", "--net=container:web", "busybox", "wget", "-q", "-O", "-", &own]);
        assert!(said.code == 0 && said.out.contains(WELCOME), "from itself: {said:?}");
        cli.ok(&["rm", "-f", "web"]);
        assert!(page(&format!("http://127.0.0.1:{port}/")).is_none(), "the port is closed again");
    }

    /// N2
    fn ports_are_chosen_and_shown(_node, cli) needs ["nginx"] {
        cli.ok(&["run", "-d", "--name", "web", "-P", "nginx"]);
        let shown = cli.ok(&["port", "web"]);
        let first = shown.lines().next().unwrap();
        let port: u16 = first.strip_prefix("80/tcp -> 0.0.0.0:").unwrap_or_else(|| panic!("{shown}")).parse().unwrap();
        assert!(cli.ok(&["port", "web", "80"]).starts_with(&format!("0.0.0.0:{port}")));
        assert!(cli.ok(&["port", "web", "80/tcp"]).starts_with(&format!("0.0.0.0:{port}")));
        assert!(cli.ok(&["ps"]).contains(&format!("0.0.0.0:{port}->80/tcp")));
        is_served(&format!("http://127.0.0.1:{port}/"));
        assert!(cli.fails(1, &["port", "web", "81"]).to_lowercase().contains("no public port"));
    }

    /// N2
    fn a_port_that_is_not_published_is_private(_node, cli) needs ["nginx"] {
        cli.ok(&["run", "-d", "--name", "web", "nginx"]);
        assert_eq!(cli.ok(&["port", "web"]), "");
        assert_eq!(cli.ok(&["ps", "--format", "{{.Ports}}"]), "80/tcp");
        let address = cli.inspect("web", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
        is_served(&format!("http://{address}/"));
    }

    fn a_port_published_at_one_address_answers_there_only(_node, cli) needs ["nginx"] {
        let port = free_port();
        cli.ok(&["run", "-d", "--name", "web", "-p", &format!("127.0.0.1:{port}:80"), "nginx"]);
        is_served(&format!("http://127.0.0.1:{port}/"));
        if let Some(host) = host_address() {
            assert!(page(&format!("http://{host}:{port}/")).is_none(), "it answers at {host} too");
        }
        assert!(cli.ok(&["port", "web"]).lines().all(|line| line == format!("80/tcp -> 127.0.0.1:{port}")));
    }

    fn the_clients_address_is_seen_inside(_node, cli) needs ["nginx"] {
        let Some(host) = host_address() else { return };
        let port = free_port();
        cli.ok(&["run", "-d", "--name", "web", "-p", &format!("{port}:80"), "nginx"]);
        is_served(&format!("http://{host}:{port}/"));
        let log = until("the request is logged", || {
            let log = cli.ok(&["logs", "web"]);
            log.contains("GET / ").then_some(log)
        });
        let gateway = cli.inspect("web", "{{.NetworkSettings.Networks.bridge.Gateway}}");
        assert!(log.lines().any(|line| line.starts_with(&host) || line.starts_with(&gateway)), "{log}");
    }

    fn udp_is_published_too(_node, cli) needs ["debian"] {
        let port = free_port();
        let publish = format!("{port}:5353/udp");
        cli.ok(&["run", "-d", "--name", "echo", "-p", &publish, "debian", "perl", "-MIO::Socket::INET", "-e", ECHO]);
        assert!(cli.ok(&["ps", "--format", "{{.Ports}}"]).contains(&format!("0.0.0.0:{port}->5353/udp")));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        let mut buffer = [0_u8; 16];
        until("the datagram comes back", || {
            socket.send_to(b"ping", ("127.0.0.1", port)).ok()?;
            let (count, from) = socket.recv_from(&mut buffer).ok()?;
            (buffer[..count].starts_with(b"ping") && from.port() == port).then_some(())
        });
    }

    fn containers_reach_each_other_and_the_outside_by_the_gateway(_node, cli) needs ["busybox"] {
        cli.ok(&["run", "-d", "--name", "one", "busybox", "sleep", "1000"]);
        let address = cli.inspect("one", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
        let gateway = cli.inspect("one", "{{.NetworkSettings.Networks.bridge.Gateway}}");
        for target in [address, gateway.clone()] {
            let said = cli.run(&["run", "--rm", "busybox", "ping", "-c", "1", "-W", "3", &target]);
            assert_eq!(said.code, 0, "{target}: {said:?}");
        }
        let route = cli.ok(&["exec", "one", "ip", "route"]);
        assert!(route.contains(&format!("default via {gateway}")), "{route}");
    }

    fn a_restarted_container_is_published_again(_node, cli) needs ["nginx"] {
        let port = free_port();
        cli.ok(&["run", "-d", "--name", "web", "-p", &format!("{port}:80"), "nginx"]);
        let url = format!("http://127.0.0.1:{port}/");
        is_served(&url);
        cli.ok(&["stop", "web"]);
        assert!(page(&url).is_none());
        assert_eq!(cli.ok(&["port", "web"]), "", "a container that ended publishes nothing");
        cli.ok(&["start", "web"]);
        is_served(&url);
    }

    fn removing_a_container_removes_its_links(node, cli) needs ["busybox"] {
        let count = || std::fs::read_dir("/sys/class/net").unwrap().flatten().filter(|link| {
            let master = std::fs::read_link(link.path().join("master")).unwrap_or_default();
            master.to_string_lossy().contains(node.id())
        }).count();
        let port = free_port();
        cli.ok(&["run", "-d", "--name", "one", "-p", &format!("{port}:80"), "busybox", "sleep", "1000"]);
        assert_eq!(count(), 1, "one link on the bridge");
        cli.ok(&["rm", "-f", "one"]);
        until("the link is gone", || (count() == 0).then_some(()));
        // And the port can be had again at once.
        assert!(std::net::TcpListener::bind(("0.0.0.0", port)).is_ok());
    }
}
