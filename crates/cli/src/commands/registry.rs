//! `pull`, `push`, `login` and `logout`.

use crate::client::{Client, Values, escape, query};
use crate::failure::Failure;
use crate::format::bars::Bars;
use crate::logins::{Logins, header};
use crate::names::{Name, login_key};
use crate::table::Parsed;
use crate::{printer, start, terminal};
use api_docker::wire::AuthConfig;
use hyper::Method;
use serde_json::{Value, json};
use std::io::{BufRead, Read};

/// Bytes of a password that is read from standard input.
const PASSWORD_BYTES_MAX: u64 = 1 << 20;

/// How plain layers may go out.
const COMPRESSIONS: [&str; 3] = ["gzip", "zstd", "none"];

/// The exit code of whoever was interrupted: 128 and SIGINT's number.
const INTERRUPTED: u8 = 130;

/// Where what is told goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Output,
    /// Standard error: the result is somebody else's.
    Notes,
    Nowhere,
}

/// Shows the messages of a pull or push; an error among them is the outcome. Returns what programs are told.
async fn told(mut values: Values, place: Place) -> Result<Value, Failure> {
    let mut bars = Bars::default();
    let mut aux = Value::Null;
    let drawn = match place {
        Place::Output => terminal::is_output(),
        Place::Notes => std::io::IsTerminal::is_terminal(&std::io::stderr()),
        Place::Nowhere => false,
    };
    while let Some(mut message) = values.next().await? {
        if let Some(error) = message["error"].as_str() {
            return Err(Failure::new(error));
        }
        if !message["aux"].is_null() {
            aux = message["aux"].take();
        }
        let text = bars.show(&message, drawn);
        match place {
            Place::Output => printer::out(&text),
            Place::Notes => printer::raw_error(text.as_bytes()),
            Place::Nowhere => {}
        }
    }
    Ok(aux)
}

/// What is shown to the registry of a name.
pub(super) fn shown(name: &Name<'_>) -> Result<Option<String>, Failure> {
    Ok(header(&Logins::open(&start::docker_config()?)?.get(name.registry)?))
}

/// Pulls one image, told on standard error or not at all; for whoever needs it for something else.
pub(crate) async fn bring(
    client: &Client,
    image: &str,
    platform: Option<&str>,
    quiet: bool,
) -> Result<(), Failure> {
    let name = Name::of(image);
    let place = if quiet { Place::Nowhere } else { Place::Notes };
    pull_one(client, &name, name.version(), platform, place).await
}

async fn pull_one(
    client: &Client,
    name: &Name<'_>,
    version: &str,
    platform: Option<&str>,
    place: Place,
) -> Result<(), Failure> {
    let asked = query(&[
        ("fromImage", Some(name.full())),
        ("tag", Some(version.to_owned()).filter(|version| !version.is_empty())),
        ("platform", platform.map(str::to_owned)),
    ]);
    let pieces = client.stream_as(Method::POST, &format!("/images/create{asked}"), shown(name)?).await?;
    told(Values::new(pieces), place).await.map(drop)
}

pub(crate) async fn pull(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let text = parsed.get("NAME[:TAG|@DIGEST]").unwrap_or_default();
    let (name, quiet, all) = (Name::of(text), parsed.is("quiet"), parsed.is("all-tags"));
    if all && !name.tag_is_default {
        return Err(Failure::new("tag can't be used with --all-tags/-a"));
    }
    if name.tag_is_default && !all && !quiet {
        printer::line(&format!("Using default tag: {}", name.version()));
    }
    let place = if quiet { Place::Nowhere } else { Place::Output };
    let version = if all { "" } else { name.version() };
    pull_one(client, &name, version, parsed.get("platform"), place).await?;
    printer::line(&if all { name.full() } else { name.whole() });
    Ok(())
}

