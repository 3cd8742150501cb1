//! HTML into lines, each with its depth and with what the markup says of it.
//!
//! Every token is looked at once; how many elements are open at a time is bounded. It knows what
//! elements mean from `markup`, and nothing of what is written in them.

use std::collections::HashMap;

use super::line::{Line, Mark, head};
use super::markup::{self, Meaning};
use super::plain::quote_marks;
use super::tag::{Tag, Token, Tokens, attributes, unescaped};

const HTML_BYTES_MAX: usize = 8 << 20;
const TEXT_BYTES_MAX: usize = 4 << 20;
const LINES_MAX: usize = 200_000;
/// Elements that are open at a time; those beyond are taken for plain text.
const OPEN_MAX: usize = 256;

const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];
const BLOCKS: [&str; 37] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "html",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tbody",
    "tfoot",
    "thead",
    "tr",
    "ul",
];
/// An end tag closes no element around the cell or the table that it stands in.
const WALLS: [&str; 4] = ["caption", "table", "td", "th"];
const TABLE_PARTS: [&str; 8] = ["caption", "table", "tbody", "td", "tfoot", "th", "thead", "tr"];

/// The lines of a page.
pub(super) fn lines(html: &str) -> Vec<Line> {
    let mut page = Page::default();
    for token in Tokens::new(head(html, HTML_BYTES_MAX)) {
        match token {
            Token::Text(text) => page.text(text),
            Token::Open(tag) => page.open(&tag),
            Token::Close(name) => page.close(&name),
        }
        if page.lines.len() > LINES_MAX || page.text_bytes > TEXT_BYTES_MAX {
            break;
        }
    }
    page.finish()
}

/// An element that is open.
#[derive(Debug)]
struct Element {
    name: String,
    meaning: Option<Meaning>,
    is_apart: bool,
    /// The lines there were when it began.
    first_line: usize,
    /// Of a container: its attribution is over, what follows may be the person's.
    is_released: bool,
    /// Of a container: it holds a forwarded message, and nothing of the person's.
    is_locked: bool,
}

/// The page so far.
#[derive(Debug, Default)]
struct Page {
    lines: Vec<Line>,
    /// The line under way.
    text: String,
    /// Bytes of all text.
    text_bytes: usize,
    /// Whether a space that is not to be broken holds the line open.
    is_held: bool,
    /// Whether an empty line comes before the next one.
    is_gap_due: bool,
    /// What the next text begins with: the mark of a list item.
    item: Option<String>,
    elements: Vec<Element>,
    /// How many elements are open by name.
    open: HashMap<String, usize>,
    /// Elements that were opened beyond the bound.
    excess: usize,
    quotes: usize,
    attributions: usize,
    /// Those around the outermost quote, which say nothing of what is in it.
    attributions_outside: usize,
    signatures: usize,
    hidden: usize,
    preformatted: usize,
    /// The number of the last item of each open list; `None` without numbers.
    lists: Vec<Option<usize>>,
}

impl Page {
    fn text(&mut self, text: &str) {
        if self.hidden > 0 {
            return;
        }
        self.text_bytes += text.len();
        for char in unescaped(text).chars() {
            match char {
                '\u{200b}' | '\u{feff}' | '\u{ad}' => {}
                '\n' if self.preformatted > 0 => self.break_line(),
                _ if char.is_whitespace() && self.preformatted == 0 => {
                    self.is_held |= char == '\u{a0}' && self.text.is_empty();
                    if !self.text.is_empty() && !self.text.ends_with(' ') {
                        self.text.push(' ');
                    }
                }
                _ => {
                    if let Some(item) = self.item.take() {
                        self.text.push_str(&item);
                    }
                    self.text.push(char);
                }
            }
        }
    }

    fn open(&mut self, tag: &Tag<'_>) {
        let name = tag.name.as_str();
        let attributes = attributes(tag.attributes);
        let meaning = markup::meaning(name, &attributes);
        if meaning.is_some() || BLOCKS.contains(&name) {
            self.end_line();
        }
        match meaning {
            Some(Meaning::Cut) if self.quotes == 0 => self.lines.push(Line::marked(Mark::Cut)),
            Some(Meaning::Rule) if self.quotes == 0 => self.lines.push(Line::marked(Mark::Rule)),
            _ => {}
        }
        if VOID.contains(&name) {
            if name == "br" {
                self.break_line();
            }
            return;
        }
        if tag.is_closed && name.contains(':') {
            return;
        }
        if self.elements.len() == OPEN_MAX {
            self.excess += 1;
            return;
        }
        let is_apart = markup::is_apart(name, &attributes) && self.lists.is_empty();
        self.is_gap_due |= is_apart;
        self.enter(name, meaning, is_apart);
    }

