//! Web pages: the article, or the whole of a page that has none, without menus and scripts; title
//! and date from what the page says of itself. Readability decides what the article is.

use std::collections::HashMap;

use dom_smoothie::{Config, Readability};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::decode::{self, clean, clean_line};
use super::parsed::{Options, Parsed};
use super::{dates, html_text};
use crate::profile::NewDocument;

/// Largest page; what the parser builds of it is several times larger.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// Elements in elements: the parser's time, and the stack of the article finder, grow with it.
const DEPTH_MAX: usize = 256;
/// Elements of a page in which an article is looked for; of a larger one all is taken.
const ELEMENTS_MAX: usize = 200_000;
/// Pages of so little text are taken whole where the article would be less than a third of it.
const SHORT_PAGE_BYTES: usize = 6_000;
/// Where a page names its encoding, if it does.
const ENCODING_SAMPLE_BYTES: usize = 4096;
/// Elements that hold nothing, or that end where the next begins: a row of them is no nesting.
const NEVER_NESTED: [&str; 43] = [
    "a", "area", "base", "body", "br", "button", "caption", "col", "colgroup", "dd", "dt", "embed",
    "h1", "h2", "h3", "h4", "h5", "h6", "head", "hr", "html", "img", "input", "li", "link", "meta",
    "nobr", "optgroup", "option", "p", "param", "rp", "rt", "source", "tbody", "td", "tfoot", "th",
    "thead", "tr", "track", "wbr", "title",
];

/// The page as one document, in the encoding that it names.
pub(super) fn read_bytes(bytes: &[u8], options: &Options) -> Parsed {
    if let Some(encoding) = declared_encoding(bytes) {
        let (text, _, had_errors) = encoding.decode(bytes);
        if !had_errors {
            return read(&text, options);
        }
    }
    match decode::text(bytes) {
        Err(why) => Parsed::failed(why),
        Ok(decoded) => {
            let mut parsed = read(&decoded.text, options);
            if decoded.broken > 0 {
                let message =
                    format!("{} places are not valid UTF-8; kept as U+FFFD", decoded.broken);
                parsed.note(None, message);
            }
            parsed
        }
    }
}

/// The page as one document.
pub(super) fn read(text: &str, _options: &Options) -> Parsed {
    let too_deep = || {
        Parsed::failed(format!(
            "its elements are nested more than {DEPTH_MAX} levels deep, as no page of writing is"
        ))
    };
    if text.len() > PAGE_BYTES_MAX {
        return Parsed::failed(format!("the page is larger than {} MiB", PAGE_BYTES_MAX >> 20));
    }
    if nesting(text) > DEPTH_MAX {
        return too_deep();
    }
    let mut page = Readability::from(text);
    page.config =
        Config { disable_json_ld: true, max_elements_to_parse: ELEMENTS_MAX, ..Config::default() };
    let Some(whole) = survey(&page) else { return too_deep() };
    if whole.text.trim().is_empty() {
        return Parsed::default();
    }
    let text = clean(&best_text(&mut page, &whole.text));
    let mut parsed = Parsed::default();
    if !text.trim().is_empty() {
        parsed.documents.push(NewDocument {
            key: String::new(),
            kind: "html".into(),
            title: whole.card_title.or(whole.heading).or(whole.head_title),
            date: whole.published.or(whole.first_time).or(whole.head_date),
            text: text.trim().to_owned(),
            ..NewDocument::default()
        });
    }
    parsed
}

/// The text of the article where there is one that is not a scrap of the page, else `whole`.
/// Changes the page: everything else must have been read before.
fn best_text(page: &mut Readability, whole: &str) -> String {
    let article = page.parse().ok().and_then(|article| survey(&Readability::from(article.content)));
    let article = article.map(|article| article.text).unwrap_or_default();
    let is_scrap = whole.len() < SHORT_PAGE_BYTES && article.len() * 3 < whole.len();
    if article.trim().is_empty() || is_scrap { whole.to_owned() } else { article }
}

/// The encoding that the page names in its mark or in a `<meta>` of its beginning.
fn declared_encoding(bytes: &[u8]) -> Option<&'static Encoding> {
    if let Some((encoding, _)) = Encoding::for_bom(bytes) {
        return Some(encoding);
    }
    // Whoever saves a page as UTF-8 often leaves the old name in it.
    if !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok() {
        return Some(UTF_8);
    }
    let sample = &bytes[..bytes.len().min(ENCODING_SAMPLE_BYTES)];
    let head = String::from_utf8_lossy(sample).to_ascii_lowercase();
    let named = head.match_indices("charset").find_map(|(at, word)| {
        let tag = &head[head[..at].rfind('<')?..at];
        let value = head[at + word.len()..].trim_start().strip_prefix('=')?;
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let end = value.find([' ', '"', '\'', ';', '>', '/']).unwrap_or(value.len());
        tag.starts_with("<meta").then(|| Encoding::for_label(&value.as_bytes()[..end]))?
    })?;
    // A name that could be read in bytes is not in two bytes a letter.
    Some(if named == UTF_16LE || named == UTF_16BE { UTF_8 } else { named })
}

