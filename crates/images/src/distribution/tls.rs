//! Encrypted connections: a certificate with its chain, and its key (RFC 8446, RFC 5246).

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;

/// Why connections cannot be encrypted so.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// The file of certificates is none.
    #[error("read the certificate")]
    Certificate(#[source] pem::Error),
    /// The file of certificates holds none.
    #[error("there is no certificate in the file: one in PEM is needed, with those that it was signed by")]
    NoCertificate,
    /// The file of the key is none.
    #[error("read the key")]
    Key(#[source] pem::Error),
    /// The two do not fit together, or are of a kind that is not understood.
    #[error("use the certificate with the key")]
    Pair(#[source] rustls::Error),
    /// The file of those who sign clients' certificates is none, or holds none.
    #[error("read the authority of the clients' certificates: at least one in PEM is needed")]
    Clients(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How to encrypt connections with a certificate, the first of a chain, and its key, both in PEM. With `clients` only those get in whose
/// certificate one of these authorities has signed.
///
/// # Errors
/// When one of them is none, or they do not fit together.
pub fn tls_config(
    certificate: &[u8],
    key: &[u8],
    clients: Option<&[u8]>,
) -> Result<Arc<ServerConfig>, BadTls> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(BadTls::Certificate)?;
    if chain.is_empty() {
        return Err(BadTls::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(BadTls::Key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(BadTls::Pair)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in CertificateDer::pem_slice_iter(authorities) {
                let authority = authority.map_err(|error| BadTls::Clients(error.into()))?;
                roots.add(authority).map_err(|error| BadTls::Clients(error.into()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| BadTls::Clients(error.into()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(BadTls::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
