//! What the macros accept, and what they say of what they do not.
//!
//! Each file below `ui/` is one rule. After a change of a text, look at what it became and keep it with
//! `TRYBUILD=overwrite cargo test -p channels-macros --test ui`.

#[test]
fn what_is_right_compiles_and_runs() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/*/pass/*.rs");
}

#[test]
fn every_mistake_is_told_with_its_fix() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*/fail/*.rs");
}
