//! Lines that introduce a quote, in the languages that mail programs speak: `On … Ann wrote:`.
//!
//! Whether a quote follows is the concern of its callers; here it is only weighed how a line looks.

use super::line::{Line, has_word, is_invisible, visible};

/// An attribution is no longer, and wrapped over no more lines.
const CHARS_MAX: usize = 300;
const LINES_MAX: usize = 4;
const NAME_WORDS_MAX: usize = 6;

/// Parted by `|`, like the lists below.
const VERBS: &str = "\
    wrote|writes|said|wrote the following|schrieb|schreibt|a écrit|écrit|a ecrit|escribió|\
    escribio|escreveu|ha scritto|scrive|scritto|schreef|geschreven|skrev|skreiv|kirjoitti|\
    написал|написала|пишет|писал|написав|пише|napisał|napisała|napisana|pisze|napsal|\
    napsala|napísal|napisao|napisala|je napisao|ezt írta|írta|yazdı|şunu yazdı|a scris|\
    έγραψε|写道|寫道|写到|书写|書きました|のメール|작성|viết|menulis|va escriure|quoting|zitat|citando|citação";

/// What begins an attribution in one language or another.
const OPENERS: &str =
    "on|am|le|el|il|op|den|em|en|no|na|dne|dňa|dnia|w|у|в|på|in|στις|vào|pada|la|wiadomość";

const WEEKDAYS: &str = "\
    mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|\
    saturday|sunday|mo|di|mi|do|fr|sa|so|montag|dienstag|mittwoch|donnerstag|freitag|\
    samstag|sonntag|lun|mar|mer|jeu|ven|sam|dim|lundi|mardi|mercredi|jeudi|vendredi|samedi|\
    dimanche|mié|jue|vie|sáb|dom|lunes|martes|miércoles|jueves|viernes|sábado|domingo|gio|\
    sab|seg|ter|qua|qui|sex|ma|wo|vr|za|zo|mån|tis|ons|tors|fre|lör|sön|man|tir|tor|lør|søn|\
    ti|ke|to|pe|la|su|pon|wt|śr|czw|pt|sob|пн|вт|ср|чт|пт|сб|вс|po|út|st|čt|pá|ne";

/// Words that begin a sentence of the person's own rather than a name.
const NO_NAMES: &str = "\
    as|like|what|when|where|here|this|that|these|and|but|then|she|he|they|we|it|i|because|\
    since|earlier|yesterday|also|so|the|who|wie|was|und|ich|er|sie|comme|como";

const PARTICLES: &str =
    "von|van|vom|zu|zur|de|der|den|del|della|da|di|dos|do|du|la|le|bin|ibn|al|el|ten";

/// How an attribution begins; the surer sign is the lesser value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Start {
    Opener,
    Date,
    Name,
    /// In the middle, as the rest of a wrapped one does.
    Fragment,
}

/// An attribution that ends at a known line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Its first line.
    pub(super) first: usize,
    /// Whether it can hardly be anything else, so that it counts even where no quote is marked.
    pub(super) is_sure: bool,
}

/// The attribution that ends with the line `end`, perhaps wrapped. A quote follows it.
pub(super) fn before_quote(lines: &[Line], end: usize) -> Option<Found> {
    ending_at(lines, end, false)
}

/// The same where no quote is marked: only one that can hardly be anything else.
pub(super) fn sure(lines: &[Line], end: usize) -> Option<Found> {
    ending_at(lines, end, true).filter(|found| found.is_sure)
}

fn ending_at(lines: &[Line], end: usize, is_sure_wanted: bool) -> Option<Found> {
    if !ends_with_colon(&lines[end].text) {
        return None;
    }
    let mut joined = String::new();
    let mut best: Option<(Start, Found)> = None;
    for first in (end.saturating_sub(LINES_MAX - 1)..=end).rev() {
        let line = &lines[first];
        let is_apart = line.is_quoted() || line.is_blank() || line.text.len() > 4 * CHARS_MAX;
        let is_over = first < end && (ends_sentence(&line.text) || ends_with_colon(&line.text));
        if is_apart || is_over {
            break;
        }
        joined = format!("{} {joined}", visible(&line.text));
        if let Some((start, is_sure)) = read(joined.trim(), first < end, is_sure_wanted)
            && best.is_none_or(|(best, _)| start < best)
        {
            best = Some((start, Found { first, is_sure }));
        }
    }
    best.map(|(_, found)| found)
}

