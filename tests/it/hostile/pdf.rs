//! PDF files, written byte by byte.

use std::io::{Cursor, Read, Write};

use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::{Case, file};

const ADLER_MODULUS: u128 = 65_521;
const BLOCK_BYTES: usize = 1 << 20;
const CATALOGUE: &str = "<< /Type /Catalog /Pages 2 0 R >>";
const PAGES: &str = "<< /Type /Pages /Kids [3 0 R] /Count 1 >>";
const PAGE: &str = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
     /Resources << /Font << /F1 5 0 R >> /XObject << /X1 6 0 R >> >> >>";
const FONT: &str = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>";
const TEXT: &str = "BT /F1 12 Tf 72 720 Td (Dear Ann, the kettle is on.) Tj ET\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = structure_cases();
    cases.extend(stream_cases());
    cases.extend(content_cases());
    cases
}

fn structure_cases() -> Vec<Case> {
    vec![
        file("a PDF whose pages contain themselves", "hostile.pdf", || {
            let pages = "<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 /Parent 2 0 R >>";
            pdf(&[CATALOGUE.into(), pages.into()], "")
        }),
        file("a PDF with a password", "hostile.pdf", || {
            let mut objects = one_page(stream("", &[0xa7; 64]));
            let secret = "5c".repeat(32);
            objects.push(
                format!("<< /Filter /Standard /V 1 /R 2 /O <{secret}> /U <{secret}> /P -4 >>")
                    .into(),
            );
            pdf(&objects, "/Encrypt 6 0 R /ID [<00> <00>]")
        }),
        file("a PDF whose encryption is itself", "hostile.pdf", || {
            let mut objects = one_page(stream("", TEXT.as_bytes()));
            objects.push("6 0 R".into());
            pdf(&objects, "/Encrypt 6 0 R /ID [<00> <00>]")
        }),
        file("a PDF cut in half", "hostile.pdf", || {
            let mut bytes = pdf(&one_page(stream("", TEXT.repeat(1_000).as_bytes())), "");
            bytes.truncate(bytes.len() / 2);
            bytes
        }),
        file("a PDF whose earlier table is the same one", "hostile.pdf", || {
            pdf(&one_page(stream("", TEXT.as_bytes())), "/Prev @START")
        }),
        file("a PDF whose object stream contains itself", "hostile.pdf", own_object_stream),
        file("a PDF that says it has 4,294,967,295 objects", "hostile.pdf", || {
            let whole = pdf(&one_page(stream("", TEXT.as_bytes())), "");
            let text = String::from_utf8(whole).unwrap();
            text.replace("\n0 6\n", "\n0 4294967295\n")
                .replace("/Size 6", "/Size 4294967295")
                .into()
        }),
        file("a PDF of lists nested 100,000 deep", "hostile.pdf", || {
            let mut objects = one_page(stream("", TEXT.as_bytes()));
            objects.push("[".repeat(100_000).into());
            objects.push("<<a".repeat(100_000).into());
            pdf(&objects, "/Info 6 0 R")
        }),
        file("a PDF of 2,147,483,647 pages", "hostile.pdf", || {
            let pages = "<< /Type /Pages /Kids [3 0 R] /Count 2147483647 >>";
            let mut objects = one_page(stream("", TEXT.as_bytes()));
            objects[1] = pages.into();
            pdf(&objects, "")
        }),
        file("a PDF of one page 100,000 times", "hostile.pdf", || {
            let kids = "3 0 R ".repeat(100_000);
            let mut objects = one_page(stream("", TEXT.as_bytes()));
            objects[1] = format!("<< /Type /Pages /Kids [{kids}] /Count 100000 >>").into();
            pdf(&objects, "")
        }),
        file("a PDF without anything after its first line", "hostile.pdf", || {
            b"%PDF-1.7\n".to_vec()
        }),
        file("a PDF without a table", "hostile.pdf", || {
            let bytes = pdf(&one_page(stream("", TEXT.as_bytes())), "");
            let text = String::from_utf8(bytes).unwrap();
            text.split("xref").next().unwrap().to_owned().into()
        }),
    ]
}

