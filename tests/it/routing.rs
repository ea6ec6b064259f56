//! Which consumer a connection gets, and what the routers find in its path.

use std::{collections::BTreeMap, sync::Arc};

use channels::{
    ArgError, ChannelNameRouter, Demultiplexer, PatternError, Protocol,
    actix_web::{App, HttpResponse, http::StatusCode, test, web},
    prelude::*,
    routing::{Application, Endpoint, Outcome, RouteList},
};
use futures_util::future::LocalBoxFuture;

macro_rules! consumers {
    ($($name:ident)*) => {$(
        #[derive(Default)]
        struct $name;

        impl Consumer for $name {
            type Input = Message;
        }
    )*};
}

consumers!(One Two Three Four);

/// Where a scope was led: the consumer, and what the routers found.
#[derive(PartialEq, Debug)]
struct Found {
    consumer: String,
    args: Vec<String>,
    kwargs: BTreeMap<String, String>,
}

async fn lead(application: &impl Application, scope: Scope) -> Option<Found> {
    match application.call(scope).await {
        Outcome::Run(scope, endpoint) => {
            let consumer = endpoint.consumer().rsplit("::").next().unwrap_or_default().to_owned();
            let route = scope.url_route().clone();
            Some(Found { consumer, args: route.args, kwargs: route.kwargs.into_iter().collect() })
        }
        Outcome::NoRoute(scope) => {
            assert_eq!(scope.url_route(), &channels::UrlRoute::default(), "a miss leaves nothing behind");
            None
        }
        Outcome::Refuse(deny) => panic!("{deny}"),
    }
}

/// Where a WebSocket for this path is led.
async fn at(application: &impl Application, path: &str) -> Option<Found> {
    lead(application, Scope::websocket(path)).await
}

/// The same where the application is mounted under a root path.
async fn under(application: &impl Application, root: &str, path: &str) -> Option<Found> {
    lead(application, Scope::websocket(path).with_root_path(root)).await
}

/// This consumer, with these arguments.
fn to<const A: usize, const K: usize>(consumer: &str, args: [&str; A], kwargs: [(&str, &str); K]) -> Option<Found> {
    Some(Found {
        consumer: consumer.to_owned(),
        args: args.map(str::to_owned).to_vec(),
        kwargs: kwargs.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    })
}

fn plainly(consumer: &str) -> Option<Found> {
    to(consumer, [], [])
}

/// A middleware that hides what is in it.
struct Through<A>(A);

impl<A: Application> Application for Through<A> {
    fn serves(&self, scope: &mut Scope) -> bool {
        self.0.serves(scope)
    }

    fn call(&self, scope: Scope) -> LocalBoxFuture<'_, Outcome> {
        self.0.call(scope)
    }

    fn routes(&self, list: &mut RouteList) {
        self.0.routes(list);
    }
}

struct Open;

impl Middleware for Open {
    async fn before(&self, scope: Scope) -> Result<Scope, Deny> {
        Ok(scope)
    }
}

// test_routing: protocol_type_router. A scope without a type cannot be written down here.
#[tokio::test]
async fn a_connection_is_led_by_its_kind() {
    let workers = ChannelNameRouter::new([("thumbnails", Two::default)]).unwrap();
    let app = ProtocolTypeRouter::new().websocket(One::default).channel(workers);
    assert_eq!(at(&app, "/").await, plainly("One"));
    assert_eq!(lead(&app, Scope::new(Protocol::Channel, "thumbnails")).await, plainly("Two"));

    let app = ProtocolTypeRouter::new().websocket(One::default);
    assert_eq!(lead(&app, Scope::new(Protocol::Channel, "thumbnails")).await, None);
    assert_eq!(lead(&app, Scope::new(Protocol::Http, "/")).await, None);
    assert_eq!(at(&ProtocolTypeRouter::new(), "/").await, None);
}

