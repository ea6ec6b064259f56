//! One pattern of a route, compiled once.

use regex::Regex;
use thiserror::Error;

use super::mistaken;

/// A route's pattern that cannot be used; [`URLRouter::new`](super::URLRouter::new) reports it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("route `{pattern}`: {why} (at byte {at}: `{}`)", .pattern.get(*.at..).unwrap_or_default())]
#[non_exhaustive]
pub struct PatternError {
    /// The pattern, as it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
    /// Where, in bytes from 0.
    pub at: usize,
}

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    source: String,
    regex: Regex,
    /// Whether it must reach the end of the path when nothing follows.
    whole: bool,
}

/// What a pattern found in a path.
pub(super) struct Found<'p> {
    pub(super) args: Vec<&'p str>,
    pub(super) kwargs: Vec<(&'p str, &'p str)>,
    pub(super) rest: &'p str,
}

impl Pattern {
    /// A regular expression, found anywhere unless it is anchored: Django's `re_path`.
    pub(super) fn regex(source: &str) -> Result<Self, PatternError> {
        let at = |at, why: String| PatternError { pattern: source.to_owned(), why, at };
        let parsed = regex_syntax::parse(source).map_err(|error| match error {
            regex_syntax::Error::Parse(error) => at(error.span().start.offset, error.kind().to_string()),
            regex_syntax::Error::Translate(error) => at(error.span().start.offset, error.kind().to_string()),
            error => at(0, error.to_string()),
        })?;
        if let Some(mistake) = mistaken::expression(source, &parsed) {
            return Err(at(mistake.at, mistake.why));
        }
        let regex = Regex::new(source).map_err(|error| at(0, error.to_string()))?;
        Ok(Self { source: source.to_owned(), regex, whole: false })
    }

    /// Typed segments, matched from the start: Django's `path`.
    pub(super) fn segments(source: &str) -> Result<Self, PatternError> {
        if let Some(mistake) = mistaken::segments(source) {
            return Err(PatternError { pattern: source.to_owned(), why: mistake.why, at: mistake.at });
        }
        let mut expression = String::from("^");
        let mut names: Vec<&str> = Vec::new();
        let mut rest = source;
        while let Some(open) = rest.find('<') {
            let at = source.len() - rest.len() + open;
            let wrong = |why: String| PatternError { pattern: source.to_owned(), why, at };
            expression.push_str(&regex::escape(&rest[..open]));
            let close = rest[open..].find('>').ok_or_else(|| wrong("`<` is not closed by `>`".to_owned()))? + open;
            let (converter, name) = rest[open + 1..close].split_once(':').unwrap_or(("str", &rest[open + 1..close]));
            if !is_identifier(name) {
                return Err(wrong(format!("`{name}` is not a name: letters, digits and `_`, no digit first")));
            }
            if names.contains(&name) {
                return Err(wrong(format!("the name `{name}` is used twice")));
            }
            names.push(name);
            let Some(takes) = takes(converter) else {
                return Err(wrong(format!("no converter `{converter}`; there are int, path, slug, str, uuid")));
            };
            expression.push_str(&format!("(?P<{name}>{takes})"));
            rest = &rest[close + 1..];
        }
        if let Some(at) = rest.find('>') {
            let at = source.len() - rest.len() + at;
            return Err(PatternError { pattern: source.to_owned(), why: "`>` closes nothing".to_owned(), at });
        }
        expression.push_str(&regex::escape(rest));
        let wrong = |error: regex::Error| PatternError { pattern: source.to_owned(), why: error.to_string(), at: 0 };
        Ok(Self { source: source.to_owned(), regex: Regex::new(&expression).map_err(wrong)?, whole: true })
    }

    /// Whether it fits, as the end of a path, wherever `other` does; `end` says whether that one is an end, too.
    pub(super) fn covers(&self, other: &Self, end: bool) -> bool {
        self.regex.as_str() == other.regex.as_str() && (!self.whole || other.whole && end)
    }

    /// The pattern as it was given.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Finds the pattern in a path without its leading slash. With `end`, nothing may follow segments.
    pub(super) fn find<'p>(&'p self, path: &'p str, end: bool) -> Option<Found<'p>> {
        let found = self.regex.captures(path)?;
        let matched = found.get(0)?;
        let rest = &path[matched.end()..];
        if end && self.whole && !rest.is_empty() {
            return None;
        }
        let named = |name: &'p str| found.name(name).map(|value| (name, value.as_str()));
        let kwargs: Vec<_> = self.regex.capture_names().flatten().filter_map(named).collect();
        // As in Django: unnamed groups count only where there are no named ones, and each keeps its place.
        let args = if self.regex.capture_names().flatten().next().is_some() {
            Vec::new()
        } else {
            found.iter().skip(1).map(|value| value.map_or("", |value| value.as_str())).collect()
        };
        Some(Found { args, kwargs, rest })
    }
}

/// What a converter takes, as a regular expression.
pub(super) fn takes(converter: &str) -> Option<&'static str> {
    Some(match converter {
        "str" => "[^/]+",
        "int" => "[0-9]+",
        "slug" => "[-a-zA-Z0-9_]+",
        "uuid" => "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "path" => ".+",
        _ => return None,
    })
}

pub(super) fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_regex_is_shown_with_its_place() {
        let error = Pattern::regex(r"^ws/(?P<room>\w+").unwrap_err();
        assert_eq!(error.to_string(), r"route `^ws/(?P<room>\w+`: unclosed group (at byte 4: `(?P<room>\w+`)");
        let error = Pattern::regex(r"^ws/(?=x)").unwrap_err();
        assert!(error.to_string().contains("look-around"), "{error}");
        assert_eq!(error.at, 4);
    }

    #[test]
    fn bad_segments_are_shown_with_their_place() {
        let why = |source| Pattern::segments(source).unwrap_err().to_string();
        assert_eq!(
            why("ws/<number:id>/"),
            "route `ws/<number:id>/`: no converter `number`; there are int, path, slug, str, uuid (at byte 3: `<number:id>/`)"
        );
        assert!(why("ws/<int:id").contains("not closed"));
        assert!(why("ws/<int:1d>/").contains("not a name"));
        assert!(why("<a>/<a>/").contains("used twice"));
        assert!(why("ws/id>/").contains("closes nothing"));
    }

    #[test]
    fn converters_take_what_they_name() {
        let fits = |source: &str, path: &str| Pattern::segments(source).unwrap().find(path, true).is_some();
        assert!(fits("<int:id>/", "42/") && !fits("<int:id>/", "x/") && !fits("<int:id>/", "-1/"));
        assert!(fits("<str:name>/", "a b/") && !fits("<str:name>/", "a/b/"));
        assert!(fits("<name>/", "a/"));
        assert!(fits("<slug:s>/", "a-b_1/") && !fits("<slug:s>/", "a b/"));
        assert!(fits("<uuid:u>/", "075194d3-6885-417e-a8a8-6c931e272f00/") && !fits("<uuid:u>/", "075194d3/"));
        assert!(fits("<path:p>", "a/b/c"));
        assert!(!fits("a/", "a/b/"));
    }
}
