//! The page for those who come from Django says something of everything that is there, and nothing that is not true.

use std::{collections::BTreeMap, fs, path::Path};

const PAGE: &str = include_str!("../../docs/reference/from-django.md");
/// The public names of channels 4.3.2, and the settings that it reads: what `channels-names.py` beside it finds.
const NAMES: &str = include_str!("../data/channels-4.3-names.txt");
/// The options of daphne 4.2.1, as `daphne/cli.py` has them.
const OPTIONS: &str = include_str!("../data/daphne-4.2-options.txt");
/// The tests of channels and daphne, by project, file and name.
const UPSTREAM: &str = include_str!("../data/upstream-tests.txt");
/// Where `layer_suite!` is.
const MACRO: &str = include_str!("../../channels-core/src/testing/suite/mod.rs");
/// Those whose question does not arise here; the page says why.
const WITHOUT_A_TEST: [&str; 7] = [
    "async_http_consumer_future",
    "deprecated_valid_channel_name",
    "deprecated_valid_group_name",
    "http",
    "session_samesite_invalid",
    "status_code_required",
    "websocket",
];

/// What stands in backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The words of code.
fn words(text: &str) -> Vec<&str> {
    let between = |character: char| !character.is_alphanumeric() && character != '_';
    code(text).flat_map(|code| code.split(between)).filter(|word| !word.is_empty()).collect()
}

/// The parts of a text that begin with this mark, by their headings.
fn parts<'a>(text: &'a str, mark: &str) -> Vec<(&'a str, &'a str)> {
    text.split(mark).skip(1).filter_map(|part| part.split_once('\n')).collect()
}

fn section(heading: &str) -> &'static str {
    let found = parts(PAGE, "\n## ").into_iter().find(|(head, _)| *head == heading);
    found.unwrap_or_else(|| panic!("no section `{heading}`")).1
}

/// The cells of the rows of tables, without their heads.
fn rows(text: &str) -> Vec<[&str; 3]> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_start_matches("| ").trim_end_matches('|').split(" | ").map(str::trim).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("not three cells: {cells:#?}"))
    })
    .collect()
}

#[test]
fn every_public_name_of_channels_has_a_row_in_the_table_of_its_module() {
    let tables = parts(section("Channels' names, and ours"), "\n### ");
    let mut missing = Vec::new();
    for name in NAMES.lines() {
        let of = |module: &&str| name.strip_prefix(*module).is_some_and(|rest| rest.starts_with('.'));
        let module = |heading| code(heading).filter(of).map(str::len).max();
        let (_, table) = tables.iter().max_by_key(|(heading, _)| module(heading)).unwrap();
        let last = name.rsplit('.').next().unwrap();
        if !rows(table).iter().any(|[there, ..]| words(there).contains(&last)) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "without a row: {missing:#?}");
    assert_eq!(NAMES.lines().count(), 186);
}

#[test]
fn every_row_has_code_on_both_sides_or_the_reason_why_not() {
    for [there, here, differs] in rows(section("Channels' names, and ours")) {
        assert!(code(there).next().is_some());
        match here {
            "—" => assert!(differs.ends_with('.'), "without a reason: {there}"),
            here => assert!(code(here).next().is_some(), "without code of ours: {there}"),
        }
    }
}

#[test]
fn every_option_of_daphne_is_explained() {
    let rows = rows(section("Daphne's options"));
    let explained: Vec<_> = rows.iter().flat_map(|[option, ..]| code(option)).collect();
    let options: Vec<_> = OPTIONS.lines().collect();
    for option in &options {
        assert!(explained.iter().any(|code| code.split_whitespace().next() == Some(option)), "no row for `{option}`");
    }
    assert_eq!(options.len(), 22);
}

/// The sources of each module, by its name.
fn sources() -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("tests/it"), root.join("channels-core/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = match (folder.file_name(), path.file_stem()) {
                    // What every layer promises, as each layer's tests have it.
                    (Some(folder), _) if folder == "suite" => "promises".into(),
                    (Some(folder), Some(stem)) if stem == "mod" => folder.to_string_lossy(),
                    (_, stem) => stem.unwrap().to_string_lossy(),
                };
                let source = modules.entry(module.into_owned()).or_insert_with(String::new);
                source.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    modules
}

/// Whether it is a test: with its attribute, or one of those that every layer promises, which a macro makes tests of.
fn is_test(module: &str, source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("fn {name}(")) else { return false };
    let mut above = before.rsplit('\n').skip(1).take_while(|line| line.trim_start().starts_with("#["));
    let attribute = |line: &str| line.split(['[', ']', '(']).nth(1).is_some_and(|path| path.ends_with("test"));
    let promised = || MACRO.split_once("macro_rules!").is_some_and(|(_, macro_)| macro_.contains(name));
    above.any(attribute) || module == "promises" && promised()
}

/// What is called like a test of ours, `module::its_name`, with the innermost module alone.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let fits = |character: char| character.is_ascii_lowercase() || "_:0123456789".contains(character);
    code(text).filter(move |code| code.chars().all(fits)).filter_map(|code| {
        let (modules, name) = code.rsplit_once("::")?;
        Some((modules.rsplit("::").next()?, name))
    })
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let sources = sources();
    let answers = [section("Channels' own tests"), section("Daphne's tests")];
    let answers = answers.iter().flat_map(|section| parts(section, "\n### "));
    let named: Vec<_> = answers.flat_map(|(_, table)| named(table)).collect();
    for (module, name) in &named {
        let source = sources.get(*module).unwrap_or_else(|| panic!("there is no module of tests `{module}`"));
        assert!(is_test(module, source, name), "there is no test `{module}::{name}`");
    }
    assert!(named.len() > 150, "{}", named.len());
}

#[test]
fn what_has_no_test_attribute_is_no_test() {
    let source =
        "#[test]\nfn one() {}\n\n#[tokio::test(start_paused = true)]\n#[ignore]\nasync fn two() {}\n\nfn helper() {}";
    let found = ["one", "two", "helper", "none"].map(|name| is_test("module", source, name));
    assert_eq!(found, [true, true, false, false]);
}

#[test]
fn every_test_of_channels_and_daphne_is_answered_by_a_test_or_a_reason() {
    let mut without = Vec::new();
    for line in UPSTREAM.lines() {
        let [project, file, name] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let section = section(if project == "channels" { "Channels' own tests" } else { "Daphne's tests" });
        let files = parts(section, "\n### ");
        let table = files.iter().find(|(head, _)| code(head).any(|head| head == file));
        let Some((_, table)) = table else { panic!("no table for {file}") };
        let rows = rows(table);
        let answer = rows.iter().find(|[theirs, ..]| code(theirs).any(|theirs| theirs == name));
        let Some([_, shows, answer]) = answer else { panic!("no row for {line}") };
        assert!(!shows.is_empty() && !answer.is_empty(), "{line}");
        if named(answer).next().is_none() {
            assert!(answer.ends_with('.'), "neither a test nor a reason: {line}");
            without.push(name);
        }
    }
    without.sort_unstable();
    assert_eq!(without, WITHOUT_A_TEST);
}
