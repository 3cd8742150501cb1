//! Where the message that is answered or forwarded stands below, unmarked: `-----Original
//! Message-----`, `Begin forwarded message:`, or a block of `From:`, `Sent:`, `To:`, `Subject:`.
//!
//! A block counts only where it can hardly be prose: several of its labels, one below the other.

use super::attribution::has_time;
use super::line::{Line, Mark, visible};

/// A label is no longer.
const LABEL_CHARS_MAX: usize = 24;
/// Lines of a block, long lists of addresses among them.
const BLOCK_LINES_MAX: usize = 24;
/// Lines in a row that only go on.
const LOOSE_LINES_MAX: usize = 3;
const RULE_CHARS_MIN: usize = 5;

/// Of each kind, the labels in lower case, parted by `|`.
const LABELS: [(Label, &str); 6] = [
    (
        Label::From,
        "from|von|de|da|van|från|fra|lähettäjä|od|от|от кого|від|feladó|kimden|gönderen|nadawca|\
         odesílatel|odosielateľ|expéditeur|remitente|mittente|afzender|avsändare|afsender|\
         avsender|από|מאת|من|de la|发件人|寄件者|寄件人|差出人|送信者|보낸 사람|发自|from/发件人",
    ),
    (
        Label::Sent,
        "sent|date|gesendet|datum|gesendet am|envoyé|envoyé le|date d'envoi|enviado|enviado el|\
         enviado em|enviada|enviada em|fecha|data|inviato|data invio|verzonden|verzonden op|\
         skickat|sendt|dato|lähetetty|päivämäärä|päiväys|wysłano|wysłane|odesláno|odoslané|\
         отправлено|дата|надіслано|elküldve|dátum|gönderilme tarihi|gönderme tarihi|küldve|gönderildi|tarih|\
         ημερομηνία|στάλθηκε|trimis|发送时间|发送日期|日期|时间|傳送時間|寄件日期|送信日時|日時|日付|\
         보낸 날짜|날짜|sent on",
    ),
    (
        Label::To,
        "to|an|à|a|para|aan|till|til|vastaanottaja|do|komu|кому|címzett|kime|alıcı|προς|către|\
         destinataire|destinatario|destinatário|empfänger|ontvanger|mottagare|收件人|收件者|宛先|\
         받는 사람",
    ),
    (
        Label::Copy,
        "cc|bcc|kopie|kopie (cc)|copie à|copia|cópia|kopia|kopi|kopio|копия|копія|másolat|bilgi|\
         κοιν.|抄送|副本|참조",
    ),
    (
        Label::Subject,
        "subject|betreff|betr.|objet|sujet|asunto|assunto|oggetto|onderwerp|ämne|emne|aihe|\
         temat|předmět|predmet|тема|tárgy|konu|θέμα|subiect|נושא|主题|主旨|件名|標題|제목",
    ),
    (
        Label::Other,
        "reply-to|antwort an|répondre à|importance|wichtigkeit|priority|attachments|anlagen|\
         anlage|pièces jointes|adjuntos|allegati|bijlagen|organization|mailed-by|signed-by|\
         message-id|resent-from|sender",
    ),
];

