//! Events sent from outside of consumers: from an HTTP handler, a thread, another runtime.

use std::thread;

use channels::{
    GroupReport, Layer,
    actix_web::{HttpResponse, web},
    event,
    prelude::*,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Served, Socket, serve, within};

#[derive(Default)]
struct Reader;

#[consumer]
impl Consumer for Reader {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        cx.group_add("news").await?;
        cx.accept()?;
        cx.send(cx.channel_name().to_string())?;
        Ok(())
    }

    #[handler("news.flash")]
    async fn flash(&mut self, cx: &mut Context, event: &RawEvent) -> Result<()> {
        cx.send(event.get::<String>("text").unwrap_or_default())?;
        Ok(())
    }
}

/// A server with a page that sends, a reader, the reader's channel, and the layer.
async fn reader() -> (Served, Socket, String, Layer) {
    let layers = Layers::default();
    let layer = layers.get("default").unwrap().clone();
    let page = layer.clone();
    let app = ProtocolTypeRouter::new()
        .http(move |cfg| {
            let flash = async |layer: web::Data<Layer>, text: String| match layer
                .group_send("news", flash(&text))
                .report()
                .await
            {
                Ok(report) => HttpResponse::Ok().body(format!("reached {}", report.delivered)),
                Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
            };
            cfg.app_data(web::Data::new(page.clone())).route("/flash", web::post().to(flash));
        })
        .websocket(URLRouter::new([path("ws/", Reader::default)]).unwrap());
    let served = serve(Server::new(app).layers(layers).workers(1));
    let mut socket = served.connect("/ws/").await;
    let channel = socket.text().await;
    (served, socket, channel, layer)
}

fn flash(text: &str) -> RawEvent {
    event!({"type": "news.flash", "text": text})
}

#[tokio::test]
async fn an_http_handler_reaches_the_readers() {
    let (served, mut reader, ..) = reader().await;
    let mut stream = tokio::net::TcpStream::connect(served.address).await.unwrap();
    let request = "POST /flash HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 4\r\n\r\nrain";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    within(stream.read_to_string(&mut response)).await.unwrap();
    assert!(response.ends_with("reached 1"), "{response}");
    assert_eq!(reader.text().await, "rain");
    drop(reader);
    served.stop().await;
}

#[tokio::test]
async fn a_thread_reaches_a_group_and_a_single_connection() {
    let (_served, mut reader, channel, layer) = reader().await;
    let sent = thread::spawn(move || {
        let report = channels::run(layer.group_send("news", flash("to all")).report()).unwrap();
        channels::run(layer.send(channel, flash("to you"))).unwrap();
        report.delivered
    });
    assert_eq!(reader.text().await, "to all");
    assert_eq!(reader.text().await, "to you");
    assert_eq!(sent.join().unwrap(), 1);
}

#[test]
fn tasks_of_another_runtime_reach_the_readers_also_after_it_was_replaced() {
    channels::run(async {
        let (_served, mut reader, _, layer) = reader().await;
        for text in ["from one", "from another"] {
            let layer = layer.clone();
            let sent = thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
                let tasks: Vec<_> = (0..3)
                    .map(|_| {
                        let layer = layer.clone();
                        runtime.spawn(async move { layer.group_send("news", flash(text)).report().await.unwrap() })
                    })
                    .collect();
                tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).collect::<Vec<GroupReport>>()
            });
            for _ in 0..3 {
                assert_eq!(reader.text().await, text);
            }
            assert!(sent.join().unwrap().iter().all(|report| report.delivered == 1));
        }
    });
}
