//! Lines as they stand on printed pages, back into running text: what each page repeats goes,
//! lines become paragraphs, divided words become whole. It knows positions, and no file format.

use std::collections::HashMap;

/// Lines at either edge of a page where headers, footers and page numbers stand.
const MARGIN_LINES: usize = 2;
/// A line at the edge of so many pages, and of at least a third of all, is a header or footer.
const REPEATS_MIN: usize = 3;
/// Lines before and after one among which its column's right edge is looked for.
const NEIGHBOURS: usize = 8;
/// Times the usual distance of lines from which a wider one parts paragraphs.
const WIDE_GAP: f64 = 1.4;
/// Share by which sizes of letters differ where a heading meets text.
const SIZE_TOLERANCE: f64 = 0.15;

/// A line on a page. Positions are in points; `y` grows upwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) x_start: f64,
    pub(super) x_end: f64,
    pub(super) y: f64,
    /// Mean size of its letters.
    pub(super) size: f64,
}

/// How a line follows the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seam {
    /// The same sentence, or at least the same paragraph, goes on.
    Join,
    /// A new line that was meant as one.
    Line,
    Paragraph,
}

/// The running text of `pages`, each with its lines in the order of reading.
pub(super) fn prose(pages: &[Vec<Line>]) -> String {
    let pages = without_margins(pages);
    let usual_gap = usual_gap(&pages);
    let mut out = String::new();
    let mut before: Option<(&Line, f64, usize)> = None;
    for (number, page) in pages.iter().enumerate() {
        for (index, line) in page.iter().enumerate() {
            let text = line.text.trim();
            if let Some((previous, right_edge, its_page)) = before {
                let seam = if its_page == number {
                    seam(previous, line, right_edge, usual_gap)
                } else {
                    seam_across(previous, line)
                };
                match seam {
                    Seam::Join => join(&mut out, text),
                    Seam::Line => out.push('\n'),
                    Seam::Paragraph => out.push_str("\n\n"),
                }
            }
            out.push_str(&with_plain_bullet(text));
            before = Some((line, right_edge(page, index), number));
        }
    }
    out
}

/// The lines that have text and are no header, footer or page number.
fn without_margins(pages: &[Vec<Line>]) -> Vec<Vec<&Line>> {
    let edges: Vec<Vec<usize>> = pages.iter().map(|page| edges(page)).collect();
    let mut pages_with: HashMap<String, usize> = HashMap::new();
    for (page, edges) in pages.iter().zip(&edges) {
        let mut keys: Vec<String> = edges.iter().map(|&index| key(&page[index].text)).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            *pages_with.entry(key).or_default() += 1;
        }
    }
    let is_repeated = |key: &str| {
        let count = pages_with.get(key).copied().unwrap_or(0);
        count >= REPEATS_MIN && count * 3 >= pages.len()
    };
    let kept = |page: &[Line], edges: &[usize], index: usize| {
        if !edges.contains(&index) {
            return true;
        }
        let key = key(&page[index].text);
        !(is_repeated(&key) || page.len() > MARGIN_LINES && is_page_number(&key))
    };
    let lines = pages.iter().zip(&edges).map(|(page, edges)| {
        let lines = page.iter().enumerate();
        lines
            .filter(|(index, line)| !line.text.trim().is_empty() && kept(page, edges, *index))
            .map(|(_, line)| line)
            .collect()
    });
    lines.collect()
}

/// The lines nearest to the upper and lower edge of a page.
fn edges(page: &[Line]) -> Vec<usize> {
    let mut indices: Vec<usize> =
        (0..page.len()).filter(|&index| !page[index].text.trim().is_empty()).collect();
    indices.sort_by(|&a, &b| page[a].y.total_cmp(&page[b].y));
    let count = indices.len();
    if count > 2 * MARGIN_LINES {
        indices.drain(MARGIN_LINES..count - MARGIN_LINES);
    }
    indices
}

/// A line without what changes from page to page: every run of digits is one `#`.
fn key(text: &str) -> String {
    let mut key = String::with_capacity(text.len());
    for char in text.trim().chars() {
        if !char.is_numeric() {
            key.extend(char.to_lowercase());
        } else if !key.ends_with('#') {
            key.push('#');
        }
    }
    key
}

/// Whether a line is nothing but `12`, `- 12 -`, `Page 3 of 12` or the like.
fn is_page_number(key: &str) -> bool {
    let words = key.split(|char: char| !char.is_alphanumeric() && char != '#');
    let mut words = words.filter(|word| !word.is_empty()).peekable();
    words.peek().is_some()
        && key.contains('#')
        && words.all(|word| matches!(word, "#" | "page" | "p" | "of" | "seite" | "von" | "sur"))
}

