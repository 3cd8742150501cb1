//! Whose mail a message is: addresses, folders of sent mail, labels.

use std::path::Path;

use super::header::Header;
use crate::ingest::decode::clean_line;

/// Of a message, what is read for its sender.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// How mail programs call the folder of sent mail, in lower case, parted by `|`. Some names stand
/// there in the modified UTF-7 of IMAP too, as they lie on disks.
const SENT_FOLDERS: &str = "\
    sent|sent items|sent mail|sent messages|sent-mail|sent_mail|sentmail|sent-items|sent objects|\
    gesendet|gesendete|gesendete elemente|gesendete objekte|gesendete nachrichten|gesendete mails|\
    envoyés|éléments envoyés|messages envoyés|objets envoyés|enviados|enviadas|elementos enviados|\
    mensajes enviados|correo enviado|correos enviados|itens enviados|mensagens enviadas|\
    e-mails enviados|inviata|inviati|posta inviata|elementi inviati|messaggi inviati|verzonden|\
    verzonden items|verzonden berichten|verzonden e-mails|skickat|skickade|skickade objekt|\
    skickade meddelanden|skickad e-post|sendt|sendte|sendt post|sendte elementer|sendt e-post|\
    lähetetyt|lähetetyt viestit|wysłane|elementy wysłane|odeslané|odeslaná pošta|odoslané|\
    elküldött|elküldött elemek|trimise|poslano|απεσταλμένα|gönderilenler|gönderilmiş öğeler|\
    gönderilmiş postalar|отправленные|исходящие|надіслані|надіслане|送信済み|送信済みアイテム|\
    送信済みメール|送信済みトレイ|送信済みメッセージ|已发送|已发送邮件|已发邮件|发件箱|已傳送|已傳送郵件|\
    寄件備份|寄件备份|보낸편지함|보낸 편지함|보낸 메일함|\
    envoy&aok-s|&amk-l&aok-ments envoy&aok-s|messages envoy&aok-s|l&aoq-hetetyt|wys&aui-ane|\
    elementy wys&aui-ane|odeslan&aok-|odeslan&aoe- po&awe-ta|\
    &bb4eqgq,beaemaqybdsenqq9bd0eswq1-|&bb0emaq0bfyeqqq7bdaepqrw-|\
    &bb0emaq0bfyeqqq7bdaepqq1-|&a5edwao1a8mdxaoxa7sdvaota70dsq-|g&apy-nderilmi&av8- postalar|\
    g&apy-nderilmi&av8- &anybhw-eler|&kafp4w4imh8-|&kafp4w4imh8w4td8mos-|&kafp4w4imh8wyddsmkq-|\
    &xfjt0zab-|&xfjt0zabkk5o9g-|&xfjt0zcutvy-|&xfjqs5ab-|&xfjqs5abkpvo9g-|&w8ro9lcztv0-|\
    &vpswuno4ycdvaa-";

/// Labels of messages that are none of the person's, although they are the sender.
const OTHER_LABELS: &str = "\
    draft|drafts|entwurf|entwürfe|brouillons|borradores|borrador|rascunhos|bozze|concepten|utkast|\
    kladder|luonnokset|wersje robocze|koncepty|черновики|taslaklar|下書き|草稿|임시보관함|\
    chat|chats|spam|junk";

/// Endings of files that hold a folder.
const FOLDER_ENDINGS: [&str; 4] = [".mbox", ".mbx", ".sbd", ".mbs"];

/// What the labels of a message say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Labelled {
    /// It has none.
    Not,
    Sent,
    /// A draft, a chat, spam.
    Unwanted,
    /// Received, or filed by the person.
    Otherwise,
}

/// The address in From, in lower case, of the message that `bytes` begin with.
pub(in crate::ingest) fn sender_of(bytes: &[u8]) -> Option<String> {
    let head = &bytes[..bytes.len().min(HEADER_BYTES_MAX)];
    Header::split(head.trim_ascii_start()).0.sender()
}

/// Whether a part of `path` is named as mail programs name the folder of sent mail.
pub(in crate::ingest) fn is_sent_folder(path: &Path) -> bool {
    path.iter().filter_map(|part| part.to_str()).any(is_sent_name)
}

