//! What each mail client makes of a letter: its plain text, its HTML, its way to quote and to
//! forward. One function per client; knows neither the reader under test nor whose words are whose.

use super::layout::{Html, Marks, Plain};
use super::letters::{Letter, Style};
use super::quoting::{
    apple_attribution, apple_attribution_html, apple_forward, apple_forward_html,
    gmail_attribution, gmail_attribution_html, gmail_forward, gmail_forward_html,
    iphone_attribution_html, mutt_attribution, mutt_forward, outlook_attribution,
    outlook_attribution_of_old, outlook_web_attribution, outlook_word_attribution,
    thunderbird_attribution, thunderbird_attribution_html, thunderbird_forward,
    thunderbird_forward_html,
};
use super::wire::Body;

/// A client and the styles that its users write in.
pub struct Client {
    pub name: &'static str,
    pub styles: &'static [Style],
    pub write: fn(&Letter) -> Body,
}

const ANY: &[Style] = &[Style::New, Style::Top, Style::Inline, Style::Bottom, Style::Forward];
const TOP: &[Style] = &[Style::New, Style::Top, Style::Forward];
const LIST: &[Style] = &[Style::New, Style::Inline, Style::Bottom, Style::Forward];

pub static CLIENTS: [Client; 9] = [
    Client { name: "gmail", styles: ANY, write: gmail },
    Client { name: "outlook web", styles: TOP, write: outlook_web },
    Client { name: "outlook word", styles: TOP, write: outlook_word },
    Client { name: "outlook plain", styles: TOP, write: outlook_plain },
    Client { name: "apple mail", styles: ANY, write: apple_mail },
    Client { name: "iphone", styles: TOP, write: iphone },
    Client { name: "thunderbird", styles: ANY, write: thunderbird },
    Client { name: "thunderbird html", styles: ANY, write: thunderbird_html },
    Client { name: "mutt", styles: LIST, write: mutt },
];

fn gmail(letter: &Letter) -> Body {
    let plain = Plain {
        width: 76,
        bullet: "   - ",
        marks: Marks::Compact,
        gap: true,
        delimiter: !letter.bare_signature,
        ..Plain::new(gmail_attribution, gmail_forward)
    };
    // Gmail leaves no space at the end of what it quotes.
    let text = plain.text(letter);
    let trimmed =
        text.lines().map(|line| if line.starts_with('>') { line.trim_end() } else { line });
    // An answer on top closes the person's part; one below or between stands inside the quote's.
    let apart = matches!(letter.style, Style::Top | Style::Forward);
    let html = Html {
        document: ["<div dir=\"ltr\">", if apart { "" } else { "</div>\n" }],
        paragraph: ["<div>", "</div>"],
        gap: "<div><br></div>",
        outer: [
            if apart {
                "</div><br><div class=\"gmail_quote\">"
            } else {
                "<br><div class=\"gmail_quote\">"
            },
            "</div>\n",
        ],
        nested: ["<br><div class=\"gmail_quote\">", "</div>"],
        quote: [
            "<blockquote class=\"gmail_quote\" style=\"margin:0px 0px 0px 0.8ex;\
             border-left:1px solid rgb(204,204,204);padding-left:1ex\"><div dir=\"ltr\">",
            "</div></blockquote>",
        ],
        signature: [
            if letter.bare_signature {
                "<br clear=\"all\"><div dir=\"ltr\" class=\"gmail_signature\" \
                 data-smartmail=\"gmail_signature\"><div dir=\"ltr\">"
            } else {
                "<br clear=\"all\"><div><br></div><span class=\"gmail_signature_prefix\">-- </span>\
                 <br><div dir=\"ltr\" class=\"gmail_signature\" \
                 data-smartmail=\"gmail_signature\"><div dir=\"ltr\">"
            },
            "</div></div>",
        ],
        ..Html::new(gmail_attribution_html, gmail_forward_html)
    };
    Body {
        boundary: "0000000000008c2f3a05a0",
        plain: trimmed.map(|line| format!("{line}\n")).collect(),
        html: Some(html.text(letter)),
        ..Body::default()
    }
}

