//! HTML, Markdown and its front matter, Org, reStructuredText.

use super::{Case, file};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = html_cases();
    cases.extend(markdown_cases());
    cases.extend(front_matter_cases());
    cases.extend(other_cases());
    cases
}

fn html_cases() -> Vec<Case> {
    vec![
        file("HTML nested 100,000 deep", "hostile.html", || {
            page(&format!("{}deep", "<div>".repeat(100_000)))
        }),
        file("HTML with an attribute of 10 MB", "hostile.html", || {
            page(&format!("<p title=\"{}\">Text.</p>", "x".repeat(10 << 20)))
        }),
        file("HTML with an attribute that never ends", "hostile.html", || {
            page(&format!("<p title=\"{}", "<p>x".repeat(500_000)))
        }),
        file("HTML with 100,000 attributes", "hostile.html", || {
            let attributes: String = (0..100_000).map(|index| format!(" a{index}=b")).collect();
            page(&format!("<p{attributes}>Text.</p>"))
        }),
        file("HTML of unclosed tags", "hostile.html", || {
            page(&"<p><b><i><a href=x><table><tr><td><ul><li>text".repeat(10_000))
        }),
        file("HTML whose formatting is opened again in each paragraph", "hostile.html", || {
            // By the standard each paragraph gets a copy of every open element: the square.
            let open: String = (0..3_000).map(|index| format!("<b id={index}>")).collect();
            page(&format!("{open}{}", "<p>x".repeat(3_000)))
        }),
        file("HTML tables within tables, 20,000 deep", "hostile.html", || {
            page(&"<table><tr><td>x".repeat(20_000))
        }),
        file("HTML of a million entities", "hostile.html", || {
            page(&"&amp;&#x110000;&#0;&notin;&CounterClockwiseContourIntegral".repeat(200_000))
        }),
        file("HTML comments that never end", "hostile.html", || {
            page(&"<!--<![CDATA[".repeat(200_000))
        }),
        file("HTML of nested lists and quotes", "hostile.html", || {
            page(&"<blockquote><ul><li><ol><li>x".repeat(20_000))
        }),
        file("HTML with a column of a million", "hostile.html", || {
            page(
                "<table><tr><td colspan=1000000000 rowspan=1000000000>x</td><td>y</td></tr></table>",
            )
        }),
    ]
}

fn markdown_cases() -> Vec<Case> {
    vec![
        file("100,000 nested block quotes", "hostile.md", || {
            format!("{}deep\n", "> ".repeat(100_000)).into()
        }),
        file("100,000 open brackets", "hostile.md", || "[".repeat(100_000).into()),
        file("100,000 links within links", "hostile.md", || "[a](".repeat(100_000).into()),
        file("100,000 images within images", "hostile.md", || "![".repeat(100_000).into()),
        file("100,000 open emphases", "hostile.md", || "*a _b **c __d ".repeat(100_000).into()),
        file("lists nested 3,000 deep", "hostile.md", || staircase("- item", 3_000)),
        file("100,000 lists on one line", "hostile.md", || "- ".repeat(100_000).into()),
        file("code spans of ever more backticks", "hostile.md", || {
            (1..3_000).map(|count| format!("{}x", "`".repeat(count))).collect::<String>().into()
        }),
        file("references that expand", "hostile.md", || {
            let target = "x".repeat(100_000);
            format!("{}\n\n[a]: https://example.org/{target}\n", "[a]\n\n".repeat(20_000)).into()
        }),
        file("a table of 5,000 columns", "hostile.md", || {
            let (row, rule) = ("|x".repeat(5_000), "|-".repeat(5_000));
            format!("{row}\n{rule}\n{}", "|\n".repeat(5_000)).into()
        }),
        file("100,000 open HTML tags and comments", "hostile.md", || {
            "<a <!-- <? <![CDATA[ ".repeat(100_000).into()
        }),
    ]
}

fn front_matter_cases() -> Vec<Case> {
    vec![
        file("YAML aliases that multiply", "hostile.md", || {
            let mut yaml = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
            for level in 1..12 {
                let alias = format!("*a{}, ", level - 1).repeat(9);
                yaml.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
            }
            front_matter(&format!("{yaml}title: *a11\n"))
        }),
        file("a YAML alias of itself", "hostile.md", || front_matter("title: &a [*a, *a]\n")),
        file("YAML nested 100,000 deep", "hostile.md", || {
            front_matter(&format!("title: {}\n", "[".repeat(100_000)))
        }),
        file("YAML keys nested 100,000 deep", "hostile.md", || {
            front_matter(&format!("{}x\n", "? ".repeat(100_000)))
        }),
        file("a title of 5 MB", "hostile.md", || {
            front_matter(&format!("title: {}\n", "T".repeat(5 << 20)))
        }),
        file("TOML nested 50,000 deep", "hostile.md", || {
            format!("+++\na{} = 1\n+++\n\nText.\n", ".a".repeat(50_000)).into()
        }),
        file("front matter that never ends", "hostile.md", || {
            format!("---\n{}", "key: value\n".repeat(100_000)).into()
        }),
    ]
}

fn other_cases() -> Vec<Case> {
    vec![
        file("Org with drawers that never end", "hostile.org", || {
            ":PROPERTIES:\n:LOGBOOK:\n#+BEGIN_QUOTE\n#+BEGIN_SRC\n".repeat(50_000).into()
        }),
        file("Org with ends that were never begun", "hostile.org", || {
            ":END:\n#+END_QUOTE\n#+END_SRC\n".repeat(50_000).into()
        }),
        file("Org headings of 100,000 stars", "hostile.org", || {
            format!("{} deep\ntext\n", "*".repeat(100_000)).repeat(20).into()
        }),
        file("Org links within links", "hostile.org", || "[[a][".repeat(100_000).into()),
        file("100,000 nested lists in reStructuredText", "hostile.rst", || {
            format!("{}deep\n", "* ".repeat(100_000)).into()
        }),
        file("reStructuredText indented 4,000 deep", "hostile.rst", || staircase("level", 4_000)),
        file("100,000 directives in reStructuredText", "hostile.rst", || {
            ".. include:: /etc/passwd\n.. |a| replace:: |a|\n\n|a| :role:`x".repeat(50_000).into()
        }),
        file("underlines of 100,000 styles", "hostile.rst", || {
            "x\n=\nx\n-\n".repeat(50_000).into()
        }),
    ]
}

fn page(body: &str) -> Vec<u8> {
    format!("<!DOCTYPE html><html><head><title>Hostile</title></head><body>{body}").into()
}

fn front_matter(yaml: &str) -> Vec<u8> {
    format!("---\n{yaml}---\n\nText under its front matter.\n").into()
}

/// Every line two spaces deeper than the one before.
fn staircase(line: &str, depth: usize) -> Vec<u8> {
    let mut text = String::new();
    for level in 0..depth {
        text.push_str(&" ".repeat(2 * level));
        text.push_str(line);
        text.push('\n');
    }
    text.into()
}
