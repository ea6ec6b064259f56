//! The page and its companions, within the program.

use channels::actix_web::{
    HttpResponse,
    web::{ServiceConfig, get},
};

pub(crate) fn serve(config: &mut ServiceConfig) {
    let files = [
        ("/", "text/html", include_str!("index.html")),
        ("/chat.css", "text/css", include_str!("chat.css")),
        ("/chat.js", "text/javascript", include_str!("chat.js")),
    ];
    for (path, kind, content) in files {
        let answer =
            move || async move { HttpResponse::Ok().content_type(format!("{kind}; charset=utf-8")).body(content) };
        config.route(path, get().to(answer));
    }
}
