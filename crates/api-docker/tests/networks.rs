//! Networks as clients see them: made, listed, joined, left, removed, and a container's places on them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of tests fails the test")]

mod support;

use model::Phase;
use platform::{Actor, Event, EventKind};
use serde_json::{Value, json};
use support::{CONTAINER, Node, Server, event};

async fn with_network(name: &str) -> Server {
    let server = Server::start(Node::default());
    assert_eq!(server.post("/v1.51/networks/create", &json!({"Name": name})).await.status, 201);
    server
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_three_networks_are_found_by_name_and_id() {
    let server = Server::start(Node::default());
    let networks = server.get("/networks").await.json();
    assert_eq!(names(&networks), ["bridge", "host", "none"]);
    assert_eq!(networks[0]["Containers"], json!({}), "a list does not tell who is on a network");
    let bridge = server.get("/networks/b1b1?verbose=1").await.json();
    let ipam = json!({"Driver": "default", "Options": null,
        "Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]});
    assert_eq!((&bridge["IPAM"], &bridge["EnableIPv6"]), (&ipam, &json!(false)));
    assert_eq!(bridge["Options"]["com.docker.network.bridge.name"], "boc-test");
    assert_eq!(bridge["Containers"][CONTAINER]["IPv4Address"], "172.17.0.2/16");
    assert!(bridge.get("Status").is_none());
    assert_eq!(server.get("/networks/host").await.json()["IPAM"]["Config"], Value::Null);
    let missing = server.get("/networks/bridge?scope=swarm").await;
    assert_eq!((missing.status, missing.message().as_str()), (404, "network bridge not found"));
    let old = server.get("/v1.24/networks").await.json();
    assert_eq!(old[0]["Containers"][CONTAINER]["Name"], "web");
}

#[tokio::test]
async fn a_network_is_made_as_asked_and_shown_the_same() {
    let server = Server::start(Node::default());
    let body = json!({
        "Name": "mine", "CheckDuplicate": true, "Driver": "bridge", "Internal": true, "Attachable": true, "Scope": "local",
        "IPAM": {"Driver": "default", "Options": {}, "Config": [
            {"Subnet": "10.1.0.0/16", "IPRange": "10.1.2.0/24", "Gateway": "10.1.0.254", "AuxAddress": {"router": "10.1.0.7"}},
            {"Subnet": "fd00:7::/64"}]},
        "Options": {"com.docker.network.driver.mtu": "1400"}, "Labels": {"a": "b"}
    });
    let made = server.post("/v1.51/networks/create", &body).await;
    let id = "d0".repeat(32);
    assert_eq!((made.status, made.json()), (201, json!({"Id": id, "Warning": "mind this"})));
    let seen = server.get("/networks/mine").await.json();
    assert_eq!(
        seen["IPAM"]["Config"],
        json!([{"Subnet": "10.1.0.0/16", "IPRange": "10.1.2.0/24", "Gateway": "10.1.0.254",
                "AuxiliaryAddresses": {"router": "10.1.0.7"}}, {"Subnet": "fd00:7::/64"}])
    );
    assert_eq!((&seen["EnableIPv4"], &seen["EnableIPv6"]), (&json!(true), &json!(true)));
    assert_eq!((&seen["Internal"], &seen["Attachable"]), (&json!(true), &json!(true)));
    assert_eq!(seen["Options"], json!({"com.docker.network.driver.mtu": "1400"}));
    assert_eq!((&seen["Labels"], &seen["IPAM"]["Options"]), (&json!({"a": "b"}), &json!({})));
    assert_eq!((&seen["Containers"], &seen["ConfigFrom"]), (&json!({}), &json!({"Network": ""})));
    let again = server.post("/v1.51/networks/create", &body).await;
    assert_eq!((again.status, again.message().as_str()), (409, "network with name mine already exists"));
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_by_name() {
    let server = Server::start(Node::default());
    for (fields, status, why) in [
        (json!({"Driver": "weave"}), 404, "plugin \"weave\" not found"),
        (json!({"Driver": "overlay"}), 403, "This node is not a swarm manager. Use \"docker swarm init\" or"),
        (json!({"Scope": "swarm"}), 501, "Scope is not supported yet: "),
        (json!({"Ingress": true}), 501, "Ingress is not supported yet: "),
        (json!({"ConfigOnly": true}), 501, "ConfigOnly is not supported yet: "),
        (json!({"ConfigFrom": {"Network": "x"}}), 501, "ConfigFrom is not supported yet: "),
        (json!({"IPAM": {"Driver": "dhcp"}}), 501, "IPAM.Driver is not supported yet: "),
        (json!({"IPAM": {"Options": {"a": "b"}}}), 501, "IPAM.Options is not supported yet: "),
        (
            json!({"IPAM": {"Config": [{"Subnet": "10.0.0.1/24"}]}}),
            400,
            "invalid network config:\ninvalid subnet 10.0.0.1/24: it should be 10.0.0.0/24",
        ),
        (json!({"Name": ""}), 400, "invalid name: name is empty"),
    ] {
        let mut body = json!({"Name": "x"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let reply = server.post("/v1.51/networks/create", &body).await;
        assert_eq!(reply.status, status, "{body}");
        assert!(reply.message().starts_with(why), "{reply:?}");
    }
    let empty = server.send("POST", "/networks/create", "", "").await;
    assert_eq!(
        (empty.status, empty.message().as_str()),
        (400, "invalid JSON: got EOF while reading request body")
    );
    assert!(server.node.was_asked().is_empty());
}

#[tokio::test]
async fn networks_are_listed_with_filters() {
    let server = with_network("mine").await;
    let labelled = json!({"Name": "other", "Driver": "macvlan", "Labels": {"a": "b"}});
    assert_eq!(server.post("/networks/create", &labelled).await.status, 201);
    server.node.spec.lock().unwrap().attachments =
        vec![model::Attachment { network: "mine".into(), ..Default::default() }];
    for (filters, found) in [
        (r#"{"type":["custom"]}"#, &["mine", "other"][..]),
        (r#"{"type":["builtin"]}"#, &["bridge", "host", "none"]),
        (r#"{"driver":["null","macvlan"]}"#, &["none", "other"]),
        (r#"{"label":["a=b"]}"#, &["other"]),
        (r#"{"name":["^m"]}"#, &["mine"]),
        (r#"{"id":["d0d0"]}"#, &["mine"]),
        (r#"{"dangling":["true"]}"#, &["other"]),
        (r#"{"dangling":["false"]}"#, &["bridge", "host", "none", "mine"]),
        (r#"{"scope":["swarm"]}"#, &[]),
    ] {
        let path = format!("/networks?filters={}", filters.replace('"', "%22").replace('^', "%5E"));
        assert_eq!(names(&server.get(&path).await.json()), found, "{filters}");
    }
    for (filters, why) in
        [(r#"{"type":["x"]}"#, "invalid filter 'type=x'"), (r#"{"colour":["x"]}"#, "invalid filter 'colour'")]
    {
        let reply = server.get(&format!("/networks?filters={}", filters.replace('"', "%22"))).await;
        assert_eq!((reply.status, reply.message().as_str()), (400, why));
    }
}

#[tokio::test]
async fn a_container_joins_a_network_and_leaves_it() {
    let server = with_network("mine").await;
    let body = json!({"Container": "web", "EndpointConfig": {"Aliases": ["a"], "Links": ["db:d"], "GwPriority": 7,
        "MacAddress": "02:00:00:00:00:0a", "DriverOpts": {"k": "v"}, "NetworkID": "unread",
        "IPAMConfig": {"IPv4Address": "10.0.0.9", "IPv6Address": "fd00::9"}}});
    let reply = server.post("/v1.51/networks/mine/connect", &body).await;
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    let asked = server.node.was_asked().pop().unwrap();
    for word in [
        "connect web",
        "network: \"mine\"",
        "aliases: [\"a\"]",
        "links: [(\"db\", \"d\")]",
        "ipv4: Some(10.0.0.9)",
        "ipv6: Some(fd00::9)",
        "mac: Some([2, 0, 0, 0, 0, 10])",
        "priority: 7",
        "options: {\"k\": \"v\"}",
    ] {
        assert!(asked.contains(word), "{word} in {asked}");
    }
    let reply = server.post("/networks/mine/disconnect", &json!({"Container": "web", "Force": true})).await;
    assert_eq!(reply.status, 200);
    assert_eq!(server.node.was_asked().pop().unwrap(), "disconnect mine web true");
    for (path, body, status, why) in [
        ("/networks/none0/connect", json!({"Container": "web"}), 404, "network none0 not found"),
        ("/networks/mine/connect", json!({"Container": "x"}), 404, "No such container: x"),
        ("/networks/mine/disconnect", json!({"Container": "x"}), 404, "No such container: x"),
        (
            "/networks/mine/connect",
            json!({"Container": "web", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "x"}}}),
            400,
            "invalid endpoint settings:\ninvalid IPv4 address: x",
        ),
        (
            "/networks/bridge/connect",
            json!({"Container": "web", "EndpointConfig": {"Aliases": ["x"]}}),
            400,
            "invalid endpoint settings:\nnetwork-scoped aliases are only supported for user-defined networks",
        ),
    ] {
        let reply = server.post(path, &body).await;
        assert_eq!((reply.status, reply.message().as_str()), (status, why));
    }
    let link_local =
        json!({"Container": "web", "EndpointConfig": {"IPAMConfig": {"LinkLocalIPs": ["169.254.0.1"]}}});
    let reply = server.post("/networks/mine/connect", &link_local).await;
    let why = "EndpointConfig.IPAMConfig.LinkLocalIPs is not supported yet: ";
    assert!(reply.status == 501 && reply.message().starts_with(why), "{reply:?}");
}

#[tokio::test]
async fn networks_are_removed_one_by_one_or_all_that_nobody_wants() {
    let server = with_network("mine").await;
    for name in ["idle", "kept"] {
        let labels = if name == "kept" { json!({"keep": ""}) } else { json!({}) };
        server.post("/networks/create", &json!({"Name": name, "Labels": labels})).await;
    }
    server.node.spec.lock().unwrap().attachments =
        vec![model::Attachment { network: "mine".into(), ..Default::default() }];
    let filters = "%7B%22label!%22%3A%5B%22keep%22%5D%7D";
    let pruned = server.post(&format!("/v1.51/networks/prune?filters={filters}"), &Value::Null).await;
    assert_eq!(pruned.json(), json!({"NetworksDeleted": ["idle"]}));
    let until = "%7B%22until%22%3A%5B%221600000000%22%5D%7D";
    let pruned = server.post(&format!("/v1.51/networks/prune?filters={until}"), &Value::Null).await;
    assert_eq!(pruned.json(), json!({"NetworksDeleted": null}), "they are younger");
    let gone = server.send("DELETE", "/networks/mine", "", "").await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    let refused = server.send("DELETE", "/networks/bridge", "", "").await;
    assert_eq!(
        (refused.status, refused.message().as_str()),
        (403, "bridge is a pre-defined network and cannot be removed")
    );
    assert_eq!(server.send("DELETE", "/networks/gone", "", "").await.status, 404);
}

#[tokio::test]
async fn a_container_is_on_several_networks_the_one_of_its_mode_first() {
    let server = with_network("front").await;
    server.post("/networks/create", &json!({"Name": "back"})).await;
    let body = json!({"Image": "busybox", "HostConfig": {"NetworkMode": "front", "Links": ["db:d"]},
        "NetworkingConfig": {"EndpointsConfig": {
            "back": {"GwPriority": 5, "MacAddress": "02:00:00:00:00:0a", "DriverOpts": {"k": "v"}},
            "front": {"Aliases": ["w"], "IPAMConfig": {"IPv4Address": "172.17.0.9"}}}}});
    assert_eq!(server.post("/v1.51/containers/create", &body).await.status, 201);
    let order: Vec<String> =
        server.node.spec.lock().unwrap().attachments.iter().map(|place| place.network.clone()).collect();
    assert_eq!(order, ["front", "back"]);
    let seen = server.get("/containers/web/json").await.json();
    let settings = &seen["NetworkSettings"];
    let (front, back) = (&settings["Networks"]["front"], &settings["Networks"]["back"]);
    assert_eq!(front["IPAMConfig"], json!({"IPv4Address": "172.17.0.9"}));
    assert_eq!((&front["Aliases"], &front["Links"]), (&json!(["w"]), &json!(["db:d"])));
    assert_eq!((&front["DNSNames"], &front["NetworkID"]), (&json!(["web"]), &json!("d0".repeat(32))));
    assert_eq!((&back["IPAMConfig"], &back["GwPriority"]), (&Value::Null, &json!(5)));
    assert_eq!((&back["MacAddress"], &back["DriverOpts"]), (&json!("02:00:00:00:00:0a"), &json!({"k": "v"})));
    assert_eq!((&back["IPAddress"], &back["Gateway"]), (&json!("172.18.0.2"), &json!("172.18.0.1")));
    assert_eq!(
        (&back["GlobalIPv6Address"], &back["GlobalIPv6PrefixLen"], &back["IPv6Gateway"]),
        (&json!("fd00:18::2"), &json!(64), &json!("fd00:18::1"))
    );
    assert_ne!(front["EndpointID"], back["EndpointID"]);
    assert_eq!(front["EndpointID"].as_str().unwrap().len(), 64);
    assert_eq!((&settings["IPAddress"], &settings["EndpointID"]), (&json!(""), &json!("")));
    assert_eq!(settings["Ports"]["80/tcp"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&seen["HostConfig"]["NetworkMode"], &seen["HostConfig"]["Links"]),
        (&json!("front"), &json!(["db:d"]))
    );
    let member = &server.get("/networks/back").await.json()["Containers"][CONTAINER];
    assert_eq!(
        (&member["EndpointID"], &member["IPv6Address"]),
        (&back["EndpointID"], &json!("fd00:18::2/64"))
    );
    let old = server.get("/v1.44/containers/web/json").await.json();
    assert_eq!(old["NetworkSettings"]["Networks"]["front"]["Aliases"], json!(["w", &CONTAINER[..12]]));
    let filter = |value: &str| format!("/containers/json?filters=%7B%22network%22%3A%5B%22{value}%22%5D%7D");
    for (value, found) in [("back", 1), ("d1d1", 1), ("bridge", 0)] {
        let lines = server.get(&filter(value)).await.json();
        assert_eq!(lines.as_array().unwrap().len(), found, "{value}");
    }
}

#[tokio::test]
async fn a_container_that_rests_has_networks_and_no_addresses() {
    let server = Server::start(Node::default());
    *server.node.phase.lock().unwrap() = Phase::Created;
    let seen = server.get("/containers/web/json").await.json();
    let bridge = &seen["NetworkSettings"]["Networks"]["bridge"];
    assert_eq!((&bridge["IPAddress"], &bridge["EndpointID"]), (&json!(""), &json!("")));
    assert_eq!((&bridge["MacAddress"], &seen["NetworkSettings"]["Ports"]), (&json!(""), &json!({})));
}

#[tokio::test]
async fn the_default_bridge_is_shown_above_the_others_as_well() {
    let server = Server::start(Node::default());
    let settings = server.get("/containers/web/json").await.json()["NetworkSettings"].clone();
    let bridge = &settings["Networks"]["bridge"];
    for field in ["EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "MacAddress", "GlobalIPv6Address"] {
        assert_eq!(settings[field], bridge[field], "{field}");
    }
    assert_eq!(settings["MacAddress"], "02:42:ac:11:00:02");
}

#[tokio::test]
async fn a_network_may_be_named_by_its_id_beside_the_mode() {
    let server = with_network("mine").await;
    let with_id = json!({"Image": "busybox", "HostConfig": {"NetworkMode": "mine"},
        "NetworkingConfig": {"EndpointsConfig": {"d0d0d0": {"Aliases": ["a"]}}}});
    assert_eq!(server.post("/v1.51/containers/create", &with_id).await.status, 201);
    let places = server.node.spec.lock().unwrap().attachments.clone();
    assert_eq!((places.len(), places[0].network.as_str(), places[0].aliases.len()), (1, "mine", 1));
}

#[tokio::test]
async fn networks_that_do_not_go_together_are_refused_in_dockers_words() {
    let server = with_network("mine").await;
    for (version, mode, endpoints, why) in [
        (
            "1.43",
            "mine",
            json!({"a": {}, "mine": {}}),
            "Container cannot be connected to network endpoints: a, mine",
        ),
        (
            "1.51",
            "mine",
            json!({"bridge": {}}),
            "HostConfig.NetworkMode must match the identity of a network in NetworkSettings.Networks",
        ),
        (
            "1.51",
            "host",
            json!({"mine": {}}),
            "container cannot be disconnected from host network or connected to host network",
        ),
        (
            "1.51",
            "none",
            json!({"mine": {}, "none": {}}),
            "container cannot be connected to multiple networks with one of the networks in private (none) mode",
        ),
        (
            "1.51",
            "container:web",
            json!({"mine": {}}),
            "container sharing network namespace with another container or host cannot be connected to any other network",
        ),
        (
            "1.51",
            "bridge",
            json!({"bridge": {"IPAMConfig": {"IPv4Address": "172.17.0.9"}}}),
            "invalid config for network bridge: invalid endpoint settings:\nuser specified IP address is supported on user defined networks only",
        ),
    ] {
        let body = json!({"Image": "busybox", "HostConfig": {"NetworkMode": mode},
            "NetworkingConfig": {"EndpointsConfig": endpoints}});
        let reply = server.post(&format!("/v{version}/containers/create"), &body).await;
        assert_eq!((reply.status, reply.message().as_str()), (400, why));
    }
    for (mode, status, why) in [
        (
            "default",
            501,
            "HostConfig.Links is not supported yet: --link on the default bridge is not supported",
        ),
        ("host", 400, "conflicting options: host type networking can't be used with links."),
        ("container:web", 400, "conflicting options: container type network can't be used with links."),
    ] {
        let body = json!({"Image": "busybox", "HostConfig": {"NetworkMode": mode, "Links": ["db"]}});
        let reply = server.post("/v1.51/containers/create", &body).await;
        assert!(reply.status == status && reply.message().starts_with(why), "{reply:?}");
    }
}

#[tokio::test]
async fn the_rules_of_a_network_are_told_with_their_reasons() {
    let server = Server::start(Node::default());
    assert_eq!(
        server.get("/bocage/v1/networks/bridge/rules").await.json(),
        json!([{"place": "chain forward", "rule": "iifname \"br0\" drop", "why": "it is internal"}])
    );
    assert_eq!(server.get("/bocage/v1/networks/x/rules").await.status, 404);
}

#[tokio::test]
async fn what_happens_to_networks_is_told_as_events() {
    use http_body_util::BodyExt;
    let server = Server::start(Node::default());
    let filters = "%7B%22network%22%3A%5B%22mine%22%5D%7D";
    let mut body = server.open("GET", &format!("/events?filters={filters}"), "", "").await.into_body();
    // The first, empty part says that it is listened.
    let mut next = async || loop {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        if !frame.is_empty() {
            return serde_json::from_slice::<Value>(&frame).unwrap();
        }
    };
    while server.node.events.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    server.node.events.send(event("start")).unwrap();
    for action in ["create", "connect", "disconnect", "destroy"] {
        let attributes = [("name", "mine"), ("type", "bridge"), ("container", CONTAINER)];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let actor = Actor { id: "d0".repeat(32), attributes };
        server
            .node
            .events
            .send(Event { kind: EventKind::Network, action: action.into(), actor, ..event(action) })
            .unwrap();
        let told = next().await;
        assert_eq!((&told["Type"], &told["Action"]), (&json!("network"), &json!(action)));
        assert_eq!(told["Actor"]["Attributes"]["container"], CONTAINER);
    }
}
