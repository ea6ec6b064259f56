//! The example `dashboard`: one sampler for all who look.

#[path = "../../examples/dashboard/app/mod.rs"]
mod app;

use std::{thread, time::Duration};

use channels::Layer;
use serde_json::Value;

use crate::support::{Served, Socket, serve, within};

/// The example, and its sampler on a thread of its own.
fn start(interval: Duration) -> Served {
    let (server, sampler) = app::server(Layer::from_url("memory://").unwrap()).unwrap();
    thread::spawn(move || channels::run(sampler.run(interval))); // to the end of the process
    serve(server.workers(2))
}

async fn sample(viewer: &mut Socket) -> Value {
    serde_json::from_str(&viewer.text().await).unwrap()
}

fn number(sample: &Value) -> u64 {
    sample["number"].as_u64().unwrap_or_else(|| panic!("no sample: {sample}"))
}

#[tokio::test]
async fn two_viewers_see_the_same_samples_of_one_sampler_with_the_servers_own_counts() {
    let served = start(Duration::from_millis(50));
    let (mut ann, mut bob) = (served.connect("/ws/").await, served.connect("/ws/").await);
    let mut first = sample(&mut ann).await;
    while first["connections"] != 2 {
        first = sample(&mut ann).await;
    }
    let mut same = sample(&mut bob).await;
    while number(&same) < number(&first) {
        same = sample(&mut bob).await;
    }
    for step in 0..5 {
        assert_eq!(first, same, "of one sampler");
        let before = number(&first);
        (first, same) = (sample(&mut ann).await, sample(&mut bob).await);
        assert_eq!(number(&first), before + 1, "at step {step}");
    }

    // What a viewer sends comes back, and is counted.
    for _ in 0..20 {
        bob.send("x").await;
    }
    within(async { while sample(&mut ann).await["inputs"].as_f64().unwrap() == 0.0 {} }).await;

    let machine = &first["machine"];
    let percents = machine["processors"].as_array().unwrap().iter().chain([&machine["own_cpu"]]);
    for percent in percents.map(|percent| percent.as_f64().unwrap()) {
        assert!((0.0..=100.0).contains(&percent), "{machine:#}");
    }
    let bytes = ["own_memory", "used_memory", "memory"].map(|of| machine[of].as_u64().unwrap());
    assert!(bytes[0] > 0 && bytes.is_sorted(), "{machine:#}");
}

#[tokio::test]
async fn a_newcomer_gets_what_is_known_and_nothing_is_sampled_while_nobody_looks() {
    let layer = Layer::from_url("memory://").unwrap();
    let (server, mut sampler) = app::server(layer.clone()).unwrap();
    let served = serve(server.workers(2));
    let viewers = async |many| within(async { while layer.group_size("viewers").await.unwrap() != many {} }).await;

    sampler.look().await.unwrap();
    let mut ann = served.connect("/ws/").await;
    for _ in 0..3 {
        sampler.look().await.unwrap(); // the first is what the second compares with
    }
    let mut bob = served.connect("/ws/").await;
    for number_of in [1, 2] {
        let (anns, bobs) = (sample(&mut ann).await, sample(&mut bob).await);
        assert_eq!((number(&anns), &anns), (number_of, &bobs));
    }

    drop((ann, bob));
    viewers(0).await;
    for _ in 0..10 {
        sampler.look().await.unwrap();
    }
    let mut carol = served.connect("/ws/").await;
    for _ in 0..2 {
        sampler.look().await.unwrap();
    }
    assert_eq!(number(&sample(&mut carol).await), 3, "no history of long ago, and no sample that nobody saw");
}

#[tokio::test]
async fn a_viewer_who_sends_too_much_is_closed_and_the_others_go_on() {
    let served = start(Duration::from_millis(20));
    let (mut ann, mut bob) = (served.connect("/ws/").await, served.connect("/ws/").await);
    bob.send("x".repeat(1_025)).await;
    let closed = within(async {
        loop {
            match bob.receive().await {
                tokio_tungstenite::tungstenite::Message::Close(close) => return close.unwrap().code,
                _ => continue,
            }
        }
    });
    assert_eq!(u16::from(closed.await), 1009);
    within(async { while sample(&mut ann).await["connections"] != 1 {} }).await;
}
