//! Routing by path.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use super::{Application, IntoApplication, Outcome, PatternError, RouteList, Transport, Transports, pattern::Pattern};
use crate::{Config, Scope, UrlRoute, scope::Served, server::Change};

/// One route: a pattern, and what it leads to. [`path`] and [`re_path`] make it.
#[must_use = "a route does nothing outside of a `URLRouter`"]
pub struct Route {
    pattern: Result<Pattern, PatternError>,
    kwargs: Vec<(String, String)>,
    change: Option<Change>,
    transports: Option<Transports>,
    application: Arc<dyn Application>,
}

impl Route {
    fn new(pattern: Result<Pattern, PatternError>, application: Arc<dyn Application>) -> Self {
        Self { pattern, kwargs: Vec::new(), change: None, transports: None, application }
    }

    /// The same route with other settings than the server's for what it leads to. Of nested routes the inner one has the
    /// last word.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Consumer, Message};
    /// # #[derive(Default)] struct UploadConsumer;
    /// # impl Consumer for UploadConsumer { type Input = Message; }
    /// use channels::path;
    ///
    /// let route = path("upload/", UploadConsumer::default).config(|config| config.max_message_size = 16 << 20);
    /// ```
    pub fn config(mut self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        self.change = Some(Arc::new(change));
        self
    }

    /// The same route, reached by these transports: the consumer is the same for all. Without it a route offers
    /// WebSocket alone. Of nested routes the inner one has the last word.
    ///
    /// All are served at the route's one path, and `channels.js` tries one after the other. A request by a transport that
    /// the route does not offer is answered with 405. What goes over the wire is on a page of the
    /// guide, `guide::reference::transports`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Consumer, Message};
    /// # #[derive(Default)] struct ChatConsumer;
    /// # impl Consumer for ChatConsumer { type Input = Message; }
    /// use channels::Transport::{EventStream, LongPoll, WebSocket};
    /// use channels::re_path;
    ///
    /// let route =
    ///     re_path(r"^ws/(?P<group>\w+)/$", ChatConsumer::default).transports([WebSocket, EventStream, LongPoll]);
    /// ```
    ///
    /// # Panics
    ///
    /// When there are none.
    #[track_caller]
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        let transports: Transports = transports.into_iter().collect();
        assert!(!transports.list().is_empty(), "a route without a transport cannot be reached");
        self.transports = Some(transports);
        self
    }

    /// The same route with this default argument, for when the pattern does not find one of that name.
    ///
    /// # Examples
    ///
    /// ```
    /// # use channels_core as channels;
    /// # use channels::{Consumer, Message};
    /// # #[derive(Default)] struct ChatConsumer;
    /// # impl Consumer for ChatConsumer { type Input = Message; }
    /// use channels::path;
    ///
    /// let route = path("lobby/", ChatConsumer::default).kwarg("room", "lobby");
    /// ```
    pub fn kwarg(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.kwargs.push((name.into(), value.to_string()));
        self
    }
}

/// A route by typed segments: `ws/<str:room>/`, without a leading slash. Django's `path`.
///
/// | converter | takes |
/// |---|---|
/// | `str` (also without a name: `<room>`) | anything but `/`, at least one character |
/// | `int` | digits |
/// | `slug` | ASCII letters, digits, `-`, `_` |
/// | `uuid` | `075194d3-6885-417e-a8a8-6c931e272f00`, lower case |
/// | `path` | anything, `/` too |
///
/// It leads to a function that makes a consumer (`ChatConsumer::default`, `|| ChatConsumer::new(db.clone())`), and then
/// matches the whole path; or to an application as a nested [`URLRouter`], which gets what follows.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message};
/// # #[derive(Default)] struct ChatConsumer;
/// # impl Consumer for ChatConsumer { type Input = Message; }
/// use channels::{URLRouter, path};
///
/// let rooms = URLRouter::new([path("<int:room>/", ChatConsumer::default)])?;
/// let router = URLRouter::new([path("chat/", rooms), path("lobby/", ChatConsumer::default).kwarg("room", 0)])?;
/// # Ok::<(), channels::PatternError>(())
/// ```
pub fn path<Kind>(pattern: &str, to: impl IntoApplication<Kind>) -> Route {
    Route::new(Pattern::segments(pattern), to.into_application())
}

/// A route by a regular expression: `^ws/(?P<room>\w+)/$`, without a leading slash. Django's `re_path`.
///
/// Named groups become `kwargs`; unnamed ones become `args` where there are no named ones. The syntax is that of the
/// [regex](https://docs.rs/regex/latest/regex/#syntax) crate: without look-around and back-references, and for that
/// linear in the length of the path, whatever a client sends. Like Django's, the expression is found anywhere in the
/// path unless it is anchored by `^` and `$`.
///
/// # Examples
///
/// ```
/// # use channels_core as channels;
/// # use channels::{Consumer, Message};
/// # #[derive(Default)] struct ChatConsumer;
/// # impl Consumer for ChatConsumer { type Input = Message; }
/// use channels::{URLRouter, re_path};
///
/// let router = URLRouter::new([re_path(r"^ws/(?P<group>\w+)/$", ChatConsumer::default)])?;
///
/// let error = URLRouter::new([re_path(r"^ws/(?P<group>\w+/$", ChatConsumer::default)]).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r"route `^ws/(?P<group>\w+/$`: unclosed group (at byte 4: `(?P<group>\w+/$`)"
/// );
/// # Ok::<(), channels::PatternError>(())
/// ```
pub fn re_path<Kind>(pattern: &str, to: impl IntoApplication<Kind>) -> Route {
    Route::new(Pattern::regex(pattern), to.into_application())
}

