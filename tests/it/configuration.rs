//! Channel layers from a file, from the environment, from a URL.

use std::error::Error;

use channels::{
    Layer, SendError, event,
    layer::{LayersConfig, LayersConfigError},
};
use futures_util::FutureExt;

use crate::logs;

/// How many events a channel of this layer holds.
fn capacity(layer: &Layer, channel: &str) -> usize {
    for _ in 0..1_000 {
        match layer.send(channel, event!({"type": "x"})).now_or_never().unwrap() {
            Ok(()) => {}
            Err(SendError::ChannelFull { capacity, .. }) => return capacity,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it holds more than a thousand")
}

const FILE: &str = r#"
[layers.default]
url = "memory://"
capacity = 5
expiry = 0.5
group_expiry = 3600

[layers.default.channel_capacity]
"thumbnails.large" = 1
"thumbnails.*" = 2
'^mail\.\d+$' = 3

[layers.default.test]
url = "memory://?capacity=7"

[layers.telemetry]
url = "memory://?capacity=10"
test = { url = "memory://", capacity = 8 }
"#;

#[channels::test(start_paused = true)]
async fn a_file_says_which_layers_there_are_and_what_they_hold() {
    let layers = LayersConfig::parse(FILE).unwrap().layers().unwrap();
    assert_eq!(layers.aliases().collect::<Vec<_>>(), ["default", "telemetry"]);
    let default = layers.get("default").unwrap();
    for (channel, holds) in
        [("jobs", 5), ("thumbnails.large", 1), ("thumbnails.small", 2), ("mail.7", 3), ("mail.x", 5)]
    {
        assert_eq!(capacity(default, channel), holds, "{channel}");
    }
    assert_eq!(capacity(layers.get("telemetry").unwrap(), "jobs"), 10);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    default.send("other", event!({"type": "x"})).await.unwrap();
    assert_eq!(default.dropped().expired, 16, "they may wait for half a second");
}

// test_layers: config_instance, override_settings
#[test]
fn tests_have_settings_of_their_own() {
    let config = LayersConfig::parse(FILE).unwrap();
    let layers = config.test_layers().unwrap();
    assert_eq!(capacity(layers.get("default").unwrap(), "thumbnails.large"), 7);
    assert_eq!(capacity(layers.get("telemetry").unwrap(), "jobs"), 8);
    let fresh = config.test_layers().unwrap();
    assert!(fresh.get("telemetry").unwrap().receive("jobs").now_or_never().is_none(), "each time they are new");
}

// test_layers: config_error
#[test]
fn a_layer_without_settings_for_tests_is_an_error_where_they_are_asked_for() {
    let config = LayersConfig::parse("[layers.default]\nurl = 'memory://'").unwrap();
    assert!(config.layers().is_ok());
    let error = config.test_layers().unwrap_err();
    let text = "the layer `default` has no settings for tests; add a table `[layers.default.test]`, or a variable \
                `CHANNEL_LAYER_DEFAULT__TEST`";
    assert_eq!(error.to_string(), text);
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let known = "capacity, channel_capacity, expiry, group_expiry, hosts, presence_capacity, url";
    for (text, error) in [
        ("[layers.x\n", "line 1: this is not TOML: unclosed table, expected `]`".to_owned()),
        ("\n[layer.x]\n", "line 2: there is no setting `layer` (there are: layers)".to_owned()),
        ("layers = 7", "line 1: `layers` is to be a table, not integer".to_owned()),
        ("[layers]\nx = 'memory://'", "line 2: `layers.x` is to be a table, not string".to_owned()),
        ("\n\n[layers.x]\n", "line 3: `layers.x.url` is missing".to_owned()),
        (
            "[layers.x]\nurl = 'memory://'\n\ncapcity = 7",
            format!("line 4: there is no setting `layers.x.capcity` (there are: {known})"),
        ),
        (
            "[layers.x]\nurl = 'memory://?capcity=7'",
            format!("line 1: there is no setting `layers.x.capcity` (there are: {known})"),
        ),
        (
            "[layers.x]\nurl = 'memory://?capacity=7'\ncapacity = 8",
            "line 1: `layers.x.capacity` is set twice".to_owned(),
        ),
        (
            "[layers.x]\ncapacity = 'many'\nurl = 'memory://'",
            "line 2: `layers.x.capacity` is to be a whole number of at least 1, not `many`".to_owned(),
        ),
        (
            "[layers.x]\ncapacity = 0\nurl = 'memory://'",
            "line 2: `layers.x.capacity` is to be a whole number of at least 1, not 0".to_owned(),
        ),
        (
            "[layers.x]\nexpiry = -1\nurl = 'memory://'",
            "line 2: `layers.x.expiry` is to be a number of seconds, not -1".to_owned(),
        ),
        (
            "[layers.x]\nchannel_capacity = [1]\nurl = 'memory://'",
            "line 2: `layers.x.channel_capacity` is to be a table of patterns and numbers, not a list with 1".to_owned(),
        ),
        (
            "[layers.x]\nurl = 'memory://'\n[layers.x.channel_capacity]\n'a[' = 1",
            "line 4: `layers.x.channel_capacity.\"a[\"` is to be behind a glob, not `a[`".to_owned(),
        ),
        (
            "[layers.x]\nurl = 'memory://'\n[layers.x.channel_capacity]\n'^(' = 1",
            "line 4: `layers.x.channel_capacity.\"^(\"` is to be behind a regular expression, not `^(`".to_owned(),
        ),
        ("[layers.x]\nurl = 7", "line 2: `layers.x.url` is to be a text, not 7".to_owned()),
        (
            "[layers.x]\nurl = 'secret@host'",
            "line 2: `layers.x.url` is to be a URL, as `memory://`, not a text without `://`".to_owned(),
        ),
        (
            "[layers.x]\nurl = 'memory://host'",
            "line 2: `layers.x.url` is to be `memory://` and nothing behind it, not `memory://host`".to_owned(),
        ),
        (
            "[layers.x]\nurl = 'pigeon://secret@host'",
            "line 2: `layers.x.url` has the scheme `pigeon://`, which no channel layer has (there are: memory://, redis://, \
             rediss://, redis+cluster://, rediss+cluster://, unix://)"
                .to_owned(),
        ),
        ("[layers.x]\nhosts = []", "line 2: `layers.x.hosts` is to be a list of URLs, not an empty one".to_owned()),
        ("[layers.x]\nhosts = [7]", "line 2: `layers.x.hosts` is to be a list of texts, not a list with 7".to_owned()),
        (
            "[layers.x]\nurl = 'redis://h'\nhosts = ['redis://g']",
            "line 3: `layers.x.hosts` is to be in the place of `url`, not beside it".to_owned(),
        ),
        (
            "[layers.x]\nhosts = ['redis://h', 'secret@host']",
            "line 2: `layers.x.hosts` is to be a URL, as `memory://`, not a text without `://`".to_owned(),
        ),
        (
            "[layers.x]\nhosts = ['redis://h', 'pigeon://g']",
            "line 2: `layers.x.hosts` has the scheme `pigeon://`, which no channel layer has (there are: memory://, \
             redis://, rediss://, redis+cluster://, rediss+cluster://, unix://)"
                .to_owned(),
        ),
    ] {
        let wrong = LayersConfig::parse(text).and_then(|config| config.layers()).unwrap_err();
        assert_eq!(wrong.to_string(), error, "{text}");
    }
    let test =
        LayersConfig::parse("[layers.x]\nurl = 'memory://'\n[layers.x.test]\nurl = 'memory://'\nhost = 1").unwrap();
    assert!(test.layers().is_ok());
    let error = test.test_layers().unwrap_err().to_string();
    assert!(error.starts_with("line 5: there is no setting `layers.x.test.host`"), "{error}");
}

#[test]
fn a_file_is_named_with_its_line() {
    let path = std::env::temp_dir().join(format!("channels-{}.toml", std::process::id()));
    std::fs::write(&path, "[layers.default]\nurl = 'memory://'\ncapacity = 4").unwrap();
    let layers = LayersConfig::read(&path).unwrap().layers().unwrap();
    assert_eq!(capacity(layers.get("default").unwrap(), "jobs"), 4);

    // The environment may name it; what it says itself stands over the file.
    let named = ("CHANNEL_LAYERS".to_owned(), path.display().to_string());
    let over = ("CHANNEL_LAYER_DEFAULT".to_owned(), "memory://?capacity=3".to_owned());
    let layers = LayersConfig::from_vars([over, named]).unwrap().layers().unwrap();
    assert_eq!(capacity(layers.get("default").unwrap(), "jobs"), 3);

    std::fs::write(&path, "[layers.default]\nurl = 'memory://'\nhost = 4").unwrap();
    let error = LayersConfig::read(&path).unwrap().layers().unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:3: there is no setting `layers.default.host`", path.display())), "{error}");
    std::fs::remove_file(&path).unwrap();
    let error = LayersConfig::read(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read the channel layers from {}", path.display()));
    assert!(error.source().is_some());
}

#[test]
fn the_environment_names_layers_by_their_urls() {
    let var = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let vars = [var("CHANNEL_LAYER_TELEMETRY", "memory://?capacity=9"), var("HOME", "/")];
    let layers = LayersConfig::from_vars(vars).unwrap().layers().unwrap();
    assert_eq!(layers.aliases().collect::<Vec<_>>(), ["default", "telemetry"]);
    assert_eq!(capacity(layers.get("telemetry").unwrap(), "jobs"), 9);

    let settings =
        "memory://?capacity=4&channel_capacity.mail.x=1&channel_capacity.mail.*=2&channel_capacity.%5Ejob%5Cd=3";
    let vars = [var("CHANNEL_LAYER_DEFAULT", settings), var("CHANNEL_LAYER_DEFAULT__TEST", "memory://?capacity=6")];
    let config = LayersConfig::from_vars(vars).unwrap();
    let layers = config.layers().unwrap();
    for (channel, holds) in [("mail.x", 1), ("mail.y", 2), ("job7", 3), ("jobs", 4)] {
        assert_eq!(capacity(layers.get("default").unwrap(), channel), holds, "{channel}");
    }
    assert_eq!(capacity(config.test_layers().unwrap().get("default").unwrap(), "mail.x"), 6);

    for (vars, text) in [
        (
            [var("CHANNEL_LAYER_DEFAULT", "memory://?channel_capacity.x=0"), var("HOME", "/")],
            "CHANNEL_LAYER_DEFAULT: `channel_capacity.\"x\"` is to be a whole number of at least 1, not `0`",
        ),
        (
            [var("CHANNEL_LAYER_DEFAULT", "memory://"), var("CHANNEL_LAYER_MAIL__TEST", "memory://")],
            "CHANNEL_LAYER_MAIL__TEST: `CHANNEL_LAYER_MAIL` is missing",
        ),
    ] {
        let wrong = LayersConfig::from_vars(vars).and_then(|config| config.layers()).unwrap_err();
        assert_eq!(wrong.to_string(), text);
    }
    let wrong = LayersConfig::from_vars([var("CHANNEL_LAYER_DEFAULT", "memory://?expiry=soon")]).unwrap();
    let text = "CHANNEL_LAYER_DEFAULT: `expiry` is to be a number of seconds, not `soon`";
    assert_eq!(wrong.layers().unwrap_err().to_string(), text);
    assert!(LayersConfig::from_env().unwrap().layers().is_ok());
}

#[test]
fn a_variable_that_begins_like_ours_and_says_nothing_is_an_error() {
    for name in [
        "CHANNEL_LAYER",
        "CHANNEL_LAYER_",
        "CHANNEL_LAYER___TEST",
        "CHANNEL_LAYERS_DEFUALT",
        "CHANNEL_LAYER_DEFAULT__TESTS",
        "CHANNEL_LAYER_DEFAULT__CAPACITY",
    ] {
        let error = LayersConfig::from_vars([(name.to_owned(), "memory://".to_owned())]).unwrap_err();
        let known = "CHANNEL_LAYERS, CHANNEL_LAYER_<ALIAS>, CHANNEL_LAYER_<ALIAS>__TEST";
        assert_eq!(error.to_string(), format!("the environment: there is no setting `{name}` (there are: {known})"));
    }
}

#[test]
fn layers_none_of_which_is_the_default_are_logged() {
    logs::keep();
    let var = ("CHANNEL_LAYER_DEFUALT".to_owned(), "memory://".to_owned());
    assert!(LayersConfig::from_vars([var]).unwrap().layers().is_ok());
    assert_eq!(logs::with(&["WARN", "no channel layer is called `default`", "defualt"]).len(), 1);
}

#[test]
fn a_url_is_a_layer() {
    assert_eq!(capacity(&Layer::from_url("memory://?capacity=6").unwrap(), "jobs"), 6);
    let error = Layer::from_url("pigeon://").unwrap_err();
    assert!(matches!(error, LayersConfigError::UnknownScheme { .. }), "{error}");
}
