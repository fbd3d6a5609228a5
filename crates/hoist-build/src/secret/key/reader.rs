//! Reading private keys: PEM around OpenSSH's format (`PROTOCOL.key`), PKCS #8 or PKCS #1.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::{
    rand::SystemRandom,
    rsa::{KeyPairComponents, PublicKeyComponents},
    signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};

use super::{Curve, SshKey};

const ENCRYPTED: &str = "it is encrypted, and there is nobody to ask for the passphrase";
const DAMAGED: &str = "it is damaged";

/// What is at the start of OpenSSH's format.
const MAGIC: &[u8] = b"openssh-key-v1\0";

pub(super) fn read(text: &[u8], comment: &str) -> Result<SshKey, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no private key".to_owned())?;
    let (label, body) = unwrap(text).ok_or("it is no private key")?;
    if body.contains("ENCRYPTED") || label.contains("ENCRYPTED") {
        return Err(ENCRYPTED.to_owned());
    }
    let packed: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = BASE64_STANDARD
        .decode(packed)
        .map_err(|_| DAMAGED.to_owned())?;
    match label {
        "OPENSSH" => openssh(&bytes, comment),
        "RSA" => match RsaKeyPair::from_der(&bytes) {
            Ok(pair) => Ok(SshKey::rsa(pair, comment)),
            Err(error) => Err(format!("it is no RSA key that can be used: {error}")),
        },
        "" => pkcs8(&bytes, comment),
        other => Err(format!(
            "it is a key in the format {other}, which is not read: ssh-keygen -p -N '' -f FILE \
             writes it as OpenSSH does"
        )),
    }
}

/// The words before PRIVATE KEY, and what stands between the two lines.
fn unwrap(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    Some((label.trim_end(), body))
}

fn pkcs8(bytes: &[u8], comment: &str) -> Result<SshKey, String> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
        return Ok(SshKey::ed25519(pair, comment));
    }
    for curve in Curve::ALL {
        let random = SystemRandom::new();
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve.algorithm(), bytes, &random) {
            return Ok(SshKey::ecdsa(pair, curve, comment));
        }
    }
    match RsaKeyPair::from_pkcs8(bytes) {
        Ok(pair) => Ok(SshKey::rsa(pair, comment)),
        Err(error) => Err(format!("it is of a kind that is not known, or {error}")),
    }
}

fn openssh(bytes: &[u8], comment: &str) -> Result<SshKey, String> {
    let damaged = || DAMAGED.to_owned();
    let mut outer = Cursor(bytes.strip_prefix(MAGIC).ok_or_else(damaged)?);
    let cipher = outer.string().ok_or_else(damaged)?;
    if cipher != b"none" {
        return Err(ENCRYPTED.to_owned());
    }
    // The key derivation and its options, which are empty.
    outer.string().ok_or_else(damaged)?;
    outer.string().ok_or_else(damaged)?;
    if outer.number().ok_or_else(damaged)? != 1 {
        return Err("it holds several keys: put each into a file of its own".to_owned());
    }
    outer.string().ok_or_else(damaged)?;
    let mut inner = Cursor(outer.string().ok_or_else(damaged)?);
    let checks = (inner.number(), inner.number());
    if checks.0.is_none() || checks.0 != checks.1 {
        return Err(damaged());
    }
    let kind = inner.string().ok_or_else(damaged)?;
    let kind = String::from_utf8_lossy(kind).into_owned();
    let key = match kind.as_str() {
        "ssh-ed25519" => ed25519(&mut inner, comment),
        "ssh-rsa" => rsa(&mut inner, comment),
        "ecdsa-sha2-nistp256" => ecdsa(&mut inner, Curve::P256, comment),
        "ecdsa-sha2-nistp384" => ecdsa(&mut inner, Curve::P384, comment),
        other => return Err(format!("it is of the kind {other}, which is not known")),
    };
    let mut key = key.ok_or_else(damaged)?;
    // Its own comment stands behind the numbers.
    if let Some(own) = inner.string().and_then(|own| std::str::from_utf8(own).ok())
        && !own.is_empty()
    {
        own.clone_into(&mut key.comment);
    }
    Ok(key)
}

