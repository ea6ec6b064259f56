use channels::prelude::*;

struct Chosen;

#[consumer]
impl Consumer for Chosen {
    #[cfg(not(any()))]
    async fn receive(&mut self, _cx: &mut Context, _text: Text) -> Result<()> {
        Ok(())
    }

    #[cfg(not(all()))]
    async fn receive(&mut self, _cx: &mut Context, _bytes: Binary) -> Result<()> {
        Ok(())
    }
}

struct Left;

#[consumer]
impl Consumer for Left {
    #[cfg(any())]
    async fn receive(&mut self, _cx: &mut Context, _text: Text) -> Result<()> {
        Ok(())
    }
}

struct Never;

#[consumer]
#[cfg(any())]
impl Consumer for Never {
    #[handler]
    fn never(_event: &NoSuchType) -> Result<Message> {
        Ok("".into())
    }
}

fn takes<C: Consumer<Input = I>, I>() {}

const _: fn() = || {
    let _ = Never;
    takes::<Chosen, Text>();
    takes::<Left, Message>();
};
