//! What programs, lists and companies append to messages: device lines, disclaimers, footers.

use super::line::visible;

/// A line that a device appends is no longer.
const DEVICE_CHARS_MAX: usize = 140;
/// Of a paragraph, what is looked at.
const PARAGRAPH_LINES_MAX: usize = 10;
/// A disclaimer is no shorter.
const DISCLAIMER_CHARS_MIN: usize = 60;
/// A rule above the footer of a list is no shorter.
const LIST_RULE_CHARS_MIN: usize = 20;

/// How device lines begin, in lower case, parted by `|`.
const DEVICE_STARTS: &str = "\
    sent from|sent via|sent with|sent using|sent by my|sent on the go|get outlook|download outlook|\
    composed on|typed on|written on my|this message was sent from|this email was sent from my|\
    gesendet von|gesendet mit|gesendet über|von meinem|von meiner|diese nachricht wurde von|\
    diese e-mail wurde von meinem|mobil gesendet|outlook für|holen sie sich outlook|\
    laden sie outlook|envoyé de|envoyé depuis|envoyé avec|envoyé à partir|obtenir outlook|\
    télécharger outlook|téléchargez outlook|enviado desde|enviado do|enviado a partir|enviado de|\
    enviado con|enviado pelo|enviado via|obtener outlook|obter o outlook|inviato da|inviato con|\
    scarica outlook|ottieni outlook|verstuurd vanaf|verstuurd met|verzonden vanaf|verzonden met|\
    outlook voor|skickat från|skickat med|hämta outlook|sendt fra|send fra|sendt med|hent outlook|\
    lähetetty|hanki outlook|wysłane z|wysłano z|pobierz outlook|odesláno z|odoslané z|\
    отправлено с|отправлено из|надіслано з|скачать outlook|poslano z|trimis de pe|στάλθηκε από";

/// What device lines name.
const DEVICES: &str = "\
    iphone|ipad|ipod|android|samsung|galaxy|blackberry|outlook|yahoo|smartphone|phone|handy|\
    handheld|mobile|mobil|tablet|proton|huawei|pixel|nokia|xiaomi|redmi|oneplus|windows|\
    thunderbird|gmail|macbook|my mac|meinem mac|mon mac|apple|téléphone|teléfono|telefon|telefono|\
    telefoon|telefone|móvil|cellulare|celular|telemóvel|gmx|web.de|fastmail|superhuman|aol|\
    mail.ru|яндекс|телефон|айфон|mail app|mail for|mail für|mail pour|mail para|mail per|\
    mail voor|mailspring|k-9 mail|fairemail|verizon|t-mobile|hey.com|spark|tutanota|tuta|zoho";

/// Device lines of languages that put the device elsewhere.
const DEVICE_PHRASES: &str = "\
    iphoneから送信|iphone から送信|ipadから送信|ipad から送信|从我的iphone发送|从我的 iphone 发送|\
    从我的ipad发送|从我的 ipad 发送|发自我的|發自我的|傳自我的|從我的 iphone 傳送|에서 보냄|\
    iphone'umdan gönderildi|iphone’umdan gönderildi|iphone gesendet|ipad gesendet|\
    von unterwegs gesendet";

/// How footers begin.
const FOOTERS: &str = "\
    to unsubscribe from this|to unsubscribe from the|to unsubscribe send|to unsubscribe, send|\
    to unsubscribe, e-mail|to unsubscribe, visit|to unsubscribe:|to unsubscribe or|\
    to view this discussion|to post to this group|you received this message because|\
    you received this email because|you are receiving this email|you are receiving this message|\
    you're receiving this email|this email was sent to|unsubscribe from this|unsubscribe here|unsubscribe:|\
    manage your subscription|this email has been checked for viruses|\
    this e-mail has been checked for viruses|this email is free from viruses|\
    this message has been scanned|this email has been scanned|this e-mail has been scanned|\
    virus-free.|virenfrei.|diese e-mail wurde von avast|diese e-mail wurde auf viren|\
    l'absence de virus|l’absence de virus|garanti sans virus|sans virus.|\
    el software de antivirus|este correo electrónico ha sido comprobado|libre de virus.|\
    questa e-mail è stata controllata|questa email è stata controllata|privo di virus.|\
    deze e-mail is gecontroleerd|virusvrij.|um sich von dieser|um sich abzumelden|\
    sie erhalten diese nachricht, weil|sie erhalten diese e-mail, weil|\
    sie haben diese nachricht erhalten, weil|vous recevez ce message|vous avez reçu ce message|\
    pour vous désabonner|has recibido este mensaje porque|recibiste este mensaje porque|\
    para cancelar la suscripción|hai ricevuto questo messaggio perché|\
    ricevi questo messaggio perché|je ontvangt dit bericht omdat|yahoo! groups links|\
    confidentiality notice|confidentiality note|confidential notice|privacy notice|legal notice|\
    legal disclaimer|e-mail disclaimer|email disclaimer|rechtlicher hinweis|\
    vertraulichkeitshinweis|avis de confidentialité|aviso de confidencialidad|aviso legal|\
    aviso de confidencialidade|avviso di riservatezza|nota di riservatezza|\
    archives are at|list archive:|list-archive:|list info:|nabble.com|\
    archive: http|mailing list:";

