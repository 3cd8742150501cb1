//! A mailbox as a real person's account holds it: what is kept of it is the person's own words and
//! nobody else's.
//!
//! The messages are made, so that it is known of every sentence whose it is:
//!
//! - `words`: sentences of which no two are alike; what clients say in four languages
//! - `letters`: who writes what to whom, in answer to what
//! - `layout`: plain text and HTML, after what a client is told to do
//! - `quoting`: what each client says above what it quotes or forwards
//! - `shapes`: the clients
//! - `wire`: header, MIME parts, Maildir and mbox
//!
//! Nothing here knows how mail is read.

mod layout;
mod letters;
mod quoting;
mod shapes;
mod wire;
mod words;

use std::path::{Path, PathBuf};

use serde_json::Value;

use self::letters::{Extra, Form, Letter, MARA, MARA_AT_WORK, Style, compose};
use self::shapes::{CLIENTS, Client};
use self::words::{ENGLISH, Pen, name_in};
use crate::support::Home;

const MESSAGES: usize = 300;
/// Messages that the person's account has sent by itself.
const AUTOMATIC: [usize; 2] = [30, 121];
const ME: [&str; 2] = ["--me", "mara@example.org,m.quill@work.example"];

/// A message with the truth about it.
struct Message {
    letter: Letter,
    /// Client and style.
    shape: String,
    /// Whether the person's account sent it.
    sent: bool,
    raw: Vec<u8>,
    own: Vec<String>,
    foreign: Vec<String>,
}

impl Message {
    fn name(&self) -> String {
        wire::maildir_name(self.letter.number)
    }

    /// The sentences that it answers, where the answer stands above or below all of them.
    fn answered(&self) -> Vec<String> {
        match self.letter.style {
            Style::Top | Style::Bottom => self.letter.earlier[0].sentences(),
            Style::New | Style::Inline | Style::Forward => Vec::new(),
        }
    }
}

/// The mailbox: of three messages two are sent, in every client's every style in turn.
fn mailbox() -> Vec<Message> {
    let mut pen = Pen::new();
    let shapes: Vec<(&Client, Style)> = CLIENTS
        .iter()
        .flat_map(|client| client.styles.iter().map(move |&style| (client, style)))
        .collect();
    let message = |number: usize| {
        let sent = number % 3 != 2;
        // An odd step that shares no factor with the number of shapes reaches all of them.
        let turn = if sent { number / 3 * 2 + number % 3 } else { number / 3 * 5 };
        let (client, style) = shapes[turn % shapes.len()];
        message(&mut pen, number, sent, client, style)
    };
    (0..MESSAGES).map(message).collect()
}

fn message(pen: &mut Pen, number: usize, sent: bool, client: &Client, style: Style) -> Message {
    let automatic = AUTOMATIC.contains(&number);
    let style = if automatic { Style::New } else { style };
    let at_work = client.name.starts_with("outlook") != pen.in_hundred(8);
    let author = sent.then_some(if at_work { MARA_AT_WORK } else { MARA });
    let mut letter = compose(pen, number, author, style, client.name == "outlook word");
    add_extras(pen, &mut letter, client, sent);
    if automatic {
        letter.subject = format!("Automatic reply: {}", letter.subject);
        letter.headers = match number == AUTOMATIC[0] {
            true => vec!["Auto-Submitted: auto-replied", "Precedence: bulk", "X-Autoreply: yes"],
            false => vec!["Auto-Submitted: auto-generated", "X-Auto-Response-Suppress: All"],
        };
    } else if !sent && pen.in_hundred(15) {
        letter.headers = vec!["List-Unsubscribe: <https://news.example.org/u>", "Precedence: bulk"];
        letter.form = Form::HtmlOnly;
    }
    if !sent {
        letter.headers.push("Delivered-To: mara@example.org");
    }
    let mut raw = wire::message(&letter, &(client.write)(&letter));
    if pen.in_hundred(8) {
        raw = wire::with_crlf(&raw);
    }
    let (mut own, mut foreign) = (letter.written.sentences(), letter.foreign_sentences());
    if !sent || automatic {
        foreign.append(&mut own);
    }
    let kind = if automatic { "automatic".to_owned() } else { format!("{style:?}") };
    let side = if sent { "sent" } else { "received" };
    let shape = format!("{side}, {}, {kind}", client.name);
    Message { letter, shape, sent, raw, own, foreign }
}

