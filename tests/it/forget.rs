//! What a person decides about a profile: forgetting, checking, protecting, taking it elsewhere,
//! deleting it.

use std::fs;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519;
use serde_json::{Value, json};

use crate::support::Home;

fn ids(home: &Home, user: &str) -> Vec<String> {
    let list = home.run(["--json", "profile", "list", "--user", user]).exits(0).json();
    let id = |document: &Value| document["id"].as_str().unwrap().to_owned();
    let mut ids: Vec<String> = list["documents"].as_array().unwrap().iter().map(id).collect();
    ids.sort();
    ids
}

/// A home with three documents of me, `otter`, `badger` and `heron`, in three files.
fn home_of_three() -> (Home, PathBuf) {
    let home = Home::new();
    for (name, date) in [("otter", "2010-01-01"), ("badger", "2015-06-07"), ("heron", "2020-01-01")]
    {
        let line = json!({
            "id": name, "date": date, "title": format!("About the {name}"),
            "text": format!("The {name} came by again and ate the bread."),
        });
        home.write(&format!("notes/{name}.jsonl"), format!("{line}\n").as_bytes());
    }
    let notes = home.path().join("notes");
    home.run(["ingest", "--user", "me", notes.to_str().unwrap()]).exits(0);
    assert_eq!(ids(&home, "me"), ["badger", "heron", "otter"]);
    (home, notes)
}

/// A file that its owner alone may read.
fn secret(home: &Home, name: &str, text: &str) -> String {
    with_mode(home.write(name, text.as_bytes()), 0o600)
}

fn with_mode(path: PathBuf, mode: u32) -> String {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, |entries| entries.count())
}

#[test]
fn a_forgotten_document_is_not_found_and_does_not_come_back() {
    let (home, notes) = home_of_three();
    let report = home.run(["--json", "profile", "forget", "--user", "me", "ott"]).exits(0).json();
    assert_eq!(report["user"], "me");
    assert_eq!(report["dry_run"], false);
    assert_eq!(report["forgotten"]["documents"], 1);
    assert_eq!(report["forgotten"]["ids"], json!(["otter"]));
    assert_eq!(report["forgotten"]["adapters_invalidated"], json!([]));
    let found = home.run(["--json", "profile", "search", "--user", "me", "otter"]).exits(0).json();
    assert_eq!(found["hits"], json!([]));
    home.run(["profile", "show", "--user", "me", "otter"]).exits(3);

    home.run(["ingest", "--user", "me", notes.to_str().unwrap()]).exits(0);
    assert_eq!(ids(&home, "me"), ["badger", "heron"]);

    home.run(["profile", "forget", "--user", "me", "badger", "--allow-again"]).exits(0);
    assert_eq!(ids(&home, "me"), ["heron"]);
    home.run(["ingest", "--user", "me", notes.to_str().unwrap()]).exits(0);
    assert_eq!(ids(&home, "me"), ["badger", "heron"]);
}

#[test]
fn a_folder_that_is_gone_is_forgotten_by_its_path() {
    let (home, notes) = home_of_three();
    home.write("other/crow.txt", b"The crow stays.");
    let other = home.path().join("other");
    home.run(["ingest", "--user", "me", other.to_str().unwrap()]).exits(0);
    fs::remove_dir_all(&notes).unwrap();
    let path = notes.to_str().unwrap();
    let shown = home.run(["profile", "forget", "--user", "me", "--path", path, "--dry-run"]);
    let shown = shown.exits(0).says(&["would forget 3 documents"]);
    assert!(shown.stdout.contains("About the heron"), "{shown:#?}");
    assert_eq!(ids(&home, "me").len(), 4);
    home.run(["profile", "forget", "--user", "me", "--path", path])
        .exits(0)
        .says(&["forgot 3 documents", "backups"]);
    assert_eq!(ids(&home, "me").len(), 1);
    home.run(["profile", "forget", "--user", "me", "--path", path])
        .exits(3)
        .says(&["nothing of that kind", "profile list"]);
}

#[test]
fn conditions_narrow_the_choice_and_none_is_a_mistake() {
    let (home, notes) = home_of_three();
    let path = notes.join("heron.jsonl");
    let arguments = ["profile", "forget", "--user", "me", "--before", "2016-01-01", "--path"];
    home.run(arguments.iter().copied().chain([path.to_str().unwrap()])).exits(3);
    home.run(["profile", "forget", "--user", "me", "--before", "2015-06-07"]).exits(0);
    assert_eq!(ids(&home, "me"), ["badger", "heron"]);
    home.run(["profile", "forget", "--user", "me"]).exits(2);
    home.run(["profile", "forget", "--user", "me", "--before", "last year"])
        .exits(2)
        .says(&["YYYY-MM-DD"]);
    home.run(["profile", "forget", "--user", "nobody", "x"]).exits(3).says(&["Users: me"]);
    home.run(["profile", "forget", "--user", "me", "eagle"]).exits(3).says(&["eagle"]);
    assert_eq!(ids(&home, "me"), ["badger", "heron"]);
}