/// How disclaimers begin where no empty line is above them.
const DISCLAIMER_STARTS: &str = "\
    this e-mail|this email|this message|this communication|this transmission|the information in|\
    the information contained|the contents of this|the content of this|if you are not the|\
    if you have received this|diese e-mail|diese nachricht|der inhalt dieser|ce message|\
    ce courriel|cet e-mail|este mensaje|este correo|esta mensagem|este e-mail|questo messaggio|\
    questa e-mail|le informazioni|dit bericht|deze e-mail|de informatie|detta meddelande|\
    denne e-mail|denne e-post|ta wiadomość|treść tej|tento e-mail|это сообщение|настоящее";

/// Disclaimers have a word of the first list and one of the second.
const DISCLAIMERS: [(&str, &str); 10] = [
    (
        "confidential|privileged|proprietary",
        "intended recipient|intended solely|intended only|intended for the|addressee|\
         named recipient|received this e-mail|received this email|received this message|\
         received this communication|received this transmission|received it in error",
    ),
    ("vertraulich|rechtlich geschützt", "empfänger|adressat|irrtümlich|unbefugt"),
    ("confidentiel", "destinataire|par erreur"),
    ("confidencial", "destinatari|destinado|por error|por engano"),
    ("riservat|confidenzial", "destinatari|per errore"),
    ("vertrouwelijk", "geadresseerde|bestemd|ontvanger"),
    ("konfidentiel|fortrolig|konfidensiel", "mottagare|modtager|mottaker"),
    ("poufn", "adresat|odbiorc"),
    ("důvěrn", "adresát|příjemc"),
    ("конфиденциальн", "получател|адресат"),
];

/// What is enough beside a word of the first list where a disclaimer begins as they do.
const DISCLAIMER_WORDS: &str = "\
    attachment|in error|disclos|unauthori|legally|anhäng|anlage|rechtlich|pièces jointes|anexo|\
    adjunt|allegat|bijlage|bilag|załącznik|příloh|вложен";

const PRINT_ADVICE: &str = "\
    consider the environment|consider your environmental|think before you print|\
    think before printing|think of the environment|think green|don't print this|\
    wirklich ausdrucken|ausgedruckt werden muss|an die umwelt|umwelt, bevor|schützen sie die umwelt|\
    pensez à l'environnement|pensez à l’environnement|respectez l'environnement|\
    respecter l'environnement|antes de imprimir|medio ambiente|prima di stampare|aan het milieu|\
    tänk på miljön|tenk på miljøet|tænk på miljøet|думайте об окружающей";

fn any(list: &str, is_found: impl Fn(&str) -> bool) -> bool {
    list.split('|').any(is_found)
}

/// Whether a mail program or a device wrote the line: `Sent from my iPhone`.
pub(super) fn is_device_line(text: &str) -> bool {
    let text = visible(text).to_lowercase();
    let text = text.trim_start_matches(['-', '*', '_', '<', '[', '(', ' ', '•', '—', '–']);
    if text.chars().count() > DEVICE_CHARS_MAX {
        return false;
    }
    let starts = any(DEVICE_STARTS, |start| text.starts_with(start));
    (starts && any(DEVICES, |device| text.contains(device)))
        || any(DEVICE_PHRASES, |phrase| text.contains(phrase))
}

/// Whether the line asks not to be printed.
pub(super) fn is_print_advice(text: &str) -> bool {
    let text = visible(text).to_lowercase();
    any(PRINT_ADVICE, |advice| text.contains(advice))
}

/// The first line of what is appended to `lines`: a disclaimer, the footer of a list.
pub(super) fn footer_start(lines: &[String]) -> Option<usize> {
    (0..lines.len()).find(|&at| is_footer(lines, at))
}

