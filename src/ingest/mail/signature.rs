//! Cuts off what is appended to a person's words: the signature, device lines, footers.
//!
//! Below `-- ` everything is signature. Without it, only a short block at the end counts that
//! begins with a name or stands below a closing, and that has data of contact. The closing and the
//! name below it are the person's own words and stay.

use super::boilerplate::{footer_start, is_device_line, is_print_advice};
use super::line::{has_word, visible};

/// Lines below `--` where the space at its end was lost.
const SIGNATURE_LINES_MAX: usize = 12;
const CONTACT_LINES_MAX: usize = 8;
const CONTACT_CHARS_MAX: usize = 90;
const PHONE_DIGITS_MIN: usize = 7;
const NAME_WORDS_MAX: usize = 4;

/// How closings begin, in lower case, parted by `|`.
const CLOSINGS: &str = "\
    best|kind regards|warm regards|warmest|regards|cheers|thanks|thank you|many thanks|thx|yours|\
    sincerely|love|take care|all the best|warmly|cordially|respectfully|hugs|see you|\
    talk soon|mit freundlichen|mit besten|mit herzlichen|freundliche|viele grüße|viele grüsse|\
    liebe grüße|liebe grüsse|beste grüße|beste grüsse|herzliche|schöne grüße|grüße|grüsse|gruß|\
    gruss|lg|vg|mfg|bis dann|bis bald|danke|cordialement|bien cordialement|bien à vous|\
    bien à toi|amicalement|salutations|meilleures salutations|bises|bisous|merci|saludos|\
    un saludo|un abrazo|atentamente|gracias|cordiali saluti|saluti|un saluto|distinti saluti|\
    grazie|ciao|groeten|groet|met vriendelijke|hartelijke|vriendelijke|mvg|bedankt|med vänlig|\
    med vänliga|vänliga|hälsningar|mvh|hilsen|venlig|vennlig|med venlig|med vennlig|terveisin|\
    ystävällisin|pozdrawiam|z poważaniem|s pozdravem|с уважением|с наилучшими|atenciosamente|\
    abraço|abraços|abs|obrigado|obrigada|saudações|cumprimentos|com os melhores|üdvözlettel|\
    saygılarımla|此致|祝好|敬具|よろしく";

/// Words of titles, companies and addresses.
const ROLES: &str = "\
    manager|director|engineer|developer|consultant|analyst|assistant|officer|president|\
    vice president|head of|lead|founder|partner|professor|lecturer|researcher|phd|dr|editor|\
    designer|architect|accountant|coordinator|secretary|ceo|cto|cfo|coo|sales|marketing|\
    department|dept|faculty|university|universität|université|universidad|institute|institut|\
    school|college|gmbh|ag|inc|ltd|llc|llp|plc|corp|corporation|company|co. kg|e.v.|s.a.|s.l.|\
    s.r.l.|b.v.|ab|oy|a/s|geschäftsführer|geschäftsführerin|leiter|leiterin|abteilung|\
    directeur|directrice|responsable|gerente|direttore|ingegnere|directeur|medewerker|\
    street|st.|road|rd.|rd|avenue|ave|ave.|suite|floor|p.o. box|straße|strasse|str.|platz|weg|\
    allee|gasse|rue|boulevard|calle|avenida|via|piazza|straat|laan|gatan|vägen|gata|ul.";

/// What a line near the end can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Contact,
    Name,
    Closing,
    Prose,
}

/// `lines` without what is appended to them.
pub(super) fn without(mut lines: Vec<String>) -> Vec<String> {
    if let Some(at) = delimiter(&lines) {
        lines.truncate(at);
    }
    if let Some(at) = footer_start(&lines) {
        lines.truncate(at);
    }
    trim_end(&mut lines);
    if let Some((start, end)) = contact_block(&lines) {
        lines.drain(start..end);
        trim_end(&mut lines);
    }
    lines
}

/// Takes device lines, rules and empty lines off the end.
fn trim_end(lines: &mut Vec<String>) {
    while lines.last().is_some_and(|line| is_trailing(line)) {
        lines.pop();
    }
}

fn is_trailing(line: &str) -> bool {
    let text = visible(line);
    let is_rule = text.chars().count() > 1
        && text.chars().all(|char| matches!(char, '-' | '_' | '=' | '*' | '~' | '—' | '–' | '─'));
    text.is_empty() || is_rule || is_device_line(&text) || is_print_advice(&text)
}

