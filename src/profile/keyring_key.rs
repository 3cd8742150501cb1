//! A root key sealed with a secret that the system's keyring holds.
//!
//! Neither the file nor the keyring opens anything without the other: a copy of the one, or of the
//! other, is of no use, and destroying the file is enough. The text is TOML, as that of a key that
//! a passphrase seals.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::keyring::{self, KeyringError, Secret};
use super::keys::{KEY_BYTES, RootKey, fill_random};
use super::sealed_key::{NONCE_BYTES, SEALED_BYTES, from_hex, open, seal};

const VERSION: u32 = 1;
const KDF: &str = "keyring";
const NAME_BYTES: usize = 16;

/// A root key that only the keyring opens.
pub(super) struct KeyringKey {
    /// What the secret is called in the keyring.
    name: String,
    nonce: [u8; NONCE_BYTES],
    sealed: [u8; SEALED_BYTES],
}

/// The file as TOML has it.
#[derive(Deserialize)]
struct Fields {
    version: u32,
    kdf: String,
    name: String,
    nonce: String,
    sealed: String,
}

impl KeyringKey {
    /// Seals `key` with a fresh secret, which the keyring then holds.
    pub(super) fn seal(key: &RootKey) -> Result<Self, KeyringError> {
        let random = |bytes: &mut [u8]| {
            fill_random(bytes).map_err(|error| KeyringError::Unusable(error.to_string()))
        };
        let mut name = [0; NAME_BYTES];
        let mut nonce = [0; NONCE_BYTES];
        let mut secret: Secret = Zeroizing::new([0; KEY_BYTES]);
        random(&mut name)?;
        random(&mut nonce)?;
        random(secret.as_mut_slice())?;
        let name = hex::encode(name);
        keyring::put(&name, &secret)?;
        let sealed = seal(key, &secret, nonce, &header(&name));
        let kept = Self { name, nonce, sealed };
        // Some keyrings take a secret and keep it until the session ends; none that forgets it at
        // once may have the only way to the key.
        let opened = kept.open();
        if opened.as_ref().is_ok_and(|opened| opened == key) {
            return Ok(kept);
        }
        // Whatever is wrong with it, the secret is of no use there.
        let _ = kept.remove();
        Err(opened.err().unwrap_or(KeyringError::Lost))
    }

    /// The key.
    pub(super) fn open(&self) -> Result<RootKey, KeyringError> {
        let secret = keyring::get(&self.name)?;
        open(&self.sealed, &secret, self.nonce, &header(&self.name)).ok_or(KeyringError::Lost)
    }

    /// Takes the secret out of the keyring: from then on nothing opens the key.
    pub(super) fn remove(&self) -> Result<(), KeyringError> {
        keyring::remove(&self.name)
    }

    /// Reads what [`Self::to_text`] wrote; `None` where it is something else.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let fields: Fields = toml::from_str(std::str::from_utf8(text).ok()?).ok()?;
        if fields.version != VERSION || fields.kdf != KDF {
            return None;
        }
        from_hex::<NAME_BYTES>(&fields.name)?;
        Some(Self {
            nonce: from_hex(&fields.nonce)?,
            sealed: from_hex(&fields.sealed)?,
            name: fields.name,
        })
    }

    /// The file's text.
    pub(super) fn to_text(&self) -> String {
        format!(
            "# The root key of a restpg-edge profile, sealed with a secret that this system's\n\
             # keyring holds under the name below.\n\
             version = {VERSION}\n\
             kdf = \"{KDF}\"\n\
             name = \"{}\"\n\
             nonce = \"{}\"\n\
             sealed = \"{}\"\n",
            self.name,
            hex::encode(self.nonce),
            hex::encode(self.sealed)
        )
    }
}

/// What the seal binds besides the key.
fn header(name: &str) -> String {
    format!("restpg-edge/v{VERSION}/key {KDF} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> KeyringKey {
        let name = "00ff".repeat(8);
        let sealed = [7; SEALED_BYTES];
        KeyringKey { name, nonce: [3; NONCE_BYTES], sealed }
    }

    #[test]
    fn the_text_says_where_the_secret_is() {
        let text = kept().to_text();
        let read = KeyringKey::parse(text.as_bytes()).unwrap();
        assert_eq!(read.name, kept().name);
        assert_eq!((read.nonce, read.sealed), (kept().nonce, kept().sealed));
    }

    #[test]
    fn a_damaged_text_is_no_key() {
        let text = kept().to_text();
        for length in 0..text.len() - 2 {
            assert!(KeyringKey::parse(&text.as_bytes()[..length]).is_none(), "{length}");
        }
        for (from, to) in
            [("name = \"", "name = \"../"), ("sealed = \"07", "sealed = \""), ("keyring\"", "x\"")]
        {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert!(KeyringKey::parse(changed.as_bytes()).is_none(), "{to}");
        }
    }
}
