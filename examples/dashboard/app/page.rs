//! The page and its companions, within the program.

use channels::actix_web::{
    HttpResponse,
    web::{ServiceConfig, get},
};

pub(super) fn serve(config: &mut ServiceConfig) {
    let files = [
        ("/", "text/html", include_str!("index.html")),
        ("/dashboard.css", "text/css", include_str!("dashboard.css")),
        ("/dashboard.js", "text/javascript", include_str!("dashboard.js")),
        ("/charts.js", "text/javascript", include_str!("charts.js")),
    ];
    for (path, kind, content) in files {
        let answer =
            move || async move { HttpResponse::Ok().content_type(format!("{kind}; charset=utf-8")).body(content) };
        config.route(path, get().to(answer));
    }
}
