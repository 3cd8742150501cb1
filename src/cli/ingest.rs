//! `restpg-edge ingest …`

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Context;
use super::args::IngestArguments;
use super::interrupt::{self, INTERRUPT};
use super::output::visible;
use super::{ingest_report, retrieval, watch};
use crate::error::{Error, Exit, Explain};
use crate::ingest::{self, Columns, Input, Kind, Report, Request};
use crate::profile::{ProfileStore, Protection, User, protection, users};

/// How often `--wait` tries again while another command changes the profile, and how long it tries:
/// ten minutes.
const WAIT_SLICE: Duration = Duration::from_millis(50);
const WAIT_SLICES_MAX: i32 = 10 * 60 * 20;

/// What an ingest as a whole complains of.
#[derive(Debug, thiserror::Error)]
enum InputError {
    #[error("cannot read standard input")]
    Stdin(#[source] std::io::Error),
    #[error("standard input is longer than {} MiB", bytes_max >> 20)]
    TooLong { bytes_max: u64 },
    #[error("no such file or folder: {paths}")]
    NothingThere { paths: String },
    #[error("there is no file or folder to watch")]
    NothingToWatch,
    #[error("cannot tell where this program lies")]
    NoProgram(#[source] std::io::Error),
    #[error("left out: {lost} files or lines; the rest is stored")]
    Lost { lost: usize },
}

impl Explain for InputError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Stdin(_) => "unreadable_stdin",
            Self::TooLong { .. } => "stdin_too_long",
            Self::NothingThere { .. } => "no_such_path",
            Self::NothingToWatch => "nothing_to_watch",
            Self::NoProgram(_) => "no_program",
            Self::Lost { .. } => "left_out",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Stdin(_) | Self::NoProgram(_) => Exit::Failed,
            Self::NothingToWatch => Exit::Usage,
            Self::TooLong { .. } | Self::NothingThere { .. } | Self::Lost { .. } => {
                Exit::InvalidData
            }
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Stdin(_) | Self::NoProgram(_) => None,
            Self::TooLong { .. } => {
                Some("Split it, or raise [ingest] file_mib_max in the config file.".into())
            }
            Self::NothingThere { .. } => Some("Check the path.".into()),
            Self::NothingToWatch => Some("Name a file or a folder beside `-`.".into()),
            Self::Lost { .. } => Some("Mend what is named and run the same command again.".into()),
        }
    }
}

pub(super) fn run(context: &Context, arguments: IngestArguments) -> Result<Option<Exit>, Error> {
    let user = User::parse(&arguments.user)?;
    let (is_patient, is_watching) = (arguments.wait, arguments.watch);
    if is_watching && arguments.paths.iter().all(|path| is_stdin(path)) {
        return Err(InputError::NothingToWatch.into());
    }
    let request = request(context, arguments)?;
    // A mistyped path must not bring a profile into being.
    let missing: Vec<&PathBuf> = request.inputs.iter().filter_map(missing_path).collect();
    if missing.len() == request.inputs.len() {
        let names: Vec<String> = missing.iter().map(|path| path.display().to_string()).collect();
        return Err(InputError::NothingThere { paths: names.join(", ") }.into());
    }
    let is_new = !users(&context.paths)?.contains(&user);
    let mut store = ProfileStore::open_or_create(&context.paths, &user, &context.secrets)?;
    if is_new {
        say_how_the_key_is_kept(context, &user)?;
    }
    if is_patient {
        store.wait_for_writers(goes_on_waiting)?;
    }
    interrupt::install();
    let report = match pass(context, &mut store, &request) {
        Err(error) if is_busy(&error) && INTERRUPT.load(Ordering::Relaxed) => {
            return Ok(Some(Exit::Interrupted));
        }
        result => result?,
    };
    ingest_report::show(context, &user, &report)?;
    if report.interrupted {
        return Ok(Some(Exit::Interrupted));
    }
    if is_watching {
        return watch::follow(context, &mut store, request, &report).map(|()| None);
    }
    match report.lost() {
        0 => Ok(None),
        lost => Err(InputError::Lost { lost }.into()),
    }
}

fn goes_on_waiting(times: i32) -> bool {
    std::thread::sleep(WAIT_SLICE);
    times < WAIT_SLICES_MAX && !INTERRUPT.load(Ordering::Relaxed)
}

/// Whether another command is changing the profile.
pub(super) fn is_busy(error: &Error) -> bool {
    error.inner().kind() == "profile_busy"
}

fn say_how_the_key_is_kept(context: &Context, user: &User) -> Result<(), Error> {
    if protection(&context.paths, user)? == Protection::Permissions && context.paths.has_keyring {
        context.output.note(&format!(
            "no keyring of this system can be used (-v says why): the key of {user} lies in a file \
             that you alone may read; `restpg-edge profile protect --user {user:?}` seals it with \
             a passphrase",
            user = user.as_str()
        ));
    }
    Ok(())
}

/// Takes everything in once, showing how far it has come.
pub(super) fn pass(
    context: &Context,
    store: &mut ProfileStore,
    request: &Request,
) -> Result<Report, Error> {
    let bar = context.output.count_bar("reading");
    let result = ingest::ingest(store, request, &INTERRUPT, &mut |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.suspend(|| {
            for place in progress.stored {
                context.output.detail(&format!("stored {}", visible(place)));
            }
        });
    });
    bar.finish_and_clear();
    let report = result?;
    if !report.interrupted {
        retrieval::index_after_ingest(context, store);
    }
    Ok(report)
}

fn request(context: &Context, arguments: IngestArguments) -> Result<Request, InputError> {
    let config = &context.config.ingest;
    let file_bytes_max = u64::from(config.file_mib_max) << 20;
    let mut inputs = Vec::new();
    for path in arguments.paths {
        inputs.push(if is_stdin(&path) {
            Input::Stdin(read_stdin(file_bytes_max)?)
        } else {
            Input::Path(path)
        });
    }
    Ok(Request {
        inputs,
        // Any other name is `auto`.
        kind: Kind::named(&arguments.kind),
        person: arguments.person,
        me: arguments.me,
        columns: Columns {
            text: arguments.text_column,
            title: arguments.title_column,
            date: arguments.date_column,
        },
        prune: arguments.prune,
        chunk_tokens: config.chunk_tokens as usize,
        file_bytes_max,
        reader: Some(std::env::current_exe().map_err(InputError::NoProgram)?),
        reader_mib_max: config.reader_mib_max,
        reader_seconds_max: config.reader_seconds_max,
    })
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// The path, where it names nothing at all.
fn missing_path(input: &Input) -> Option<&PathBuf> {
    let Input::Path(path) = input else { return None };
    let error = std::fs::symlink_metadata(path).err()?;
    (error.kind() == std::io::ErrorKind::NotFound).then_some(path)
}

fn read_stdin(bytes_max: u64) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    std::io::stdin().take(bytes_max + 1).read_to_end(&mut bytes).map_err(InputError::Stdin)?;
    if bytes.len() as u64 > bytes_max {
        return Err(InputError::TooLong { bytes_max });
    }
    Ok(bytes)
}
