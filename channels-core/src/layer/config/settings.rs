//! The settings of one layer: whoever knows a key takes it, and what is left is a mistake.

use std::time::Duration;

use super::LayersConfigError;
use crate::layer::{CapacityPattern, Limits};

/// A value, as far as the configuration tells its type. A URL tells none.
#[derive(Clone, Debug)]
#[cfg_attr(not(all(feature = "toml", feature = "redis")), allow(dead_code))]
pub(crate) enum Value {
    /// From a URL or a variable: of any type that can be read from it.
    Plain(String),
    Text(String),
    Number(String),
    Bool(bool),
    Table(Vec<Setting>),
    List(Vec<Value>),
    /// What no setting can be.
    Other(&'static str),
}

impl Value {
    fn describe(&self) -> String {
        match self {
            Self::Plain(text) | Self::Text(text) => format!("`{text}`"),
            Self::Number(number) => number.clone(),
            Self::Bool(bool) => bool.to_string(),
            Self::Table(_) => "a table".to_owned(),
            Self::List(values) => match values.iter().find(|value| !matches!(value, Self::Text(_))) {
                Some(value) => format!("a list with {}", value.describe()),
                None => "a list".to_owned(),
            },
            Self::Other(what) => (*what).to_owned(),
        }
    }
}

/// A key, its value, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) place: String,
}

/// The settings of one layer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Before the keys in an error's text: `layers.default.`, or nothing.
    pub(super) prefix: String,
    pub(super) place: String,
    settings: Vec<Setting>,
    /// The keys that were asked for.
    known: Vec<&'static str>,
}

impl Settings {
    pub(super) fn new(prefix: String, place: String, settings: Vec<Setting>) -> Self {
        Self { prefix, place, settings, known: Vec::new() }
    }

    pub(super) fn add(&mut self, settings: impl IntoIterator<Item = Setting>) {
        self.settings.extend(settings);
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, LayersConfigError> {
        self.take(key, "a text", |value| match value {
            Value::Plain(text) | Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// Where a key stands that is still there.
    pub(super) fn place_of(&self, key: &str) -> String {
        let setting = self.settings.iter().find(|setting| setting.key == key);
        setting.map_or(&self.place, |setting| &setting.place).clone()
    }

    /// Texts; a URL has one.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Option<Vec<String>>, LayersConfigError> {
        let text = |value: &Value| match value {
            Value::Plain(text) | Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.take(key, "a list of texts", |value| match value {
            Value::List(values) => values.iter().map(text).collect(),
            value => Some(vec![text(value)?]),
        })
    }

    /// A whole number of at least 1.
    pub(crate) fn count(&mut self, key: &'static str) -> Result<Option<usize>, LayersConfigError> {
        self.take(key, COUNT, count)
    }

    /// A time in seconds.
    pub(crate) fn seconds(&mut self, key: &'static str) -> Result<Option<Duration>, LayersConfigError> {
        self.take(key, "a number of seconds", |value| match value {
            Value::Plain(number) | Value::Number(number) => {
                Duration::try_from_secs_f64(number.parse().ok()?).ok().filter(|time| !time.is_zero())
            }
            _ => None,
        })
    }

    /// The limits that every layer has.
    pub(super) fn limits(&mut self) -> Result<Limits, LayersConfigError> {
        let mut limits = Limits::default();
        if let Some(capacity) = self.count("capacity")? {
            limits.capacity = capacity;
        }
        if let Some(expiry) = self.seconds("expiry")? {
            limits.expiry = expiry;
        }
        if let Some(expiry) = self.seconds("group_expiry")? {
            limits.group_expiry = expiry;
        }
        if let Some(capacity) = self.count("presence_capacity")? {
            limits.presence_capacity = capacity;
        }
        let channels = self.take("channel_capacity", "a table of patterns and numbers", |value| match value {
            Value::Table(settings) => Some(settings.clone()),
            _ => None,
        })?;
        for Setting { key, value, place } in channels.into_iter().flatten().chain(self.take_below("channel_capacity."))
        {
            let wrong = |wanted: &str, got: String| LayersConfigError::Value {
                place: place.clone(),
                key: format!("{}channel_capacity.\"{key}\"", self.prefix),
                wanted: wanted.to_owned(),
                got,
            };
            let capacity = count(&value).ok_or_else(|| wrong(COUNT, value.describe()))?;
            let pattern = if key.starts_with('^') {
                CapacityPattern::regex(&key).map_err(|_| wrong("behind a regular expression", format!("`{key}`")))?
            } else {
                key.parse().map_err(|_| wrong("behind a glob", format!("`{key}`")))?
            };
            limits.channel_capacity.push((pattern, capacity));
        }
        Ok(limits)
    }

    /// Takes a setting out, if it is there and is what is wanted.
    pub(crate) fn take<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, LayersConfigError> {
        self.known.push(key);
        let Some(at) = self.settings.iter().position(|setting| setting.key == key) else { return Ok(None) };
        let Setting { value, place, .. } = self.settings.remove(at);
        let key = format!("{}{key}", self.prefix);
        match read(&value) {
            Some(value) => Ok(Some(value)),
            None => Err(LayersConfigError::Value { place, key, wanted: wanted.to_owned(), got: value.describe() }),
        }
    }

    /// Takes out what a URL says of a table: `table.key`, as `key`.
    fn take_below(&mut self, table: &str) -> Vec<Setting> {
        let below = self.settings.extract_if(.., |setting| setting.key.starts_with(table));
        below.map(|setting| Setting { key: setting.key[table.len()..].to_owned(), ..setting }).collect()
    }

    /// Finds what nobody has taken.
    pub(super) fn finish(mut self) -> Result<(), LayersConfigError> {
        let Some(Setting { key, place, .. }) = self.settings.pop() else { return Ok(()) };
        let twice = self.known.contains(&key.as_str());
        let key = format!("{}{key}", self.prefix);
        if twice {
            return Err(LayersConfigError::Twice { place, key });
        }
        self.known.sort_unstable();
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(LayersConfigError::UnknownKey { place, key, known })
    }
}

const COUNT: &str = "a whole number of at least 1";

fn count(value: &Value) -> Option<usize> {
    match value {
        Value::Plain(number) | Value::Number(number) => number.parse().ok().filter(|number| *number > 0),
        _ => None,
    }
}
