//! Networks that somebody makes, and containers on them.

use blackbox::{page, rows, until};

/// What the web server's own page says.
const WELCOME: &str = "Welcome to nginx!";

/// The first three numbers of addresses that no other test has at the same time: each is a process of its own.
fn own() -> String {
    let pid = std::process::id();
    format!("10.{}.{}", 200 + pid % 50, pid / 50 % 250)
}

rows! {
    fn a_network_is_made_with_a_subnet_and_shown(_node, cli) needs [] {
        let own = own();
        let at = |rest: &str| format!("{own}.{rest}");
        let auxiliary = format!("router={}", at("7"));
        let id = cli.ok(&[
            "network", "create", "--subnet", &at("0/24"), "--ip-range", &at("128/25"), "--gateway", &at("9"),
            "--aux-address", &auxiliary, "--ipv6=false", "--label", "tier=back", "mine",
        ]);
        assert_eq!(id.trim().len(), 64, "{id}");
        let shown = |format: &str| cli.ok(&["network", "inspect", "-f", format, "mine"]).trim().to_owned();
        assert_eq!(shown("{{.Id}}"), id.trim());
        assert_eq!(shown("{{(index .IPAM.Config 0).Subnet}}"), at("0/24"));
        assert_eq!(shown("{{(index .IPAM.Config 0).IPRange}}"), at("128/25"));
        assert_eq!(shown("{{(index .IPAM.Config 0).Gateway}}"), at("9"));
        assert_eq!(shown("{{.Driver}} {{.Scope}} {{.EnableIPv6}} {{.Internal}}"), "bridge local false false");
        assert_eq!(shown("{{.Labels.tier}}"), "back");
        let listed = cli.ok(&["network", "ls", "--filter", "type=custom", "--format", "{{.Name}} {{.Driver}}"]);
        assert_eq!(listed.trim(), "mine bridge");
        assert!(cli.fails(1, &["network", "create", "mine"]).contains("network with name mine already exists"));
        let overlap = cli.fails(1, &["network", "create", "--subnet", &at("0/25"), "other"]);
        assert!(overlap.contains("Pool overlaps with other one on this address space"), "{overlap}");
        assert_eq!(cli.ok(&["network", "rm", "mine"]).trim(), "mine");
        assert!(cli.fails(1, &["network", "inspect", "mine"]).contains("network mine not found"));
    }

    fn a_network_has_both_families_unless_told(_node, cli) needs [] {
        cli.ok(&["network", "create", "mine"]);
        let subnets = cli.ok(&["network", "inspect", "-f", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", "mine"]);
        let families: Vec<bool> = subnets.split_whitespace().map(|subnet| subnet.contains(':')).collect();
        assert_eq!(families, [false, true], "{subnets}");
        cli.ok(&["network", "rm", "mine"]);
    }

    fn a_container_has_the_address_that_it_asked_for(_node, cli) needs ["nginx", "busybox"] {
        let own = own();
        let (address, url) = (format!("{own}.77"), format!("http://{own}.77/"));
        cli.ok(&["network", "create", "--subnet", &format!("{own}.0/24"), "mine"]);
        cli.ok(&["run", "-d", "--name", "web", "--network", "mine", "--ip", &address, "--network-alias", "www", "nginx"]);
        assert_eq!(cli.inspect("web", "{{.NetworkSettings.Networks.mine.IPAddress}}"), address);
        assert_eq!(cli.inspect("web", "{{.NetworkSettings.Networks.mine.Aliases}}"), "[www]");
        assert_eq!(cli.inspect("web", "{{.NetworkSettings.IPAddress}}"), "");
        until("it answers", || page(&url)?.contains(WELCOME).then_some(()));
        let said = cli.run(&["run", "--rm", "--network", "mine", "busybox", "wget", "-q", "-O", "-", &url]);
        assert!(said.code == 0 && said.out.contains(WELCOME), "{said:?}");
        let said = cli.run(&["run", "--rm", "busybox", "wget", "-T", "2", "-q", "-O", "-", &url]);
        assert_ne!(said.code, 0, "networks are apart from each other");
        let taken = cli.fails(125, &["run", "--rm", "--network", "mine", "--ip", "192.0.2.9", "busybox", "true"]);
        assert!(taken.contains("192.0.2.9"), "{taken}");
        cli.ok(&["stop", "-t", "0", "web"]);
        cli.ok(&["start", "web"]);
        assert_eq!(cli.inspect("web", "{{.NetworkSettings.Networks.mine.IPAddress}}"), address);
    }

    fn a_running_container_joins_a_network_and_leaves_it(_node, cli) needs ["busybox"] {
        let own = own();
        let address = format!("{own}.50");
        let prefix = format!("fd00:{:x}::", std::process::id() & 0xffff);
        cli.ok(&["network", "create", "--subnet", &format!("{own}.0/24"), "--subnet", &format!("{prefix}/64"), "mine"]);
        cli.ok(&["run", "-d", "--name", "one", "busybox", "sleep", "1000"]);
        cli.ok(&["network", "connect", "--ip", &address, "--alias", "other", "mine", "one"]);
        let addresses = || cli.ok(&["exec", "one", "ip", "address"]);
        assert!(addresses().contains(&format!("{address}/24")) && addresses().contains(&prefix), "{}", addresses());
        let member = cli.ok(&["network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}", "mine"]);
        assert_eq!(member.trim(), format!("one {address}/24"));
        let used = cli.fails(1, &["network", "rm", "mine"]);
        assert!(used.contains("network mine has active endpoints"), "{used}");
        cli.ok(&["network", "disconnect", "mine", "one"]);
        assert!(!addresses().contains(&address));
        assert!(!cli.inspect("one", "{{json .NetworkSettings.Networks}}").contains("mine"));
        cli.ok(&["network", "rm", "mine"]);
        assert!(cli.fails(1, &["network", "connect", "mine", "one"]).contains("network mine not found"));
    }

    fn a_container_that_left_its_last_network_joins_another(_node, cli) needs ["busybox"] {
        cli.ok(&["network", "create", "mine"]);
        cli.ok(&["run", "-d", "--name", "moves", "busybox", "sleep", "1000"]);
        cli.ok(&["network", "disconnect", "bridge", "moves"]);
        assert!(!cli.ok(&["exec", "moves", "ip", "link"]).contains("eth0"));
        cli.ok(&["network", "connect", "mine", "moves"]);
        assert!(cli.ok(&["exec", "moves", "ip", "route"]).contains("default"));
        assert!(cli.ok(&["exec", "moves", "nslookup", "moves"]).contains("127.0.0.11"));
        cli.ok(&["network", "disconnect", "mine", "moves"]);
        // On nothing, it starts again on nothing.
        cli.ok(&["restart", "-t", "0", "moves"]);
        assert!(!cli.ok(&["exec", "moves", "ip", "link"]).contains("eth0"));
        cli.ok(&["network", "connect", "bridge", "moves"]);
        assert!(cli.ok(&["exec", "moves", "ip", "link"]).contains("eth0"));
        cli.ok(&["rm", "-f", "moves"]);
        cli.ok(&["network", "rm", "mine"]);
    }

    fn a_container_is_made_on_several_networks(_node, cli) needs ["busybox"] {
        let own = own();
        let (way, back) = (format!("default via {own}.129"), format!("{own}.137"));
        let place = format!("name=back,ip={back},gw-priority=5");
        cli.ok(&["network", "create", "--subnet", &format!("{own}.0/25"), "front"]);
        cli.ok(&["network", "create", "--subnet", &format!("{own}.128/25"), "back"]);
        cli.ok(&[
            "run", "-d", "--name", "one", "--network", "front", "--network", &place, "busybox",
            "sleep", "1000",
        ]);
        let route = cli.ok(&["exec", "one", "ip", "route"]);
        assert!(route.contains(&way), "{route}");
        assert_eq!(cli.inspect("one", "{{.NetworkSettings.Networks.back.IPAddress}}"), back);
        assert!(cli.inspect("one", "{{.NetworkSettings.Networks.front.IPAddress}}").starts_with(&own));
        assert_eq!(cli.inspect("one", "{{.HostConfig.NetworkMode}}"), "front");
        let listed = cli.ok(&["ps", "--filter", "network=back", "--format", "{{.Names}} {{.Networks}}"]);
        assert_eq!(listed.trim(), "one back,front");
    }

    fn a_prune_leaves_what_a_container_wants(_node, cli) needs ["busybox"] {
        for name in ["idle", "wanted"] {
            cli.ok(&["network", "create", name]);
        }
        cli.ok(&["create", "--name", "one", "--network", "wanted", "busybox", "true"]);
        let pruned = cli.ok(&["network", "prune", "-f"]);
        assert!(pruned.contains("idle") && !pruned.contains("wanted"), "{pruned}");
        let left = cli.ok(&["network", "ls", "--filter", "type=custom", "--format", "{{.Name}}"]);
        assert_eq!(left.trim(), "wanted");
        cli.ok(&["rm", "one"]);
        cli.ok(&["network", "rm", "wanted"]);
    }

    fn the_predefined_networks_stay(_node, cli) needs [] {
        for name in ["bridge", "host", "none"] {
            let why = format!("{name} is a pre-defined network and cannot be removed");
            assert!(cli.fails(1, &["network", "rm", name]).contains(&why));
            assert!(cli.fails(1, &["network", "create", name]).contains("operation is not permitted on predefined"));
        }
        assert!(cli.fails(1, &["network", "create", "-d", "weave", "x"]).contains("plugin \"weave\" not found"));
    }
}