/// How many of `lines`, from the first, are an attribution and the empty lines around it.
pub(super) fn length_at_start(lines: &[String]) -> usize {
    let Some(first) = lines.iter().position(|line| !line.trim().is_empty()) else { return 0 };
    let mut joined = String::new();
    for (at, line) in lines.iter().enumerate().skip(first).take(LINES_MAX) {
        if line.trim().is_empty() || line.len() > 4 * CHARS_MAX {
            break;
        }
        joined = format!("{joined} {}", visible(line));
        if ends_with_colon(line) && read(joined.trim(), at > first, false).is_some() {
            return at + 1;
        }
    }
    0
}

/// How `text` looks as an attribution, and whether surely so; `is_wrapped`: it stood on several
/// lines.
fn read(text: &str, is_wrapped: bool, is_sure_wanted: bool) -> Option<(Start, bool)> {
    if !ends_with_colon(text) || text.chars().count() > CHARS_MAX {
        return None;
    }
    let lower = text.to_lowercase();
    let start = start_of(text, &lower);
    let numbers = Numbers::of(&lower);
    let (date, time) = (numbers.has_date(), numbers.has_time());
    if is_sure_wanted && !date {
        return None;
    }
    let verb = VERBS.split('|').any(|verb| has_word(&lower, verb));
    let address = has_address(&lower);
    let is_full = date && ((time && (verb || address)) || (verb && address));
    let is_attribution = is_full
        || match start {
            Start::Opener => {
                let says_when = || numbers.is_any() || has_weekday(&lower);
                (verb && (time || date || address || (!is_wrapped && says_when())))
                    || (date && (time || address))
            }
            Start::Date => ((date || time) && (verb || address)) || (date && time),
            Start::Name => {
                (address && (verb || date || is_name_and_address(text)))
                    || (verb && date)
                    || (!is_wrapped && is_name_and_verb(text, &lower))
            }
            Start::Fragment => address || (time && verb),
        };
    let names_somebody = start < Start::Name || address;
    let is_own = ["i wrote", "ich schrieb", "j'ai écrit"].iter().any(|own| has_word(&lower, own));
    is_attribution.then_some((start, is_full && names_somebody && !is_own))
}

fn is_one_of(list: &str, word: &str) -> bool {
    list.split('|').any(|one| one == word)
}

fn start_of(text: &str, lower: &str) -> Start {
    let lower = lower.trim_start_matches(['*', '-', '"', '\'', ' ', '“', '«']);
    let is_digit = |char: char| char.is_ascii_digit();
    if lower.starts_with(is_digit)
        || lower.strip_prefix('[').is_some_and(|it| it.starts_with(is_digit))
    {
        return Start::Date;
    }
    if lower.starts_with(['<', '(', '[']) {
        return Start::Fragment;
    }
    let word = lower.split_whitespace().next().unwrap_or_default();
    let word = word.trim_end_matches([',', '.', ':']);
    let begins_small = text.starts_with(char::is_lowercase) && !word.contains('@');
    if (is_one_of(OPENERS, word) && !begins_small) || lower.starts_with(['在', '于']) {
        return Start::Opener;
    }
    if is_one_of(WEEKDAYS, word) {
        return Start::Date;
    }
    if begins_small && !is_one_of(PARTICLES, word) && word != "you" {
        return Start::Fragment;
    }
    Start::Name
}

/// Whether `text` is a name and a verb: `Ann Bee wrote:`.
fn is_name_and_verb(text: &str, lower: &str) -> bool {
    let words = |text: &str| {
        text.split_whitespace()
            .map(|word| word.trim_end_matches([':', '：']).to_owned())
            .filter(|word| !word.is_empty())
            .collect::<Vec<String>>()
    };
    let (words, lower) = (words(text), words(lower));
    let name = VERBS.split('|').find_map(|verb| {
        let verb: Vec<&str> = verb.split(' ').collect();
        let rest = lower.len().checked_sub(verb.len()).filter(|rest| *rest > 0)?;
        let ends_so = lower[rest..].iter().map(|word| strip_gender(word)).eq(verb);
        ends_so.then_some(rest)
    });
    match name {
        Some(count) if count <= NAME_WORDS_MAX && count <= words.len() => {
            let is_you = count == 1 && lower[0] == "you";
            is_you
                || !is_one_of(NO_NAMES, &lower[0])
                    && words[..count].iter().all(|word| is_name_word(word))
        }
        _ => false,
    }
}

/// Whether `text` is a name and an address: `Ann Bee <ann@x.example>:`.
fn is_name_and_address(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default().to_lowercase();
    !is_one_of(NO_NAMES, &first)
        && words.clone().count() <= NAME_WORDS_MAX
        && words.all(|word| word.contains('@') || is_name_word(word))
}

