//! Sentences of which no two are alike, and what mail clients say in four languages.
//!
//! Every sentence carries a made-up name that stands nowhere else, so that a text tells by itself
//! which sentences it holds. Both sides of a conversation draw from the same templates: nothing but
//! its place tells whose a sentence is.

use jiff::civil::DateTime;

/// What the clients say in one language. Dates are `strftime` patterns; names and labels stand one
/// after the other, separated by `|`.
#[derive(Debug)]
pub struct Language {
    pub code: &'static str,
    months: &'static str,
    months_short: &'static str,
    days: &'static str,
    days_short: &'static str,
    pub gmail: &'static str,
    pub gmail_from: &'static str,
    pub gmail_date: &'static str,
    pub apple: &'static str,
    /// The announcement, From, Subject, Date, To.
    pub apple_forward: &'static str,
    pub apple_date: &'static str,
    pub iphone: &'static str,
    pub thunderbird: &'static str,
    /// The announcement, Subject, Date, From, To.
    pub thunderbird_forward: &'static str,
    /// The announcement, From, Sent, To, Subject.
    pub outlook: &'static str,
    pub outlook_date: &'static str,
    pub outlook_reply: &'static str,
    pub outlook_forward: &'static str,
    pub greeting: &'static str,
    pub closing: &'static str,
    sentences: &'static [&'static str],
}

impl Language {
    /// A date as this language writes it: `pattern` with the names of months and days.
    pub fn date(&self, at: DateTime, pattern: &str) -> String {
        let month = usize::try_from(at.month() - 1).unwrap();
        let day = usize::try_from(at.weekday().to_monday_zero_offset()).unwrap();
        let name = |names: &'static str, index: usize| names.split('|').nth(index).unwrap();
        let pattern = pattern
            .replace("%B", name(self.months, month))
            .replace("%b", name(self.months_short, month))
            .replace("%A", name(self.days, day))
            .replace("%a", name(self.days_short, day));
        at.strftime(&pattern).to_string()
    }
}

pub static ENGLISH: Language = Language {
    code: "en",
    months: "January|February|March|April|May|June|July|August|September|October|November|December",
    months_short: "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec",
    days: "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    days_short: "Mon|Tue|Wed|Thu|Fri|Sat|Sun",
    gmail: "On %a, %b %-d, %Y at %-I:%M %p {name} <{mail}> wrote:",
    gmail_from: "From:",
    gmail_date: "%a, %b %-d, %Y at %-I:%M %p",
    apple: "On %-d %b %Y, at %H:%M, {name} <{mail}> wrote:",
    apple_forward: "Begin forwarded message:|From:|Subject:|Date:|To:",
    apple_date: "%-d %B %Y at %H:%M:%S GMT",
    iphone: "Sent from my iPhone",
    thunderbird: "On %d/%m/%Y %H:%M, {shown} wrote:",
    thunderbird_forward: "-------- Forwarded Message --------|Subject:|Date:|From:|To:",
    outlook: "-----Original Message-----|From:|Sent:|To:|Subject:",
    outlook_date: "%A, %B %-d, %Y %-I:%M %p",
    outlook_reply: "RE: ",
    outlook_forward: "FW: ",
    greeting: "Hi {name},",
    closing: "Best,",
    sentences: &[
        "What did {w} say about the {t} in {p}?",
        "Can {w} bring all {n} of the {t} on {d}?",
        "On {d} I wrote to the council about {w}.",
        "In the margin of page {n} somebody wrote: keep the {t} at {w} dry.",
        "From {p} to {w} it is {n} minutes on foot, a little more with the {t}.",
        "I have put {n} of the {t} aside for {w}.",
        "The {t} for {w} should reach {p} by {d}, unless the road is closed again.",
        "{w} is fine with me.",
        "We counted {n} {t} in {p} last {d}, which is more than {w} had hoped for.",
        "My brother's {t} never made it past {w}, so we turned back at {p}.",
        "It's too early to say whether {w} wants the {t}.",
        "After the meeting on {d} we walked over to {p}, where {w} had already laid out {n} of \
         the {t}, and nobody could tell which of them was meant for us.",
        "The café near {p} has kept a table for {w} and {n} others.",
        "Zoë told me that {w} sold the {t} for {n} pounds.",
        "If {w} agrees, then {p} gets the {t} (all {n} of them); if not, we wait until {d}.",
        "There is a draft at https://docs.example.org/{w}/{n} for whoever wants it.",
        "A sketch of the {t} hangs at {w} & Sons in {p}.",
        "Nothing at {w} weighs less than {n} grams, \"give or take\", as they say in {p}.",
        "You wrote that {w} was late on {d}; it was the {t} that was late.",
        "Please ask {w} first.",
        "Subject to the weather, {w} opens the gate to {p} at {n} past nine.",
        "Sent the {t} to {w} on {d}, {n} in all!",
        "To be honest, I would rather see {w} without the {t}.",
        "Somewhere between {p} and the sea there must be {n} more {t}, or so {w} believes.",
    ],
};

