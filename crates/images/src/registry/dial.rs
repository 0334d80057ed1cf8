//! Connections to registries: direct or through a proxy, plain or encrypted.
//!
//! ```text
//!  https://…  -> proxy for https? -> CONNECT through it -> TLS
//!  http://…   -> proxy for http?  -> the proxy is asked for the whole address
//! ```
//!
//! Addresses on this machine never go through a proxy.

use super::endpoint::{Endpoint, Settings};
use super::error::{Cause, RegistryError};
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
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
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
/// Files that are looked at in a directory of certificates.
const CERTIFICATE_FILES_MAX: usize = 256;

/// What is sent.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// Sends requests to one registry, and to where it redirects.
pub(crate) type Requests = Client<HttpsConnector<Dial>, Body>;

/// A connection, and whether a proxy reads what is sent on it.
#[derive(Debug)]
pub(crate) struct Wire {
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
pub(crate) struct Proxy(Arc<Matcher>);

impl Proxy {
    fn of(settings: &Settings) -> Proxy {
        let proxies = &settings.proxies;
        // Go leaves this machine alone whatever the environment says, and people count on it.
        let no = format!("{},localhost,127.0.0.0/8,::1", proxies.no);
        let matcher = Matcher::builder().http(&*proxies.http).https(&*proxies.https).no(no);
        Proxy(Arc::new(matcher.build()))
    }

    fn for_address(&self, address: &Uri) -> Option<Intercept> {
        self.0.intercept(address)
    }

    /// What a proxy that reads the requests wants in each of them.
    pub(crate) fn authorization(&self, address: &Uri) -> Option<HeaderValue> {
        if address.scheme_str() != Some("http") {
            return None;
        }
        self.for_address(address)?.basic_auth().cloned()
    }
}

/// Makes connections.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
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

/// A client for one registry, with its certificates, and the proxies it goes through.
pub(crate) fn requests(settings: &Settings, endpoint: &Endpoint) -> Result<(Requests, Proxy), RegistryError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(settings.patience.connect));
    let proxy = Proxy::of(settings);
    let dial = Dial { tcp, proxy: proxy.clone() };
    let tls = encryption(settings, endpoint)?;
    let by_name = Arc::new(hyper_rustls::DefaultServerNameResolver::default());
    let connector = HttpsConnector::new(dial, tls, false, by_name);
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_idle_timeout(IDLE_CONNECTION).pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
    client.pool_timer(TokioTimer::new());
    Ok((client.build(connector), proxy))
}

/// How the connections of one registry are encrypted.
fn encryption(settings: &Settings, endpoint: &Endpoint) -> Result<ClientConfig, RegistryError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let mut own = None;
    for directory in &settings.certificates {
        let directory = directory.join(&endpoint.host);
        read_certificates(&directory, &mut roots, &mut own)
            .map_err(|source| RegistryError::Certificates { directory, source })?;
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder
        .map_err(|source| RegistryError::Address { url: endpoint.base.clone(), source: source.into() })?;
    let builder = if endpoint.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_root_certificates(roots)
    };
    let failed = |source: rustls::Error| RegistryError::Certificates {
        directory: PathBuf::from(&endpoint.host),
        source: source.into(),
    };
    Ok(match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(failed)?,
        None => builder.with_no_client_auth(),
    })
}

type Own = Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>;

/// Takes in what is in one directory; one that is not there has nothing.
fn read_certificates(directory: &Path, roots: &mut RootCertStore, own: &mut Own) -> Result<(), Cause> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries.take(CERTIFICATE_FILES_MAX) {
        let path = entry?.path();
        let named = |error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
        let chain = |path: &Path| -> Result<Vec<CertificateDer<'static>>, Cause> {
            let certificates = CertificateDer::pem_file_iter(path).map_err(named)?;
            Ok(certificates.collect::<Result<_, _>>().map_err(named)?)
        };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => {
                for certificate in chain(&path)? {
                    roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
                }
            }
            Some("cert") => {
                let key = path.with_extension("key");
                let key = PrivateKeyDer::from_pem_file(&key)
                    .map_err(|error| format!("the key {} of it: {error}", key.display()))?;
                *own = Some((chain(&path)?, key));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes any certificate, for registries that are configured so; signatures are still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
