//! What people write to each other, before a mail client or the wire has had it: who, when, in
//! answer to what, and whose each sentence is.

use jiff::ToSpan;
use jiff::civil::{DateTime, date};

use super::words::{ENGLISH, FRENCH, GERMAN, Language, Pen, SPANISH, name_in};

/// Somebody with a mailbox; the name may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    pub name: &'static str,
    pub mail: &'static str,
}

impl Person {
    pub fn shown(&self) -> &'static str {
        if self.name.is_empty() { self.mail } else { self.name }
    }

    pub fn full(&self) -> String {
        format!("{} <{}>", self.shown(), self.mail)
    }
}

/// The person whose mailbox it is.
pub const MARA: Person = Person { name: "Mara Quill", mail: "mara@example.org" };
pub const MARA_AT_WORK: Person = Person { name: "Mara Quill", mail: "m.quill@work.example" };
const MARAS_SIGNATURE: [&str; 3] =
    ["Mara Quill", "Keeper of maps, Quill & Sons", "T +44 20 7946 0123"];

const OTHERS: [Person; 9] = [
    Person { name: "Ann Bee", mail: "ann@example.org" },
    Person { name: "Jürgen Groß", mail: "j.gross@verein.example" },
    // Long enough that an attribution has to be broken.
    Person {
        name: "Bartholomew Winterbourne-Ashcombe",
        mail: "bartholomew.winterbourne@archives.example.org",
    },
    Person { name: "Okafor, Ada", mail: "ada.okafor@work.example" },
    Person { name: "Élodie Marchand", mail: "elodie@marchand.example" },
    Person { name: "Bo Larch", mail: "bo@larch.example" },
    Person { name: "Íñigo Sanz", mail: "inigo.sanz@correo.example" },
    Person { name: "Priya N.", mail: "priya+maps@example.net" },
    Person { name: "", mail: "tom@tools.example" },
];

/// Where the answer stands to what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    New,
    Top,
    Inline,
    Bottom,
    Forward,
}

#[derive(Debug, Clone)]
pub enum Paragraph {
    /// Sentences that run on.
    Prose(Vec<String>),
    /// Points, each a sentence.
    List(Vec<String>),
    /// Lines that stay as they are, each counting as a sentence.
    Code(Vec<String>),
    /// Greeting or sign-off: neither owned nor foreign.
    Courtesy(Vec<String>),
}

/// What somebody wrote to somebody.
#[derive(Debug, Clone)]
pub struct Written {
    pub author: Person,
    pub to: Person,
    pub at: DateTime,
    pub paragraphs: Vec<Paragraph>,
    pub signature: Vec<String>,
}

impl Written {
    /// Every sentence that can be told from all others.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for paragraph in &self.paragraphs {
            match paragraph {
                Paragraph::Prose(them) | Paragraph::List(them) | Paragraph::Code(them) => {
                    sentences.extend(them.iter().map(|sentence| sentence.trim().to_owned()));
                }
                Paragraph::Courtesy(_) => {}
            }
        }
        sentences.extend(self.signature.iter().filter(|line| name_in(line).is_some()).cloned());
        sentences
    }

    /// With the apostrophes that a word processor makes.
    fn curled(mut self) -> Self {
        for paragraph in &mut self.paragraphs {
            if let Paragraph::Prose(sentences) | Paragraph::List(sentences) = paragraph {
                for sentence in sentences {
                    *sentence = sentence.replace('\'', "’");
                }
            }
        }
        self
    }
}

/// Which of the two alternatives are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    AsUsual,
    PlainOnly,
    HtmlOnly,
}

/// How text parts travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    AsUsual,
    EightBit,
    QuotedPrintable,
    Base64,
}

/// What a message carries besides its text.
#[derive(Debug, Clone)]
pub enum Extra {
    Nothing,
    /// A file of somebody else's text.
    TextFile(String),
    /// A whole message of somebody.
    Message {
        from: Person,
        text: String,
    },
    /// A picture, with text before and after it.
    Picture,
    PgpSignature,
}

