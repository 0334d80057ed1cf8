//! What clients rely on besides JSON: heads, versions, streams and connections that are taken over.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of tests fails the test")]

mod support;

use http_body_util::BodyExt;
use model::Phase;
use platform::Error;
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use support::{CONTAINER, EXEC, Node, Server, event};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it takes too long")
}

/// Sends a head by hand and reads the answer's, so that what follows it can be seen byte by byte.
async fn take_over(server: &Server, path: &str, upgrade: bool, body: &str) -> (UnixStream, String) {
    let mut stream = server.connect().await;
    let upgrade = if upgrade { "Connection: Upgrade\r\nUpgrade: tcp\r\n" } else { "" };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: docker\r\n{upgrade}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

async fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.unwrap();
    bytes
}

#[tokio::test]
async fn a_ping_tells_what_is_spoken() {
    let server = Server::start(Node::default());
    for method in ["GET", "HEAD"] {
        let reply = server.send(method, "/_ping", "", "").await;
        assert_eq!(reply.status, 200);
        assert_eq!((reply.header("api-version"), reply.header("ostype")), ("1.51", "linux"));
        assert_eq!((reply.header("docker-experimental"), reply.header("pragma")), ("false", "no-cache"));
        assert_eq!(reply.body, if method == "GET" { "OK" } else { "" });
    }
}

#[tokio::test]
async fn versions_out_of_range_are_refused_in_dockers_words() {
    let server = Server::start(Node::default());
    let reply = server.get("/v1.52/info").await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.message(), "client version 1.52 is too new. Maximum supported API version is 1.51");
    let reply = server.get("/v1.12/info").await;
    assert_eq!((reply.status, reply.header("content-type")), (400, "text/plain; charset=utf-8"));
    for path in ["/v1.24/version", "/version", "/v1.51/version"] {
        assert_eq!(server.get(path).await.json()["MinAPIVersion"], "1.24", "{path}");
    }
}

#[tokio::test]
async fn unknown_paths_and_things_are_not_found() {
    let server = Server::start(Node::default());
    for (path, message) in [
        ("/v1.51/nothing", "page not found"),
        ("/containers/other/json", "No such container: other"),
        ("/images/other/json", "No such image: other:latest"),
        ("/networks/other", "network other not found"),
        ("/exec/00/json", "No such exec instance: 00"),
    ] {
        let reply = server.get(path).await;
        assert_eq!((reply.status, reply.message().as_str()), (404, message));
    }
    assert_eq!(server.send("PATCH", "/info", "", "").await.status, 404);
}

#[tokio::test]
async fn a_pull_is_told_line_by_line_in_the_words_that_clients_draw_from() {
    let server = Server::start(Node::default());
    // {"username":"me","password":"x"}, once as the API wants it and once as some clients write it.
    for auth in
        ["eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJ4In0=", "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJ4In0"]
    {
        let reply = server.send_as("/images/create?fromImage=busybox&tag=latest", auth).await;
        assert_eq!(
            reply.lines(),
            [
                json!({"status": "Pulling from library/busybox", "id": "latest"}),
                json!({"status": "Pulling fs layer", "progressDetail": {}, "id": "aa"}),
                json!({"status": "Downloading", "progressDetail": {"current": 1, "total": 2}, "id": "aa"}),
                json!({"status": "Pull complete", "progressDetail": {}, "id": "aa"}),
                json!({"status": "Digest: sha256:00"}),
                json!({"status": "Status: Downloaded newer image for busybox:latest"}),
            ]
        );
    }
    assert_eq!(server.node.was_asked(), ["pull busybox:latest  me", "pull busybox:latest  me"]);
}

