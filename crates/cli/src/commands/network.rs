//! `network`: made, listed, looked at, joined, left, removed.

use super::attach::{Place, options};
use super::list::{Columns, id_of, printed, string};
use super::{AT_ONCE_MAX, each};
use crate::client::{Client, escape, filters, query};
use crate::failure::Failure;
use crate::format::table::lay_out;
use crate::printer;
use crate::table::Parsed;
use base::Time;
use model::Subnet;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

const NETWORKS: Columns = Columns {
    default: &[("NETWORK ID", "ID"), ("NAME", "Name"), ("DRIVER", "Driver"), ("SCOPE", "Scope")],
    others: &[
        ("IPV4", "IPv4"),
        ("IPV6", "IPv6"),
        ("INTERNAL", "Internal"),
        ("LABELS", "Labels"),
        ("CREATED AT", "CreatedAt"),
    ],
};

/// One of the commands.
pub(crate) async fn command(client: &Client, parsed: &Parsed, name: &str) -> Result<(), Failure> {
    match name {
        "network create" => create(client, parsed).await,
        "network ls" => list(client, parsed).await,
        "network inspect" => inspect(client, parsed).await,
        "network connect" => connect(client, parsed).await,
        "network disconnect" => disconnect(client, parsed).await,
        "network rm" => remove(client, parsed).await,
        other => Err(Failure::new(format!("the command {other} has no action"))),
    }
}

/// Values of a flag that may be given several times, or once with commas.
fn values(parsed: &Parsed, long: &str) -> Vec<String> {
    parsed.all(long).iter().flat_map(|text| text.split(',')).map(str::to_owned).collect()
}

/// A subnet, and what is asked for of it.
struct Wanted {
    text: String,
    subnet: Subnet,
    config: Value,
}

fn subnet(text: &str) -> Result<Subnet, Failure> {
    text.parse().map_err(|error: model::subnet::BadSubnet| Failure::new(error.to_string()))
}

/// The subnet that something lies in, by its place in the list.
fn place(
    wanted: &[Wanted],
    text: &str,
    what: &str,
    is_in: impl Fn(&Subnet) -> bool,
) -> Result<usize, Failure> {
    wanted.iter().position(|one| is_in(&one.subnet)).ok_or_else(|| {
        Failure::new(format!("no matching subnet for {what} {text}"))
            .with_hint("give the subnet that it lies in with --subnet")
    })
}

/// `--subnet`, `--ip-range`, `--gateway` and `--aux-address`, each in the subnet that it lies in.
fn pools(
    subnets: &[String],
    ranges: &[String],
    gateways: &[String],
    auxiliary: &[(String, String)],
) -> Result<Vec<Value>, Failure> {
    if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
        return Err(Failure::new("every ip-range or gateway must have a corresponding subnet"));
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for text in subnets {
        let subnet = subnet(text)?;
        if wanted.iter().any(|other| other.subnet.overlaps(&subnet)) {
            return Err(Failure::new("multiple overlapping subnet configuration is not supported"));
        }
        wanted.push(Wanted { text: text.clone(), subnet, config: json!({ "Subnet": text }) });
    }
    for text in ranges {
        let range = subnet(text)?;
        let at = place(&wanted, text, "range", |subnet| subnet.contains(range.base()))?;
        once(&mut wanted[at], "IPRange", "ranges", text)?;
    }
    let address = |text: &str, what: &str| {
        let parsed = text.parse::<IpAddr>();
        parsed.map_err(|_| Failure::new(format!("invalid {what}: {text} is no address")))
    };
    for text in gateways {
        let gateway = address(text, "gateway")?;
        let at = place(&wanted, text, "gateway", |subnet| subnet.contains(gateway))?;
        once(&mut wanted[at], "Gateway", "gateways", text)?;
    }
    for (name, text) in auxiliary {
        let other = address(text, "aux-address")?;
        let at = place(&wanted, text, "aux-address", |subnet| subnet.contains(other))?;
        wanted[at].config["AuxiliaryAddresses"][name] = json!(text);
    }
    Ok(wanted.into_iter().map(|one| one.config).collect())
}

fn once(wanted: &mut Wanted, field: &str, what: &str, text: &str) -> Result<(), Failure> {
    if let Some(before) = wanted.config.get(field).and_then(Value::as_str) {
        return Err(Failure::new(format!(
            "cannot configure multiple {what} ({text}, {before}) on the same subnet ({})",
            wanted.text
        )));
    }
    wanted.config[field] = json!(text);
    Ok(())
}

