//! Marks inside a line of Org: links into their text, time stamps into days, emphasis and
//! footnote marks away. It knows one line, and nothing of what stands around it.

/// Marks of emphasis in emphasis.
const LEVELS_MAX: usize = 3;
/// Most bytes of a time stamp.
const STAMP_BYTES_MAX: usize = 64;
const EMPHASIS: [char; 6] = ['*', '/', '_', '+', '=', '~'];
const IMAGES: [&str; 6] = [".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp"];

/// The line as it is read aloud.
pub(super) fn plain(line: &str) -> String {
    inline(line, LEVELS_MAX)
}

fn inline(text: &str, levels: usize) -> String {
    let mut out = String::with_capacity(text.len());
    // Marks that nothing more in this line closes: looked for once, not at every opening.
    let mut unclosed = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['[', '<', '*', '/', '_', '+', '=', '~']) {
        out.push_str(&rest[..at]);
        let before = text[..text.len() - rest.len() + at].chars().next_back();
        rest = &rest[at..];
        let mark = rest.chars().next().unwrap_or_default();
        let found = match mark {
            '[' | '<' => stamp(rest)
                .or_else(|| link(rest, &mut unclosed))
                .or_else(|| footnote(rest, &mut unclosed)),
            _ if levels == 0 || !is_opening_place(before) => None,
            _ => emphasis(rest, mark, &mut unclosed, levels),
        };
        match found {
            Some((plain, length)) => {
                out.push_str(&plain);
                rest = &rest[length..];
            }
            None => {
                out.push(mark);
                rest = &rest[mark.len_utf8()..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// `<2020-05-06 Wed 10:00>` or in square brackets: the day, and the length of it all.
fn stamp(text: &str) -> Option<(String, usize)> {
    let day = text.get(1..11)?;
    let is_day = day.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let closing = if text.starts_with('[') { b']' } else { b'>' };
    let window = &text.as_bytes()[..text.len().min(STAMP_BYTES_MAX)];
    let end = window.iter().position(|byte| *byte == closing)?;
    (is_day && end >= 11).then(|| (day.to_owned(), end + 1))
}

/// `[[target][text]]` or `[[target]]`: the text, else the target; of an image nothing.
fn link(text: &str, unclosed: &mut String) -> Option<(String, usize)> {
    let inner = text.strip_prefix("[[")?;
    if unclosed.contains(']') {
        return None;
    }
    let Some(end) = inner.find("]]") else {
        unclosed.push(']');
        return None;
    };
    let length = 2 + end + 2;
    let (target, label) = match inner[..end].split_once("][") {
        Some((target, label)) => (target, Some(label)),
        None => (&inner[..end], None),
    };
    let is_image = IMAGES.iter().any(|ending| target.to_ascii_lowercase().ends_with(ending));
    let plain = match label {
        Some(label) => label,
        None if is_image => "",
        None => target,
    };
    Some((plain.to_owned(), length))
}

/// `[fn:name]`: nothing. `[fn:name: text]` is a note in place, and stays in brackets.
fn footnote(text: &str, unclosed: &mut String) -> Option<(String, usize)> {
    let inner = text.strip_prefix("[fn:")?;
    if unclosed.contains('f') {
        return None;
    }
    let Some(end) = inner.find(']') else {
        unclosed.push('f');
        return None;
    };
    let plain = match inner[..end].split_once(':') {
        Some((_, note)) => format!("({})", note.trim()),
        None => String::new(),
    };
    Some((plain, "[fn:".len() + end + 1))
}

/// `*text*` and the like: the text, and the length of it all.
fn emphasis(
    text: &str,
    mark: char,
    unclosed: &mut String,
    levels: usize,
) -> Option<(String, usize)> {
    let inner = &text[mark.len_utf8()..];
    if unclosed.contains(mark) || inner.starts_with(|char: char| char.is_whitespace()) {
        return None;
    }
    // A closing mark depends on what is around it only, so that one search tells for all.
    let mut from = 0;
    while let Some(at) = inner[from..].find(mark) {
        let at = from + at;
        let is_after_text = !inner[..at].ends_with(char::is_whitespace);
        let after = inner[at + mark.len_utf8()..].chars().next();
        if is_after_text && is_closing_place(after) {
            if at == 0 {
                return None;
            }
            let content = &inner[..at];
            let plain = match mark {
                '=' | '~' => content.to_owned(),
                _ => inline(content, levels - 1),
            };
            return Some((plain, at + 2 * mark.len_utf8()));
        }
        from = at + mark.len_utf8();
    }
    unclosed.push(mark);
    None
}

fn is_opening_place(before: Option<char>) -> bool {
    before.is_none_or(|char| {
        char.is_whitespace()
            || matches!(char, '-' | '(' | '{' | '\'' | '"' | '“' | '‘')
            || EMPHASIS.contains(&char)
    })
}

fn is_closing_place(after: Option<char>) -> bool {
    after.is_none_or(|char| {
        char.is_whitespace()
            || matches!(char, '-' | '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '"' | ')' | '}')
            || matches!(char, '[' | '\\' | '”' | '’' | '…')
            || EMPHASIS.contains(&char)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_their_text() {
        assert_eq!(plain("See [[https://a.example/b_c][the page]]."), "See the page.");
        assert_eq!(plain("See [[https://a.example]]."), "See https://a.example.");
        assert_eq!(plain("[[file:cat.PNG]]Cat [[x][y"), "Cat [[x][y");
    }

    #[test]
    fn stamps_become_days() {
        assert_eq!(
            plain("On <2020-05-06 Wed 10:00 +1w> and [2020-05-07]"),
            "On 2020-05-06 and 2020-05-07"
        );
        assert_eq!(plain("<2020-05> [2020-05-06"), "<2020-05> [2020-05-06");
        assert_eq!(plain("<é2020-05-06>"), "<é2020-05-06>");
    }

    #[test]
    fn emphasis_goes_and_signs_stay() {
        assert_eq!(plain("A *bold* and /slanted/ =a_b=, ~c~."), "A bold and slanted a_b, c.");
        assert_eq!(plain("*a /b/ c*"), "a b c");
        for line in ["2 * 3 * 4", "and/or this/that", "/usr/lib/x", "snake_case_name", "a =", "**"]
        {
            assert_eq!(plain(line), line);
        }
    }

    #[test]
    fn marks_of_notes_go() {
        assert_eq!(
            plain("So it was.[fn:1] And[fn:: not quite] on."),
            "So it was. And(not quite) on."
        );
    }

    #[test]
    fn a_line_of_marks_is_read_in_a_pass() {
        for piece in ["[[", "[[a]", "*a ", "*a* ", "[fn:", "/", "<2020-05-06", "é*"] {
            let line = piece.repeat(100_000);
            assert!(plain(&line).len() <= line.len());
        }
    }
}
