use channels::prelude::*;

struct Chat;

#[consumer(crate = "channels")]
impl Consumer for Chat {}

fn main() {}
