//! The page for operators.

use channels::{Layers, event, prelude::*};
use serde_json::json;

use super::{Browser, Herald};

#[tokio::test]
async fn the_inspection_page_shows_who_is_there_and_refreshes_itself() {
    let layers = Layers::default();
    let layer = layers.get("default").expect("the usual one").clone();
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", Herald::default)]).expect("a pattern"));
    let server = Server::new(app).layers(layers).inspection("/inspect/").bind("127.0.0.1:0").expect("a free port");
    let address = server.addresses()[0];
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = std::thread::spawn(move || channels::run(server.run_until(async move { drop(stopped.await) })));
    let connect = async || tokio_tungstenite::connect_async(format!("ws://{address}/ws/")).await.expect("it is open").0;
    let first = connect().await;
    layer.send("thumbnails", event!({"type": "make"})).await.expect("there is room");

    let browser = Browser::start("inspection").await;
    let page = browser.open(&format!("http://{address}/inspect/")).await;
    page.waits_for("#connections td.path", &["/ws/"]).await;
    page.waits_for("#connections td.groups", &["room"]).await;
    page.waits_for("#connections td.consumer", &["browser::Herald"]).await;
    page.waits_for("#consumers td.opened", &["1"]).await;
    page.waits_for("#layers td.layer", &["default"]).await;
    page.waits_for("#groups td.group", &["room"]).await;
    page.waits_for("#groups td.members", &["1"]).await;
    assert_eq!(page.texts("#groups td.channels").await, page.texts("#connections td.channel").await);
    page.waits_for("#queues td.channel", &["thumbnails"]).await;
    page.waits_for("#queues td.waiting", &["1"]).await;

    // What comes and goes is seen by a page that nobody loads again.
    page.run("window.loaded = 1").await;
    let second = connect().await;
    page.waits_for("#connections td.path", &["/ws/", "/ws/"]).await;
    page.waits_for("#groups td.members", &["2"]).await;
    drop((first, second));
    page.waits_for("#connections h2", &["Connections (0)"]).await;
    page.waits_for("#groups h2", &["Groups (0)"]).await;
    assert_eq!(page.run("return window.loaded").await, json!(1));

    // A crowd is shown a page at a time.
    let mut crowd = Vec::new();
    for _ in 0..101 {
        crowd.push(connect().await);
    }
    page.waits_for("#connections h2", &["Connections (101)"]).await;
    page.waits_for("#connections nav span", &["1 to 100"]).await;
    page.click("#connections-next").await;
    page.waits_for("#connections nav span", &["101 to 101"]).await;
    page.click("#connections-previous").await;
    page.waits_for("#connections nav span", &["1 to 100"]).await;
    page.click("#groups td.group a").await;
    page.waits_for("#connections h2", &["Connections in room (101)show all"]).await;
    if let Some(picture) = std::env::var_os("INSPECTION_PICTURE") {
        let png = browser.at(&page).await.screenshot().await.expect("a picture");
        std::fs::write(picture, png).expect("a file");
    }

    drop((crowd, stop));
    page.sees("return document.querySelector('#state').textContent.startsWith('no answer')").await;
    serving.join().expect("it does not panic").expect("it ends well");
}
