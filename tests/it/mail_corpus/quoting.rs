//! What each mail client says above what it quotes or forwards: an attribution, a block of fields,
//! in the language of its user.

use super::layout::{Html, Plain, escaped};
use super::letters::Letter;

/// `pattern` with who wrote the message at `depth`, and when.
fn said(letter: &Letter, depth: usize, pattern: &str) -> String {
    let written = &letter.earlier[depth];
    let pattern = match written.author.name {
        "" => pattern.replace("{name} ", ""),
        name => pattern.replace("{name}", name),
    };
    let pattern =
        pattern.replace("{shown}", written.author.shown()).replace("{mail}", written.author.mail);
    letter.language.date(written.at, &pattern)
}

/// Since 2023 the space before AM and PM is a narrow one that does not break.
fn gmail_says(letter: &Letter, depth: usize, pattern: &str) -> String {
    let text = said(letter, depth, pattern);
    if letter.earlier[depth].at.year() < 2023 {
        return text;
    }
    text.replace(" AM", "\u{202f}AM").replace(" PM", "\u{202f}PM")
}

pub fn gmail_attribution(letter: &Letter, depth: usize) -> Vec<String> {
    let text = gmail_says(letter, depth, letter.language.gmail);
    if text.chars().count() <= 76 {
        return vec![text];
    }
    // A long one is broken after the bracket, or before its last word.
    let at = match letter.number.is_multiple_of(2) {
        true => text.find('<').map(|at| at + 1),
        false => text.rfind(' '),
    };
    let (first, second) = text.split_at(at.unwrap());
    vec![first.to_owned(), second.trim_start().to_owned()]
}

pub fn gmail_attribution_html(letter: &Letter, depth: usize) -> String {
    let mail = letter.earlier[depth].author.mail;
    let text = escaped(&gmail_says(letter, depth, letter.language.gmail));
    let text = text.replace(mail, &format!("<a href=\"mailto:{mail}\">{mail}</a>"));
    // The class is younger than the oldest of these messages.
    match letter.earlier[depth].at.year() {
        ..=2017 => format!("{text}<br>"),
        _ => format!("<div dir=\"ltr\" class=\"gmail_attr\">{text}<br></div>"),
    }
}

pub fn apple_attribution(letter: &Letter, depth: usize) -> Vec<String> {
    vec![said(letter, depth, letter.language.apple)]
}

pub fn apple_attribution_html(letter: &Letter, depth: usize) -> String {
    let mail = letter.earlier[depth].author.mail;
    let text = escaped(&said(letter, depth, letter.language.apple));
    let link = format!("<a href=\"mailto:{mail}\" class=\"\">{mail}</a>");
    format!(
        "<div class=\"\">{}</div><br class=\"Apple-interchange-newline\">",
        text.replace(mail, &link)
    )
}

pub fn iphone_attribution_html(letter: &Letter, depth: usize) -> String {
    // The attribution has a quote of its own.
    let text = escaped(&said(letter, depth, letter.language.apple));
    format!("<blockquote type=\"cite\">{text}<br><br></blockquote>")
}

pub fn thunderbird_attribution(letter: &Letter, depth: usize) -> Vec<String> {
    vec![said(letter, depth, letter.language.thunderbird)]
}

pub fn thunderbird_attribution_html(letter: &Letter, depth: usize) -> String {
    let text = escaped(&said(letter, depth, letter.language.thunderbird));
    format!("<div class=\"moz-cite-prefix\">{text}<br>\n</div>\n")
}

/// In English whatever the writer speaks, as most have left it.
pub fn mutt_attribution(letter: &Letter, depth: usize) -> Vec<String> {
    let written = &letter.earlier[depth];
    let when = written.at.strftime("%a, %b %d, %Y at %I:%M:%S%p +0100");
    vec![format!("On {when}, {} wrote:", written.author.shown())]
}

