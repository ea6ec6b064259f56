//! The page for those who come from Django says something of everything that is there, and nothing that is not true.

use std::{collections::BTreeMap, fs, path::Path};

const PAGE: &str = include_str!("../../docs/reference/from-django.md");
/// The public classes, methods, functions and settings of channels 4.3.2, as its source has them.
const NAMES: &str = include_str!("../data/channels-4.3-names.txt");
/// The options of daphne 4.2.1, as `daphne/cli.py` has them.
const OPTIONS: &str = include_str!("../data/daphne-4.2-options.txt");

/// What stands in backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The words of code in the first cells of the tables of names.
fn explained() -> Vec<&'static str> {
    let names = PAGE.split("\n## ").find(|section| section.starts_with("Channels' names")).unwrap();
    let rows = names.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let word = |character: char| !character.is_alphanumeric() && character != '_';
    cells.flat_map(code).flat_map(|code| code.split(word)).filter(|word| !word.is_empty()).collect()
}

#[test]
fn every_public_name_of_channels_is_explained() {
    let explained = explained();
    let missing: Vec<_> = NAMES.lines().filter(|name| !explained.contains(&name.rsplit('.').next().unwrap())).collect();
    assert!(missing.is_empty(), "without a row: {missing:#?}");
    assert!(NAMES.lines().count() > 150 && explained.contains(&"runworker"));
}

#[test]
fn every_option_of_daphne_is_explained() {
    let section = PAGE.split("\n## ").find(|section| section.starts_with("Daphne's options")).unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let explained: Vec<_> = rows.filter_map(|row| row.split(" | ").next()).flat_map(code).collect();
    let options: Vec<_> = OPTIONS.lines().collect();
    for option in &options {
        assert!(explained.iter().any(|code| code.split_whitespace().next() == Some(option)), "no row for `{option}`");
    }
    assert_eq!(options.len(), 22);
}

/// The tests of each module, by what they are called.
fn tests() -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("tests/it"), root.join("channels-core/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = path.file_stem().unwrap().to_string_lossy().into_owned();
                modules.entry(module).or_insert_with(String::new).push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    modules
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let tests = tests();
    let section = PAGE.split_once("## Channels' own tests").unwrap().1;
    let named: Vec<_> = code(section)
        .filter_map(|code| code.split_once("::"))
        .filter(|(module, name)| {
            tests.contains_key(*module)
                && name.chars().all(|character| character.is_ascii_lowercase() || "_:0123456789".contains(character))
        })
        .collect();
    for (module, name) in &named {
        let name = name.rsplit("::").next().unwrap();
        assert!(tests[*module].contains(&format!("fn {name}(")), "there is no test `{module}::{name}`");
    }
    assert!(named.len() > 80, "{}", named.len());
}
