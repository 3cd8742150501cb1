//! Archives with documents in them: .docx and .odt.

use std::fs;
use std::io::{Cursor, Write};
use std::sync::OnceLock;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{Case, built, file};

/// How much a bomb unpacks to; odd, so that it is found again where an archive states it.
const BOMB_BYTES: u64 = (1 << 30) + 12_345;
const BLOCK_BYTES: usize = 1 << 20;
const WORD: &str = "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"";
const ODT: &str = "xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" \
     xmlns:text=\"urn:oasis:names:tc:opendocument:xmlns:text:1.0\" \
     xmlns:table=\"urn:oasis:names:tc:opendocument:xmlns:table:1.0\"";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = archive_cases();
    cases.extend(entity_cases());
    cases.extend(content_cases());
    cases
}

fn archive_cases() -> Vec<Case> {
    vec![
        file("a .docx that unpacks to 1 GiB", "hostile.docx", || bomb().to_vec()),
        file("a .docx that unpacks to 1 GiB and says 100 bytes", "hostile.docx", || {
            let mut bytes = bomb().to_vec();
            let (stated, lie) = ((BOMB_BYTES as u32).to_le_bytes(), 100_u32.to_le_bytes());
            for at in 0..bytes.len() - stated.len() {
                if bytes[at..].starts_with(&stated) {
                    bytes[at..at + lie.len()].copy_from_slice(&lie);
                }
            }
            bytes
        }),
        file("a .docx with 50,000 entries", "hostile.docx", || {
            let names: Vec<String> = (0..50_000).map(|index| format!("word/{index}.xml")).collect();
            archive(names.iter().map(|name| (name.as_str(), "x")))
        }),
        file("a .docx whose entries leave the folder", "hostile.docx", || {
            let document = word("", &paragraphs("Stays inside."));
            archive([
                ("../../../slipped.txt", "x"),
                ("/tmp/slipped.txt", "x"),
                ("C:\\slipped.txt", "x"),
                ("..\\..\\slipped.txt", "x"),
                ("word/../../slipped.txt", "x"),
                ("word/document.xml", document.as_str()),
            ])
        }),
        file("a .docx cut in half", "hostile.docx", || {
            let mut bytes = docx(&word("", &paragraphs("Cut.").repeat(1_000)));
            bytes.truncate(bytes.len() / 2);
            bytes
        }),
        file("a .docx with a byte changed in its content", "hostile.docx", || {
            let mut bytes = docx(&word("", &paragraphs("Changed.").repeat(1_000)));
            let middle = bytes.len() / 2;
            bytes[middle..middle + 40].fill(0x5a);
            bytes
        }),
        file("a .docx without a document", "hostile.docx", || archive([("other.xml", "<a/>")])),
        file("a .docx that is text", "hostile.docx", || b"PK is where I was born.\n".to_vec()),
        file("an .odt that is empty", "hostile.odt", Vec::new),
    ]
}

fn entity_cases() -> Vec<Case> {
    vec![
        file("entities that multiply", "hostile.docx", || {
            let mut entities = String::from("<!ENTITY a0 \"lol\">");
            for level in 1..12 {
                let reference = format!("&a{};", level - 1).repeat(10);
                entities.push_str(&format!("<!ENTITY a{level} \"{reference}\">"));
            }
            docx(&word(&format!("<!DOCTYPE d [{entities}]>"), &paragraphs("&a11;")))
        }),
        file("a large entity 20,000 times", "hostile.docx", || {
            let doctype = format!("<!DOCTYPE d [<!ENTITY a \"{}\">]>", "x".repeat(100_000));
            docx(&word(&doctype, &paragraphs(&"&a;".repeat(20_000))))
        }),
        file("an entity of itself", "hostile.docx", || {
            docx(&word("<!DOCTYPE d [<!ENTITY a \"&b;\"><!ENTITY b \"&a;\">]>", &paragraphs("&a;")))
        }),
        built("an entity from a file outside", |folder| {
            let secret = folder.parent().unwrap().join("outside/secret.txt");
            let doctype =
                format!("<!DOCTYPE d [<!ENTITY a SYSTEM \"file://{}\">]>", secret.display());
            let word = docx(&word(&doctype, &paragraphs("It says &a; here.")));
            fs::write(folder.join("hostile.docx"), word).unwrap();
        }),
    ]
}

fn content_cases() -> Vec<Case> {
    vec![
        file("a .docx of 500,000 paragraphs", "hostile.docx", || {
            docx(&word("", &paragraphs("x").repeat(500_000)))
        }),
        file("a .docx nested 100,000 deep", "hostile.docx", || {
            docx(&word("", &"<w:tbl><w:tr><w:tc>".repeat(100_000)))
        }),
        file("a .docx with an attribute of 10 MB", "hostile.docx", || {
            let attribute = "x".repeat(10 << 20);
            docx(&word("", &format!("<w:p w:a=\"{attribute}\"><w:r><w:t>x</w:t></w:r></w:p>")))
        }),
        file("a .docx in an encoding that it is not in", "hostile.docx", || {
            docx(&word("<?xml version=\"1.0\" encoding=\"UTF-16\"?>", &paragraphs("Not UTF-16.")))
        }),
        file("an .odt of a million elements", "hostile.odt", || {
            odt(&"<text:p>x</text:p>".repeat(1_000_000))
        }),
        file("an .odt nested 100,000 deep", "hostile.odt", || odt(&"<text:span>".repeat(100_000))),
        file("an .odt with two thousand million spaces", "hostile.odt", || {
            odt("<text:p>a<text:s text:c=\"2000000000\"/>b</text:p>")
        }),
        file("an .odt with a cell repeated a thousand million times", "hostile.odt", || {
            odt("<table:table><table:table-row table:number-rows-repeated=\"1000000000\">\
                 <table:table-cell table:number-columns-repeated=\"1000000000\">\
                 <text:p>x</text:p></table:table-cell></table:table-row></table:table>")
        }),
    ]
}

fn archive<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn docx(document: &str) -> Vec<u8> {
    archive([
        (
            "[Content_Types].xml",
            "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>",
        ),
        ("word/document.xml", document),
    ])
}

fn word(before: &str, body: &str) -> String {
    format!("{before}<w:document {WORD}><w:body>{body}</w:body></w:document>")
}

fn paragraphs(text: &str) -> String {
    format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>")
}

fn odt(body: &str) -> Vec<u8> {
    let content = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><office:document-content {ODT}><office:body>\
         <office:text>{body}</office:text></office:body></office:document-content>"
    );
    archive([
        ("mimetype", "application/vnd.oasis.opendocument.text"),
        ("content.xml", content.as_str()),
    ])
}

/// A document of one paragraph, which is one letter again and again.
fn bomb() -> &'static [u8] {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    BOMB.get_or_init(|| {
        let whole = word("", &paragraphs("@"));
        let (before, after) = whole.split_once('@').unwrap();
        let letters = BOMB_BYTES - (before.len() + after.len()) as u64;
        let block = vec![b'a'; BLOCK_BYTES];
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_level(Some(3));
        writer.start_file("word/document.xml", options).unwrap();
        writer.write_all(before.as_bytes()).unwrap();
        for _ in 0..letters / BLOCK_BYTES as u64 {
            writer.write_all(&block).unwrap();
        }
        writer.write_all(&block[..(letters % BLOCK_BYTES as u64) as usize]).unwrap();
        writer.write_all(after.as_bytes()).unwrap();
        writer.finish().unwrap().into_inner()
    })
}
