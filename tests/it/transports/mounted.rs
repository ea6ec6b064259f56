//! Sessions in an actix-web application that exists, below a path, beside its own services.

use channels::{
    Transport::{EventStream, LongPoll, WebSocket},
    actix_web::{App, HttpResponse, HttpServer, web},
    prelude::*,
};

use super::client::{Client, Kind, request};
use crate::{echo::Echo, raw::Raw};

#[test]
fn every_transport_works_below_a_path_and_other_requests_go_on() {
    channels::run(async {
        let routes = URLRouter::new([re_path(r"^ws/(?P<room>\w+)/$", Echo::default).transports([
            WebSocket,
            EventStream,
            LongPoll,
        ])]);
        let mount =
            Server::new(ProtocolTypeRouter::new().websocket(routes.unwrap())).client("/channels.js").mount().unwrap();
        let theirs = || async { HttpResponse::Created().body("theirs") };
        let server = HttpServer::new(move || {
            App::new()
                .service(web::scope("/deep/down").configure(mount.clone()).route("/form/", web::post().to(theirs)))
                .route("/form/", web::post().to(theirs))
                .route("/script.js", web::get().to(channels::server::client_script))
        });
        let server = server.workers(2).bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        channels::actix_web::rt::spawn(server);

        for kind in [Kind::Plain, Kind::Socket, Kind::Stream, Kind::Poll] {
            let mut client = Client::open(kind, address, "/deep/down/ws/room/").await;
            for n in 0..20 {
                client.say(&n.to_string()).await;
            }
            for n in 0..20 {
                client.hears(n.to_string()).await;
            }
            client.close(1000, "").await;
        }
        for path in ["/form/", "/deep/down/form/"] {
            let mut raw = Raw::connect(address).await;
            raw.write(request("POST", path, "", "")).await;
            let response = raw.response().await;
            assert_eq!((response.status, &*response.body), (201, "theirs"));
        }
        for path in ["/script.js", "/deep/down/channels.js"] {
            let mut raw = Raw::connect(address).await;
            raw.write(request("GET", path, "", "")).await;
            let script = raw.response().await;
            assert_eq!(script.header("Content-Type"), Some("text/javascript; charset=utf-8"), "{path}");
            assert!(script.body.contains("ChannelsSocket"));
            let known = format!("If-None-Match: {}\r\n", script.header("ETag").expect("a tag"));
            raw.write(request("GET", path, &known, "")).await;
            assert_eq!(raw.response().await.status, 304);
        }
        handle.stop(false).await;
    });
}

#[test]
fn an_application_may_be_mounted_sixteen_parts_deep_and_long_paths_cost_no_more() {
    channels::run(async {
        let routes = URLRouter::new([path("ws/", Echo::default).transports([LongPoll])]);
        let mount = Server::new(ProtocolTypeRouter::new().websocket(routes.unwrap())).mount().unwrap();
        let [deep, too_deep] = [16, 17].map(|parts| "/part".repeat(parts));
        let scope = deep.clone();
        let server = HttpServer::new(move || {
            App::new()
                .service(web::scope(&scope).configure(mount.clone()))
                .default_service(web::to(HttpResponse::NotFound))
        });
        let server = server.workers(1).bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        channels::actix_web::rt::spawn(server);
        let mut client = Client::open(Kind::Poll, address, &format!("{deep}/ws/")).await;
        client.say("hello").await;
        client.hears("hello").await;
        for path in [format!("{too_deep}/ws/"), format!("{deep}{}", "/a".repeat(30_000))] {
            let mut raw = Raw::connect(address).await;
            raw.write(request("POST", &path, "", "")).await;
            assert_eq!(raw.response().await.status, 404);
        }
        handle.stop(false).await;
    });
}
