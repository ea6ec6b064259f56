//! Whom a group send reaches: all but some, and several groups at once.

use channels::{GroupReport, Layer, LayerError, event, layer::Audience, prelude::*, testing::WebsocketCommunicator};
use futures_util::FutureExt;

use crate::support::{Served, Socket, serve, within};

/// Is in the groups that its path names, and sends to some of them what it is told.
#[derive(Default)]
struct Speaker;

#[consumer]
impl Consumer for Speaker {
    fn groups(&self, scope: &Scope) -> Vec<String> {
        scope.path().trim_matches('/').split('/').map(str::to_owned).collect()
    }

    async fn receive(&mut self, cx: &mut Context, Json((kind, to)): Json<(String, Vec<String>)>) -> Result<()> {
        let mut send = cx.group_send(&to[0], event!({"type": kind})).except(cx.channel_name());
        for group in &to[1..] {
            send = send.to(group);
        }
        let GroupReport { delivered, full, .. } = send.report().await?;
        cx.send(format!("{delivered} {full}"))?;
        Ok(())
    }

    #[handler]
    async fn told(&mut self, cx: &mut Context, _: &RawEvent) -> Result<()> {
        cx.send("told")?;
        Ok(())
    }

    #[handler("shown")]
    fn shown(_: &RawEvent) -> Result<Message> {
        Ok("shown".into())
    }

    #[handler]
    async fn end(&mut self, cx: &mut Context, _: &RawEvent) -> Result<()> {
        cx.send("end")?;
        Ok(())
    }
}

async fn served(threads: usize) -> (Served, Layer) {
    let layers = Layers::default();
    let layer = layers.get("default").unwrap().clone();
    let app = ProtocolTypeRouter::new().websocket(Speaker::default);
    (serve(Server::new(app).layers(layers).workers(threads)), layer)
}

/// What a client was told until now.
async fn until_end(client: &mut Socket) -> Vec<String> {
    let mut said = Vec::new();
    loop {
        match client.text().await.as_str() {
            "end" => return said,
            text => said.push(text.to_owned()),
        }
    }
}

#[tokio::test]
async fn everybody_is_reached_once_but_the_one_who_is_left_out() {
    for threads in [1, 3] {
        let (served, layer) = served(threads).await;
        let mut speaker = served.connect("/room/hall").await;
        let mut others = Vec::new();
        for path in ["/room", "/room/hall", "/hall", "/garden", "/room", "/garden/room/hall"] {
            others.push(served.connect(path).await);
        }
        for kind in ["told", "shown"] {
            speaker.send(format!(r#"["{kind}", ["room"]]"#)).await;
            assert_eq!(speaker.text().await, "4 0");
            speaker.send(format!(r#"["{kind}", ["room", "hall", "room", "nowhere"]]"#)).await;
            assert_eq!(speaker.text().await, "5 0");
        }
        let end = layer.group_send("room", event!({"type": "end"})).to("hall").to("garden").report().await.unwrap();
        assert_eq!(end.delivered, 7);
        assert_eq!(until_end(&mut speaker).await.len(), 0, "the sender is left out");
        for (client, sends) in others.iter_mut().zip([2, 2, 1, 0, 2, 2]) {
            let said = until_end(client).await;
            let once = |kind: &str| said.iter().filter(|text| *text == kind).count();
            assert_eq!((once("told"), once("shown")), (sends, sends));
        }
        served.stop().await;
    }
}

#[channels::test]
async fn named_channels_are_left_out_and_reached_once_as_connections_are() {
    let layers = Layers::default();
    let layer = layers.get("default").unwrap();
    let (mine, other) = (layer.new_channel().await.unwrap(), layer.new_channel().await.unwrap());
    for group in ["room", "hall"] {
        layer.group_add(group, &mine).await.unwrap();
        layer.group_add(group, &other).await.unwrap();
    }
    let mut client = WebsocketCommunicator::new(Speaker::default, "/room/hall").layers(layers.clone());
    client.connect().await.unwrap();

    let report = layer.group_send("room", event!({"type": "told"})).to("hall").except(&mine).report().await.unwrap();
    assert_eq!(report.delivered, 2);
    assert!(layer.receive(&mine).now_or_never().is_none());
    assert_eq!(within(layer.receive(&other)).await.unwrap().name(), "told");
    assert!(layer.receive(&other).now_or_never().is_none());
    assert_eq!(client.receive_text_from().await.unwrap(), "told");
    assert!(client.receive_nothing().await);
    client.disconnect(1000).await.unwrap();
}

#[channels::test]
async fn a_channel_that_is_gone_or_of_another_process_leaves_nobody_out() {
    let layers = Layers::default();
    let layer = layers.get("default").unwrap();
    let connect = async || {
        let mut client = WebsocketCommunicator::new(Speaker::default, "/room").layers(layers.clone());
        client.connect().await.unwrap();
        client
    };
    let first = connect().await;
    let gone = layer.group_channels("room").await.unwrap().remove(0);
    first.vanish().await.unwrap();
    // It takes the place that the first one had.
    let mut second = connect().await;
    let report =
        layer.group_send("room", event!({"type": "told"})).except(&gone).except("specific.x!1.2.3").report().await;
    assert_eq!(report.unwrap().delivered, 1);
    assert_eq!(second.receive_text_from().await.unwrap(), "told");
    second.disconnect(1000).await.unwrap();
}

#[channels::test]
async fn a_wrong_name_in_an_audience_is_the_error_of_the_send() {
    let layers = Layers::default();
    let layer = layers.get("default").unwrap();
    let told = || event!({"type": "told"});
    for (error, named) in [
        (layer.group_send("no group", told()).to("either, or").await.unwrap_err(), "no group"),
        (layer.group_send("room", told()).to("no group").except("no channel").await.unwrap_err(), "no group"),
        (layer.group_send("room", told()).except("no channel").await.unwrap_err(), "no channel"),
        (layer.group_send("room", event!({"type": "_told"})).to("hall").await.unwrap_err(), "_told"),
    ] {
        assert!(matches!(error, LayerError::Name(_) | LayerError::Event(_)));
        assert!(error.to_string().contains(&format!("`{named}`")), "{error}");
    }
}

#[test]
fn a_group_send_may_be_awaited_on_any_thread() {
    let layers = Layers::default();
    let layer = layers.get("default").unwrap().clone();
    let sent = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let send = async move { layer.group_send("room", event!({"type": "told"})).to("hall").report().await };
        runtime.block_on(runtime.spawn(send)).unwrap()
    });
    assert_eq!(sent.join().unwrap().unwrap(), GroupReport::default());
}

#[test]
fn an_audience_says_whether_it_is_a_whole_group() {
    let group = channels::GroupName::new("room").unwrap();
    let audience = Audience::from(&group);
    assert_eq!(audience.whole_group(), Some(&group));
    assert_eq!(audience.groups().collect::<Vec<_>>(), [&group]);
    assert!(audience.except().is_empty());
}
