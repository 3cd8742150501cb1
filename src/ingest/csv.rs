//! Tables as text: a row a document. The delimiter is told from the first row, which names the
//! columns; which of them hold text, title and date is given, or told by their usual names.

use csv::{ReaderBuilder, StringRecord};

use super::dates;
use super::decode::{clean, clean_line};
use super::parsed::{Options, Parsed};
use crate::profile::NewDocument;

const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// Usual names, the likeliest first.
const TEXTS: [&str; 7] = ["text", "body", "content", "message", "review", "comment", "post"];
const TITLES: [&str; 3] = ["title", "subject", "summary"];
const DATES: [&str; 5] = ["date", "created", "created_at", "timestamp", "time"];
/// Columns that a message lists, and letters of each of their names.
const COLUMNS_SHOWN: usize = 20;
const NAME_CHARS_SHOWN: usize = 40;
/// Rows that are named one by one; of the others the number is told.
const ROWS_NAMED: usize = 20;
/// Numbers from here on are times in milliseconds, smaller ones in seconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// A document for each row.
pub(super) fn read(text: &str, options: &Options) -> Parsed {
    let (delimiter, text, lines_before) = match announced_delimiter(text) {
        Some((delimiter, rest)) => (delimiter, rest, 1),
        None => (likeliest_delimiter(text), text, 0),
    };
    let mut rows = ReaderBuilder::new()
        .delimiter(delimiter as u8)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut parsed = Parsed::default();
    let mut header = StringRecord::new();
    if !rows.read_record(&mut header).unwrap_or(false) {
        return parsed;
    }
    let names: Vec<String> = header.iter().map(clean_line).collect();
    let Some(columns) = columns(&names, options, &mut parsed) else { return parsed };
    let mut table = Table { columns, width: names.len(), lines_before, ..Table::default() };
    let mut row = StringRecord::new();
    // What is in memory and is text cannot fail to be read.
    while rows.read_record(&mut row).unwrap_or(false) {
        table.add(&row, &mut parsed);
    }
    table.tell_rest(&mut parsed);
    parsed
}

/// `sep=;` in the first line, as spreadsheets write it; and what follows it.
fn announced_delimiter(text: &str) -> Option<(char, &str)> {
    let (line, rest) = text.split_once('\n')?;
    let named = line.trim_matches(['"', '\r', ' ']).strip_prefix("sep=")?;
    DELIMITERS
        .into_iter()
        .find(|delimiter| named.starts_with(*delimiter))
        .map(|found| (found, rest))
}

/// The delimiter that parts the first row into most fields, of which one should be a text.
fn likeliest_delimiter(text: &str) -> char {
    let mut likeliest = (DELIMITERS[0], (false, 1));
    for delimiter in DELIMITERS {
        let mut first = StringRecord::new();
        let mut rows = ReaderBuilder::new()
            .delimiter(delimiter as u8)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        if !rows.read_record(&mut first).unwrap_or(false) {
            continue;
        }
        let has_text =
            first.iter().any(|name| TEXTS.contains(&name.trim().to_lowercase().as_str()));
        let score = (has_text && first.len() > 1, first.len());
        if score > likeliest.1 {
            likeliest = (delimiter, score);
        }
    }
    likeliest.0
}

/// Numbers of the columns.
#[derive(Debug, Clone, Copy, Default)]
struct Columns {
    text: usize,
    title: Option<usize>,
    date: Option<usize>,
}

fn columns(names: &[String], options: &Options, parsed: &mut Parsed) -> Option<Columns> {
    let wanted = &options.columns;
    let Some(text) = column(names, wanted.text.as_deref(), &TEXTS) else {
        let what = wanted.text.as_deref().map_or_else(
            || "no column has a usual name of texts".to_owned(),
            |name| format!("there is no column {name:?}"),
        );
        let found = listed(names);
        parsed.lose(Some(1), format!("{what}; name one with --text-column (there are: {found})"));
        return None;
    };
    let mut other = |flag: &str, wanted: Option<&str>, usual: &[&str]| {
        let found = column(names, wanted, usual).filter(|found| *found != text);
        if let (Some(name), None) = (wanted, found) {
            let found = listed(names);
            parsed.note(
                Some(1),
                format!("there is no column {name:?}; name one with {flag} (there are: {found})"),
            );
        }
        found
    };
    let title = other("--title-column", wanted.title.as_deref(), &TITLES);
    let date = other("--date-column", wanted.date.as_deref(), &DATES);
    Some(Columns { text, title, date })
}

