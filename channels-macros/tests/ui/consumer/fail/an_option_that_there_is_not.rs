use channels::prelude::*;

struct Chat;

#[consumer(layer = "redis")]
impl Consumer for Chat {}

fn main() {}
