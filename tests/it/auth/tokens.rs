//! Tokens, and until when they hold.

use channels::{actix_web::http::StatusCode, auth};

use super::{House, asked};
use crate::visitor::Visitor;

#[tokio::test]
async fn tokens_come_by_the_authorization_header_or_by_a_subprotocol() {
    let house = House::new();
    let mut by_header = house.socket_with(&[("authorization", "bEARER ann:")]).await.unwrap();
    assert_eq!(asked(&mut by_header, "who").await, "ann");
    assert_eq!(asked(&mut by_header, "now").await, "ann");

    let mut by_protocol = house.socket_with(&[("sec-websocket-protocol", "chat.v1, bearer.ann:")]).await;
    // `:` is no character of a subprotocol's name; the server does not mind.
    let by_protocol = by_protocol.as_mut().unwrap();
    assert_eq!(asked(by_protocol, "who").await, "ann");
    assert_eq!(asked(by_protocol, "offered").await, r#"["chat.v1"] chat.v1"#);
}

#[tokio::test]
async fn strangers_are_refused_with_401_however_they_try() {
    let house = House::new();
    for headers in [
        &[][..],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer nobody:")],
        &[("authorization", "Bearer ann:0")],
        &[("authorization", "Basic ann:")],
        &[("sec-websocket-protocol", "chat, bearer.mallory")],
        &[("cookie", "id=forged")],
    ] {
        assert_eq!(house.socket_with(headers).await.err(), Some(StatusCode::UNAUTHORIZED), "{headers:?}");
    }
    let mut visitor = Visitor::default();
    let url = "/private/?token=ann:&access_token=ann:";
    assert_eq!(visitor.socket(&house.served, url).await.err().map(|status| status.as_u16()), Some(401));
    // A token that is refused is not made good by a session.
    house.page(&mut visitor, "/page/login/ann").await;
    let bad = [("authorization", "Bearer nobody:")];
    let refused = visitor.socket_with(&house.served, "/private/", &bad).await;
    assert_eq!(refused.err().map(|status| status.as_u16()), Some(401));
    // A backend that fails lets nobody in.
    assert_eq!(
        house.socket_with(&[("authorization", "Bearer trouble:")]).await.err(),
        Some(StatusCode::INTERNAL_SERVER_ERROR)
    );
}

#[tokio::test]
async fn a_token_in_the_first_message_lets_a_stranger_in() {
    let house = House::new();
    let mut socket = Visitor::default().socket(&house.served, "/ws/?expect=60000").await.unwrap();
    assert_eq!(asked(&mut socket, "token nobody:").await, "false");
    assert_eq!(asked(&mut socket, "who").await, "a stranger");
    assert_eq!(asked(&mut socket, "token ann:").await, "true");
    assert_eq!(asked(&mut socket, "who").await, "ann");
    auth::disconnect_user(&house.layer, "ann").await.unwrap();
    assert_eq!(socket.closed().await.0, 4503);
}

#[tokio::test]
async fn who_does_not_log_in_in_time_is_closed_with_4501_and_who_does_is_not() {
    let house = House::new();
    let mut silent = Visitor::default().socket(&house.served, "/ws/?expect=50").await.unwrap();
    assert_eq!(silent.closed().await, (4501, "nobody logged in in time".to_owned()));
    let mut quick = Visitor::default().socket(&house.served, "/ws/?expect=700").await.unwrap();
    assert_eq!(asked(&mut quick, "token ann:").await, "true");
    let mut later = Visitor::default().socket(&house.served, "/ws/?expect=900").await.unwrap();
    // The one whose time is over later is closed; the first has been spared by then.
    assert_eq!(later.closed().await.0, 4501);
    assert_eq!(asked(&mut quick, "who").await, "ann");
}

#[tokio::test]
async fn a_socket_whose_credentials_expire_is_closed_with_4501() {
    let house = House::new();
    let expired = (4501, "the credentials have expired".to_owned());
    let mut socket = house.socket_with(&[("authorization", "Bearer ann:2000")]).await.unwrap();
    assert_eq!(asked(&mut socket, "who").await, "ann");
    assert_eq!(socket.closed().await, expired);
    let mut socket = Visitor::default().socket(&house.served, "/ws/").await.unwrap();
    assert_eq!(asked(&mut socket, "token ann:300").await, "true");
    assert_eq!(socket.closed().await, expired);
}