fn ed25519(inner: &mut Cursor<'_>, comment: &str) -> Option<SshKey> {
    let public = inner.string()?;
    let seed = inner.string()?.get(..32)?;
    let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()?;
    Some(SshKey::ed25519(pair, comment))
}

fn ecdsa(inner: &mut Cursor<'_>, curve: Curve, comment: &str) -> Option<SshKey> {
    inner.string()?;
    let public = inner.string()?;
    let secret = padded(inner.string()?, curve.length())?;
    let random = SystemRandom::new();
    let pair =
        EcdsaKeyPair::from_private_key_and_public_key(curve.algorithm(), &secret, public, &random);
    Some(SshKey::ecdsa(pair.ok()?, curve, comment))
}

fn rsa(inner: &mut Cursor<'_>, comment: &str) -> Option<SshKey> {
    let (n, e, d) = (inner.string()?, inner.string()?, inner.string()?);
    let (inverse, p, q) = (inner.string()?, inner.string()?, inner.string()?);
    // OpenSSH leaves out the exponents for each prime.
    let parts = KeyPairComponents {
        public_key: PublicKeyComponents {
            n: trimmed(n),
            e: trimmed(e),
        },
        d: trimmed(d),
        p: trimmed(p),
        q: trimmed(q),
        dP: &remainder(d, &minus_one(p))[..],
        dQ: &remainder(d, &minus_one(q))[..],
        qInv: trimmed(inverse),
    };
    let pair = RsaKeyPair::from_components(&parts).ok()?;
    Some(SshKey::rsa(pair, comment))
}

/// A number without zeros before it.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// A number of exactly `length` bytes.
fn padded(bytes: &[u8], length: usize) -> Option<Vec<u8>> {
    let bytes = trimmed(bytes);
    let missing = length.checked_sub(bytes.len())?;
    Some([vec![0; missing], bytes.to_vec()].concat())
}

/// An odd number less one.
fn minus_one(number: &[u8]) -> Vec<u8> {
    let mut number = trimmed(number).to_vec();
    if let Some(last) = number.last_mut() {
        *last &= 0xfe;
    }
    number
}

/// `number` modulo `modulus`, bit by bit: as long as `modulus`, without zeros before it.
fn remainder(number: &[u8], modulus: &[u8]) -> Vec<u8> {
    let length = modulus.len() + 1;
    let modulus = [&[0], modulus].concat();
    let mut rest = vec![0_u8; length];
    for byte in number {
        for bit in (0..8).rev() {
            let mut carry = byte >> bit & 1;
            for digit in rest.iter_mut().rev() {
                let shifted = *digit << 1 | carry;
                carry = *digit >> 7;
                *digit = shifted;
            }
            if rest >= modulus && modulus.iter().any(|digit| *digit != 0) {
                subtract(&mut rest, &modulus);
            }
        }
    }
    trimmed(&rest).to_vec()
}

/// Take `other` from `number`, which is as long and not less.
fn subtract(number: &mut [u8], other: &[u8]) {
    let mut borrow = 0;
    for (digit, taken) in number.iter_mut().zip(other).rev() {
        let difference = i16::from(*digit) - i16::from(*taken) - borrow;
        borrow = i16::from(difference < 0);
        *digit = difference.rem_euclid(256).to_le_bytes()[0];
    }
}

/// What is left to read of a message (RFC 4251 section 5).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    /// The next four bytes as a number.
    pub(crate) fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    /// The next string.
    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_are_right() {
        let of = |number: u64, modulus: u32| {
            let bytes = remainder(&number.to_be_bytes(), trimmed(&modulus.to_be_bytes()));
            bytes
                .iter()
                .fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
        };
        for (number, modulus) in [
            (0, 7),
            (6, 7),
            (7, 7),
            (u64::MAX, 255),
            (u64::MAX, 256),
            (0x1234_5678_9abc_def0, 0x00ff_ffff),
            (0xffff_ffff_0000_0001, 0x8000_0001),
        ] {
            assert_eq!(
                of(number, modulus),
                number % u64::from(modulus),
                "{number} % {modulus}"
            );
        }
    }
}