/// `napisał(a)` without its ending.
fn strip_gender(word: &str) -> &str {
    word.split('(').next().unwrap_or(word)
}

fn is_name_word(word: &str) -> bool {
    let letters = word.trim_start_matches(['"', '\'', '(', '[', '“']);
    is_one_of(PARTICLES, letters) || !letters.starts_with(|char: char| char.is_lowercase())
}

fn ends_with_colon(text: &str) -> bool {
    let is_trailing = |char: char| char.is_whitespace() || char == '*' || is_invisible(char);
    text.trim_end_matches(is_trailing).ends_with([':', '：'])
}

/// Whether a line ends with a sentence, and not in the middle of an attribution.
fn ends_sentence(text: &str) -> bool {
    let text = text.trim_end();
    let is_long = |word: &str| word.chars().count() > 6 && !word.contains(['@', '<']);
    text.ends_with(['!', '?'])
        || (text.ends_with('.') && text.split_whitespace().next_back().is_some_and(is_long))
}

fn has_address(text: &str) -> bool {
    text.split_whitespace().any(|word| {
        word.split_once('@').is_some_and(|(user, host)| {
            user.ends_with(|char: char| char.is_alphanumeric() || char == '_' || char == '-')
                && host.starts_with(char::is_alphanumeric)
        })
    })
}

fn has_weekday(text: &str) -> bool {
    // Shorter ones are words of other languages.
    WEEKDAYS.split('|').any(|day| day.chars().count() > 4 && has_word(text, day))
}

/// Whether `text` names a time of day.
pub(super) fn has_time(text: &str) -> bool {
    Numbers::of(text).has_time()
}

/// The numbers in a text, with what is between them.
struct Numbers {
    chars: Vec<char>,
    /// First character, character after the last, value.
    found: Vec<(usize, usize, u32)>,
}

impl Numbers {
    fn of(text: &str) -> Self {
        let chars: Vec<char> = text.chars().take(4 * CHARS_MAX).collect();
        let mut found: Vec<(usize, usize, u32)> = Vec::new();
        for (at, char) in chars.iter().enumerate() {
            let Some(digit) = char.to_digit(10) else { continue };
            match found.last_mut() {
                Some((_, end, value)) if *end == at => {
                    *end = at + 1;
                    *value = value.saturating_mul(10).saturating_add(digit);
                }
                _ => found.push((at, at + 1, digit)),
            }
        }
        Self { chars, found }
    }

    fn is_any(&self) -> bool {
        !self.found.is_empty()
    }

    /// A year, or numbers such as 3/3/20.
    fn has_date(&self) -> bool {
        let is_year = |&(start, end, value): &(usize, usize, u32)| {
            end - start == 4 && (1970..=2099).contains(&value)
        };
        let is_numeric = |three: &[(usize, usize, u32)]| match three {
            [one, two, three] => {
                let separator = self.between(one, two);
                separator.is_some_and(|it| matches!(it, '/' | '.' | '-'))
                    && separator == self.between(two, three)
                    && three.1 - three.0 <= 4
            }
            _ => false,
        };
        self.found.iter().any(is_year) || self.found.windows(3).any(is_numeric)
    }

    fn has_time(&self) -> bool {
        let is_dotted = |at: usize| self.chars.get(at) == Some(&'.');
        self.found.windows(2).any(|two| {
            let (hour, minute) = (two[0], two[1]);
            let is_sized = hour.1 - hour.0 <= 2 && minute.1 - minute.0 == 2;
            let is_whole = match self.between(&hour, &minute) {
                Some(':' | '：' | 'h' | '时' | '時') => true,
                Some('.') => {
                    let is_before = hour.0.checked_sub(1).is_some_and(is_dotted);
                    let is_after = is_dotted(minute.1)
                        && self.chars.get(minute.1 + 1).is_some_and(char::is_ascii_digit);
                    !is_before && !is_after
                }
                _ => false,
            };
            is_sized && is_whole && hour.2 <= 24 && minute.2 < 60
        })
    }

