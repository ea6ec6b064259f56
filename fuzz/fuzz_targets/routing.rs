//! Routing: whatever the path, the first route that fits runs and its arguments are what stands in the path; whatever the
//! pattern, it is taken or refused with its place.

#![no_main]

use std::sync::LazyLock;

use channels_core::{
    Consumer, Message, Scope, URLRouter, path, re_path,
    routing::{Application, Outcome},
};
use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;

/// A consumer whose type says which route led to it.
struct Route<const N: usize>;

impl<const N: usize> Consumer for Route<N> {
    type Input = Message;
}

static ROUTER: LazyLock<URLRouter> = LazyLock::new(|| {
    let rooms = URLRouter::new([path("<int:room>/", || Route::<0>), path("<slug:name>/<uuid:id>", || Route::<1>)]);
    let routes = [
        path("chat/", rooms.expect("good patterns")),
        path("chat/<str:rest>/", || Route::<2>).kwarg("default", "given"),
        re_path(r"^ws/(?P<room>\w+)/$", || Route::<3>),
        re_path(r"^n/(\d+)/([a-z]*)", || Route::<4>),
        path("<path:all>", || Route::<5>),
    ];
    URLRouter::new(routes).expect("good patterns")
});

fuzz_target!(|text: &str| {
    let (uri, pattern) = text.split_once('\n').unwrap_or((text, ""));
    go(uri);
    take(pattern, uri);
});

fn go(uri: &str) {
    let scope = Scope::websocket(uri);
    let decoded = scope.path().to_owned();
    let path = decoded.trim_start_matches('/').to_owned();
    let outcome = ROUTER.call(scope).now_or_never().expect("routers do not wait");
    match (outcome, expected(&path)) {
        (Outcome::NoRoute(scope), None) => assert_eq!(scope.path(), decoded),
        (Outcome::Run(scope, endpoint), Some((number, kwargs, args))) => {
            assert!(endpoint.consumer().ends_with(&format!("Route<{number}>")), "{} for {path:?}", endpoint.consumer());
            let route = scope.url_route();
            let found: Vec<_> = route.kwargs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!((found, route.args.iter().map(String::as_str).collect::<Vec<_>>()), (kwargs, args), "{path:?}");
            let _ = (scope.kwarg_as::<u8>("room"), scope.arg::<u8>(0));
        }
        (outcome, expected) => panic!("{outcome:?}, not {expected:?}, for {path:?}"),
    }
}

type Found<'p> = (usize, Vec<(&'static str, &'p str)>, Vec<&'p str>);

/// The same routes by hand.
fn expected(path: &str) -> Option<Found<'_>> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = path.strip_prefix("chat/") {
        // A nested router gets what follows, without slashes before it.
        let inner = rest.trim_start_matches('/');
        if let Some(room) = inner.strip_suffix('/').filter(|room| digits(room)) {
            return Some((0, vec![("room", room)], vec![]));
        }
        if let Some((name, id)) = inner.split_once('/')
            && !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && is_uuid(id)
        {
            return Some((1, vec![("name", name), ("id", id)], vec![]));
        }
        // A `.` of a regex, and so `[^/]`, is any character; `str` takes a line's end too, as Django's does.
        if let Some(text) = rest.strip_suffix('/').filter(|text| !text.is_empty() && !text.contains('/')) {
            return Some((2, vec![("default", "given"), ("rest", text)], vec![]));
        }
    }
    if let Some(room) = path.strip_prefix("ws/").and_then(|rest| rest.strip_suffix('/'))
        && !room.is_empty()
        && room.chars().all(is_word)
    {
        return Some((3, vec![("room", room)], vec![]));
    }
    if let Some(rest) = path.strip_prefix("n/")
        && let Some((number, rest)) = rest.split_once('/')
        && !number.is_empty()
        && number.chars().all(|character| NUMBER.is_match(character.encode_utf8(&mut [0; 4])))
    {
        let end = rest.bytes().position(|byte| !byte.is_ascii_lowercase()).unwrap_or(rest.len());
        return Some((4, vec![], vec![number, &rest[..end]]));
    }
    (!path.is_empty() && !path.contains('\n')).then(|| (5, vec![("all", path)], vec![]))
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.concat().bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// `\d` and `\w` are Unicode's, whose tables are not for writing by hand.
static NUMBER: LazyLock<regex::Regex> = LazyLock::new(|| regex::Regex::new(r"^\d$").expect("a good pattern"));
static WORD: LazyLock<regex::Regex> = LazyLock::new(|| regex::Regex::new(r"^\w$").expect("a good pattern"));

fn is_word(character: char) -> bool {
    WORD.is_match(character.encode_utf8(&mut [0; 4]))
}

/// Patterns are the developer's, but a mistake in them is an error with its place, and no panic.
fn take(pattern: &str, uri: &str) {
    for route in [path(pattern, || Route::<6>), re_path(pattern, || Route::<7>)] {
        match URLRouter::new([route]) {
            Ok(router) => {
                let _ = router.call(Scope::websocket(uri)).now_or_never().expect("routers do not wait");
            }
            Err(error) => {
                assert!(error.at <= pattern.len() && pattern.is_char_boundary(error.at), "{error}");
                assert_eq!(error.pattern, pattern);
            }
        }
    }
    // A path is matched without its first slashes; what looks like a regular expression is refused.
    let is_expression = pattern.starts_with('^') || pattern.ends_with('$');
    if !is_expression && !pattern.starts_with('/') && !pattern.contains(['<', '>', '%', '?', '#']) {
        let router = URLRouter::new([path(pattern, || Route::<6>)]).expect("only literals");
        let scope = Scope::websocket(&format!("/{pattern}"));
        if scope.path() == format!("/{pattern}") {
            let outcome = router.call(scope).now_or_never().expect("routers do not wait");
            assert!(matches!(outcome, Outcome::Run(..)), "{pattern:?}");
        }
    }
}