/// From, Sent, To and Subject of the message at `depth`.
fn outlook_fields(letter: &Letter, depth: usize) -> Vec<(&'static str, String)> {
    let written = &letter.earlier[depth];
    let values = [
        written.author.full(),
        letter.language.date(written.at, letter.language.outlook_date),
        written.to.full(),
        letter.subject_at(depth, letter.language.outlook_reply),
    ];
    letter.language.outlook.split('|').skip(1).zip(values).collect()
}

pub fn outlook_attribution(letter: &Letter, depth: usize) -> Vec<String> {
    let fields = outlook_fields(letter, depth).into_iter();
    fields.map(|(label, value)| format!("{label} {value}")).collect()
}

pub fn outlook_attribution_of_old(letter: &Letter, depth: usize) -> Vec<String> {
    let written = &letter.earlier[depth];
    let mut lines = outlook_attribution(letter, depth);
    let labels: Vec<&str> = letter.language.outlook.split('|').collect();
    let author = written.author;
    lines[0] = format!("{} {} [mailto:{}] ", labels[1], author.shown(), author.mail);
    // Somebody of the same house is known by name.
    lines[2] = format!("{} {}", labels[3], written.to.shown());
    lines
}

pub fn outlook_web_attribution(letter: &Letter, depth: usize) -> String {
    let fields = outlook_fields(letter, depth).into_iter();
    let lines = fields.map(|(label, value)| format!("<b>{label}</b> {}", escaped(&value)));
    format!(
        "<div id=\"divRplyFwdMsg\" dir=\"ltr\"><font face=\"Calibri, sans-serif\" \
         style=\"font-size:11pt\" color=\"#000000\">{}</font>\n<div>&nbsp;</div>\n</div>\n",
        lines.collect::<Vec<_>>().join("<br>\n")
    )
}

pub fn outlook_word_attribution(letter: &Letter, depth: usize) -> String {
    let fields = outlook_fields(letter, depth).into_iter();
    let lines = fields.map(|(label, value)| format!("<b>{label}</b> {}", escaped(&value)));
    format!(
        "<div>\n<div style=\"border:none;border-top:solid #E1E1E1 1.0pt;\
         padding:3.0pt 0in 0in 0in\">\n<p class=\"MsoNormal\">{}<o:p></o:p></p>\n</div>\n</div>\n\
         <p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>\n",
        lines.collect::<Vec<_>>().join("<br>\n")
    )
}

/// Gmail translates but the first label.
fn gmail_fields(letter: &Letter) -> [(&'static str, String); 3] {
    let written = &letter.earlier[0];
    let language = letter.language;
    [
        ("Date:", gmail_says(letter, 0, language.gmail_date)),
        ("Subject:", letter.subject_at(0, "Re: ")),
        ("To:", written.to.full()),
    ]
}

pub fn gmail_forward(plain: &Plain, letter: &Letter) -> Vec<String> {
    let author = letter.earlier[0].author;
    let mut lines = vec!["---------- Forwarded message ---------".to_owned()];
    lines.push(format!("{} {}", letter.language.gmail_from, author.full()));
    lines.extend(gmail_fields(letter).map(|(label, value)| format!("{label} {value}")));
    lines.extend([String::new(), String::new()]);
    lines.extend(plain.whole(letter, 0));
    lines
}

pub fn gmail_forward_html(html: &Html, letter: &Letter) -> String {
    let author = letter.earlier[0].author;
    let (from, name, mail) = (letter.language.gmail_from, author.shown(), author.mail);
    let fields = gmail_fields(letter)
        .map(|(label, value)| format!("{label} {}<br>", escaped(&value)))
        .concat();
    format!(
        "<div dir=\"ltr\" class=\"gmail_attr\">---------- Forwarded message ---------<br>{from} \
         <strong class=\"gmail_sendername\" dir=\"auto\">{name}</strong> <span dir=\"auto\">&lt;\
         <a href=\"mailto:{mail}\">{mail}</a>&gt;</span><br>{fields}</div><br><br>{}",
        html.whole(letter, 0)
    )
}

/// The announcement, then From, Subject, Date and To.
fn apple_fields(letter: &Letter) -> (&'static str, Vec<(&'static str, String)>) {
    let written = &letter.earlier[0];
    let mut labels = letter.language.apple_forward.split('|');
    let values = [
        written.author.full(),
        letter.subject_at(0, "Re: "),
        letter.language.date(written.at, letter.language.apple_date),
        written.to.full(),
    ];
    (labels.next().unwrap(), labels.zip(values).collect())
}