#[tokio::test]
async fn a_pull_that_fails_at_once_has_a_status_of_its_own() {
    let server = Server::start(Node::default());
    let reply = server.send("POST", "/images/create?fromImage=none&tag=latest", "", "").await;
    assert_eq!((reply.status, reply.message().as_str()), (404, "manifest for none:latest not found"));
    let reply = server.send_as("/images/create?fromImage=busybox", "!").await;
    assert_eq!(reply.status, 400);
    assert!(reply.message().contains("X-Registry-Auth"));
}

#[tokio::test]
async fn a_push_ends_with_its_digest_for_people_and_for_programs() {
    let server = Server::start(Node::default());
    let reply = server.send("POST", "/images/busybox/push?tag=latest", "", "").await;
    assert_eq!(
        reply.lines(),
        [
            json!({"status": "The push refers to repository [docker.io/library/busybox]"}),
            json!({"status": "Preparing", "progressDetail": {}, "id": "aa"}),
            json!({"status": "Mounted from a/b", "progressDetail": {}, "id": "aa"}),
            json!({"status": "latest: digest: sha256:00 size: 7"}),
            json!({"progressDetail": {}, "aux": {"Tag": "latest", "Digest": "sha256:00", "Size": 7}}),
        ]
    );
    assert_eq!(server.node.was_asked(), ["push busybox:latest "]);
}

