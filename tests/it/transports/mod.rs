//! One consumer, any transport: it cannot tell how its client reaches it.

mod behaviours;
mod client;
