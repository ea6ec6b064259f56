//! The command `channels send`, and those who hear of it.

use std::process::Command;

use channels::{
    Layer,
    layer::redis::{RedisLayer, RedisOptions},
    prelude::*,
};

use super::server::{prefix, shared};
use crate::support::within;

fn channels(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_channels")).args(arguments).output().expect("it is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

#[tokio::test]
async fn what_a_shell_sends_reaches_a_group_and_a_channel_of_another_process() {
    let (prefix, [host, _]) = (prefix(), shared());
    let layer = Layer::new(RedisLayer::new(RedisOptions::hosts([host.as_str()]).prefix(&prefix)).unwrap());
    let mine = layer.new_channel().await.unwrap();
    layer.group_add("news", &mine).await.unwrap();
    let url = format!("{host}/?prefix={prefix}");

    let said = channels(&["send", &url, "news", r#"{"type": "news.flash", "text": "rain"}"#]);
    assert_eq!(said.trim_end(), "delivered: 0, full: 0, expired: 0, handed to processes: 1");
    let event = within(layer.receive(&mine)).await.unwrap();
    assert_eq!(event.decode::<RawEvent>().unwrap()["text"], "rain");

    assert_eq!(channels(&["send", "--channel", &url, &mine, r#"{"type": "told"}"#]).trim_end(), "sent");
    assert_eq!(within(layer.receive(&mine)).await.unwrap().name(), "told");
}