/// The column of the wanted name, else of the first usual one, in whatever case.
fn column(names: &[String], wanted: Option<&str>, usual: &[&str]) -> Option<usize> {
    let place = |wanted: &str| {
        let wanted = wanted.trim().to_lowercase();
        names.iter().position(|name| name.to_lowercase() == wanted)
    };
    match wanted {
        Some(wanted) => place(wanted),
        None => usual.iter().find_map(|usual| place(usual)),
    }
}

/// The names of the columns, for a message.
fn listed(names: &[String]) -> String {
    let name = |name: &String| name.chars().take(NAME_CHARS_SHOWN).collect::<String>();
    let mut listed: Vec<String> = names.iter().take(COLUMNS_SHOWN).map(name).collect();
    if names.len() > COLUMNS_SHOWN {
        listed.push(format!("and {} more", names.len() - COLUMNS_SHOWN));
    }
    listed.join(", ")
}

/// The rows, and what is wrong with some.
#[derive(Debug, Default)]
struct Table {
    columns: Columns,
    width: usize,
    /// Lines of the file before the first row.
    lines_before: usize,
    /// Rows so far; the first below the names is 1.
    rows: usize,
    blank: usize,
    too_long: usize,
    too_short: usize,
    bad_dates: usize,
}

impl Table {
    fn add(&mut self, row: &StringRecord, parsed: &mut Parsed) {
        self.rows += 1;
        let place = row.position().and_then(|position| usize::try_from(position.line()).ok());
        let line = place.map(|line| line + self.lines_before);
        let (fields, width) = (row.len(), self.width);
        if fields > width {
            self.too_long += 1;
            if self.too_long <= ROWS_NAMED {
                let message = format!(
                    "the row has {fields} fields, its header {width}; left out, since its text may \
                     be cut: put texts with delimiters into quotes"
                );
                parsed.lose(line, message);
            }
            return;
        }
        if fields < width {
            self.too_short += 1;
            if self.too_short <= ROWS_NAMED {
                parsed.note(line, format!("the row has {fields} fields, its header {width}"));
            }
        }
        let field = |column: Option<usize>| column.and_then(|column| row.get(column));
        let text = clean(field(Some(self.columns.text)).unwrap_or_default());
        if text.trim().is_empty() {
            self.blank += 1;
            return;
        }
        let title = clean_line(field(self.columns.title).unwrap_or_default());
        let written = field(self.columns.date).unwrap_or_default().trim();
        let date = day(written);
        if date.is_none() && !written.is_empty() {
            self.bad_dates += 1;
        }
        parsed.documents.push(NewDocument {
            key: self.rows.to_string(),
            kind: "csv".into(),
            title: (!title.is_empty()).then_some(title),
            date,
            text: text.trim().to_owned(),
            ..NewDocument::default()
        });
    }

    /// Tells of the rows that were not named.
    fn tell_rest(&self, parsed: &mut Parsed) {
        if self.too_long > ROWS_NAMED {
            let rest = self.too_long - ROWS_NAMED;
            parsed.lose(None, format!("{rest} more rows have more fields than the header"));
        }
        if self.too_short > ROWS_NAMED {
            let rest = self.too_short - ROWS_NAMED;
            parsed.note(None, format!("{rest} more rows have fewer fields than the header"));
        }
        if self.blank > 0 {
            parsed.note(None, format!("{} rows have no text", self.blank));
        }
        if self.bad_dates > 0 {
            let count = self.bad_dates;
            parsed.note(None, format!("{count} dates are not understood; stored without them"));
        }
    }
}