    fn enter(&mut self, name: &str, meaning: Option<Meaning>, is_apart: bool) {
        match name {
            "ul" => self.lists.push(None),
            "ol" => self.lists.push(Some(0)),
            "li" => self.item = Some(self.next_item()),
            "pre" => self.preformatted += 1,
            "td" | "th" if !self.text.is_empty() && !self.text.ends_with(' ') => {
                self.text.push(' ');
            }
            _ => {}
        }
        match meaning {
            Some(Meaning::Quote) => {
                if self.quotes == 0 {
                    self.attributions_outside = self.attributions;
                }
                self.quotes += 1;
            }
            Some(Meaning::QuoteContainer | Meaning::Attribution) => self.attributions += 1,
            Some(Meaning::Signature) => self.signatures += 1,
            Some(Meaning::Hidden) => self.hidden += 1,
            Some(Meaning::Cut | Meaning::Rule) | None => {}
        }
        *self.open.entry(name.to_owned()).or_default() += 1;
        self.elements.push(Element {
            name: name.to_owned(),
            meaning,
            is_apart,
            first_line: self.lines.len(),
            is_released: false,
            is_locked: false,
        });
    }

    fn next_item(&mut self) -> String {
        match self.lists.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{number}. ")
            }
            _ => "- ".to_owned(),
        }
    }

    fn close(&mut self, name: &str) {
        if VOID.contains(&name) {
            return;
        }
        if self.excess > 0 {
            self.excess -= 1;
            return;
        }
        if !self.open.contains_key(name) {
            return;
        }
        let is_table_part = TABLE_PARTS.contains(&name);
        for at in (0..self.elements.len()).rev() {
            let open = self.elements[at].name.as_str();
            if open == name {
                while self.elements.len() > at {
                    self.leave();
                }
                return;
            }
            if WALLS.contains(&open) && !is_table_part {
                return;
            }
        }
    }

    /// Closes the innermost element.
    fn leave(&mut self) {
        let is_line_end = self.elements.last().is_some_and(|element| {
            element.meaning.is_some() || BLOCKS.contains(&element.name.as_str())
        });
        if is_line_end {
            self.end_line();
        }
        let Some(element) = self.elements.pop() else { return };
        if let Some(count) = self.open.get_mut(&element.name) {
            *count -= 1;
            if *count == 0 {
                self.open.remove(&element.name);
            }
        }
        self.is_gap_due |= element.is_apart;
        match element.name.as_str() {
            "ul" | "ol" => {
                self.lists.pop();
            }
            "li" => self.item = None,
            "pre" => self.preformatted -= 1,
            _ => {}
        }
        match element.meaning {
            Some(Meaning::Quote) => {
                self.quotes -= 1;
                if self.quotes == 0 {
                    self.attributions_outside = 0;
                    self.release_container();
                }
            }
            Some(Meaning::Attribution) => {
                self.attributions -= 1;
                let lines = &self.lines[element.first_line.min(self.lines.len())..];
                if lines.iter().any(|line| line.text.starts_with("-----")) {
                    self.lock_container();
                }
            }
            Some(Meaning::QuoteContainer) if !element.is_released => self.attributions -= 1,
            Some(Meaning::Signature) => self.signatures -= 1,
            Some(Meaning::Hidden) => self.hidden -= 1,
            _ => {}
        }
    }

    fn container(&mut self) -> Option<&mut Element> {
        let is_container =
            |element: &&mut Element| element.meaning == Some(Meaning::QuoteContainer);
        self.elements.iter_mut().rev().find(is_container)
    }

    /// A quote has ended: what follows in its container may be the person's answer.
    fn release_container(&mut self) {
        let Some(container) = self.container() else { return };
        if !container.is_locked && !container.is_released {
            container.is_released = true;
            self.attributions -= 1;
        }
    }

    fn lock_container(&mut self) {
        if let Some(container) = self.container() {
            container.is_locked = true;
        }
    }

    fn mark(&self) -> Mark {
        if self.signatures > 0 {
            Mark::Signature
        } else if self.attributions > self.attributions_outside {
            Mark::Attribution
        } else {
            Mark::None
        }
    }

    /// Ends the line under way where there is one.
    fn end_line(&mut self) {
        let text = std::mem::take(&mut self.text);
        let text = if self.preformatted > 0 { text.trim_end() } else { text.trim() };
        let is_held = std::mem::take(&mut self.is_held);
        if text.is_empty() {
            // Outlook's way of an empty line.
            if is_held {
                self.lines.push(Line::new(self.quotes, ""));
            }
            return;
        }
        if let Some(last) = self.lines.last()
            && self.is_gap_due
            && !last.is_blank()
        {
            let depth = last.depth.min(self.quotes);
            self.lines.push(Line::new(depth, ""));
        }
        self.is_gap_due = false;
        let mark = self.mark();
        self.lines.push(Line { mark, ..Line::new(self.quotes, text) });
    }

    /// Ends the line under way, which may be an empty one.
    fn break_line(&mut self) {
        if !self.text.trim().is_empty() {
            self.end_line();
        } else if self.hidden == 0 {
            self.is_held = false;
            self.lines.push(Line::new(self.quotes, ""));
        }
    }

    fn finish(mut self) -> Vec<Line> {
        self.end_line();
        for line in self.lines.iter_mut().filter(|line| line.depth == 0) {
            let (depth, text) = quote_marks(&line.text);
            if depth > 0 {
                *line = Line { mark: line.mark, ..Line::new(depth, text) };
            }
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines as text: `>` for a quote, `A`, `S`, `=`, `X` for marks.
    fn shown(html: &str) -> Vec<String> {
        let show = |line: Line| {
            let mark = match line.mark {
                Mark::None => "",
                Mark::Attribution => "A ",
                Mark::Signature => "S ",
                Mark::Rule => "=",
                Mark::Cut => "X",
            };
            format!("{}{mark}{}", ">".repeat(line.depth), line.text)
        };
        lines(html).into_iter().map(show).collect()
    }

    #[test]
    fn blocks_are_lines_and_paragraphs_stand_apart() {
        assert_eq!(
            shown("<p>One\n two&nbsp;three</p><p>Four<br>five</p><div>Six</div><div><br></div>7"),
            ["One two three", "", "Four", "five", "", "Six", "", "7"]
        );
        assert_eq!(
            shown("<ul><li>a</li><li><p>b</p></li></ul><ol><li>c<li>d</ol>e<pre>f\n  g</pre>"),
            ["- a", "- b", "", "1. c", "2. d", "", "e", "", "f", "  g"]
        );
        assert_eq!(
            shown("<p class=MsoNormal>a</p><p class=MsoNormal>b<o:p></o:p></p>"),
            ["a", "b"]
        );
        assert_eq!(shown("<p class=Mso>a</p><p class=Mso><o:p>&nbsp;</o:p></p>b"), ["a", "", "b"]);
        assert_eq!(shown("<table><tr><td>a</td><td>b</td></tr><tr><td>c</table>"), ["a b", "c"]);
    }

    #[test]
    fn what_is_hidden_or_no_text_is_left_out() {
        assert_eq!(
            shown("<style>p{}</style><div style=\"display: none\">x<br>y</div><xml>96</xml>z"),
            ["z"]
        );
    }

    #[test]
    fn gmail_quotes_leave_room_for_answers() {
        assert_eq!(
            shown(
                "<div dir=ltr>Mine</div><br><div class=\"gmail_quote\"><div class=\"gmail_attr\">\
                 On Monday Ann wrote:<br></div><blockquote class=\"gmail_quote\">Hers\
                 <div class=\"gmail_quote\">older</div></blockquote><div>Answer</div>\
                 <blockquote class=\"gmail_quote\">More</blockquote></div>"
            ),
            [
                "Mine",
                "",
                "A On Monday Ann wrote:",
                "",
                ">Hers",
                ">A older",
                "",
                "Answer",
                "",
                ">More"
            ]
        );
    }

    #[test]
    fn a_gmail_forward_is_all_somebody_elses() {
        assert_eq!(
            shown(
                "Look.<div class=gmail_quote><div class=gmail_attr>---------- 轉寄 ---------<br>\
                 Ann</div>Hers<blockquote>q</blockquote>Hers too</div>"
            ),
            ["Look.", "A ---------- 轉寄 ---------", "A Ann", "A Hers", "", ">q", "", "A Hers too"]
        );
    }

    #[test]
    fn the_reply_ends_where_outlook_says() {
        assert_eq!(
            shown(
                "<div class=elementToProof>Mine</div><div id=Signature><p>Mara</p></div>\
                 <div id=appendonsend></div><hr><div id=divRplyFwdMsg><b>From:</b> Ann</div>"
            ),
            ["Mine", "", "S Mara", "X", "=", "X", "From: Ann"]
        );
    }

    #[test]
    fn stray_end_tags_close_nothing_around_their_cell() {
        assert_eq!(
            shown("<blockquote><table><tr><td>a</blockquote></b></td></tr></table>b</blockquote>c"),
            [">a", ">", ">b", "", "c"]
        );
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "<blockquote><div>".repeat(50_000);
        let lines = lines(&format!("{deep}deep"));
        assert_eq!((lines.len(), lines[0].depth), (1, OPEN_MAX / 2));
    }
}