/// The usual distance from one line to the next; infinite where there is none.
fn usual_gap(pages: &[Vec<&Line>]) -> f64 {
    let mut gaps: Vec<f64> = pages
        .iter()
        .flat_map(|page| page.windows(2))
        .map(|pair| (pair[0].y - pair[1].y, pair[0].size))
        .filter(|(gap, size)| *gap > 0.0 && *gap < 4.0 * size)
        .map(|(gap, _)| gap)
        .collect();
    gaps.sort_by(f64::total_cmp);
    gaps.get(gaps.len() / 2).copied().unwrap_or(f64::INFINITY)
}

/// Where the lines of the column around `page[index]` end at most.
fn right_edge(page: &[&Line], index: usize) -> f64 {
    let line = page[index];
    let from = index.saturating_sub(NEIGHBOURS);
    let to = (index + NEIGHBOURS + 1).min(page.len());
    page[from..to]
        .iter()
        .filter(|other| (other.x_start - line.x_start).abs() < 3.0 * line.size)
        .map(|other| other.x_end)
        .fold(line.x_end, f64::max)
}

/// How `next` follows `line` on the same page.
fn seam(line: &Line, next: &Line, right_edge: f64, usual_gap: f64) -> Seam {
    let size = line.size.max(next.size);
    let gap = line.y - next.y;
    if gap < -size {
        // Up again: the next column.
        return seam_across(line, next);
    }
    if gap > WIDE_GAP * usual_gap {
        return Seam::Paragraph;
    }
    if is_item(&next.text) {
        return Seam::Line;
    }
    if (line.size - next.size).abs() > SIZE_TOLERANCE * size {
        return Seam::Paragraph;
    }
    let is_end = ends_sentence(&line.text);
    if is_end && next.x_start > line.x_start + 0.8 * size && !is_item(&line.text) {
        return Seam::Paragraph;
    }
    // Where the next word would still have fitted, the line ends because it was meant to.
    let fits = right_edge - line.x_end > first_word_width(next) + 2.0 * size;
    match (fits, is_end) {
        (true, true) => Seam::Paragraph,
        (true, false) => Seam::Line,
        (false, _) => Seam::Join,
    }
}

/// How `next` follows `line` in another column or on another page.
fn seam_across(line: &Line, next: &Line) -> Seam {
    if is_item(&next.text) {
        Seam::Line
    } else if ends_sentence(&line.text) {
        Seam::Paragraph
    } else {
        Seam::Join
    }
}

fn first_word_width(line: &Line) -> f64 {
    let text = line.text.trim();
    let word = text.split_whitespace().next().unwrap_or_default().chars().count();
    (line.x_end - line.x_start).max(0.0) * word as f64 / text.chars().count().max(1) as f64
}

fn ends_sentence(text: &str) -> bool {
    let closing = ['"', '\'', ')', ']', '”', '’', '»', '“'];
    let text = text.trim_end().trim_end_matches(closing);
    text.ends_with(['.', '!', '?', ':', '…', '。', '！', '？'])
}

const BULLETS: [char; 8] = ['•', '◦', '▪', '●', '○', '■', '‣', '·'];