pub fn apple_forward(plain: &Plain, letter: &Letter) -> Vec<String> {
    let (announcement, fields) = apple_fields(letter);
    let mut quote: Vec<String> =
        fields.into_iter().map(|(label, value)| format!("{label} {value}")).collect();
    quote.push(String::new());
    quote.extend(plain.whole(letter, 0));
    let mut lines = vec![announcement.to_owned(), String::new()];
    lines.extend(plain.marked(quote));
    lines
}

pub fn apple_forward_html(html: &Html, letter: &Letter) -> String {
    let (announcement, fields) = apple_fields(letter);
    let fields: String = fields
        .into_iter()
        .map(|(label, value)| {
            format!(
                "<div style=\"margin-top: 0px; margin-bottom: 0px;\" class=\"\"><span \
                 style=\"color:rgba(0, 0, 0, 1.0);\" class=\"\"><b class=\"\">{label} </b></span>\
                 <span class=\"\">{}<br class=\"\"></span></div>",
                escaped(&value)
            )
        })
        .collect();
    format!(
        "<blockquote type=\"cite\" class=\"\"><div class=\"\">{announcement}</div><br \
         class=\"Apple-interchange-newline\">{fields}<br class=\"\"><div class=\"\">{}</div>\
         </blockquote>",
        html.whole(letter, 0)
    )
}

/// The announcement, then Subject, Date, From and To.
fn thunderbird_fields(letter: &Letter) -> (&'static str, Vec<(&'static str, String)>) {
    let written = &letter.earlier[0];
    let mut labels = letter.language.thunderbird_forward.split('|');
    let values = [
        letter.subject_at(0, "Re: "),
        written.at.strftime("%a, %-d %b %Y %H:%M:%S +0000").to_string(),
        written.author.full(),
        written.to.full(),
    ];
    (labels.next().unwrap(), labels.zip(values).collect())
}

pub fn thunderbird_forward(plain: &Plain, letter: &Letter) -> Vec<String> {
    let (announcement, fields) = thunderbird_fields(letter);
    let mut lines = vec![String::new(), announcement.to_owned()];
    lines.extend(fields.into_iter().map(|(label, value)| format!("{label} \t{value}")));
    lines.extend([String::new(), String::new()]);
    lines.extend(plain.stuffed(plain.whole(letter, 0)));
    lines
}

pub fn thunderbird_forward_html(html: &Html, letter: &Letter) -> String {
    let (announcement, fields) = thunderbird_fields(letter);
    let rows: String = fields
        .into_iter()
        .map(|(label, value)| {
            format!(
                "<tr><th nowrap=\"nowrap\" valign=\"BASELINE\" align=\"RIGHT\">{label} </th>\
                 <td>{}</td></tr>\n",
                escaped(&value)
            )
        })
        .collect();
    format!(
        "<div class=\"moz-forward-container\"><br>\n<br>\n{announcement}\n<table \
         class=\"moz-email-headers-table\" cellspacing=\"0\" cellpadding=\"0\" border=\"0\">\
         <tbody>\n{rows}</tbody></table>\n<br>\n<br>\n{}</div>\n",
        html.whole(letter, 0)
    )
}

pub fn mutt_forward(plain: &Plain, letter: &Letter) -> Vec<String> {
    let written = &letter.earlier[0];
    let mut lines = vec![
        format!("----- Forwarded message from {} -----", written.author.full()),
        String::new(),
        written.at.strftime("Date: %a, %-d %b %Y %H:%M:%S +0100").to_string(),
        format!("From: {}", written.author.full()),
        format!("To: {}", written.to.full()),
        format!("Subject: {}", letter.subject_at(0, "Re: ")),
        String::new(),
    ];
    lines.extend(plain.whole(letter, 0));
    lines.extend([String::new(), "----- End forwarded message -----".to_owned()]);
    lines
}
