# Short names for what CI runs and for what one often types. `just --list` shows them.

# Everything, or the steps named: `just test fmt clippy`
test *steps:
    scripts/test {{ steps }}

# The quick half, for before a commit
check: (test "fmt" "clippy")

# Put the source in the form that `just check` asks for
fmt:
    cargo fmt --all

# The documentation with its tutorial, in a browser
doc:
    cargo doc --no-deps --workspace --all-features --open

# The chatroom, on HOST and PORT
chatroom:
    cargo run --example chatroom

# Keep what the compiler now says of the macros' mistakes; then read the difference
ui:
    TRYBUILD=overwrite cargo test -p channels-macros --test ui

# What a message costs: `just bench fan-out --help`
bench *arguments:
    cargo run --release -p channels-bench -- {{ arguments }}

# Look for bytes that do harm: `just fuzz frames 60`
fuzz *arguments:
    scripts/fuzz {{ arguments }}

# Licences, advisories and sources of the dependencies (cargo install cargo-deny)
deny:
    cargo deny check
