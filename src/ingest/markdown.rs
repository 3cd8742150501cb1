//! Markdown: one document, kept as it was written; title and date come from front matter in
//! YAML (`---`) or TOML (`+++`), else the title from the first heading.

use pulldown_cmark::{Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};
use yaml_rust2::parser::{Event as YamlEvent, Parser as YamlParser};

use super::decode::clean_line;
use super::{Parsed, dates};
use crate::profile::NewDocument;

/// Lists in maps in lists: no front matter has more levels.
const YAML_DEPTH_MAX: usize = 64;

/// Title and date out of front matter.
#[derive(Debug, Default, PartialEq, Eq)]
struct FrontMatter {
    title: Option<String>,
    date: Option<String>,
}

impl FrontMatter {
    fn set(&mut self, name: &str, value: &str) {
        let value = (!value.is_empty()).then(|| value.to_owned());
        match name {
            "title" => self.title = value,
            "date" => self.date = value,
            _ => {}
        }
    }
}

/// What stands outside the text itself.
#[derive(Debug, Default)]
struct Outline {
    front_matter: Option<(MetadataBlockKind, String)>,
    /// Where the text begins, after the front matter.
    body_start: usize,
    heading: Option<String>,
}

/// The text as one document.
pub(super) fn read(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let outline = outline(text);
    let front_matter = match &outline.front_matter {
        None => FrontMatter::default(),
        Some((kind, block)) => front_matter(*kind, block).unwrap_or_else(|why| {
            parsed.note(Some(1), format!("the front matter {why}"));
            FrontMatter::default()
        }),
    };
    let date = front_matter.date.and_then(|written| {
        let day = dates::day(&written);
        if day.is_none() {
            let message = format!("the date {written:?} is not understood; stored without one");
            parsed.note(Some(1), message);
        }
        day
    });
    let body = text[outline.body_start..].trim();
    if !body.is_empty() {
        parsed.documents.push(NewDocument {
            title: front_matter.title.or(outline.heading).map(|title| clean_line(&title)),
            date,
            text: body.to_owned(),
            ..NewDocument::default()
        });
    }
    parsed
}

fn outline(text: &str) -> Outline {
    let options = Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut outline = Outline::default();
    let mut block: Option<(MetadataBlockKind, String)> = None;
    let mut heading: Option<String> = None;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            // Only a block at the very beginning is front matter; a later one is text.
            Event::Start(Tag::MetadataBlock(kind)) if text[..range.start].trim().is_empty() => {
                block = Some((kind, String::new()));
            }
            Event::End(TagEnd::MetadataBlock(_)) if block.is_some() => {
                outline.front_matter = block.take();
                outline.body_start = range.end;
            }
            Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) => {
                heading = Some(String::new());
            }
            Event::End(TagEnd::Heading(HeadingLevel::H1)) => {
                outline.heading = heading.filter(|title| !title.trim().is_empty());
                return outline;
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some((_, content)) = &mut block {
                    content.push_str(&part);
                } else if let Some(title) = &mut heading {
                    title.push_str(&part);
                }
            }
            _ => {}
        }
    }
    outline
}

fn front_matter(kind: MetadataBlockKind, block: &str) -> Result<FrontMatter, String> {
    match kind {
        MetadataBlockKind::YamlStyle => from_yaml(block),
        MetadataBlockKind::PlusesStyle => from_toml(block),
    }
}

