//! Patches by mail: the message of the commit is prose, the patch below it is not.

use super::line::visible;

/// Lines below `---` among which the summary of the changes begins.
const SUMMARY_LINES_MAX: usize = 6;
/// What the last lines of a commit's message are labelled with.
const TRAILERS: [&str; 10] = [
    "fixes",
    "link",
    "closes",
    "cc",
    "change-id",
    "bug",
    "see-also",
    "references",
    "base-commit",
    "message-id",
];

/// `lines` without the patch in them, and without the trailers above it.
pub(super) fn without(mut lines: Vec<String>) -> Vec<String> {
    if let Some(at) = (0..lines.len()).find(|&at| begins_patch(&lines, at)) {
        lines.truncate(at);
        drop_trailers(&mut lines);
    }
    lines.retain(|line| !is_sign_off(line));
    lines
}

/// Who wrote the commit, where the message says that it was not its sender: `From: Ann <a@x>` as
/// the first line. Returns the number of that line, and the address in lower case.
pub(super) fn author(lines: &[String]) -> Option<(usize, String)> {
    let at = lines.iter().position(|line| !line.trim().is_empty())?;
    let written = lines[at].strip_prefix("From: ")?;
    let (_, address) = written.split_once('<')?;
    let address = address.trim_end().strip_suffix('>')?;
    address.contains('@').then(|| (at, address.to_lowercase()))
}

fn begins_patch(lines: &[String], at: usize) -> bool {
    let line = lines[at].trim_end();
    let next = lines.get(at + 1).map(String::as_str).unwrap_or_default();
    line.starts_with("diff --git ")
        || (line.starts_with("--- a/") && next.starts_with("+++ b/"))
        || (line.starts_with("Index: ") && next.starts_with("====="))
        || (line == "---" && is_summary_below(lines, at))
}

fn is_summary_below(lines: &[String], at: usize) -> bool {
    let below = lines[at + 1..].iter().take(SUMMARY_LINES_MAX);
    below.map(|line| line.trim()).any(|line| {
        let changes = line.rsplit_once(" | ").map(|(_, changes)| changes.trim_start());
        let is_stat = changes.is_some_and(|changes| {
            changes.starts_with(|char: char| char.is_ascii_digit()) || changes.starts_with("Bin")
        });
        is_stat
            || line.starts_with("diff --git ")
            || line.contains(" file changed,")
            || line.contains(" files changed,")
    })
}

/// `Signed-off-by: Ann Bee <ann@x>` and the like, which mean no words.
fn is_sign_off(line: &str) -> bool {
    let Some((label, value)) = line.split_once(": ") else { return false };
    let is_label = label.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    is_label && label.to_ascii_lowercase().ends_with("-by") && value.contains(['<', '@'])
}

fn drop_trailers(lines: &mut Vec<String>) {
    let is_trailer = |line: &String| {
        let line = visible(line).to_lowercase();
        let label = line.split_once(':').map(|(label, _)| label).unwrap_or_default();
        line.is_empty() || is_sign_off(&line) || TRAILERS.contains(&label)
    };
    while lines.last().is_some_and(is_trailer) {
        lines.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> String {
        without(text.lines().map(str::to_owned).collect()).join("\n")
    }

    #[test]
    fn the_message_of_a_commit_stays() {
        let text = "Read the last line too.\n\nFixes: 1234 (\"x\")\nSigned-off-by: Mara <m@x>\n---\n \
                    a.c | 2 +-\n 1 file changed, 1 insertion(+)\n\ndiff --git a/a.c b/a.c\n-x\n+y\n-- \n2.25\n";
        assert_eq!(kept(text), "Read the last line too.");
        assert_eq!(kept("See below.\n\n--- a/x.c\n+++ b/x.c\n+y"), "See below.");
    }

    #[test]
    fn what_is_no_patch_stays() {
        for text in ["One.\n---\nTwo.", "Index: of names\nthe book", "Stand by: it is <late>"] {
            assert_eq!(kept(text), text);
        }
        assert_eq!(kept("Good.\n\nReviewed-by: Mara <m@x>\n"), "Good.\n");
    }

    #[test]
    fn the_author_may_be_somebody_else() {
        let lines = ["".to_owned(), "From: Ann Bee <Ann@x.example>".to_owned(), "Text".to_owned()];
        assert_eq!(author(&lines), Some((1, "ann@x.example".to_owned())));
        assert_eq!(author(&["From: the top".to_owned()]), None);
    }
}
