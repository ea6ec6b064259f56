use channels::prelude::*;

struct Chat;

#[consumer]
impl Default for Chat {
    fn default() -> Self {
        Chat
    }
}

fn main() {}