#[test]
fn a_sound_profile_is_ok_and_a_damaged_one_is_not() {
    let (home, _) = home_of_three();
    let said = home.run(["profile", "check", "--user", "me"]).exits(0);
    assert_eq!(said.stdout, "ok\n");
    let report = home.run(["--json", "profile", "check", "--user", "me"]).exits(0).json();
    assert_eq!((&report["ok"], &report["documents"]), (&json!(true), &json!(3)));
    assert_eq!(report["faults"], json!([]));

    let path = home.path().join("profiles/me.db");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 2000;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let report = home.run(["--json", "profile", "check", "--user", "me"]).exits(1).json();
    assert_eq!(report["ok"], false);
    // Where the page is needed to open the profile, its structure cannot even be looked at.
    let is_named = |text: &str| text.contains("encryption: ") || text.contains("structure: ");
    assert!(is_named(report["faults"][0].as_str().unwrap()), "{report:#}");
    let said = home.run(["profile", "check", "--user", "me"]).exits(1).says(&["exported one"]);
    assert!(is_named(&said.stdout), "{said:#?}");
}

#[test]
fn a_protected_profile_opens_with_its_passphrase_alone() {
    let (home, notes) = home_of_three();
    let right = secret(&home, "right", "correct horse\n");
    let wrong = secret(&home, "wrong", "wrong horse\n");
    home.run(["profile", "protect", "--user", "me"]).exits(2).says(&["--passphrase-file"]);
    let arguments = ["--json", "profile", "protect", "--user", "me", "--passphrase-file", &right];
    let report = home.run(arguments).exits(0).json();
    assert_eq!(report, json!({"user": "me", "protected": true, "by": "passphrase"}));
    home.run(arguments).exits(1);

    home.run(["profile", "list", "--user", "me"])
        .exits(2)
        .says(&["protected by a passphrase", "--passphrase-file"]);
    let list = |flags: &[&str]| {
        home.run(["--json", "profile", "list", "--user", "me"].iter().chain(flags))
    };
    let said = list(&["--passphrase-file", &wrong]).exits(1);
    let error: Value = serde_json::from_str(&said.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "wrong_passphrase");
    let documents = list(&["--passphrase-file", &right]).exits(0).json();
    assert_eq!(documents["documents"].as_array().unwrap().len(), 3);
    let ingest = ["ingest", "--user", "me", notes.to_str().unwrap()];
    home.run(ingest).exits(2);
    home.run(ingest.iter().copied().chain(["--passphrase-file", &right])).exits(0);

    let open = with_mode(home.write("open", b"correct horse\n"), 0o644);
    list(&["--passphrase-file", &open]).exits(2).says(&["chmod 600"]);
    let empty = secret(&home, "empty", "\n");
    list(&["--passphrase-file", &empty]).exits(2).says(&["empty"]);

    let unprotect = ["profile", "unprotect", "--user", "me", "--passphrase-file"];
    home.run(unprotect.iter().copied().chain([wrong.as_str()])).exits(1);
    home.run(unprotect.iter().copied().chain([right.as_str()])).exits(0);
    assert_eq!(ids(&home, "me").len(), 3);
    home.run(unprotect.iter().copied().chain([right.as_str()])).exits(1).says(&["protect"]);
    assert_eq!(files(&home.path().join("keys")), 1);
}

#[test]
fn a_profile_moves_to_another_machine_with_a_passphrase() {
    let (home, _) = home_of_three();
    let bundle = home.path().join("me.age");
    let bundle = bundle.to_str().unwrap();
    let passphrase = secret(&home, "passphrase", "correct horse");
    let export = ["profile", "export", "--user", "me", "--to", bundle];
    home.run(export).exits(2).says(&["--export-passphrase-file"]);
    let with = ["--export-passphrase-file", passphrase.as_str()];
    home.run(export.iter().copied().chain(with)).exits(0).says(&["exported me"]);
    home.run(export.iter().copied().chain(with)).exits(2).says(&["already", "--force"]);

    let other = Home::new();
    other.run(["profile", "import", bundle]).exits(2).says(&["--export-passphrase-file"]);
    let wrong = secret(&other, "wrong", "wrong horse");
    let import = ["--json", "profile", "import", bundle, "--export-passphrase-file"];
    let said = other.run(import.iter().copied().chain([wrong.as_str()])).exits(1);
    assert!(said.stderr.contains("wrong_passphrase"), "{said:#?}");
    other.run(["profile", "list", "--user", "me"]).exits(3);
    let report = other.run(import.iter().copied().chain([passphrase.as_str()])).exits(0).json();
    assert_eq!(
        report,
        json!({"user": "me", "documents": 3, "protected": false, "by": "permissions"})
    );
    assert_eq!(ids(&other, "me"), ids(&home, "me"));
    other.run(["profile", "check", "--user", "me"]).exits(0);
    assert_eq!(files(&other.path().join("profiles")), 1);
    assert_eq!(files(&home.path().join("profiles")), 1);
}

