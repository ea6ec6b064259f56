use channels::prelude::*;

struct Chat;

#[consumer("redis")]
impl Consumer for Chat {}

fn main() {}
