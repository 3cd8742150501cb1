//! Files below a path: regular ones with an ending of ours, in a stable order.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::{Kind, Problem, problem};

/// Folders below folders; a deeper tree is a mistake or a trap.
const DEPTH_MAX: usize = 64;

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: Vec<(PathBuf, Kind)>,
    /// Files in folders whose endings are none of ours.
    pub(super) skipped: usize,
    pub(super) problems: Vec<Problem>,
}

/// The files at or below `path`. A file that is named is read whatever its ending, as `kind` or
/// as plain text; in a folder the ending must be one of ours, or `kind` given. Hidden files and
/// symbolic links in folders are left alone, and pipes and devices are refused.
pub(super) fn files(path: &Path, kind: Option<Kind>) -> Found {
    let mut found = Found::default();
    let name = path.display().to_string();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            found.problems.push(problem(&name, None, error.to_string()));
            return found;
        }
    };
    if metadata.is_file() {
        let kind = kind.or_else(|| Kind::of(path)).unwrap_or(Kind::Text);
        found.files.push((path.to_owned(), kind));
    } else if metadata.is_dir() {
        walk(path, kind, &mut found);
    } else {
        let message = "it is a pipe, socket or device, not a file".to_owned();
        found.problems.push(problem(&name, None, message));
    }
    found
}

fn walk(folder: &Path, kind: Option<Kind>, found: &mut Found) {
    let hidden = |entry: &DirEntry| {
        entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
    };
    let entries = WalkDir::new(folder)
        .max_depth(DEPTH_MAX)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !hidden(entry));
    for entry in entries {
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                match kind.or_else(|| Kind::of(entry.path())) {
                    Some(kind) => found.files.push((entry.into_path(), kind)),
                    None => found.skipped += 1,
                }
            }
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(_) => found.skipped += 1,
            Err(error) => {
                let place = error.path().unwrap_or(folder).display().to_string();
                let reason = error
                    .io_error()
                    .map_or_else(|| "it cannot be walked".to_owned(), ToString::to_string);
                found.problems.push(problem(&place, None, reason));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_visible_writings_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir_all(path.join("sub/.git")).unwrap();
        for name in ["b.md", "a.txt", "sub/c.JSONL", "image.png", ".hidden.md", "sub/.git/d.md"] {
            fs::write(path.join(name), "x").unwrap();
        }
        let found = files(path, None);
        let names: Vec<String> = found
            .files
            .iter()
            .map(|(file, _)| file.strip_prefix(path).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a.txt", "b.md", "sub/c.JSONL"]);
        assert_eq!(found.skipped, 1);
        assert!(found.problems.is_empty());
    }

    #[test]
    fn a_named_file_is_read_whatever_its_ending() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("LETTER");
        fs::write(&file, "x").unwrap();
        assert_eq!(files(&file, None).files, [(file, Kind::Text)]);
    }

    #[test]
    fn what_is_not_there_is_a_problem() {
        let found = files(Path::new("/no/such/path"), None);
        assert_eq!(found.problems.len(), 1);
        assert!(found.files.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_refused() {
        assert_eq!(files(Path::new("/dev/null"), None).problems.len(), 1);
    }
}
