//! Connections over TLS.

use std::{io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use actix_http::Protocol;
use actix_rt::net::TcpStream;
use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use super::Socket;

/// A certificate and its key that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file cannot be read, or what is in it is not PEM: it starts with `-----BEGIN`.
    #[error("cannot read PEM from {}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// There is no certificate in the file: give the chain, the server's own certificate first.
    #[error("there is no certificate in {}", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no private key in the file: is it the certificate's?
    #[error("there is no private key in {}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind that is not known, or is not that of the certificate.
    #[error("the key in {} does not go with the certificate in {}", key.display(), certificates.display())]
    Mismatch {
        /// The file of the certificate.
        certificates: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

/// A [`rustls::ServerConfig`] from PEM files: a chain of certificates, the server's own first, and its private key
/// (PKCS #8, PKCS #1 or SEC 1). TLS 1.3 and 1.2, no client certificates.
///
/// # Examples
///
/// ```no_run
/// # use channels_core as channels;
/// # use channels::{ProtocolTypeRouter, Server};
/// # let app = ProtocolTypeRouter::new();
/// let config = channels::server::tls_from_pem("fullchain.pem", "privkey.pem")?;
/// let server = Server::new(app).bind_rustls("0.0.0.0:443", config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`TlsError`], which names the file.
pub fn tls_from_pem(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<ServerConfig, TlsError> {
    let (certificates, key) = (certificates.as_ref(), key.as_ref());
    let unreadable = |path: &Path, source| TlsError::Pem { path: path.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(|chain| chain.collect::<Result<Vec<_>, _>>())
        .map_err(|source| unreadable(certificates, source))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: certificates.to_owned() });
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { path: key.to_owned() },
        source => unreadable(key, source),
    })?;
    let mismatch = |source| TlsError::Mismatch { certificates: certificates.to_owned(), key: key.to_owned(), source };
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(mismatch)
}

/// What a listener of TLS needs: HTTP/2 is offered, then HTTP/1.1, unless the configuration says what is.
pub(super) fn with_alpn(mut config: ServerConfig) -> Arc<ServerConfig> {
    if config.alpn_protocols.is_empty() {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Arc::new(config)
}

/// The TLS handshake, and the version of HTTP that comes out of it (RFC 7301).
pub(super) async fn accept(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    timeout: Duration,
) -> io::Result<(Socket, Protocol)> {
    let stream = tokio::time::timeout(timeout, acceptor.accept(stream)).await??;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((stream.into(), if http2 { Protocol::Http2 } else { Protocol::Http1 }))
}
