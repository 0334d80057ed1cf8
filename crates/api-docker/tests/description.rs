//! Walks the API's own description: nothing in it is missing from the table, and the server does with each field what
//! the table says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of tests fails the test")]

mod support;

use api_docker::coverage::{self, Entry};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use support::{CONTAINER, EXEC, Node, Server};

const DESCRIPTION: &str = include_str!("../../../tests/api/docker-engine-v1.51.yaml");
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api-coverage.md");
/// Set to write the generated page instead of comparing it.
const WRITE: &str = "BOCAGE_WRITE_DOCS";

/// One operation of the description.
struct Described {
    id: String,
    method: String,
    path: String,
    parameters: Vec<(String, Value)>,
    fields: Vec<(String, Value)>,
}

struct Description(Value);

impl Description {
    fn read() -> Description {
        Description(serde_saphyr::from_str(DESCRIPTION).unwrap())
    }

    fn resolve<'v>(&'v self, mut schema: &'v Value) -> &'v Value {
        while let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            schema = &self.0["definitions"][reference.rsplit('/').next().unwrap()];
        }
        schema
    }

    /// All fields below a schema, by dotted path: `[]` for an item, `*` for any key.
    fn fields(&self, schema: &Value, path: &str, out: &mut Vec<(String, Value)>) {
        let schema = self.resolve(schema);
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.fields(part, path, out);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            out.push((join(name), self.resolve(field).clone()));
            self.fields(field, &join(name), out);
        }
        if schema["items"].is_object() {
            self.fields(&schema["items"], &join("[]"), out);
        }
        if schema["additionalProperties"].is_object() {
            self.fields(&schema["additionalProperties"], &join("*"), out);
        }
    }

    fn operations(&self) -> Vec<Described> {
        let mut operations = Vec::new();
        for (path, methods) in self.0["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let (mut parameters, mut fields) = (Vec::new(), Vec::new());
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    match parameter["in"].as_str().unwrap() {
                        "body" => self.fields(&parameter["schema"], "", &mut fields),
                        "path" => {}
                        _ => parameters
                            .push((parameter["name"].as_str().unwrap().to_owned(), parameter.clone())),
                    }
                }
                let id = operation["operationId"].as_str().unwrap().to_owned();
                let method = method.to_uppercase();
                operations.push(Described { id, method, path: path.clone(), parameters, fields });
            }
        }
        operations
    }

    /// A value that is not the default, of the type that the description names.
    fn sample(&self, schema: &Value) -> Value {
        let schema = self.resolve(schema);
        if let Some(value) =
            schema["enum"].as_array().and_then(|values| values.iter().find(|value| **value != ""))
        {
            return value.clone();
        }
        match schema["type"].as_str().unwrap_or("object") {
            "string" => json!("x"),
            "integer" | "number" => json!(1),
            "boolean" => json!(true),
            "array" => json!([self.sample(&schema["items"])]),
            _ if schema["additionalProperties"].is_object() => {
                json!({"x": self.sample(&schema["additionalProperties"])})
            }
            _ => {
                let mut object = Map::new();
                for part in schema["allOf"].as_array().into_iter().flatten() {
                    object.extend(self.sample(part).as_object().cloned().unwrap_or_default());
                }
                for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                    object.insert(name.clone(), self.sample(field));
                }
                Value::Object(object)
            }
        }
    }
}

/// Puts a value at a dotted path.
fn nested(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |value, part| match part {
        "[]" => json!([value]),
        "*" => json!({"bridge": value}),
        name => json!({name: value}),
    })
}

fn merged(mut base: Value, over: Value) -> Value {
    if let (Some(base), Value::Object(over)) = (base.as_object_mut(), over) {
        base.extend(over);
    }
    base
}

/// The entries of the table by operation and field.
fn table() -> BTreeMap<(&'static str, String), Entry> {
    coverage::entries().into_iter().map(|entry| ((entry.operation, entry.field.to_owned()), entry)).collect()
}

/// What the table says of a field: its own entry, or that of the refused or ignored field that it is part of.
fn standing(
    table: &BTreeMap<(&'static str, String), Entry>,
    id: &'static str,
    field: &str,
) -> Option<&'static str> {
    let mut path = field;
    loop {
        match table.get(&(id, path.to_owned())) {
            Some(entry) if path == field || entry.standing != "done" => return Some(entry.standing),
            _ => path = path.rsplit_once('.')?.0,
        }
    }
}

