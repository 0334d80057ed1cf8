//! `inspect` and `logs`.

use crate::client::{Client, escape, query};
use crate::failure::Failure;
use crate::format::json;
use crate::format::template::Template;
use crate::printer;
use crate::pump::Frames;
use crate::table::Parsed;
use base::{Clock, Time};
use hyper::Method;
use serde_json::Value;

/// Everything about containers, images, networks or volumes.
pub(crate) async fn inspect(client: &Client, parsed: &Parsed, kind: Option<&str>) -> Result<(), Failure> {
    let kind = kind.or(parsed.get("type")).unwrap_or_default().to_owned();
    if !matches!(kind.as_str(), "" | "container" | "image" | "network" | "volume") {
        return Err(Failure::new(format!(
            "{kind:?} is not a valid value for --type: container, image, network and volume are known"
        )));
    }
    let remote = parsed.is("remote");
    if remote && !matches!(kind.as_str(), "" | "image") {
        return Err(Failure::new("--remote looks at images: all else is here"));
    }
    shown(parsed, async |name| match remote {
        true => super::remote::image(client, name, parsed.get("platform")).await,
        false => look(client, &kind, name, parsed.is("size")).await,
    })
    .await
}

/// Prints what is found of each operand, as a list or by the template of `--format`; what is not found is told, and the rest shown all the same.
pub(super) async fn shown(
    parsed: &Parsed,
    look: impl AsyncFn(&str) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let template = match parsed.get("format") {
        None => None,
        Some("json") => Some(Template::parse("{{json .}}")?),
        Some(text) => Some(Template::parse(text)?),
    };
    let (mut found, mut failed) = (Vec::new(), None);
    for name in parsed.operands() {
        match look(&name).await {
            Ok(text) => found.push(text),
            Err(failure) => {
                printer::note(&failure.message);
                failed = Some(Failure::silent(1));
            }
        }
    }
    match template {
        None => printer::line(&json::list(&found)),
        Some(template) => {
            for text in &found {
                let value = serde_json::from_str(text)
                    .map_err(|error| Failure::new(format!("read the daemon's answer: {error}")))?;
                printer::line(&template.render(&value)?);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn look(client: &Client, kind: &str, name: &str, size: bool) -> Result<String, Failure> {
    let size = query(&[("size", size.then(|| "1".to_owned()))]);
    let paths = [
        ("container", format!("/containers/{}/json{size}", escape(name))),
        ("image", format!("/images/{}/json", escape(name))),
        ("network", format!("/networks/{}", escape(name))),
        ("volume", format!("/volumes/{}", escape(name))),
    ];
    for (of, path) in &paths {
        if kind == *of {
            return client.text(path).await;
        }
        if kind.is_empty() {
            match client.text(path).await {
                Err(failure) if failure.status == Some(404) => {}
                other => return other,
            }
        }
    }
    Err(Failure::new(format!("Error: No such object: {name}")))
}

/// A point in time: RFC 3339, seconds since 1970, or a span before now such as `10m`.
pub(crate) fn moment(text: &str, now: Time) -> Result<String, Failure> {
    let stamp = |time: Time| format!("{}.{:09}", time.unix_seconds(), time.subsecond_nanos());
    if text.parse::<f64>().is_ok() {
        return Ok(text.to_owned());
    }
    let date_only = format!("{text}T00:00:00Z");
    let without_zone = format!("{text}Z");
    if let Some(time) = [text, &date_only, &without_zone].into_iter().find_map(Time::parse_rfc3339) {
        return Ok(stamp(time));
    }
    let span = span(text).ok_or_else(|| {
        Failure::new(format!("invalid time {text:?}"))
            .with_hint("write 2026-01-02T03:04:05Z, seconds since 1970, or 10m for ten minutes ago")
    })?;
    Ok(stamp(Time::from_unix_nanos(now.unix_nanos() - span)))
}

/// Nanoseconds of `1h30m`.
fn span(text: &str) -> Option<i128> {
    let mut rest = text;
    let mut nanos = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, factor) = [("ms", 1e6), ("us", 1e3), ("ns", 1.0), ("h", 3.6e12), ("m", 6e10), ("s", 1e9)]
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))?;
        nanos += number * factor;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty()).then_some(nanos as i128)
}

pub(crate) async fn logs(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let name = parsed.get("CONTAINER").unwrap_or_default();
    let container = super::inspect(client, name).await?;
    let terminal = container["Config"]["Tty"] == Value::Bool(true);
    let now = Clock::system().now();
    let time = |flag: &str| parsed.get(flag).map(|text| moment(text, now)).transpose();
    let flag = |on: bool| on.then(|| "1".to_owned());
    let tail = parsed.get("tail").filter(|tail| *tail != "all").map(str::to_owned);
    if let Some(tail) = tail.as_deref().filter(|tail| tail.parse::<i64>().is_err()) {
        return Err(Failure::new(format!("invalid value for --tail: {tail:?}: a number or all is needed")));
    }
    let query = query(&[
        ("stdout", flag(true)),
        ("stderr", flag(true)),
        ("follow", flag(parsed.is("follow"))),
        ("timestamps", flag(parsed.is("timestamps"))),
        ("details", flag(parsed.is("details"))),
        ("since", time("since")?),
        ("until", time("until")?),
        ("tail", tail),
    ]);
    let mut pieces =
        client.stream(Method::GET, &format!("/containers/{}/logs{query}", escape(name)), None).await?;
    let mut frames = Frames::default();
    while let Some(piece) = pieces.next().await? {
        if terminal {
            printer::raw(&piece);
        } else {
            frames.push(&piece);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_dates_as_seconds_and_as_spans() {
        let now = Time::from_unix_seconds(1_000_000);
        assert_eq!(moment("1970-01-01T00:00:10Z", now).unwrap(), "10.000000000");
        assert_eq!(moment("1970-01-02", now).unwrap(), "86400.000000000");
        assert_eq!(moment("42", now).unwrap(), "42");
        assert_eq!(moment("1h30m", now).unwrap(), "994600.000000000");
        assert!(moment("yesterday", now).is_err() && moment("", now).is_err() && moment("5x", now).is_err());
    }
}