fn is_footer(lines: &[String], at: usize) -> bool {
    let line = visible(&lines[at]).to_lowercase();
    if line.is_empty() {
        return false;
    }
    let line = line.trim_start_matches(['*', '_', '-', '#', '>', '[', '(', '"', ' ']);
    if line.is_empty() {
        return is_list_rule(lines, at);
    }
    if line.starts_with("unsubscribe |") || any(FOOTERS, |footer| line.starts_with(footer)) {
        return true;
    }
    let is_paragraph = at == 0 || lines[at - 1].trim().is_empty();
    let has = |list: &str| any(list, |word| line.contains(word));
    let is_about_it = || DISCLAIMERS.iter().any(|(first, second)| has(first) || has(second));
    let begins_so = any(DISCLAIMER_STARTS, |start| line.starts_with(start));
    let is_start = begins_so || (is_paragraph && is_about_it());
    is_start && is_disclaimer(&paragraph(&lines[at..]), begins_so)
}

/// Underscores, and below them the name of a list.
fn is_list_rule(lines: &[String], at: usize) -> bool {
    let rule = lines[at].trim();
    let is_rule = rule.len() >= LIST_RULE_CHARS_MIN && rule.bytes().all(|byte| byte == b'_');
    is_rule
        && lines[at + 1..].iter().take(3).any(|line| {
            let line = line.to_lowercase();
            line.contains("mailing list") || line.contains("://") || line.contains("-request@")
        })
}

fn paragraph(lines: &[String]) -> String {
    let lines = lines.iter().take(PARAGRAPH_LINES_MAX).take_while(|line| !line.trim().is_empty());
    lines.map(|line| visible(line).to_lowercase()).collect::<Vec<_>>().join(" ")
}

/// Whether a paragraph is a disclaimer; `begins_so`: it begins as they do.
fn is_disclaimer(text: &str, begins_so: bool) -> bool {
    let has = |list: &str| any(list, |word| text.contains(word));
    text.chars().count() >= DISCLAIMER_CHARS_MIN
        && DISCLAIMERS.iter().any(|(first, second)| {
            has(first) && (has(second) || (begins_so && has(DISCLAIMER_WORDS)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer(text: &str) -> Option<usize> {
        footer_start(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn device_lines_are_known() {
        for line in [
            "Sent from my iPhone",
            "Sent from Outlook for iOS<https://aka.ms/o0ukef>",
            "Get Outlook for Android",
            "Sent with Proton Mail secure email.",
            "Von meinem iPhone gesendet",
            "Gesendet von Mail für Windows",
            "Envoyé de mon iPhone",
            "Enviado desde mi iPhone",
            "Inviato da iPhone",
            "Verstuurd vanaf mijn iPhone",
            "Skickat från min iPhone",
            "Отправлено с iPhone",
            "iPhoneから送信",
            "从我的 iPhone 发送",
        ] {
            assert!(is_device_line(line), "{line}");
        }
        for line in ["Sent from the heart", "I sent it from my phone.", "", "The iPhone is here."] {
            assert!(!is_device_line(line), "{line}");
        }
    }

    #[test]
    fn disclaimers_and_footers_are_known() {
        for text in [
            "CONFIDENTIALITY NOTICE: keep out",
            "This e-mail and any attachments are confidential and may be privileged. If you are\n\
             not the intended recipient, delete it.",
            "Diese E-Mail enthält vertrauliche und/oder rechtlich geschützte Informationen. Wenn \
             Sie nicht der richtige Adressat sind, informieren Sie uns.",
            "_______________________________________________\nfoo mailing list\nfoo@x.example",
            "To unsubscribe from this group, send an email to x",
            "This email has been checked for viruses by Avast.",
        ] {
            assert_eq!(footer(&format!("Yes.\n\n{text}\n")), Some(2), "{text}");
        }
        assert_eq!(
            footer(
                "Mara\nThis email is confidential; it is for the addressee alone, and \
                           for nobody else."
            ),
            Some(1)
        );
        for text in ["Keep it confidential, please.", "____________________\nName", "Unsubscribed!"]
        {
            assert_eq!(footer(text), None, "{text}");
        }
    }

    #[test]
    fn advice_not_to_print_is_known() {
        assert!(is_print_advice("P Please consider the environment before printing this e-mail"));
        assert!(!is_print_advice("Please print this."));
    }
}
