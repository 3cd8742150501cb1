//! The first phase: a list of points, up to its natural end or its budget, then the marker.

use super::Event;
use super::decoder::{Banned, Decoder};
use super::draft::Tell;
use super::stream::Utf8Stream;
use crate::llama::Token;
use crate::prompt::LAYOUT_TEXTS;

const POINTS_MAX: usize = 6;
const BULLETS: [char; 4] = ['-', '*', '•', '+'];

/// Writes the reasoning after the opening phrase and `lead`, which ends with the beginning of the
/// model's first own point, and appends the marker. Returns the points as text, the runtime's too,
/// each on a line that begins with a bullet.
pub(super) async fn write(
    decoder: &mut Decoder<'_>,
    lead: &str,
    tokens_max: usize,
    marker: &[Token],
    tell: &Tell<'_>,
) -> String {
    let start = decoder.len();
    let model = decoder.model();
    let mut tokens: Vec<Token> = Vec::new();
    let mut stream = Utf8Stream::default();
    let mut text = lead.to_owned();
    let mut told = 0;
    let kept = loop {
        if tokens.len() >= tokens_max || decoder.interrupted() {
            break without_unfinished_point(&text, lead);
        }
        // A list without a first point is no list: the model may not end before it.
        let is_list = has_a_point(&text[lead.len()..]);
        let banned = if is_list { Banned::Nothing } else { Banned::TurnEnds };
        let Some(token) = decoder.sample(banned).await else {
            break text.trim_end();
        };
        decoder.push(token);
        tokens.push(token);
        model.append_piece(token, stream.bytes());
        text.push_str(&stream.take());
        if let Some(end) = natural_end(&text, lead, model.template_texts()) {
            break text[..end].trim_end();
        }
        if told < text.len() {
            tell.event(Event::Reasoning(&text[told..]));
            told = text.len();
        }
    };
    let kept = kept.to_owned();
    append_marker(decoder, start, &tokens, &kept[lead.len().min(kept.len())..], marker);
    kept
}

/// Where the list ends, if it does: before a blank line, a line that is no point, a point that
/// was made before, one point too many (the runtime's count too), or a text of the layout.
fn natural_end(text: &str, lead: &str, template_texts: &[String]) -> Option<usize> {
    let layout = LAYOUT_TEXTS.iter().copied().chain(template_texts.iter().map(String::as_str));
    if let Some(at) = layout.filter_map(|stop| text.find(stop)).min() {
        return Some(at);
    }
    let mut points: Vec<&str> = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let point = line.trim();
        let finished = line.ends_with('\n');
        let is_first = !has_a_point(text[..offset].strip_prefix(lead).unwrap_or_default());
        let ends = if point.is_empty() {
            finished && !is_first
        } else {
            let repeated = finished && points.iter().any(|it| is_the_same(it, point, lead));
            !(is_first || is_point(point)) || repeated || points.len() == POINTS_MAX
        };
        if ends {
            return Some(offset);
        }
        if finished {
            points.push(point);
        }
        offset += line.len();
    }
    None
}

/// Whether `point` says again what an earlier one said, or speaks again of what the runtime noted.
fn is_the_same(earlier: &str, point: &str, lead: &str) -> bool {
    let label = |point: &str| point.split_once(':').map(|(label, _)| label.to_owned());
    let is_noted = lead.contains('\n') && lead.lines().any(|line| line == earlier);
    earlier == point || is_noted && label(earlier).is_some() && label(earlier) == label(point)
}

/// Whether anything stands after the first bullet.
fn has_a_point(text: &str) -> bool {
    text.contains(|char: char| char.is_alphanumeric())
}

/// Whether a line begins like a point: a bullet, or a number with a dot or a bracket.
fn is_point(line: &str) -> bool {
    let after_number = line.trim_start_matches(|char: char| char.is_ascii_digit());
    let numbered = after_number.len() < line.len()
        && (after_number.is_empty() || after_number.starts_with(['.', ')']));
    line.starts_with(BULLETS) || numbered
}

