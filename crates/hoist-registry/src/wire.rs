//! One request and its answer: redirects and bodies. What failures mean is in `failure.rs`.

use std::{
    collections::HashMap,
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ureq::{
    Agent, SendBody,
    config::Config,
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    unversioned::{
        resolver::DefaultResolver,
        transport::{ConnectProxyConnector, Connector, TcpConnector},
    },
};

use crate::{
    connector::{AttentiveConnector, TlsConnector},
    error::{RegistryError, Result},
    event::RegistryEvent,
    failure::{connection_failure, detail},
    insecure::Insecure,
    options::Options,
    proxy::ProxyRules,
    retry,
    tls::Authorities,
    url::{Origin, join, shown},
};

/// Redirects that are followed in a row, as browsers and Go do.
const MAX_REDIRECTS: usize = 10;
/// The longest description of a failure that is read.
const MAX_FAILURE: u64 = 64 * 1024;

/// A request. `authorization` goes to the origin of `uri` only.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body<'a>,
}

/// The body of a request.
pub(crate) enum Body<'a> {
    Empty,
    Bytes(&'a [u8]),
    /// Exactly so many bytes from a reader, which fails when it has fewer.
    Stream(&'a mut dyn Read, u64),
}

impl Request<'_> {
    pub(crate) const fn new(method: Method, uri: Uri) -> Self {
        Self {
            method,
            uri,
            headers: Vec::new(),
            body: Body::Empty,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// `Get "https://registry.example/v2/"`, as Go words it.
    pub(crate) fn action(&self) -> String {
        action(&self.method, &self.uri)
    }
}

fn action(method: &Method, uri: &Uri) -> String {
    let method = method.as_str();
    format!(
        "{}{} \"{}\"",
        &method[..1],
        method[1..].to_ascii_lowercase(),
        shown(uri)
    )
}

/// The answer to a request.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Who answered, after redirects.
    pub(crate) uri: Uri,
    /// The one that was asked answered itself.
    pub(crate) same_origin: bool,
    pub(crate) action: String,
    body: ureq::Body,
}

impl Response {
    /// The value of a header that is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The announced length of the body; also the one of an answer to `HEAD`.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// The body as it comes, without any limit.
    pub(crate) fn into_reader(self) -> Box<dyn Read + Send> {
        Box::new(self.body.into_with_config().limit(u64::MAX).reader())
    }

    /// The whole body, which must not be longer than `limit`.
    pub(crate) fn bytes(self, what: &str, limit: u64) -> Result<Vec<u8>> {
        let too_large = || RegistryError::TooLarge {
            what: what.to_owned(),
            limit,
        };
        if self.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let action = self.action.clone();
        let mut bytes = Vec::new();
        let mut body = self.into_reader().take(limit + 1);
        body.read_to_end(&mut bytes)
            .map_err(|error| connection_failure(action, ureq::Error::from(error)))?;
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
        Ok(bytes)
    }

    /// An answer of success, or what the failure says.
    pub(crate) fn checked(self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(self.into_failure())
    }

    /// What an answer of failure says.
    pub(crate) fn into_failure(self) -> RegistryError {
        let retry_after = self
            .header("retry-after")
            .and_then(retry::parse_retry_after);
        let (status, action) = (self.status, self.action.clone());
        let mut bytes = Vec::new();
        // A description that cannot be read is none.
        let _ = self.into_reader().take(MAX_FAILURE).read_to_end(&mut bytes);
        RegistryError::Status {
            action,
            status,
            detail: detail(&bytes),
            retry_after,
        }
    }
}

/// The connections to all hosts.
pub(crate) struct Wire {
    insecure: Insecure,
    proxies: ProxyRules,
    authorities: Authorities,
    agents: Mutex<HashMap<(String, bool), Agent>>,
}

impl Wire {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let insecure =
            Insecure::parse(&options.insecure).map_err(|entry| RegistryError::Option {
                what: "insecure registry",
                value: entry,
                reason: "not of the form host, host:port or address/bits".to_owned(),
            })?;
        Ok(Self {
            insecure,
            proxies: ProxyRules::new(&options.proxies)?,
            authorities: Authorities::new(
                options.host_authorities.clone(),
                options.certificates.clone(),
            ),
            agents: Mutex::default(),
        })
    }

    /// The same for servers of any kind: certificates are looked at whoever the server is.
    pub(crate) fn verifying(options: &Options) -> Result<Self> {
        let wire = Self::new(options)?;
        Ok(Self {
            insecure: Insecure::default(),
            ..wire
        })
    }

    /// Whether the registry at `authority` may be spoken to without TLS.
    pub(crate) fn is_insecure(&self, authority: &str) -> bool {
        self.insecure.contains(authority)
    }

    /// The client for an origin, with its own trust and proxy.
    fn agent(&self, origin: &Origin, options: &Options) -> Result<Agent> {
        let authority = origin.authority();
        let key = (authority, origin.https);
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&key) {
            return Ok(agent.clone());
        }
        let settings = if origin.https {
            let insecure = self.insecure.contains(&key.0);
            Some(self.authorities.settings(&key.0, insecure)?)
        } else {
            None
        };
        let proxy = self.proxies.choose(origin.https, &origin.host, origin.port);
        // A proxy that is itself spoken to with TLS.
        let settings = match (&settings, &proxy) {
            (None, Some(proxy)) => Some(self.authorities.settings(proxy.host(), false)?),
            _ => settings,
        };
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(proxy)
            .user_agent(&options.user_agent)
            .timeout_connect(Some(options.timeouts.connect))
            .timeout_per_read(Some(options.timeouts.stall))
            .timeout_per_write(Some(options.timeouts.stall))
            .max_idle_connections(32)
            .max_idle_connections_per_host(16)
            .build();
        let connector = ()
            .chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(AttentiveConnector {
                cancelled: Arc::clone(&options.cancelled),
            })
            .chain(TlsConnector { settings });
        let agent = Agent::with_parts(config, connector, DefaultResolver::default());
        agents.insert(key, agent.clone());
        Ok(agent)
    }

    /// Send `request` and follow where `GET` and `HEAD` are sent to. Any status is an answer.
    ///
    /// `authorization` is left out as soon as a redirect leaves the origin, and stays out.
    pub(crate) fn exchange(
        &self,
        options: &Options,
        request: &mut Request<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response> {
        let asked = origin(&request.uri, &request.action())?;
        let mut uri = request.uri.clone();
        let mut at = asked.clone();
        let mut same_origin = true;
        for _ in 0..=MAX_REDIRECTS {
            if options.cancelled.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(RegistryError::Cancelled);
            }
            let agent = self.agent(&at, options)?;
            let allowed = authorization.filter(|_| same_origin);
            let response = send(&agent, request, &uri, allowed, options.timeouts.commit)?;
            let response = Response {
                same_origin,
                uri,
                ..response
            };
            report_limits(options, &at, &response);
            let follow = matches!(request.method, Method::GET | Method::HEAD);
            if !follow || !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            uri = follow_to(&response)?;
            at = origin(&uri, &response.action)?;
            if asked.https && !at.https {
                return Err(refused(&response.uri, &uri, "it leads from https to http"));
            }
            same_origin = same_origin && at == asked;
        }
        Err(refused(&request.uri, &uri, "too many redirects in a row"))
    }
}

