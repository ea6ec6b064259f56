//! RFC 6455, rule by rule: each case names its section. What a size or a count is too much for is in `frames`, how hooks see
//! an end in `endings`.

mod closing;
mod framing;
mod handshake;
mod text;

pub(crate) use self::text::IMPOSSIBLE;
