//! Encrypted connections: a certificate with its chain, and its key (RFC 8446, RFC 5246).

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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
}

/// How to encrypt connections with a certificate, the first of a chain, and its key, both in PEM.
///
/// # Errors
/// When one of them is none, or they do not fit together.
pub fn tls_config(certificate: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, BadTls> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(BadTls::Certificate)?;
    if chain.is_empty() {
        return Err(BadTls::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(BadTls::Key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(BadTls::Pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(BadTls::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
