//! The elements of a web page, one after the other, into text: paragraphs apart by a blank line,
//! `- ` before list items, ` | ` between cells, `> ` before quotes. It does not know the tree.

/// Elements that are no text of the page, or not its own.
const LEFT_OUT: [&str; 22] = [
    "aside", "audio", "button", "canvas", "dialog", "embed", "footer", "iframe", "input", "map",
    "math", "nav", "noscript", "object", "script", "select", "style", "svg", "template",
    "textarea", "title", "video",
];
/// Elements that stand apart from what is before and after them.
const BLOCKS: [&str; 31] = [
    "address",
    "article",
    "blockquote",
    "body",
    "center",
    "details",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hgroup",
    "hr",
    "legend",
    "main",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "caption",
];

/// What stands between two pieces of text; of several, the widest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    None,
    Space,
    Line,
    Paragraph,
}

/// The text under way.
#[derive(Debug, Default)]
pub(super) struct Builder {
    text: String,
    gap: Gap,
    /// Whether the mark of a list item comes before the next piece.
    is_item_due: bool,
    /// Whether the mark between cells comes before the next piece.
    is_cell_due: bool,
    /// Whether the row that is open has text.
    is_row_filled: bool,
    items: usize,
    quotes: usize,
    preformatted: usize,
}

impl Builder {
    /// An element begins; whether what is in it counts.
    pub(super) fn open(&mut self, name: &str) -> bool {
        if LEFT_OUT.contains(&name) {
            return false;
        }
        match name {
            "br" => {
                let gap = if self.gap < Gap::Line { Gap::Line } else { Gap::Paragraph };
                self.widen(gap);
            }
            "li" => {
                self.items += 1;
                self.widen(Gap::Line);
                self.is_item_due = true;
            }
            "ul" | "ol" | "menu" => self.widen(self.around_lists()),
            "tr" => {
                self.widen(Gap::Line);
                self.is_row_filled = false;
            }
            "td" | "th" => self.is_cell_due = self.is_row_filled,
            _ if BLOCKS.contains(&name) => self.widen(Gap::Paragraph),
            _ => {}
        }
        self.quotes += usize::from(name == "blockquote");
        self.preformatted += usize::from(name == "pre");
        true
    }

    /// An element ends, whether [`Self::open`] let it count or not.
    pub(super) fn close(&mut self, name: &str) {
        match name {
            "li" => {
                self.items = self.items.saturating_sub(1);
                self.is_item_due = false;
                // Items stand line by line even where each is a paragraph.
                self.gap = Gap::Line;
            }
            "ul" | "ol" | "menu" => self.widen(self.around_lists()),
            "tr" => {
                self.is_cell_due = false;
                self.widen(Gap::Line);
            }
            _ if BLOCKS.contains(&name) => self.widen(Gap::Paragraph),
            _ => {}
        }
        if name == "blockquote" {
            self.quotes = self.quotes.saturating_sub(1);
        } else if name == "pre" {
            self.preformatted = self.preformatted.saturating_sub(1);
        }
    }

    /// Text of the page; white space in it is one space, but for preformatted text.
    pub(super) fn push(&mut self, text: &str) {
        if self.preformatted > 0 {
            if !text.is_empty() {
                self.settle();
                self.text.push_str(text);
            }
            return;
        }
        if text.starts_with(char::is_whitespace) {
            self.widen(Gap::Space);
        }
        for (index, word) in text.split_whitespace().enumerate() {
            if index > 0 {
                self.widen(Gap::Space);
            }
            self.settle();
            self.text.push_str(word);
        }
        if text.ends_with(char::is_whitespace) {
            self.widen(Gap::Space);
        }
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn around_lists(&self) -> Gap {
        if self.items > 0 { Gap::Line } else { Gap::Paragraph }
    }

    fn widen(&mut self, gap: Gap) {
        // Nothing comes between the mark of an item and its text.
        if !self.is_item_due {
            self.gap = self.gap.max(gap);
        }
    }

    /// Writes what stands between the text so far and the next piece.
    fn settle(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        let is_cell = std::mem::take(&mut self.is_cell_due);
        let is_item = std::mem::take(&mut self.is_item_due);
        let is_first = self.text.is_empty();
        if !is_first {
            self.text.push_str(match gap {
                Gap::Paragraph => "\n\n",
                Gap::Line => "\n",
                Gap::None | Gap::Space if is_cell => " | ",
                Gap::Space => " ",
                Gap::None => "",
            });
        }
        if self.quotes > 0 && (is_first || gap >= Gap::Line) {
            self.text.push_str("> ");
        }
        if is_item {
            self.text.push_str("- ");
        }
        self.is_row_filled = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds tags and text; attributes and errors are no matter here.
    fn text_of(html: &str) -> String {
        let mut builder = Builder::default();
        for (index, piece) in html.split(['<', '>']).enumerate() {
            match (index % 2, piece.strip_prefix('/')) {
                (0, _) => builder.push(piece),
                (_, Some(name)) => builder.close(name),
                (_, None) => {
                    builder.open(piece);
                }
            }
        }
        builder.finish()
    }

    #[test]
    fn blocks_stand_apart_and_words_together() {
        assert_eq!(
            text_of("<h1>Walk</h1>\n<p>One <b>two</b>,\n  three.</p> <div><p>Four</p></div>"),
            "Walk\n\nOne two, three.\n\nFour"
        );
        assert_eq!(text_of("<p>a<br>b</p><p>c<br><br>d</p>"), "a\nb\n\nc\n\nd");
    }

    #[test]
    fn lists_stand_line_by_line() {
        let html = "<p>Buy:</p><ul> <li><p>bread</p></li> <li>cheese<ul><li>soft</li></ul></li>\
            <li></li></ul><p>Go.</p>";
        assert_eq!(text_of(html), "Buy:\n\n- bread\n- cheese\n- soft\n\nGo.");
    }

    #[test]
    fn rows_keep_their_cells_apart() {
        let html =
            "<table><tr><th>a</th> <th>b</th></tr><tr><td>c</td><td><p>d</p></td></tr></table>";
        assert_eq!(text_of(html), "a | b\nc\n\nd");
    }

    #[test]
    fn quotes_are_marked_and_preformatted_text_is_kept() {
        let html = "<p>He said:</p><blockquote><p>one</p><p>two</p></blockquote><pre>x\n  y</pre>";
        assert_eq!(text_of(html), "He said:\n\n> one\n\n> two\n\nx\n  y");
    }

    #[test]
    fn what_is_no_text_is_told() {
        let mut builder = Builder::default();
        assert!(!builder.open("script") && !builder.open("nav") && builder.open("span"));
    }
}
