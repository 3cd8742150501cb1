//! The rules of the house that no compiler checks: a module uses only those above it in the list
//! of `lib.rs`; raw bindings and `unsafe` stay in their rooms; nothing unfinished is left behind.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file with its text.
fn sources() -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path.strip_prefix(root().join("src")).unwrap().to_owned(), text));
            }
        }
    }
    assert!(sources.len() > 20);
    sources
}

/// The modules in the order of `lib.rs`.
fn modules() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared = lib.lines().filter_map(|line| line.strip_prefix("pub mod "));
    declared.map(|name| name.trim_end_matches(';').to_owned()).collect()
}

/// The module that a file belongs to: its folder or its own name.
fn module_of(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that a text names as `crate::…`, in `use crate::{a, b}` too.
fn used(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default(),
            None => rest,
        };
        for name in names.split(',') {
            let end = name.trim_start().find(|char: char| !char.is_alphanumeric() && char != '_');
            let name = name.trim_start();
            used.push(name[..end.unwrap_or(name.len())].to_owned());
            if !rest.starts_with('{') {
                break;
            }
        }
    }
    used
}

#[test]
fn modules_use_only_those_above_them() {
    let modules = modules();
    let rank: HashMap<&str, usize> =
        modules.iter().enumerate().map(|(rank, name)| (name.as_str(), rank)).collect();
    for (path, text) in sources() {
        let Some(own) = rank.get(module_of(&path).as_str()) else { continue };
        for name in used(&text) {
            let other = rank.get(name.as_str()).unwrap_or_else(|| {
                panic!("{} names crate::{name}, which lib.rs does not list", path.display())
            });
            assert!(other <= own, "{} uses {name}, which stands below it", path.display());
        }
    }
}

#[test]
fn the_list_in_the_documentation_is_the_list_of_modules() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let listed: Vec<String> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("//! - [`"))
        .filter_map(|rest| rest.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, modules());
}

#[test]
fn raw_bindings_and_unsafe_stay_in_their_rooms() {
    for (path, text) in sources() {
        let module = module_of(&path);
        assert!(!text.contains("llama_cpp_sys_2") || module == "ggml", "{}", path.display());
        assert!(!text.contains("llama_cpp_2") || module == "llama", "{}", path.display());
        let unsafe_blocks = text.matches("unsafe {").count();
        let allowed = module == "ggml" || path == Path::new("gguf/map.rs");
        assert!(unsafe_blocks == 0 || allowed, "{}", path.display());
        assert!(text.matches("// SAFETY:").count() >= unsafe_blocks, "{}", path.display());
    }
}

#[test]
fn nothing_unfinished_is_left_behind() {
    for (path, text) in sources() {
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX", "dbg!("] {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines: two ideas?", path.display());
    }
}

#[test]
fn every_source_file_stands_in_the_architecture() {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (path, _) in sources() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(architecture.contains(name), "{} is not in ARCHITECTURE.md", path.display());
    }
}