/// Reads the top-level `title` and `date`, event by event: what is nested below other keys is
/// passed over without being built, however deep it is.
fn from_yaml(block: &str) -> Result<FrontMatter, String> {
    let mut parser = YamlParser::new_from_str(block);
    let mut front_matter = FrontMatter::default();
    let mut depth = 0_usize;
    // At depth 1, keys and values take turns.
    let mut key: Option<String> = None;
    loop {
        let (event, _) = parser.next_token().map_err(|error| format!("is not YAML: {error}"))?;
        let at_top = depth == 1;
        match event {
            YamlEvent::StreamEnd => return Ok(front_matter),
            YamlEvent::MappingStart(..) | YamlEvent::SequenceStart(..) => {
                depth += 1;
                if depth > YAML_DEPTH_MAX {
                    return Err("is nested too deeply".into());
                }
            }
            YamlEvent::MappingEnd | YamlEvent::SequenceEnd => {
                depth = depth.saturating_sub(1);
                if depth == 1 {
                    key = None;
                }
            }
            YamlEvent::Scalar(text, ..) if at_top => match key.take() {
                None => key = Some(text),
                Some(name) => front_matter.set(&name, text.trim()),
            },
            YamlEvent::Alias(_) if at_top => key = None,
            _ => {}
        }
    }
}

fn from_toml(block: &str) -> Result<FrontMatter, String> {
    let fields: toml::Table = block
        .parse()
        .map_err(|error: toml::de::Error| format!("is not TOML: {}", error.message()))?;
    let text = |name: &str| match fields.get(name)? {
        toml::Value::String(text) => Some(text.trim().to_owned()),
        toml::Value::Datetime(time) => Some(time.to_string()),
        toml::Value::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    Ok(FrontMatter { title: text("title").filter(|title| !title.is_empty()), date: text("date") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> NewDocument {
        let mut parsed = read(text);
        assert_eq!(parsed.documents.len(), 1, "{parsed:?}");
        parsed.documents.remove(0)
    }

    #[test]
    fn yaml_front_matter_gives_title_and_date() {
        let document =
            only("---\ntitle: \"A: walk\"\ndate: 2020-05-06\ntags: [x]\n---\n\n# H\n\nText.\n");
        assert_eq!(document.title.as_deref(), Some("A: walk"));
        assert_eq!(document.date.as_deref(), Some("2020-05-06"));
        assert_eq!(document.text, "# H\n\nText.");
    }

    #[test]
    fn toml_front_matter_gives_title_and_date() {
        let document = only("+++\ntitle = \"T\"\ndate = 2020-05-06T01:02:03Z\n+++\nText.");
        assert_eq!(document.title.as_deref(), Some("T"));
        assert_eq!(document.date.as_deref(), Some("2020-05-06"));
        assert_eq!(document.text, "Text.");
    }

    #[test]
    fn without_front_matter_the_heading_is_the_title() {
        let document = only("# The *big* `one`\n\nText.\n\n---\n\nMore: text\n\n---\n");
        assert_eq!(document.title.as_deref(), Some("The big one"));
        assert!(document.text.ends_with("---"));
    }

    #[test]
    fn a_broken_block_is_named_and_the_text_goes_in() {
        let parsed = read("---\ntitle: [\n---\nText.");
        assert_eq!(parsed.documents[0].text, "Text.");
        assert_eq!(parsed.problems.len(), 1);
        assert!(!parsed.problems[0].lost);
    }

    #[test]
    fn nested_values_are_passed_over() {
        let document =
            only("---\nauthor:\n  title: Dr\n  date: [1, {x: y}]\ntags: [a]\ntitle: T\n---\nText.");
        assert_eq!(document.title.as_deref(), Some("T"));
        assert_eq!(document.date, None);
    }

    #[test]
    fn hostile_front_matter_costs_nothing() {
        let deep = format!("---\n{}x\n---\nText.", "- ".repeat(100_000));
        assert_eq!(read(&deep).documents[0].text, "Text.");
        let aliases = "---\na: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ntitle: T\n---\nText.";
        assert_eq!(only(aliases).title.as_deref(), Some("T"));
    }

    #[test]
    fn a_date_that_is_none_is_named() {
        let parsed = read("---\ndate: some day\n---\nText.");
        assert!(parsed.documents[0].date.is_none());
        assert!(parsed.problems[0].message.contains("some day"));
    }
}
