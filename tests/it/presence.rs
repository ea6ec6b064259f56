//! Who is here: with the macro, from outside, and when a server stops. What every layer promises is in the suite.

use channels::{
    InMemoryChannelLayer, Layer,
    prelude::*,
    presence::{Person, PresenceDiff, PresenceError},
    testing::WebsocketCommunicator,
};

use crate::support::{DEADLINE, Served, Socket, serve, within};

#[derive(Serialize, Deserialize, PartialEq, Clone, Debug)]
pub(crate) struct Device {
    pub(crate) kind: String,
}

/// One of `?who=` on a `?kind=`, which is told of each change as JSON.
#[derive(Default)]
pub(crate) struct Guest;

#[consumer]
impl Consumer for Guest {
    async fn connect(&mut self, cx: &mut Context) -> Result<()> {
        let who: String = cx.scope().query("who").unwrap_or_default();
        let kind: String = cx.scope().query("kind").unwrap_or_default();
        match who.as_str() {
            "" => cx.group_add("room").await?,
            _ => cx.presence("room").join(who, Device { kind }).await?,
        }
        Ok(())
    }

    async fn receive(&mut self, cx: &mut Context, Text(kind): Text) -> Result<()> {
        cx.presence("room").update(Device { kind: kind.to_string() }).await?;
        Ok(())
    }

    #[handler]
    fn presence_diff(diff: &PresenceDiff<Device>) -> Result<Message> {
        let came: Vec<_> = diff.came().map(|change| format!("+{}", change.who)).collect();
        let went: Vec<_> = diff.went().map(|change| format!("-{}", change.who)).collect();
        let updates: Vec<_> = diff.updates.iter().map(|change| format!("~{}", change.meta.kind)).collect();
        let more = diff.joins.len() + diff.leaves.len() - came.len() - went.len();
        Ok(Message::json(&([came, went, updates].concat(), more))?)
    }
}

pub(crate) async fn guest(layer: &Layer, query: &str) -> WebsocketCommunicator {
    let path = format!("/?{query}");
    let mut client = WebsocketCommunicator::new(Guest::default, &path).layers(layer.clone()).timeout(DEADLINE);
    assert!(client.connect().await.unwrap().accepted);
    client
}

pub(crate) async fn told(client: &mut WebsocketCommunicator) -> String {
    client.receive_text_from().await.unwrap()
}

/// Who is present, and on what.
pub(crate) async fn listed(layer: &Layer) -> Vec<(String, Vec<String>)> {
    let people: Vec<Person<Device>> = layer.presence("room").list().await.unwrap();
    let kinds = |person: &Person<Device>| {
        let mut kinds: Vec<_> = person.entries.iter().map(|entry| entry.meta.kind.clone()).collect();
        kinds.sort();
        kinds
    };
    people.into_iter().map(|person| (person.who.clone(), kinds(&person))).collect()
}

pub(crate) fn somebody(who: &str, kinds: &[&str]) -> (String, Vec<String>) {
    (who.to_owned(), kinds.iter().map(ToString::to_string).collect())
}

#[channels::test]
async fn a_handler_with_a_type_is_told_who_comes_and_goes() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let mut watcher = guest(&layer, "").await;
    let mut phone = guest(&layer, "who=ada&kind=phone").await;
    assert_eq!(told(&mut watcher).await, r#"[["+ada"],0]"#);
    let tablet = guest(&layer, "who=ada&kind=tablet").await;
    assert_eq!(told(&mut watcher).await, "[[],1]", "one more device is nobody new");
    phone.send_to("watch").await.unwrap();
    assert_eq!(told(&mut watcher).await, r#"[["~watch"],0]"#);
    assert_eq!(listed(&layer).await, [somebody("ada", &["tablet", "watch"])]);
    assert_eq!(layer.presence("room").count().await.unwrap(), 1);
    tablet.disconnect(1000).await.unwrap();
    assert_eq!(told(&mut watcher).await, "[[],1]");
    phone.disconnect(1000).await.unwrap();
    assert_eq!(told(&mut watcher).await, r#"[["-ada"],0]"#);
    assert!(listed(&layer).await.is_empty());
}

#[channels::test]
async fn metadata_of_another_type_is_an_error_that_names_its_owner() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let _ada = guest(&layer, "who=ada&kind=phone").await;
    let error = layer.presence("room").list::<u64>().await.unwrap_err();
    assert!(matches!(&error, PresenceError::Meta { who, .. } if who == "ada"), "{error}");
    assert_eq!(error.to_string(), "the metadata of `ada` is not of this type");
}

fn server(layer: &Layer) -> Served {
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/", Guest::default)]).unwrap());
    serve(Server::new(app).layers(layer.clone()))
}

async fn hears(socket: &mut Socket, expected: &str) {
    assert_eq!(socket.text().await, expected);
}

#[tokio::test]
async fn presence_ends_when_a_server_stops_and_when_a_client_is_lost() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let (stays, stops) = (server(&layer), server(&layer));
    let mut watcher = stays.connect("/ws/").await;
    let lost = stays.connect("/ws/?who=ada&kind=phone").await;
    hears(&mut watcher, r#"[["+ada"],0]"#).await;
    let drained = stops.connect("/ws/?who=bob&kind=phone").await;
    hears(&mut watcher, r#"[["+bob"],0]"#).await;
    assert_eq!(listed(&layer).await.len(), 2);
    drop(lost); // without a close frame
    hears(&mut watcher, r#"[["-ada"],0]"#).await;
    let stopped = stops.stop();
    drop(drained);
    hears(&mut watcher, r#"[["-bob"],0]"#).await;
    stopped.await;
    assert!(listed(&layer).await.is_empty());
}

#[test]
fn who_is_present_can_be_asked_from_a_thread_that_knows_nothing_of_actix() {
    let layer = Layer::new(InMemoryChannelLayer::default());
    let asks = layer.clone();
    channels::run(async move {
        let _ada = guest(&layer, "who=ada&kind=phone").await;
        let count = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(asks.presence("room").count()).unwrap()
        });
        assert_eq!(within(count).await.unwrap(), 1);
    });
}
