//! `demo`: three web servers from an image that the binary makes of itself, so that nothing else is needed.

use super::list::string;
use crate::client::{Client, escape};
use crate::failure::Failure;
use crate::printer;
use crate::table::Parsed;
use base::Clock;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The containers of the demonstration.
const NAMES: [&str; 3] = ["bocage-demo-1", "bocage-demo-2", "bocage-demo-3"];
/// The label by which they are known again.
const LABEL: &str = "bocage.demo";
/// How often a page is asked for, and how long in between.
const FETCH_ATTEMPTS_MAX: u32 = 100;
const FETCH_PAUSE: Duration = Duration::from_millis(20);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) async fn demo(client: &Client, parsed: &Parsed) -> Result<(), Failure> {
    let image = client.post("/bocage/v1/demo-image", None).await?;
    let image = string(&image, "image").to_owned();
    let removed = remove(client).await?;
    if parsed.is("remove") {
        client.delete(&format!("/images/{}?force=1", escape(&image))).await?;
        printer::line(&format!("removed {removed} containers and the image {image}"));
        return Ok(());
    }
    printer::line(&format!(
        "made the image {image} from this program itself; starting {} web servers of it:\n",
        NAMES.len()
    ));
    for name in NAMES {
        let (url, millis) = start(client, name, &image).await?;
        let page = fetch(&url).await?;
        if !page.starts_with("HTTP/1.1 200") || !page.contains("Hello from container") {
            return Err(Failure::new(format!(
                "{url} answered something else: {}",
                page.lines().next().unwrap_or_default()
            )));
        }
        printer::line(&format!("  {name}  {url}  started in {millis:.1} ms, its page was fetched"));
    }
    printer::line(&format!(
        "\nTry next:\n  bocage ps\n  bocage logs {first}\n  bocage stats --no-stream\n  docker -H {address} ps   (the docker client \
         works too)\n  bocage load -i IMAGE.tar && bocage run -d -p 8080:80 IMAGE\n\nRemove it all:\n  bocage demo --remove\n  \
         bocage daemon stop\n\nthree containers answered over HTTP",
        first = NAMES[0],
        address = client.address.text(),
    ));
    Ok(())
}

/// Removes what an earlier demonstration left; tells how many containers.
async fn remove(client: &Client) -> Result<usize, Failure> {
    let mut removed = 0;
    for name in NAMES {
        let found = match super::inspect(client, name).await {
            Ok(found) => found,
            Err(failure) if failure.status == Some(404) => continue,
            Err(failure) => return Err(failure),
        };
        if found["Config"]["Labels"].get(LABEL).is_none() {
            return Err(Failure::new(format!("the container {name} was not made by the demonstration"))
                .with_hint(format!("give it another name: bocage rename {name} NAME")));
        }
        client.delete(&format!("/containers/{}?force=1&v=1", string(&found, "Id"))).await?;
        removed += 1;
    }
    Ok(removed)
}

/// Starts one; tells where it answers and how many milliseconds the start took.
async fn start(client: &Client, name: &str, image: &str) -> Result<(String, f64), Failure> {
    let body = json!({ "Image": image, "HostConfig": { "PublishAllPorts": true }, "Labels": { LABEL: "1" } });
    client.post(&format!("/containers/create?name={name}"), Some(&body)).await?;
    let clock = Clock::system();
    let before = clock.instant();
    client.post(&format!("/containers/{name}/start"), None).await?;
    let millis = before.elapsed().as_secs_f64() * 1000.0;
    let container = super::inspect(client, name).await?;
    let port = container["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"].as_str().map(str::to_owned);
    let port = port.ok_or_else(|| Failure::new(format!("port 80 of {name} is not published")))?;
    Ok((format!("http://127.0.0.1:{port}/"), millis))
}

/// Fetches a page; a server that has only just been started may need a moment to listen.
async fn fetch(url: &str) -> Result<String, Failure> {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut last = String::new();
    for _ in 0..FETCH_ATTEMPTS_MAX {
        match tokio::time::timeout(FETCH_TIMEOUT, ask(host)).await {
            Ok(Ok(page)) if !page.is_empty() => return Ok(page),
            Ok(Ok(_)) => last = "an empty answer".to_owned(),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = "no answer in time".to_owned(),
        }
        tokio::time::sleep(FETCH_PAUSE).await;
    }
    Err(Failure::new(format!("fetch {url}: {last}")))
}

async fn ask(host: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(host).await?;
    stream
        .write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    Ok(page)
}
