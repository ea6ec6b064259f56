//! A configuration in TOML, with the line of each setting.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    Configured, LayersConfigError,
    settings::{Setting, Settings, Value},
};

/// The layers that a text describes; `place` stands before the number of a line.
pub(super) fn parse(text: &str, place: &str) -> Result<Vec<Configured>, LayersConfigError> {
    let lines = Lines { text, place };
    let table = DeTable::parse(text).map_err(|error| LayersConfigError::Syntax {
        place: lines.at(error.span().unwrap_or_default()),
        why: error.message().to_owned(),
    })?;
    let mut configured = Vec::new();
    for (key, value) in in_order(table.get_ref()) {
        let place = lines.at(key.span());
        if key.get_ref() != "layers" {
            let (key, known) = (key.get_ref().to_string(), "layers".to_owned());
            return Err(LayersConfigError::UnknownKey { place, key, known });
        }
        for (alias, layer) in in_order(lines.table("layers", key, value)?) {
            let path = format!("layers.{}", alias.get_ref());
            let table = lines.table(&path, alias, layer)?;
            let test = in_order(table).into_iter().find(|(key, _)| key.get_ref() == "test");
            let settings = |path: &str, place, table: &DeTable<'_>| {
                let settings = lines.settings(table).into_iter().filter(|setting| setting.key != "test");
                Settings::new(format!("{path}."), place, settings.collect())
            };
            let tests = match test {
                Some((key, value)) => {
                    let path = format!("{path}.test");
                    Some(settings(&path, lines.at(key.span()), lines.table(&path, key, value)?))
                }
                None => None,
            };
            let settings = settings(&path, lines.at(alias.span()), table);
            configured.push(Configured { alias: alias.get_ref().to_string(), settings, test: tests });
        }
    }
    Ok(configured)
}

type Entry<'t, 'i> = (&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>);

/// The entries of a table as they stand in the file: of patterns the first that fits counts.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

struct Lines<'a> {
    text: &'a str,
    place: &'a str,
}

impl Lines<'_> {
    fn at(&self, span: Range<usize>) -> String {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        format!("{}{}", self.place, before.iter().filter(|byte| **byte == b'\n').count() + 1)
    }

    fn table<'t, 'i>(
        &self,
        path: &str,
        key: &Spanned<DeString<'_>>,
        value: &'t Spanned<DeValue<'i>>,
    ) -> Result<&'t DeTable<'i>, LayersConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            other => Err(LayersConfigError::Value {
                place: self.at(key.span()),
                key: path.to_owned(),
                wanted: "a table".to_owned(),
                got: other.type_str().to_owned(),
            }),
        }
    }

    fn settings(&self, table: &DeTable<'_>) -> Vec<Setting> {
        let setting = |(key, value): Entry<'_, '_>| Setting {
            key: key.get_ref().to_string(),
            value: self.value(value.get_ref()),
            place: self.at(key.span()),
        };
        in_order(table).into_iter().map(setting).collect()
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Value::Number(number.as_str().to_owned()),
            DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
            DeValue::Boolean(bool) => Value::Bool(*bool),
            DeValue::Table(table) => Value::Table(self.settings(table)),
            DeValue::Array(values) => Value::List(values.iter().map(|value| self.value(value.get_ref())).collect()),
            DeValue::Integer(_) => Value::Other("a number that is not decimal"),
            DeValue::Datetime(_) => Value::Other("a date"),
        }
    }
}
