//! The pages, and the forms on them.

use actix_session::{Session, SessionMiddleware};
use channels::{
    actix_web::{
        Error, HttpResponse, Result,
        error::ErrorInternalServerError,
        http::{StatusCode, header},
        web::{self, Data, Form, ServiceConfig, get, post},
    },
    auth,
    prelude::{Deserialize, Layer},
};

use super::{
    store::MemoryStore,
    users::{User, Users},
};

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

pub(crate) fn serve(config: &mut ServiceConfig, sessions: SessionMiddleware<MemoryStore>, users: Users, layer: Layer) {
    let pages = web::scope("")
        .wrap(sessions)
        .app_data(Data::new(users))
        .app_data(Data::new(layer))
        .route("/", get().to(home))
        .route("/register", post().to(register))
        .route("/login", post().to(log_in))
        .route("/logout", post().to(log_out))
        // Who loads the answer to a form again, by its address.
        .route("/{form:register|login|logout}", get().to(async || to_home()));
    config.service(pages);
}

async fn home(session: Session, users: Data<Users>) -> Result<HttpResponse> {
    Ok(match auth::view::get_user(&session, &**users).await.map_err(internal)? {
        Some(user) => page(StatusCode::OK, &include_str!("member.html").replace("{name}", &user.name)),
        None => stranger(StatusCode::OK, ""),
    })
}

async fn register(session: Session, users: Data<Users>, form: Form<Credentials>) -> Result<HttpResponse> {
    let backend = users.clone();
    match web::block(move || backend.register(&form.name, &form.password)).await? {
        Ok(user) => welcome(&session, &users, &user),
        Err(why) => Ok(stranger(StatusCode::BAD_REQUEST, why)),
    }
}

async fn log_in(session: Session, users: Data<Users>, form: Form<Credentials>) -> Result<HttpResponse> {
    let backend = users.clone();
    match web::block(move || backend.check(&form.name, &form.password)).await? {
        Some(user) => welcome(&session, &users, &user),
        None => Ok(stranger(StatusCode::FORBIDDEN, "Wrong name or password.")),
    }
}

async fn log_out(session: Session, layer: Data<Layer>) -> Result<HttpResponse> {
    if let Some(id) = auth::view::logout(&session) {
        auth::disconnect_user(&layer, &id).await.map_err(ErrorInternalServerError)?;
    }
    Ok(to_home())
}

fn welcome(session: &Session, users: &Users, user: &User) -> Result<HttpResponse> {
    auth::view::login(session, users, user).map_err(internal)?;
    Ok(to_home())
}

fn to_home() -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, "/")).finish()
}

fn stranger(status: StatusCode, message: &str) -> HttpResponse {
    page(status, &include_str!("stranger.html").replace("{message}", message))
}

fn page(status: StatusCode, body: &str) -> HttpResponse {
    let html = include_str!("page.html").replace("{body}", body);
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(html)
}

fn internal(error: channels::Error) -> Error {
    ErrorInternalServerError(error.to_string())
}
