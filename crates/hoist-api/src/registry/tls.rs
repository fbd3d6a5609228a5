//! The server's identity: certificate and key, read again when they change.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::{TlsFiles, stamp::Stamp};
use crate::error::{ApiError, Result};

/// What a TLS handshake needs.
pub(super) struct Tls {
    files: TlsFiles,
    current: Mutex<(Stamp, Stamp, Arc<ServerConfig>)>,
}

impl Tls {
    /// Read the files.
    ///
    /// # Errors
    /// [`ApiError::Certificate`].
    pub(super) fn read(files: &TlsFiles) -> Result<Self> {
        let stamps = (Stamp::of(&files.certificate), Stamp::of(&files.key));
        let config = load(files)?;
        Ok(Self {
            files: files.clone(),
            current: Mutex::new((stamps.0, stamps.1, config)),
        })
    }

    /// Read the files again if one has changed. While they do not fit together, which they may not
    /// between two writes, the old ones stay; that is said once.
    ///
    /// # Errors
    /// [`ApiError::Certificate`].
    pub(super) fn refresh(&self) -> Result<()> {
        let stamps = (
            Stamp::of(&self.files.certificate),
            Stamp::of(&self.files.key),
        );
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if (current.0, current.1) == stamps {
            return Ok(());
        }
        (current.0, current.1) = stamps;
        current.2 = load(&self.files)?;
        Ok(())
    }

    /// What the next handshake uses.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.2)
    }
}

fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>> {
    let failed = |path: &Path, reason: String| ApiError::Certificate {
        path: path.to_owned(),
        reason,
    };
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| failed(path, format!("cannot be read: {error}")))
    };
    let certificate = read(&files.certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&certificate)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| failed(&files.certificate, error.to_string()))?;
    if chain.is_empty() {
        let reason = "there is no certificate in PEM form in it".to_owned();
        return Err(failed(&files.certificate, reason));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| failed(&files.key, format!("no private key in PEM form: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| {
            let certificate = files.certificate.display();
            failed(&files.key, format!("does not fit {certificate}: {error}"))
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
