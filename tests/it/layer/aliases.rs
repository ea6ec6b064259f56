//! Layers by their aliases.

use std::error::Error;

use channels::{
    ConfigError, InMemoryChannelLayer,
    prelude::*,
    testing::{TestError, WebsocketCommunicator},
};

use super::{NOTHING, SECOND, dropped, numbered, waiting};
use crate::support::within;

// test_layers: config_instance, override_settings. There layers are made from global settings, once; here an application
// is given its layers, so a test gives it others.
#[tokio::test]
async fn layers_are_told_apart_by_alias_and_share_nothing() {
    let tuned = InMemoryChannelLayer::default().expiry(SECOND * 100_500).capacity(1);
    let layers = Layers::default().with("telemetry", tuned);
    let (default, telemetry) = (layers.get("default").unwrap(), layers.get("telemetry").unwrap());
    assert_eq!(layers.aliases().collect::<Vec<_>>(), ["default", "telemetry"]);
    assert_eq!(telemetry.get_ref().hub().limits().expiry, SECOND * 100_500);
    assert_eq!(default.get_ref().hub().limits().expiry, SECOND * 60);
    default.send("a", numbered(1)).await.unwrap();
    telemetry.send("a", numbered(2)).await.unwrap();
    telemetry.send("a", numbered(3)).await.unwrap_err();
    assert_eq!(waiting(layers.get("default").unwrap(), "a").await, [1]);
    assert_eq!(waiting(telemetry, "a").await, [2]);
    assert_eq!((default.dropped(), telemetry.dropped()), (dropped(0, 0, 0), dropped(1, 0, 0)));

    let other = Layers::default();
    default.send("a", numbered(4)).await.unwrap();
    assert_eq!(waiting(other.get("default").unwrap(), "a").await, NOTHING);
    let error = layers.get("billing").unwrap_err();
    assert_eq!(error.to_string(), "no channel layer has the alias `billing` (there are: default, telemetry)");
}

struct Telemetry;

#[consumer]
impl Consumer for Telemetry {
    const LAYER: &'static str = "telemetry";
}

// test_layers: config_error, backend_import_error_not_hidden. A layer is a value, so what can be wrong is its alias.
#[channels::actix_web::test]
async fn a_consumer_that_names_an_unknown_layer_is_found_before_the_first_request() {
    let routes = URLRouter::new([path("ws/", URLRouter::new([path("<int:id>/", || Telemetry)]).unwrap())]).unwrap();
    let app = ProtocolTypeRouter::new().websocket(routes);
    let Err(error) = Server::new(app.clone()).mount() else { panic!("the layer is missing") };
    assert_eq!(error.to_string(), "route `websocket ws/ <int:id>/`: consumer `it::layer::aliases::Telemetry`");
    let cause = error.source().unwrap().to_string();
    assert_eq!(cause, "no channel layer has the alias `telemetry` (there are: default)");
    assert!(matches!(error, ConfigError::Layer { .. }));

    let listening = Server::new(app.clone()).bind("127.0.0.1:0").unwrap();
    assert!(matches!(within(listening.run()).await, Err(ConfigError::Layer { .. })));
    let error = WebsocketCommunicator::new(|| Telemetry, "/").connect().await.unwrap_err();
    assert!(matches!(&error, TestError::Setup(why) if *why == cause), "{error}");

    let layers = Layers::default().with("telemetry", InMemoryChannelLayer::default());
    assert!(Server::new(app).layers(layers).mount().is_ok());
}
