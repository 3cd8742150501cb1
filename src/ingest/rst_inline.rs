//! Marks inside a line of reStructuredText: roles and links into their text, emphasis and
//! footnote marks away. It knows one line; what a mark opens and the next line closes stays.

/// Most bytes of the name of a role or a footnote.
const NAME_BYTES_MAX: usize = 64;

/// The line as it is read aloud.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Marks that nothing more in this line closes: looked for once, not at every opening.
    let mut unclosed: Vec<&'static str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', ':', '|', '\\', '_', '[']) {
        out.push_str(&rest[..at]);
        let before = text[..text.len() - rest.len() + at].chars().next_back();
        rest = &rest[at..];
        let found = match rest.as_bytes()[0] {
            b'\\' => escaped(rest),
            b'_' => reference_end(rest, before),
            b'[' => footnote(rest),
            _ if !is_opening_place(before) => None,
            b':' => role(rest, &mut unclosed),
            b'`' => literal(rest, &mut unclosed).or_else(|| phrase(rest, &mut unclosed)),
            b'*' => {
                between(rest, "**", &mut unclosed).or_else(|| between(rest, "*", &mut unclosed))
            }
            _ => between(rest, "|", &mut unclosed),
        };
        let (plain, length) = found.unwrap_or((&rest[..1], 1));
        out.push_str(plain);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// What stands up to `mark`, which is looked for once more only if it was found before.
fn up_to<'a>(
    text: &'a str,
    mark: &'static str,
    unclosed: &mut Vec<&'static str>,
) -> Option<&'a str> {
    if unclosed.contains(&mark) {
        return None;
    }
    let end = text.find(mark);
    if end.is_none() {
        unclosed.push(mark);
    }
    Some(&text[..end?])
}

/// A backslash takes the meaning from the next sign, and removes a space.
fn escaped(text: &str) -> Option<(&str, usize)> {
    let next = text[1..].chars().next()?;
    let length = 1 + next.len_utf8();
    Some((if next.is_whitespace() { "" } else { &text[1..length] }, length))
}

/// The underscore behind a word that is a link.
fn reference_end(text: &str, before: Option<char>) -> Option<(&str, usize)> {
    let length = if text.starts_with("__") { 2 } else { 1 };
    let is_after_word = before.is_some_and(char::is_alphanumeric);
    let is_end = text[length..].chars().next().is_none_or(|char| {
        char.is_whitespace() || matches!(char, '.' | ',' | ';' | ':' | '!' | '?' | ')' | '\'' | '"')
    });
    (is_after_word && is_end).then_some(("", length))
}

/// `[1]_`, `[#name]_`, `[Author2020]_`: nothing.
fn footnote(text: &str) -> Option<(&str, usize)> {
    let window = &text.as_bytes()[..text.len().min(NAME_BYTES_MAX)];
    let end = window.iter().position(|byte| *byte == b']')?;
    (text.as_bytes().get(end + 1) == Some(&b'_')).then_some(("", end + 2))
}

/// ``:role:`text` `` or ``:role:`text <target>` ``: the text.
fn role<'a>(text: &'a str, unclosed: &mut Vec<&'static str>) -> Option<(&'a str, usize)> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.+:".contains(byte);
    let name = text.bytes().take(NAME_BYTES_MAX).take_while(|byte| is_name(byte)).count();
    let inner = text[name..].strip_prefix('`')?;
    if name < 3 || !text[..name].ends_with(':') {
        return None;
    }
    let content = up_to(inner, "`", unclosed)?;
    let shown = without_target(content).trim_start_matches(['~', '!']);
    Some((shown, name + 1 + content.len() + 1))
}

/// ` ``code`` `: what is in it.
fn literal<'a>(text: &'a str, unclosed: &mut Vec<&'static str>) -> Option<(&'a str, usize)> {
    let content = up_to(text.strip_prefix("``")?, "``", unclosed)?;
    Some((content, content.len() + 4))
}

/// `` `text <target>`_ ``, `` `text`__ ``, `` `text`:role: ``: the text.
fn phrase<'a>(text: &'a str, unclosed: &mut Vec<&'static str>) -> Option<(&'a str, usize)> {
    let content = up_to(&text[1..], "`", unclosed)?;
    if content.is_empty() {
        return None;
    }
    let mut length = content.len() + 2;
    length += text[length..].bytes().take(2).take_while(|byte| *byte == b'_').count();
    Some((without_target(content), length))
}

/// `**text**`, `*text*`, `|text|`: the text.
fn between<'a>(
    text: &'a str,
    mark: &'static str,
    unclosed: &mut Vec<&'static str>,
) -> Option<(&'a str, usize)> {
    let inner = text.strip_prefix(mark)?;
    if inner.starts_with(char::is_whitespace) {
        return None;
    }
    let content = up_to(inner, mark, unclosed)?;
    let after = inner[content.len() + mark.len()..].chars().next();
    let is_closed = !content.is_empty()
        && !content.ends_with(char::is_whitespace)
        && after.is_none_or(|char| !char.is_alphanumeric());
    is_closed.then_some((content, content.len() + 2 * mark.len()))
}

/// `text` of `text <target>`; a target alone stays.
fn without_target(content: &str) -> &str {
    match content.rsplit_once(" <") {
        Some((text, target)) if target.ends_with('>') && !text.trim().is_empty() => text.trim_end(),
        _ => content,
    }
}

fn is_opening_place(before: Option<char>) -> bool {
    before.is_none_or(|char| {
        char.is_whitespace()
            || matches!(char, '\'' | '"' | '(' | '[' | '{' | '<' | '-' | '/' | ':' | '“' | '‘')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_and_links_become_their_text() {
        assert_eq!(
            plain("See :ref:`the part <part>` and :py:class:`~a.B`."),
            "See the part and a.B."
        );
        assert_eq!(plain("`A page <https://a.example>`_, `b`__, c_."), "A page, b, c.");
        assert_eq!(
            plain("At 10:30: see a:b and snake_case_name."),
            "At 10:30: see a:b and snake_case_name."
        );
    }

    #[test]
    fn emphasis_goes_and_signs_stay() {
        assert_eq!(
            plain("**Bold**, *slanted*, ``co*de_``, |name|."),
            "Bold, slanted, co*de_, name."
        );
        for line in ["2 * 3 * 4", "a*b*c", "a | b", "*open", "`open", "``open", "**", "``", "[x] y"]
        {
            assert_eq!(plain(line), line);
        }
    }

    #[test]
    fn escapes_and_footnote_marks_go() {
        assert_eq!(plain(r"\*not\* so [1]_ or [#n]_, a\ b \"), r"*not* so  or , ab \");
    }

    #[test]
    fn a_line_of_marks_is_read_in_a_pass() {
        for piece in ["`a <", ":r:`", "*a ", "**a ", "|a ", "[a", "``", "é_", "\\"] {
            let line = piece.repeat(100_000);
            assert!(plain(&line).len() <= line.len());
        }
    }
}
