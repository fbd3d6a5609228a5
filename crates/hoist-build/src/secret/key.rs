//! SSH keys from files, for builds without an agent (`--ssh default=KEY`): unencrypted ones of the
//! kinds ed25519, RSA and ECDSA, as OpenSSH, PKCS #8 or PKCS #1 write them.
//!
//! A key signs, by `ring`, and is never shown: the step gets the answers of an agent
//! (draft-ietf-sshm-ssh-agent).

mod reader;

pub(crate) use reader::Cursor;

#[cfg(test)]
mod tests;

use std::fmt;

use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
        RsaEncoding, RsaKeyPair,
    },
};

/// Flags of a request to sign (section 3.6.1): which hash an RSA signature uses.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// A private key.
pub struct SshKey {
    /// The public key as SSH writes it (RFC 4253 section 6.6).
    public: Vec<u8>,
    comment: String,
    signer: Signer,
}

enum Signer {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(EcdsaKeyPair, Curve),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

impl Curve {
    const ALL: [Self; 2] = [Self::P256, Self::P384];

    /// RFC 5656 section 10.1.
    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
        }
    }

    fn algorithm(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        }
    }

    /// Bytes of a private key.
    const fn length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

impl SshKey {
    /// Read the key in `text`, the content of a file. `comment` is what it is called where it does
    /// not say itself.
    ///
    /// # Errors
    /// A sentence about what is wrong with it: it is no private key, it is encrypted, it is of a
    /// kind that is not known.
    pub fn parse(text: &[u8], comment: &str) -> Result<Self, String> {
        reader::read(text, comment)
    }

    /// The public key as SSH writes it.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// What people call it.
    pub(crate) fn comment(&self) -> &str {
        &self.comment
    }

    /// The signature of `data` as SSH writes it (RFC 4253 section 6.6, RFC 8332); `None` where
    /// `flags` ask for what is not done: RSA with SHA-1.
    pub(crate) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let (algorithm, signature) = match &self.signer {
            Signer::Ed25519(pair) => ("ssh-ed25519".to_owned(), pair.sign(data).as_ref().to_vec()),
            Signer::Rsa(pair) => {
                let (name, padding): (_, &'static dyn RsaEncoding) = match flags {
                    flags if flags & RSA_SHA2_512 != 0 => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
                    flags if flags & RSA_SHA2_256 != 0 => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
                    _ => return None,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                let random = SystemRandom::new();
                pair.sign(padding, &random, data, &mut signature).ok()?;
                (name.to_owned(), signature)
            }
            Signer::Ecdsa(pair, curve) => {
                let signature = pair.sign(&SystemRandom::new(), data).ok()?;
                let (r, s) = signature.as_ref().split_at(signature.as_ref().len() / 2);
                let mut both = Vec::new();
                put_number(&mut both, r);
                put_number(&mut both, s);
                (format!("ecdsa-sha2-{}", curve.name()), both)
            }
        };
        let mut written = Vec::new();
        put(&mut written, algorithm.as_bytes());
        put(&mut written, &signature);
        Some(written)
    }

    fn ed25519(pair: Ed25519KeyPair, comment: &str) -> Self {
        let mut public = Vec::new();
        put(&mut public, b"ssh-ed25519");
        put(&mut public, pair.public_key().as_ref());
        Self::new(public, comment, Signer::Ed25519(pair))
    }

    fn rsa(pair: RsaKeyPair, comment: &str) -> Self {
        let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let mut public = Vec::new();
        put(&mut public, b"ssh-rsa");
        put_number(&mut public, &parts.e);
        put_number(&mut public, &parts.n);
        Self::new(public, comment, Signer::Rsa(Box::new(pair)))
    }

    fn ecdsa(pair: EcdsaKeyPair, curve: Curve, comment: &str) -> Self {
        let mut public = Vec::new();
        put(
            &mut public,
            format!("ecdsa-sha2-{}", curve.name()).as_bytes(),
        );
        put(&mut public, curve.name().as_bytes());
        put(&mut public, pair.public_key().as_ref());
        Self::new(public, comment, Signer::Ecdsa(pair, curve))
    }

    fn new(public: Vec<u8>, comment: &str, signer: Signer) -> Self {
        Self {
            public,
            comment: comment.to_owned(),
            signer,
        }
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshKey")
            .field("comment", &self.comment)
            .finish_non_exhaustive()
    }
}

/// Write a string: its length, and its bytes (RFC 4251 section 5).
pub(crate) fn put(output: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    output.extend_from_slice(&length.to_be_bytes());
    output.extend_from_slice(bytes);
}

/// Write a number that is not negative (`mpint`).
fn put_number(output: &mut Vec<u8>, bytes: &[u8]) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        let padded: Vec<u8> = std::iter::once(0).chain(bytes.iter().copied()).collect();
        put(output, &padded);
    } else {
        put(output, bytes);
    }
}