/// A message before its client and the wire have had it.
#[derive(Debug, Clone)]
pub struct Letter {
    pub number: usize,
    pub style: Style,
    pub language: &'static Language,
    /// Without `Re:` and its like.
    pub subject: String,
    pub zone: &'static str,
    pub written: Written,
    /// What it answers or forwards, newest first.
    pub earlier: Vec<Written>,
    /// Whether the signature goes without a line of `-- `, as Gmail can be told.
    pub bare_signature: bool,
    /// What a server adds at the very end: a disclaimer, a list's footer.
    pub tail: Vec<String>,
    pub form: Form,
    pub encoding: Encoding,
    pub extra: Extra,
    /// More lines of the header.
    pub headers: Vec<&'static str>,
}

/// A piece of a letter, in the order in which it is read.
#[derive(Debug)]
pub enum Block<'a> {
    Own(&'a [Paragraph]),
    Signature,
    /// A part of what is answered: attributed where it is the first, whole where nothing was cut.
    Quote {
        paragraphs: &'a [Paragraph],
        attributed: bool,
        whole: bool,
    },
    Forwarded,
}

impl Letter {
    /// The subject of the message at `depth`, which `prefix` marks where that is an answer.
    pub fn subject_at(&self, depth: usize, prefix: &str) -> String {
        let answers = depth + 1 < self.earlier.len();
        format!("{}{}", if answers { prefix } else { "" }, self.subject)
    }

    pub fn blocks(&self) -> Vec<Block<'_>> {
        let own = &self.written.paragraphs[..];
        let theirs = self.earlier.first().map_or(&[][..], |earlier| &earlier.paragraphs[..]);
        let quote = Block::Quote { paragraphs: theirs, attributed: true, whole: true };
        let mut blocks = match self.style {
            Style::New => vec![Block::Own(own), Block::Signature],
            Style::Top => vec![Block::Own(own), Block::Signature, quote],
            Style::Bottom => vec![quote, Block::Own(own), Block::Signature],
            Style::Forward => vec![Block::Own(own), Block::Signature, Block::Forwarded],
            Style::Inline => self.answers_between(own, theirs),
        };
        blocks.retain(|block| match block {
            Block::Own(paragraphs) => !paragraphs.is_empty(),
            Block::Signature => !self.written.signature.is_empty(),
            Block::Quote { .. } | Block::Forwarded => true,
        });
        blocks
    }

    /// Answers below what they answer; every other person says something before the first quote.
    fn answers_between<'a>(&self, own: &'a [Paragraph], theirs: &'a [Paragraph]) -> Vec<Block<'a>> {
        let (before, answers) = own.split_at(usize::from(self.number.is_multiple_of(2)));
        let mut blocks = vec![Block::Own(before)];
        for (index, answered) in theirs.iter().enumerate() {
            let paragraphs = std::slice::from_ref(answered);
            blocks.push(Block::Quote { paragraphs, attributed: index == 0, whole: false });
            let end = if index + 1 == theirs.len() { answers.len() } else { index + 1 };
            blocks.push(Block::Own(&answers[index..end]));
        }
        blocks.push(Block::Signature);
        blocks
    }

    /// The sentences of everybody but its author.
    pub fn foreign_sentences(&self) -> Vec<String> {
        let mut sentences: Vec<String> = self.earlier.iter().flat_map(Written::sentences).collect();
        sentences.extend(self.tail.iter().filter(|line| name_in(line).is_some()).cloned());
        if let Extra::TextFile(text) | Extra::Message { text, .. } = &self.extra {
            sentences.push(text.clone());
        }
        sentences
    }
}

