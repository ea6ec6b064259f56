//! The page, its two companions, and the clock that the page sets its own by.

use channels::actix_web::{
    HttpResponse,
    http::header,
    web::{Redirect, ServiceConfig, get},
};

use super::chat::now;

/// The page of this visitor. An id is hexadecimal: it may stand there as it is.
pub(super) fn of(visitor: &str) -> String {
    include_str!("index.html").replace("{visitor}", visitor)
}

pub(super) fn serve(config: &mut ServiceConfig) {
    let files = [
        ("/polling.css", "text/css", include_str!("polling.css")),
        ("/polling.js", "text/javascript", include_str!("polling.js")),
    ];
    for (path, kind, content) in files {
        let answer =
            move || async move { HttpResponse::Ok().content_type(format!("{kind}; charset=utf-8")).body(content) };
        config.route(path, get().to(answer));
    }
    let clock = async || HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(now());
    config.route("/clock/", get().to(clock));
    config.service(Redirect::new("/", "/home/"));
}
