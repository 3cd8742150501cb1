//! The subject of a message into a title: without the marks of answers and forwards.

/// A title is no longer.
const TITLE_CHARS_MAX: usize = 300;
/// Marks that are taken off one subject.
const MARKS_MAX: usize = 32;
const TAG_CHARS_MAX: usize = 40;

/// `Re` and `Fwd` in the languages of mail programs, in lower case, parted by `|`.
const PREFIXES: &str = "\
    re|fw|fwd|aw|antw|antwort|wg|sv|vs|vb|vl|tr|rv|rif|res|enc|ref|doorst|odp|pd|vá|továbbítás|ynt|\
    ilt|yan|bls|trs|fs|απ|σχετ|πρθ|ответ|отв|пересл|回复|回覆|答复|答覆|转发|轉寄|轉傳|返信|転送|\
    답장|전달|facw|forwarded";

/// How automatic answers begin.
const AUTOMATIC: &str = "\
    automatic reply:|auto reply:|auto-reply:|autoreply:|auto response:|out of office:|\
    out of office re:|out of office autoreply|out of the office:|automatische antwort:|\
    abwesenheitsnotiz:|abwesend:|réponse automatique|absence du bureau|respuesta automática|\
    fuera de la oficina:|resposta automática|risposta automatica|fuori sede:|\
    automatisch antwoord|afwezigheidsbericht|autosvar:|automatiskt svar|automatisk svar|\
    automaattinen vastaus|автоответ|автоматический ответ|autoodpowiedź|odpowiedź automatyczna|\
    automatická odpověď|automatikus válasz|otomatik yanıt|自动回复|自動回覆|自動応答|undeliverable:|\
    undelivered mail|mail delivery failed|delivery status notification";

/// The title that `subject` makes; `None` where nothing is left.
pub(super) fn title(subject: &str) -> Option<String> {
    let mut rest = subject.trim();
    for _ in 0..MARKS_MAX {
        let Some(next) = without_prefix(rest) else { break };
        // The tag of a list stands where the mark of an answer was put before it.
        rest = without_tag(next).unwrap_or(next);
    }
    let title: String = rest.chars().take(TITLE_CHARS_MAX).collect();
    let title = title.trim();
    (!title.is_empty()).then(|| title.to_owned())
}

/// Whether the subject is one that programs write for a person who is away.
pub(super) fn is_automatic(subject: &str) -> bool {
    let subject = subject.trim().to_lowercase();
    AUTOMATIC.split('|').any(|start| subject.starts_with(start))
}

/// Without the first `Re:`, which may have a number or the tag of a list before it.
fn without_prefix(subject: &str) -> Option<&str> {
    let untagged = without_tag(subject).unwrap_or(subject);
    let (mark, rest) = untagged.split_once([':', '：'])?;
    let mark = mark.trim().trim_end_matches(|char: char| {
        char.is_ascii_digit() || matches!(char, '[' | ']' | '(' | ')' | '^' | '*' | ' ')
    });
    if mark.chars().count() > TAG_CHARS_MAX {
        return None;
    }
    let mark = mark.to_lowercase();
    PREFIXES.split('|').any(|prefix| prefix == mark).then(|| rest.trim_start())
}

/// Without `[list]` at the beginning.
fn without_tag(subject: &str) -> Option<&str> {
    let (tag, rest) = subject.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    (tag.chars().count() <= TAG_CHARS_MAX && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_answers_go() {
        for (subject, expected) in [
            ("Re: The fair", "The fair"),
            ("RE: Re: AW: WG: The fair", "The fair"),
            ("RE : Réunion", "Réunion"),
            ("Re[2]: The fair", "The fair"),
            ("Fwd: [list] The fair", "The fair"),
            ("[list] Re: The fair", "The fair"),
            ("[Urgent] The fair", "[Urgent] The fair"),
            ("[PATCH 1/2] net: fix", "[PATCH 1/2] net: fix"),
            ("回复：市场", "市场"),
            ("Ref: the book", "the book"),
            ("Rewriting: the book", "Rewriting: the book"),
        ] {
            assert_eq!(title(subject).as_deref(), Some(expected), "{subject}");
        }
        assert_eq!(title("Re: "), None);
        assert_eq!(title("Re: [x]").as_deref(), Some("[x]"));
    }

    #[test]
    fn automatic_answers_are_known() {
        assert!(is_automatic("Automatic reply: The fair"));
        assert!(is_automatic("Abwesenheitsnotiz: Messe"));
        assert!(!is_automatic("Re: Automatic doors"));
    }
}