pub(crate) async fn push(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let text = parsed.get("NAME[:TAG]").unwrap_or_default();
    let (name, quiet, all) = (Name::of(text), parsed.is("quiet"), parsed.is("all-tags"));
    if all && !name.tag_is_default {
        return Err(Failure::new("tag can't be used with --all-tags/-a"));
    }
    if name.digest.is_some() {
        return Err(Failure::new("cannot push a digest reference"));
    }
    if name.tag_is_default && !all && !quiet {
        printer::line(&format!("Using default tag: {}", name.version()));
    }
    let tag = (!all).then(|| name.version().to_owned());
    let compression = parsed.get("compression").map(str::to_owned);
    if let Some(other) = compression.as_deref().filter(|word| !COMPRESSIONS.contains(word)) {
        return Err(Failure::new(format!("--compression takes gzip, zstd or none, not {other:?}")));
    }
    // Docker's daemon would not know what is meant: this is asked where only ours answers.
    let base = if compression.is_some() { "/bocage/v1" } else { "" };
    let asked = query(&[("tag", tag), ("compression", compression)]);
    let path = format!("{base}/images/{}/push{asked}", escape(&name.full()));
    // A registry that lets everybody in is not asked who this is; the API wants the header all the same.
    let auth = shown(&name)?
        .or_else(|| header(&AuthConfig { serveraddress: name.registry.to_owned(), ..AuthConfig::default() }));
    let pieces = client.stream_as(Method::POST, &path, auth).await?;
    told(Values::new(pieces), if quiet { Place::Nowhere } else { Place::Output }).await?;
    if quiet {
        printer::line(&if all { name.full() } else { name.whole() });
    }
    Ok(())
}

/// The password from standard input, without the end of its line.
fn password_from_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure::new(format!("read the password from standard input: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A line that the person types.
fn typed(prompt: &str, secret: bool) -> Result<String, Failure> {
    if !terminal::is_input() {
        return Err(Failure::new("Cannot perform an interactive login from a non TTY device")
            .with_hint("bocage login -u NAME --password-stdin < FILE"));
    }
    printer::out(prompt);
    let hidden = secret.then(terminal::Hidden::set);
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if hidden.is_some() {
        printer::line("");
    }
    read.map_err(|error| Failure::new(format!("read from the terminal: {error}")))?;
    if line.contains(terminal::GIVEN_UP) {
        return Err(Failure::silent(INTERRUPTED));
    }
    Ok(line.trim().to_owned())
}

pub(crate) async fn login(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let registry = parsed.operands().first().cloned().unwrap_or_default();
    let key = login_key(&registry).to_owned();
    let mut logins = Logins::open(&start::docker_config()?)?;
    let (mut user, mut password) = (
        parsed.get("username").unwrap_or_default().to_owned(),
        parsed.get("password").unwrap_or_default().to_owned(),
    );
    if parsed.is("password-stdin") {
        if !password.is_empty() {
            return Err(Failure::new("--password and --password-stdin are mutually exclusive"));
        }
        if user.is_empty() {
            return Err(Failure::new("Must provide --username with --password-stdin"));
        }
        password = password_from_input()?;
    } else if !password.is_empty() {
        printer::note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    let mut auth = AuthConfig::default();
    if user.is_empty() && password.is_empty() {
        auth = logins.get(&registry)?;
    }
    if auth == AuthConfig::default() {
        if user.is_empty() {
            user = typed("Username: ", false)?;
        }
        if password.is_empty() {
            password = typed("Password: ", true)?;
        }
        auth = AuthConfig { username: user, password, ..AuthConfig::default() };
    } else {
        printer::line(&format!("Authenticating with existing credentials... [Username: {}]", auth.username));
    }
    auth.serveraddress = key;
    let body = serde_json::to_value(&auth).unwrap_or(json!({}));
    let answer = client.post("/auth", Some(&body)).await?;
    if let Some(token) = answer["IdentityToken"].as_str().filter(|token| !token.is_empty()) {
        auth.identitytoken = token.to_owned();
        auth.password = String::new();
    }
    logins.keep(&registry, &auth)?;
    if logins.are_in_the_open(&registry) {
        printer::note(&format!(
            "WARNING! Your credentials are stored unencrypted in '{}'.",
            logins.path().display()
        ));
    }
    printer::line(answer["Status"].as_str().unwrap_or("Login Succeeded"));
    Ok(())
}

pub(crate) fn logout(parsed: &Parsed) -> Result<(), Failure> {
    let registry = parsed.operands().first().cloned().unwrap_or_default();
    let shown = login_key(&registry);
    match Logins::open(&start::docker_config()?)?.forget(&registry)? {
        true => printer::line(&format!("Removing login credentials for {shown}")),
        false => printer::line(&format!("Not logged in to {shown}")),
    }
    Ok(())
}
