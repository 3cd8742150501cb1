//! Drafts are kept, listed and judged, and go with the documents that they were written from.

use serde_json::Value;

use crate::support::Home;
use crate::writing::with_profile;

fn write(home: &Home, request: &str) -> String {
    let arguments = ["--json", "generate", "--user", "me", "--max-tokens", "24", request];
    let draft = home.run(arguments).exits(0).json();
    draft["draft"].as_str().unwrap_or_else(|| panic!("{draft:#}")).to_owned()
}

fn listed(home: &Home) -> Vec<Value> {
    let said = home.run(["--json", "drafts", "list", "--user", "me"]).exits(0).json();
    said["drafts"].as_array().unwrap().clone()
}

#[test]
fn a_draft_is_kept_and_what_became_of_it_is_noted() {
    let home = with_profile();
    let (first, second) = (write(&home, "the kettle"), write(&home, "the bees"));
    let drafts = listed(&home);
    assert_eq!(drafts.len(), 2);
    assert_eq!(
        (&drafts[0]["id"], &drafts[1]["id"]),
        (&second.clone().into(), &first.clone().into())
    );
    assert_eq!(drafts[1]["request"], "the kettle");
    assert_eq!(drafts[1]["task"], "free");
    assert!(!drafts[1]["documents"].as_array().unwrap().is_empty());

    home.run(["feedback", "--user", "me", "--reject"]).exits(0).says(&[&second, "rejected"]);
    let sent = home.write("sent.txt", "The kettle is on, come in.\n".as_bytes());
    let edited = ["feedback", "--user", "me", "--draft", &first, "--file", sent.to_str().unwrap()];
    home.run(edited).exits(0).says(&[&first, "edited"]);
    let drafts = listed(&home);
    assert_eq!(drafts[0]["verdict"], "rejected");
    assert_eq!(drafts[1]["verdict"], "edited");
    assert_eq!(drafts[1]["final_text"], "The kettle is on, come in.");
    let shown = home.run(["drafts", "show", "--user", "me", &first]).exits(0);
    assert_eq!(shown.stdout, "The kettle is on, come in.\n");

    // Sent as it was written.
    let answer = drafts[0]["answer"].as_str().unwrap();
    let piped = ["--json", "feedback", "--user", "me", "--file", "-"];
    let noted = home.run_with_input(piped, answer).exits(0).json();
    assert_eq!((&noted["draft"], &noted["verdict"]), (&second.into(), &"accepted".into()));
}

#[test]
fn drafts_go_with_their_documents_and_when_asked_to() {
    let home = with_profile();
    let kept = write(&home, "the kettle");
    write(&home, "the bees");
    home.run(["drafts", "remove", "--user", "me", &kept]).exits(0);
    assert_eq!(listed(&home).len(), 1);
    // Both notes stand in the prompt of either.
    let notes = home.path().join("notes");
    let forget = ["profile", "forget", "--user", "me", "--path", notes.to_str().unwrap()];
    home.run(forget).exits(0).says(&["1 drafts"]);
    assert!(listed(&home).is_empty());
    home.run(["drafts", "list", "--user", "me"]).exits(0).says(&["no drafts yet"]);
    home.run(["drafts", "remove", "--user", "me", "--all"]).exits(0);
    home.run(["profile", "check", "--user", "me"]).exits(0);
}

#[test]
fn what_nobody_wants_to_keep_is_not_kept() {
    let home = with_profile();
    let mut command =
        home.command(["--json", "generate", "--user", "me", "--max-tokens", "8", "the kettle"]);
    command.env("RESTPG_GENERATE_DRAFTS_KEPT", "0");
    let draft = crate::support::finish(command, None).exits(0).json();
    assert_eq!(draft["draft"], Value::Null);
    assert!(listed(&home).is_empty());
}

#[test]
fn mistakes_in_feedback_are_told() {
    let home = with_profile();
    home.run(["feedback", "--user", "me", "--accept"]).exits(3).says(&["no draft", "drafts list"]);
    write(&home, "the kettle");
    home.run(["feedback", "--user", "me"]).exits(2).says(&["--accept"]);
    home.run(["feedback", "--user", "me", "--accept", "--reject"]).exits(2);
    let unknown = ["feedback", "--user", "me", "--draft", "zz", "--accept"];
    home.run(unknown).exits(3).says(&["zz"]);
    home.run(["feedback", "--user", "me", "--file", "/nowhere.txt"]).exits(3);
    let empty = home.write("empty.txt", b" \n");
    let empty = ["feedback", "--user", "me", "--file", empty.to_str().unwrap()];
    home.run(empty).exits(4).says(&["empty", "--reject"]);
    let noise = home.write("noise.bin", &[0xff, 0xfe, 0x00]);
    home.run(["feedback", "--user", "me", "--file", noise.to_str().unwrap()]).exits(4);
    home.run(["drafts", "list", "--user", "nobody"]).exits(3);
    home.run(["drafts", "remove", "--user", "me"]).exits(2);
    assert_eq!(listed(&home)[0]["verdict"], Value::Null);
}
