//! A file over HTTP, resumed where an earlier attempt stopped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode};

use super::CatalogueError;
use super::pull::Progress;

const BUFFER_BYTES: usize = 1 << 18;
/// Attempts in a row that bring nothing new before a download is given up.
const FRUITLESS_ATTEMPTS_MAX: u32 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection that is silent for longer is broken.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
const HUB: &str = "https://huggingface.co";
/// The hub's headers for the hash and the size of the file behind a redirect.
const LINKED_ETAG: &str = "x-linked-etag";
const LINKED_SIZE: &str = "x-linked-size";

/// What the hub says of a file before it is downloaded.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) url: String,
    /// `None` where the hub announces none.
    pub(super) sha256: Option<String>,
    pub(super) size_bytes: Option<u64>,
}

/// The address of a file of the hub.
pub(super) fn address(repository: &str, file: &str) -> String {
    format!("{}/{repository}/resolve/main/{file}", hub())
}

/// Asks the hub for the hash and the size of a file.
pub(super) fn announce(repository: &str, file: &str) -> Result<Announcement, CatalogueError> {
    let url = address(repository, file);
    let agent = agent(0);
    let response =
        authorized(agent.head(&url), &url).call().map_err(|error| failed(&url, &error))?;
    let status = response.status();
    if !(status.is_success() || status.is_redirection()) {
        return Err(refused(&url, status));
    }
    let header = |name: &str| text_header(response.headers(), name);
    let etag = header(LINKED_ETAG).or_else(|| header("etag"));
    let sha256 = etag.map(|etag| etag.trim_matches('"').to_ascii_lowercase());
    let is_sha256 = |hex: &String| hex.len() == 64 && hex.bytes().all(|it| it.is_ascii_hexdigit());
    let sha256 = sha256.filter(is_sha256);
    let size_bytes = header(LINKED_SIZE).and_then(|size| size.parse().ok());
    Ok(Announcement { url, sha256, size_bytes })
}

/// How one attempt to download ended.
enum Attempt {
    Complete,
    /// The connection broke; so many bytes are there now.
    Broken(u64, CatalogueError),
}

/// Downloads `url` to the end of the file at `partial`, going on where an earlier attempt stopped.
pub(super) fn fetch(
    url: &str,
    partial: &Path,
    progress: &mut Progress<'_>,
) -> Result<(), CatalogueError> {
    let (mut have, mut fruitless) = (0, 0);
    loop {
        match fetch_once(url, partial, progress)? {
            Attempt::Complete => return Ok(()),
            Attempt::Broken(now, error) => {
                progress.advance(now)?;
                fruitless = if now > have { 0 } else { fruitless + 1 };
                have = now;
                if fruitless == FRUITLESS_ATTEMPTS_MAX {
                    return Err(error);
                }
                tracing::info!("{error}; trying again");
            }
        }
    }
}

fn fetch_once(
    url: &str,
    partial: &Path,
    progress: &mut Progress<'_>,
) -> Result<Attempt, CatalogueError> {
    let unwritable = |source| CatalogueError::io(partial, source);
    let mut file =
        OpenOptions::new().create(true).append(true).open(partial).map_err(unwritable)?;
    let have = file.seek(SeekFrom::End(0)).map_err(unwritable)?;
    // Compressed on the way, lengths and ranges would not be the file's.
    let mut request = authorized(agent(10).get(url), url).header("accept-encoding", "identity");
    if have > 0 {
        request = request.header("range", format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(error) => return Ok(Attempt::Broken(have, failed(url, &error))),
    };
    let status = response.status();
    let resumed = status == StatusCode::PARTIAL_CONTENT
        && text_header(response.headers(), "content-range")
            .is_some_and(|range| range.starts_with(&format!("bytes {have}-")));
    let start = match status {
        _ if resumed => have,
        StatusCode::OK => 0,
        StatusCode::RANGE_NOT_SATISFIABLE => {
            // Either the file is complete or it is not the same file; its hash will tell.
            return Ok(Attempt::Complete);
        }
        status if status.is_server_error() => {
            return Ok(Attempt::Broken(have, refused(url, status)));
        }
        status => return Err(refused(url, status)),
    };
    file.set_len(start).map_err(unwritable)?;
    let length = response.body().content_length();
    progress.expect(length.map(|length| start + length));
    let broken = copy(response.into_body().into_reader(), start, &mut file, partial, progress)?;
    let end = file.seek(SeekFrom::End(0)).map_err(unwritable)?;
    let missing = length.is_some_and(|length| end < start + length);
    let reason = match broken {
        Some(reason) => reason,
        None if missing => format!("the connection ended after {end} bytes"),
        None => return Ok(Attempt::Complete),
    };
    Ok(Attempt::Broken(end, CatalogueError::Download { url: url.to_owned(), reason }))
}

/// Copies the body to the file; returns why it broke off, if it did.
fn copy(
    mut body: impl Read,
    start: u64,
    file: &mut File,
    partial: &Path,
    progress: &mut Progress<'_>,
) -> Result<Option<String>, CatalogueError> {
    let unwritable = |source| CatalogueError::io(partial, source);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut done = start;
    let broken = loop {
        match body.read(&mut buffer) {
            Ok(0) => break None,
            Ok(read) => {
                file.write_all(&buffer[..read]).map_err(unwritable)?;
                done += read as u64;
                progress.advance(done)?;
            }
            Err(error) => break Some(error.to_string()),
        }
    };
    file.sync_all().map_err(unwritable)?;
    Ok(broken)
}

fn agent(redirects_max: u32) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .max_redirects(redirects_max)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT))
        .user_agent("restpg-edge")
        .build();
    config.into()
}

fn hub() -> String {
    let hub = std::env::var("HF_ENDPOINT").unwrap_or_else(|_| HUB.to_owned());
    hub.trim_end_matches('/').to_owned()
}

/// Adds the person's hub token, where there is one, to a request to the hub itself over an
/// encrypted connection; it never follows a redirect to another host.
fn authorized<Any>(request: ureq::RequestBuilder<Any>, url: &str) -> ureq::RequestBuilder<Any> {
    let to_the_hub = url.starts_with("https://") && url.starts_with(&format!("{}/", hub()));
    match std::env::var("HF_TOKEN") {
        Ok(token) if to_the_hub && !token.is_empty() => {
            request.header("authorization", format!("Bearer {token}"))
        }
        _ => request,
    }
}

fn text_header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn failed(url: &str, error: &ureq::Error) -> CatalogueError {
    CatalogueError::Download { url: url.to_owned(), reason: error.to_string() }
}

fn refused(url: &str, status: StatusCode) -> CatalogueError {
    let reason = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("{status}; if the model is gated, accept its terms and set HF_TOKEN")
        }
        status => status.to_string(),
    };
    CatalogueError::Download { url: url.to_owned(), reason }
}
