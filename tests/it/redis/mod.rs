//! The Redis layers: the suite of every layer, on a stub and on a real broker; Django; bad input; a broker that goes away.

mod django;
mod server;
mod suite;