fn origin(uri: &Uri, action: &str) -> Result<Origin> {
    Origin::of(uri).ok_or_else(|| RegistryError::Malformed {
        what: action.to_owned(),
        reason: "not an http or https address".to_owned(),
    })
}

fn follow_to(response: &Response) -> Result<Uri> {
    let location = response.header("location").unwrap_or_default();
    join(&response.uri, location).ok_or_else(|| RegistryError::Malformed {
        what: response.action.clone(),
        reason: format!("status {} without a usable Location", response.status),
    })
}

pub(crate) fn refused(from: &Uri, to: &Uri, reason: &'static str) -> RegistryError {
    RegistryError::Location {
        from: shown(from),
        to: shown(to),
        reason,
    }
}

/// One request, one answer, no redirects.
fn send(
    agent: &Agent,
    request: &mut Request<'_>,
    uri: &Uri,
    authorization: Option<&HeaderValue>,
    commit: Duration,
) -> Result<Response> {
    let action = action(&request.method, uri);
    let mut builder = ureq::http::Request::builder()
        .method(request.method.clone())
        .uri(uri);
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    if let Some(authorization) = authorization {
        builder = builder.header(header::AUTHORIZATION, authorization);
    }
    let malformed = |error: ureq::http::Error| RegistryError::Malformed {
        what: action.clone(),
        reason: error.to_string(),
    };
    let result = match &mut request.body {
        Body::Empty if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) => {
            agent.run(builder.body(&[][..]).map_err(malformed)?)
        }
        Body::Empty => agent.run(builder.body(()).map_err(malformed)?),
        Body::Bytes(bytes) => agent.run(builder.body(*bytes).map_err(malformed)?),
        Body::Stream(reader, length) => {
            let body = SendBody::from_reader(reader);
            let request = builder
                .header(header::CONTENT_LENGTH, *length)
                .body(body)
                .map_err(malformed)?;
            let patient = agent
                .configure_request(request)
                .timeout_per_read(Some(commit))
                .build();
            agent.run(patient)
        }
    };
    let response = result.map_err(|error| connection_failure(action.clone(), error))?;
    let (parts, body) = response.into_parts();
    Ok(Response {
        status: parts.status.as_u16(),
        headers: parts.headers,
        uri: uri.clone(),
        same_origin: true,
        action,
        body,
    })
}

/// Docker Hub's `ratelimit-limit: 100;w=21600` and `ratelimit-remaining`.
fn report_limits(options: &Options, at: &Origin, response: &Response) {
    let Some(events) = &options.events else {
        return;
    };
    let parse = |name: &str| -> Option<(u64, Option<Duration>)> {
        let value = response.header(name)?;
        let (count, rest) = value.split_once(';').unwrap_or((value, ""));
        let window = rest
            .trim()
            .strip_prefix("w=")
            .and_then(|seconds| seconds.parse().ok());
        Some((count.trim().parse().ok()?, window.map(Duration::from_secs)))
    };
    if let (Some((limit, window)), Some((remaining, _))) =
        (parse("ratelimit-limit"), parse("ratelimit-remaining"))
    {
        events(&RegistryEvent::RateLimit {
            registry: at.authority(),
            limit,
            remaining,
            window,
        });
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}