pub static GERMAN: Language = Language {
    code: "de",
    months: "Januar|Februar|März|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember",
    months_short: "Jan.|Feb.|März|Apr.|Mai|Juni|Juli|Aug.|Sept.|Okt.|Nov.|Dez.",
    days: "Montag|Dienstag|Mittwoch|Donnerstag|Freitag|Samstag|Sonntag",
    days_short: "Mo.|Di.|Mi.|Do.|Fr.|Sa.|So.",
    gmail: "Am %a, %-d. %b %Y um %H:%M Uhr schrieb {name} <{mail}>:",
    gmail_from: "Von:",
    gmail_date: "%a, %-d. %b %Y um %H:%M Uhr",
    apple: "Am %d.%m.%Y um %H:%M schrieb {name} <{mail}>:",
    apple_forward: "Anfang der weitergeleiteten Nachricht:|Von:|Betreff:|Datum:|An:",
    apple_date: "%-d. %B %Y um %H:%M:%S MEZ",
    iphone: "Von meinem iPhone gesendet",
    thunderbird: "Am %d.%m.%y um %H:%M schrieb {shown}:",
    thunderbird_forward: "-------- Weitergeleitete Nachricht --------|Betreff:|Datum:|Von:|An:",
    outlook: "-----Ursprüngliche Nachricht-----|Von:|Gesendet:|An:|Betreff:",
    outlook_date: "%A, %-d. %B %Y %H:%M",
    outlook_reply: "AW: ",
    outlook_forward: "WG: ",
    greeting: "Hallo {name},",
    closing: "Viele Grüße",
    sentences: &[
        "Am Montag habe ich wegen {w} an die Leute in {p} geschrieben.",
        "Könnt ihr bis Freitag {n} Stück nach {w} bringen?",
        "Für {w} reichen {n} Stühle, der Rest bleibt in {p}.",
        "Von {p} bis {w} sind es {n} Minuten zu Fuß, mit Gepäck etwas mehr.",
        "Ich glaube nicht, dass {w} vor Ostern noch {n} davon verkauft.",
        "Über {w} weiß man in {p} nur, dass es dort {n} Brücken gibt.",
        "Außerdem hat {w} schon {n} Mal abgesagt, zuletzt in {p}.",
    ],
};

pub static FRENCH: Language = Language {
    code: "fr",
    months: "janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre",
    months_short: "janv.|févr.|mars|avr.|mai|juin|juil.|août|sept.|oct.|nov.|déc.",
    days: "lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche",
    days_short: "lun.|mar.|mer.|jeu.|ven.|sam.|dim.",
    gmail: "Le %a %-d %b %Y à %H:%M, {name} <{mail}> a écrit :",
    gmail_from: "De :",
    gmail_date: "%a %-d %b %Y à %H:%M",
    apple: "Le %-d %b %Y à %H:%M, {name} <{mail}> a écrit :",
    apple_forward: "Début du message réexpédié :|De:|Objet:|Date:|À:",
    apple_date: "%-d %B %Y à %H:%M:%S UTC+1",
    iphone: "Envoyé de mon iPhone",
    thunderbird: "Le %d/%m/%Y à %H:%M, {shown} a écrit :",
    thunderbird_forward: "-------- Message transféré --------|Sujet :|Date :|De :|Pour :",
    outlook: "-----Message d'origine-----|De :|Envoyé :|À :|Objet :",
    outlook_date: "%A %-d %B %Y %H:%M",
    outlook_reply: "RE: ",
    outlook_forward: "TR: ",
    greeting: "Bonjour {name},",
    closing: "Bien à toi,",
    sentences: &[
        "Le jeudi matin, {w} ouvre la porte à {n} personnes de {p}.",
        "Est-ce que {w} peut garder les {n} chaises jusqu'à samedi ?",
        "J'ai déjà écrit à {w}, mais {p} ne répond plus depuis {n} jours.",
        "De {p} à {w}, il faut compter {n} minutes à pied.",
        "À mon avis, {w} préfère attendre que {p} soit prêt.",
        "Les {n} cartes de {w} sont restées près de {p}, hélas.",
        "Ça ira très bien pour {w}, même avec {n} invités de plus.",
    ],
};

