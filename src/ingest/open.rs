//! Opening a file that other programs may replace meanwhile: never a link, never a pipe.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens the regular file `path`. Whatever has taken its place is refused, and nothing is waited
/// for: to open a pipe that nobody writes to would take for ever.
///
/// # Errors
/// The system's reason, or that it is no regular file.
pub(super) fn regular(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NONBLOCK | libc::O_NOFOLLOW,
    );
    let file = options.open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is a pipe, socket or device, not a file"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_followed_and_a_device_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(regular(&file).is_ok());
        assert!(regular(&link).is_err());
        assert!(regular(folder.path()).is_err());
        assert!(regular(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(regular(&pipe).is_err());
    }
}
