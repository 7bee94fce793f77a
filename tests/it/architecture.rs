//! The floors of the house: a module imports only what stands below it.
//!
//! The table is the architecture. To change it, change it here, with the reason in the commit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Floor 0, usable everywhere.
const GROUND: &[&str] = &["clock", "entropy", "failpoint", "telemetry"];

/// Module, and what it may import besides itself and the ground floor.
const FLOORS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("entropy", &[]),
    ("failpoint", &[]),
    ("telemetry", &[]),
    ("ical", &[]),
    ("store", &[]),
    ("vault", &[]),
    ("transport", &[]),
    // Names of records stand between the first floor and the second: they need the store's key encoding.
    ("id", &["store"]),
    ("dav", &["ical"]),
    ("jobs", &["store", "id"]),
    // Where people sign in elsewhere, that must be asked.
    ("identity", &["store", "vault", "id", "transport"]),
    ("calendar", &["ical", "store", "jobs", "id"]),
    ("provider", &["ical", "dav", "transport", "id", "vault"]),
    ("account", &["provider", "calendar", "store", "vault", "transport", "id", "ical", "jobs"]),
    ("push", &["calendar", "store", "vault", "transport", "id", "dav"]),
    ("agenda", &["calendar", "ical", "id", "store"]),
    // A feed's record is more than floor 2 may know (which calendars), and no business of the calendars themselves.
    ("subscription", &["store", "id", "vault"]),
    // The vault for its `Secret`: a channel's token is compared in constant time.
    ("sync", &["calendar", "account", "provider", "jobs", "ical", "store", "id", "vault"]),
    ("caldav", &["dav", "ical", "calendar", "identity", "account", "jobs", "sync", "id", "push"]),
    ("api", &["dav", "ical", "calendar", "agenda", "subscription", "identity", "account", "jobs", "sync", "id"]),
    ("feed", &["dav", "ical", "calendar", "agenda", "subscription", "account", "id"]),
    ("web", &["ical", "calendar", "agenda", "subscription", "identity", "account", "jobs", "sync", "id", "vault"]),
    ("oauth", &["account", "sync", "id", "vault"]),
    ("webhook", &["sync", "vault"]),
    ("server", &["api", "caldav", "feed", "web", "oauth", "webhook", "account", "identity", "dav", "id", "vault"]),
    ("config", &["*"]),
    ("cli", &["*"]),
    ("app", &["*"]),
];

/// Files at the top of `src/` that only name modules.
const DOORS: &[&str] = &["lib", "main"];

#[test]
fn imports_follow_the_floors() {
    let allowed: BTreeMap<&str, &[&str]> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for file in rust_files(Path::new("src")) {
        let module = module_of(&file);
        if DOORS.contains(&module.as_str()) || is_test(&file) {
            continue;
        }
        let Some(may) = allowed.get(module.as_str()) else {
            wrong.push(format!("{}: module `{module}` stands on no floor", file.display()));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in production_lines(&text) {
            for used in imports(line, &allowed) {
                let fine = used == module || GROUND.contains(&used.as_str());
                if !fine && !may.contains(&"*") && !may.contains(&used.as_str()) {
                    wrong.push(format!("{}:{number}: `{module}` must not use `{used}`", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn a_wrong_import_is_seen() {
    let allowed: BTreeMap<&str, &[&str]> = FLOORS.iter().copied().collect();
    assert_eq!(imports("use crate::{store::Store, dav};", &allowed), ["store", "dav"]);
    assert_eq!(imports("    let x = crate::jobs::Queue::new();", &allowed), ["jobs"]);
}

#[test]
fn every_module_on_the_floors_exists() {
    for (module, _) in FLOORS {
        let file = Path::new("src").join(format!("{module}.rs"));
        let folder = Path::new("src").join(module).join("mod.rs");
        assert!(file.exists() || folder.exists(), "no module `{module}`");
    }
}

/// Only `transport` opens connections outwards: a second client would go around the egress guard.
#[test]
fn one_outbound_client() {
    for file in rust_files(Path::new("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let elsewhere = module_of(&file) != "transport" && text.contains("reqwest::");
        assert!(!elsewhere, "{}: only `transport` may use reqwest", file.display());
    }
}

/// The lines before the inline tests: tests may use what they like.
fn production_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]" && line.trim() != "#![cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

/// The top-level modules of ours that a line names after `crate::`.
fn imports(line: &str, modules: &BTreeMap<&str, &[&str]>) -> Vec<String> {
    let mut found = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let names =
            if let Some(list) = rest.strip_prefix('{') { top_level_names(list) } else { vec![first_word(rest)] };
        found.extend(names.into_iter().filter(|name| modules.contains_key(name.as_str())));
    }
    found
}

/// The names at depth one of `a::{b, c}, d}`.
fn top_level_names(list: &str) -> Vec<String> {
    let mut depth = 0_usize;
    let mut names = vec![String::new()];
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(String::new()),
            c if depth == 0 => names.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    names.iter().map(|name| first_word(name.trim())).collect()
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// Tests beside the code may use what they like.
fn is_test(file: &Path) -> bool {
    file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix("src").unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What a provider does by default is not what the one behind the budget does.
#[test]
fn a_provider_within_its_budget_is_asked_everything() {
    let text = |file: &str| fs::read_to_string(file).unwrap();
    let between = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.to_owned()
    };
    let promised = between(&text("src/provider/mod.rs"), "pub trait Provider", "\n}");
    let passed_on = between(&text("src/sync/budget.rs"), "impl Provider for Paced", "\n}");
    let names = promised.split("fn ").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name);
    let lacking: Vec<&str> = names.filter(|name| !passed_on.contains(&format!("self.provider.{name}("))).collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}
