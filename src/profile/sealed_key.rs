//! A root key sealed with a passphrase: Argon2id makes a key of the passphrase, and
//! ChaCha20-Poly1305 seals the root key with that.
//!
//! The text is TOML, so that a person can see what the file is. What the seal was made with stands
//! beside it, is bound to it, and is bounded when it is read: a file that asks for more work than
//! the bounds is refused before any is done. This file knows neither users nor files.

use std::io;
use std::ops::RangeInclusive;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::keys::{KEY_BYTES, RootKey, fill_random};

const VERSION: u32 = 1;
const KDF: &str = "argon2id";
const SALT_BYTES: usize = 16;
pub(super) const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
pub(super) const SEALED_BYTES: usize = KEY_BYTES + TAG_BYTES;

const MEMORY_KIB: RangeInclusive<u32> = 8 << 10..=1 << 20;
const PASSES: RangeInclusive<u32> = 1..=16;
const LANES: RangeInclusive<u32> = 1..=16;

/// What trying one passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// What new seals are made with: 64 MiB, three passes.
    pub(super) const STANDARD: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// The least that is read again.
    #[cfg(test)]
    pub(super) const LEAST: Self = Self { memory_kib: 8 << 10, passes: 1, lanes: 1 };

    fn is_in_bounds(self) -> bool {
        MEMORY_KIB.contains(&self.memory_kib)
            && PASSES.contains(&self.passes)
            && LANES.contains(&self.lanes)
    }
}

/// A root key that only its passphrase opens.
pub(super) struct SealedKey {
    cost: Cost,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    sealed: [u8; SEALED_BYTES],
}

/// The file as TOML has it.
#[derive(Deserialize)]
struct Fields {
    version: u32,
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    nonce: String,
    sealed: String,
}

impl SealedKey {
    /// Seals `key`, with a fresh salt.
    pub(super) fn seal(key: &RootKey, passphrase: &str, cost: Cost) -> io::Result<Self> {
        let mut empty = Self {
            cost,
            salt: [0; SALT_BYTES],
            nonce: [0; NONCE_BYTES],
            sealed: [0; SEALED_BYTES],
        };
        for random in [empty.salt.as_mut_slice(), empty.nonce.as_mut_slice()] {
            fill_random(random)?;
        }
        let sealed = seal(key, &*empty.sealing_key(passphrase)?, empty.nonce, &empty.header());
        Ok(Self { sealed, ..empty })
    }

    /// The key, `None` where the passphrase is not the one that sealed it.
    pub(super) fn open(&self, passphrase: &str) -> io::Result<Option<RootKey>> {
        Ok(open(&self.sealed, &*self.sealing_key(passphrase)?, self.nonce, &self.header()))
    }

    /// Reads what [`Self::to_text`] wrote; what is wrong with it otherwise.
    pub(super) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let no_key = "holds no key";
        let text = std::str::from_utf8(text).map_err(|_| no_key)?;
        let fields: Fields = toml::from_str(text).map_err(|_| no_key)?;
        if fields.version != VERSION || fields.kdf != KDF {
            return Err("was written by a newer restpg-edge");
        }
        let Fields { memory_kib, passes, lanes, .. } = fields;
        let cost = Cost { memory_kib, passes, lanes };
        if !cost.is_in_bounds() {
            return Err("asks for more or less work on its passphrase than is reasonable");
        }
        Ok(Self {
            cost,
            salt: from_hex(&fields.salt).ok_or(no_key)?,
            nonce: from_hex(&fields.nonce).ok_or(no_key)?,
            sealed: from_hex(&fields.sealed).ok_or(no_key)?,
        })
    }

    /// The file's text.
    pub(super) fn to_text(&self) -> String {
        let Cost { memory_kib, passes, lanes } = self.cost;
        format!(
            "# The root key of a restpg-edge profile, sealed with a passphrase.\n\
             version = {VERSION}\n\
             kdf = \"{KDF}\"\n\
             memory_kib = {memory_kib}\n\
             passes = {passes}\n\
             lanes = {lanes}\n\
             salt = \"{}\"\n\
             nonce = \"{}\"\n\
             sealed = \"{}\"\n",
            hex::encode(self.salt),
            hex::encode(self.nonce),
            hex::encode(self.sealed)
        )
    }

    /// What the seal binds besides the key.
    fn header(&self) -> String {
        let Cost { memory_kib, passes, lanes } = self.cost;
        let salt = hex::encode(self.salt);
        format!("restpg-edge/v{VERSION}/key {KDF} {memory_kib} {passes} {lanes} {salt}")
    }

    fn sealing_key(&self, passphrase: &str) -> io::Result<Zeroizing<[u8; KEY_BYTES]>> {
        let failed = |error: argon2::Error| match error {
            argon2::Error::OutOfMemory => io::Error::from(io::ErrorKind::OutOfMemory),
            other => io::Error::other(other.to_string()),
        };
        let Cost { memory_kib, passes, lanes } = self.cost;
        let parameters = Params::new(memory_kib, passes, lanes, Some(KEY_BYTES)).map_err(failed)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
            .hash_password_into(passphrase.as_bytes(), &self.salt, key.as_mut_slice())
            .map_err(failed)?;
        Ok(key)
    }
}