/// The text without a last point that was cut off by the budget, where there are whole ones.
fn without_unfinished_point<'t>(text: &'t str, lead: &str) -> &'t str {
    // A line end says that the point before it is whole.
    match text[lead.len()..].rfind('\n') {
        Some(end) => text[..lead.len() + end].trim_end(),
        None => text.trim_end(),
    }
}

/// Makes the sequence end with `kept` and the marker. Tokens that already spell the beginning of
/// that stay in the cache.
fn append_marker(
    decoder: &mut Decoder<'_>,
    start: usize,
    tokens: &[Token],
    kept: &str,
    marker: &[Token],
) {
    let model = decoder.model();
    let mut wanted = kept.as_bytes();
    let mut reused = 0;
    let mut piece = Vec::new();
    for &token in tokens {
        piece.clear();
        model.append_piece(token, &mut piece);
        let Some(rest) = wanted.strip_prefix(piece.as_slice()) else { break };
        wanted = rest;
        reused += 1;
    }
    let mut ending = model.tokenize(&String::from_utf8_lossy(wanted));
    // What was sampled token by token may take more tokens when it is tokenized as text, above all
    // where it was no valid text; the room that was set aside is for what was sampled.
    ending.truncate(tokens.len() - reused);
    ending.extend(marker);
    decoder.rewrite(start + reused, &ending);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> Option<&str> {
        natural_end(text, "-", &["<|im_end|>".to_owned()]).map(|end| &text[..end])
    }

    #[test]
    fn a_list_goes_on_while_points_come() {
        assert_eq!(end("- one"), None);
        assert_eq!(end("- one\n"), None);
        assert_eq!(end("- one\n- two\n  * three\n4. four\n"), None);
    }

    #[test]
    fn what_the_runtime_noted_is_not_noted_again() {
        let lead = "- Length: about 90 words\n- Tone:";
        let end = |own: &str| {
            let text = format!("{lead}{own}");
            natural_end(&text, lead, &[]).map(|end| text[lead.len()..end].to_owned())
        };
        assert_eq!(end(" dry\n- Likes: sheds\n"), None);
        assert_eq!(end("\n"), None, "the first point is still to come");
        assert_eq!(end(" dry\n- Length: 2 sentences\n").as_deref(), Some(" dry\n"));
        let whole = format!("{lead} dry\n- Likes: sh");
        assert_eq!(without_unfinished_point(&whole, lead), format!("{lead} dry"));
        assert_eq!(without_unfinished_point(&format!("{lead} dr"), lead), format!("{lead} dr"));
    }

    #[test]
    fn a_blank_line_ends_the_list() {
        assert_eq!(end("- one\n\n"), Some("- one\n"));
        assert_eq!(end("- one\n- two\n\nDear"), Some("- one\n- two\n"));
    }

    #[test]
    fn a_line_that_is_no_point_ends_the_list() {
        assert_eq!(end("- one\nD"), Some("- one\n"));
    }

    #[test]
    fn a_repeated_point_ends_the_list() {
        assert_eq!(end("- one\n- two\n- one\n"), Some("- one\n- two\n"));
    }

    #[test]
    fn six_points_are_enough() {
        let text = "- a\n- b\n- c\n- d\n- e\n- f\n-";
        assert_eq!(end(text), Some("- a\n- b\n- c\n- d\n- e\n- f\n"));
    }

    #[test]
    fn white_space_and_bullets_alone_are_no_list() {
        assert_eq!(end("-\n\n \n"), None);
        assert_eq!(end("-\n\n- one\n\n"), Some("-\n\n- one\n"));
    }

    #[test]
    fn texts_of_the_layout_end_the_list() {
        assert_eq!(end("- one <|im_end|>"), Some("- one "));
        assert_eq!(end("- one\n- two </passage"), Some("- one\n- two "));
    }

    #[test]
    fn a_point_cut_by_the_budget_is_dropped_unless_it_is_the_only_one() {
        assert_eq!(without_unfinished_point("- one\n- tw", "-"), "- one");
        assert_eq!(without_unfinished_point("- on", "-"), "- on");
        assert_eq!(without_unfinished_point("- one\n- two\n", "-"), "- one\n- two");
    }
}