/// Chooses by the path: routes are tried in order, the first that fits runs. Channels' `URLRouter`.
///
/// Routers nest: a route may lead to another router, which gets what its pattern left of the path. When nothing fits
/// there, the outer router tries its next route. Arguments of outer and inner routes add up; an inner one stands over
/// an outer one of the same name, and both stand over a default.
///
/// # Untrusted input
///
/// The path is the client's, percent-decoded. A miss is answered with 404 and one log line that names the routes tried.
#[doc(alias = "UrlRouter")]
pub struct URLRouter {
    routes: Vec<Step>,
}

struct Step {
    pattern: Pattern,
    kwargs: Vec<(String, String)>,
    change: Option<Change>,
    transports: Option<Transports>,
    application: Arc<dyn Application>,
    /// Whether it leads to a consumer, and so to the end of the path.
    end: bool,
}

impl URLRouter {
    /// A router of these routes.
    ///
    /// # Errors
    ///
    /// [`PatternError`] with the first pattern that cannot be used, and the place in it. A second route with the pattern
    /// of an earlier one that leads to a consumer is such a one: it is never reached, not by other transports either.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Result<Self, PatternError> {
        let step = |route: Route| {
            let mut leads_to = RouteList::default();
            route.application.routes(&mut leads_to);
            let end = !leads_to.nested && (leads_to.ends || leads_to.routes().len() == 1);
            Ok(Step {
                pattern: route.pattern?,
                kwargs: route.kwargs,
                change: route.change,
                transports: route.transports,
                application: route.application,
                end,
            })
        };
        let routes = routes.into_iter().map(step).collect::<Result<Vec<_>, _>>()?;
        match unreachable(&routes) {
            Some(error) => Err(error),
            None => Ok(Self { routes }),
        }
    }
}

/// Says which route is never reached, if one is not.
fn unreachable(routes: &[Step]) -> Option<PatternError> {
    routes.iter().enumerate().find_map(|(index, route)| {
        let earlier = routes[..index].iter().position(|earlier| earlier.leaves_nothing_to(route))?;
        let (first, second) = (earlier + 1, index + 1);
        let why = format!("route {second} of the router is never reached, route {first} has the same pattern");
        Some(PatternError { pattern: route.pattern.source().to_owned(), why, at: 0 })
    })
}

impl Step {
    fn leaves_nothing_to(&self, later: &Self) -> bool {
        self.application.always_answers() && self.pattern.covers(&later.pattern, later.end)
    }

    /// Fills the scope with what this route's pattern finds; `false` when it does not fit.
    fn enter(&self, scope: &mut Scope) -> bool {
        let Some(path) = scope.remaining().map(str::to_owned) else { return false };
        let Some(found) = self.pattern.find(&path, self.end) else { return false };
        scope.is_keyed |= !(found.kwargs.is_empty() && found.args.is_empty());
        for (name, value) in &self.kwargs {
            scope.url_route.set(name, value.clone());
        }
        for (name, value) in found.kwargs {
            scope.url_route.set(name, value.to_owned());
        }
        scope.url_route.args.extend(found.args.into_iter().map(str::to_owned));
        scope.path_remaining = Some(found.rest.to_owned());
        scope.config_changes.extend(self.change.clone());
        scope.offered = self.transports.unwrap_or(scope.offered);
        true
    }
}

/// What a route changes of a scope, as it was.
struct Before {
    url_route: UrlRoute,
    path_remaining: Option<String>,
    is_keyed: bool,
    changes: usize,
    offered: Transports,
}

impl Before {
    fn of(scope: &Scope) -> Self {
        Self {
            url_route: scope.url_route.clone(),
            path_remaining: scope.path_remaining.clone(),
            is_keyed: scope.is_keyed,
            changes: scope.config_changes.len(),
            offered: scope.offered,
        }
    }

    fn restore(self, scope: &mut Scope) {
        (scope.url_route, scope.path_remaining) = (self.url_route, self.path_remaining);
        scope.is_keyed = self.is_keyed;
        scope.config_changes.truncate(self.changes);
        scope.offered = self.offered;
    }
}

impl Application for URLRouter {
    fn call(&self, mut scope: Scope) -> LocalBoxFuture<'_, Outcome> {
        Box::pin(async move {
            for step in &self.routes {
                let before = Before::of(&scope);
                if step.enter(&mut scope) {
                    match step.application.call(scope).await {
                        Outcome::NoRoute(back) => scope = back,
                        outcome => return outcome,
                    }
                }
                before.restore(&mut scope);
            }
            Outcome::NoRoute(scope)
        })
    }

    fn serves(&self, scope: &mut Scope) -> bool {
        self.routes.iter().any(|step| {
            let before = Before::of(scope);
            let serves = step.enter(scope) && step.application.serves(scope);
            // A router within it has found out more.
            if serves && step.end {
                scope.served = Served { is_room: scope.is_keyed, config_changes: scope.config_changes.clone() };
            }
            before.restore(scope);
            serves
        })
    }

    fn routes(&self, list: &mut RouteList) {
        for step in &self.routes {
            list.within(step.pattern.source(), |list| {
                list.offering(step.transports, |list| step.application.routes(list));
            });
        }
    }
}

impl std::fmt::Debug for URLRouter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|step| step.pattern.source())).finish()
    }
}