fn outlook_web(letter: &Letter) -> Body {
    let mut letter = letter.clone();
    if letter.written.signature.is_empty() && letter.number.is_multiple_of(2) {
        letter.written.signature = vec!["Get Outlook for iOS<https://aka.ms/o0ukef>".to_owned()];
    }
    let rule = "________________________________";
    let plain = Plain {
        bullet: "  *   ",
        gap: true,
        separator: Some(rule),
        ..Plain::new(outlook_attribution, Plain::quoted_in_full)
    };
    let html = Html {
        document: [
            "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html; \
             charset=iso-8859-1\">\n<style type=\"text/css\" style=\"display:none;\"> P \
             {margin-top:0;margin-bottom:0;} </style>\n</head>\n<body dir=\"ltr\">\n",
            "</body>\n</html>\n",
        ],
        paragraph: [
            "<div style=\"font-family: Calibri, Arial, Helvetica, sans-serif; font-size: 12pt; \
             color: rgb(0, 0, 0);\">\n",
            "</div>\n",
        ],
        gap: "<div style=\"font-size: 12pt;\"><br>\n</div>\n",
        outer: [
            "<div id=\"appendonsend\"></div>\n\
             <hr style=\"display:inline-block;width:98%\" tabindex=\"-1\">\n",
            "",
        ],
        nested: ["<hr style=\"display:inline-block;width:98%\" tabindex=\"-1\">\n", ""],
        signature: ["<div id=\"Signature\"><div><p>", "</p></div></div>\n"],
        ..Html::new(outlook_web_attribution, Html::quoted_in_full)
    };
    Body {
        agent: "X-MS-Has-Attach: ",
        boundary: "_000_AM6PR0101MB2835work_",
        charset: "iso-8859-1",
        plain: plain.text(&letter),
        html: Some(html.text(&letter)),
        reply: letter.language.outlook_reply,
        forward: letter.language.outlook_forward,
        ..Body::default()
    }
}

fn outlook_word(letter: &Letter) -> Body {
    let plain = Plain {
        bullet: "·       ",
        gap: true,
        ..Plain::new(outlook_attribution, Plain::quoted_in_full)
    };
    let html = Html {
        document: [WORD_HEAD, "</div></body></html>\n"],
        paragraph: ["<p class=\"MsoNormal\">", "<o:p></o:p></p>\n"],
        gap: "<p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>\n",
        list: ["", ""],
        item: [
            "<p class=\"MsoListParagraph\" style=\"text-indent:-.25in;mso-list:l0 level1 lfo1\">\
             <![if !supportLists]><span style=\"font-family:Symbol\"><span \
             style=\"mso-list:Ignore\">·<span style=\"font:7.0pt &quot;Times New Roman&quot;\">\
             &nbsp;&nbsp;&nbsp;&nbsp; </span></span></span><![endif]>",
            "<o:p></o:p></p>\n",
        ],
        wrapped: true,
        nested: ["<p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>\n", ""],
        outer: ["<p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>\n", ""],
        signature: ["<p class=\"MsoNormal\">", "<o:p></o:p></p>\n"],
        ..Html::new(outlook_word_attribution, Html::quoted_in_full)
    };
    Body {
        agent: "X-Mailer: Microsoft Outlook 16.0",
        boundary: "----=_NextPart_000_0011_01D5F1",
        charset: "windows-1252",
        plain: plain.text(letter),
        html: Some(html.text(letter)),
        reply: letter.language.outlook_reply,
        forward: letter.language.outlook_forward,
        ..Body::default()
    }
}

const WORD_HEAD: &str = "<html xmlns:v=\"urn:schemas-microsoft-com:vml\" \
    xmlns:o=\"urn:schemas-microsoft-com:office:office\" \
    xmlns:w=\"urn:schemas-microsoft-com:office:word\"><head><meta http-equiv=Content-Type \
    content=\"text/html; charset=windows-1252\"><meta name=Generator content=\"Microsoft Word 15 \
    (filtered medium)\">\n<!--[if !mso]><style>v\\:* {behavior:url(#default#VML);}</style>\
    <![endif]-->\n<style><!--\n/* Style Definitions */\np.MsoNormal, li.MsoNormal\n\t{margin:0in;\n\
    \tfont-size:11.0pt;\n\tfont-family:\"Calibri\",sans-serif;}\n--></style>\n<!--[if gte mso 9]>\
    <xml>\n<o:shapedefaults v:ext=\"edit\" spidmax=\"1026\" />\n</xml><![endif]--></head>\n\
    <body lang=EN-GB link=\"#0563C1\" vlink=\"#954F72\"><div class=WordSection1>\n";

fn outlook_plain(letter: &Letter) -> Body {
    let announcement = letter.language.outlook.split('|').next().unwrap();
    let plain = Plain {
        width: 76,
        bullet: "* ",
        gap: true,
        separator: Some(announcement),
        ..Plain::new(outlook_attribution_of_old, Plain::quoted_in_full)
    };
    Body {
        agent: "X-Mailer: Microsoft Office Outlook 12.0",
        charset: "iso-8859-1",
        plain: plain.text(letter),
        reply: letter.language.outlook_reply,
        forward: letter.language.outlook_forward,
        ..Body::default()
    }
}

