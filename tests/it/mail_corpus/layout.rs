//! A letter laid out as plain text or HTML, after what a client is told to do: widths, marks,
//! tags. Knows no client by name.

use super::letters::{Block, Letter, Paragraph};

/// What stands before each line of a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// Nothing: Outlook puts a block of fields above instead.
    None,
    /// `> `, and `> > ` one deeper.
    Spaced,
    /// `> `, `>> ` one deeper, and `>` alone on a blank line.
    Compact,
}

/// How a client writes plain text.
pub struct Plain {
    /// Columns after which lines are broken.
    pub width: usize,
    /// What the end of such a line shows: nothing, or the spaces of `format=flowed`.
    pub soft: &'static str,
    pub bullet: &'static str,
    pub marks: Marks,
    /// A line above the attribution.
    pub separator: Option<&'static str>,
    /// Whether a blank line follows the attribution.
    pub gap: bool,
    /// Whether the attribution is part of the quote, as Apple has it.
    pub inside: bool,
    /// Whether `-- ` stands above the person's signature.
    pub delimiter: bool,
    /// Whether no blank line follows a quote.
    pub tight: bool,
    /// What announces the quote of the message at a depth.
    pub attribution: fn(&Letter, usize) -> Vec<String>,
    pub forward: fn(&Plain, &Letter) -> Vec<String>,
}

impl Plain {
    /// Unbroken lines and no marks.
    pub fn new(
        attribution: fn(&Letter, usize) -> Vec<String>,
        forward: fn(&Plain, &Letter) -> Vec<String>,
    ) -> Self {
        Self {
            width: usize::MAX,
            soft: "",
            bullet: "* ",
            marks: Marks::None,
            separator: None,
            gap: false,
            inside: false,
            delimiter: false,
            tight: false,
            attribution,
            forward,
        }
    }

    pub fn text(&self, letter: &Letter) -> String {
        let mut lines: Vec<String> = Vec::new();
        let mut after_quote = false;
        for block in letter.blocks() {
            if !(lines.is_empty() || after_quote && self.tight) {
                lines.push(String::new());
            }
            after_quote = matches!(block, Block::Quote { .. });
            match block {
                Block::Own(paragraphs) => lines.extend(self.stuffed(self.lines(paragraphs))),
                Block::Signature => {
                    lines.extend(self.delimiter.then(|| "-- ".to_owned()));
                    lines.extend(letter.written.signature.iter().cloned());
                }
                Block::Quote { paragraphs, attributed, whole } => {
                    lines.extend(self.quoted(letter, 0, paragraphs, attributed, whole));
                }
                Block::Forwarded => lines.extend((self.forward)(self, letter)),
            }
        }
        lines.into_iter().map(|line| line + "\n").collect()
    }

    /// The quote of a message, or of these paragraphs of it.
    pub fn quoted(
        &self,
        letter: &Letter,
        depth: usize,
        paragraphs: &[Paragraph],
        attributed: bool,
        whole: bool,
    ) -> Vec<String> {
        let mut quote = if whole { self.whole(letter, depth) } else { self.lines(paragraphs) };
        let mut lines = Vec::new();
        if attributed {
            lines.extend(self.separator.map(str::to_owned));
            lines.extend((self.attribution)(letter, depth));
            lines.extend(self.gap.then(String::new));
        }
        if self.inside {
            lines.append(&mut quote);
            return self.marked(lines);
        }
        lines.extend(self.marked(quote));
        lines
    }

    /// What is answered, as Outlook has it in answers and forwards alike.
    pub fn quoted_in_full(&self, letter: &Letter) -> Vec<String> {
        self.quoted(letter, 0, &letter.earlier[0].paragraphs, true, true)
    }