/// Whether a line begins an item of a list: a bullet, `-`, `1.`, `2)`.
fn is_item(text: &str) -> bool {
    let text = text.trim_start();
    if text.starts_with(BULLETS) || text.starts_with("- ") || text.starts_with("* ") {
        return true;
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &text[digits..];
    (1..=3).contains(&digits) && (rest.starts_with(". ") || rest.starts_with(") "))
}

fn with_plain_bullet(text: &str) -> String {
    match text.strip_prefix(BULLETS) {
        Some(rest) => format!("- {}", rest.trim_start()),
        None => text.to_owned(),
    }
}

/// Ends a line so that `next` goes on after it. A hyphen after a letter belongs to its word; one
/// before a small letter only divides it.
fn join(out: &mut String, next: &str) {
    let mut ending = out.chars().rev();
    let (last, before) = (ending.next(), ending.next());
    match last {
        Some('\u{ad}') => {
            out.pop();
        }
        Some('-' | '\u{2010}') if before.is_some_and(char::is_alphabetic) => {
            if next.starts_with(char::is_lowercase) {
                out.pop();
            }
        }
        // Scripts without spaces between words.
        Some(last) if is_wide(last) && next.starts_with(is_wide) => {}
        _ => out.push(' '),
    }
}

fn is_wide(char: char) -> bool {
    matches!(char, '\u{3000}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: f64 = 10.0;

    /// A page from lines of text, each with its place from the left, 12 points apart from the
    /// top; a blank line leaves room. Letters are 5 points wide.
    fn page(lines: &[&str]) -> Vec<Line> {
        let mut page = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let x_start = 50.0 + 5.0 * indent as f64;
            if !line.trim().is_empty() {
                page.push(Line {
                    text: line.trim().to_owned(),
                    x_start,
                    x_end: x_start + 5.0 * line.trim().chars().count() as f64,
                    y: 800.0 - 12.0 * index as f64,
                    size: SIZE,
                });
            }
        }
        page
    }

    #[test]
    fn lines_become_paragraphs() {
        let text = prose(&[page(&[
            "This is the first line of a paragraph that",
            "runs over three lines of about the same",
            "length.",
            "This one begins after a short line and is",
            "set off by nothing but that. It ends here",
            "at the edge, which a blank line shows too.",
            "",
            "Last one.",
        ])]);
        assert_eq!(
            text,
            "This is the first line of a paragraph that runs over three lines of about the same \
             length.\n\nThis one begins after a short line and is set off by nothing but that. It \
             ends here at the edge, which a blank line shows too.\n\nLast one."
        );
    }

    #[test]
    fn an_indent_begins_a_paragraph() {
        let text = prose(&[page(&[
            "A paragraph that fills its last line fully.",
            "   The next one is told by its indent only,",
            "and goes on at the left, as books have it.",
        ])]);
        assert!(text.contains("fully.\n\nThe next one is told by its indent only, and"), "{text}");
    }

    #[test]
    fn short_lines_and_items_stay_lines() {
        let text = prose(&[page(&[
            "What to bring to the picnic on next Sunday:",
            "• bread",
            "• cheese",
            "2. wine",
        ])]);
        assert_eq!(text, "What to bring to the picnic on next Sunday:\n- bread\n- cheese\n2. wine");
        let address = prose(&[page(&["Ann Other", "12 High Street, Long Melford, Suffolk", "UK"])]);
        assert_eq!(address, "Ann Other\n12 High Street, Long Melford, Suffolk UK");
    }

    #[test]
    fn divided_words_become_whole() {
        let mut out = String::from("a para-");
        join(&mut out, "graph");
        assert_eq!(out, "a para");
        let mut out = String::from("the North-");
        join(&mut out, "South line");
        assert_eq!(out, "the North-");
        let mut out = String::from("山道を");
        join(&mut out, "登る");
        assert_eq!(out, "山道を");
    }

    #[test]
    fn headers_footers_and_page_numbers_go() {
        let names = ["Ann", "Bo", "Cy", "Di", "Ed", "Flo"];
        let pages: Vec<Vec<Line>> = (1..=6)
            .map(|number| {
                let first = format!("{} told a story that goes on to the", names[number - 1]);
                let last = format!("end of the page {} and over it", "abcdef".repeat(number));
                let footer = format!("Page {number} of 6");
                page(&[
                    "My story",
                    "",
                    first.as_str(),
                    "middle line of the page, which fills it",
                    "and",
                    "another one that fills it to the edge",
                    last.as_str(),
                    "",
                    footer.as_str(),
                ])
            })
            .collect();
        let text = prose(&pages);
        assert!(!text.contains("My story") && !text.contains("Page"), "{text}");
        assert_eq!(text.matches("told a story").count(), 6);
        assert!(text.contains("over it Bo told"), "{text}");
    }

    #[test]
    fn a_page_of_its_own_keeps_what_it_has() {
        assert_eq!(prose(&[page(&["Dear Ann,"])]), "Dear Ann,");
        assert_eq!(prose(&[page(&["42"])]), "42");
        assert_eq!(prose(&[]), "");
    }

    #[test]
    fn page_numbers_are_told_by_their_form() {
        for line in ["12", "- 12 -", "Page 3 of 12", "[7]", "p. 4"] {
            assert!(is_page_number(&key(line)), "{line}");
        }
        for line in ["In 2020", "page", "", "§ 4 a"] {
            assert!(!is_page_number(&key(line)), "{line}");
        }
    }

    #[test]
    fn positions_that_are_no_numbers_do_no_harm() {
        let broken = Line { text: "x".into(), x_start: f64::NAN, y: f64::NAN, ..Line::default() };
        let text = prose(&[vec![broken.clone(), broken.clone(), broken]]);
        assert_eq!(text.matches('x').count(), 3);
    }
}
