//! What happened on the node: what is still known of the past, then what comes.

use crate::body::Body;
use crate::filters::Filters;
use crate::server::{Answer, Call, json_line, typed};
use crate::time;
use crate::wire::EventMessage;
use crate::wire::stream::EventActor;
use base::{Clock, Time};
use bytes::Bytes;
use futures_util::stream;
use hyper::Response;
use platform::{Error, Event, EventKind};
use std::collections::VecDeque;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

const FILTERS: [&str; 14] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

pub(crate) async fn events(call: Call) -> Answer {
    let now = call.clock.now();
    let since = time::parse(call.query.text("since"), now)?;
    let until = time::parse(call.query.text("until"), now)?;
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        return Err(Error::invalid("`since` time cannot be after `until` time"));
    }
    let filters = Filters::parse(call.query.text("filters"), &FILTERS)?;
    // Listening begins before the past is read: what falls between is seen twice and left out once, never missed.
    let live = call.doors.control.events();
    let past: VecDeque<Event> = match since {
        Some(since) => call.doors.control.past_events(since, until.unwrap_or(now.max(since))).into(),
        None => VecDeque::new(),
    };
    let reader = Reader { seen: past.clone(), past, live, until, filters, clock: call.clock };
    let parts = stream::unfold(reader, |mut reader| async {
        let bytes = reader.next().await?;
        Some((Ok(bytes), reader))
    });
    // An empty part sends the head at once, so that a client knows that it listens.
    let parts = stream::StreamExt::chain(stream::once(async { Ok(Bytes::new()) }), parts);
    Ok(typed(Response::new(Body::parts(parts)), "application/json"))
}

struct Reader {
    past: VecDeque<Event>,
    /// The past again, to know what comes a second time.
    seen: VecDeque<Event>,
    live: broadcast::Receiver<Event>,
    until: Option<Time>,
    filters: Filters,
    clock: Clock,
}

impl Reader {
    /// The next event that fits, as a line.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let event = match self.past.pop_front() {
                Some(event) => event,
                None => self.next_live().await?,
            };
            if fits(&self.filters, &event) {
                return json_line(&message(event)).ok();
            }
        }
    }

    async fn next_live(&mut self) -> Option<Event> {
        loop {
            let received = match self.until {
                None => self.live.recv().await,
                Some(until) => {
                    let left = until.since(self.clock.now());
                    tokio::time::timeout(left, self.live.recv()).await.ok()?
                }
            };
            match received {
                Ok(event) if self.seen.contains(&event) => {}
                Ok(event) => {
                    self.seen.clear();
                    return Some(event);
                }
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "a client reads events too slowly and missed some");
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Container => "container",
        EventKind::Image => "image",
        EventKind::Network => "network",
        EventKind::Volume => "volume",
        EventKind::Daemon => "daemon",
    }
}

fn fits(filters: &Filters, event: &Event) -> bool {
    let name = event.actor.attributes.get("name").map_or("", String::as_str);
    let is = |filter: &str, wanted: EventKind| {
        filters.any(filter, |value| {
            event.kind == wanted
                && (event.actor.id.starts_with(value) || name == value.trim_start_matches('/'))
        })
    };
    let action = event.action.split(':').next().unwrap_or_default();
    let untagged = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
    let image = |value: &str| {
        let named = match event.kind {
            EventKind::Image => name,
            _ => event.actor.attributes.get("image").map_or("", String::as_str),
        };
        event.actor.id == value || named == value || untagged(named) == value
    };
    filters.any("type", |value| value == kind(event.kind))
        && filters.any("event", |value| value == action || value == event.action)
        && filters.any("scope", |value| value == "local")
        && is("container", EventKind::Container)
        && is("network", EventKind::Network)
        && is("volume", EventKind::Volume)
        && is("daemon", EventKind::Daemon)
        && filters.any("image", image)
        && filters.labels(&event.actor.attributes)
        // Nothing of these kinds happens here.
        && ["config", "node", "plugin", "secret", "service"].iter().all(|other| !filters.has(other))
}

fn message(event: Event) -> EventMessage {
    let legacy = matches!(event.kind, EventKind::Container | EventKind::Image);
    let text = |value: &str| if legacy { value.to_owned() } else { String::new() };
    let image = event.actor.attributes.get("image").filter(|_| event.kind == EventKind::Container);
    EventMessage {
        status: text(&event.action),
        id: text(&event.actor.id),
        from: image.cloned().unwrap_or_default(),
        kind: kind(event.kind).to_owned(),
        action: event.action,
        actor: EventActor { id: event.actor.id, attributes: event.actor.attributes },
        scope: "local".to_owned(),
        time: event.time.unix_seconds(),
        time_nano: i64::try_from(event.time.unix_nanos()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::Actor;

    fn event(action: &str) -> Event {
        let attributes = [("name", "web"), ("image", "nginx:1"), ("tier", "front")];
        Event {
            time: Time::from_unix_seconds(1),
            kind: EventKind::Container,
            action: action.to_owned(),
            actor: Actor {
                id: "abc".to_owned(),
                attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            },
        }
    }

    #[test]
    fn filters_choose_events() {
        for (text, wanted) in [
            (r#"{"type":["container"],"event":["exec_start"]}"#, true),
            (r#"{"event":["start"]}"#, false),
            (r#"{"container":["web"]}"#, true),
            (r#"{"container":["other"]}"#, false),
            (r#"{"image":["nginx"]}"#, true),
            (r#"{"label":["tier=front"]}"#, true),
            (r#"{"network":["abc"]}"#, false),
            (r#"{"service":["x"]}"#, false),
        ] {
            let filters = Filters::parse(text, &FILTERS).unwrap();
            assert_eq!(fits(&filters, &event("exec_start: sh")), wanted, "{text}");
        }
    }

    #[test]
    fn a_message_has_the_older_fields_too() {
        let line = serde_json::to_value(message(event("start"))).unwrap();
        assert_eq!(
            (&line["status"], &line["from"], &line["timeNano"]),
            (&"start".into(), &"nginx:1".into(), &1_000_000_000.into())
        );
        let daemon = Event { kind: EventKind::Daemon, ..event("reload") };
        assert_eq!(message(daemon).status, "");
    }
}
