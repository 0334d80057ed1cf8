//! What is done to containers by name: stop, kill, remove and the like.

use super::{AT_ONCE_MAX, each};
use crate::client::{Client, escape, query};
use crate::failure::Failure;
use crate::printer;
use crate::table::Parsed;
use hyper::Method;
use serde_json::Value;

/// The least width of a column of `top`.
const TOP_WIDTH_MIN: usize = 20;

/// `POST /containers/NAME/VERB` for each name.
async fn post_each(client: &Client, parsed: &Parsed, verb: &str, query: &str) -> Result<(), Failure> {
    each(&parsed.operands(), AT_ONCE_MAX, async |name| {
        client.post(&format!("/containers/{}/{verb}{query}", escape(name)), None).await?;
        Ok(Some(name.to_owned()))
    })
    .await
}

/// `stop` and `restart`.
pub(crate) async fn stop(client: &Client, parsed: &Parsed, verb: &str) -> Result<(), Failure> {
    let seconds = parsed.number("time")?.or(parsed.number("timeout")?);
    let pairs = [
        ("t", seconds.map(|seconds| seconds.to_string())),
        ("signal", parsed.get("signal").map(str::to_owned)),
    ];
    post_each(client, parsed, verb, &query(&pairs)).await
}

pub(crate) async fn kill(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let signal = parsed.get("signal").unwrap_or("KILL").to_owned();
    post_each(client, parsed, "kill", &query(&[("signal", Some(signal))])).await
}

/// `pause` and `unpause`.
pub(crate) async fn freeze(client: &Client, parsed: &Parsed, verb: &str) -> Result<(), Failure> {
    post_each(client, parsed, verb, "").await
}

pub(crate) async fn remove(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let flag = |name: &str| parsed.is(name).then(|| "1".to_owned());
    let query = query(&[("force", flag("force")), ("v", flag("volumes"))]);
    each(&parsed.operands(), AT_ONCE_MAX, async |name| {
        match client.delete(&format!("/containers/{}{query}", escape(name))).await {
            // `rm -f` of what is not there is what was wanted.
            Err(failure) if failure.status == Some(404) && parsed.is("force") => {
                printer::note(&failure.message);
                Ok(None)
            }
            other => other.map(|_| Some(name.to_owned())),
        }
    })
    .await
}

pub(crate) async fn rename(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let (old, new) = (parsed.get("CONTAINER").unwrap_or_default(), parsed.get("NAME").unwrap_or_default());
    let path = format!("/containers/{}/rename?name={}", escape(old), escape(new));
    client.post(&path, None).await.map(drop)
}

pub(crate) async fn wait(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    each(&parsed.operands(), AT_ONCE_MAX, async |name| {
        let ended = client.call(Method::POST, &format!("/containers/{}/wait", escape(name)), None).await?;
        Ok(Some(ended["StatusCode"].as_i64().unwrap_or_default().to_string()))
    })
    .await
}

pub(crate) async fn top(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let name = parsed.get("CONTAINER").unwrap_or_default();
    let arguments = parsed.rest();
    let wanted = (!arguments.is_empty()).then(|| arguments.join(" "));
    let table =
        client.get(&format!("/containers/{}/top{}", escape(name), query(&[("ps_args", wanted)]))).await?;
    let strings = |value: &Value| -> Vec<String> {
        let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(str::to_owned).collect()
    };
    let titles = strings(&table["Titles"]);
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = table["Processes"].as_array().into_iter().flatten().map(strings).collect();
    if !titles.is_empty() {
        printer::out(&crate::format::table::lay_out_wide(&titles, &rows, TOP_WIDTH_MIN));
    }
    Ok(())
}

/// `port NAME [PORT]`: where ports are published.
pub(crate) async fn port(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let operands = parsed.operands();
    let name = operands.first().map(String::as_str).unwrap_or_default();
    let container = super::inspect(client, name).await?;
    let ports = container["NetworkSettings"]["Ports"].as_object().cloned().unwrap_or_default();
    let wanted =
        operands.get(1).map(|port| if port.contains('/') { port.clone() } else { format!("{port}/tcp") });
    let mut lines = Vec::new();
    for (inside, bindings) in
        ports.iter().filter(|(inside, _)| wanted.as_ref().is_none_or(|wanted| *inside == wanted))
    {
        for binding in bindings.as_array().into_iter().flatten() {
            let (host, outside) = (
                binding["HostIp"].as_str().unwrap_or_default(),
                binding["HostPort"].as_str().unwrap_or_default(),
            );
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            let number: u32 = inside.split('/').next().and_then(|port| port.parse().ok()).unwrap_or_default();
            let line = match &wanted {
                Some(_) => format!("{host}:{outside}"),
                None => format!("{inside} -> {host}:{outside}"),
            };
            lines.push((number, line));
        }
    }
    lines.sort();
    match (operands.get(1), lines.is_empty()) {
        (Some(wanted), true) => {
            printer::note(&format!("Error: No public port '{wanted}' published for {name}"));
            Err(Failure::silent(1))
        }
        _ => {
            lines.iter().for_each(|(_, line)| printer::line(line));
            Ok(())
        }
    }
}
