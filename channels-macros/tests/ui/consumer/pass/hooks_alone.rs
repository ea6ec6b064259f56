use channels::prelude::*;

#[derive(Default)]
struct Chat {
    seen: usize,
}

#[consumer]
impl Consumer for Chat {
    const LAYER: &'static str = "chat";

    fn groups(&self, _scope: &Scope) -> Vec<String> {
        vec!["lobby".to_owned()]
    }

    async fn disconnect(&mut self, _cx: &mut Context, _close: &Close) {
        self.seen = 0;
    }

    async fn receive(&mut self, cx: &mut Context, Text(text): Text) -> Result<()> {
        self.seen += text.len();
        cx.send(text)?;
        Ok(())
    }

    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.accept()?;
        Ok(())
    }
}

#[test]
fn its_layer_is_the_one_it_names() {
    assert_eq!(Chat::LAYER, "chat");
}