#[test]
fn a_profile_moves_to_another_machine_with_an_age_key() {
    let (home, _) = home_of_three();
    let identity = x25519::Identity::generate();
    let key = secret(&home, "key.txt", identity.to_string().expose_secret());
    let recipients = format!("# the laptop\n{}\n", identity.to_public());
    let recipients = home.write("recipients.txt", recipients.as_bytes());
    let bundle = home.path().join("me.age");
    let bundle = bundle.to_str().unwrap();
    let export = ["profile", "export", "--user", "me", "--to", bundle];
    home.run(export.iter().copied().chain(["--recipient", "age1nonsense"]))
        .exits(2)
        .says(&["--recipient number 1", "age-keygen"]);
    let with = ["--recipient-file", recipients.to_str().unwrap()];
    let report = home.run(["--json"].into_iter().chain(export).chain(with)).exits(0).json();
    assert_eq!(report["size_bytes"], fs::metadata(bundle).unwrap().len());

    // Here the user exists; under another name, and protected, it comes in.
    let import = ["profile", "import", bundle, "--identity", &key];
    home.run(import).exits(2).says(&["already", "--user"]);
    let passphrase = secret(&home, "passphrase", "seal");
    let more = ["--user", "Me Too", "--passphrase-file", &passphrase];
    let report = home.run(["--json"].into_iter().chain(import).chain(more)).exits(0).json();
    assert_eq!(
        report,
        json!({"user": "Me Too", "documents": 3, "protected": true, "by": "passphrase"})
    );
    home.run(["profile", "list", "--user", "Me Too"]).exits(2);
    let list = ["profile", "list", "--user", "Me Too", "--passphrase-file", &passphrase];
    assert_eq!(home.run(list).exits(0).stdout.lines().count(), 3);

    let other = Home::new();
    other.run(["profile", "import", bundle]).exits(2).says(&["--identity"]);
    let stranger = x25519::Identity::generate();
    let stranger = secret(&other, "stranger.txt", stranger.to_string().expose_secret());
    other.run(["profile", "import", bundle, "--identity", &stranger]).exits(1);
    let whole = fs::read(bundle).unwrap();
    let cut = other.write("cut.age", &whole[..whole.len() - 1]);
    other
        .run(["profile", "import", cut.to_str().unwrap(), "--identity", &key])
        .exits(4)
        .says(&["cut short", "Nothing was imported"]);
    let noise = other.write("noise.age", b"not a bundle at all");
    other.run(["profile", "import", noise.to_str().unwrap()]).exits(4);
    assert_eq!(files(&other.path().join("profiles")) + files(&other.path().join("keys")), 0);
}

#[test]
fn a_deleted_profile_leaves_neither_key_nor_data() {
    let (home, _) = home_of_three();
    home.run_with_input(["ingest", "--user", "Bo", "-"], "Bo's text.").exits(0);
    home.run(["profile", "delete", "--user", "me"]).exits(2).says(&["--yes"]);
    assert_eq!(ids(&home, "me").len(), 3);
    let said = home.run(["--json", "profile", "delete", "--user", "me", "--yes"]).exits(0);
    assert_eq!(said.json()["key_destroyed"], true);
    home.run(["profile", "list", "--user", "me"]).exits(3).says(&["Users: Bo"]);
    home.run(["profile", "delete", "--user", "me", "--yes"]).exits(3);
    assert_eq!(files(&home.path().join("keys")), 1);
    assert_eq!(files(&home.path().join("profiles")), 1);
    assert_eq!(ids(&home, "Bo").len(), 1);
}

#[test]
fn a_profile_whose_key_is_gone_is_named_and_can_be_deleted() {
    let (home, _) = home_of_three();
    fs::remove_file(home.path().join("keys/me.key")).unwrap();
    let said = home.run(["profile", "list"]).exits(0).says(&["key of me is gone", "delete"]);
    assert_eq!(said.stdout, "me\n");
    let users = home.run(["--json", "profile", "list"]).exits(0).json();
    assert_eq!(users, json!({"users": ["me"], "without_key": ["me"], "protected_by": {}}));
    home.run(["profile", "delete", "--user", "me", "--yes"]).exits(0).says(&["gone already"]);
    assert_eq!(files(&home.path().join("profiles")), 0);
}

#[test]
fn every_command_shows_how_it_is_used() {
    let home = Home::new();
    for command in ["forget", "check", "protect", "unprotect", "export", "import", "delete"] {
        let said = home.run(["profile", command, "--help"]).exits(0);
        assert!(said.stdout.contains("Example"), "{said:#?}");
    }
}