/// The line that signatures begin with.
fn delimiter(lines: &[String]) -> Option<usize> {
    let exact = lines.iter().position(|line| matches!(line.as_str(), "-- " | "--\u{a0}"));
    let mut below = 0;
    let mut bare = None;
    for (at, line) in lines.iter().enumerate().rev() {
        let text = visible(line);
        if matches!(text.as_str(), "--" | "—" | "––") {
            bare = Some(at);
        }
        below += usize::from(!text.is_empty());
        if below > SIGNATURE_LINES_MAX {
            break;
        }
    }
    match (exact, bare) {
        (Some(exact), Some(bare)) => Some(exact.min(bare)),
        (exact, bare) => exact.or(bare),
    }
}

/// The lines of a signature without a delimiter at the end of `lines`, which have no empty end.
fn contact_block(lines: &[String]) -> Option<(usize, usize)> {
    let (mut start, mut count, mut contacts) = (lines.len(), 0, 0);
    let mut above = None;
    for (at, line) in lines.iter().enumerate().rev() {
        let text = visible(line);
        if text.is_empty() {
            // More than one empty line sets it apart from what is above.
            if at > 0 && lines[at - 1].trim().is_empty() {
                break;
            }
            continue;
        }
        let kind = kind_of(&text);
        if matches!(kind, Kind::Closing | Kind::Prose) {
            above = Some((kind, text));
            break;
        }
        contacts += usize::from(kind == Kind::Contact);
        count += 1;
        start = at;
        if count > CONTACT_LINES_MAX {
            return None;
        }
    }
    let is_closed = above.as_ref().is_some_and(|(kind, _)| *kind == Kind::Closing);
    let is_announced = above.is_some_and(|(_, text)| text.ends_with([':', '：']));
    if contacts < 2 || is_announced {
        return None;
    }
    let begins_with_name = kind_of(&visible(&lines[start])) == Kind::Name;
    if !begins_with_name && !is_closed {
        return None;
    }
    // The name below a closing, and one that stands by itself, was written by hand.
    let is_alone = lines.get(start + 1).is_some_and(|line| line.trim().is_empty());
    let is_signed = begins_with_name && (is_closed || is_alone);
    Some((start + usize::from(is_signed), lines.len()))
}

fn kind_of(text: &str) -> Kind {
    if is_closing(text) {
        Kind::Closing
    } else if is_contact(text) {
        Kind::Contact
    } else if is_name(text) {
        Kind::Name
    } else {
        Kind::Prose
    }
}

fn is_closing(text: &str) -> bool {
    let words = text.split_whitespace().count();
    let lower = text.to_lowercase();
    let begins = |closing: &str| {
        let rest = lower.strip_prefix(closing);
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphabetic))
    };
    (words <= 6 && CLOSINGS.split('|').any(begins)) || (words <= 4 && text.ends_with(','))
}

/// Whether a line is a telephone number, an address of any sort, or a title.
fn is_contact(text: &str) -> bool {
    let words = text.split_whitespace().count();
    if text.chars().count() > CONTACT_CHARS_MAX || words > 12 || text.ends_with(['?', '!']) {
        return false;
    }
    let lower = text.to_lowercase();
    let has_link = has_address(&lower) || lower.contains("://") || has_word(&lower, "www");
    let is_titled = text.starts_with(|char: char| char.is_uppercase() || char.is_ascii_digit())
        && !text.ends_with('.')
        && words <= 8
        && ROLES.split('|').any(|role| has_word(&lower, role));
    (has_link && words <= 6) || has_phone(text) || is_titled || is_postal(text)
}

fn has_address(text: &str) -> bool {
    text.split('@').collect::<Vec<_>>().windows(2).any(|around| {
        around[0].ends_with(char::is_alphanumeric) && around[1].starts_with(char::is_alphanumeric)
    })
}

fn has_phone(text: &str) -> bool {
    let is_part = |char: char| {
        char.is_ascii_digit()
            || matches!(char, ' ' | '+' | '-' | '(' | ')' | '/' | '.' | '\u{2011}')
    };
    let letters = text.chars().filter(|char| char.is_alphabetic()).count();
    letters <= 20
        && text.split(|char: char| !is_part(char)).any(|run| {
            let digits = run.chars().filter(char::is_ascii_digit).count();
            digits >= PHONE_DIGITS_MIN && !is_date(run)
        })
}