/// What a program writes between dashes above the message that it appends.
const SEPARATORS: &str = "original message|original-nachricht|originalnachricht|original e-mail|\
    original appointment|original post|forwarded message|forwarded by|forward message|\
    forwarded letter|reply message|ursprüngliche nachricht|ursprüngliche mail|\
    ursprünglicher termin|weitergeleitete nachricht|weitergeleitet von|message d'origine|\
    message d’origine|message original|message initial|message transféré|message transmis|\
    mensaje original|mensaje reenviado|mensagem original|mensagem encaminhada|\
    messaggio originale|messaggio inoltrato|messaggio di inoltro|oorspronkelijk bericht|\
    origineel bericht|oorspronkelijke bericht|doorgestuurd bericht|ursprungligt meddelande|\
    originalmeddelande|vidarebefordrat meddelande|vidarebefordrat brev|\
    vidarebefordrade meddelanden|oprindelig meddelelse|original meddelelse|\
    videresendt meddelelse|videresendt besked|opprinnelig melding|videresendt melding|\
    alkuperäinen viesti|välitetty viesti|исходное сообщение|пересылаемое сообщение|\
    пересланное сообщение|перенаправленное сообщение|переслане повідомлення|\
    oryginalna wiadomość|wiadomość oryginalna|wiadomość przekazana|przekazana wiadomość|\
    forwardowana wiadomość|původní zpráva|přeposlaná zpráva|pôvodná správa|eredeti üzenet|\
    továbbított üzenet|orijinal ileti|özgün ileti|iletilen mesaj|yönlendirilen ileti|\
    αρχικό μήνυμα|προωθημένο μήνυμα|mesaj original|原始邮件|邮件原件|原邮件|转发邮件|转发的邮件|\
    原始郵件|原始訊息|轉寄郵件|轉寄的郵件|已轉寄的訊息|元のメッセージ|転送メッセージ|転送されたメッセージ|\
    원본 메시지|전달된 메시지|원본 이메일";

/// What Apple Mail writes above a forwarded message, without the colon.
const ANNOUNCEMENTS: &str = "begin forwarded message|anfang der weitergeleiteten nachricht|\
    début du message réexpédié|début du message transféré|inicio del mensaje reenviado|\
    inizio messaggio inoltrato|inizio del messaggio inoltrato|begin doorgestuurd bericht|\
    vidarebefordrat brev|vidarebefordrat mejl|start på videresendt besked|\
    start på videresendt melding|início da mensagem reenviada|início da mensagem encaminhada|\
    välitetty viesti alkaa|начало переадресованного сообщения|\
    początek przekazywanej wiadomości|začátek přeposlané zprávy|下面是被转发的邮件|以下是转发的邮件|\
    開始轉寄郵件|以下は転送されたメッセージです|전달된 메시지 시작";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    From,
    Sent,
    To,
    Copy,
    Subject,
    Other,
}

/// Where the header of another message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Its first line, a rule or separator above it included.
    pub(super) first: usize,
    /// The line after its last one.
    pub(super) end: usize,
}

/// Whether `text` says that a forwarded or answered message follows.
pub(super) fn is_separator(text: &str) -> bool {
    let text = visible(text).to_lowercase();
    let announced = text.trim_end_matches([':', '：', ' ']);
    if ANNOUNCEMENTS.split('|').any(|announcement| announcement == announced) {
        return true;
    }
    let inner = text.trim_start_matches(['-', '_', '=', '—', '–', '*', '+', ' ']);
    let before = &text[..text.len() - inner.len()];
    let dashes = before.chars().filter(|char| *char != ' ').count();
    dashes >= 2 && SEPARATORS.split('|').any(|separator| inner.starts_with(separator))
}

/// The block whose first label stands at the line `at`.
pub(super) fn block_at(lines: &[Line], at: usize) -> Option<Block> {
    label(&lines[at].text).filter(|(label, _)| *label != Label::Other)?;
    let mut seen = [false; 6];
    let (mut has_address, mut has_stamp) = (false, false);
    let (mut end, mut gap, mut loose) = (at, 0, 0);
    for (index, line) in lines.iter().enumerate().skip(at).take(BLOCK_LINES_MAX) {
        if line.is_quoted() || gap > 1 {
            break;
        }
        if line.is_blank() {
            gap += 1;
            continue;
        }
        match label(&line.text) {
            // No header says twice who wrote it, when, and about what.
            Some((label @ (Label::From | Label::Sent | Label::Subject), _))
                if seen[label as usize] =>
            {
                break;
            }
            Some((label, value)) => {
                seen[label as usize] = true;
                has_address |= value.contains('@');
                has_stamp |= label == Label::Sent && has_time(&value);
                (gap, loose) = (0, 0);
            }
            None if gap == 0 && loose < LOOSE_LINES_MAX && goes_on(&line.text) => loose += 1,
            None => break,
        }
        end = index + 1;
    }
    let [from, sent, to, copy, subject, _] = seen;
    let count = [from, sent, to, copy, subject].into_iter().filter(|seen| *seen).count();
    let is_block = (subject && count >= 3 && (from || sent || copy))
        || (from && sent && (to || copy) && has_address);
    if !is_block {
        return None;
    }
    let head = if from { at } else { name_above(lines, at) };
    let first = separator_above(lines, head);
    // A memo of the person's own may begin with such lines: then nothing is above them, and no
    // program has put a time or an address in.
    let is_below = || lines[..first].iter().any(|line| !line.is_blank() && !line.is_quoted());
    (has_address || has_stamp || first < at || is_below()).then_some(Block { first, end })
}