/// Attachments, pictures and signatures of another kind.
fn add_extras(pen: &mut Pen, letter: &mut Letter, client: &Client, sent: bool) {
    let pictures = client.name == "apple mail" && letter.style == Style::New;
    letter.extra = match pen.below(100) {
        0..40 if pictures => {
            letter.form = Form::PlainOnly;
            Extra::Picture
        }
        0..30 if client.name == "mutt" => Extra::PgpSignature,
        0..5 => Extra::TextFile(pen.sentence(&ENGLISH)),
        5..10 => {
            // What is sent on is another's; what comes back, from a mail server, is her own.
            let from = if sent { letter.written.to } else { MARA };
            Extra::Message { from, text: pen.sentence(&ENGLISH) }
        }
        _ => Extra::Nothing,
    };
}

fn maildir<'a>(home: &Home, messages: impl IntoIterator<Item = &'a Message>) -> PathBuf {
    for folder in ["new", "tmp"] {
        std::fs::create_dir_all(home.path().join("Mail").join(folder)).unwrap();
    }
    for message in messages {
        home.write(&format!("Mail/cur/{}", message.name()), &message.raw);
    }
    home.path().join("Mail")
}

fn ingest(home: &Home, options: &[&str], path: &Path) -> Value {
    let arguments = ["--json", "ingest", "--user", "me"].iter().chain(options);
    home.run(arguments.copied().chain([path.to_str().unwrap()])).exits(0).json()
}

/// A document as the profile shows it, every run of white space one space.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stored {
    text: String,
    context: String,
    title: String,
    date: String,
    recipient: String,
    kind: String,
}

