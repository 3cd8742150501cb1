//! Where things live: configuration, models, profiles, keys.
//!
//! With `--home DIR` or `RESTPG_HOME` everything lies in that one folder; otherwise in the XDG
//! base directories, keys beside the configuration, apart from the data that they open: a copy of
//! the data folder alone is of no use to whoever finds it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::error::{Exit, Explain};

const APPLICATION: &str = "restpg-edge";
/// How the name of a file ends that is not whole yet.
const PART: &str = ".restpg-part";

/// The folders of one installation.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The person's own settings; need not exist.
    pub config_file: PathBuf,
    /// Pulled models, under their hash.
    pub models: PathBuf,
    /// One encrypted store per user.
    pub profiles: PathBuf,
    /// One key file per user.
    pub keys: PathBuf,
    /// Whether new keys are sealed with the system's keyring, where there is one. Not below one
    /// folder: everything is to lie there.
    pub has_keyring: bool,
}

/// No place to put things.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell where your home directory is")]
pub struct NoHome;

impl Explain for NoHome {
    fn kind(&self) -> &'static str {
        "no_home"
    }
    fn exit(&self) -> Exit {
        Exit::Usage
    }
    fn help(&self) -> Option<String> {
        Some("Set HOME, or choose a folder with --home DIR.".into())
    }
}

impl Paths {
    /// The folders below `home`, or the XDG ones where it is `None`.
    ///
    /// # Errors
    /// [`NoHome`] where neither a folder is given nor the system knows the home directory.
    pub fn resolve(home: Option<&Path>) -> Result<Self, NoHome> {
        let (config, data) = if let Some(home) = home {
            // Other programs are told of these folders while they stand elsewhere.
            let home = std::path::absolute(home).map_err(|_| NoHome)?;
            (home.clone(), home)
        } else {
            let base = etcetera::choose_base_strategy().map_err(|_| NoHome)?;
            (base.config_dir().join(APPLICATION), base.data_dir().join(APPLICATION))
        };
        Ok(Self {
            config_file: config.join("config.toml"),
            keys: config.join("keys"),
            models: data.join("models"),
            profiles: data.join("profiles"),
            has_keyring: home.is_none(),
        })
    }
}

/// Creates `folder` and its parents, readable by the owner alone.
///
/// # Errors
/// The system's reason.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Writes `bytes` beside `path`, syncs them, and renames them into place, so that a crash leaves
/// either the old file or the new one. The file is readable by the owner alone.
///
/// # Errors
/// The system's reason.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomically_with(path, &mut |out| out.write_all(bytes))
}

/// As [`write_atomically`], with what `write` writes.
///
/// # Errors
/// The system's reason, or that of `write`.
pub fn write_atomically_with(
    path: &Path,
    write: &mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    let mut out = io::BufWriter::new(file.as_file_mut());
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?;
    persist_synced(file, path)
}

/// As [`write_atomically`], for one writer at a time: what a killed process leaves half-written has
/// one name, `.NAME.restpg-part`, which the next write takes over.
///
/// # Errors
/// The system's reason; nothing half-written is left then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    // A name that nobody else gives a file.
    let mut part = OsString::from(".");
    part.push(name);
    part.push(PART);
    let part = path.with_file_name(part);
    let written =
        write_synced(&part, bytes).and_then(|()| std::fs::rename(&part, path)).inspect_err(|_| {
            // The first error is the one to tell of.
            let _ = std::fs::remove_file(&part);
        });
    written?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Not the old file with its permissions.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Syncs a finished temporary file, renames it to `path`, and syncs the folder's entry.
fn persist_synced(file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_home_holds_everything() {
        let paths = Paths::resolve(Some(Path::new("/h"))).unwrap();
        assert_eq!(paths.config_file, Path::new("/h/config.toml"));
        assert_eq!(paths.models, Path::new("/h/models"));
        assert_eq!(paths.profiles, Path::new("/h/profiles"));
        assert_eq!(paths.keys, Path::new("/h/keys"));
    }

    #[test]
    fn an_atomic_write_replaces_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, b"first and long").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_replaced_file_takes_over_what_was_left_half_written_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (left, other) = (folder.path().join(".file.restpg-part"), path.with_extension("part"));
        std::fs::write(&left, b"half").unwrap();
        std::fs::write(&other, b"somebody's").unwrap();
        replace(&path, b"whole").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read(&other).unwrap(), b"somebody's");
        assert!(!left.exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(replace(Path::new("/"), b"").is_err());
    }
}
