//! Near-duplicates: how much two texts share, estimated from short signatures (MinHash).
//!
//! The similarity of two texts is the Jaccard index of their sets of three-word runs, words in
//! lower case and without punctuation. Of each set 64 minima are kept; the share of equal minima
//! estimates the index. Eight bands of eight minima are looked up in the store: two texts with a
//! similarity of 0.9 share at least one band with probability 0.99, two with 0.5 with 0.03. This
//! file knows nothing of the store. Signatures are kept, so the numbers in here never change.

use unicode_segmentation::UnicodeSegmentation;

const BANDS: usize = 8;
const ROWS: usize = 8;
const HASHES: usize = BANDS * ROWS;
const SHINGLE_WORDS: usize = 3;
/// Shorter texts have too few runs of words: of them only equal ones are the same.
const WORDS_MIN: usize = 20;
/// Of 64 minima, those that must be equal: a similarity of 0.9.
const EQUAL_MIN: usize = 58;

/// 2^64 divided by the golden ratio, as splitmix64 takes it.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;
/// What makes 64 hash functions of one.
static SEEDS: [u64; HASHES] = seeds();

/// What is kept of a text to tell what it resembles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature([u32; HASHES]);

impl Signature {
    /// The signature of `text`; `None` where it has fewer than 20 words.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut minima = [u32::MAX; HASHES];
        let mut before = [0_u64; SHINGLE_WORDS - 1];
        let mut words = 0_usize;
        for word in text.unicode_words() {
            let hash = hash_of(word);
            words += 1;
            if words >= SHINGLE_WORDS {
                let shingle = mix(mix(mix(before[0]) ^ before[1]) ^ hash);
                for (minimum, seed) in minima.iter_mut().zip(&SEEDS) {
                    *minimum = (*minimum).min((mix(shingle ^ *seed) >> 32) as u32);
                }
            }
            before = [before[1], hash];
        }
        (words >= WORDS_MIN).then_some(Self(minima))
    }

    /// Whether the two texts are the same but for details.
    pub(super) fn is_near(&self, other: &Self) -> bool {
        self.equal_minima(other) >= EQUAL_MIN
    }

    /// How many of the 64 minima are equal.
    pub(super) fn equal_minima(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).filter(|(mine, theirs)| mine == theirs).count()
    }

    /// The keys under which the store finds it; a key tells its band.
    pub(super) fn bands(&self) -> [i64; BANDS] {
        let mut keys = [0; BANDS];
        for (band, (key, rows)) in keys.iter_mut().zip(self.0.chunks_exact(ROWS)).enumerate() {
            let start = mix(band as u64 + 1);
            *key = rows.iter().fold(start, |key, row| mix(key ^ u64::from(*row))) as i64;
        }
        keys
    }

    /// As the store keeps it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|minimum| minimum.to_le_bytes()).collect()
    }

    /// What [`Self::to_bytes`] gave.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (minima, rest) = bytes.as_chunks::<4>();
        if minima.len() != HASHES || !rest.is_empty() {
            return None;
        }
        let mut signature = Self([0; HASHES]);
        for (minimum, bytes) in signature.0.iter_mut().zip(minima) {
            *minimum = u32::from_le_bytes(*bytes);
        }
        Some(signature)
    }
}

/// FNV-1a over the word's characters in lower case.
fn hash_of(word: &str) -> u64 {
    let lower = word.chars().flat_map(char::to_lowercase);
    lower.fold(FNV_OFFSET, |hash, char| (hash ^ u64::from(u32::from(char))).wrapping_mul(FNV_PRIME))
}

/// The last steps of splitmix64: every bit of the result depends on every bit of `value`.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

const fn seeds() -> [u64; HASHES] {
    let mut seeds = [0; HASHES];
    let mut index = 0;
    while index < HASHES {
        seeds[index] = mix(STEP.wrapping_mul(index as u64 + 1));
        index += 1;
    }
    seeds
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::ops::Range;

    use super::*;

    fn words(range: Range<usize>) -> Vec<String> {
        range.map(|number| format!("word{number}")).collect()
    }

    fn signature(words: &[String]) -> Signature {
        Signature::of(&words.join(" ")).unwrap()
    }

    #[test]
    fn case_and_punctuation_make_no_difference() {
        let plain = words(0..40).join(" ");
        let dressed = format!("“{}.”", words(0..40).join(", ").to_uppercase());
        assert_eq!(Signature::of(&plain), Signature::of(&dressed));
    }

    #[test]
    fn the_share_of_equal_minima_estimates_the_shared_runs_of_words() {
        let base = signature(&words(0..200));
        for shift in [5, 10, 20, 50, 100, 150] {
            // Of 198 runs of three words, 198 - shift are shared.
            let similarity = (198 - shift) as f64 / (198 + shift) as f64;
            let shifted = signature(&words(shift..200 + shift));
            let estimate = base.equal_minima(&shifted) as f64 / HASHES as f64;
            assert!((estimate - similarity).abs() < 0.1, "{estimate} for {similarity}");
        }
    }

    #[test]
    fn a_text_with_a_word_changed_is_near_and_a_text_half_changed_is_not() {
        let base = signature(&words(0..200));
        let mut changed = words(0..200);
        changed[5] = "new".into();
        let near = signature(&changed);
        assert!(base.is_near(&near) && near.is_near(&base));
        let (mine, theirs) = (HashSet::from(base.bands()), HashSet::from(near.bands()));
        assert!(!mine.is_disjoint(&theirs), "the store would not find it");
        assert!(!base.is_near(&signature(&words(50..250))));
        assert!(!base.is_near(&signature(&words(500..700))));
    }

    #[test]
    fn a_text_under_twenty_words_resembles_nothing() {
        assert!(Signature::of(&words(0..19).join(" ")).is_none());
        assert!(Signature::of(&words(0..20).join(" ")).is_some());
        assert!(Signature::of("").is_none());
    }

    #[test]
    fn the_same_minima_in_different_bands_have_different_keys() {
        let keys = Signature([7; HASHES]).bands();
        assert_eq!(HashSet::from(keys).len(), BANDS);
    }

    /// Signatures in people's stores are compared with those of later versions.
    #[test]
    fn signatures_stay_what_they_are() {
        let base = signature(&words(0..200));
        assert_eq!(base.0[..3], [13_947_844, 25_291_607, 13_474_724]);
        assert_eq!(base.bands()[..2], [-2_214_027_140_208_965_494, 103_369_863_593_139_264]);
        assert_eq!(Signature::from_bytes(&base.to_bytes()), Some(base));
        assert_eq!(Signature::from_bytes(&[0; 255]), None);
    }
}