fn stream_cases() -> Vec<Case> {
    vec![
        file("a PDF stream of a stated 99,999,999,999 bytes", "hostile.pdf", || {
            let contents = format!("<< /Length 99999999999 >>\nstream\n{TEXT}endstream");
            pdf(&one_page(contents.into()), "")
        }),
        file("a PDF stream of a negative length", "hostile.pdf", || {
            let contents = format!("<< /Length -1 >>\nstream\n{TEXT}endstream");
            pdf(&one_page(contents.into()), "")
        }),
        file("a PDF stream whose length is the stream", "hostile.pdf", || {
            let contents = format!("<< /Length 4 0 R >>\nstream\n{TEXT}endstream");
            pdf(&one_page(contents.into()), "")
        }),
        file("a PDF stream that unpacks to 1 GiB", "hostile.pdf", || {
            let packed = zlib_of_one_byte(b' ', 1 << 30);
            pdf(&one_page(stream("/Filter /FlateDecode", &packed)), "")
        }),
        file("a PDF stream packed twice that unpacks to 1 GiB", "hostile.pdf", || {
            let packed = zlib(&zlib_of_one_byte(b' ', 1 << 30));
            pdf(&one_page(stream("/Filter [/FlateDecode /FlateDecode]", &packed)), "")
        }),
        file("a PDF stream with 10,000 filters", "hostile.pdf", || {
            let filters = "/ASCIIHexDecode ".repeat(10_000);
            pdf(&one_page(stream(&format!("/Filter [{filters}]"), TEXT.as_bytes())), "")
        }),
        file("a PDF stream with rows of 2,147,483,647 columns", "hostile.pdf", || {
            let parameters = "/Filter /FlateDecode /DecodeParms << /Predictor 12 \
                              /Columns 2147483647 /Colors 32 /BitsPerComponent 32 >>";
            pdf(&one_page(stream(parameters, &zlib(TEXT.as_bytes()))), "")
        }),
        file("a PDF stream that is not what its filter says", "hostile.pdf", || {
            let parameters = "/Filter [/LZWDecode /ASCII85Decode /RunLengthDecode /FlateDecode]";
            pdf(&one_page(stream(parameters, &[0x80; 50_000])), "")
        }),
    ]
}

fn content_cases() -> Vec<Case> {
    vec![
        file("a PDF of images only", "hostile.pdf", || {
            let mut objects = one_page(stream("", b"q 600 0 0 700 0 0 cm /X1 Do Q"));
            let image = "/Type /XObject /Subtype /Image /Width 64 /Height 64 \
                         /ColorSpace /DeviceGray /BitsPerComponent 8";
            objects.push(stream(image, &[0x7f; 64 * 64]));
            pdf(&objects, "")
        }),
        file("a PDF form that draws itself", "hostile.pdf", || {
            let mut objects = one_page(stream("", b"/X1 Do"));
            let form = "/Type /XObject /Subtype /Form /BBox [0 0 1 1] \
                        /Resources << /XObject << /X1 6 0 R >> /Font << /F1 5 0 R >> >>";
            objects.push(stream(form, format!("{TEXT}/X1 Do /X1 Do").as_bytes()));
            pdf(&objects, "")
        }),
        file("a PDF font whose letters are 4,294,967,295", "hostile.pdf", || {
            let map = b"/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n\
                /CMapName /A def 1 begincodespacerange <00000000> <FFFFFFFF> endcodespacerange\n\
                1 beginbfrange <00000000> <FFFFFFFE> <0041> endbfrange\n\
                1 begincidrange <00000000> <FFFFFFFE> 0 endcidrange\n\
                endcmap CMapName currentdict /CMap defineresource pop end end\n";
            let mut objects = one_page(stream("", TEXT.as_bytes()));
            objects[4] = "<< /Type /Font /Subtype /Type1 /BaseFont /A /ToUnicode 6 0 R >>".into();
            objects.push(stream("", map));
            pdf(&objects, "")
        }),
        file("a PDF font of endless widths", "hostile.pdf", || {
            let mut objects = one_page(stream("", TEXT.as_bytes()));
            objects[4] = "<< /Type /Font /Subtype /TrueType /BaseFont /A /FirstChar -2147483648 \
                          /LastChar 2147483647 /Widths [1] >>"
                .into();
            pdf(&objects, "")
        }),
        file("a PDF font that is made of itself", "hostile.pdf", || {
            let mut objects = one_page(stream("", TEXT.as_bytes()));
            objects[4] = "<< /Type /Font /Subtype /Type0 /BaseFont /A /Encoding 5 0 R \
                          /DescendantFonts [5 0 R] /ToUnicode 5 0 R >>"
                .into();
            pdf(&objects, "")
        }),
        file("a PDF page of 30 MB of operators", "hostile.pdf", || {
            pdf(
                &one_page(stream(
                    "/Filter /FlateDecode",
                    &zlib(&b"q BT (x) Tj ET\n".repeat(2 << 20)),
                )),
                "",
            )
        }),
        file("a PDF page with states saved a million times", "hostile.pdf", || {
            pdf(&one_page(stream("", &b"q ".repeat(1_000_000))), "")
        }),
        file("a PDF page of lists nested 100,000 deep", "hostile.pdf", || {
            pdf(&one_page(stream("", &b"[(".repeat(100_000))), "")
        }),
        file("a PDF page with numbers that are none", "hostile.pdf", || {
            let content = b"BT /F1 1e999 Tf 9e99 0 0 0 NaN 99999999999999999999 Tm (x) Tj -.-1 Td \
                            [ (a) 9999999999999999999999 (b) ] TJ () ' ( \" Tj ET";
            pdf(&one_page(stream("", content)), "")
        }),
    ]
}

