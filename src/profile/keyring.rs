//! The system's keyring: the Secret Service of a Linux desktop, the Keychain of macOS.
//!
//! It keeps secrets of 32 bytes under names, written as hexadecimal digits, since some keyrings
//! keep texts alone. This file knows neither users nor files, nor what the secrets are for.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use keyring::{Entry, Error};
use zeroize::Zeroizing;

use super::keys::KEY_BYTES;

/// What the keyring shows as the program that a secret belongs to.
const SERVICE: &str = "restpg-edge";
/// A keyring that is locked asks the person, who may need a while, or may not be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// A secret of the keyring.
pub(super) type Secret = Zeroizing<[u8; KEY_BYTES]>;

/// Why the keyring does not give or take a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is none, or it refuses.
    #[error("the system's keyring cannot be used: {0}")]
    Unusable(String),
    /// It did not answer in time.
    #[error("the system's keyring did not answer within {} seconds", PATIENCE.as_secs())]
    Silent,
    /// It has no such secret, or something else under its name.
    #[error("the system's keyring no longer holds what opens the key")]
    Lost,
}

/// Keeps `secret` under `name`.
pub(super) fn put(name: &str, secret: &Secret) -> Result<(), KeyringError> {
    let digits = Zeroizing::new(hex::encode(secret.as_slice()));
    within_patience(name, move |entry| entry.set_password(&digits))
}

/// The secret that is kept under `name`.
pub(super) fn get(name: &str) -> Result<Secret, KeyringError> {
    let digits = Zeroizing::new(within_patience(name, |entry| entry.get_password())?);
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    hex::decode_to_slice(digits.as_str(), secret.as_mut_slice()).map_err(|_| KeyringError::Lost)?;
    Ok(secret)
}

/// Removes what is kept under `name`.
pub(super) fn remove(name: &str) -> Result<(), KeyringError> {
    within_patience(name, |entry| entry.delete_credential())
}

/// Calls the keyring on a thread of its own: nothing else bounds how long it takes.
fn within_patience<T: Send + 'static>(
    name: &str,
    call: impl FnOnce(&Entry) -> Result<T, Error> + Send + 'static,
) -> Result<T, KeyringError> {
    let name = name.to_owned();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let result = Entry::new(SERVICE, &name).and_then(|entry| call(&entry));
        // Whoever asked may have lost patience.
        let _ = sender.send(result.map_err(|error| KeyringError::from_library(&error)));
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(KeyringError::Silent),
        Err(RecvTimeoutError::Disconnected) => {
            Err(KeyringError::Unusable("its library panicked".into()))
        }
    }
}

impl KeyringError {
    /// The library's errors carry secrets in some variants: only what is known to be a reason is
    /// taken over.
    fn from_library(error: &Error) -> Self {
        match error {
            Error::NoEntry | Error::Ambiguous(_) | Error::BadEncoding(_) => Self::Lost,
            Error::NoDefaultStore => match Entry::store_status() {
                Err(error) => Self::Unusable(reason(error)),
                Ok(()) => Self::Unusable("there is none".into()),
            },
            other => Self::Unusable(reason(other)),
        }
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::PlatformFailure(source) | Error::NoStorageAccess(source) => source.to_string(),
        Error::NotSupportedByStore(what) | Error::BadStoreFormat(what) => what.clone(),
        Error::TooLong(what, _) | Error::Invalid(what, _) => format!("it refuses the {what}"),
        _ => "it gives no reason".into(),
    }
}
