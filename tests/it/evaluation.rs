//! `eval` on a small data set, with the real models that it measures with by default.

use serde_json::{Value, json};

use crate::support::Home;

const MODELS: [&str; 2] = ["smollm2-135m-instruct", "all-minilm-l6-v2"];
const NOTES: [(&str, &str); 6] = [
    (
        "roof",
        "Rain came through the ceiling again; the slate tiles by the chimney must be replaced.",
    ),
    (
        "soup",
        "Leek and potato, an hour on a low flame, white pepper and a spoon of butter at the end.",
    ),
    ("bees", "The hive swarmed on Sunday and settled in the crooked pear tree behind the smithy."),
    (
        "train",
        "The 7:40 was late, so I missed the dentist and walked home along the canal at noon.",
    ),
    ("choir", "Eleven of us sang the old evening hymn, two of us in tune, and the organ wheezed."),
    ("kettle", "The kettle sings before it boils, which the cat takes for a rival in the kitchen."),
];

/// People who each wrote all notes in words of their own, and later two of them again.
fn dataset(home: &Home) -> String {
    let mut lines = String::new();
    for (user, task, ending) in [
        ("ann", "email", "Yours in haste, Ann."),
        ("bob", "email", "Cheers! Bob"),
        ("cem", "review", "Four stars, says Cem, and not one more."),
        ("dee", "review", "Dee recommends it warmly to everybody she knows."),
    ] {
        let document = |(name, text): &(&str, &str)| {
            let text = format!("{text} {ending}");
            json!({"id": format!("{user}/{name}"), "title": name, "text": text, "date": "2020-01-01"})
        };
        let query = |(name, text): &(&str, &str)| {
            let input = format!("Write about the {name} once more.");
            let output = format!("As I wrote before: {text} {ending}");
            json!({"id": format!("{user}/again/{name}"), "input": input, "output": output})
        };
        let profile: Vec<Value> = NOTES.iter().map(document).collect();
        let queries: Vec<Value> = NOTES[2..4].iter().map(query).collect();
        let row = json!({"user": user, "task": task, "profile": profile, "queries": queries});
        lines.push_str(&format!("{row}\n"));
    }
    home.write("people.jsonl", lines.as_bytes()).to_str().unwrap().to_owned()
}

fn eval(home: &Home, arguments: &[&str]) -> Value {
    home.run(["--json", "eval"].iter().chain(arguments)).exits(0).json()
}

#[test]
fn passages_that_fit_are_worth_more_than_anothers() {
    let home = Home::with_real_models(&MODELS);
    let people = dataset(&home);
    let systems = "bm25,hybrid,other-person,oracle";
    let arguments = ["--retrieval", "--dataset", &people, "--queries", "2", "--k", "1"];
    let measured = eval(&home, &[&arguments[..], &["--systems", systems]].concat());
    let report = &measured["report"];
    assert_eq!(report["queries"], json!({"email": 2, "review": 2}));
    let gain = |system: &str| {
        let gains = report["gains"].as_array().unwrap();
        let row = gains.iter().find(|row| row["system"] == system).unwrap();
        row["macro_average"]["mean"].as_f64().unwrap()
    };
    // Another person wrote of the same, and ends otherwise.
    assert!(gain("hybrid") > gain("other-person"), "{report:#}");
    assert!(gain("other-person") > 0.0 && gain("oracle") > 0.2, "{report:#}");

    // What is left out before the sample is not in it.
    let ids = |report: &Value| -> Vec<String> {
        let outcomes = report["report"]["outcomes"].as_array().unwrap();
        outcomes.iter().map(|it| it["query"].as_str().unwrap().to_owned()).collect()
    };
    let rest = [&arguments[..], &["--systems", "bm25", "--skip", "2"]].concat();
    let rest = ids(&eval(&home, &rest));
    assert_eq!(rest.len(), 4);
    assert!(ids(&measured).iter().all(|id| !rest.contains(id)));
}

#[test]
fn graders_are_measured_by_the_order_they_give() {
    let home = Home::with_real_models(&MODELS);
    let people = dataset(&home);
    let measured = eval(&home, &["--graders", "--dataset", &people, "--queries", "1"]);
    let graders = measured["report"]["graders"].as_array().unwrap();
    let names: Vec<&str> = graders.iter().map(|row| row["grader"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 10);
    let row = |name: &str| graders.iter().find(|row| row["grader"] == name).unwrap();
    for name in ["rouge-l", "chrf", "meteor", "meaning"] {
        assert_eq!(
            row(name)["order"][0]["mean"],
            1.0,
            "{name} puts another text before the true one"
        );
        assert!((row(name)["grades"]["true"].as_f64().unwrap() - 1.0).abs() < 0.02, "{name}");
        assert!(row(name)["grades"]["empty"].as_f64().unwrap() < 0.9, "{name}");
    }
    let grade = row("judge-reference")["grades"]["true"].as_f64().unwrap();
    assert!((0.1..=1.0).contains(&grade));
    let shown = home.run(["eval", "--graders", "--dataset", &people, "--queries", "1"]).exits(0);
    for words in ["true > own-other", "judge, passages", "mean grade"] {
        assert!(shown.stdout.contains(words), "{shown:#?}");
    }
}

#[test]
fn a_data_set_of_another_shape_is_named_with_its_line() {
    let home = Home::with_real_models(&MODELS);
    let bad = home.write("bad.jsonl", b"{\"user\": \"ann\"}\n").to_str().unwrap().to_owned();
    home.run(["eval", "--retrieval", "--dataset", &bad])
        .exits(4)
        .says(&["bad.jsonl:1", "a person a"]);
    home.run(["eval", "--retrieval", "--dataset", "/no/such.jsonl"]).exits(3).says(&["no/such"]);
    home.run(["eval", "--dataset", &bad]).exits(2).says(&["--retrieval"]);
}