    /// The only character between two numbers.
    fn between(&self, one: &(usize, usize, u32), two: &(usize, usize, u32)) -> Option<char> {
        if two.0 == one.1 + 1 { self.chars.get(one.1).copied() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Found> {
        let lines: Vec<Line> = text.lines().map(|line| Line::new(0, line)).collect();
        before_quote(&lines, lines.len() - 1)
    }

    #[test]
    fn attributions_of_many_languages_are_sure() {
        for text in [
            "On Tue, Mar 3, 2020 at 5:06\u{202f}PM Ann Bee <ann@x.example> wrote:",
            "On Mar 3, 2020, at 5:06 PM, Ann Bee <ann@x.example> wrote:",
            "Am Di., 3. März 2020 um 17:06 Uhr schrieb Ann Bee <ann@x.example>:",
            "Am 03.03.20 um 17:06 schrieb Ann Bee:",
            "Le mar. 3 mars 2020 à 17:06, Ann Bee <ann@x.example> a écrit :",
            "Le 03/03/2020 à 17:06, Ann Bee a écrit\u{a0}:",
            "El mar, 3 mar 2020 a las 17:06, Ann Bee (<ann@x.example>) escribió:",
            "Em ter., 3 de mar. de 2020 às 17:06, Ann Bee <ann@x.example> escreveu:",
            "Il giorno mar 3 mar 2020 alle ore 17:06 Ann Bee <ann@x.example> ha scritto:",
            "Op di 3 mrt. 2020 om 17:06 schreef Ann Bee <ann@x.example>:",
            "Den tis 3 mars 2020 kl 17:06 skrev Ann Bee <ann@x.example>:",
            "tir. 3. mar. 2020 kl. 17.06 skrev Ann Bee <ann@x.example>:",
            "вт, 3 мар. 2020 г. в 17:06, Ann Bee <ann@x.example>:",
            "wt., 3 mar 2020 o 17:06 Ann Bee <ann@x.example> napisał(a):",
            "út 3. 3. 2020 v 17:06 odesílatel Ann Bee <ann@x.example> napsal:",
            "Ann Bee <ann@x.example>, 3 Mar 2020 Sal, 17:06 tarihinde şunu yazdı:",
            "Ann Bee <ann@x.example> ezt írta (időpont: 2020. márc. 3., K, 17:06):",
            "Ann Bee <ann@x.example> 于2020年3月3日周二 下午5:06写道：",
            "2020年3月3日(火) 17:06 Ann Bee <ann@x.example>:",
            "2020-03-03 17:06 GMT+01:00 Ann Bee <ann@x.example>:",
        ] {
            assert_eq!(found(text), Some(Found { first: 0, is_sure: true }), "{text}");
        }
    }

    #[test]
    fn shorter_ones_need_a_quote_to_follow() {
        for text in [
            "Ann Bee wrote:",
            "ann@x.example wrote:",
            "Ann van den Berg schrieb:",
            "Ann Bee <ann@x.example> writes:",
            "* Ann Bee <ann@x.example> [2020-03-03]:",
            "Quoting Ann Bee <ann@x.example>:",
            "On Tuesday, Ann wrote:",
            "Ann Bee schrieb am 03.03.2020:",
        ] {
            assert_eq!(found(text), Some(Found { first: 0, is_sure: false }), "{text}");
        }
    }

    #[test]
    fn wrapped_attributions_are_found_whole() {
        for text in [
            "On Tue, Mar 3, 2020 at 5:06 PM Ann\nBee <ann@x.example> wrote:",
            "On Tue, Mar 3, 2020 at 5:06 PM Ann Bee <ann@x.example>\nwrote:",
            "On Tue, Mar 3,\n2020 at 5:06 PM Ann Bee\n<ann@x.example>\nwrote:",
            "2020-03-03 17:06 GMT+01:00 Ann Bee\n<ann@x.example>:",
            "Am 3. März 2020\num 17:06 Uhr schrieb Ann Bee:",
        ] {
            assert_eq!(found(text).map(|found| found.first), Some(0), "{text}");
            let after = format!("Good idea, thanks\n{text}");
            assert_eq!(found(&after).map(|found| found.first), Some(1), "{after}");
        }
    }

    #[test]
    fn prose_is_no_attribution() {
        for text in [
            "From: the top",
            "I have three questions:",
            "As I said:",
            "She wrote:",
            "On reflection I would change this:",
            "Here is what the council decided in 2020:",
            "Please bring the following things:",
            "On Tue, Mar 3, 2020 at 5:06 PM Ann Bee <ann@x.example> wrote to me",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
        assert!(found("On 3 March 2020 at 17:06 I wrote:").is_none_or(|found| !found.is_sure));
    }

    #[test]
    fn a_quote_may_begin_with_its_attribution() {
        let lines = ["", "On Mar 3, 2020, at 5:06 PM, Ann Bee", "<ann@x.example> wrote:", "", "Hi"];
        let lines = lines.map(str::to_owned);
        assert_eq!(length_at_start(&lines), 3);
        assert_eq!(length_at_start(&lines[3..]), 0);
    }
}
