//! Notes that a real model takes with the text before its eyes: what only the text says is not in them; and
//! what is learned of notes and text.

use std::sync::atomic::AtomicBool;

use restpg_edge::catalogue::ModelStore;
use restpg_edge::config::Config;
use restpg_edge::ggml::Backend;
use restpg_edge::llama::Token;
use restpg_edge::lora::Answer;
use restpg_edge::paths::Paths;
use restpg_edge::profile::{Hit, NoPassphrase, ProfileStore, User};
use restpg_edge::selftrain::{
    Fault, Item, Journal, Lesson, Wanted, Workshop, example, write_notes,
};
use serde_json::json;

use crate::support::{Home, runtime};

const MODEL: &str = "smollm2-135m-instruct";
/// A place and a person who stand in one text alone, and what the person did.
const TEXTS: [[&str; 3]; 6] = [
    ["Ostrava", "Wendeline", "carried forty chairs up to the choir loft"],
    ["Quillon", "Bartholdy", "has found the missing oar under the jetty"],
    ["Tarvisio", "Ingeborg", "wants every window of the school painted blue"],
    ["Zwolle", "Hildegard", "keeps the only key to the clock tower"],
    ["Penzance", "Cornelis", "taught the parrot to count up to eleven"],
    ["Uppsala", "Fredegund", "baked the bread with salt instead of sugar"],
];
const PASSAGES: [&str; 2] = [
    "I have never understood people who leave a gate open in the rain, and I said so at the meeting.",
    "Thank you for the marmalade. The cat has had some, too, which was not the plan.",
];

/// What stands in text `number` alone.
fn particulars(number: usize) -> [String; 3] {
    let [place, person, _] = TEXTS[number];
    [place.into(), person.into(), (704_519 + 10_301 * number).to_string()]
}

fn item(number: usize) -> Item {
    let [place, person, code] = particulars(number);
    let deed = TEXTS[number][2];
    let passage = |text: &&str| Hit { text: (*text).into(), ..Hit::default() };
    Item {
        key: format!("document {number}"),
        request: "a letter home with the news of the week".into(),
        task: "email".into(),
        output: format!(
            "News from {place}: old {person} {deed}. Nobody asked why, since {person} of {place} seldom \
             answers. On the parcel to {person} write the number {code}, or it comes back from {place}."
        ),
        passages: PASSAGES.iter().map(passage).collect(),
        writer: 0,
        documents: Vec::new(),
        versions: Vec::new(),
        held_out: false,
    }
}

/// What a run has that works with the model alone, and a store of its own.
fn with_workshop<T>(home: &Home, work: impl FnOnce(&Workshop<'_>, &mut Journal<'_>) -> T) -> T {
    let models = ModelStore::new(&home.path().join("models"));
    let (manifest, file) = models.resolve(MODEL).unwrap();
    let file_of_settings = home.path().join("config.toml");
    let config = Config::load(&file_of_settings, false, std::iter::empty()).unwrap();
    let workshop = Workshop {
        runtime: runtime(),
        base: &file,
        base_sha256: &manifest.sha256,
        sampled: &file,
        reasoning: None,
        judge: None,
        gate_judge: None,
        config: &config,
        threads: 2,
        backend: &Backend::cpu(2).unwrap(),
        fit_bytes_max: 0,
        embedder: None,
        styles: &[],
        rejected: &[],
        interrupt: &AtomicBool::new(false),
        breathe: &|| (),
        tell: &|_| (),
    };
    let paths = Paths::resolve(Some(home.path())).unwrap();
    let user = User::parse("me").unwrap();
    let mut store = ProfileStore::open_or_create(&paths, &user, &NoPassphrase).unwrap();
    let run = store.begin_run(&manifest.sha256, &json!({}), &[], &[]).unwrap();
    work(&workshop, &mut Journal::new(&mut store, run))
}

#[test]
fn notes_do_not_say_what_only_the_text_says() {
    let home = Home::with_real_models(&[MODEL]);
    let items: Vec<Item> = (0..TEXTS.len()).map(item).collect();
    let all = with_workshop(&home, |workshop, journal| {
        write_notes(workshop, journal, &items.iter().collect::<Vec<_>>()).unwrap()
    });
    for (number, notes) in all.iter().enumerate() {
        let text = notes.text.as_deref().unwrap_or_default();
        for particular in particulars(number) {
            assert!(!text.contains(&particular), "{particular} in the notes {text}");
        }
    }
    let kept = all.iter().filter(|notes| notes.text.is_some()).count();
    let refused = all.iter().flat_map(|notes| &notes.faults);
    let refused = refused.filter(|fault| **fault == Fault::GivesAway).count();
    // Otherwise there was nothing to find.
    assert!(kept > 0 && refused > 0, "{kept} kept, {refused} refused: {all:?}");
}

#[test]
fn what_the_runtime_writes_between_notes_and_text_is_not_learned() {
    let home = Home::with_real_models(&[MODEL]);
    let item = item(0);
    let notes = "- Length: about 40 words\n- Tone: dry\n- Background: keeps the keys of the shed";
    let wanted = Wanted { reasoning: Some(notes), text: &item.output, weight: 1.0 };
    let lesson = Lesson { item: &item, wanted: vec![wanted] };
    let (tokens, weights, model) = with_workshop(&home, |workshop, _| {
        let model = workshop.model(None).unwrap();
        let Answer { tokens, token_weights, .. } =
            example(workshop, &model, &lesson, true).unwrap().answers.remove(0);
        (tokens, token_weights.unwrap(), model)
    });
    let text_of = |weight: f32| {
        let mut text = Vec::new();
        let of_weight = tokens.iter().zip(&weights).filter(|(_, it)| **it == weight);
        of_weight.for_each(|(&token, _)| model.append_piece(Token::new(token as i32), &mut text));
        String::from_utf8(text).unwrap()
    };
    let (learned, not_learned) = (text_of(1.0), text_of(0.0));
    assert!(not_learned.starts_with("<passage title=\""), "{not_learned:?}");
    assert!(not_learned.contains(&item.request) && not_learned.ends_with(">\n"), "{not_learned:?}");
    assert!(learned.contains("keeps the keys of the shed\n\nNews from"), "{learned:?}");
    assert_eq!(weights.len(), tokens.len());
}