fn apple_mail(letter: &Letter) -> Body {
    let plain = Plain {
        width: 70,
        // The space that is kept, and the one that says that the line goes on.
        soft: "  ",
        bullet: "• ",
        marks: Marks::Spaced,
        gap: true,
        inside: true,
        delimiter: !letter.bare_signature,
        ..Plain::new(apple_attribution, apple_forward)
    };
    let html = Html {
        document: [
            "<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; \
             charset=utf-8\"></head><body style=\"word-wrap: break-word; -webkit-nbsp-mode: space; \
             line-break: after-white-space;\" class=\"\">",
            "<br class=\"\"></body></html>\n",
        ],
        paragraph: ["<div class=\"\">", "</div>"],
        gap: "<div class=\"\"><br class=\"\"></div>",
        inside: true,
        outer: ["<div><br class=\"\">", "</div>"],
        nested: ["<div class=\"\"><br class=\"\">", "</div>"],
        quote: ["<blockquote type=\"cite\" class=\"\">", "</blockquote>"],
        signature: [
            if letter.bare_signature {
                "<br class=\"\"><div class=\"\">\n<div>"
            } else {
                "<br class=\"\"><div class=\"\">\n<div>-- <br class=\"\">"
            },
            "</div>\n</div>",
        ],
        ..Html::new(apple_attribution_html, apple_forward_html)
    };
    Body {
        agent: "X-Mailer: Apple Mail (2.3608.60.0.2.5)",
        boundary: "Apple-Mail=_4C1D2B2E-6F4E-4A8F-9D6B-",
        charset: "us-ascii",
        parameters: ";\n\tformat=flowed;\n\tdelsp=yes",
        plain: plain.text(letter),
        html: Some(html.text(letter)),
        ..Body::default()
    }
}

fn iphone(letter: &Letter) -> Body {
    let mut letter = letter.clone();
    letter.written.signature = vec![letter.language.iphone.to_owned()];
    let plain = Plain {
        bullet: "• ",
        marks: Marks::Spaced,
        gap: true,
        inside: true,
        ..Plain::new(apple_attribution, apple_forward)
    };
    // A mark of no width stands before what is quoted.
    let text = plain.text(&letter).replacen("\n> \n> ", "\n> \n> \u{feff}", 1);
    let html = Html {
        document: [
            "<html><head><meta http-equiv=\"content-type\" content=\"text/html; charset=utf-8\">\
             </head><body dir=\"auto\">",
            "</body></html>",
        ],
        paragraph: ["<div dir=\"ltr\">", "</div>"],
        gap: "<div><br></div>",
        outer: ["<div dir=\"ltr\"><br>", "</div>"],
        nested: ["<div dir=\"ltr\"><br>", "</div>"],
        quote: ["<blockquote type=\"cite\"><div dir=\"ltr\">\u{feff}", "</div></blockquote>"],
        signature: ["<div id=\"AppleMailSignature\" dir=\"ltr\">", "</div>"],
        ..Html::new(iphone_attribution_html, apple_forward_html)
    };
    Body {
        agent: "X-Mailer: iPhone Mail (17D50)",
        boundary: "Apple-Mail-55F5A5E5-",
        charset: "us-ascii",
        plain: text,
        html: Some(html.text(&letter)),
        ..Body::default()
    }
}

fn thunderbird(letter: &Letter) -> Body {
    let plain = Plain {
        width: 72,
        soft: " ",
        bullet: "* ",
        marks: Marks::Compact,
        delimiter: true,
        ..Plain::new(thunderbird_attribution, thunderbird_forward)
    };
    Body {
        agent: "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:68.0) Gecko/20100101 \
                Thunderbird/68.5.0",
        parameters: "; format=flowed",
        plain: plain.text(letter),
        ..Body::default()
    }
}

fn thunderbird_html(letter: &Letter) -> Body {
    let html = Html {
        document: [
            "<html>\n  <head>\n    <meta http-equiv=\"content-type\" content=\"text/html; \
             charset=UTF-8\">\n  </head>\n  <body text=\"#000000\" bgcolor=\"#FFFFFF\">\n    ",
            "  </body>\n</html>\n",
        ],
        paragraph: ["<p>", "</p>\n    "],
        wrapped: true,
        quote: [
            "<blockquote type=\"cite\" cite=\"mid:5E5E8A4D@example.org\">\n",
            "</blockquote>\n",
        ],
        signature: ["<div class=\"moz-signature\">-- <br>\n", "</div>\n"],
        ..Html::new(thunderbird_attribution_html, thunderbird_forward_html)
    };
    Body {
        boundary: "------------3F7E0B5A1C2D4E6F8A9B",
        html: Some(html.text(letter)),
        ..thunderbird(letter)
    }
}

fn mutt(letter: &Letter) -> Body {
    let plain = Plain {
        width: 72,
        bullet: "- ",
        marks: Marks::Spaced,
        delimiter: true,
        // Some leave no blank line between what they quote and what they say to it.
        tight: letter.number.is_multiple_of(3),
        ..Plain::new(mutt_attribution, mutt_forward)
    };
    Body {
        agent: "User-Agent: Mutt/1.10.1 (2018-07-13)",
        boundary: "LQksG6bCIzRHxTLp",
        charset: "us-ascii",
        plain: plain.text(letter),
        ..Body::default()
    }
}
