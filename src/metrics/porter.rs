//! The Porter stemmer (Porter 1980) with the extensions of NLTK, which rouge_score and NLTK's
//! METEOR use: words that are stemmed by a list, and rules for short words.
//!
//! Words are in lower case. It knows English alone; what it does to other words does no harm, since
//! both sides of a comparison suffer it.

/// Words whose stem no rule gives.
const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// A suffix, and what takes its place where the rest has a measure of at least one.
type Rule = (&'static str, &'static str);

const STEP_2: [Rule; 20] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
];

const STEP_3: [Rule; 7] = [
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

/// Dropped where the rest has a measure of at least two.
const STEP_4: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou",
    "ism", "ate", "iti", "ous", "ive", "ize",
];

/// The stem of a word.
pub(super) fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(form, _)| *form == word) {
        return (*stem).to_owned();
    }
    let mut word: Vec<char> = word.chars().collect();
    if word.len() > 2 {
        for step in [step_1a, step_1b, step_1c, step_2, step_3, step_4, step_5a, step_5b] {
            step(&mut word);
        }
    }
    word.into_iter().collect()
}

fn is_consonant(word: &[char], at: usize) -> bool {
    match word[at] {
        'a' | 'e' | 'i' | 'o' | 'u' => false,
        'y' => at == 0 || !is_consonant(word, at - 1),
        _ => true,
    }
}

/// How often a consonant follows a vowel: m in Porter's [C](VC)^m[V].
fn measure(word: &[char]) -> usize {
    (1..word.len()).filter(|&at| is_consonant(word, at) && !is_consonant(word, at - 1)).count()
}

fn has_vowel(word: &[char]) -> bool {
    (0..word.len()).any(|at| !is_consonant(word, at))
}

fn ends_in_double_consonant(word: &[char]) -> bool {
    let n = word.len();
    n >= 2 && word[n - 1] == word[n - 2] && is_consonant(word, n - 1)
}

/// Whether it ends consonant, vowel, consonant, the last not w, x or y; or is vowel, consonant.
fn ends_cvc(word: &[char]) -> bool {
    let n = word.len();
    let consonant = |at: usize| is_consonant(word, at);
    let is_long = n >= 3
        && consonant(n - 3)
        && !consonant(n - 2)
        && consonant(n - 1)
        && !"wxy".contains(word[n - 1]);
    is_long || (n == 2 && !consonant(0) && consonant(1))
}

/// What stands before `suffix`, where the word ends in it.
fn before<'a>(word: &'a [char], suffix: &str) -> Option<&'a [char]> {
    let n_suffix = suffix.chars().count();
    let rest = word.len().checked_sub(n_suffix)?;
    word[rest..].iter().copied().eq(suffix.chars()).then(|| &word[..rest])
}

/// Cuts the word to `length` and appends `ending`.
fn set_ending(word: &mut Vec<char>, length: usize, ending: &str) {
    word.truncate(length);
    word.extend(ending.chars());
}

fn step_1a(word: &mut Vec<char>) {
    let n = word.len();
    if before(word, "ies").is_some() {
        // dies, but flies.
        set_ending(word, n - 3, if n == 4 { "ie" } else { "i" });
    } else if before(word, "sses").is_some() {
        set_ending(word, n - 2, "");
    } else if before(word, "ss").is_none() && before(word, "s").is_some() {
        set_ending(word, n - 1, "");
    }
}

fn step_1b(word: &mut Vec<char>) {
    let n = word.len();
    if before(word, "ied").is_some() {
        set_ending(word, n - 3, if n == 4 { "ie" } else { "i" });
        return;
    }
    if let Some(rest) = before(word, "eed") {
        if measure(rest) > 0 {
            set_ending(word, n - 1, "");
        }
        return;
    }
    let rest = ["ed", "ing"].into_iter().filter_map(|it| before(word, it)).find(|it| has_vowel(it));
    let Some(length) = rest.map(<[char]>::len) else { return };
    word.truncate(length);
    if ["at", "bl", "iz"].iter().any(|ending| before(word, ending).is_some()) {
        word.push('e');
    } else if ends_in_double_consonant(word) {
        if !"lsz".contains(word[length - 1]) {
            word.pop();
        }
    } else if measure(word) == 1 && ends_cvc(word) {
        word.push('e');
    }
}

fn step_1c(word: &mut Vec<char>) {
    let Some(rest) = before(word, "y") else { return };
    if rest.len() > 1 && is_consonant(rest, rest.len() - 1) {
        let length = rest.len();
        set_ending(word, length, "i");
    }
}

fn step_2(word: &mut Vec<char>) {
    if let Some(rest) = before(word, "alli").filter(|rest| measure(rest) > 0) {
        let length = rest.len();
        set_ending(word, length, "al");
        return step_2(word);
    }
    if apply(word, &STEP_2) || apply(word, &[("fulli", "ful")]) {
        return;
    }
    // The l counts with what stands before it, so that geology goes as philology does.
    if let Some(rest) = before(word, "logi")
        && measure(&word[..=rest.len()]) > 0
    {
        word.pop();
    }
}

fn step_3(word: &mut Vec<char>) {
    apply(word, &STEP_3);
}

fn step_4(word: &mut Vec<char>) {
    let found = STEP_4.iter().find_map(|suffix| before(word, suffix).map(|rest| (*suffix, rest)));
    let Some((suffix, rest)) = found else { return };
    let fits = suffix != "ion" || rest.last().is_some_and(|last| "st".contains(*last));
    if fits && measure(rest) > 1 {
        let length = rest.len();
        word.truncate(length);
    }
}

fn step_5a(word: &mut Vec<char>) {
    let Some(rest) = before(word, "e") else { return };
    if measure(rest) > 1 || (measure(rest) == 1 && !ends_cvc(rest)) {
        word.pop();
    }
}

fn step_5b(word: &mut Vec<char>) {
    if before(word, "ll").is_some() && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
}

/// Applies the first rule whose suffix the word has, where the rest has a measure of at least one;
/// whether there was one. Later rules are not tried.
fn apply(word: &mut Vec<char>, rules: &[Rule]) -> bool {
    let found = rules.iter().find_map(|(suffix, ending)| {
        before(word, suffix).map(|rest| (rest.len(), measure(rest) > 0, *ending))
    });
    let Some((length, fits, ending)) = found else { return false };
    if fits {
        set_ending(word, length, ending);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::stem;

    /// Examples of Porter's paper, and of NLTK's extensions.
    #[test]
    fn stems_are_those_of_the_paper() {
        for (word, expected) in [
            ("caresses", "caress"),
            ("ponies", "poni"),
            ("cats", "cat"),
            ("feed", "feed"),
            ("agreed", "agre"),
            ("plastered", "plaster"),
            ("motoring", "motor"),
            ("sing", "sing"),
            ("conflated", "conflat"),
            ("hopping", "hop"),
            ("falling", "fall"),
            ("filing", "file"),
            ("happy", "happi"),
            ("relational", "relat"),
            ("conditional", "condit"),
            ("vietnamization", "vietnam"),
            ("triplicate", "triplic"),
            ("electrical", "electr"),
            ("revival", "reviv"),
            ("adoption", "adopt"),
            ("probate", "probat"),
            ("controll", "control"),
            ("dies", "die"),
            ("dying", "die"),
            ("skies", "sky"),
            ("geology", "geolog"),
            ("is", "is"),
            ("", ""),
        ] {
            assert_eq!(stem(word), expected, "{word}");
        }
    }
}
