//! Connections to servers elsewhere: direct or through a proxy, plain or encrypted, kept for the next request.
//!
//! ```text
//!  https://…  -> proxy for https? -> CONNECT through it -> TLS
//!  http://…   -> proxy for http?  -> the proxy is asked for the whole address
//! ```
//!
//! Whoever fetches something from the world does it with one of these: registries' clients, and what reads archives of
//! packages. What is asked, how often, and what is believed of the answer is theirs.
//!
//! Invariant: addresses on this machine never go through a proxy.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;

/// How long a connection is kept for the next request.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);
/// Connections that are kept to one host.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// A cause from another crate.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Proxies, as the environment has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For plain HTTP.
    pub http: String,
    /// For everything encrypted.
    pub https: String,
    /// For which hosts none is used.
    pub no: String,
}

impl Proxies {
    /// Those of an environment, in the order in which Docker looks: `HTTP_PROXY` before `http_proxy`.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Proxies {
        let one =
            |name: &str| variable(&name.to_ascii_uppercase()).or_else(|| variable(name)).unwrap_or_default();
        Proxies { http: one("http_proxy"), https: one("https_proxy"), no: one("no_proxy") }
    }
}

/// What is sent.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;
/// Sends requests, to one server and to where it redirects.
pub type Requests = Client<HttpsConnector<Dial>, Body>;

/// A connection, and whether a proxy reads what is sent on it.
#[derive(Debug)]
pub struct Wire {
    stream: TokioIo<TcpStream>,
    proxied: bool,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.proxied)
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }
}

/// Which proxy is used for what.
#[derive(Clone, Debug)]
pub struct Proxy(Arc<Matcher>);

impl Proxy {
    fn of(proxies: &Proxies) -> Proxy {
        // Go leaves this machine alone whatever the environment says, and people count on it.
        let no = format!("{},localhost,127.0.0.0/8,::1", proxies.no);
        let matcher = Matcher::builder().http(&*proxies.http).https(&*proxies.https).no(no);
        Proxy(Arc::new(matcher.build()))
    }

    fn for_address(&self, address: &Uri) -> Option<Intercept> {
        self.0.intercept(address)
    }

    /// What a proxy that reads the requests wants in each of them.
    pub fn authorization(&self, address: &Uri) -> Option<HeaderValue> {
        if address.scheme_str() != Some("http") {
            return None;
        }
        self.for_address(address)?.basic_auth().cloned()
    }
}

/// Makes connections.
#[derive(Clone, Debug)]
pub struct Dial {
    tcp: HttpConnector,
    proxy: Proxy,
}

impl Service<Uri> for Dial {
    type Response = Wire;
    type Error = Cause;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, Cause>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Cause>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let Dial { mut tcp, proxy } = self.clone();
        Box::pin(async move {
            let Some(proxy) = proxy.for_address(&address) else {
                return Ok(Wire { stream: tcp.call(address).await?, proxied: false });
            };
            if proxy.uri().scheme_str() != Some("http") {
                return Err(format!("proxy {}: only proxies with http:// are supported", proxy.uri()).into());
            }
            if address.scheme_str() == Some("http") {
                return Ok(Wire { stream: tcp.call(proxy.uri().clone()).await?, proxied: true });
            }
            let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            Ok(Wire { stream: tunnel.call(address).await?, proxied: false })
        })
    }
}

/// A client that encrypts as it is told, and the proxies it goes through.
pub fn requests(proxies: &Proxies, connect: Duration, tls: ClientConfig) -> (Requests, Proxy) {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    let proxy = Proxy::of(proxies);
    let dial = Dial { tcp, proxy: proxy.clone() };
    let by_name = Arc::new(hyper_rustls::DefaultServerNameResolver::default());
    let connector = HttpsConnector::new(dial, tls, false, by_name);
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_idle_timeout(IDLE_CONNECTION).pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
    client.pool_timer(TokioTimer::new());
    (client.build(connector), proxy)
}

/// The authorities that the web trusts. They are carried inside, since a static binary may find none.
pub fn public_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// Encryption with servers whose certificate one of the web's authorities has signed.
///
/// # Errors
/// The library has no version of TLS in common with its own cryptography, which no user can help.
pub fn public_tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(public_roots()).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy_of(address: &str, no: &str) -> Option<String> {
        let one = |name: &str| match name {
            "HTTP_PROXY" => Some("http://plain.example:3128".to_owned()),
            "https_proxy" => Some("http://ann:secret@tunnel.example:3129".to_owned()),
            "no_proxy" => Some(no.to_owned()),
            _ => None,
        };
        let proxy = Proxy::of(&Proxies::of(one)).for_address(&address.parse().unwrap())?;
        Some(proxy.uri().to_string())
    }

    #[test]
    fn the_environment_says_which_proxy_is_used_for_what() {
        assert_eq!(proxy_of("http://deb.example/x", "").unwrap(), "http://plain.example:3128/");
        assert!(proxy_of("https://deb.example/x", "").unwrap().contains("tunnel.example:3129"));
        assert_eq!(proxy_of("http://deb.example/x", "other.example,deb.example"), None);
    }

    #[test]
    fn this_machine_is_never_asked_through_a_proxy() {
        for here in
            ["http://localhost:5000/", "http://127.0.0.1/", "https://127.3.2.1:443/", "http://[::1]:80/"]
        {
            assert_eq!(proxy_of(here, ""), None, "{here}");
        }
    }
}
