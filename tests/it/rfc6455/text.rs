//! Sections 5.6 and 8.1: text is UTF-8, and the first byte that cannot be is the last that is read.

use crate::{
    mirror::{Mirrors, Rule, breaks, keeps},
    raw::{BINARY, FIN, TEXT, frame},
};

const NOT_UTF8: &str = "the text is not UTF-8";

/// Sequences that are not UTF-8 (RFC 3629, section 4), and after how many bytes that is certain.
pub(crate) const IMPOSSIBLE: [(&[u8], usize); 18] = [
    (b"\x80", 1),             // a continuation of nothing
    (b"\xbf", 1),             //
    (b"\xc0\x80", 1),         // overlong, by the first byte
    (b"\xc1\xbf", 1),         //
    (b"\xe0\x80\x80", 2),     // overlong, by the second
    (b"\xe0\x9f\xbf", 2),     //
    (b"\xf0\x80\x80\x80", 2), //
    (b"\xf0\x8f\xbf\xbf", 2), //
    (b"\xed\xa0\x80", 2),     // surrogates
    (b"\xed\xbf\xbf", 2),     //
    (b"\xf4\x90\x80\x80", 2), // past the last character
    (b"\xf5\x80\x80\x80", 1), //
    (b"\xfe", 1),             // no byte of UTF-8
    (b"\xff", 1),             //
    (b"\xc3\x28", 2),         // no continuation
    (b"\xe8\xaf\x41", 3),     //
    (b"\xf0\x9f\xa6\x41", 4), //
    (b"\xe8\xe8", 2),         // a start in its place
];

#[tokio::test]
async fn what_cannot_be_utf8_is_closed_with_1007_whole_or_in_fragments() {
    let mut rules = Vec::new();
    for (bytes, _) in IMPOSSIBLE {
        let text = [b"ok ", bytes, b" more"].concat();
        rules.push(breaks("8.1", "a text is UTF-8", frame(FIN | TEXT, &text), 1007, NOT_UTF8));
        for cut in 1..text.len() {
            let fragments = [frame(TEXT, &text[..cut]), frame(FIN, &text[cut..])].concat();
            rules.push(breaks("8.1", "also over fragments", fragments, 1007, NOT_UTF8));
        }
        rules.push(keeps(
            "5.6",
            "binary may be anything",
            frame(FIN | BINARY, &text),
            vec![(FIN | BINARY, text.clone())],
        ));
    }
    for cut in [&b"\xc3"[..], b"\xe8", b"\xe8\xaf", b"\xf0\x9f", b"\xf0\x9f\xa6"] {
        rules.push(breaks("8.1", "a character is whole at the end", frame(FIN | TEXT, cut), 1007, NOT_UTF8));
        let fragments = [frame(TEXT, cut), frame(FIN, "")].concat();
        rules.push(breaks("8.1", "also at the end of fragments", fragments, 1007, NOT_UTF8));
    }
    Mirrors::new(Default::default()).hold(rules).await;
}

#[tokio::test]
async fn the_first_impossible_byte_is_refused_before_its_frame_and_message_are_whole() {
    const HEADER: usize = 6;
    let mut rules: Vec<Rule> = Vec::new();
    for (bytes, certain) in IMPOSSIBLE {
        let text = [bytes, &[b'x'; 90]].concat();
        // All up to the impossible byte, and nothing of what the header announces behind it.
        let start = &frame(FIN | TEXT, &text)[..HEADER + certain];
        rules.push(breaks("8.1", "within a frame", start, 1007, NOT_UTF8));
        let later = [&frame(TEXT, "读 fine"), &frame(0, &text)[..HEADER + certain]].concat();
        rules.push(breaks("8.1", "within a later fragment", later, 1007, NOT_UTF8));
        let fragment = [frame(TEXT, &bytes[..certain - 1]), frame(0, &bytes[certain - 1..certain])].concat();
        rules.push(breaks("8.1", "within a message", fragment, 1007, NOT_UTF8));
    }
    Mirrors::new(Default::default()).hold(rules).await;
}

#[tokio::test]
async fn characters_may_be_cut_between_fragments() {
    // The first and last character of each length, and those around the surrogates.
    let text = "\0\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}";
    let rules = (0..=text.len()).map(|cut| {
        let (start, end) = text.as_bytes().split_at(cut);
        let bytes = [frame(TEXT, start), frame(0, ""), frame(FIN, end)].concat();
        keeps("8.1", "a character over two fragments", bytes, vec![(FIN | TEXT, text.into())])
    });
    Mirrors::new(Default::default()).hold(rules).await;
}
