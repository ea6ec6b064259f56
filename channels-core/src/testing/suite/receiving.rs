//! Several wait on a channel, and some give up.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Make, next, numbered, ready, within};
use crate::layer::Limits;

/// Each event goes to one of those who wait, in this process or another.
pub async fn those_who_wait_on_one_channel_share_its_events(make: Make) {
    const EVENTS: usize = 60;
    let subject = ready(&make, Limits::default()).await;
    if subject.broadcasts {
        return;
    }
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let receivers: Vec<_> = [&subject.near, &subject.near, &subject.far]
        .map(|layer| {
            let (layer, tell) = (layer.clone(), tell.clone());
            actix_rt::spawn(async move { while tell.send(next(&layer, "shared").await).is_ok() {} })
        })
        .into();
    for n in 0..EVENTS {
        within(async {
            while subject.far.send("shared", numbered(n)).await.is_err() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
    let mut all = Vec::new();
    for _ in 0..EVENTS {
        all.push(within(told.recv()).await.expect("they receive"));
    }
    receivers.iter().for_each(actix_rt::task::JoinHandle::abort);
    all.sort_unstable();
    assert!(all.into_iter().eq(0..EVENTS));
}

/// One who gives up, at whatever moment, takes nothing with it.
pub async fn cancelling_receive_at_any_moment_loses_and_doubles_nothing(make: Make) {
    const EVENTS: usize = 60;
    let subject = ready(&make, Limits::default()).await;
    let channel = super::delivery::channel(&subject, "test-channel-1").await;
    let (sender, to) = (subject.far.clone(), channel.clone());
    let sends = actix_rt::spawn(async move {
        for n in 0..EVENTS {
            sender.send(to.as_str(), numbered(n)).await.expect("there is room");
            sleep(Duration::from_millis(1)).await;
        }
    });
    let mut all = Vec::new();
    within(async {
        let mut patience = 0;
        while all.len() < EVENTS {
            patience = (patience + 130) % 2_900;
            // To give up at all moments is what this is about.
            if let Ok(n) = timeout(Duration::from_micros(patience), next(&subject.near, &channel)).await {
                all.push(n);
            }
        }
    })
    .await;
    within(sends).await.expect("it sends");
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..EVENTS), "{all:?}");
    assert!(super::waiting(&subject.far, &subject.near, &channel).await.is_empty());
}
