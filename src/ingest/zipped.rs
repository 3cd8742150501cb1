//! Members of a zip file, unpacked in memory under limits. It does not know what they mean, and
//! writes nothing: a member's name is compared, never used as a path.

use std::io::{Cursor, Read};

use thiserror::Error;
use zip::ZipArchive;

/// Largest member, unpacked, that any format needs.
pub(super) const MEMBER_BYTES_MAX: u64 = 32 << 20;
/// Files in one archive; a document with many pictures has hundreds.
const MEMBERS_MAX: usize = 10_000;
/// Unpacked bytes per packed byte. Writing packs to a tenth, the emptiest table to a hundredth.
const RATIO_MAX: u64 = 200;
/// Unpacked size that is allowed whatever the ratio.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// Why a member cannot be had.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum MemberError {
    /// No zip file at all, or one whose directory is broken.
    #[error("it is no zip file inside, or a damaged one; open it and save it again")]
    NotAZip,
    /// Too many members.
    #[error("it holds more than {} files", MEMBERS_MAX)]
    TooMany,
    /// The member needs a password.
    #[error("it is encrypted; save a copy without a password")]
    Encrypted,
    /// The member cannot be unpacked.
    #[error("a part of it is damaged, or packed in a way that is not read")]
    Damaged,
    /// The member is larger than allowed.
    #[error("a part of it is larger than {mib_max} MiB when unpacked")]
    TooLarge {
        /// The bound, in MiB.
        mib_max: u64,
    },
    /// The member grows as no document does.
    #[error("a part of it grows more than {} times when unpacked, as no document does", RATIO_MAX)]
    Bomb,
}

/// The bytes of the member called `name`, or `None` where there is none of that name.
///
/// # Errors
/// Where the archive or the member is not one that a document is made of, or where the member is
/// larger than `bytes_max`.
pub(super) fn member(
    bytes: &[u8],
    name: &str,
    bytes_max: u64,
) -> Result<Option<Vec<u8>>, MemberError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|_| MemberError::NotAZip)?;
    if archive.len() > MEMBERS_MAX {
        return Err(MemberError::TooMany);
    }
    let Some(index) = archive.index_for_name_raw(name.as_bytes()) else { return Ok(None) };
    let (encrypted, packed) = {
        let entry = archive.by_index_data(index).map_err(|_| MemberError::Damaged)?;
        (entry.encrypted(), entry.compressed_size())
    };
    if encrypted {
        return Err(MemberError::Encrypted);
    }
    // The packed size is a claim; the file's own size is not.
    let packed = packed.min(bytes.len() as u64);
    let by_ratio = RATIO_FREE_BYTES.max(packed.saturating_mul(RATIO_MAX));
    let allowed = bytes_max.min(by_ratio);
    let file = archive.by_index(index).map_err(|_| MemberError::Damaged)?;
    let mut unpacked = Vec::new();
    file.take(allowed.saturating_add(1))
        .read_to_end(&mut unpacked)
        .map_err(|_| MemberError::Damaged)?;
    if unpacked.len() as u64 <= allowed {
        Ok(Some(unpacked))
    } else if allowed < bytes_max {
        Err(MemberError::Bomb)
    } else {
        Err(MemberError::TooLarge { mib_max: bytes_max >> 20 })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// A zip file of these members.
    pub(in crate::ingest) fn packed(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in members {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_member_is_found_by_its_name_alone() {
        let bytes = packed(&[("a/b.xml", b"one"), ("../../etc/passwd", b"two")]);
        assert_eq!(member(&bytes, "a/b.xml", 100).unwrap().unwrap(), b"one");
        assert_eq!(member(&bytes, "b.xml", 100), Ok(None));
        assert_eq!(member(&bytes, "../../etc/passwd", 100).unwrap().unwrap(), b"two");
    }

    #[test]
    fn a_member_over_the_bound_is_refused() {
        // Digits that pack badly, so that the bound and not the ratio is at stake.
        let content: Vec<u8> =
            (0..3_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let bytes = packed(&[("a", &content)]);
        assert!(member(&bytes, "a", 4 << 20).unwrap().is_some());
        assert_eq!(member(&bytes, "a", 2 << 20), Err(MemberError::TooLarge { mib_max: 2 }));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked_whole() {
        let bytes = packed(&[("word/document.xml", &vec![b' '; 8 << 20])]);
        assert!(bytes.len() < 40_000, "{}", bytes.len());
        assert_eq!(member(&bytes, "word/document.xml", MEMBER_BYTES_MAX), Err(MemberError::Bomb));
    }

    #[test]
    fn what_is_no_zip_or_is_cut_is_refused() {
        assert_eq!(member(b"plain text", "a", 100), Err(MemberError::NotAZip));
        assert_eq!(member(b"", "a", 100), Err(MemberError::NotAZip));
        let bytes = packed(&[("a", b"some text that is long enough")]);
        assert_eq!(member(&bytes[..bytes.len() / 2], "a", 100), Err(MemberError::NotAZip));
    }

    #[test]
    fn a_member_that_needs_a_password_is_refused() {
        let mut bytes = packed(&[("a", b"text")]);
        // The lowest bit of the flags says it, in the local header and in the directory.
        let central = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        bytes[6] |= 1;
        bytes[central + 8] |= 1;
        assert_eq!(member(&bytes, "a", 100), Err(MemberError::Encrypted));
    }
}
