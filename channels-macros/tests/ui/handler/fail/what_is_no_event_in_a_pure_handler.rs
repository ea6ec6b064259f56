use channels::prelude::*;

struct Plain;

struct Chat;

#[consumer]
impl Consumer for Chat {
    #[handler("plain")]
    fn plain(_event: &Plain) -> Result<Message> {
        Ok("plain".into())
    }
}

fn main() {}