/// A letter of the mailbox: written by its owner as `author`, or to her by somebody where `author`
/// is `None`. `curly` makes the apostrophes typographic.
pub fn compose(
    pen: &mut Pen,
    number: usize,
    author: Option<Person>,
    style: Style,
    curly: bool,
) -> Letter {
    let foreign = [&GERMAN, &FRENCH, &SPANISH];
    let language = if pen.in_hundred(16) { pen.pick(&foreign) } else { &ENGLISH };
    let other = pen.pick(&OTHERS);
    let (author, to) = author.map_or((other, MARA), |mara| (mara, other));
    let minutes = number * 9 * 1440 + 7 * 60 + pen.below(16 * 60);
    let seconds = i64::try_from(minutes * 60 + pen.below(60)).unwrap();
    let at = date(2017, 1, 2).at(0, 0, 0, 0) + seconds.seconds();
    let mut written = Written { author, to, at, paragraphs: Vec::new(), signature: Vec::new() };
    let mut earlier = earlier(pen, language, &written, style);
    written.paragraphs = own_paragraphs(pen, language, &written, &earlier, style);
    written.signature = signature(pen, author, 50);
    if curly {
        written = written.curled();
        earlier = earlier.into_iter().map(Written::curled).collect();
    }
    Letter {
        number,
        style,
        language,
        subject: subject(pen),
        zone: pen.pick(&["+0000", "+0100", "-0500", "-0800", "+1030", "+0000 (UTC)"]),
        tail: tail(pen, author),
        written,
        earlier,
        bare_signature: pen.in_hundred(50),
        form: match pen.below(100) {
            0..10 => Form::HtmlOnly,
            10..25 => Form::PlainOnly,
            _ => Form::AsUsual,
        },
        encoding: match pen.below(100) {
            0..15 => Encoding::EightBit,
            15..30 => Encoding::QuotedPrintable,
            30..45 => Encoding::Base64,
            _ => Encoding::AsUsual,
        },
        extra: Extra::Nothing,
        headers: Vec::new(),
    }
}

fn earlier(pen: &mut Pen, language: &Language, answer: &Written, style: Style) -> Vec<Written> {
    let depth = match style {
        Style::New => 0,
        Style::Inline => 1,
        Style::Top | Style::Bottom | Style::Forward => 1 + usize::from(pen.in_hundred(35)),
    };
    let (mut author, mut to, mut at) = (answer.to, answer.author, answer.at);
    let mut earlier = Vec::new();
    for _ in 0..depth {
        at -= i64::try_from(20 + pen.below(3000)).unwrap().minutes();
        let mut written = Written { author, to, at, paragraphs: Vec::new(), signature: Vec::new() };
        if style == Style::Inline {
            // Paragraph by paragraph: what is courteous has been cut.
            let count = 2 + pen.below(2);
            written.paragraphs = paragraphs(pen, language, count);
        } else {
            let count = 1 + pen.below(2);
            written.paragraphs = paragraphs(pen, language, count);
            add_courtesies(pen, language, &mut written);
            written.signature = signature(pen, author, 40);
        }
        earlier.push(written);
        // Before that, the person herself or a third one had written.
        let before = if pen.in_hundred(40) { to } else { pen.pick(&OTHERS) };
        (author, to) = (before, author);
    }
    earlier
}

fn own_paragraphs(
    pen: &mut Pen,
    language: &Language,
    written: &Written,
    earlier: &[Written],
    style: Style,
) -> Vec<Paragraph> {
    let count = match style {
        Style::New => 2 + pen.below(3),
        Style::Top | Style::Bottom => 1 + pen.below(3),
        Style::Inline => earlier[0].paragraphs.len() + 1,
        Style::Forward => usize::from(pen.in_hundred(85)),
    };
    let mut written = Written { paragraphs: paragraphs(pen, language, count), ..written.clone() };
    if style != Style::Inline && count > 0 {
        add_courtesies(pen, language, &mut written);
    }
    written.paragraphs
}

