//! Pages of another origin than the server's.

use channels::{InMemoryChannelLayer, Layer, event};
use serde_json::json;

use super::{TRANSPORTS, Told, chromium::Browser, serve, serve_pages_of, waits_for};

#[tokio::test]
async fn page_of_an_origin_that_is_let_in_talks_by_every_transport_and_no_other_page_does() {
    let (pages, _told) = serve(Layer::new(InMemoryChannelLayer::default()));
    let layer = Layer::new(InMemoryChannelLayer::default());
    let (server, mut told) = serve_pages_of(&format!("http://{pages}"), layer.clone());
    let browser = Browser::start("elsewhere").await;
    let page = &browser.client;
    for transport in TRANSPORTS {
        let query = format!("transports={transport}&server=http://{server}");
        page.goto(&format!("http://{pages}/?{query}")).await.unwrap();
        waits_for(page, "return socket.transport", &json!(transport)).await;
        layer.group_send("numbers", event!({"type": "number", "n": 7})).await.unwrap();
        waits_for(page, "return page.heard", &json!([7])).await;
        waits_for(page, "page.stop(); return page.said > 0 && socket.buffered", &json!(0)).await;
        page.goto("about:blank").await.unwrap();
        while !matches!(told.recv().await, Some(Told::Ended(_))) {}

        page.goto(&format!("http://localhost:{}/?{query}", pages.port())).await.unwrap();
        waits_for(page, "return page.asked > 2", &json!(true)).await;
        let told_to_page = "return [socket.state, page.heard.length, socket.buffered === page.said]";
        assert_eq!(page.execute(told_to_page, vec![]).await.unwrap(), json!(["connecting", 0, true]));
        assert!(told.try_recv().is_err(), "nobody was let in");
    }
}
