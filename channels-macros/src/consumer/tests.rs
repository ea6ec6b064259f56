//! Each `tests/expand/*.rs`, below `#[consumer]`, becomes what stands in the `.expanded.rs` beside it.
//!
//! After a change, look at what it became and keep it with `EXPAND=overwrite cargo test -p channels-macros --lib`.

use std::{
    env, fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use proc_macro2::TokenStream;

use super::consumer;

fn becomes_what_is_written(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expand").join(name);
    let item = fs::read_to_string(path.with_extension("rs")).unwrap();
    let expanded = formatted(&consumer(TokenStream::new(), item.parse().unwrap()));
    let path = path.with_extension("expanded.rs");
    if env::var_os("EXPAND").is_some_and(|value| value == "overwrite") {
        fs::write(&path, &expanded).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(expanded == written, "{name} became\n\n{expanded}\nwhich is not what stands in {}", path.display());
}

fn formatted(tokens: &TokenStream) -> String {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=120"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("rustfmt is installed");
    let mut stdin = rustfmt.stdin.take().unwrap();
    stdin.write_all(tokens.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = rustfmt.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn handlers_of_every_kind() {
    becomes_what_is_written("handlers");
}

#[test]
fn hooks_alone() {
    becomes_what_is_written("hooks");
}

#[test]
fn names_that_only_a_generic_consumer_knows() {
    becomes_what_is_written("generic");
}

#[test]
fn conditions_on_every_part() {
    becomes_what_is_written("conditions");
}

#[test]
fn what_is_sound_beside_mistakes() {
    becomes_what_is_written("fallback");
}
