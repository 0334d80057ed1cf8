//! Encrypted connections. The certificate is of no use but here: `registry.test` is a name that nobody has (RFC 6761).

use super::*;
use crate::distribution::tls_config;
use crate::registry::{Credentials, PushRequest, Registries, Settings, Unheard};
use crate::{ImageConfig, Piece, Reference};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

const CERTIFICATE: &[u8] = include_bytes!("cert.pem");
const KEY: &[u8] = include_bytes!("key.pem");
/// Who has signed the certificate of a client, which is of no use but here either.
const CLIENTS: &[u8] = include_bytes!("clients.pem");

#[test]
fn a_registry_with_a_certificate_speaks_to_those_who_trust_it_and_to_nobody_in_plain() {
    let site = Site::with(tempfile::tempdir().unwrap(), |registry| {
        let served = Served::new(registry, Access::everyone(), Clock::system());
        served.with_tls(tls_config(CERTIFICATE, KEY, None).unwrap())
    });
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CERTIFICATE).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let status = site.runtime.block_on(async {
        let stream = TcpStream::connect(site.address).await.unwrap();
        let name = ServerName::try_from("registry.test").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/v2/").header("host", "registry.test").body(Full::new(Bytes::new()));
        sender.send_request(request.unwrap()).await.unwrap().status()
    });
    assert_eq!(status, StatusCode::OK);
    let plain = site.runtime.block_on(async {
        let stream = TcpStream::connect(site.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/v2/").header("host", "registry.test").body(Full::new(Bytes::new()));
        sender.send_request(request.unwrap()).await.map(|reply| reply.status())
    });
    assert!(plain.is_err());
}

#[test]
fn a_registry_that_wants_certificates_of_clients_lets_in_who_has_one() {
    let site = Site::with(tempfile::tempdir().unwrap(), |registry| {
        let served = Served::new(registry, Access::everyone(), Clock::system());
        served.with_tls(tls_config(CERTIFICATE, KEY, Some(CLIENTS)).unwrap())
    });
    let directory = tempfile::tempdir().unwrap();
    let images = Images::open(
        &directory.path().join("images"),
        Arc::new(Store::open(&directory.path().join("state.redb")).unwrap()),
        Clock::system(),
    );
    let images = images.unwrap();
    let piece = [Piece { path: "file", mode: 0o644, bytes: Some(b"content") }];
    let name = Reference::parse(&format!("{}/app:1", site.address)).unwrap();
    images
        .assemble(&piece, ImageConfig::default(), Clock::system().now(), "made", Some(name.clone()))
        .unwrap();
    let certificates = directory.path().join("certs.d");
    let push = || {
        let settings = Settings { certificates: vec![certificates.clone()], ..Settings::default() };
        let request =
            PushRequest { reference: name.clone(), credentials: Credentials::default(), compression: None };
        images.push(&Registries::new(settings), site.runtime.handle(), &request, &Unheard)
    };
    let own = certificates.join(site.address.to_string());
    std::fs::create_dir_all(&own).unwrap();
    let error = push().unwrap_err();
    assert!(base::Chain(&error).to_string().contains("CertificateRequired"), "{error:?}");
    std::fs::write(own.join("ann.cert"), include_bytes!("ann.cert")).unwrap();
    let error = push().unwrap_err();
    assert!(base::Chain(&error).to_string().contains("ann.key"), "{error:?}");
    std::fs::write(own.join("ann.key"), include_bytes!("ann.key")).unwrap();
    push().unwrap();
    // Another's is of no use.
    std::fs::write(own.join("ann.cert"), CERTIFICATE).unwrap();
    std::fs::write(own.join("ann.key"), KEY).unwrap();
    assert!(push().is_err());
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_with_the_reason() {
    let told = |certificate: &[u8], key: &[u8]| {
        let error = tls_config(certificate, key, None).unwrap_err();
        base::Chain(&error).to_string()
    };
    assert!(told(b"", KEY).contains("no certificate"));
    assert!(told(CERTIFICATE, b"").contains("read the key"));
    assert!(told(CERTIFICATE, CERTIFICATE).contains("read the key"));
    let error = tls_config(CERTIFICATE, KEY, Some(b"no authority")).unwrap_err();
    assert!(base::Chain(&error).to_string().contains("authority of the clients' certificates"));
}
