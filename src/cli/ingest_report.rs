//! What an ingest did, as a person or a script reads it.
//!
//! Names of files are somebody else's text: what a terminal would obey is shown, not sent.

use serde_json::json;

use super::Context;
use super::output::visible;
use crate::error::Error;
use crate::ingest::{Kind, KindReport, Problem, Report};
use crate::profile::User;

/// Lines of the summary fit a narrow terminal.
const WIDTH: usize = 60;
const LABEL_WIDTH: usize = 20;
const COLUMN_WIDTH: usize = 10;
const COLUMNS_MAX: usize = (WIDTH - LABEL_WIDTH) / COLUMN_WIDTH;
/// Problems that are shown of many; `--json` has all.
const LOSSES_SHOWN: usize = 200;
const NOTES_SHOWN: usize = 20;

/// A row of the table: its label, its number for a kind, and whether it is there when it is 0.
type Row = (&'static str, fn(&KindReport) -> usize, bool);

const ROWS: [Row; 10] = [
    ("files read", |kind| kind.files_ingested, true),
    ("files unchanged", |kind| kind.files_unchanged, false),
    ("files failed", |kind| kind.files_failed, false),
    ("documents", |kind| kind.documents.documents(), true),
    ("  new", |kind| kind.documents.added, true),
    ("  unchanged", |kind| kind.documents.unchanged, false),
    ("  already there", |kind| kind.documents.duplicates, false),
    ("  near-duplicates", |kind| kind.documents.near_duplicates, false),
    ("  forgotten", |kind| kind.documents.forgotten, false),
    ("removed", |kind| kind.documents.removed, false),
];

/// Shows the whole report.
pub(super) fn show(context: &Context, user: &User, report: &Report) -> Result<(), Error> {
    let output = &context.output;
    if output.json {
        return output.object(&as_json(user, report));
    }
    for line in complaints(report) {
        output.note(&line);
    }
    for line in table(report) {
        output.note(&line);
    }
    output.note(&wrapped("files:", &files(report)));
    output.note(&wrapped("documents:", &documents(report)));
    Ok(())
}

/// Shows what changed while a folder is watched, in one line.
pub(super) fn show_change(context: &Context, user: &User, report: &Report) -> Result<(), Error> {
    let output = &context.output;
    if output.json {
        return output.object(&as_json(user, report));
    }
    for line in complaints(report) {
        output.note(&line);
    }
    let (files, documents) = (files(report).join(", "), documents(report).join(", "));
    output.note(&format!("files: {files}; documents: {documents}"));
    Ok(())
}

fn as_json(user: &User, report: &Report) -> serde_json::Value {
    json!({
        "user": user.as_str(),
        "files": {
            "ingested": report.files_ingested,
            "unchanged": report.files_unchanged,
            "skipped": report.files_skipped,
            "failed": report.files_failed,
            "pruned": report.files_pruned,
        },
        "documents": report.documents,
        "by_kind": report.by_kind,
        "me": report.me,
        "problems": report.problems,
        "notes": report.notes,
        "interrupted": report.interrupted,
    })
}

/// What could not be used, and what a person should know, line by line.
fn complaints(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if report.interrupted {
        lines.push("interrupted; run the same command again for the rest".to_owned());
    }
    for (lost, most, what) in [(true, LOSSES_SHOWN, "left out"), (false, NOTES_SHOWN, "note")] {
        let problems: Vec<&Problem> =
            report.problems.iter().filter(|problem| problem.lost == lost).collect();
        lines.extend(problems.iter().take(most).map(|problem| describe(problem)));
        if problems.len() > most {
            let more = problems.len() - most;
            lines.push(format!("{what}: {more} more like these; --json names all"));
        }
    }
    lines.extend(report.notes.iter().map(|note| format!("note: {}", visible(note))));
    match report.documents.drafts_removed {
        0 => {}
        count => lines.push(format!(
            "note: {count} drafts had been written from documents that are gone, and went with them"
        )),
    }
    match report.documents.adapters_invalidated {
        0 => {}
        count => lines.push(format!(
            "note: {count} adapters had learned from documents that are gone, and are now invalid"
        )),
    }
    lines
}

fn describe(problem: &Problem) -> String {
    let place = match problem.line {
        Some(line) => format!("{}:{line}", problem.path),
        None => problem.path.clone(),
    };
    let weight = if problem.lost { "left out" } else { "note" };
    visible(&format!("{weight}: {place}: {}", problem.message))
}

/// The kinds side by side, as many as fit, then the next ones.
fn table(report: &Report) -> Vec<String> {
    let kinds: Vec<(&Kind, &KindReport)> = report.by_kind.iter().collect();
    let mut lines = Vec::new();
    for some in kinds.chunks(COLUMNS_MAX) {
        let names = some.iter().map(|(kind, _)| kind.name().to_owned());
        lines.push(row("", names));
        for (label, number, always) in ROWS {
            if always || some.iter().any(|(_, kind)| number(kind) > 0) {
                lines.push(row(label, some.iter().map(|(_, kind)| number(kind).to_string())));
            }
        }
    }
    lines
}

fn row(label: &str, cells: impl Iterator<Item = String>) -> String {
    let mut line = format!("{label:<LABEL_WIDTH$}");
    for cell in cells {
        line.push_str(&format!("{cell:>COLUMN_WIDTH$}"));
    }
    line
}

fn files(report: &Report) -> Vec<String> {
    let mut parts = vec![
        format!("{} read", report.files_ingested),
        format!("{} unchanged", report.files_unchanged),
        format!("{} of other kinds", report.files_skipped),
        format!("{} failed", report.files_failed),
    ];
    if report.files_pruned > 0 {
        parts.push(format!("{} gone", report.files_pruned));
    }
    parts
}

fn documents(report: &Report) -> Vec<String> {
    let documents = &report.documents;
    let mut parts = vec![
        format!("{} new", documents.added),
        format!("{} as before", documents.unchanged),
        format!("{} stored already", documents.duplicates),
        format!("{} removed", documents.removed),
    ];
    if documents.near_duplicates > 0 {
        parts.push(format!("{} nearly as one stored already", documents.near_duplicates));
    }
    if documents.forgotten > 0 {
        parts.push(format!("{} kept out, being forgotten", documents.forgotten));
    }
    parts
}

/// The parts after the label, with commas, on lines that fit.
fn wrapped(label: &str, parts: &[String]) -> String {
    let mut text = label.to_owned();
    let mut width = label.len();
    for (index, part) in parts.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        text.push_str(comma);
        if width + comma.len() + 1 + part.len() >= WIDTH {
            text.push_str("\n  ");
            width = 2;
        } else {
            text.push(' ');
            width += comma.len() + 1;
        }
        text.push_str(part);
        width += part.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Applied;

    fn report_of(kinds: &[Kind]) -> Report {
        let documents = Applied { added: 123_456, near_duplicates: 1, ..Applied::default() };
        let of_kind = KindReport { files_ingested: 123_456, documents, ..KindReport::default() };
        Report {
            files_ingested: 123_456 * kinds.len(),
            files_skipped: 123_456,
            documents,
            by_kind: kinds.iter().map(|kind| (*kind, of_kind)).collect(),
            ..Report::default()
        }
    }

    #[test]
    fn the_summary_fits_sixty_columns_whatever_it_counts() {
        for count in [1, 4, 5, Kind::ALL.len()] {
            let report = report_of(&Kind::ALL[..count]);
            let mut lines = table(&report);
            for text in
                [wrapped("files:", &files(&report)), wrapped("documents:", &documents(&report))]
            {
                lines.extend(text.lines().map(str::to_owned));
            }
            for line in &lines {
                assert!(line.len() <= WIDTH, "{line:?}");
            }
        }
    }

    #[test]
    fn the_table_has_a_column_for_each_kind_and_no_row_of_nothing() {
        let lines = table(&report_of(&[Kind::Text, Kind::Mail]));
        assert!(lines[0].contains("text") && lines[0].contains("mail"), "{lines:?}");
        let labels: Vec<&str> = lines.iter().map(|line| line[..LABEL_WIDTH].trim()).collect();
        assert_eq!(labels, ["", "files read", "documents", "new", "near-duplicates"]);
        assert!(table(&Report::default()).is_empty());
    }

    #[test]
    fn a_file_name_cannot_command_the_terminal_or_forge_a_line() {
        let name = visible("a\nstored b\x1b[2J\u{202e}é.txt");
        assert_eq!(name, "a\\nstored b\\u{1b}[2J\\u{202e}é.txt");
    }

    #[test]
    fn losses_are_told_before_notes_and_many_are_told_as_some() {
        let problem = |lost| Problem { path: "/a".into(), line: None, message: "m".into(), lost };
        let mut problems = vec![problem(false); NOTES_SHOWN + 2];
        problems.push(problem(true));
        let lines = complaints(&Report { problems, ..Report::default() });
        assert_eq!(lines[0], "left out: /a: m");
        assert_eq!(lines.len(), 1 + NOTES_SHOWN + 1);
        assert!(lines[NOTES_SHOWN + 1].contains("2 more"), "{lines:?}");
    }
}