/// Below the rule at the line `at`, a block in whatever language: short labels, an address.
pub(super) fn block_below_rule(lines: &[Line], at: usize) -> Option<Block> {
    if !is_rule(&lines[at]) {
        return None;
    }
    let skipped = lines[at + 1..].iter().take(3).take_while(|line| line.is_blank()).count();
    let start = at + 1 + skipped;
    let block: Vec<&Line> = lines[start.min(lines.len())..]
        .iter()
        .take(BLOCK_LINES_MAX)
        .take_while(|line| !line.is_blank() && !line.is_quoted())
        .collect();
    let labelled = block.iter().take_while(|line| split_label(&line.text).is_some()).count();
    let has_address = block[..labelled].iter().any(|line| line.text.contains('@'));
    (labelled >= 3 && has_address).then(|| Block { first: at, end: start + labelled })
}

/// A line that parts what is above from what is below.
pub(super) fn is_rule(line: &Line) -> bool {
    if line.is_quoted() {
        return false;
    }
    let text = line.text.trim();
    let is_dash = |char: char| matches!(char, '-' | '_' | '=' | '*' | '~' | '—' | '–' | '─');
    let dashes = text.chars().take_while(|char| is_dash(*char)).count();
    let dashes_end = text.chars().rev().take_while(|char| is_dash(*char)).count();
    line.mark == Mark::Rule || (dashes >= RULE_CHARS_MIN && dashes_end >= RULE_CHARS_MIN)
}

/// The first line of a rule or separator directly above `head`, or `head` itself.
fn separator_above(lines: &[Line], head: usize) -> usize {
    let mut first = head;
    for at in (head.saturating_sub(3)..head).rev() {
        let line = &lines[at];
        if is_rule(line) || is_separator(&line.text) {
            first = at;
        } else if !line.is_blank() {
            break;
        }
    }
    first
}

/// Lotus Notes begins with the name and the time, without a label.
fn name_above(lines: &[Line], at: usize) -> usize {
    let above = lines[..at]
        .iter()
        .rev()
        .take(3)
        .take_while(|line| !line.is_blank() && !line.is_quoted())
        .take_while(|line| line.text.chars().count() < 80);
    let times: Vec<bool> = above.map(|line| has_time(&line.text)).collect();
    if times.contains(&true) { at - times.len() } else { at }
}

/// Whether a line only goes on with the addresses of the one above.
fn goes_on(text: &str) -> bool {
    text.contains(['@', ';', '<']) || text.starts_with([' ', '\t'])
}

fn label(text: &str) -> Option<(Label, String)> {
    let (found, value) = split_label(text)?;
    let is_known = |list: &str| list.split('|').any(|known| known == found);
    let (label, _) = LABELS.iter().find(|(_, list)| is_known(list))?;
    Some((*label, value))
}

