//! Ten thousand strangers who send random bytes, before and after the handshake.

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

use futures_util::future::join_all;

use super::target::Target;
use crate::{
    raw::{self, CLOSE, FIN, Raw},
    support::within,
};

const STRANGERS: u64 = 10_000;
const AT_ONCE: u64 = 100;

/// Numbers without a pattern, the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).expect("less than `sides`")
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.roll(most);
        (0..length).map(|_| self.roll(256) as u8).collect()
    }

    /// Frames that are nearly right.
    fn frames(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..self.roll(20) {
            let first = match self.roll(4) {
                0 => self.roll(256),
                1 => 0xc0 | self.roll(3),
                _ => self.roll(2) << 7 | [0, 1, 2, 8, 9, 10][self.roll(6)],
            };
            let payload = match self.roll(3) {
                0 => self.bytes(200),
                1 => vec![0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
                _ => "读".repeat(self.roll(60)).into_bytes(),
            };
            bytes.extend(raw::frame(first as u8, payload));
        }
        for _ in 0..self.roll(3) {
            let at = self.roll(bytes.len() + 1);
            bytes.truncate(at);
            bytes.extend(self.bytes(20));
        }
        bytes
    }

    /// A handshake in which a few bytes are others.
    fn spoilt(&mut self, mut handshake: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.roll(3) {
            let at = self.roll(handshake.len());
            handshake[at] = self.roll(256) as u8;
        }
        handshake
    }
}

/// What one stranger sends, and whether a good handshake comes first.
fn stranger(seed: u64) -> (Vec<u8>, bool) {
    let mut dice = Dice(seed);
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let handshake = raw::handshake("/stranger", [deflate, ""][dice.roll(2)]).into_bytes();
    match dice.roll(4) {
        0 => ([handshake, dice.frames()].concat(), true),
        1 => ([handshake, dice.bytes(300)].concat(), true),
        2 => ([dice.spoilt(handshake), dice.frames()].concat(), false),
        _ => (dice.bytes(2_000), false),
    }
}

/// Sends it, and expects an end: after a good handshake one of whole frames, the last of which is a close frame that may be
/// sent, if there is one.
async fn talk(target: &Target, seed: u64) {
    let (bytes, good) = stranger(seed);
    let mut client = Raw::connect(target.address).await;
    // It may be refused before all of it is written.
    client.try_write(&bytes).await;
    client.hang_up().await;
    if !good {
        within(client.rest()).await;
        return;
    }
    assert_eq!(client.response().await.status, 101, "seed {seed}");
    let mut closed = false;
    while let Some((first, payload)) = client.frame().await {
        assert!(!closed, "seed {seed}: a frame follows the close frame");
        assert!(
            matches!(first & 0xf, 1 | 2 | 8 | 10) && first & FIN != 0,
            "seed {seed}: a frame starts with {first:x}"
        );
        closed = first == FIN | CLOSE;
        if let (true, [high, low, ..]) = (closed, &payload[..]) {
            let code = u16::from_be_bytes([*high, *low]);
            assert!(channels::CloseCode::from(code).may_be_sent(), "seed {seed}: code {code}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_strangers_with_random_bytes_harm_nobody() {
    // Another seed in each run; that of a stranger who did harm is in what the test then prints: `SEED=… cargo test`.
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos().into());
    let seed = env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(now);
    println!("SEED={seed}");
    let target = Target::start().await;
    for first in (seed..seed + STRANGERS).step_by(AT_ONCE as usize) {
        join_all((first..first + AT_ONCE).map(|seed| talk(&target, seed))).await;
    }
    target.survives_within(64).await;
}