/// `root` sealed with `key` (ChaCha20-Poly1305), bound to `header`. No nonce may serve a key twice.
pub(super) fn seal(
    root: &RootKey,
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    header: &str,
) -> [u8; SEALED_BYTES] {
    let payload = Payload { msg: root.as_bytes(), aad: header.as_bytes() };
    let sealed = ChaCha20Poly1305::new(&Key::from(*key)).encrypt(&Nonce::from(nonce), payload);
    let sealed = sealed.expect("32 bytes are far below the cipher's limit");
    sealed.try_into().expect("a tag is appended to the key")
}

/// What [`seal`] sealed; `None` where key, nonce or header is another.
pub(super) fn open(
    sealed: &[u8; SEALED_BYTES],
    key: &[u8; KEY_BYTES],
    nonce: [u8; NONCE_BYTES],
    header: &str,
) -> Option<RootKey> {
    let payload = Payload { msg: sealed, aad: header.as_bytes() };
    let opened = ChaCha20Poly1305::new(&Key::from(*key)).decrypt(&Nonce::from(nonce), payload);
    let bytes = Zeroizing::new(opened.ok()?);
    RootKey::from_bytes(&bytes)
}

pub(super) fn from_hex<const BYTES: usize>(digits: &str) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> (RootKey, SealedKey) {
        let key = RootKey::random().unwrap();
        let sealed = SealedKey::seal(&key, "correct horse", Cost::LEAST).unwrap();
        (key, sealed)
    }

    #[test]
    fn the_passphrase_alone_opens_what_it_sealed() {
        let (key, sealed) = sealed();
        let read = SealedKey::parse(sealed.to_text().as_bytes()).unwrap();
        assert_eq!(read.open("correct horse").unwrap(), Some(key));
        for wrong in ["correct hors", "Correct horse", "correct horse ", ""] {
            assert_eq!(read.open(wrong).unwrap(), None, "{wrong:?}");
        }
    }

    #[test]
    fn nothing_of_the_key_stands_in_the_text_and_no_seal_is_made_twice() {
        let (key, first) = sealed();
        let second = SealedKey::seal(&key, "correct horse", Cost::LEAST).unwrap();
        assert!(!first.to_text().contains(&hex::encode(key.as_bytes())));
        assert_ne!(first.salt, second.salt);
        assert_ne!(first.sealed, second.sealed);
    }

    #[test]
    fn what_the_seal_was_made_with_is_bound_to_it() {
        let (_, sealed) = sealed();
        let text = sealed.to_text();
        let other_salt = text.replacen(&hex::encode(sealed.salt), &"00".repeat(SALT_BYTES), 1);
        let changed = [
            text.replace("passes = 1", "passes = 2"),
            text.replace("lanes = 1", "lanes = 2"),
            text.replace("memory_kib = 8192", "memory_kib = 8193"),
            other_salt,
        ];
        for changed in changed {
            assert_ne!(changed, text);
            let read = SealedKey::parse(changed.as_bytes()).unwrap();
            assert_eq!(read.open("correct horse").unwrap(), None, "{changed}");
        }
    }

    #[test]
    fn costs_out_of_bounds_are_refused_before_any_work() {
        let (_, sealed) = sealed();
        let text = sealed.to_text();
        for (from, to) in [
            ("memory_kib = 8192", "memory_kib = 8191"),
            ("memory_kib = 8192", "memory_kib = 1048577"),
            ("memory_kib = 8192", "memory_kib = 4294967295"),
            ("passes = 1", "passes = 0"),
            ("passes = 1", "passes = 17"),
            ("lanes = 1", "lanes = 0"),
            ("lanes = 1", "lanes = 17"),
        ] {
            let changed = text.replace(from, to);
            assert_ne!(changed, text);
            let refused = SealedKey::parse(changed.as_bytes()).err().unwrap();
            assert!(refused.contains("work"), "{to}: {refused}");
        }
        assert!(Cost::STANDARD.is_in_bounds());
    }

    #[test]
    fn a_damaged_text_holds_no_key() {
        let (_, sealed) = sealed();
        let text = sealed.to_text();
        for length in 0..text.len() - 2 {
            assert!(SealedKey::parse(&text.as_bytes()[..length]).is_err(), "{length}");
        }
        for (from, to) in
            [("sealed = \"", "sealed = \"00"), ("salt = \"", "salt = \"zz"), ("kdf = ", "fdk = ")]
        {
            assert!(SealedKey::parse(text.replace(from, to).as_bytes()).is_err(), "{to}");
        }
        assert!(SealedKey::parse(&[0xff; 100]).is_err());
        let newer = text.replace("version = 1", "version = 2");
        assert!(SealedKey::parse(newer.as_bytes()).err().unwrap().contains("newer"));
    }
}