fn is_sent_name(name: &str) -> bool {
    let name = clean_line(name).to_lowercase();
    let name = FOLDER_ENDINGS.iter().find_map(|end| name.strip_suffix(*end)).unwrap_or(&name);
    // Maildir++ and some servers put the folders above into the name.
    let is_path = name.starts_with('.') || name.starts_with("inbox.");
    is_sent(name) || (is_path && name.split('.').any(is_sent))
}

fn is_sent(name: &str) -> bool {
    SENT_FOLDERS.split('|').any(|known| known == name)
}

/// What Gmail's labels, as its export has them, say of a message.
pub(super) fn labels(header: &Header) -> Labelled {
    let Some(labels) = header.text("x-gmail-labels") else { return Labelled::Not };
    let labels: Vec<String> =
        labels.split(',').map(|label| label.trim().trim_matches('"').to_lowercase()).collect();
    let is_unwanted = |label: &String| OTHER_LABELS.split('|').any(|known| known == label);
    if labels.iter().any(is_unwanted) {
        Labelled::Unwanted
    } else if labels.iter().any(|label| is_sent(label)) {
        Labelled::Sent
    } else {
        Labelled::Otherwise
    }
}

/// Whether `address` is one of `me`; both are in lower case.
pub(super) fn is_mine(address: &str, me: &[String]) -> bool {
    let plain = canonical(address);
    me.iter().any(|mine| mine.trim() == address || canonical(mine.trim()) == plain)
}

/// One spelling of an address: without `+tag`, and Gmail under one name.
fn canonical(address: &str) -> String {
    let Some((user, host)) = address.rsplit_once('@') else { return address.to_lowercase() };
    let user = user.split('+').next().filter(|user| !user.is_empty()).unwrap_or(user);
    let host = if host.eq_ignore_ascii_case("googlemail.com") { "gmail.com" } else { host };
    format!("{user}@{host}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_sent_mail_are_known_by_their_names() {
        for path in [
            "/m/Sent",
            "/m/[Gmail]/Sent Mail",
            "/m/.Sent Items/cur",
            "/m/INBOX.Sent",
            "/m/.INBOX.Sent/cur/1.b.c:2,S",
            "/m/Sent.mbox",
            "/m/Sent Messages.mbox/mbox",
            "/m/Gesendete Elemente",
            "/m/Envoye\u{301}s.mbox",
            "/m/.Envoy&AOk-s/new",
            "/m/Отправленные",
            "/m/送信済み",
        ] {
            assert!(is_sent_folder(Path::new(path)), "{path}");
        }
        for path in ["/m/Inbox", "/m/Presents", "/m/sentences.mbox", "/m/INBOX.Work", "/"] {
            assert!(!is_sent_folder(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn an_address_is_the_same_with_a_tag() {
        let me = ["mara@x.example".to_owned(), "mara.vale@gmail.com".to_owned()];
        for address in ["mara@x.example", "mara+list@x.example", "mara.vale@googlemail.com"] {
            assert!(is_mine(address, &me), "{address}");
        }
        assert!(!is_mine("ann@x.example", &me));
        assert!(!is_mine("mara@y.example", &me));
    }

    #[test]
    fn the_sender_is_read_from_the_header_alone() {
        let message = b"Subject: x\nFROM: Mara <Mara@X.example>\n\nFrom: ann@x.example\n";
        assert_eq!(sender_of(message).as_deref(), Some("mara@x.example"));
        assert_eq!(sender_of(b"Subject: x\n\nFrom: ann@x.example\n"), None);
        assert_eq!(sender_of(b""), None);
    }

    #[test]
    fn labels_tell_sent_mail() {
        let labelled = |written: &str| {
            labels(&Header::split(format!("X-Gmail-Labels: {written}\n\n").as_bytes()).0)
        };
        assert_eq!(labelled("Important,Sent"), Labelled::Sent);
        assert_eq!(labelled("=?UTF-8?Q?Envoy=C3=A9s,Ouvert?="), Labelled::Sent);
        assert_eq!(labelled("Inbox,Opened"), Labelled::Otherwise);
        assert_eq!(labelled("Sent,Drafts"), Labelled::Unwanted);
        assert_eq!(labels(&Header::default()), Labelled::Not);
    }
}
