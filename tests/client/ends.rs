//! What a page does when its server closes.

use channels::{InMemoryChannelLayer, Layer, event};
use serde_json::json;

use super::{TRANSPORTS, chromium::Browser, serve, waits_for};

#[tokio::test]
async fn page_that_is_closed_with_a_final_code_stays_closed_and_with_another_one_comes_back() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let (server, _told) = serve(layer.clone());
    let browser = Browser::start("ends").await;
    let page = &browser.client;
    let end = async |code: u16| {
        layer.group_send("numbers", event!({"type": "end", "code": code})).await.unwrap();
    };
    for transport in TRANSPORTS {
        page.goto(&format!("http://{server}/?transports={transport}")).await.unwrap();
        let mut closes = Vec::new();
        for code in [4500, 4501, 4503, 4999] {
            waits_for(page, "return socket.state", &json!("open")).await;
            page.execute("page.stop()", vec![]).await.unwrap();
            end(code).await;
            closes.push(json!([code, "that is why"]));
            waits_for(page, "return page.closed", &json!(closes)).await;
            assert_eq!(page.execute("return socket.state", vec![]).await.unwrap(), json!("closed"));
            page.execute("socket.open()", vec![]).await.unwrap();
        }
        waits_for(page, "return socket.state", &json!("open")).await;
        for (reopened, code) in (1..).zip([4400, 4429, 4499]) {
            end(code).await;
            waits_for(page, "return page.reopened", &json!(reopened)).await;
        }
        // It was opened as often as it was told to.
        assert_eq!(page.execute("return [page.opened, page.closed.length]", vec![]).await.unwrap(), json!([5, 4]));
        page.goto("about:blank").await.unwrap();
    }
}
