//! One request, from its headers to its answer.

use std::{net::IpAddr, sync::Arc, time::Instant};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{AUTHORIZATION, EXPECT, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE},
    http::request::Parts,
};

use super::{
    Access, Event, Exchange, State, blobs,
    body::Body,
    listings, manifests,
    problem::{Code, Problem},
    query::Query,
    receive,
    route::{Route, route},
    uploads,
    users::Caller,
};

/// What an endpoint answers.
pub(super) type Answer = Result<Response<Body>, Problem>;

/// What the client speaks to; Docker looks for it.
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");

/// A request whose body is still to come.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) query: Query,
    pub(super) body: Incoming,
}

impl Asked {
    /// A header as text; none where it is not.
    pub(super) fn header(&self, name: impl hyper::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether it is a `HEAD` request: the same answer without a body.
    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }
}

/// Answer a request, and tell about it when the answer was sent.
pub(super) async fn answer(
    state: Arc<State>,
    client: IpAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let mut exchange = Exchange {
        client,
        user: None,
        method: parts.method.clone(),
        target: parts
            .uri
            .path_and_query()
            .map_or("", |text| text.as_str())
            .to_owned(),
        status: StatusCode::OK,
        sent: 0,
        took: std::time::Duration::ZERO,
    };
    let mut response = respond(&state, parts, body, &mut exchange.user).await;
    exchange.status = response.status();
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    response.map(|body| body.told(exchange, begun, Arc::clone(&state.report)))
}

async fn respond(
    state: &Arc<State>,
    parts: Parts,
    body: Incoming,
    user: &mut Option<String>,
) -> Response<Body> {
    let path = parts.uri.path().to_owned();
    let expects = parts.headers.contains_key(EXPECT);
    let mut asked = Asked {
        query: Query::parse(parts.uri.query()),
        method: parts.method,
        headers: parts.headers,
        body,
    };
    let answered = match admit(state, &asked.headers).await {
        Ok(name) => {
            *user = name;
            dispatch(state, &path, &mut asked).await
        }
        Err(problem) => Err(problem),
    };
    let mut problem = match answered {
        Ok(response) => return response,
        Err(problem) => problem,
    };
    if let Some(trouble) = problem.trouble.take() {
        state.trouble(trouble);
    }
    // Who waits to be asked for the body has not sent it.
    if !expects {
        receive::drain(&mut asked.body).await;
    }
    problem.answer()
}

/// Who asks, where not everybody may.
async fn admit(state: &State, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(users) = &state.users else {
        return Ok(None);
    };
    if let Err(error) = users.refresh() {
        (state.report)(Event::Trouble(format!(
            "the users stay as they were: {error}"
        )));
    }
    let header = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    match users.caller(header).await {
        Caller::User(name) => Ok(Some(name)),
        Caller::Stranger => Err(Problem::new(
            Code::Unauthorized,
            "authentication required: name and password of a user of this registry",
        )
        .header(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"hoist registry\", charset=\"UTF-8\""),
        )),
    }
}

async fn dispatch(state: &Arc<State>, path: &str, asked: &mut Asked) -> Answer {
    let Some(route) = route(path)? else {
        return Err(Problem::new(
            Code::NameUnknown,
            "there is nothing here: the registry is at /v2/",
        ));
    };
    let reads = matches!(asked.method, Method::GET | Method::HEAD);
    if !reads && state.access == Access::ReadOnly {
        return Err(Problem::new(
            Code::Unsupported,
            "this registry is served for reading only",
        ));
    }
    match (&asked.method, route) {
        (&(Method::GET | Method::HEAD), route) => read(state, route, asked).await,
        (&Method::POST, Route::Uploads(name)) => uploads::begin(state, &name, asked).await,
        (&Method::PATCH, Route::Upload(name, id)) => uploads::append(state, &name, id, asked).await,
        (&Method::PUT, Route::Upload(name, id)) => uploads::finish(state, &name, id, asked).await,
        (&Method::DELETE, Route::Upload(name, id)) => uploads::cancel(state, &name, id).await,
        (&Method::DELETE, Route::Blob(name, digest)) => blobs::delete(state, &name, digest).await,
        (&Method::PUT, Route::Manifest(name, named)) => {
            manifests::put(state, &name, named, asked).await
        }
        (&Method::DELETE, Route::Manifest(name, named)) => {
            manifests::delete(state, &name, named).await
        }
        (method, _) => Err(Problem::new(
            Code::Unsupported,
            format!("{method} is not possible here"),
        )),
    }
}

async fn read(state: &Arc<State>, route: Route, asked: &Asked) -> Answer {
    match route {
        Route::Base => Ok(listings::json("{}".to_owned())),
        Route::Catalog => listings::catalog(state, asked).await,
        Route::Tags(name) => listings::tags(state, &name, asked).await,
        Route::Referrers(name, subject) => listings::referrers(state, &name, subject, asked).await,
        Route::Blob(name, digest) => blobs::get(state, &name, digest, asked).await,
        Route::Manifest(name, named) => manifests::get(state, &name, named, asked).await,
        Route::Upload(name, id) => uploads::status(state, &name, id).await,
        Route::Uploads(_) => Err(Problem::new(Code::Unsupported, "uploads are begun by POST")),
    }
}
