//! The example `auth`, as somebody with a browser meets it.

#[path = "../../examples/auth/app/mod.rs"]
mod app;

use tokio_tungstenite::tungstenite::http::StatusCode;

use crate::{
    support::{Served, Socket, serve},
    visitor::Visitor,
};

/// The socket of the page.
async fn socket(visitor: &mut Visitor, served: &Served) -> Result<Socket, StatusCode> {
    let origin = format!("http://{}", served.address);
    visitor.socket_with(served, "/ws/", &[("origin", &origin)]).await
}

#[tokio::test]
async fn people_register_log_in_are_greeted_talk_and_log_out() {
    let served = serve(app::server(channels::Layer::from_url("memory://").unwrap()).unwrap().workers(2));
    let home = served.address;
    let (mut ann, mut bob) = (Visitor::default(), Visitor::default());

    assert!(ann.get(home, "/").await.body.contains("Hello, stranger"));
    assert_eq!(socket(&mut ann, &served).await.err(), Some(StatusCode::UNAUTHORIZED));

    let short = ann.post(home, "/register", "name=ann&password=short").await;
    assert_eq!((short.status, short.body.contains("at least 8 characters")), (400, true));
    assert_eq!(ann.post(home, "/register", "name=<b>&password=long+enough").await.status, 400);
    let registered = ann.post(home, "/register", "name=ann&password=correct+horse").await;
    assert_eq!((registered.status, registered.header("location")), (303, Some("/")));
    let cookie = registered.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    assert!(ann.get(home, "/").await.body.contains(r#"Hello, <span id="name">ann</span>"#));
    assert_eq!(bob.post(home, "/register", "name=ann&password=long+enough").await.status, 400);

    // From another window, or another machine: by name and password.
    let mut again = Visitor::default();
    for wrong in ["name=ann&password=wrong+horse", "name=nobody&password=correct+horse"] {
        let refused = again.post(home, "/login", wrong).await;
        assert_eq!((refused.status, refused.body.contains("Wrong name or password.")), (403, true));
    }
    let reloaded = again.get(home, "/login").await;
    assert_eq!((reloaded.status, reloaded.header("location")), (303, Some("/")), "its address is no page");
    assert_eq!(again.post(home, "/login", "name=ann&password=correct+horse").await.status, 303);
    bob.post(home, "/register", "name=bob&password=battery+staple").await;

    let mut anns = socket(&mut ann, &served).await.unwrap();
    assert_eq!(anns.text().await, "Welcome, ann. Say something.");
    let mut elsewhere = socket(&mut again, &served).await.unwrap();
    assert_eq!(elsewhere.text().await, "Welcome, ann. Say something.");
    let mut bobs = socket(&mut bob, &served).await.unwrap();
    assert_eq!(bobs.text().await, "Welcome, bob. Say something.");
    bobs.send("hello").await;
    for socket in [&mut anns, &mut elsewhere, &mut bobs] {
        assert_eq!(socket.text().await, "bob: hello");
    }

    assert_eq!(ann.post(home, "/logout", "").await.status, 303);
    for socket in [&mut anns, &mut elsewhere] {
        assert_eq!(socket.closed().await, (4503, "logged out".to_owned()));
    }
    assert!(ann.get(home, "/").await.body.contains("Hello, stranger"));
    assert_eq!(socket(&mut ann, &served).await.err(), Some(StatusCode::UNAUTHORIZED));
    bobs.send("still here").await;
    assert_eq!(bobs.text().await, "bob: still here");
}

#[tokio::test]
async fn a_page_from_elsewhere_gets_no_socket_even_with_the_cookie() {
    let served = serve(app::server(channels::Layer::from_url("memory://").unwrap()).unwrap().workers(1));
    let mut ann = Visitor::default();
    ann.post(served.address, "/register", "name=ann&password=correct+horse").await;
    let from = [("origin", "https://evil.example")];
    assert_eq!(ann.socket_with(&served, "/ws/", &from).await.err(), Some(StatusCode::FORBIDDEN));
}