#[tokio::test]
async fn a_login_is_shown_to_the_registry() {
    let server = Server::start(Node::default());
    let body = json!({"username": "me", "password": "right", "serveraddress": "r.example"});
    let reply = server.post("/auth", &body).await;
    let granted = json!({"Status": "Login Succeeded", "IdentityToken": ""});
    assert_eq!((reply.status, reply.json()), (200, granted));
    let reply = server.post("/auth", &json!({"username": "me", "password": "wrong"})).await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn what_a_registry_has_is_told_in_two_forms() {
    let server = Server::start(Node::default());
    let told = server.get("/v1.51/distribution/host:5000/team/app:1/json").await.json();
    assert_eq!(told["Descriptor"]["size"], 2);
    assert_eq!(told["Platforms"][0]["architecture"], "amd64");
    let told = server.get("/bocage/v1/distribution/team/app:1/manifest").await.json();
    assert_eq!((&told["Name"], &told["Manifests"][0]["size"]), (&json!("team/app:1"), &json!(3)));
    let missing = server.get("/v1.51/distribution/none/json").await;
    assert_eq!((missing.status, missing.message().as_str()), (404, "manifest for none:latest not found"));
    let found = server
        .get("/v1.51/images/search?term=busybox&limit=5&filters=%7B%22stars%22%3A%5B%222%22%5D%7D")
        .await
        .json();
    assert_eq!(
        found,
        json!([{"star_count": 9, "is_official": true, "name": "busybox", "is_automated": false, "description": "words"}])
    );
    assert_eq!(server.get("/v1.51/images/search?term=x&limit=101").await.status, 400);
    assert_eq!(server.get("/v1.51/images/search?term=").await.status, 400);
}

#[tokio::test]
async fn room_is_told_and_freed() {
    let server = Server::start(Node::default());
    let usage = server.get("/v1.51/system/df").await.json();
    assert_eq!((&usage["LayersSize"], &usage["Images"][0]["Size"]), (&json!(9), &json!(5)));
    assert_eq!(usage["Volumes"][0]["UsageData"], json!({"RefCount": 0, "Size": 7}));
    let only = server.get("/v1.51/system/df?type=volume").await.json();
    assert_eq!((&only["LayersSize"], only["Volumes"].as_array().map(Vec::len)), (&json!(0), Some(1)));
    assert_eq!(server.get("/v1.51/system/df?type=x").await.status, 400);
    let pruned = server.post("/v1.51/volumes/prune", &Value::Null).await.json();
    assert_eq!(pruned, json!({"VolumesDeleted": ["v1"], "SpaceReclaimed": 7}));
    let pruned = server.post("/v1.51/images/prune", &Value::Null).await.json();
    assert_eq!(pruned, json!({"ImagesDeleted": null, "SpaceReclaimed": 0}), "the only one is used");
    assert_eq!(
        server.post("/v1.51/networks/prune", &Value::Null).await.json(),
        json!({"NetworksDeleted": null})
    );
    let body = json!({"Cmd": ["x"], "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}});
    let made = server
        .post("/v1.51/commit?container=web&repo=mine&tag=1&pause=0&changes=USER%20me%0AENV%20B=2", &body)
        .await;
    assert_eq!(made.status, 201);
    let asked = server.node.was_asked().pop().unwrap();
    for word in [
        "commit web",
        "\"mine:1\"",
        "pause: false",
        "\"USER me\", \"ENV B=2\"",
        "env: [\"A=1\"]",
        "command: Some([\"x\"])",
    ] {
        assert!(asked.contains(word), "{word} in {asked}");
    }
}

#[tokio::test]
async fn a_container_is_created_with_what_was_sent_and_shown_the_same() {
    let server = Server::start(Node::default());
    let body = json!({"Image": "busybox", "Cmd": ["sh"], "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, "Memory": 10_000_000}});
    let reply = server.post("/v1.51/containers/create?name=web", &body).await;
    assert_eq!((reply.status, reply.json()), (201, json!({"Id": CONTAINER, "Warnings": []})));
    let seen = server.get("/containers/web/json").await.json();
    assert_eq!(seen["HostConfig"]["Memory"], 10_000_000);
    assert_eq!(seen["HostConfig"]["Binds"], Value::Null);
    assert_eq!(seen["HostConfig"]["RestartPolicy"], json!({"Name": "no", "MaximumRetryCount": 0}));
    assert_eq!(seen["Config"]["Env"], json!(["A=1"]));
    assert_eq!(seen["Config"]["Hostname"], CONTAINER[..12]);
    assert_eq!((&seen["Path"], &seen["Args"]), (&json!("sh"), &json!(["-c", "sleep 1"])));
    assert_eq!(seen["State"]["Status"], "running");
    let both = json!([{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]);
    assert_eq!(seen["NetworkSettings"]["Ports"], json!({"80/tcp": both}));
    assert_eq!(seen["NetworkSettings"]["Networks"]["bridge"]["IPAddress"], "172.17.0.2");
}

#[tokio::test]
async fn only_a_missing_image_is_not_found_when_a_container_is_made() {
    let server = Server::start(Node::default());
    let body = json!({"Image": "busybox", "HostConfig": {"NetworkMode": "mine"}});
    let reply = server.post("/containers/create", &body).await;
    assert_eq!((reply.status, reply.message().as_str()), (409, "network mine not found"));
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let server = Server::start(Node::default());
    for (content_type, body, message) in [
        ("text/plain", "{}", "unsupported Content-Type header (text/plain): must be 'application/json'"),
        ("application/json", "{", "invalid JSON: EOF while parsing an object at line 1 column 1"),
        ("application/json", "", "invalid JSON: got EOF while reading request body"),
    ] {
        let reply = server.send("POST", "/containers/create", content_type, body).await;
        assert_eq!((reply.status, reply.message().as_str()), (400, message));
    }
    let large = "x".repeat(5 << 20);
    let reply = server.post("/containers/create", &json!({"Image": large})).await;
    assert!(reply.status == 400 && reply.message().contains("is larger than"));
}

#[tokio::test]
async fn containers_are_listed_with_filters() {
    let server = Server::start(Node::default());
    let list = |filters: &str| {
        let path = format!("/containers/json?filters={}", filters.replace('"', "%22"));
        let server = &server;
        async move { server.get(&path).await }
    };
    let line = server.get("/containers/json").await.json()[0].clone();
    assert_eq!(
        (&line["Names"], &line["Image"], &line["State"]),
        (&json!(["/web"]), &json!("busybox"), &json!("running"))
    );
    assert_eq!((&line["Command"], &line["Created"]), (&json!("sh -c 'sleep 1'"), &json!(1_700_000_000)));
    assert_eq!(line["Ports"].as_array().unwrap().len(), 2);
    for (filters, found) in [
        (r#"{"name":["^web$"]}"#, 1),
        (r#"{"name":["other"]}"#, 0),
        (r#"{"status":["exited"]}"#, 0),
        (r#"{"ancestor":["busybox"]}"#, 1),
        (r#"{"ancestor":["nothing"]}"#, 0),
        (r#"{"publish":["8080"]}"#, 1),
        (r#"{"network":["bridge"]}"#, 1),
        (r#"{"network":["host"]}"#, 0),
        (r#"{"id":["c1c1"]}"#, 1),
    ] {
        assert_eq!(list(filters).await.json().as_array().unwrap().len(), found, "{filters}");
    }
    assert_eq!(list(r#"{"colour":["red"]}"#).await.message(), "invalid filter 'colour'");
    assert_eq!(list(r#"{"status":["gone"]}"#).await.status, 400);
}

#[tokio::test]
async fn what_needs_no_change_is_answered_without_a_body() {
    let server = Server::start(Node::default());
    let reply = server.send("POST", "/containers/web/start", "", "").await;
    assert_eq!((reply.status, reply.body.len()), (304, 0));
    *server.node.phase.lock().unwrap() = Phase::Created;
    assert_eq!(server.send("POST", "/containers/web/start", "", "").await.status, 204);
    assert_eq!(server.send("POST", "/containers/web/stop?t=3&signal=INT", "", "").await.status, 204);
    assert_eq!(server.post("/containers/web/start", &json!({"Memory": 1})).await.status, 400);
    assert!(
        server
            .node
            .was_asked()
            .contains(&"stop StopOptions { signal: Some(\"INT\"), timeout_seconds: Some(3) }".to_owned())
    );
}

#[tokio::test]
async fn the_head_of_a_wait_comes_before_its_end() {
    let server = Server::start(Node::default());
    let reply = within(server.open("POST", "/containers/web/wait?condition=next-exit", "", "")).await;
    assert_eq!(reply.status(), 200);
    server.node.ends.send_replace(Some(7));
    let body = within(reply.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({"StatusCode": 7}));
    let reply = server.send("POST", "/containers/web/wait?condition=never", "", "").await;
    assert_eq!((reply.status, reply.message().as_str()), (400, "invalid condition: \"never\""));
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let server = Server::start(Node::default());
    let mut waiting = server.connect().await;
    waiting.write_all(b"POST /containers/web/wait HTTP/1.1\r\nHost: d\r\n\r\n").await.unwrap();
    within(waiting.read_u8()).await.unwrap();
    assert_eq!(server.node.ends.receiver_count(), 1);
    drop(waiting);
    within(server.node.ends.closed()).await;
}

#[tokio::test]
async fn an_attached_client_that_goes_away_ends_the_session() {
    let server = Server::start(Node::default());
    // Its input does not go to the process, whose output never ends by itself.
    let (stream, _) = take_over(&server, "/containers/web/attach?stream=1&stdout=1", true, "").await;
    assert_eq!(server.node.sessions.load(Relaxed), 1);
    drop(stream);
    within(async {
        while server.node.sessions.load(Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_attached_client_half_closes_and_still_gets_the_rest() {
    let server = Server::start(Node::default());
    server.node.spec.lock().unwrap().open_stdin = true;
    let path = "/v1.51/containers/web/attach?stream=1&stdin=1&stdout=1";
    let (mut stream, head) = take_over(&server, path, true, "").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("Content-Type: application/vnd.docker.multiplexed-stream\r\n"), "{head}");
    assert!(head.contains("Upgrade: tcp\r\n") && head.contains("Connection: Upgrade\r\n"), "{head}");
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(rest(stream).await, b"helloend");
}

#[tokio::test]
async fn the_detach_keys_end_the_session_and_do_not_reach_the_terminal() {
    let server = Server::start(Node::default());
    {
        let mut spec = server.node.spec.lock().unwrap();
        (spec.terminal, spec.open_stdin) = (true, true);
    }
    let path = "/containers/web/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,x";
    let (mut stream, head) = take_over(&server, path, true, "").await;
    assert!(head.contains("application/vnd.docker.raw-stream"), "{head}");
    stream.write_all(b"hi\x01").await.unwrap();
    let mut echoed = [0; 2];
    within(stream.read_exact(&mut echoed)).await.unwrap();
    stream.write_all(b"xmore").await.unwrap();
    assert_eq!((&echoed, rest(stream).await.as_slice()), (b"hi", &b""[..]));
}

#[tokio::test]
async fn without_an_upgrade_the_output_is_bare_and_ends_with_the_connection() {
    let server = Server::start(Node::default());
    let (stream, head) = take_over(&server, "/containers/web/attach?stream=1&stdout=1", false, "").await;
    assert!(head.contains(" 200 OK\r\n") && !head.to_lowercase().contains("chunked"), "{head}");
    drop(stream);
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_told_in_the_stream() {
    let error = Some(Error::invalid("OCI runtime exec failed: no such file"));
    let server = Server::start(Node { exec_error: error, ..Node::default() });
    let path = format!("/exec/{EXEC}/start");
    let (stream, head) = take_over(&server, &path, true, r#"{"Detach":false}"#).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(&rest(stream).await[8..], b"OCI runtime exec failed: no such file\r\n");
    assert_eq!(server.get(&format!("/exec/{EXEC}/json")).await.json()["ExitCode"], 3);
    let again = server.post(&path, &json!({"Detach": true})).await;
    assert_eq!(again.message(), format!("Error: Exec command {EXEC} has already run"));
    *server.node.exec_exit.lock().unwrap() = None;
    assert_eq!(server.post(&path, &json!({"Detach": true})).await.status, 400);
}

#[tokio::test]
async fn an_exec_carries_input_and_output() {
    let server = Server::start(Node { terminal_exec: true, ..Node::default() });
    let reply = server.post("/containers/web/exec", &json!({"Cmd": "sh", "Tty": true})).await;
    assert_eq!((reply.status, reply.json()["Id"].as_str()), (201, Some(EXEC)));
    let body = r#"{"Tty":true,"ConsoleSize":[24,80]}"#;
    let (mut stream, _) = take_over(&server, &format!("/exec/{EXEC}/start"), true, body).await;
    stream.write_all(b"x").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(rest(stream).await, b"xend");
    assert!(server.node.was_asked().contains(&"exec start true Some((24, 80))".to_owned()));
    let reply = server.post("/containers/web/exec", &json!({})).await;
    assert_eq!((reply.status, reply.message().as_str()), (400, "No exec command specified"));
}

#[tokio::test]
async fn logs_come_in_frames() {
    let server = Server::start(Node::default());
    let reply = server.get("/containers/web/logs?stdout=1&stderr=1&tail=5").await;
    assert_eq!(reply.header("content-type"), "application/vnd.docker.multiplexed-stream");
    assert_eq!(reply.body, &b"\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n"[..]);
    assert_eq!(server.get("/containers/web/logs").await.status, 400);
}

#[tokio::test]
async fn a_load_tells_its_progress_and_why_it_failed() {
    let server = Server::start(Node::default());
    let load = |body: &'static str| server.send("POST", "/images/load?quiet=1", "application/x-tar", body);
    assert_eq!(load("good").await.json(), json!({"stream": "Loaded image: busybox:latest\n"}));
    let reply = load("bad").await;
    assert_eq!((reply.status, reply.message().as_str()), (400, "this is no archive"));
    let reply = server.send("POST", "/images/load", "", "half").await;
    let last: Value =
        serde_json::from_slice(reply.body.split(|byte| *byte == b'\n').nth(1).unwrap()).unwrap();
    assert_eq!((reply.status, &last["error"]), (200, &json!("the archive ends early")));
}

#[tokio::test]
async fn large_archives_go_through_with_bounded_buffers() {
    let server = Server::start(Node::default());
    let reply = server.send("POST", "/images/load?quiet=1", "", vec![b'x'; 20 << 20]).await;
    assert_eq!(reply.status, 200);
    assert!(server.node.was_asked().contains(&format!("load {}", 20 << 20)));
    assert_eq!(server.get("/images/get?names=a&names=b").await.body, "archive");
    assert!(server.node.was_asked().contains(&"save [\"a\", \"b\"]".to_owned()));
}

#[tokio::test]
async fn images_are_named_with_slashes_and_tagged() {
    let server = Server::start(Node::default());
    assert_eq!(server.get("/images/team/busybox/json").await.json()["RepoTags"], json!(["busybox:latest"]));
    assert_eq!(server.send("POST", "/images/busybox/tag?repo=x/y&tag=2", "", "").await.status, 201);
    assert!(server.node.was_asked().contains(&"tag busybox x/y:2".to_owned()));
    let gone = server.send("DELETE", "/images/busybox", "", "").await.json();
    assert_eq!(gone[0], json!({"Untagged": "busybox"}));
}

#[tokio::test]
async fn events_begin_with_the_past_and_go_on() {
    let server = Server::start(Node::default());
    let reply = server.open("GET", "/events?since=1", "", "").await;
    let mut body = reply.into_body();
    let mut next = async || loop {
        let frame = within(body.frame()).await.unwrap().unwrap().into_data().unwrap();
        if !frame.is_empty() {
            return serde_json::from_slice::<Value>(&frame).unwrap();
        }
    };
    assert_eq!(next().await["Action"], "create");
    server.node.events.send(event("create")).unwrap();
    server.node.events.send(event("start")).unwrap();
    let started = next().await;
    assert_eq!((&started["Action"], &started["Actor"]["ID"]), (&json!("start"), &json!(CONTAINER)));
}

#[tokio::test]
async fn figures_come_once_or_as_a_stream() {
    let server = Server::start(Node::default());
    let once = server.get("/containers/web/stats?stream=0").await.json();
    assert_eq!((&once["name"], &once["pids_stats"]["current"]), (&json!("/web"), &json!(3)));
    let reply = server.open("GET", "/containers/web/stats", "", "").await;
    let first = within(reply.into_body().frame()).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&first).unwrap()["memory_stats"]["usage"], 7);
}

#[tokio::test]
async fn an_update_changes_only_what_is_given() {
    let server = Server::start(Node::default());
    let body = json!({"Memory": 9_000_000, "PidsLimit": -1, "CpuShares": 0, "RestartPolicy": {"Name": ""}});
    assert_eq!(server.post("/containers/web/update", &body).await.json(), json!({"Warnings": null}));
    let asked = server.node.was_asked().pop().unwrap();
    assert!(asked.contains("memory_bytes: Some(9000000)") && asked.contains("cpu_shares: None"), "{asked}");
    assert!(asked.contains("pids: Some(0)") && asked.ends_with("None true"), "{asked}");
    let refused = server.post("/containers/web/update", &json!({"OomKillDisable": true})).await;
    assert_eq!(refused.status, 501);
}

#[tokio::test]
async fn our_own_endpoints_answer() {
    let server = Server::start(Node::default());
    assert_eq!(server.get("/bocage/v1/daemon").await.json()["version"], "1.2.3");
    assert_eq!(
        server.send("POST", "/bocage/v1/demo-image", "", "").await.json()["image"],
        "bocage/demo:latest"
    );
    assert_eq!(server.send("POST", "/bocage/v1/daemon/stop?containers=1", "", "").await.status, 204);
    assert_eq!(server.node.was_asked(), ["stop daemon true"]);
}
