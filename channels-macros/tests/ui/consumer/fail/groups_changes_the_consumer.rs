use channels::prelude::*;

struct Chat;

#[consumer]
impl Consumer for Chat {
    fn groups(&mut self, _scope: &Scope) -> Vec<String> {
        vec!["lobby".to_owned()]
    }
}

fn main() {}
