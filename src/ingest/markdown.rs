//! Markdown: one document, kept as it was written; title and date come from front matter in
//! YAML (`---`) or TOML (`+++`), else the title from the first heading.

use pulldown_cmark::{Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};
use yaml_rust2::{Yaml, YamlLoader};

use super::{Parsed, dates, problem};
use crate::profile::NewDocument;

/// Title and date out of front matter.
#[derive(Debug, Default, PartialEq, Eq)]
struct FrontMatter {
    title: Option<String>,
    date: Option<String>,
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
            let mut problem = problem("", Some(1), format!("the front matter {why}"));
            problem.lost = false;
            parsed.problems.push(problem);
            FrontMatter::default()
        }),
    };
    let date = front_matter.date.and_then(|written| {
        let day = dates::day(&written);
        if day.is_none() {
            let message = format!("the date {written:?} is not understood; stored without one");
            let mut problem = problem("", Some(1), message);
            problem.lost = false;
            parsed.problems.push(problem);
        }
        day
    });
    let body = text[outline.body_start..].trim();
    if !body.is_empty() {
        parsed.documents.push(NewDocument {
            key: String::new(),
            id: None,
            title: front_matter.title.or(outline.heading),
            date,
            text: body.to_owned(),
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

fn from_yaml(block: &str) -> Result<FrontMatter, String> {
    let documents =
        YamlLoader::load_from_str(block).map_err(|error| format!("is not YAML: {error}"))?;
    let Some(fields) = documents.first() else {
        return Ok(FrontMatter::default());
    };
    let text = |name: &str| match &fields[name] {
        Yaml::String(text) | Yaml::Real(text) => Some(text.trim().to_owned()),
        Yaml::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    Ok(FrontMatter { title: text("title").filter(|title| !title.is_empty()), date: text("date") })
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
    fn a_date_that_is_none_is_named() {
        let parsed = read("---\ndate: some day\n---\nText.");
        assert!(parsed.documents[0].date.is_none());
        assert!(parsed.problems[0].message.contains("some day"));
    }
}
