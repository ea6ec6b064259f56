//! One consumer, any transport: it cannot tell how its client reaches it.

mod bad_input;
mod behaviours;
mod client;
mod crowd;
mod house;
mod limits;
mod mounted;
mod origins;
mod owners;
mod processes;
mod relay;
mod resuming;