pub static SPANISH: Language = Language {
    code: "es",
    months: "enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|\
             diciembre",
    months_short: "ene|feb|mar|abr|may|jun|jul|ago|sept|oct|nov|dic",
    days: "lunes|martes|miércoles|jueves|viernes|sábado|domingo",
    days_short: "lun|mar|mié|jue|vie|sáb|dom",
    gmail: "El %a, %-d %b %Y a las %H:%M, {name} (<{mail}>) escribió:",
    gmail_from: "De:",
    gmail_date: "%a, %-d %b %Y a las %H:%M",
    apple: "El %-d %b %Y, a las %H:%M, {name} <{mail}> escribió:",
    apple_forward: "Inicio del mensaje reenviado:|De:|Asunto:|Fecha:|Para:",
    apple_date: "%-d de %B de %Y, %H:%M:%S CET",
    iphone: "Enviado desde mi iPhone",
    thunderbird: "El %-d/%-m/%y a las %H:%M, {shown} escribió:",
    thunderbird_forward: "-------- Mensaje reenviado --------|Asunto:|Fecha:|De:|Para:",
    outlook: "-----Mensaje original-----|De:|Enviado el:|Para:|Asunto:",
    outlook_date: "%A, %-d de %B de %Y %H:%M",
    outlook_reply: "RE: ",
    outlook_forward: "RV: ",
    greeting: "Hola {name}:",
    closing: "Un abrazo,",
    sentences: &[
        "El lunes escribí a {w} por lo de las {n} sillas.",
        "¿Puede {w} traer las {n} llaves antes del sábado?",
        "De {p} a {w} hay {n} minutos andando, algo más con niños.",
        "Según {w}, en {p} ya no quedan más que {n} mesas.",
        "Todavía no sé si {w} viene con el camión o sin él.",
        "Mañana {w} abre a las {n} y media, como siempre en {p}.",
        "Los papeles de {w} están en {p}, dentro de la caja número {n}.",
    ],
};

const THINGS: [&str; 12] = [
    "ledgers",
    "lamps",
    "maps",
    "ladders",
    "tiles",
    "seed trays",
    "cables",
    "kettles",
    "posters",
    "hinges",
    "curtains",
    "paddles",
];
const PLACES: [&str; 12] = [
    "Leith",
    "Harwick",
    "the mill",
    "Port Ellen",
    "Norwich",
    "the old depot",
    "Zürich",
    "Málaga",
    "the library",
    "Corby",
    "the east pier",
    "Besançon",
];

// A name is two letters, three letters and four letters: 16 × 16 × 32 of them.
const HEADS: &str = "Ba|Do|Fi|Gu|Ha|Jo|Ki|Lu|Mo|Ne|Pa|Ro|Si|Tu|Va|Zo";
const MIDDLES: &str = "bre|cla|dri|fen|gol|har|jam|kle|lum|mor|nev|pli|rus|stu|vin|wyl";
const ENDS: &str = "dick|gard|bolm|lund|keth|mark|tusk|vorn|nimp|soft|pell|runt|bask|wirk|fond|dumb|\
                    polt|gulf|rask|bulk|dorn|yelk|hulm|sild|tarn|fusk|jolt|zand|wick|crom|mund|pyrk";
const NAMES: usize = 8192;

/// The made-up name in a sentence.
pub fn name_in(sentence: &str) -> Option<&str> {
    let is_one_of = |names: &str, part: Option<&str>| {
        part.is_some_and(|part| names.split('|').any(|name| name == part))
    };
    sentence.split(|char: char| !char.is_alphanumeric()).find(|word| {
        is_one_of(HEADS, word.get(..2))
            && is_one_of(MIDDLES, word.get(2..5))
            && is_one_of(ENDS, word.get(5..))
    })
}

/// Writes sentences, and decides everything else that varies: the same from run to run.
#[derive(Debug)]
pub struct Pen {
    /// The state of an xorshift generator.
    state: u64,
    names: usize,
}

impl Pen {
    pub fn new() -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15, names: 0 }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap() % bound
    }

    /// Whether something happens that happens in so many of a hundred cases.
    pub fn in_hundred(&mut self, cases: usize) -> bool {
        self.below(100) < cases
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A name that was not given before.
    pub fn name(&mut self) -> String {
        assert!(self.names < NAMES, "more sentences than names");
        // An odd factor reaches each of them once.
        let index = self.names * 1237 % NAMES;
        self.names += 1;
        let part = |parts: &'static str, index: usize| parts.split('|').nth(index).unwrap();
        let (head, middle, end) = (index % 16, index / 16 % 16, index / 256);
        format!("{}{}{}", part(HEADS, head), part(MIDDLES, middle), part(ENDS, end))
    }

    pub fn sentence(&mut self, language: &Language) -> String {
        let template = self.pick(language.sentences);
        self.fill(template)
    }

    /// The template with a new name, where it wants one, and some thing, place, day and number.
    pub fn fill(&mut self, template: &str) -> String {
        let day = self.below(7);
        let name = if template.contains("{w}") { self.name() } else { String::new() };
        template
            .replace("{w}", &name)
            .replace("{t}", self.pick(&THINGS))
            .replace("{p}", self.pick(&PLACES))
            .replace("{d}", ENGLISH.days.split('|').nth(day).unwrap())
            .replace("{n}", &(11 + self.below(880)).to_string())
    }

    pub fn sentences(&mut self, language: &Language, count: usize) -> Vec<String> {
        (0..count).map(|_| self.sentence(language)).collect()
    }
}
