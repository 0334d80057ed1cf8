//! Volumes over HTTP: what is asked of the node, and what is answered.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod support;

use serde_json::{Value, json};
use support::{Node, Server};

fn asked(server: &Server) -> Vec<String> {
    std::mem::take(&mut *server.node.asked.lock().unwrap())
}

/// JSON as a part of a query.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[tokio::test]
async fn a_volume_is_made_as_asked_and_shown_as_docker_shows_it() {
    let server = Server::start(Node::default());
    let body = json!({"Name": "data", "Driver": "local", "Labels": {"a": "1"},
        "DriverOpts": {"type": "tmpfs", "device": "tmpfs"}});
    let reply = server.post("/v1.51/volumes/create", &body).await;
    assert_eq!(reply.status, 201);
    let shown = json!({"CreatedAt": "1970-01-01T00:00:01Z", "Driver": "local", "Labels": {"a": "1"},
        "Mountpoint": "/volumes/data", "Name": "data", "Options": {"device": "tmpfs", "type": "tmpfs"}, "Scope": "local"});
    assert_eq!(reply.json(), shown);
    let reply = server.post("/v1.51/volumes/create", &json!({})).await;
    assert_eq!((&reply.json()["Name"], &reply.json()["Labels"]), (&json!("made-up"), &Value::Null));
    assert!(asked(&server)[1].contains("name: None"));
    let reply = server.post("/v1.51/volumes/create", &json!({"Name": "data", "Driver": "nas"})).await;
    let told = "create data: error looking up volume plugin nas: plugin \"nas\" not found";
    assert_eq!((reply.status, reply.message().as_str()), (404, told));
}

#[tokio::test]
async fn volumes_are_filtered() {
    let server = Server::start(Node::default());
    for (filters, names) in [
        ("", vec!["named", "used", "v1"]),
        (r#"{"dangling":["true"]}"#, vec!["named", "v1"]),
        (r#"{"dangling":["false"]}"#, vec!["used"]),
        (r#"{"name":["^n","v"]}"#, vec!["named", "v1"]),
        (r#"{"label":["colour=red"]}"#, vec!["named"]),
        (r#"{"label":["com.docker.volume.anonymous"]}"#, vec!["used", "v1"]),
        (r#"{"driver":["nas"]}"#, vec![]),
    ] {
        let answer = server.get(&format!("/v1.51/volumes?filters={}", escaped(filters))).await.json();
        let found: Vec<&str> =
            answer["Volumes"].as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap()).collect();
        assert_eq!((found, &answer["Warnings"]), (names, &Value::Null), "{filters}");
    }
    assert_eq!(
        server.get(&format!("/v1.51/volumes?filters={}", escaped(r#"{"size":["1"]}"#))).await.status,
        400
    );
}

#[tokio::test]
async fn a_missing_volume_is_no_failure_of_a_forced_removal() {
    let server = Server::start(Node::default());
    assert_eq!(server.send("DELETE", "/v1.51/volumes/v1", "", "").await.status, 204);
    assert_eq!(server.send("DELETE", "/v1.51/volumes/gone", "", "").await.status, 404);
    assert_eq!(server.send("DELETE", "/v1.51/volumes/gone?force=1", "", "").await.status, 204);
    assert_eq!(server.get("/v1.51/volumes/gone").await.message(), "get gone: no such volume");
}

#[tokio::test]
async fn a_prune_leaves_volumes_with_names_alone_unless_all_are_asked_for() {
    let server = Server::start(Node::default());
    for (version, filters, names) in [
        (51, "{}", json!(["v1"])),
        (51, r#"{"all":["1"]}"#, json!(["named", "v1"])),
        (41, "{}", json!(["named", "v1"])),
        (51, r#"{"all":["1"],"label!":["colour"]}"#, json!(["v1"])),
    ] {
        let path = format!("/v1.{version}/volumes/prune?filters={}", escaped(filters));
        let answer = server.post(&path, &Value::Null).await.json();
        let bytes = 7 * names.as_array().unwrap().len();
        assert_eq!(answer, json!({"VolumesDeleted": names, "SpaceReclaimed": bytes}), "{path}");
    }
}

#[tokio::test]
async fn an_update_is_for_volumes_of_a_cluster() {
    let server = Server::start(Node::default());
    let reply = server.send("PUT", "/v1.51/volumes/v1?version=1", "application/json", "{}").await;
    let told = "volume update only valid for cluster volumes, but swarm is unavailable";
    assert_eq!((reply.status, reply.message().as_str()), (503, told));
}

#[tokio::test]
async fn our_own_verbs_reach_the_node() {
    let server = Server::start(Node::default());
    let body = json!({"Name": "copy", "Snapshot": true, "Pause": false, "Labels": {"a": "1"}});
    let reply = server.post("/bocage/v1/volumes/data/copy", &body).await;
    assert_eq!((reply.status, &reply.json()["Volume"]["Name"]), (201, &json!("data")));
    assert_eq!(server.post("/bocage/v1/volumes/data/rename?name=new", &Value::Null).await.status, 204);
    assert_eq!(server.post("/bocage/v1/volumes/data/rename", &Value::Null).await.status, 400);
    assert_eq!(
        server.post("/bocage/v1/volumes/data/labels", &json!({"Labels": {"b": "2"}})).await.status,
        204
    );
    let reply = server.get("/bocage/v1/volumes/data/backup?pause=0").await;
    assert_eq!((reply.status, &reply.body[..]), (200, &b"packed"[..]));
    let reply = server
        .send(
            "POST",
            &format!("/bocage/v1/volumes/new/restore?labels={}", escaped(r#"{"a":"1"}"#)),
            "",
            "archive",
        )
        .await;
    assert_eq!(reply.status, 201);
    let asked = asked(&server);
    assert!(
        asked[0]
            .starts_with("copy volume data CopyVolume { name: Some(\"copy\"), snapshot: true, pause: false")
    );
    assert_eq!(asked[1..3], ["rename volume data new", "relabel volume data {\"b\": \"2\"}"]);
    assert_eq!(asked[3], "backup volume data false");
    assert!(asked[4].contains("name: Some(\"new\")") && asked[4].ends_with(" archive"), "{asked:?}");
}
