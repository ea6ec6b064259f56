//! What the macros say of what they do not accept.
//!
//! Each file below `ui/*/fail/` is one rule. After a change of a text, look at what it became and keep it with
//! `TRYBUILD=overwrite cargo test -p channels-macros --test ui`.

#[test]
fn every_mistake_is_told_with_its_fix() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*/fail/*.rs");
}