/// The request that makes a network.
fn request(parsed: &Parsed) -> Result<Value, Failure> {
    let auxiliary: Vec<(String, String)> =
        options(&values(parsed, "aux-address"), "aux-address")?.into_iter().collect();
    let pools = pools(
        &values(parsed, "subnet"),
        &values(parsed, "ip-range"),
        &values(parsed, "gateway"),
        &auxiliary,
    )?;
    let mut body = json!({
        "Name": parsed.get("NAME").unwrap_or_default(),
        "Driver": parsed.get("driver").unwrap_or("bridge"),
        "Scope": parsed.get("scope").unwrap_or_default(),
        "Internal": parsed.is("internal"),
        "Attachable": parsed.is("attachable"),
        "Ingress": parsed.is("ingress"),
        "ConfigOnly": parsed.is("config-only"),
        "IPAM": {
            "Driver": parsed.get("ipam-driver").unwrap_or("default"),
            "Options": options(&parsed.all("ipam-opt"), "ipam-opt")?,
            "Config": pools,
        },
        "Options": options(&parsed.all("opt"), "opt")?,
        "Labels": parsed
            .all("label")
            .iter()
            .map(|text| text.split_once('=').unwrap_or((text, "")))
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect::<Map<String, Value>>(),
    });
    if let Some(network) = parsed.get("config-from") {
        body["ConfigFrom"] = json!({ "Network": network });
    }
    for (flag, field) in [("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")] {
        if parsed.get(flag).is_some() {
            body[field] = json!(parsed.is(flag));
        }
    }
    Ok(body)
}

async fn create(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let made = client.post("/networks/create", Some(&request(parsed)?)).await?;
    let warning = string(&made, "Warning");
    if !warning.is_empty() {
        printer::note(&format!("WARNING: {warning}"));
    }
    printer::line(string(&made, "Id"));
    Ok(())
}

fn row(network: &Value, full: bool) -> Value {
    let pairs = network["Labels"].as_object().into_iter().flatten();
    let labels: Vec<String> =
        pairs.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    let flag = |name: &str| (network[name] == Value::Bool(true)).to_string();
    json!({
        "ID": id_of(string(network, "Id"), full),
        "Name": string(network, "Name"),
        "Driver": string(network, "Driver"),
        "Scope": string(network, "Scope"),
        "IPv4": flag("EnableIPv4"),
        "IPv6": flag("EnableIPv6"),
        "Internal": flag("Internal"),
        "Labels": labels.join(","),
        "CreatedAt": Time::parse_rfc3339(string(network, "Created")).map(printed).unwrap_or_default(),
    })
}

async fn list(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let query = query(&[("filters", filters(&parsed.all("filter"))?)]);
    let listed = client.get(&format!("/networks{query}")).await?;
    let full = parsed.is("no-trunc");
    let mut rows: Vec<Value> =
        listed.as_array().into_iter().flatten().map(|network| row(network, full)).collect();
    rows.sort_by(|a, b| string(a, "Name").cmp(string(b, "Name")));
    if parsed.is("quiet") {
        rows.iter().for_each(|row| printer::line(string(row, "ID")));
        return Ok(());
    }
    NETWORKS.show(&rows, parsed.get("format"))
}

/// What a network has in the kernel, as a table.
async fn rules(client: &Client, name: &str) -> Result<String, Failure> {
    let rules = client.get(&format!("/bocage/v1/networks/{}/rules", escape(name))).await?;
    let cells = |rule: &Value| ["place", "rule", "why"].map(|field| string(rule, field).to_owned()).to_vec();
    let rows: Vec<Vec<String>> = rules.as_array().into_iter().flatten().map(cells).collect();
    Ok(lay_out(&["PLACE", "RULE", "WHY"], &rows))
}

async fn inspect(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    if parsed.is("rules") {
        if parsed.get("format").is_some() {
            return Err(Failure::new("--rules is a table of its own: leave out --format"));
        }
        return each(&parsed.operands(), 1, async |name| {
            printer::out(&rules(client, name).await?);
            Ok(None)
        })
        .await;
    }
    let query = query(&[("verbose", parsed.is("verbose").then(|| "true".to_owned()))]);
    super::show::shown(parsed, async |name| client.text(&format!("/networks/{}{query}", escape(name))).await)
        .await
}

async fn connect(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let network = parsed.get("NETWORK").unwrap_or_default();
    let place = Place {
        aliases: values(parsed, "alias"),
        ip: parsed.get("ip").unwrap_or_default().to_owned(),
        ip6: parsed.get("ip6").unwrap_or_default().to_owned(),
        link_local: values(parsed, "link-local-ip"),
        links: parsed.all("link"),
        options: options(&values(parsed, "driver-opt"), "driver-opt")?,
        priority: parsed.number("gw-priority")?.unwrap_or(0),
        ..Place::of(network)
    };
    let body =
        json!({ "Container": parsed.get("CONTAINER").unwrap_or_default(), "EndpointConfig": place.body() });
    client.post(&format!("/networks/{}/connect", escape(network)), Some(&body)).await.map(drop)
}