/// Objects 1 to 5: a catalogue, its pages, one page, its contents, a font.
fn one_page(contents: Vec<u8>) -> Vec<Vec<u8>> {
    vec![CATALOGUE.into(), PAGES.into(), PAGE.into(), contents, FONT.into()]
}

fn stream(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let mut object = format!("<< /Length {} {dictionary} >>\nstream\n", data.len()).into_bytes();
    object.extend_from_slice(data);
    object.extend_from_slice(b"\nendstream");
    object
}

/// Objects 1, 2, 3 … and a table whose offsets are right; `@START` in `trailer` becomes the
/// table's own.
fn pdf(objects: &[Vec<u8>], trailer: &str) -> Vec<u8> {
    let (mut bytes, offsets) = body(objects);
    let (start, size) = (bytes.len(), objects.len() + 1);
    let mut end = format!("xref\n0 {size}\n0000000000 65535 f \n");
    for offset in offsets {
        end.push_str(&format!("{offset:010} 00000 n \n"));
    }
    let trailer = trailer.replace("@START", &start.to_string());
    end.push_str(&format!("trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\n"));
    end.push_str(&format!("startxref\n{start}\n%%EOF\n"));
    bytes.extend(end.bytes());
    bytes
}

/// The first line and the objects, with where each begins.
fn body(objects: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut offsets) = (b"%PDF-1.7\n".to_vec(), Vec::new());
    for (index, object) in objects.iter().enumerate() {
        offsets.push(bytes.len());
        bytes.extend(format!("{} 0 obj\n", index + 1).bytes());
        bytes.extend_from_slice(object);
        bytes.extend_from_slice(b"\nendobj\n");
    }
    (bytes, offsets)
}

/// The contents of the page lie in object 6, a stream of objects, and object 6 lies in itself.
fn own_object_stream() -> Vec<u8> {
    let mut objects = one_page("null".into());
    objects.push(stream("/Type /ObjStm /N 2 /First 8", b"4 0 6 5 (x)  << >>"));
    let (mut bytes, offsets) = body(&objects);
    let start = bytes.len();
    // Of each object: its type (1 at an offset, 2 in a stream), the offset or stream, the index.
    let mut table = vec![0, 0, 0, 0, 0, 0, 0];
    for (index, offset) in offsets.iter().copied().chain([start]).enumerate() {
        let (kind, place, within) = match index + 1 {
            4 => (2, 6, 0_u16),
            6 => (2, 6, 1),
            _ => (1, offset as u32, 0),
        };
        table.push(kind);
        table.extend(u32::to_be_bytes(place));
        table.extend(within.to_be_bytes());
    }
    let references = stream("/Type /XRef /Size 8 /W [1 4 2] /Root 1 0 R", &table);
    bytes.extend_from_slice(b"7 0 obj\n");
    bytes.extend(references);
    bytes.extend(format!("\nendobj\nstartxref\n{start}\n%%EOF\n").bytes());
    bytes
}

/// The data packed as FlateDecode unpacks it.
fn zlib(data: &[u8]) -> Vec<u8> {
    let (mut low, mut high) = (1_u64, 0_u64);
    for byte in data {
        low = (low + u64::from(*byte)) % ADLER_MODULUS as u64;
        high = (high + low) % ADLER_MODULUS as u64;
    }
    framed(&deflate([data]), ((high as u32) << 16) | low as u32)
}

/// `count` times the same byte, packed.
fn zlib_of_one_byte(byte: u8, count: u64) -> Vec<u8> {
    let block = vec![byte; BLOCK_BYTES];
    let whole = count / BLOCK_BYTES as u64;
    let rest = &block[..(count % BLOCK_BYTES as u64) as usize];
    let blocks = (0..whole).map(|_| block.as_slice()).chain([rest]);
    let (value, count) = (u128::from(byte), u128::from(count));
    let low = (1 + value * count) % ADLER_MODULUS;
    let high = (count + value * (count * (count + 1) / 2)) % ADLER_MODULUS;
    framed(&deflate(blocks), ((high as u32) << 16) | low as u32)
}

fn framed(deflated: &[u8], adler: u32) -> Vec<u8> {
    let mut bytes = vec![0x78, 0x9c];
    bytes.extend_from_slice(deflated);
    bytes.extend(adler.to_be_bytes());
    bytes
}

/// The raw stream, taken out of an archive.
fn deflate<'a>(blocks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_level(Some(3));
    writer.start_file("x", options).unwrap();
    for block in blocks {
        writer.write_all(block).unwrap();
    }
    let mut archive = ZipArchive::new(writer.finish().unwrap()).unwrap();
    let mut deflated = Vec::new();
    archive.by_index_raw(0).unwrap().read_to_end(&mut deflated).unwrap();
    deflated
}
