//! What a server tells.

use std::{net::IpAddr, time::Duration};

use hyper::{Method, StatusCode};

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A request was answered, to the end of the answer or of the client's patience.
    Exchange(Exchange),
    /// Something is wrong with the server or its files; it goes on.
    Trouble(String),
}

/// A request and its answer.
#[derive(Debug)]
pub struct Exchange {
    /// Who asked.
    pub client: IpAddr,
    /// By which name, when it was one of the users'.
    pub user: Option<String>,
    /// The method.
    pub method: Method,
    /// Path and query, as they came.
    pub target: String,
    /// The status of the answer.
    pub status: StatusCode,
    /// Bytes of the answer's body that were handed to the connection.
    pub sent: u64,
    /// From the end of the request's headers to the end of the answer.
    pub took: Duration,
}