async fn disconnect(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let path = format!("/networks/{}/disconnect", escape(parsed.get("NETWORK").unwrap_or_default()));
    let container = parsed.get("CONTAINER").unwrap_or_default();
    let body = json!({ "Container": container, "Force": parsed.is("force") });
    client.post(&path, Some(&body)).await.map(drop)
}

async fn remove(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    each(&parsed.operands(), AT_ONCE_MAX, async |name| {
        match client.delete(&format!("/networks/{}", escape(name))).await {
            Err(failure) if failure.status == Some(404) && parsed.is("force") => Ok(None),
            other => other.map(|_| Some(name.to_owned())),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::find;

    fn asked(line: &str) -> Result<Value, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (entry, used) = find(&words).unwrap();
        request(&entry.parse(&words[used..]).unwrap()).map_err(|failure| failure.message)
    }

    #[test]
    fn what_is_not_said_is_left_to_the_daemon() {
        let body = asked("network create mine").unwrap();
        assert_eq!((&body["Name"], &body["Driver"]), (&json!("mine"), &json!("bridge")));
        assert_eq!(body["IPAM"], json!({"Driver": "default", "Options": {}, "Config": []}));
        assert!(body.get("EnableIPv6").is_none() && body.get("EnableIPv4").is_none());
        let body = asked("network create --ipv4=false --ipv6 --internal -o a=b --label c mine").unwrap();
        assert_eq!((&body["EnableIPv4"], &body["EnableIPv6"]), (&json!(false), &json!(true)));
        assert_eq!((&body["Options"], &body["Labels"]), (&json!({"a": "b"}), &json!({"c": ""})));
        assert_eq!(body["Internal"], true);
    }

    #[test]
    fn ranges_gateways_and_addresses_go_to_the_subnet_that_they_lie_in() {
        let body = asked(
            "network create --subnet 10.1.0.0/16,fd00::/64 --gateway fd00::1 --gateway 10.1.0.9 --ip-range 10.1.2.0/24 \
             --aux-address r=10.1.0.7 --aux-address s=fd00::7 mine",
        )
        .unwrap();
        assert_eq!(
            body["IPAM"]["Config"],
            json!([
                {"Subnet": "10.1.0.0/16", "Gateway": "10.1.0.9", "IPRange": "10.1.2.0/24", "AuxiliaryAddresses": {"r": "10.1.0.7"}},
                {"Subnet": "fd00::/64", "Gateway": "fd00::1", "AuxiliaryAddresses": {"s": "fd00::7"}}
            ])
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_dockers_words() {
        for (flags, why) in [
            ("--gateway 10.0.0.1", "every ip-range or gateway must have a corresponding subnet"),
            ("--subnet 10.1.2.0.30.50", "invalid CIDR address: 10.1.2.0.30.50"),
            (
                "--subnet 10.1.2.0/23,10.1.3.248/30",
                "multiple overlapping subnet configuration is not supported",
            ),
            (
                "--subnet 10.1.0.0/16,10.2.0.0/16 --ip-range 10.1.0.0/24,10.1.1.0/24",
                "cannot configure multiple ranges (10.1.1.0/24, 10.1.0.0/24) on the same subnet (10.1.0.0/16)",
            ),
            ("--subnet 10.1.0.0/16 --ip-range 10.2.0.0/24", "no matching subnet for range 10.2.0.0/24"),
            ("--subnet 10.1.0.0/16 --gateway 10.2.0.1", "no matching subnet for gateway 10.2.0.1"),
            ("--subnet 10.1.0.0/16 --aux-address a=10.2.0.1", "no matching subnet for aux-address 10.2.0.1"),
        ] {
            assert_eq!(asked(&format!("network create {flags} x")).unwrap_err(), why);
        }
    }

    #[test]
    fn a_network_is_listed_as_docker_lists_it() {
        let network = json!({"Id": "0123456789abcdef", "Name": "mine", "Driver": "bridge", "Scope": "local",
            "EnableIPv4": true, "EnableIPv6": false, "Labels": {"a": "b"}, "Created": "2026-01-02T03:04:05.6Z"});
        let row = row(&network, false);
        assert_eq!(
            (&row["ID"], &row["IPv6"], &row["Labels"]),
            (&json!("0123456789ab"), &json!("false"), &json!("a=b"))
        );
    }
}