/// Paragraphs of which the first is prose and long enough to be like no other.
fn paragraphs(pen: &mut Pen, language: &Language, count: usize) -> Vec<Paragraph> {
    let mut paragraphs = Vec::new();
    for index in 0..count {
        let kind = if index == 0 { 9 } else { pen.below(10) };
        paragraphs.push(match kind {
            0 => {
                let points = 2 + pen.below(3);
                Paragraph::List(pen.sentences(language, points))
            }
            1 if language.code == "en" => Paragraph::Code(vec![
                pen.fill("def {w}(rows, rate={n}):"),
                pen.fill("    return sum(rows) * rate - {w}_offset  # {n} & more"),
            ]),
            _ => {
                let sentences = usize::from(index == 0) + 1 + pen.below(3);
                Paragraph::Prose(pen.sentences(language, sentences))
            }
        });
    }
    paragraphs
}

fn add_courtesies(pen: &mut Pen, language: &Language, written: &mut Written) {
    let first_name = |person: Person, nameless: &'static str| {
        person.name.split([' ', ',']).next().filter(|name| !name.is_empty()).unwrap_or(nameless)
    };
    if pen.in_hundred(60) {
        let greeting = language.greeting.replace("{name}", first_name(written.to, "all"));
        written.paragraphs.insert(0, Paragraph::Courtesy(vec![greeting]));
    }
    if pen.in_hundred(50) {
        let lines = vec![language.closing.to_owned(), first_name(written.author, "T.").to_owned()];
        written.paragraphs.push(Paragraph::Courtesy(lines));
    }
}

fn signature(pen: &mut Pen, author: Person, in_hundred: usize) -> Vec<String> {
    if !pen.in_hundred(in_hundred) {
        return Vec::new();
    }
    if author.name == MARA.name {
        return MARAS_SIGNATURE.map(str::to_owned).to_vec();
    }
    vec![author.shown().to_owned(), pen.fill("Head of {w} Works"), pen.fill("+44 20 7946 0{n}")]
}

fn subject(pen: &mut Pen) -> String {
    let template = pen.pick(&[
        "The {t} for {w}",
        "{w} on {d}",
        "Café {w} and the {t}",
        "Re-opening {w}",
        "Question: {t} or {w}?",
        "Minutes of the meeting in {p} on {d}, with {n} remarks about the {t} that {w} sent",
    ]);
    pen.fill(template)
}

fn tail(pen: &mut Pen, author: Person) -> Vec<String> {
    let disclaimers: [&[&str]; 3] = [
        &[
            "CONFIDENTIALITY NOTICE: This e-mail and any attachments are for the sole use of the \
             intended recipient and may contain information that is privileged by {w} LLP.",
            "If you are not the intended recipient, please notify {w} by reply e-mail and destroy \
             all copies of the original message.",
        ],
        &[
            "This email and any files transmitted with it are confidential and intended solely \
             for the use of the individual or entity to whom they are addressed by {w}.",
            "{w} Limited is registered in England and Wales under number 0{n}{n}.",
        ],
        &[
            "Diese E-Mail enthält vertrauliche und/oder rechtlich geschützte Informationen der \
             {w} GmbH.",
            "Wenn Sie nicht der richtige Adressat sind, informieren Sie bitte sofort {w} und \
             vernichten Sie diese E-Mail.",
        ],
    ];
    let footers: [&[&str]; 2] = [
        &[
            "_______________________________________________",
            "{w} mailing list",
            "talk@lists.example.org",
            "https://lists.example.org/mailman/listinfo/talk",
        ],
        &[
            "-- ",
            "You received this message because you are subscribed to the Google Groups \"{w}\" \
             group.",
            "To unsubscribe from this group and stop receiving emails from it, send an email to \
             talk+unsubscribe@googlegroups.example.",
        ],
    ];
    let lines: &[&str] = match (author.mail.ends_with("work.example"), pen.below(100)) {
        (true, 0..40) => pen.pick(&disclaimers),
        (false, 0..10) => pen.pick(&footers),
        _ => &[],
    };
    lines.iter().map(|line| pen.fill(line)).collect()
}
