//! The command `channels`, as a shell runs it.

use std::process::{Command, Output};

fn channels(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_channels")).args(arguments).output().expect("it is built")
}

#[test]
fn help_says_how_it_is_used() {
    for help in ["-h", "--help"] {
        let said = channels(&["send", help]);
        assert!(said.status.success());
        assert!(String::from_utf8_lossy(&said.stdout).starts_with("usage: channels send <layer url> <group> <event>"));
    }
}

#[test]
fn a_mistake_is_told_in_one_line() {
    const EVENT: &str = r#"{"type": "x"}"#;
    for (arguments, text) in [
        (&[][..], "a command is missing; there is `send`\nsee: channels --help"),
        (&["sned"], "there is no command `sned`; there is `send`\nsee: channels --help"),
        (&["send"], "the layer's URL is missing\nsee: channels --help"),
        (&["send", "redis://h"], "the group is missing\nsee: channels --help"),
        (&["send", "--channel", "redis://h"], "the channel is missing\nsee: channels --help"),
        (&["send", "redis://h", "news"], "the event is missing\nsee: channels --help"),
        (&["send", "--group", "news"], "invalid option '--group'\nsee: channels --help"),
        (
            &["send", "redis://h", "news", "{\"type\":", "\"x\"}"],
            "`\"x\"}` is one argument too many; the event is to be in quotes\nsee: channels --help",
        ),
        (&["send", "redis://h", "news", "{type: x}"], "the event is not JSON: key must be a string at line 1 column 2"),
        (
            &["send", "redis://h", "news", "{}"],
            "an event needs a `type` that is a string: {\"type\": \"chat.message\", …}",
        ),
        (&["send", "redis://h", "news", "{\"type\": \"_x\"}"], "event type `_x` starts with `_`"),
        (
            &["send", "memory://", "news", EVENT],
            "a layer in memory ends at its process, and this is another one: nobody would hear of the event; give the URL \
             of a layer that both reach, as redis://127.0.0.1:6379/0",
        ),
        (
            &["send", "pigeon://coop", "news", EVENT],
            "layer: `url` has the scheme `pigeon://`, which no channel layer has (there are: memory://, redis://, rediss://, \
             redis+cluster://, rediss+cluster://, unix://)",
        ),
    ] {
        let said = channels(arguments);
        assert_eq!(said.status.code(), Some(1), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&said.stderr), format!("channels: {text}\n"), "{arguments:?}");
        assert!(said.stdout.is_empty());
    }
}