    /// The message at `depth` with its signature and what it quotes itself.
    pub fn whole(&self, letter: &Letter, depth: usize) -> Vec<String> {
        let written = &letter.earlier[depth];
        let mut lines = self.lines(&written.paragraphs);
        if !written.signature.is_empty() {
            lines.push(String::new());
            lines.extend((self.marks != Marks::None).then(|| "-- ".to_owned()));
            lines.extend(written.signature.iter().cloned());
        }
        if let Some(deeper) = letter.earlier.get(depth + 1) {
            lines.push(String::new());
            lines.extend(self.quoted(letter, depth + 1, &deeper.paragraphs, true, true));
        }
        lines
    }

    pub fn marked(&self, lines: Vec<String>) -> Vec<String> {
        let marked = |line: String| match self.marks {
            Marks::None => line,
            Marks::Compact if line.is_empty() || line.starts_with('>') => format!(">{line}"),
            Marks::Spaced | Marks::Compact => format!("> {line}"),
        };
        lines.into_iter().map(marked).collect()
    }

    /// Lines that could be misread in `format=flowed` are kept apart by a space.
    pub fn stuffed(&self, lines: Vec<String>) -> Vec<String> {
        let stuffed = |line: String| {
            let ambiguous = line.starts_with(' ') || line.starts_with("From ");
            if ambiguous && !self.soft.is_empty() { format!(" {line}") } else { line }
        };
        lines.into_iter().map(stuffed).collect()
    }

    fn lines(&self, paragraphs: &[Paragraph]) -> Vec<String> {
        let mut lines = Vec::new();
        for paragraph in paragraphs {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            match paragraph {
                Paragraph::Prose(sentences) => lines.extend(self.broken("", &sentences.join(" "))),
                Paragraph::List(points) => {
                    lines.extend(points.iter().flat_map(|point| self.broken(self.bullet, point)));
                }
                Paragraph::Code(them) | Paragraph::Courtesy(them) => lines.extend_from_slice(them),
            }
        }
        lines
    }

    fn broken(&self, bullet: &str, text: &str) -> Vec<String> {
        let indent = if self.soft.is_empty() { bullet.chars().count() } else { 0 };
        let mut lines = Vec::new();
        let mut line = bullet.to_owned();
        let mut fresh = true;
        for word in text.split(' ') {
            if !fresh && line.chars().count() + 1 + word.chars().count() > self.width {
                lines.push(line + self.soft);
                line = " ".repeat(indent);
                fresh = true;
            }
            if !fresh {
                line.push(' ');
            }
            line.push_str(word);
            fresh = false;
        }
        lines.push(line);
        lines
    }
}