// test_routing: protocol_type_router, for HTTP, which is plain actix-web here
#[channels::actix_web::test]
async fn http_requests_are_led_to_plain_actix_web() {
    let app = ProtocolTypeRouter::new().websocket(One::default).http(|config| {
        config.route("/", web::get().to(|| async { HttpResponse::Ok().body("hello") }));
    });
    let service = test::init_service(App::new().configure(app.mount())).await;
    let response = test::call_service(&service, test::TestRequest::get().uri("/").to_request()).await;
    assert_eq!(test::read_body(response).await, "hello");
    let response = test::call_service(&service, test::TestRequest::get().uri("/no").to_request()).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

// test_routing: channel_name_router
#[tokio::test]
async fn a_workers_channel_is_led_by_its_name() {
    let router = ChannelNameRouter::new([("thumbnails", One::default)]).unwrap().with("mail", Two::default).unwrap();
    let channel = |name: &str| Scope::new(Protocol::Channel, name);
    assert_eq!(lead(&router, channel("thumbnails")).await, plainly("One"));
    assert_eq!(lead(&router, channel("mail")).await, plainly("Two"));
    assert_eq!(lead(&router, channel("chat")).await, None);
    assert_eq!(lead(&router, channel("")).await, None);
    assert_eq!(lead(&router, Scope::websocket("thumbnails")).await, None);

    let error = ChannelNameRouter::new([("two words", One::default)]).unwrap_err();
    assert!(error.to_string().contains("' ' at byte 3"), "{error}");
    let error = ChannelNameRouter::new([("mail", One::default), ("mail", One::default)]).unwrap_err();
    assert_eq!(error.to_string(), "channel name `mail` is in the router already");
    assert!(router.with("mail", Three::default).is_err());
}

// test_routing: url_router, url_router_path
#[tokio::test]
async fn the_first_route_that_fits_is_taken() {
    let router = URLRouter::new([
        path("", One::default),
        path("foo/", Two::default),
        re_path("bar", Three::default),
        re_path("^foo/$", Four::default),
        path("foo/bar/", Four::default),
    ])
    .unwrap();
    assert_eq!(at(&router, "/").await, plainly("One"));
    assert_eq!(at(&router, "/foo/").await, plainly("Two"));
    assert_eq!(at(&router, "/bar/").await, plainly("Three"));
    // Without `^` and `$` an expression is found anywhere.
    assert_eq!(at(&router, "/bar/baz/").await, plainly("Three"));
    assert_eq!(at(&router, "/foo/bar/").await, plainly("Three"));

    for unknown in ["/nonexistent/", "/foo", "/foo/x", "/FOO/", "/x/foo/"] {
        assert_eq!(at(&router, unknown).await, None, "{unknown}");
    }
}

// test_routing: url_router
#[tokio::test]
async fn groups_of_an_expression_become_arguments() {
    let router = URLRouter::new([
        re_path(r"^posarg/(\d+)/$", One::default),
        re_path(r"^two/(\w+)/(\w+)/$", One::default),
        re_path(r"^named/(?P<name>\w+)/$", Two::default),
        re_path(r"^mixed/(?P<name>\w+)/(\w+)/$", Three::default),
        re_path(r"^maybe/(?:(\d+)/)?(\w+)/$", Four::default),
        re_path(r"^perhaps/(?:(?P<page>\d+)/)?$", Four::default),
    ])
    .unwrap();
    assert_eq!(at(&router, "/posarg/123/").await, to("One", ["123"], []));
    assert_eq!(at(&router, "/posarg/456/").await, to("One", ["456"], []));
    assert_eq!(at(&router, "/posarg/x/").await, None);
    assert_eq!(at(&router, "/two/a/b/").await, to("One", ["a", "b"], []));
    assert_eq!(at(&router, "/named/hello/").await, to("Two", [], [("name", "hello")]));
    // Where groups have names, those without do not count, as in Django.
    assert_eq!(at(&router, "/mixed/a/b/").await, to("Three", [], [("name", "a")]));
    // A group that takes no part is empty, so that the others keep their places; a named one is not there.
    assert_eq!(at(&router, "/maybe/7/a/").await, to("Four", ["7", "a"], []));
    assert_eq!(at(&router, "/maybe/a/").await, to("Four", ["", "a"], []));
    assert_eq!(at(&router, "/perhaps/7/").await, to("Four", [], [("page", "7")]));
    assert_eq!(at(&router, "/perhaps/").await, plainly("Four"));
}

// test_routing: url_router (default kwargs)
#[tokio::test]
async fn a_default_argument_stands_where_the_path_names_none() {
    let router = URLRouter::new([
        path("kwarg/<str:name>/", One::default),
        path("default/", Two::default).kwarg("page", 42).kwarg("order", "new"),
        re_path(r"^pages/(?:(?P<page>\d+)/)?$", Three::default).kwarg("page", 1),
    ])
    .unwrap();
    assert_eq!(at(&router, "/kwarg/hello/").await, to("One", [], [("name", "hello")]));
    assert_eq!(at(&router, "/default/").await, to("Two", [], [("page", "42"), ("order", "new")]));
    assert_eq!(at(&router, "/pages/").await, to("Three", [], [("page", "1")]));
    assert_eq!(at(&router, "/pages/7/").await, to("Three", [], [("page", "7")]));
}

// test_routing: url_router (root_path)
#[tokio::test]
async fn the_root_path_is_stripped_and_what_is_outside_of_it_has_no_route() {
    let router = URLRouter::new([path("", One::default), path("foo/", Two::default)]).unwrap();
    for root in ["/root", "/root/"] {
        assert_eq!(under(&router, root, "/root/").await, plainly("One"), "{root}");
        assert_eq!(under(&router, root, "/root/foo/").await, plainly("Two"), "{root}");
        assert_eq!(under(&router, root, "/").await, None, "{root}");
        assert_eq!(under(&router, root, "/foo/").await, None, "{root}");
        assert_eq!(under(&router, root, "/rootfoo/").await, None, "{root}");
        assert_eq!(under(&router, root, "/root/root/foo/").await, None, "{root}");
    }
    assert_eq!(under(&router, "/root", "/root").await, plainly("One"));
    assert_eq!(under(&router, "/a/b", "/a/b/foo/").await, plainly("Two"));
    // Both are compared decoded.
    assert_eq!(under(&router, "/café", "/caf%C3%A9/foo/").await, plainly("Two"));
}

// test_routing: url_router (root_path)
#[channels::actix_web::test]
async fn the_place_where_an_application_is_mounted_is_its_root_path() {
    let app = ProtocolTypeRouter::new().websocket(URLRouter::new([path("ws/<name>/", One::default)]).unwrap());
    let app = App::new().service(web::scope("/site/{tenant}").configure(app.mount()));
    let service = test::init_service(app).await;
    let mut statuses = Vec::new();
    let there =
        ["/site/a/ws/x/", "/site/caf%C3%A9/ws/x/", "/site/a+b%2Bc%20d%2525/ws/x%2By/", "http://a.b/site/a/ws/x/"];
    for path in there.into_iter().chain(["/site/a/site/a/ws/x/"]) {
        let request = test::TestRequest::get()
            .uri(path)
            .insert_header(("Connection", "Upgrade"))
            .insert_header(("Upgrade", "websocket"))
            .insert_header(("Sec-WebSocket-Version", "13"))
            .insert_header(("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="));
        statuses.push(test::call_service(&service, request.to_request()).await.status().as_u16());
    }
    assert_eq!(statuses, [101, 101, 101, 101, 404]);
}

// test_routing: url_router_nesting
#[tokio::test]
async fn nested_routers_add_up_their_arguments() {
    let inner = Arc::new(
        URLRouter::new([
            re_path(r"^book/(?P<book>[\w\-]+)/page/(?P<page>\d+)/$", One::default),
            re_path(r"^test/(\d+)/$", Two::default),
        ])
        .unwrap(),
    );
    let outer = URLRouter::new([
        re_path(r"^universe/(?P<universe>\d+)/author/(?P<author>\w+)/", inner.clone()),
        re_path(r"^positional/(\w+)/", inner),
    ])
    .unwrap();
    assert_eq!(
        at(&outer, "/universe/42/author/andrewgodwin/book/channels-guide/page/10/").await,
        to("One", [], [("universe", "42"), ("author", "andrewgodwin"), ("book", "channels-guide"), ("page", "10")])
    );
    assert_eq!(at(&outer, "/positional/foo/test/3/").await, to("Two", ["foo", "3"], []));
}

// test_routing: url_router_nesting
#[tokio::test]
async fn an_inner_argument_stands_over_an_outer_one_of_its_name() {
    let inner = URLRouter::new([
        path("<int:id>/", One::default),
        path("none/", Two::default),
        path("default/", Three::default).kwarg("id", "of the inner route"),
    ])
    .unwrap();
    let outer = URLRouter::new([path("<int:id>/", inner).kwarg("page", 1)]).unwrap();
    assert_eq!(at(&outer, "/1/2/").await, to("One", [], [("id", "2"), ("page", "1")]));
    assert_eq!(at(&outer, "/1/none/").await, to("Two", [], [("id", "1"), ("page", "1")]));
    assert_eq!(at(&outer, "/1/default/").await, to("Three", [], [("id", "of the inner route"), ("page", "1")]));
}

// test_routing: url_router_nesting_path
#[tokio::test]
async fn routers_nest_through_middleware() {
    let inner = Arc::new(URLRouter::new([path("test/<int:page>/", One::default)]).unwrap());
    let outer = URLRouter::new([path("number/<int:number>/", Through(Through(inner.clone())))]).unwrap();
    assert_eq!(at(&inner, "/test/3/").await, to("One", [], [("page", "3")]));
    assert_eq!(at(&outer, "/number/42/test/3/").await, to("One", [], [("number", "42"), ("page", "3")]));
    assert_eq!(at(&outer, "/number/42/test/3/bla/").await, None);
    assert_eq!(at(&outer, "/number/42/blub/").await, None);
    assert_eq!(at(&outer, "/number/42/").await, None);

    // A consumer behind a middleware is the end of the path all the same.
    let router = URLRouter::new([path("foo/", Through(Endpoint::new(One::default)))]).unwrap();
    assert_eq!(at(&router, "/foo/").await, plainly("One"));
    assert_eq!(at(&router, "/foo/bar/").await, None);
}

// test_routing: url_router_path, url_router_nesting_path (typed values)
#[tokio::test]
async fn a_segment_takes_what_its_converter_names_and_no_more() {
    let router = URLRouter::new([
        path("author/<name>/", One::default),
        path("year/<int:year>/", One::default),
        path("slug/<slug:slug>/", One::default),
        path("uuid/<uuid:id>/", One::default),
        path("tree/<path:rest>", One::default),
        path("all/<str:a>/<int:b>/", One::default),
    ])
    .unwrap();
    let uuid = "075194d3-6885-417e-a8a8-6c931e272f00";
    assert_eq!(at(&router, "/author/andrewgodwin/").await, to("One", [], [("name", "andrewgodwin")]));
    assert_eq!(at(&router, "/author/a%20b%E8%AF%BB/").await, to("One", [], [("name", "a b读")]));
    assert_eq!(at(&router, "/year/2012/").await, to("One", [], [("year", "2012")]));
    assert_eq!(at(&router, "/slug/a-b_1/").await, to("One", [], [("slug", "a-b_1")]));
    assert_eq!(at(&router, &format!("/uuid/{uuid}/")).await, to("One", [], [("id", uuid)]));
    assert_eq!(at(&router, "/tree/a/b//c.txt").await, to("One", [], [("rest", "a/b//c.txt")]));
    assert_eq!(at(&router, "/all/x/7/").await, to("One", [], [("a", "x"), ("b", "7")]));
    for wrong in ["/author//", "/author/a/b/", "/year/x/", "/year/-1/", "/slug/a b/", "/uuid/075194d3/", "/tree/"] {
        assert_eq!(at(&router, wrong).await, None, "{wrong}");
    }
}

// test_routing: url_router_nesting_path, url_router_path (Django's converters make the value; here the one who asks does)
#[tokio::test]
async fn arguments_are_given_the_type_that_is_asked_for() {
    #[derive(Deserialize, PartialEq, Debug)]
    struct Args {
        number: u32,
        page: u8,
        name: String,
    }

    let inner = URLRouter::new([path("test/<int:page>/<name>/", One::default)]).unwrap();
    let outer = URLRouter::new([path("number/<int:number>/", inner)]).unwrap();
    let Outcome::Run(scope, _) = outer.call(Scope::websocket("/number/42/test/3/x%26y=1/")).await else { panic!() };
    assert_eq!(scope.kwarg_as::<u32>("number"), Ok(42));
    assert_eq!(scope.kwargs::<Args>(), Ok(Args { number: 42, page: 3, name: "x&y=1".to_owned() }));

    let Outcome::Run(scope, _) = outer.call(Scope::websocket("/number/42/test/300/x/")).await else { panic!() };
    let error = scope.kwarg_as::<u8>("page").unwrap_err();
    assert_eq!(error.to_string(), "argument `page` is `300`: number too large to fit in target type");
    assert!(matches!(scope.kwargs::<Args>(), Err(ArgError::Invalid { .. })));
    let error = scope.kwarg("room").unwrap_err();
    assert_eq!(error.to_string(), "the route has no argument `room` (it has: number, page, name)");

    let router = URLRouter::new([re_path(r"^(\d+)/(\w+)/$", One::default)]).unwrap();
    let Outcome::Run(scope, _) = router.call(Scope::websocket("/7/x/")).await else { panic!() };
    assert_eq!((scope.arg::<u8>(0), scope.arg::<String>(1)), (Ok(7), Ok("x".to_owned())));
    assert_eq!(scope.arg::<u8>(2).unwrap_err().to_string(), "the route has no argument `2` (it has: 2 unnamed)");
}

// test_routing: path_remaining
#[tokio::test]
async fn a_miss_in_a_nested_router_falls_back_to_the_next_outer_route() {
    let inner = URLRouter::new([path("no-match/", One::default)]).unwrap();
    let outer = URLRouter::new([path("<str:lost>/", inner).kwarg("lost", 1), path("prefix/stuff/", Two::default)]);
    let outermost = URLRouter::new([path("", outer.unwrap())]).unwrap();
    // What the routes on the wrong way found is forgotten with them.
    assert_eq!(at(&outermost, "/prefix/stuff/").await, plainly("Two"));
    assert_eq!(under(&outermost, "/root", "/root/prefix/stuff/").await, plainly("Two"));
    assert_eq!(under(&outermost, "/root", "/root/root/prefix/stuff/").await, None);
    assert_eq!(under(&outermost, "/root", "/root/prefix/root/stuff/").await, None);
}

// test_routing: path_remaining
#[tokio::test]
async fn what_remains_of_the_path_starts_without_a_slash() {
    let inner = || URLRouter::new([path("b/", One::default)]).unwrap();
    let outer = URLRouter::new([path("a", inner()), re_path("^x", inner())]).unwrap();
    assert_eq!(at(&outer, "/a/b/").await, plainly("One"));
    assert_eq!(at(&outer, "/x/b/").await, plainly("One"));
}

// test_routing: url_router_nesting
#[tokio::test]
async fn a_nested_router_with_one_empty_route_still_gets_what_follows() {
    let inner = URLRouter::new([re_path("", One::default)]).unwrap();
    let outer = URLRouter::new([path("a/", inner)]).unwrap();
    assert_eq!(at(&outer, "/a/").await, plainly("One"));
    assert_eq!(at(&outer, "/a/b/").await, plainly("One"));
}

// test_routing: invalid_routes. `include()` is not refused here but not there: routers nest as they are, and a route that
// leads to neither a consumer nor an application does not compile. What is left to refuse are patterns.
#[tokio::test]
async fn a_route_that_cannot_be_used_is_refused_with_its_place() {
    let refused = |route| URLRouter::new([path("", One::default), route]).unwrap_err();
    let error = refused(re_path(r"^ws/(?P<room>\w+/$", Two::default));
    assert_eq!(error.to_string(), r"route `^ws/(?P<room>\w+/$`: unclosed group (at byte 4: `(?P<room>\w+/$`)");
    let error = refused(path("ws/<number:id>/", Two::default));
    assert_eq!(
        error.to_string(),
        "route `ws/<number:id>/`: no converter `number`; there are int, path, slug, str, uuid (at byte 3: `<number:id>/`)"
    );
    let PatternError { pattern, at, .. } = refused(path("ws/<int:1d>/", Two::default));
    assert_eq!((pattern.as_str(), at), ("ws/<int:1d>/", 3));
}

#[tokio::test]
async fn a_pattern_that_is_never_found_is_refused_with_what_to_write() {
    let refused = |route| URLRouter::new([path("", One::default), route]).unwrap_err().to_string();
    let slash = "paths are matched without their leading `/`: leave it out";
    assert_eq!(refused(path("/ws/", Two::default)), format!("route `/ws/`: {slash} (at byte 0: `/ws/`)"));
    assert_eq!(refused(re_path("^/ws/$", Two::default)), format!("route `^/ws/$`: {slash} (at byte 1: `/ws/$`)"));
    assert_eq!(
        refused(path(r"^dj/(?P<room>\w+)/$", Two::default)),
        r"route `^dj/(?P<room>\w+)/$`: this is of a regular expression, and `path` takes it as it stands: use `re_path` (at byte 0: `^dj/(?P<room>\w+)/$`)"
    );
    assert_eq!(
        refused(re_path("ws/<int:id>/", Two::default)),
        "route `ws/<int:id>/`: `re_path` takes `<int:id>` as it stands: use `path`, or the group `(?P<id>…)` (at byte 3: `<int:id>/`)"
    );
}

#[tokio::test]
async fn a_route_that_is_never_reached_is_refused() {
    let refused = |first, second| {
        let error = URLRouter::new([path("", One::default), first, second]).unwrap_err();
        let text = "route 3 of the router is never reached, route 2 has the same pattern";
        assert_eq!(error.why, text);
        error.pattern
    };
    assert_eq!(refused(path("ws/", One::default), path("ws/", Two::default)), "ws/");
    assert_eq!(refused(re_path("^ws/$", One::default), re_path("^ws/$", Two::default)), "^ws/$");
    assert_eq!(refused(path("<room>/", One::default), path("<str:room>/", Two::default)), "<str:room>/");
    assert_eq!(refused(path("ws/", One::default), path("ws/", Through(Endpoint::new(Two::default)))), "ws/");
    let streams = Demultiplexer::new().stream("a", One::default);
    assert_eq!(refused(path("ws/", Arc::new(Open.wrap(streams))), path("ws/", Two::default)), "ws/");
    // The first refuses those who come by the second's transport.
    let poll = path("ws/", Two::default).transports([channels::Transport::LongPoll]);
    assert_eq!(refused(path("ws/", One::default), poll), "ws/");
    // An expression that leads to a consumer need not reach the end.
    let inner = || URLRouter::new([path("x/", Two::default)]).unwrap();
    assert_eq!(refused(re_path("^ws/", One::default), re_path("^ws/", inner())), "^ws/");
    assert_eq!(refused(re_path("^ws/", One::default), path("ws/", inner())), "ws/");
}

#[tokio::test]
async fn a_pattern_may_be_there_twice_where_the_second_route_is_reached() {
    let inner = |pattern| URLRouter::new([path(pattern, One::default)]).unwrap();
    let router = URLRouter::new([
        path("a/", inner("x/")),
        path("a/", inner("y/")),
        path("a/", Two::default),
        path("b/", Two::default),
        path("b/", inner("x/")),
        path("c/", Two::default),
        re_path("^c/", Three::default),
        path("d/", Through(Endpoint::new(One::default))),
        path("d/", Two::default),
    ])
    .unwrap();
    for (path, consumer) in [("/a/x/", "One"), ("/a/y/", "One"), ("/a/", "Two"), ("/b/", "Two"), ("/b/x/", "One")] {
        assert_eq!(at(&router, path).await, plainly(consumer), "{path}");
    }
    assert_eq!(at(&router, "/c/x").await, plainly("Three"));
}