/// How deep the elements stand in one another at most, as far as the tags tell, without building
/// anything. Elements that close themselves are not counted.
fn nesting(html: &str) -> usize {
    let mut open: HashMap<String, usize> = HashMap::new();
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    // Inside scripts and styles, `<` is a sign like others.
    let mut raw: Option<&str> = None;
    for (at, _) in html.match_indices('<') {
        let rest = &html[at + 1..];
        let (is_end, rest) = rest.strip_prefix('/').map_or((false, rest), |rest| (true, rest));
        let length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let name = &rest[..length];
        if let Some(element) = raw {
            if is_end && name.eq_ignore_ascii_case(element) {
                raw = None;
            }
            continue;
        }
        if !name.starts_with(|char: char| char.is_ascii_alphabetic()) {
            continue;
        }
        let name = name.to_ascii_lowercase();
        if NEVER_NESTED.contains(&name.as_str()) {
            continue;
        }
        let is_raw = ["script", "style", "textarea", "xmp"].into_iter().find(|raw| *raw == name);
        let count = open.entry(name).or_default();
        if is_end {
            depth -= usize::from(*count > 0);
            *count = count.saturating_sub(1);
        } else if is_raw.is_some() {
            raw = is_raw;
        } else {
            *count += 1;
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    deepest
}

/// What one pass over a page finds.
#[derive(Debug, Default)]
struct Survey {
    text: String,
    /// The title on the card that other sites show of the page.
    card_title: Option<String>,
    heading: Option<String>,
    head_title: Option<String>,
    published: Option<String>,
    first_time: Option<String>,
    head_date: Option<String>,
}

impl Survey {
    /// Takes title and date where an element gives one; the first of each sort counts.
    fn note(
        &mut self,
        name: &str,
        attribute: impl Fn(&str) -> Option<String>,
        content: impl Fn() -> String,
    ) {
        let line = |text: &str| Some(clean_line(text)).filter(|line| !line.is_empty());
        match name {
            "title" if self.head_title.is_none() => self.head_title = line(&content()),
            "h1" if self.heading.is_none() => self.heading = line(&content()),
            "time" if self.first_time.is_none() => {
                self.first_time = attribute("datetime").and_then(|time| dates::day(&time));
            }
            "meta" => {
                let key = attribute("property").or_else(|| attribute("name")).unwrap_or_default();
                let value = || attribute("content").unwrap_or_default();
                match key.to_ascii_lowercase().as_str() {
                    "og:title" if self.card_title.is_none() => self.card_title = line(&value()),
                    "article:published_time" if self.published.is_none() => {
                        self.published = dates::day(&value());
                    }
                    "date" | "dc.date" | "dcterms.date" | "dcterms.created" | "pubdate"
                        if self.head_date.is_none() =>
                    {
                        self.head_date = dates::day(&value());
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// One pass over a page, from node to node; `None` where it is nested too deeply.
fn survey(page: &Readability) -> Option<Survey> {
    let mut found = Survey::default();
    let mut text = html_text::Builder::default();
    let mut node = page.doc.root();
    let mut depth = 0_usize;
    loop {
        let name = node.node_name();
        let mut is_entered = true;
        if let Some(name) = name.as_deref() {
            let attribute = |key: &str| node.attr(key).map(String::from);
            found.note(name, attribute, || node.text().to_string());
            is_entered = text.open(name);
        } else if node.is_text() {
            text.push(&node.text());
        }
        if is_entered && let Some(child) = node.first_child() {
            depth += 1;
            if depth > DEPTH_MAX + 2 {
                return None;
            }
            node = child;
            continue;
        }
        // Up to where there is a next sibling; whatever is left on the way closes.
        loop {
            if let Some(name) = node.node_name() {
                text.close(&name);
            }
            if depth == 0 {
                found.text = text.finish();
                return Some(found);
            }
            if let Some(sibling) = node.next_sibling() {
                node = sibling;
                break;
            }
            let Some(parent) = node.parent() else {
                found.text = text.finish();
                return Some(found);
            };
            depth -= 1;
            node = parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(html: &str) -> NewDocument {
        let mut parsed = read(html, &Options::default());
        assert!(parsed.problems.is_empty(), "{parsed:?}");
        assert_eq!(parsed.documents.len(), 1);
        parsed.documents.remove(0)
    }

    #[test]
    fn the_article_is_taken_and_the_menu_is_not() {
        let paragraph = "The path went up the hill, past the mill, and over the old bridge, where \
            we stopped for a while to look at the river and to eat what we had brought along. ";
        let html = "<html><head><title>Walk | My site</title><meta property=\"og:title\" \
            content=\"The walk\"><meta property=\"article:published_time\" \
            content=\"2021-03-04T05:06:07Z\"><script>var menu = '<div>';</script></head><body>\
            <nav><ul><li><a href=\"/\">Home</a><li><a href=\"/about\">About</a></ul></nav>\
            <div class=\"sidebar\"><a href=\"/x\">Advertisement</a></div><article><h1>The walk</h1>\
            <p>{}{}</p><p>{}{}</p><p>{}{}</p></article></body></html>"
            .replace("{}", paragraph);
        let document = only(&html);
        assert_eq!(document.title.as_deref(), Some("The walk"));
        assert_eq!(document.date.as_deref(), Some("2021-03-04"));
        assert!(!document.text.contains("Advertisement"), "{}", document.text);
        assert!(!document.text.contains("Home"), "{}", document.text);
        assert!(document.text.contains("brought along.\n\nThe path"));
    }

    #[test]
    fn a_short_page_is_taken_whole() {
        let document = only("<title>Note</title><h1>To do</h1><p>Buy bread.<p>Call Ann.");
        assert!(document.text.contains("Buy bread.\n\nCall Ann."), "{}", document.text);
        assert_eq!(document.title.as_deref(), Some("To do"));
        assert_eq!(document.date, None);
    }

    #[test]
    fn dates_come_from_the_page() {
        let by_time = only("<p>Text.<time datetime=\"2020-05-06T10:00\">yesterday</time>");
        assert_eq!(by_time.date.as_deref(), Some("2020-05-06"));
        let by_meta = only("<meta name=\"Date\" content=\"6 May 2020\"><p>Text.");
        assert_eq!(by_meta.date.as_deref(), Some("2020-05-06"));
        assert_eq!(only("<meta name=\"date\" content=\"soon\"><p>Text.").date, None);
    }

    #[test]
    fn the_encoding_that_a_page_names_is_used() {
        let page = "<meta http-equiv=\"Content-Type\" content=\"text/html; charset=windows-1251\">\
            <p>Привет, Анна!</p>";
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(page);
        let parsed = read_bytes(&bytes, &Options::default());
        assert_eq!(parsed.documents[0].text, "Привет, Анна!");
        // Saved as UTF-8 under the old name.
        let parsed = read_bytes(page.as_bytes(), &Options::default());
        assert_eq!(parsed.documents[0].text, "Привет, Анна!");
    }

    #[test]
    fn a_text_about_charsets_names_none() {
        assert_eq!(declared_encoding(b"<p>charset=utf-16 is rare</p>"), None);
        assert_eq!(declared_encoding(b"<meta charset='utf-16'>"), Some(UTF_8));
        assert_eq!(declared_encoding(b"<meta charset>"), None);
    }

    #[test]
    fn nesting_is_refused_before_anything_is_built() {
        for tag in ["div", "b", "x-y", "table"] {
            let deep = format!("<{tag}>").repeat(100_000);
            let parsed = read(&deep, &Options::default());
            assert!(parsed.problems[0].message.contains("nested"), "{tag}");
        }
        // Hidden from the count of tags, seen in the tree.
        let hidden = "<div><table></div></table>".repeat(2_000);
        assert!(read(&hidden, &Options::default()).problems[0].message.contains("nested"));
    }

    #[test]
    fn many_elements_that_close_themselves_are_no_nesting() {
        assert_eq!(nesting(&"<p>a<br><li>b<td>c".repeat(10_000)), 0);
        assert_eq!(nesting("<script>for (i=0;i<n;i++) s += '<div><div>';</script><div>"), 1);
        assert_eq!(nesting("<DIV><div></DIV></div></div><div></span>"), 2);
        assert_eq!(nesting("1 < 2 <<< <é"), 0);
    }

    #[test]
    fn a_page_that_is_too_large_is_refused() {
        let parsed = read(&"a".repeat(PAGE_BYTES_MAX + 1), &Options::default());
        assert!(parsed.problems[0].message.contains("MiB"));
    }

    #[test]
    fn a_page_without_text_gives_nothing() {
        for html in ["", "<script>x</script>", "<title>T</title><nav>Home</nav>"] {
            assert!(read(html, &Options::default()).documents.is_empty(), "{html}");
        }
    }
}
