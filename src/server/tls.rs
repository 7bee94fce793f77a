//! TLS from certificate files, taken up again when they change (a renewal must not need a restart).
//!
//! A changed pair that can't be read, or whose key does not fit, leaves the old one in use and says so in the log.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::config::TlsFiles;
use super::expiry::not_after;
use crate::clock::Clock;

/// Why the certificate could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// Which one.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file holds no certificate or no key in PEM.
    #[error("{path}: no usable PEM in it: {why}")]
    NotPem {
        /// Which one.
        path: String,
        /// Why.
        why: String,
    },
    /// The key does not belong to the certificate, or is of a kind that is not supported.
    #[error("certificate and key can't be used together: {0}")]
    Mismatch(#[from] rustls::Error),
}

/// The certificate in use.
#[derive(Debug)]
pub(super) struct Certificate {
    files: TlsFiles,
    current: RwLock<Loaded>,
}

#[derive(Clone)]
struct Loaded {
    acceptor: TlsAcceptor,
    pems: Pems,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaded(..)")
    }
}

#[derive(Clone, PartialEq, Eq)]
struct Pems {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Certificate {
    /// Reads both files.
    pub(super) async fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let pems = read(&files).await?;
        let acceptor = acceptor(&files, &pems)?;
        note_end(&files, &pems);
        Ok(Self { files, current: RwLock::new(Loaded { acceptor, pems }) })
    }

    /// What new connections are accepted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    /// Looks whether the files have changed; true if a new pair is in use now.
    pub(super) async fn reload(&self) -> Result<bool, TlsError> {
        let pems = read(&self.files).await?;
        if self.current.read().unwrap_or_else(PoisonError::into_inner).pems == pems {
            return Ok(false);
        }
        let acceptor = acceptor(&self.files, &pems)?;
        note_end(&self.files, &pems);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Loaded { acceptor, pems };
        Ok(true)
    }

    /// Looks again and again. Never ends.
    pub(super) async fn watch(&self, clock: &dyn Clock) {
        loop {
            clock.sleep(LOOK_EVERY).await;
            match self.reload().await {
                Ok(false) => {}
                Ok(true) => tracing::info!("the TLS certificate was renewed"),
                Err(error) => tracing::warn!(%error, "the new TLS certificate can't be used; the old one stays"),
            }
        }
    }
}

async fn read(files: &TlsFiles) -> Result<Pems, TlsError> {
    let open = async |path: &std::path::Path| {
        tokio::fs::read(path).await.map_err(|source| TlsError::Unreadable { path: path.display().to_string(), source })
    };
    Ok(Pems { cert: open(&files.cert).await?, key: open(&files.key).await? })
}

/// When the certificate in these files ends, if it says so in a way that is understood.
pub async fn certificate_end(files: &TlsFiles) -> Result<Option<Timestamp>, TlsError> {
    let pems = read(files).await?;
    acceptor(files, &pems)?;
    Ok(end(files, &pems))
}

fn end(files: &TlsFiles, pems: &Pems) -> Option<Timestamp> {
    not_after(chain(files, pems).ok()?.first()?)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge; seconds of this age fit")]
fn note_end(files: &TlsFiles, pems: &Pems) {
    if let Some(end) = end(files, pems) {
        metrics::gauge!("lineartime_certificate_end_timestamp_seconds").set(end.as_second() as f64);
    }
}

fn not_pem(path: &std::path::Path, why: String) -> TlsError {
    TlsError::NotPem { path: path.display().to_string(), why }
}

fn chain(files: &TlsFiles, pems: &Pems) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(&pems.cert)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| not_pem(&files.cert, error.to_string()))?;
    if chain.is_empty() { Err(not_pem(&files.cert, "no certificate".to_owned())) } else { Ok(chain) }
}

fn acceptor(files: &TlsFiles, pems: &Pems) -> Result<TlsAcceptor, TlsError> {
    let chain = chain(files, pems)?;
    let key = PrivateKeyDer::from_pem_slice(&pems.key).map_err(|error| not_pem(&files.key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

const LOOK_EVERY: Duration = Duration::from_secs(30);
