//! Whom TLS trusts: Mozilla's or the host's authorities, and for each registry those of its
//! directory in `certs.d` (Docker's layout).

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::error::{RegistryError, Result};

/// Everything from which the TLS settings of a registry are made.
#[derive(Debug)]
pub(crate) struct Authorities {
    bundle: Option<Vec<u8>>,
    directories: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
    /// Parsed when the first registry with TLS is spoken to.
    roots: OnceLock<RootCertStore>,
}

impl Authorities {
    pub(crate) fn new(bundle: Option<Vec<u8>>, directories: Vec<PathBuf>) -> Self {
        Self {
            bundle,
            directories,
            provider: Arc::new(ring::default_provider()),
            roots: OnceLock::new(),
        }
    }

    fn roots(&self) -> &RootCertStore {
        self.roots.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            if let Some(bundle) = &self.bundle {
                // A bundle with a certificate that cannot be read is still good for the others.
                roots.add_parsable_certificates(
                    CertificateDer::pem_slice_iter(bundle).filter_map(std::result::Result::ok),
                );
            }
            if roots.is_empty() {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
            roots
        })
    }

    /// The settings for `authority` (`host[:port]`).
    ///
    /// # Errors
    /// [`RegistryError::Certificates`].
    pub(crate) fn settings(&self, authority: &str, insecure: bool) -> Result<Arc<ClientConfig>> {
        let mut own = OwnCertificates::default();
        for directory in &self.directories {
            own.read(&directory.join(authority), &self.provider)?;
        }
        let trust = if insecure {
            Trust::Anybody
        } else {
            let mut roots = self.roots().clone();
            roots.add_parsable_certificates(own.authorities.iter().cloned());
            Trust::Authorities {
                roots,
                own: own.authorities,
            }
        };
        let verifier = Arc::new(Verifier {
            trust,
            provider: Arc::clone(&self.provider),
        });
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match own.client {
            Some(client) => builder.with_client_cert_resolver(client),
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }
}

/// What the directory of a registry holds.
#[derive(Default)]
struct OwnCertificates {
    authorities: Vec<CertificateDer<'static>>,
    client: Option<Arc<dyn ResolvesClientCert>>,
}

impl OwnCertificates {
    /// Add what is in `directory`; one that is not there adds nothing.
    fn read(&mut self, directory: &Path, provider: &CryptoProvider) -> Result<()> {
        let failed = |path: &Path, reason: String| RegistryError::Certificates {
            path: path.to_owned(),
            reason,
        };
        let list = || -> io::Result<Vec<PathBuf>> {
            fs::read_dir(directory)?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect()
        };
        let mut paths = match list() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result.map_err(|error| failed(directory, error.to_string()))?,
        };
        paths.sort();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.authorities.extend(certificates(&path)?),
                Some("cert") => {
                    let key = path.with_extension("key");
                    self.client = Some(client_certificate(&path, &key, provider)?);
                }
                Some("key") if !path.with_extension("cert").exists() => {
                    return Err(failed(
                        &path,
                        "there is no client certificate (.cert) for this key".to_owned(),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let failed = |reason: String| RegistryError::Certificates {
        path: path.to_owned(),
        reason,
    };
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let list: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if list.is_empty() {
        return Err(failed(
            "there is no certificate in PEM form in it".to_owned(),
        ));
    }
    Ok(list)
}

fn client_certificate(
    path: &Path,
    key_path: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<dyn ResolvesClientCert>> {
    let failed = |reason: String| RegistryError::Certificates {
        path: key_path.to_owned(),
        reason,
    };
    let chain = certificates(path)?;
    let bytes = fs::read(key_path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(format!(
            "missing key for client certificate {}; authorities must use the extension .crt",
            path.display()
        )),
        _ => failed(error.to_string()),
    })?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    let certified =
        CertifiedKey::from_der(chain, key, provider).map_err(|error| failed(error.to_string()))?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}

/// Whose certificates are accepted.
#[derive(Debug)]
enum Trust {
    /// The usual verification, and as Go has it: a certificate that was itself put into the
    /// registry's directory is trusted for its names, even where it calls itself an authority. That
    /// is what `openssl req -x509` makes, and what Docker's manual tells people to use.
    Authorities {
        roots: RootCertStore,
        own: Vec<CertificateDer<'static>>,
    },
    /// Of registries that were named as insecure.
    Anybody,
}

#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, Error> {
        let Trust::Authorities { roots, own } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let chain = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        match chain {
            // The time is verified before the purpose: what remains is an authority as a server.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if own.iter().any(|own| own == end_entity) => {}
            result => result?,
        }
        verify_server_name(&certificate, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
