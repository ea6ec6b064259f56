use channels::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Inbound {
    text: String,
}

struct Typed;

#[consumer]
impl Consumer for Typed {
    async fn receive(&mut self, cx: &mut Context, Json(Inbound { text }): Json<Inbound>) -> Result<()> {
        cx.send(text)?;
        Ok(())
    }
}

struct Silent;

#[consumer]
impl Consumer for Silent {}

struct Written;

#[consumer]
impl Consumer for Written {
    type Input = Binary;

    async fn receive(&mut self, _cx: &mut Context, _bytes: Self::Input) -> Result<()> {
        Ok(())
    }
}

fn takes<C: Consumer<Input = I>, I>() {}

const _: fn() = || {
    takes::<Typed, Json<Inbound>>();
    takes::<Silent, Message>();
    takes::<Written, Binary>();
};