/// `03.03.2020 17` and `2020-03-03`: numbers that are no telephone's.
fn is_date(run: &str) -> bool {
    let numbers: Vec<&str> =
        run.split(|char: char| !char.is_ascii_digit()).filter(|it| !it.is_empty()).collect();
    let is_year =
        |number: &&str| number.len() == 4 && (number.starts_with("19") || number.starts_with("20"));
    numbers.len() >= 3
        && (is_year(&numbers[0]) || is_year(&numbers[2]))
        && numbers[1].len() <= 2
        && !run.trim().starts_with(['+', '('])
}

/// A postal code and a town: `10115 Berlin`, `London SW1A 1AA` with its number.
fn is_postal(text: &str) -> bool {
    let is_code = |word: &str| {
        let word = word.trim_end_matches(',');
        let code = word.split('-').next_back().unwrap_or(word);
        matches!(code.len(), 4..=6) && code.bytes().all(|byte| byte.is_ascii_digit())
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_written = |word: &&str| {
        is_code(word) || word.starts_with(|char: char| char.is_uppercase() || char.is_ascii_digit())
    };
    words.len() >= 2
        && words.len() <= 7
        && !text.ends_with(['.', ':'])
        && words.iter().any(|word| is_code(word))
        && words.iter().all(is_written)
}

/// A few capitalised words.
fn is_name(text: &str) -> bool {
    let particles = ["von", "van", "de", "der", "den", "da", "di", "du", "la", "le", "bin", "al"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_part = |word: &&str| {
        let starts_so = word.starts_with(|char: char| char.is_alphabetic() && !char.is_lowercase());
        let is_letter = |char: char| char.is_alphabetic() || matches!(char, '-' | '\'' | '’' | '.');
        let letters = word.trim_end_matches(',');
        particles.contains(word) || (starts_so && letters.chars().all(is_letter))
    };
    !words.is_empty()
        && words.len() <= NAME_WORDS_MAX
        && text.chars().count() <= 40
        && !text.ends_with(['!', '?', ':'])
        && words.iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> String {
        without(text.lines().map(str::to_owned).collect()).join("\n")
    }

    #[test]
    fn below_the_delimiter_everything_is_signature() {
        assert_eq!(kept("Yes.\n\n-- \nMara\nand more\n\nand more"), "Yes.");
        assert_eq!(kept("Yes.\n--\nMara Vale\n"), "Yes.");
        let far = format!("One.\n--\n{}", "A line of text.\n".repeat(20));
        assert_eq!(kept(&far).lines().count(), 22);
    }

    #[test]
    fn the_closing_and_the_name_stay() {
        assert_eq!(kept("See you.\n\nBest,\nMara"), "See you.\n\nBest,\nMara");
        assert_eq!(
            kept("Ja.\n\nViele Grüße\nMara\n\nMara Vale\nGartenbau GmbH\nTel. +49 30 1234567\n"),
            "Ja.\n\nViele Grüße\nMara"
        );
        assert_eq!(
            kept("Yes.\n\nBest regards,\n\nMara Vale\nHead Gardener, Vale Ltd\n+44 20 7946 0000"),
            "Yes.\n\nBest regards,\n\nMara Vale"
        );
    }

    #[test]
    fn a_block_of_contact_data_goes() {
        assert_eq!(
            kept(
                "I will bring it on Friday.\n\nMara Vale\nHead Gardener | Vale Gardens Ltd\n\
                 12 High Street, London\nT: +44 20 7946 0000\nmara@vale.example\nwww.vale.example"
            ),
            "I will bring it on Friday."
        );
    }

    #[test]
    fn data_that_the_person_tells_stays() {
        for text in [
            "Here is how to reach me:\nMara Vale\n+44 20 7946 0000\nmara@vale.example",
            "Two links.\nhttps://a.example/x\nhttps://b.example/y",
            "Call me at 020 7946 0000 or write to mara@vale.example.",
            "We meet on Friday.\nMara",
            "The plan:\n\n03.03.2020 17:06\n04.03.2020 18:06",
            "So long, and thank you for everything that you have done for us this year, Mara",
        ] {
            assert_eq!(kept(text), text);
        }
    }

    #[test]
    fn lines_of_devices_and_companies_go() {
        assert_eq!(kept("Yes.\n\nMara\n\nSent from my iPhone\n"), "Yes.\n\nMara");
        assert_eq!(
            kept(
                "Yes.\n\nMara\n\n*****\nThis e-mail is confidential and meant for the addressee \
                 only. Delete it otherwise.\n\nPlease consider the environment"
            ),
            "Yes.\n\nMara"
        );
    }
}