/// How a client writes HTML; each pair is what opens and what closes.
pub struct Html {
    pub document: [&'static str; 2],
    pub paragraph: [&'static str; 2],
    /// What stands between two paragraphs.
    pub gap: &'static str,
    pub list: [&'static str; 2],
    pub item: [&'static str; 2],
    /// Whether the source is broken into lines.
    pub wrapped: bool,
    /// Around everything from the first quote on.
    pub outer: [&'static str; 2],
    /// Around a quote in a quote.
    pub nested: [&'static str; 2],
    pub quote: [&'static str; 2],
    /// Whether the attribution is part of the quote.
    pub inside: bool,
    pub signature: [&'static str; 2],
    pub attribution: fn(&Letter, usize) -> String,
    pub forward: fn(&Html, &Letter) -> String,
}

impl Html {
    pub fn new(
        attribution: fn(&Letter, usize) -> String,
        forward: fn(&Html, &Letter) -> String,
    ) -> Self {
        Self {
            document: ["", ""],
            paragraph: ["<p>", "</p>"],
            gap: "",
            list: ["<ul>", "</ul>"],
            item: ["<li>", "</li>"],
            wrapped: false,
            outer: ["", ""],
            nested: ["", ""],
            quote: ["", ""],
            inside: false,
            signature: ["", ""],
            attribution,
            forward,
        }
    }

    pub fn text(&self, letter: &Letter) -> String {
        let mut html = String::new();
        let mut quotes = false;
        for block in letter.blocks() {
            let outer = if quotes { "" } else { self.outer[0] };
            let gap = if html.is_empty() { "" } else { self.gap };
            match block {
                Block::Own(paragraphs) => html += &format!("{gap}{}", self.paragraphs(paragraphs)),
                Block::Signature => {
                    html += &format!("{gap}{}", self.signature(&letter.written.signature));
                }
                Block::Quote { paragraphs, attributed, whole } => {
                    html += outer;
                    html += &self.quoted(letter, 0, paragraphs, attributed, whole);
                    quotes = true;
                }
                Block::Forwarded => {
                    html += &format!("{outer}{}", (self.forward)(self, letter));
                    quotes = true;
                }
            }
        }
        let end = if quotes { self.outer[1] } else { "" };
        format!("{}{html}{end}{}", self.document[0], self.document[1])
    }

    pub fn quoted(
        &self,
        letter: &Letter,
        depth: usize,
        paragraphs: &[Paragraph],
        attributed: bool,
        whole: bool,
    ) -> String {
        let said = if attributed { (self.attribution)(letter, depth) } else { String::new() };
        let quote = if whole { self.whole(letter, depth) } else { self.paragraphs(paragraphs) };
        let [open, close] = self.quote;
        if self.inside {
            format!("{open}{said}{quote}{close}")
        } else {
            format!("{said}{open}{quote}{close}")
        }
    }

    /// What is answered, as Outlook has it in answers and forwards alike.
    pub fn quoted_in_full(&self, letter: &Letter) -> String {
        self.quoted(letter, 0, &letter.earlier[0].paragraphs, true, true)
    }

    /// The message at `depth` with its signature and what it quotes itself.
    pub fn whole(&self, letter: &Letter, depth: usize) -> String {
        let written = &letter.earlier[depth];
        let mut html = self.paragraphs(&written.paragraphs);
        if !written.signature.is_empty() {
            html += &format!("{}{}", self.gap, self.signature(&written.signature));
        }
        if let Some(deeper) = letter.earlier.get(depth + 1) {
            html += self.nested[0];
            html += &self.quoted(letter, depth + 1, &deeper.paragraphs, true, true);
            html += self.nested[1];
        }
        html
    }

    fn paragraphs(&self, paragraphs: &[Paragraph]) -> String {
        let between = |[open, close]: [&str; 2], inner: &str| format!("{open}{inner}{close}");
        let html = |paragraph: &Paragraph| match paragraph {
            Paragraph::Prose(sentences) => {
                between(self.paragraph, &self.prose(&sentences.join(" ")))
            }
            Paragraph::List(points) => {
                let items: String =
                    points.iter().map(|point| between(self.item, &self.prose(point))).collect();
                between(self.list, &items)
            }
            Paragraph::Code(lines) | Paragraph::Courtesy(lines) => {
                let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
                between(self.paragraph, &lines.join("<br>"))
            }
        };
        paragraphs.iter().map(html).collect::<Vec<_>>().join(self.gap)
    }

    fn signature(&self, lines: &[String]) -> String {
        let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
        format!("{}{}{}", self.signature[0], lines.join("<br>"), self.signature[1])
    }

    /// Running text, addresses as links.
    fn prose(&self, text: &str) -> String {
        let (mut html, mut column) = (String::new(), 0);
        for word in text.split(' ') {
            if self.wrapped && column > 64 {
                html.push('\n');
                column = 0;
            } else if !html.is_empty() {
                html.push(' ');
            }
            column += word.len() + 1;
            html += &match word.starts_with("https://") {
                true => format!("<a href=\"{word}\">{word}</a>"),
                false => escaped(word),
            };
        }
        html
    }
}

/// Text in which nothing is taken for a tag; spaces at its beginning stay.
pub fn escaped(text: &str) -> String {
    let rest = text.trim_start_matches(' ');
    let indent = "&nbsp;".repeat(text.len() - rest.len());
    let rest = rest.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    indent + &rest.replace('"', "&quot;")
}
