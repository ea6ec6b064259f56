//! Encryption of bodies, as `cryptography.fernet` does it.

use std::time::Duration;

use fernet::Fernet;
use sha2::{Digest, Sha256};

/// Several keys: the first encrypts, each may decrypt.
#[derive(Clone)]
pub(super) struct Crypt(Vec<Fernet>);

impl Crypt {
    /// With these passphrases; `None` without any.
    pub(super) fn new(keys: &[String]) -> Option<Self> {
        let keys: Vec<_> = keys.iter().map(|key| fernet(key)).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    pub(super) fn encrypt(&self, body: &[u8]) -> Vec<u8> {
        self.0[0].encrypt(body).into_bytes()
    }

    /// The body of a token that is not older than `ttl`; `None` when no key fits.
    pub(super) fn decrypt(&self, token: &[u8], ttl: Option<Duration>) -> Option<Vec<u8>> {
        let token = std::str::from_utf8(token).ok()?;
        let decrypt = |key: &Fernet| match ttl {
            Some(ttl) => key.decrypt_with_ttl(token, ttl.as_secs()),
            None => key.decrypt(token),
        };
        self.0.iter().find_map(|key| decrypt(key).ok())
    }
}

/// The key is the URL-safe Base64 of the passphrase's SHA-256 (channels_redis/serializers.py).
fn fernet(passphrase: &str) -> Fernet {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hash = Sha256::digest(passphrase.as_bytes());
    let mut key = String::with_capacity(44);
    for chunk in hash.chunks(3) {
        let bytes = [chunk[0], *chunk.get(1).unwrap_or(&0), *chunk.get(2).unwrap_or(&0)];
        let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        for at in 0..=chunk.len() {
            key.push(char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]));
        }
    }
    key.push('='); // 32 bytes are 43 characters and one of padding
    Fernet::new(&key).expect("32 bytes in Base64 are a key")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crypt(keys: &[&str]) -> Crypt {
        Crypt::new(&keys.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_is_encrypted_with_an_old_key_is_read_after_a_rotation() {
        let old = crypt(&["old"]).encrypt(b"body");
        assert_eq!(crypt(&["new", "old"]).decrypt(&old, None).unwrap(), b"body");
        let new = crypt(&["new", "old"]).encrypt(b"body");
        assert_eq!(crypt(&["new"]).decrypt(&new, Some(Duration::from_secs(60))).unwrap(), b"body");
        assert_eq!(crypt(&["new"]).decrypt(&old, None), None);
    }

    // Made by cryptography 50: Fernet(urlsafe_b64encode(sha256(b"secret").digest())).encrypt(b"hello")
    #[test]
    fn a_token_of_pythons_is_read() {
        let token = include_str!("token.txt").trim();
        assert_eq!(crypt(&["secret"]).decrypt(token.as_bytes(), None).unwrap(), b"hello");
    }
}
