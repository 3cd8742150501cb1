//! What the markup of the mail programs says of an element: quote, signature, end of the reply.
//!
//! Gmail, Outlook, Apple Mail, Thunderbird, Yahoo, Proton, GMX, Zimbra, Spark and others mark what
//! they put into a message by names of their own.

/// What an element is to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Somebody else's words.
    Quote,
    /// An attribution, then a quote, then perhaps the person's words again.
    QuoteContainer,
    /// It introduces a quote.
    Attribution,
    Signature,
    /// It is not shown.
    Hidden,
    /// What follows is the message that is answered.
    Cut,
    /// A rule, or a border above.
    Rule,
}

const CUT_IDS: [&str; 4] = ["divrplyfwdmsg", "appendonsend", "stopspelling", "zwchr"];
const SIGNATURE_IDS: [&str; 4] =
    ["signature", "applemailsignature", "ms-outlook-mobile-signature", "ms-outlook-signature"];
const SIGNATURE_CLASSES: [&str; 8] = [
    "gmail_signature",
    "gmail_signature_prefix",
    "moz-signature",
    "protonmail_signature_block",
    "applemailsignature",
    "-x-evo-signature",
    "yahoo-signature",
    "signature",
];
const ATTRIBUTION_CLASSES: [&str; 3] = ["gmail_attr", "moz-cite-prefix", "quoteheader"];
const CONTAINER_CLASSES: [&str; 4] =
    ["gmail_quote", "gmail_quote_container", "protonmail_quote", "zmail_extra"];
const QUOTE_CLASSES: [&str; 5] = [
    "moz-forward-container",
    "moz-email-headers-table",
    "ms-outlook-mobile-reference-message",
    "sh-quoted-content",
    "yahoo_quoted",
];
const QUOTE_IDS: [&str; 2] = ["mail-editor-reference-message-container", "yahoo_quoted"];
const QUOTE_NAMES: [&str; 3] = ["quote", "quoted-content", "messagereplysection"];

/// What the element `name` with these attributes is; `None` for one like any other.
pub(super) fn meaning(name: &str, attributes: &[(String, String)]) -> Option<Meaning> {
    let value = |wanted: &str| {
        let found = attributes.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.to_lowercase())
    };
    let id = value("id").unwrap_or_default();
    let class = value("class").unwrap_or_default();
    let own_name = value("name").unwrap_or_default();
    let style = style_of(attributes);
    let has_class = |known: &[&str]| class.split_whitespace().any(|one| known.contains(&one));

    if value("hidden").is_some() || matches!(name, "xml" | "template") || hides(&style) {
        return Some(Meaning::Hidden);
    }
    if CUT_IDS.contains(&id.as_str()) || class.contains("outlookmessageheader") {
        return Some(Meaning::Cut);
    }
    let is_yahoo_signature = class.starts_with("ydp") && class.ends_with("signature");
    if SIGNATURE_IDS.contains(&id.as_str())
        || has_class(&SIGNATURE_CLASSES)
        || is_yahoo_signature
        || own_name == "messagesignaturesection"
    {
        return Some(Meaning::Signature);
    }
    if has_class(&ATTRIBUTION_CLASSES) || id == "reply-intro" {
        return Some(Meaning::Attribution);
    }
    if name == "blockquote" {
        return (!is_indent(&style)).then_some(Meaning::Quote);
    }
    if has_class(&CONTAINER_CLASSES) {
        return Some(Meaning::QuoteContainer);
    }
    if has_class(&QUOTE_CLASSES)
        || class.ends_with("yahoo_quoted")
        || QUOTE_IDS.iter().any(|known| id.starts_with(known))
        || QUOTE_NAMES.contains(&own_name.as_str())
    {
        return Some(Meaning::Quote);
    }
    let is_border = style.contains("border-top:solid") && style.contains("border:none");
    (name == "hr" || is_border).then_some(Meaning::Rule)
}

/// Whether an element stands apart by an empty line, and not just on a line of its own.
pub(super) fn is_apart(name: &str, attributes: &[(String, String)]) -> bool {
    match name {
        "p" => {
            let class = attributes.iter().find(|(name, _)| name == "class");
            let is_line = class.is_some_and(|(_, class)| class.to_lowercase().contains("mso"));
            let style = style_of(attributes);
            let is_tight = style.contains("margin:0")
                || (style.contains("margin-top:0") && style.contains("margin-bottom:0"));
            !is_line && !is_tight
        }
        "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "dl" | "table" | "blockquote"
        | "pre" => true,
        _ => false,
    }
}

/// The style attribute without spaces, in lower case.
fn style_of(attributes: &[(String, String)]) -> String {
    let style = attributes.iter().find(|(name, _)| name == "style");
    let style = style.map(|(_, style)| style.as_str()).unwrap_or_default();
    style.chars().filter(|char| !char.is_whitespace()).flat_map(char::to_lowercase).collect()
}

fn hides(style: &str) -> bool {
    ["display:none", "visibility:hidden", "mso-hide:all"].iter().any(|how| style.contains(how))
}

/// Whether a blockquote only moves the person's own words to the right.
fn is_indent(style: &str) -> bool {
    let has_left_border = style.contains("border-left:") && !style.contains("border-left:none");
    let is_moved = style.contains("margin:00040px") || style.contains("border:none");
    is_moved && !has_left_border
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::mail::tag::attributes;

    #[test]
    fn what_mail_programs_mark_is_known() {
        for (name, written, expected) in [
            ("div", "class=\"gmail_quote gmail_quote_container\"", Some(Meaning::QuoteContainer)),
            ("blockquote", "class=\"gmail_quote\" style=\"margin:0\"", Some(Meaning::Quote)),
            ("blockquote", "style=\"margin: 0 0 0 40px; border: none; padding: 0px;\"", None),
            ("div", "dir=ltr class=gmail_attr", Some(Meaning::Attribution)),
            ("div", "id=\"divRplyFwdMsg\"", Some(Meaning::Cut)),
            ("hr", "id=stopSpelling", Some(Meaning::Cut)),
            ("hr", "", Some(Meaning::Rule)),
            (
                "div",
                "style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in'",
                Some(Meaning::Rule),
            ),
            ("div", "class=\"ydp1ayahoo_quoted\" id=\"ydp1ayahoo_quoted_2\"", Some(Meaning::Quote)),
            ("pre", "class=\"moz-signature\" cols=72", Some(Meaning::Signature)),
            ("div", "id=\"AppleMailSignature\"", Some(Meaning::Signature)),
            ("div", "style=\"DISPLAY: none\"", Some(Meaning::Hidden)),
            ("div", "name=quote", Some(Meaning::Quote)),
            ("div", "class=\"elementToProof\"", None),
        ] {
            assert_eq!(meaning(name, &attributes(written)), expected, "{name} {written}");
        }
    }

    #[test]
    fn paragraphs_of_outlook_are_lines() {
        assert!(is_apart("p", &attributes("")));
        assert!(!is_apart("p", &attributes("class=MsoNormal")));
        assert!(!is_apart("p", &attributes("style=\"margin: 0px\"")));
    }
}
