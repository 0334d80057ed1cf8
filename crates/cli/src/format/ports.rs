//! Published ports in one cell, as `docker ps` shows them: `443/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`.
//!
//! Ports that are open inside only, or published on the port of the same number, come first and neighbours are joined to ranges;
//! those published on another port follow one by one.

use serde_json::Value;

/// One line of the daemon's list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port {
    inside: u64,
    host: String,
    outside: u64,
    protocol: String,
}

/// Neighbours of one address and protocol.
struct Range {
    host: String,
    protocol: String,
    first: u64,
    last: u64,
}

impl Range {
    fn text(&self) -> String {
        let ports = match self.last {
            last if last == self.first => self.first.to_string(),
            last => format!("{}-{last}", self.first),
        };
        match self.host.as_str() {
            "" => format!("{ports}/{}", self.protocol),
            host => format!("{host}:{ports}->{ports}/{}", self.protocol),
        }
    }
}

fn read(port: &Value) -> Port {
    let text = |field: &str| port[field].as_str().unwrap_or_default();
    let number = |field: &str| port[field].as_u64().unwrap_or_default();
    let host = match text("IP") {
        six if six.contains(':') => format!("[{six}]"),
        host => host.to_owned(),
    };
    Port {
        inside: number("PrivatePort"),
        host,
        outside: number("PublicPort"),
        protocol: text("Type").to_owned(),
    }
}

/// The cell.
pub(crate) fn cell(ports: &Value) -> String {
    let mut ports: Vec<Port> = ports.as_array().into_iter().flatten().map(read).collect();
    ports.sort();
    ports.dedup();
    let mut ranges: Vec<Range> = Vec::new();
    let mut mapped = Vec::new();
    for Port { inside, host, outside, protocol } in ports {
        if outside != 0 && outside != inside {
            mapped.push(format!("{host}:{outside}->{inside}/{protocol}"));
            continue;
        }
        let host = if outside == 0 { String::new() } else { host };
        let neighbour =
            |range: &&mut Range| range.host == host && range.protocol == protocol && range.last + 1 == inside;
        match ranges.iter_mut().find(neighbour) {
            Some(range) => range.last = inside,
            None => ranges.push(Range { host, protocol, first: inside, last: inside }),
        }
    }
    ranges.iter().map(Range::text).chain(mapped).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ports_are_listed_as_docker_lists_them() {
        let published = |inside: u64, host: &str, outside: u64| json!({"PrivatePort": inside, "IP": host, "PublicPort": outside, "Type": "tcp"});
        let open = |inside: u64| json!({"PrivatePort": inside, "Type": "tcp"});
        for (ports, shown) in [
            (json!([]), ""),
            (json!([open(80), open(81), open(443)]), "80-81/tcp, 443/tcp"),
            (
                json!([published(80, "0.0.0.0", 8080), published(80, "::", 8080), open(99)]),
                "99/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
            ),
            (
                json!([
                    published(80, "127.0.0.1", 80),
                    published(81, "127.0.0.1", 81),
                    published(443, "127.0.0.1", 8443)
                ]),
                "127.0.0.1:80-81->80-81/tcp, 127.0.0.1:8443->443/tcp",
            ),
        ] {
            assert_eq!(cell(&ports), shown);
        }
    }
}
