//! What a program knows of its consumers, and says when it starts.

use channels::{ConfigError, prelude::*, registry};

use crate::{logs, support::serve};

#[derive(Serialize, Deserialize, Event)]
#[event("registry.typed")]
struct Typed {}

struct Registered;

const LINE: u32 = line!() + 3;

#[consumer]
impl Consumer for Registered {
    async fn receive(&mut self, _: &mut Context, _: Json<Vec<u8>>) -> Result<()> {
        Ok(())
    }

    #[handler]
    async fn typed(&mut self, _: &mut Context, _: &Typed) -> Result<()> {
        Ok(())
    }

    #[handler("registry.named")]
    async fn named(&mut self, _: &mut Context, _: &RawEvent) -> Result<()> {
        Ok(())
    }

    #[handler]
    fn pure(_: &RawEvent) -> Result<Message> {
        Ok("".into())
    }
}

/// Has another layer than there is.
struct Elsewhere;

#[consumer]
impl Consumer for Elsewhere {
    const LAYER: &'static str = "elsewhere";
}

#[test]
fn the_registry_knows_each_consumer_with_its_input_its_handlers_and_their_lines() {
    let entry = registry().consumer("it::registry::Registered").expect("it is registered");
    assert_eq!((entry.file, entry.input), (file!(), "Json<Vec<u8>>"));
    assert_eq!(entry.line, LINE);
    let handlers: Vec<_> = entry.handlers.iter().map(|it| (it.event, it.method, it.payload, it.pure)).collect();
    let expected = [
        ("registry.typed", "typed", "Typed", false),
        ("registry.named", "named", "RawEvent", false),
        ("pure", "pure", "RawEvent", true),
    ];
    assert_eq!(handlers, expected);
    assert!(entry.handlers.iter().all(|handler| (LINE..LINE + 30).contains(&handler.line)));

    let names: Vec<_> = registry().consumers().map(|entry| entry.name).collect();
    assert!(names.is_sorted() && names.contains(&"it::registry::Elsewhere"), "{names:?}");
    assert_eq!(registry().consumer("it::registry::Typed"), None);
}

#[tokio::test]
async fn the_log_names_addresses_routes_consumers_and_events_at_the_start() {
    logs::keep();
    let rooms = URLRouter::new([path("<int:room>/", || Registered)]).unwrap();
    let routes = URLRouter::new([path("startup/", rooms), re_path("^last/$", || Registered)]).unwrap();
    let server = serve(Server::new(ProtocolTypeRouter::new().websocket(routes)));
    logs::wait_for(&["INFO", &format!("listening on http://{}/", server.address)]).await;
    let line = logs::wait_for(&["INFO", "serving", "startup/ <int:room>/"]).await;
    for part in ["consumer=it::registry::Registered", "layer=default", "registry.typed", "registry.named", "pure"] {
        assert!(line.contains(part), "{line}");
    }
    logs::wait_for(&["INFO", "serving", "^last/$", "it::registry::Registered"]).await;
}

#[test]
fn a_server_whose_consumer_names_a_layer_that_there_is_not_does_not_start() {
    let routes = URLRouter::new([path("ws/", || Elsewhere)]).unwrap();
    let server = Server::new(ProtocolTypeRouter::new().websocket(routes)).bind("127.0.0.1:0").unwrap();
    let error = channels::run(server.run_until(std::future::pending())).unwrap_err();
    let ConfigError::Layer { consumer, source, .. } = &error else { panic!("{error}") };
    assert_eq!(*consumer, "it::registry::Elsewhere");
    assert_eq!(source.to_string(), "no channel layer has the alias `elsewhere` (there are: default)");
}

#[test]
fn a_server_without_an_address_or_with_one_that_is_taken_does_not_start() {
    let server = || Server::new(ProtocolTypeRouter::new().websocket(|| Registered));
    let error = channels::run(server().run_until(std::future::pending())).unwrap_err();
    assert!(matches!(error, ConfigError::NoAddress), "{error}");

    let taken = server().bind("127.0.0.1:0").unwrap();
    let address = taken.addresses()[0];
    let Err(error) = server().bind(address) else { panic!("two servers on one address") };
    assert_eq!(error.to_string(), format!("cannot listen on {address}"));
}
