//! Who calls from elsewhere, and what they may: tools, each with a token that the configuration knows.

use amend_pipeline::{
    LOCAL_USER,
    callers::{Caller, Scope},
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::{info, warn};

use crate::{App, Failure, no_such_route};

/// Whether anybody is answered that something is there.
#[must_use]
pub fn is_anybodys(path: &str) -> bool {
    matches!(path, "/" | "/healthz")
}

/// What whoever shows no token is answered, where nothing else has to be asked for that: they wait for nothing, and
/// nobody waits for them.
#[must_use]
pub fn refused(path: &str, headers: &HeaderMap) -> Option<Response> {
    if is_anybodys(path) || token(headers).is_some() {
        return None;
    }
    info!(path, "whoever calls without a token is not let in");
    Some(unknown("nobody knows who you are").into_response())
}

/// What a request needs. A route that this does not know is nobody's.
fn needs(method: &Method, path: &str) -> Option<Scope> {
    if path.starts_with("/events/") {
        return Some(Scope::Ingest);
    }
    match *method {
        Method::GET | Method::HEAD if path == "/readyz" || path.starts_with("/api/v1/") => Some(Scope::Read),
        Method::POST if path.starts_with("/api/v1/") => Some(Scope::Operate),
        _ => None,
    }
}

/// INVARIANT: whoever is not known is told nothing, not even which routes there are; whoever is known does no more
/// than they may.
pub(crate) async fn let_in(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if is_anybodys(path) {
        return next.run(request).await;
    }
    let Some(token) = token(request.headers()) else {
        return unknown("nobody knows who you are").into_response();
    };
    let caller = match app.callers.who(token, app.pipeline.now()) {
        Ok(caller) => caller,
        Err(why) => {
            warn!(path, "a caller is not let in: {why}");
            return unknown(&why.to_string()).into_response();
        }
    };
    // INVARIANT: a route that needs nothing of this is reached by nobody.
    let Some(needed) = needs(request.method(), path) else {
        return no_such_route(request).await.into_response();
    };
    if !caller.scopes.contains(&needed) {
        let scope = needed.as_str();
        warn!(path, caller = &*caller.name, scope, "a caller may not do that");
        let message = format!("{} may not do this: it needs `{scope}`", caller.name);
        let hint = Some("add it to its `may`, under `callers` in amend.yaml");
        return Failure::new(StatusCode::FORBIDDEN, "web.scope", message, hint).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Who does something, as the audit trail names them.
pub(crate) fn name(caller: Option<&Caller>) -> &str {
    caller.map_or(LOCAL_USER, |caller| &caller.name)
}

/// The one bearer token of a request.
fn token(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (all.next()?, all.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    // A hash of a megabyte is work that a stranger must not ask for.
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= 256).then_some(token)
}

fn unknown(why: &str) -> Unknown {
    Unknown(why.to_owned())
}

/// Nobody who is known.
struct Unknown(String);

impl IntoResponse for Unknown {
    fn into_response(self) -> Response {
        let hint = Some("send `Authorization: Bearer …` with a token");
        let mut response = Failure::new(StatusCode::UNAUTHORIZED, "web.unknown", self.0, hint).into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        response
    }
}
