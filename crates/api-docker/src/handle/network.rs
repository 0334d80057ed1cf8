//! Networks: made, looked at, joined, left, removed.

use super::pattern::Pattern;
use crate::filters::Filters;
use crate::from_model::network_inspect;
use crate::server::{Answer, Call, empty, json};
use crate::to_model;
use crate::wire::network::{
    NetworkConnectRequest, NetworkCreateAnswer, NetworkCreateRequest, NetworkDisconnectRequest,
    NetworksPruned,
};
use hyper::StatusCode;
use platform::{Error, Kind, Network};

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];
const SCOPES: [&str; 3] = ["local", "global", "swarm"];
/// Since this version a list does not tell who is on a network.
const LISTED_WITHOUT_CONTAINERS_SINCE: u32 = 28;

/// The body of a request that makes no sense without one.
async fn body<T: serde::de::DeserializeOwned>(call: &mut Call) -> Result<T, Error> {
    let missing = || Error::invalid("invalid JSON: got EOF while reading request body");
    call.json().await?.ok_or_else(missing)
}

pub(crate) async fn create(mut call: Call) -> Answer {
    let request: NetworkCreateRequest = body(&mut call).await?;
    let spec = to_model::network(request)?;
    let created = call.doors.networks.create_network(spec).await?;
    let answer = NetworkCreateAnswer { id: created.id.to_string(), warning: created.warnings.join("\n") };
    json(StatusCode::CREATED, &answer)
}

pub(crate) async fn list(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &FILTERS)?;
    let names: Vec<Pattern> =
        filters.values("name").iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?;
    let dangling = filters.flag("dangling")?;
    for (name, known) in [("scope", &SCOPES[..]), ("type", &["builtin", "custom"])] {
        if let Some(value) = filters.values(name).iter().find(|value| !known.contains(&value.as_str())) {
            return Err(Error::invalid(format!("invalid filter '{name}={value}'")));
        }
    }
    let fits = |network: &Network| {
        let spec = &network.intent.spec;
        let id = network.intent.id.to_string();
        let kind = if network.is_predefined { "builtin" } else { "custom" };
        let is_dangling = !network.is_predefined && !network.is_wanted;
        (names.is_empty() || names.iter().any(|pattern| pattern.fits(&spec.name)))
            && filters.any("driver", |value| spec.driver.to_string() == value)
            && filters.any("id", |value| id.contains(value))
            && filters.any("scope", |value| value == "local")
            && filters.any("type", |value| value == kind)
            && filters.labels(&spec.labels)
            && dangling.is_none_or(|wanted| wanted == is_dangling)
    };
    let networks = call.doors.networks.list_networks().await?;
    let lines = networks.iter().filter(|network| fits(network)).map(|network| {
        let mut line = network_inspect(network);
        if call.version >= LISTED_WITHOUT_CONTAINERS_SINCE {
            line.containers.clear();
        }
        line
    });
    json(StatusCode::OK, &lines.collect::<Vec<_>>())
}

pub(crate) async fn inspect(call: Call) -> Answer {
    let name = call.parameter.as_str();
    if !matches!(call.query.text("scope"), "" | "local") {
        return Err(Error::not_found(format!("network {name} not found")));
    }
    json(StatusCode::OK, &network_inspect(&call.doors.networks.inspect_network(name).await?))
}

pub(crate) async fn remove(call: Call) -> Answer {
    call.doors.networks.remove_network(&call.parameter).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn connect(mut call: Call) -> Answer {
    let request: NetworkConnectRequest = body(&mut call).await?;
    let attachment = to_model::attachment(&call.parameter, &request.endpoint_config, call.version)
        .map_err(|errors| Error::invalid(format!("invalid endpoint settings:\n{errors}")))?;
    call.doors.networks.connect(&request.container, attachment).await?;
    Ok(empty(StatusCode::OK))
}

pub(crate) async fn disconnect(mut call: Call) -> Answer {
    let request: NetworkDisconnectRequest = body(&mut call).await?;
    call.doors.networks.disconnect(&call.parameter, &request.container, request.force).await?;
    Ok(empty(StatusCode::OK))
}

/// Removes the networks that no container wants.
pub(crate) async fn prune(call: Call) -> Answer {
    let filters = Filters::parse(call.query.text("filters"), &["label", "label!", "until"])?;
    let until = filters.until(call.clock.now())?;
    let mut answer = NetworksPruned::default();
    for network in call.doors.networks.list_networks().await? {
        let intent = &network.intent;
        let stays = network.is_predefined
            || network.is_wanted
            || until.is_some_and(|until| intent.created > until)
            || !filters.labels(&intent.spec.labels);
        if stays {
            continue;
        }
        match call.doors.networks.remove_network(&intent.id.to_string()).await {
            Ok(()) => answer.networks_deleted.get_or_insert_default().push(intent.spec.name.clone()),
            // Somebody was faster, or put a container on it.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Conflict | Kind::Forbidden) => {
                tracing::warn!(network = intent.spec.name, error = %error.message, "a network was not pruned");
            }
            Err(error) => return Err(error),
        }
    }
    json(StatusCode::OK, &answer)
}

/// What a network has in the kernel, and why.
pub(crate) async fn rules(call: Call) -> Answer {
    let rules = call.doors.networks.network_rules(&call.parameter).await?;
    let lines = rules
        .into_iter()
        .map(|rule| serde_json::json!({ "place": rule.place, "rule": rule.text, "why": rule.reason }));
    json(StatusCode::OK, &lines.collect::<Vec<_>>())
}