/// What stands before the first colon, in lower case, and what after it.
fn split_label(text: &str) -> Option<(String, String)> {
    let is_colon = |char: char| matches!(char, ':' | '：');
    // Most lines have none, and are not looked at twice.
    text.chars().take(2 * LABEL_CHARS_MAX).find(|char| is_colon(*char))?;
    let text = visible(text);
    let (label, value) = text.split_once(is_colon)?;
    let label = label.trim_matches(['*', '_', ' ', '|', '•']).to_lowercase();
    let is_label = !label.is_empty() && label.chars().count() <= LABEL_CHARS_MAX;
    is_label.then(|| (label, value.trim_matches(['*', ' ']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Line> {
        text.lines().map(|line| Line::new(0, line)).collect()
    }

    fn block(text: &str) -> Option<(usize, usize)> {
        let lines = lines(text);
        let blocks = (0..lines.len()).find_map(|at| block_at(&lines, at));
        blocks.map(|block| (block.first, block.end))
    }

    #[test]
    fn blocks_of_many_languages_are_known() {
        for text in [
            "Yes.\n\nFrom: Ann Bee\nSent: Tuesday, March 3, 2020 5:06 PM\nTo: Mara\nSubject: x\n\nHi",
            "Yes.\n\n*From:* Ann <a@x>\n*Date:* Tuesday\n*To:* Mara\n*Subject:* x\n\nHi",
            "Ja.\n\nVon: Ann Bee\nGesendet: Dienstag\nAn: Mara\nBetreff: x\n\nHi",
            "Oui.\n\nDe\u{a0}: Ann Bee\nEnvoyé\u{a0}: mardi\nÀ\u{a0}: Mara\nObjet\u{a0}: x\n\nHi",
            "Sí.\n\nDe: Ann Bee\nEnviado el: martes\nPara: Mara\nAsunto: x\n\nHi",
            "Sì.\n\nDa: Ann Bee\nInviato: martedì\nA: Mara\nOggetto: x\n\nHi",
            "Ja.\n\nVan: Ann Bee\nVerzonden: dinsdag\nAan: Mara\nOnderwerp: x\n\nHi",
            "Ja.\n\nFrån: Ann Bee\nSkickat: tisdag\nTill: Mara\nÄmne: x\n\nHi",
            "是。\n\n发件人：Ann\n发送时间：2020\n收件人：Mara\n主题：x\n\nHi",
        ] {
            assert_eq!(block(text), Some((2, 6)), "{text}");
        }
    }

    #[test]
    fn a_block_takes_what_is_above_and_between() {
        assert_eq!(
            block("Yes.\n\n-----Anything-----\n\nFrom: Ann\nTo: a@x;\n  b@x\n\nSubject: x\n\nHi"),
            Some((2, 9))
        );
        assert_eq!(
            block("Yes.\n\nAnn Bee\n03/21/2000 01:24 PM\nTo: M/HOU@X\ncc: \nSubject: Re: x\n\nHi"),
            Some((2, 7))
        );
    }

    #[test]
    fn prose_is_no_block() {
        for text in [
            "Sing it.\n\nFrom: the top\n\nThank you.",
            "The plan.\n\nFrom: Berlin\nTo: Munich\nDate: Friday\n\nGood?",
            "To: All staff\nFrom: Mara\nSubject: Kitchen\n\nPlease wash up.",
            "Note: this\nDate: that",
        ] {
            assert_eq!(block(text), None, "{text}");
        }
    }

    #[test]
    fn separators_are_known() {
        for text in [
            "-----Original Message-----",
            "---------- Forwarded message ---------",
            "-------- Weitergeleitete Nachricht --------",
            "-----Ursprüngliche Nachricht-----",
            "----- Forwarded by Ann Bee/HOU on 03/21/2000",
            "Begin forwarded message:",
            "Début du message réexpédié\u{a0}:",
        ] {
            assert!(is_separator(text), "{text}");
        }
        for text in ["Original message", "-- ", "- forwarded message", "-----", "begin here:"] {
            assert!(!is_separator(text), "{text}");
        }
    }

    #[test]
    fn below_a_rule_the_language_does_not_matter() {
        let text = "Hi.\n_______________\nAbc: Ann <ann@x>\nDef: 2020\nGhi: Mara\n\nHers";
        assert_eq!(block_below_rule(&lines(text), 1), Some(Block { first: 1, end: 5 }));
        assert_eq!(block_below_rule(&lines("Hi.\n-----\nNote: x\n"), 1), None);
        assert_eq!(block_below_rule(&lines("Hi.\n-----"), 1), None);
    }
}
