//! A user's root key, and the keys derived from it.
//!
//! The root key is 32 random bytes. Whatever is encrypted is encrypted with a key derived from it
//! by HKDF-SHA256 (RFC 5869), one per purpose. This file does not know how the root key is kept.

use std::fmt;
use std::io;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of the root key and of every key derived from it.
pub(super) const KEY_BYTES: usize = 32;

/// What a derived key encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The store.
    Database,
    /// Passages as vectors, outside the store.
    Embeddings,
    /// Texts that a model wrote to learn from.
    Samples,
    /// Adapters trained on the person's writing.
    Adapters,
    /// Whatever can be computed again.
    Caches,
}

impl Purpose {
    /// HKDF's info. These strings never change: what is encrypted depends on them.
    fn info(self) -> &'static [u8] {
        match self {
            Self::Database => b"restpg-edge/v1/database",
            Self::Embeddings => b"restpg-edge/v1/embeddings",
            Self::Samples => b"restpg-edge/v1/samples",
            Self::Adapters => b"restpg-edge/v1/adapters",
            Self::Caches => b"restpg-edge/v1/caches",
        }
    }
}

/// A user's root key; wiped from memory when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RootKey(Zeroizing<[u8; KEY_BYTES]>);

impl RootKey {
    /// A fresh key.
    pub(super) fn random() -> io::Result<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        fill_random(key.as_mut())?;
        Ok(Self(key))
    }

    /// The key that these bytes are; `None` where they are not as many as a key has.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The key for one purpose.
    pub(super) fn derive(&self, purpose: Purpose) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Hkdf::<Sha256>::new(None, self.as_bytes())
            .expand(purpose.info(), key.as_mut())
            .expect("32 bytes are far below HKDF's limit");
        key
    }

    /// The key of the store as SQLCipher takes it: a raw key, which nothing is derived from again.
    pub(super) fn database_key(&self) -> Zeroizing<String> {
        let key = self.derive(Purpose::Database);
        let digits = Zeroizing::new(hex::encode(key.as_slice()));
        Zeroizing::new(format!("x'{}'", digits.as_str()))
    }
}

/// Fills `bytes` with the system's random ones.
pub(super) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
}

impl fmt::Debug for RootKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RootKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_store_is_what_it_always_was() {
        let key = RootKey::from_bytes(&[7; KEY_BYTES]).unwrap();
        let mut expected = [0; KEY_BYTES];
        Hkdf::<Sha256>::new(None, &[7; KEY_BYTES])
            .expand(b"restpg-edge/v1/database", &mut expected)
            .unwrap();
        assert_eq!(*key.database_key(), format!("x'{}'", hex::encode(expected)));
    }

    #[test]
    fn no_purpose_shares_its_key_with_another() {
        let key = RootKey::random().unwrap();
        let purposes = [
            Purpose::Database,
            Purpose::Embeddings,
            Purpose::Samples,
            Purpose::Adapters,
            Purpose::Caches,
        ];
        let mut derived: Vec<_> = purposes.iter().map(|purpose| *key.derive(*purpose)).collect();
        derived.push(*key.derive(Purpose::Database));
        derived.sort_unstable();
        derived.dedup();
        assert_eq!(derived.len(), purposes.len());
        assert!(!derived.iter().any(|derived| derived.as_slice() == key.as_bytes()));
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = RootKey::from_bytes(&[7; KEY_BYTES]).unwrap();
        assert_eq!(format!("{key:?}"), "RootKey(..)");
    }
}
