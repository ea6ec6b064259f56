//! The handshake: it is accepted exactly when RFC 6455, section 4.2.1, lets it be, and compression is agreed on only as it
//! was offered (RFC 7692, section 7.1).

#![no_main]

use actix_web::{
    http::{
        Method, Uri, Version,
        header::{HeaderName, HeaderValue},
    },
    test::TestRequest,
};
use channels_core::{__fuzz, AllowedHosts, Compression, Middleware, Protocol, Scope};
use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use tungstenite::handshake::derive_accept_key;

fuzz_target!(|bytes: &[u8]| {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(_)) = parsed.parse(bytes) else { return };
    let (Some(method), Some(uri)) = (parsed.method, parsed.path) else { return };
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), uri.parse::<Uri>()) else { return };
    let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut request = TestRequest::default().version(version).method(method.clone()).uri(&uri.to_string());
    let mut kept = Vec::new();
    for header in parsed.headers.iter() {
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(header.name.as_bytes()), HeaderValue::from_bytes(header.value))
        else {
            return;
        };
        request = request.append_header((name.clone(), value.clone()));
        kept.push((name, value));
    }

    let answer = __fuzz::answer(&request.to_http_request());
    let key = key_of_a_good_handshake(&method, version, &kept);
    match key {
        // Of several lines with one name actix reads the first.
        Some(_) if answer.status() == 400 => assert!(
            ["upgrade", "connection"]
                .into_iter()
                .any(|name| { kept.iter().filter(|(key, _)| key == name).nth(1).is_some() })
        ),
        Some(key) => {
            assert_eq!(answer.status(), 101);
            let accept = answer.headers().get("Sec-WebSocket-Accept").expect("an answer to the key");
            assert_eq!(accept, derive_accept_key(key.as_bytes()).as_str());
        }
        None => assert!(matches!(answer.status().as_u16(), 400 | 405 | 426), "{}", answer.status()),
    }

    for (_, offer) in kept.iter().filter(|(name, _)| name == "sec-websocket-extensions") {
        if let Ok(offer) = offer.to_str() {
            for takeover in [false, true] {
                agreement(offer, takeover);
            }
        }
    }
    let scope = Scope::new(Protocol::Websocket, &uri.to_string())
        .with_headers(kept.into_iter().collect::<channels_core::scope::Headers>());
    let _ = (scope.cookies().count(), scope.query("a"), scope.subprotocols().len());
    let origin = scope.header("Origin").map(str::to_ascii_lowercase);
    let allowed = AllowedHosts::from(["example.com", ".example.org"]).before(scope).now_or_never().expect("no waiting");
    if allowed.is_ok() {
        let origin = origin.expect("without an origin nobody comes in");
        let host = origin.split("://").nth(1).expect("a scheme");
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        assert!(host == "example.com" || host == "example.org" || host.ends_with(".example.org"), "{origin}");
    }
});

/// The key, when a server may accept.
fn key_of_a_good_handshake(method: &Method, version: Version, headers: &[(HeaderName, HeaderValue)]) -> Option<String> {
    let values = |name: &str| -> Vec<&str> {
        headers.iter().filter(|(key, _)| key == name).filter_map(|(_, value)| value.to_str().ok()).collect()
    };
    let has_token = |name, token: &str| {
        values(name).iter().flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
    };
    let one = |name: &str| {
        let mut values = headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.to_str().ok());
        let first = values.next()?;
        if values.next().is_none() { first } else { None }
    };
    let key = one("sec-websocket-key")?;
    let good = method == Method::GET
        && version == Version::HTTP_11
        && has_token("upgrade", "websocket")
        && has_token("connection", "upgrade")
        && one("sec-websocket-version") == Some("13")
        && is_sixteen_bytes(key);
    good.then(|| key.to_owned())
}

/// Whether this is the base64 of 16 bytes (section 4.1).
fn is_sixteen_bytes(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else { return false };
    digits.len() == 22
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && digits.ends_with(['A', 'Q', 'g', 'w'])
}

fn agreement(offer: &str, takeover: bool) {
    let settings =
        Compression { server_context_takeover: takeover, client_context_takeover: takeover, ..Compression::default() };
    let Some(agreed) = __fuzz::Agreed::on(offer, &settings) else { return };
    let answer = agreed.answer();
    let parameters: Vec<&str> = answer.split("; ").collect();
    assert_eq!(parameters[0], "permessage-deflate");
    let mut names: Vec<&str> = parameters[1..].iter().map(|part| part.split('=').next().expect("a part")).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "{answer}");
    // Met by one of the offers: what that one asks for is granted, and nothing that needs to be offered is without.
    let met = offer.split(',').any(|offer| {
        let asked: Vec<(&str, Option<u8>)> = offer
            .split(';')
            .skip(1)
            .map(|part| match part.split_once('=') {
                Some((name, value)) => (name.trim(), value.trim().trim_matches('"').parse().ok()),
                None => (part.trim(), None),
            })
            .collect();
        let of = |name: &str| asked.iter().find(|(key, _)| *key == name);
        parameters[1..].iter().all(|part| match part.split_once('=') {
            Some(("server_max_window_bits", bits)) => {
                let bits: u8 = bits.parse().expect("a number");
                (9..=15).contains(&bits) && of("server_max_window_bits").is_none_or(|(_, most)| Some(bits) <= *most)
            }
            Some(("client_max_window_bits", bits)) => {
                let bits: u8 = bits.parse().expect("a number");
                (8..=15).contains(&bits)
                    && of("client_max_window_bits").is_some_and(|(_, most)| most.is_none_or(|most| bits <= most))
            }
            Some(_) => false,
            None => matches!(*part, "server_no_context_takeover" | "client_no_context_takeover"),
        }) && (of("server_no_context_takeover").is_none() || names.contains(&"server_no_context_takeover"))
            && (of("server_max_window_bits").is_none() || names.contains(&"server_max_window_bits"))
    });
    assert!(met, "{offer} is answered {answer}");
}
