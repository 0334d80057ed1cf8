//! How one registry is spoken to: with its certificates, and through the proxies of the settings.

use super::endpoint::{Endpoint, Settings};
use super::error::{Cause, RegistryError};
pub(crate) use ::dial::{Body, Proxy, Requests};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files that are looked at in a directory of certificates.
const CERTIFICATE_FILES_MAX: usize = 256;

/// A client for one registry, with its certificates, and the proxies it goes through.
pub(crate) fn requests(settings: &Settings, endpoint: &Endpoint) -> Result<(Requests, Proxy), RegistryError> {
    Ok(::dial::requests(&settings.proxies, settings.patience.connect, encryption(settings, endpoint)?))
}

/// How the connections of one registry are encrypted.
fn encryption(settings: &Settings, endpoint: &Endpoint) -> Result<ClientConfig, RegistryError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = ::dial::public_roots();
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