fn stored(home: &Home) -> Vec<Stored> {
    let list = home.run(["--json", "profile", "list", "--user", "me"]).exits(0).json();
    let show = |summary: &Value| {
        let id = summary["id"].as_str().unwrap();
        let shown = home.run(["--json", "profile", "show", "--user", "me", id]).exits(0).json();
        let field = |name: &str| squeezed(shown[name].as_str().unwrap_or_default());
        Stored {
            text: field("text"),
            context: field("context"),
            title: field("title"),
            date: field("date"),
            recipient: field("recipient"),
            kind: field("kind"),
        }
    };
    list["documents"].as_array().unwrap().iter().map(show).collect()
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_kept(documents: &[Stored], sentence: &str) -> bool {
    let sentence = squeezed(sentence);
    documents.iter().any(|document| document.text.contains(&sentence))
}

/// How often something was right, and where it was not.
struct Tally {
    what: &'static str,
    /// The share that must be right.
    wanted: f64,
    right: usize,
    wrong: Vec<String>,
    /// The first message of which it was not.
    example: String,
}

impl Tally {
    fn new(what: &'static str, wanted: f64) -> Self {
        Self { what, wanted, right: 0, wrong: Vec::new(), example: String::new() }
    }

    fn count(&mut self, right: bool, message: &Message, about: &str) {
        if right {
            self.right += 1;
            return;
        }
        if self.wrong.is_empty() {
            self.example = String::from_utf8_lossy(&message.raw).into_owned();
        }
        self.wrong.push(format!("{} ({}): {about}", message.name(), message.shape));
    }

    fn share(&self) -> f64 {
        self.right as f64 / (self.right + self.wrong.len()).max(1) as f64
    }

    /// Prints the figure, and where it is too low also why.
    fn holds(&self) -> bool {
        let all = self.right + self.wrong.len();
        println!("{}: {} of {all}, {:.2} %", self.what, self.right, 100.0 * self.share());
        let holds = all > 0 && self.share() >= self.wanted;
        if !holds {
            for line in self.wrong.iter().take(20) {
                println!("    {line}");
            }
            println!("    the first of these is\n{}", self.example);
        }
        holds
    }
}

/// Own sentences that are kept, and foreign ones that are not.
fn sentences(messages: &[Message], documents: &[Stored]) -> [Tally; 2] {
    let mut own = Tally::new("the person's sentences that are kept", 0.98);
    let mut foreign = Tally::new("other sentences that are not", 0.99);
    for message in messages {
        for sentence in &message.own {
            own.count(is_kept(documents, sentence), message, sentence);
        }
        for sentence in &message.foreign {
            foreign.count(!is_kept(documents, sentence), message, sentence);
        }
    }
    [own, foreign]
}

/// What is known of each document besides its text.
fn surroundings(messages: &[Message], documents: &[Stored]) -> [Tally; 4] {
    let mut contexts = Tally::new("contexts that hold what is answered", 0.90);
    let mut titles = Tally::new("subjects", 0.98);
    let mut recipients = Tally::new("recipients", 0.98);
    let mut dates = Tally::new("dates", 0.98);
    for message in messages.iter().filter(|message| !message.own.is_empty()) {
        let is_of_it = |document: &&Stored| {
            message.own.iter().any(|sentence| document.text.contains(&squeezed(sentence)))
        };
        let Some(document) = documents.iter().find(is_of_it) else {
            for tally in [&mut titles, &mut recipients, &mut dates] {
                tally.count(false, message, "not stored");
            }
            continue;
        };
        let Letter { subject, written, style, .. } = &message.letter;
        let answered = message.answered();
        if !answered.is_empty() {
            let is_there = |sentence: &String| document.context.contains(&squeezed(sentence));
            contexts.count(answered.iter().any(is_there), message, &document.context);
        }
        let title = match style {
            Style::Forward => without_forward_prefix(&document.title),
            Style::New | Style::Top | Style::Inline | Style::Bottom => document.title.as_str(),
        };
        titles.count(title == squeezed(subject), message, &document.title);
        let to = written.to;
        let is_named = !to.name.is_empty() && document.recipient.contains(to.name);
        let is_addressed = document.recipient.contains(to.mail);
        recipients.count(is_named || is_addressed, message, &document.recipient);
        dates.count(document.date == written.at.date().to_string(), message, &document.date);
    }
    [contexts, titles, recipients, dates]
}

/// Whether a forward's title keeps the word for it is not at stake here.
fn without_forward_prefix(title: &str) -> &str {
    let prefixes = ["Fwd: ", "FW: ", "WG: ", "TR: ", "RV: "];
    prefixes.iter().find_map(|prefix| title.strip_prefix(prefix)).unwrap_or(title)
}

/// The passages that a search for `word` finds and that hold it.
fn found(home: &Home, word: &str) -> usize {
    let answer = home.run(["--json", "profile", "search", "--user", "me", word]).exits(0).json();
    let hits = answer["hits"].as_array().unwrap().iter();
    hits.filter(|hit| hit["text"].as_str().unwrap().contains(word)).count()
}

/// Every n-th of the sentences' names, so that there are about twenty.
fn some_names<'a>(sentences: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    let names: Vec<&str> = sentences.filter_map(|sentence| name_in(sentence)).collect();
    names.iter().copied().step_by(names.len() / 20).collect()
}

