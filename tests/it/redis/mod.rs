//! The Redis layers: the suite of every layer, on a stub and on a real broker; Django; bad input; a broker that goes away.

mod addresses;
mod bad_input;
pub(crate) mod chatroom;
#[cfg(feature = "cli")]
mod command;
mod crowd;
mod django;
mod expiry;
mod failover;
mod kick;
mod lease;
mod node;
mod presence;
mod proxy;
mod refused;
pub(crate) mod server;
mod suite;
mod supervision;
mod worker;

use channels::Layer;

use crate::support::within;

/// Waits until the layer is ready, or is not.
pub(crate) async fn until_ready(layer: &Layer, ready: bool) {
    within(async {
        while layer.is_ready() != ready {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
}