/// The day of a date as written, or of a time in seconds or milliseconds since 1970.
fn day(written: &str) -> Option<String> {
    dates::day(written).or_else(|| {
        let number: i64 = written.parse().ok()?;
        let is_fine = number.abs() >= MILLISECONDS_FROM;
        dates::day_of_seconds(if is_fine { number / 1000 } else { number })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::parsed::Columns as Wanted;

    fn texts(parsed: &Parsed) -> Vec<&str> {
        parsed.documents.iter().map(|document| document.text.as_str()).collect()
    }

    #[test]
    fn rows_become_documents_with_their_fields() {
        let text =
            "Date,Subject,Body\n2020-05-06,Hi,\"One, two\n\"\"three\"\"\"\n1614816000,,Four\n";
        let parsed = read(text, &Options::default());
        assert_eq!(texts(&parsed), ["One, two\n\"three\"", "Four"]);
        assert_eq!(parsed.documents[0].title.as_deref(), Some("Hi"));
        assert_eq!(parsed.documents[0].date.as_deref(), Some("2020-05-06"));
        assert_eq!(parsed.documents[1].title, None);
        assert_eq!(parsed.documents[1].date.as_deref(), Some("2021-03-04"));
        assert_eq!(parsed.documents[1].key, "2");
        assert!(parsed.problems.is_empty());
    }

    #[test]
    fn the_delimiter_is_told_from_the_first_row() {
        for text in [
            "date;text\n2020-05-06;a, b\n",
            "date\ttext\n2020-05-06\ta, b\n",
            "date|text\n2020-05-06|a, b\n",
            "sep=;\r\nrating, of five;text\n5;a, b\n",
            "text\n\"a, b\"\n",
        ] {
            assert_eq!(texts(&read(text, &Options::default())), ["a, b"], "{text}");
        }
    }

    #[test]
    fn columns_can_be_named() {
        let columns =
            Wanted { text: Some("Antwort".into()), title: Some("Nope".into()), date: None };
        let options = Options { columns, ..Options::default() };
        let parsed = read("text,antwort\nno,yes\n", &options);
        assert_eq!(texts(&parsed), ["yes"]);
        assert!(parsed.problems[0].message.contains("--title-column") && !parsed.problems[0].lost);
    }

    #[test]
    fn a_table_without_texts_is_named_with_its_columns() {
        for text in ["id,score\n1,2\n", "name\nAnn\n"] {
            let parsed = read(text, &Options::default());
            assert!(parsed.documents.is_empty());
            let message = &parsed.problems[0].message;
            assert!(parsed.problems[0].lost && message.contains("--text-column"), "{message}");
            assert!(message.contains(text.lines().next().unwrap().split(',').next().unwrap()));
        }
    }

    #[test]
    fn ragged_rows_are_named_by_line() {
        let text =
            "text,title,date\nfine,t,2020-05-06\none, two,t,d\nshort\n,,\n\"over\ntwo\",t,soon\n";
        let parsed = read(text, &Options::default());
        assert_eq!(texts(&parsed), ["fine", "short", "over\ntwo"]);
        let places: Vec<_> =
            parsed.problems.iter().map(|problem| (problem.line, problem.lost)).collect();
        assert_eq!(places, [(Some(3), true), (Some(4), false), (None, false), (None, false)]);
    }

    #[test]
    fn many_ragged_rows_are_counted() {
        let text = format!("text,title\n{}", "a,b,c\n".repeat(100_000));
        let parsed = read(&text, &Options::default());
        assert_eq!(parsed.problems.len(), ROWS_NAMED + 1);
        assert!(parsed.problems[ROWS_NAMED].message.starts_with("99980 more"));
    }

    #[test]
    fn a_quote_that_nothing_ends_takes_the_rest() {
        let parsed = read("text\n\"never\nends\n", &Options::default());
        assert_eq!(texts(&parsed), ["never\nends"]);
        for text in ["", "\n\n", "text\n", "\"", "text\n\n\n"] {
            assert!(read(text, &Options::default()).documents.is_empty(), "{text:?}");
        }
    }
}