#[test]
fn a_mailbox_gives_the_persons_own_words_and_nobody_elses() {
    let mailbox = mailbox();
    let home = Home::new();
    let folder = maildir(&home, &mailbox);
    let report = ingest(&home, &ME, &folder);
    assert_eq!(report["files"]["failed"], 0, "{report:#}");
    let documents = stored(&home);

    let mut all_hold = true;
    for tally in sentences(&mailbox, &documents) {
        all_hold &= tally.holds();
    }
    for tally in surroundings(&mailbox, &documents) {
        all_hold &= tally.holds();
    }
    let phone = documents.iter().filter(|document| document.text.contains("7946 0123")).count();
    println!("texts with the person's own signature: {phone} of {}", documents.len());
    assert!(all_hold, "see the figures above");

    assert!(documents.iter().all(|document| document.kind == "mail"));
    for number in AUTOMATIC {
        let kept = mailbox[number].foreign.iter().find(|sentence| is_kept(&documents, sentence));
        assert_eq!(kept, None, "an automatic reply was kept");
    }
    let foreign = mailbox.iter().flat_map(|message| &message.foreign);
    for name in some_names(foreign.filter(|sentence| !is_kept(&documents, sentence))) {
        assert_eq!(found(&home, name), 0, "{name}");
    }
    let own = mailbox.iter().flat_map(|message| &message.own);
    for name in some_names(own.filter(|sentence| is_kept(&documents, sentence))) {
        assert_ne!(found(&home, name), 0, "{name}");
    }
    let again = ingest(&home, &ME, &folder);
    assert_eq!(again["files"]["ingested"], 0, "{again:#}");
}

#[test]
fn a_file_of_sent_mail_tells_by_itself_whose_it_is() {
    let mailbox = mailbox();
    let sent = || mailbox.iter().filter(|message| message.sent);
    let told = Home::new();
    ingest(&told, &ME, &maildir(&told, sent()));
    let learnt = Home::new();
    let mbox = wire::mbox(sent().map(|message| {
        let written = &message.letter.written;
        (written.author.mail, written.at, message.raw.as_slice())
    }));
    ingest(&learnt, &[], &learnt.write("Mail/Sent", &mbox));

    let documents = |home: &Home| {
        let mut documents = stored(home);
        // The same few courtesies stand in several messages, and any of them may give the date.
        documents.retain(|document| name_in(&document.text).is_some());
        documents.sort();
        documents
    };
    let (told, learnt) = (documents(&told), documents(&learnt));
    assert!(told.len() > 150, "{}", told.len());
    for (told, learnt) in told.iter().zip(&learnt) {
        assert_eq!(told, learnt);
    }
    assert_eq!(told.len(), learnt.len());
}

#[test]
fn a_message_that_only_names_the_person_is_not_hers() {
    let message = |from: &str, more: &str, text: &str| {
        format!(
            "From: {from}\nTo: Ann Bee <ann@example.org>\n{more}Subject: Ferry\n\
             Date: Tue, 3 Mar 2020 17:06:12 +0000\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=utf-8\n\n{text}\n\nMara Quill\nmara@example.org\n"
        )
    };
    let messages = [
        message("Mara Quill <mara@example.org>", "", "The ferry leaves at nine, I am told."),
        message("Bo Larch <bo@larch.example>", "", "I, Mara Quill, never wrote this myself."),
        message(
            "\"Mara Quill\" <comments-noreply@docs.example>",
            "Reply-To: Mara Quill <mara@example.org>\n",
            "Mara Quill added a comment to the timetable.",
        ),
        message(
            "Bo Larch <bo@larch.example>",
            "Sender: Mara Quill <mara@example.org>\nCc: mara@example.org\n",
            "Sent on behalf of somebody who speaks for himself.",
        ),
        message("Mara Quill <mara@example.org.evil.example>", "", "Please send me the vouchers."),
    ];
    let home = Home::new();
    for (number, message) in messages.iter().enumerate() {
        let name = format!("Mail/cur/{}", wire::maildir_name(number));
        home.write(&name, message.as_bytes());
    }
    ingest(&home, &ME, &home.path().join("Mail"));
    let documents = stored(&home);
    assert_eq!(documents.len(), 1, "{documents:#?}");
    assert!(documents[0].text.contains("The ferry leaves at nine, I am told."));
}
