//! Nothing stays on a broker for ever: every key that is made has an end.

use channels::{
    ChannelLayer, Layer, event,
    layer::redis::{RedisChannelLayer, RedisLayer, RedisOptions},
};
use redis::{Commands, Connection};

use super::{
    server::{prefix, shared},
    until_ready,
};
use crate::presence::guest;

async fn layer<L: ChannelLayer, E: std::fmt::Debug>(prefix: &str, make: fn(RedisOptions) -> Result<L, E>) -> Layer {
    let layer = Layer::new(make(RedisOptions::from(shared()[0].as_str()).prefix(prefix)).unwrap());
    until_ready(&layer, true).await;
    layer
}

/// Every key that begins so has an end; these are among them.
fn all_end(prefix: &str, wanted: &[String]) {
    let mut raw: Connection = redis::Client::open(shared()[0].as_str()).unwrap().get_connection().unwrap();
    let mut keys: Vec<String> = raw.keys(format!("{prefix}*")).unwrap();
    // Those of `t10` are not those of `t1`.
    keys.retain(|key| !key[prefix.len()..].starts_with(|next: char| next.is_ascii_digit()));
    for key in wanted {
        assert!(keys.contains(key), "{key} is not among {keys:?}");
    }
    for key in keys {
        let left: i64 = raw.pttl(&key).unwrap();
        // -2 is one that has ended meanwhile.
        assert!(left > 0 || left == -2, "{key} stays for ever");
    }
}

#[channels::actix_web::test]
async fn every_key_of_our_own_layer_has_an_end() {
    let prefix = prefix();
    let layer = layer(&prefix, RedisLayer::new).await;
    let _ada = guest(&layer, "who=ada&kind=phone").await;
    let mine = layer.new_channel().await.unwrap();
    for channel in [mine.as_str(), "work"] {
        layer.group_add("club", channel).await.unwrap();
    }
    layer.group_send("club", event!({"type": "numbered"})).await.unwrap();
    layer.send("queue", event!({"type": "numbered"})).await.unwrap();
    let node = layer.get_ref().hub().node();
    let rest = [":{club}:members", ":{club}:queues", "work", "queue"].map(|rest| format!("{prefix}{rest}"));
    let others = [format!("{prefix}:lease:{node}"), format!("{prefix}:{{room}}:presence")];
    all_end(&prefix, &[&rest[..], &others].concat());
}

#[tokio::test]
async fn every_key_of_the_core_layer_has_an_end() {
    let prefix = prefix();
    let layer = layer(&prefix, RedisChannelLayer::new).await;
    let mine = layer.new_channel().await.unwrap();
    for channel in [mine.as_str(), "work"] {
        layer.group_add("club", channel).await.unwrap();
    }
    layer.group_send("club", event!({"type": "numbered"})).await.unwrap();
    layer.send("queue", event!({"type": "numbered"})).await.unwrap();
    // Of a process that is gone, so that its mailbox is not read.
    layer.send("specific.gone!one", event!({"type": "numbered"})).await.unwrap();
    let rest = [":group:club", "work", "queue", "specific.gone!"].map(|rest| format!("{prefix}{rest}"));
    all_end(&prefix, &rest);
}