#[test]
fn every_operation_parameter_and_field_stands_in_the_table() {
    let table = table();
    let mut missing = Vec::new();
    for operation in Description::read().operations() {
        let own = table.values().find(|entry| entry.field.is_empty() && entry.operation == operation.id);
        let Some(own) = own else {
            missing.push(operation.id);
            continue;
        };
        assert_eq!(
            (own.method, own.path.replace('*', "")),
            (operation.method.as_str(), operation.path.clone())
        );
        if own.standing == "refused" {
            continue;
        }
        for (name, _) in operation.parameters.iter().chain(&operation.fields) {
            if standing(&table, own.operation, name).is_none() {
                missing.push(format!("{} {name}", operation.id));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_built_field_of_the_table_stands_in_the_description() {
    // Known to dockerd, and not in its description.
    let extra = [
        "details",
        "checkpoint",
        "checkpoint-dir",
        "HostConfig.KernelMemory",
        "KernelMemory",
        "inputImage",
        "imagesTarball",
    ];
    let described: Vec<Described> = Description::read().operations();
    for entry in coverage::entries() {
        let Some(operation) = described.iter().find(|operation| operation.id == entry.operation) else {
            assert!(entry.path.starts_with("/bocage/") || entry.operation == "Grpc", "{entry:?}");
            continue;
        };
        let mut names = operation.parameters.iter().chain(&operation.fields).map(|(name, _)| name.as_str());
        assert!(
            entry.field.is_empty() || extra.contains(&entry.field) || names.any(|name| name == entry.field),
            "{entry:?}"
        );
    }
}

#[test]
fn the_page_of_the_documentation_is_the_table() {
    let page = coverage::markdown();
    #[expect(clippy::disallowed_methods, reason = "a test may be told to write its file")]
    let write = std::env::var(WRITE).is_ok();
    if write {
        std::fs::write(PAGE, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(PAGE).unwrap() == page,
        "run `{WRITE}=1 cargo nextest run -p api-docker`"
    );
}

#[tokio::test]
async fn every_operation_that_is_not_built_says_so_by_name() {
    let server = Server::start(Node::default());
    for entry in coverage::entries() {
        if !entry.field.is_empty() || entry.standing != "refused" {
            continue;
        }
        let path = entry.path.replace("{id}", CONTAINER).replace("{name}", "x").replace("{name*}", "a/x");
        let reply = server.send(entry.method, &format!("/v1.51{path}"), "", "").await;
        assert_eq!(reply.status, 501, "{entry:?}");
        if entry.method != "HEAD" {
            let wanted = format!("{} is not supported yet: ", entry.operation);
            assert!(reply.message().starts_with(&wanted), "{reply:?}");
        }
    }
}

/// The least body with which a request is understood.
fn base_body(id: &str) -> Value {
    match id {
        "ContainerCreate" => json!({"Image": "busybox"}),
        "NetworkCreate" => json!({"Name": "x"}),
        "NetworkConnect" | "NetworkDisconnect" => json!({"Container": CONTAINER}),
        "ContainerExec" => json!({"Cmd": ["true"]}),
        // Attached, it would take an upgraded connection.
        "ExecStart" => json!({"Detach": true}),
        _ => json!({}),
    }
}

/// Values that are built, where the description's type alone would not give one.
fn built_sample(field: &str, sample: Value) -> Value {
    match field {
        "HostConfig.LogConfig.Config" => json!({"max-size": "1m"}),
        "HostConfig.LogConfig" => json!({"Type": "local"}),
        "HostConfig.RestartPolicy" | "RestartPolicy" => json!({"Name": "always"}),
        "Healthcheck" => json!({"Test": ["NONE"]}),
        "HostConfig.Mounts" => json!([{"Type": "tmpfs", "Target": "/x"}]),
        "HostConfig.Mounts.[].VolumeOptions" => json!({"NoCopy": true}),
        "HostConfig.Mounts.[].VolumeOptions.DriverConfig" => json!({"Name": "local"}),
        "HostConfig.Mounts.[].BindOptions" => json!({"Propagation": "rslave"}),
        "HostConfig" => json!({"Memory": 1_000_000_000}),
        "NetworkingConfig" => json!({"EndpointsConfig": {}}),
        "NetworkingConfig.EndpointsConfig" => json!({"bridge": {"MacAddress": "02:00:00:00:00:01"}}),
        "IPAM" => json!({"Driver": "default"}),
        "EndpointConfig" => json!({"GwPriority": 1}),
        field if field.ends_with(".IPAMConfig") => json!({"IPv4Address": "10.0.0.1"}),
        _ => sample,
    }
}

#[tokio::test]
async fn each_field_is_refused_by_name_or_taken_as_the_table_says() {
    let server = Server::start(Node::default());
    let (description, table) = (Description::read(), table());
    let mut sent = 0;
    for operation in description.operations() {
        let Some(own) =
            table.values().find(|entry| entry.field.is_empty() && entry.operation == operation.id)
        else {
            continue;
        };
        if own.standing != "done" {
            continue;
        }
        let id = if own.path.starts_with("/exec") { EXEC } else { CONTAINER };
        let path = operation.path.replace("{id}", id).replace("{name}", "busybox");
        for (field, schema) in &operation.fields {
            let standing = standing(&table, own.operation, field).unwrap();
            let mut value = description.sample(schema);
            if standing == "done" {
                value = built_sample(field, value);
            } else if field == "HostConfig.Isolation" {
                // The first value that the description lists is the default.
                value = json!("process");
            }
            let (head, rest) = field.split_once('.').unwrap_or((field, ""));
            let mut inner = if rest.is_empty() { value } else { nested(rest, value) };
            if field == "HostConfig.Links" {
                // The default bridge has none.
                inner["NetworkMode"] = json!("mine");
            }
            let body = merged(base_body(&operation.id), json!({head: inner}));
            let head =
                server.open("POST", &path, "application/json", serde_json::to_vec(&body).unwrap()).await;
            check(standing, field, head).await;
            sent += 1;
        }
    }
    assert!(sent > 150, "{sent}");
}

/// A refused field gives 501 and its name, or the name of what it is part of; no other gives 501.
async fn check(standing: &str, field: &str, reply: hyper::Response<hyper::body::Incoming>) {
    use http_body_util::BodyExt;
    let status = reply.status().as_u16();
    if standing != "refused" {
        assert_ne!(status, 501, "{field}: {:?}", reply.into_body().collect().await.unwrap().to_bytes());
        return;
    }
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    let message =
        serde_json::from_slice::<Value>(&body).unwrap()["message"].as_str().unwrap_or_default().to_owned();
    let spelled = field.replace(".[]", "").replace('*', "bridge");
    let named = message.split(" is not supported yet: ").next().unwrap();
    assert!(status == 501 && spelled.starts_with(named), "{field}: {status} {message}");
}

#[tokio::test]
async fn each_parameter_is_refused_by_name_or_taken_as_the_table_says() {
    let server = Server::start(Node::default());
    server.node.ends.send_replace(Some(0));
    let table = table();
    for operation in Description::read().operations() {
        for (name, schema) in &operation.parameters {
            let Some(entry) = table.get(&(own_id(&table, &operation.id), name.clone())) else { continue };
            let value = match (name.as_str(), schema["type"].as_str().unwrap_or_default()) {
                ("filters", _) => "{}",
                ("platform", _) => "linux/amd64",
                ("fromSrc", _) => "-",
                ("condition", _) => "removed",
                (_, "boolean") => "true",
                (_, "integer") => "1",
                _ => "x",
            };
            let id = if operation.path.starts_with("/exec") { EXEC } else { CONTAINER };
            let path = operation.path.replace("{id}", id).replace("{name}", "busybox");
            let body = serde_json::to_vec(&base_body(&operation.id)).unwrap();
            let head = server
                .open(&operation.method, &format!("{path}?{name}={value}"), "application/json", body)
                .await;
            let status = head.status().as_u16();
            match entry.standing {
                "refused" => check("refused", name, head).await,
                _ => assert_ne!(status, 501, "{} {name}", operation.id),
            }
        }
    }
}

fn own_id(table: &BTreeMap<(&'static str, String), Entry>, id: &str) -> &'static str {
    table.keys().find(|(operation, _)| *operation == id).map_or("", |(operation, _)| operation)
}
