//! Names are checked, and new ones are new.

use std::collections::HashSet;

use super::{Make, numbered, ready, small, waiting};
use crate::{LayerError, SendError};

/// New names are given once, and are those of channels in the process that asked.
pub async fn a_new_channel_has_a_name_of_its_own(make: Make) {
    let subject = ready(&make, small()).await;
    let mut names = HashSet::new();
    for layer in [&subject.near, &subject.far] {
        for _ in 0..50 {
            assert!(names.insert(layer.new_channel().await.expect("it can make one")), "a name is given once");
        }
    }
    let channel = subject.near.new_channel().await.expect("it can make one");
    subject.far.send(&channel, numbered(1)).await.expect("there is room");
    assert_eq!(waiting(&subject.far, &subject.near, &channel).await, [1]);
    // channels_redis test_core: reject_bad_client_prefix
    if subject.crosses() && !subject.broadcasts {
        assert!(matches!(subject.far.receive(&channel).await, Err(LayerError::Foreign { .. })));
    }
}

/// A name that is none is refused by each call, before anything is done.
pub async fn every_call_refuses_a_name_that_is_none_and_says_why(make: Make) {
    let layer = ready(&make, small()).await.near;
    let long = "x".repeat(100);
    let error = layer.send(long.as_str(), numbered(1)).await.expect_err("it is too long");
    assert_eq!(error.to_string(), format!("channel name `{long}` has 100 bytes; the most is 99"));
    for name in ["", "a b", "a!b!c", "!a", "x/y", "游", &long] {
        assert!(matches!(layer.send(name, numbered(1)).await, Err(SendError::Name(_))), "{name}");
        assert!(matches!(layer.receive(name).await, Err(LayerError::Name(_))), "{name}");
        assert!(matches!(layer.group_add("group", name).await, Err(LayerError::Name(_))), "{name}");
        assert!(matches!(layer.group_discard("group", name).await, Err(LayerError::Name(_))), "{name}");
    }
    for name in ["", "a b", "a!b", "x/y", &long] {
        assert!(matches!(layer.group_add(name, "channel").await, Err(LayerError::Name(_))), "{name}");
        assert!(matches!(layer.group_discard(name, "channel").await, Err(LayerError::Name(_))), "{name}");
        assert!(matches!(layer.group_send(name, numbered(1)).await, Err(LayerError::Name(_))), "{name}");
        assert!(matches!(layer.group_channels(name).await, Err(LayerError::Name(_))), "{name}");
        assert!(matches!(layer.group_size(name).await, Err(LayerError::Name(_))), "{name}");
    }
}
