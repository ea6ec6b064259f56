//! Patterns that compile and never find what their writer meant.

use regex_syntax::hir::{Hir, HirKind, Literal, Look};

use super::pattern::{is_identifier, takes};

/// What is wrong with a pattern, and where, in bytes from 0.
pub(super) struct Mistake {
    pub(super) at: usize,
    pub(super) why: String,
}

/// What is wrong with a pattern of `path`.
pub(super) fn segments(source: &str) -> Option<Mistake> {
    let anchor = source.ends_with('$').then(|| source.len() - 1);
    let group = source.find("(?P<").or_else(|| source.find("(?<"));
    let expression = source.starts_with('^').then_some(0).or(group).or(anchor);
    if let Some(at) = expression {
        let why = "this is of a regular expression, and `path` takes it as it stands: use `re_path`".to_owned();
        return Some(Mistake { at, why });
    }
    source.starts_with('/').then(|| slash(source))
}

/// What is wrong with a pattern of `re_path`.
pub(super) fn expression(source: &str, parsed: &Hir) -> Option<Mistake> {
    if wants_slash(parsed) {
        return Some(slash(source));
    }
    source.match_indices('<').find_map(|(at, _)| {
        let (segment, rest) = source[at + 1..].split_once('>')?;
        let (converter, name) = segment.split_once(':').unwrap_or(("str", segment));
        let is_group = source[..at].ends_with("(?P") || source[..at].ends_with("(?");
        // In the middle of a part it may be one of the characters of a class.
        let is_part = rest.is_empty() || rest.starts_with(['/', '$']);
        let is_segment = !is_group && takes(converter).is_some() && is_identifier(name);
        (is_segment && (is_part || segment.contains(':'))).then(|| Mistake {
            at,
            why: format!("`re_path` takes `<{segment}>` as it stands: use `path`, or the group `(?P<{name}>…)`"),
        })
    })
}

/// Whether it is found at the start of a path only, and there is a slash. Without the anchor it may stand behind something.
fn wants_slash(parsed: &Hir) -> bool {
    let HirKind::Concat(parts) = parsed.kind() else { return false };
    let [start, text, ..] = parts.as_slice() else { return false };
    let slash = matches!(text.kind(), HirKind::Literal(Literal(text)) if text.starts_with(b"/"));
    matches!(start.kind(), HirKind::Look(Look::Start)) && slash
}

fn slash(source: &str) -> Mistake {
    let why = "paths are matched without their leading `/`: leave it out".to_owned();
    Mistake { at: source.find('/').unwrap_or_default(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mistake: Option<Mistake>) -> Option<usize> {
        mistake.map(|mistake| mistake.at)
    }

    fn expression(source: &str) -> Option<Mistake> {
        super::expression(source, &regex_syntax::parse(source).unwrap())
    }

    #[test]
    fn the_slash_that_no_path_begins_with_is_found_in_both_kinds() {
        assert_eq!(at(segments("/ws/")), Some(0));
        assert_eq!(at(expression("^/ws/$")), Some(1));
        assert_eq!(at(expression(r"^\/(ws)\/$")), Some(2));
        for right in ["", "ws/", "ws//x/"] {
            assert_eq!(at(segments(right)), None, "{right}");
        }
        // Found behind something else: `v1/ws/`.
        for right in ["", "/ws/$", "^ws/$", "^(a|/b)", "^/?ws", "^/a|b"] {
            assert_eq!(at(expression(right)), None, "{right}");
        }
    }

    #[test]
    fn a_regular_expression_is_not_for_path() {
        assert_eq!(at(segments(r"^dj/(?P<room>\w+)/$")), Some(0));
        assert_eq!(at(segments(r"dj/(?P<room>\w+)/")), Some(3));
        assert_eq!(at(segments(r"/dj/(?<room>\w+)/")), Some(4));
        assert_eq!(at(segments("dj/$")), Some(3));
        for right in ["a^b/", "$1/", "f(<x>)/", "a.b/", "<path:rest>"] {
            assert_eq!(at(segments(right)), None, "{right}");
        }
    }

    #[test]
    fn segments_are_not_for_re_path() {
        assert_eq!(at(expression("ws/<int:id>/")), Some(3));
        assert_eq!(at(expression("^ws/<int:id>-<slug:s>$")), Some(4));
        assert_eq!(at(expression("^ws/<room>/$")), Some(4));
        assert_eq!(at(expression("^<room>")), Some(1));
        for right in
            [r"^(?P<room>\w+)/$", r"^(?<room>/\w+)$", "(?P<a>x)(?P<b>/)", "^[<a>]+$", "^[^<>]+$", r"^\<b\>/", "<b:c>"]
        {
            assert_eq!(at(expression(right)), None, "{right}");
        }
    }
}
