//! What failures mean: of the HTTP client, of TLS, and in the words of registries.

use std::io;

use rustls::{CertificateError, InvalidMessage};
use serde::Deserialize;

use crate::error::{Broken, RegistryError};

/// The longest piece of a registry's description of a failure that is shown.
const MAX_DETAIL: usize = 500;

/// What a registry (`errors`) or a token server (`details`, `error_description`) says.
pub(crate) fn detail(bytes: &[u8]) -> String {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Failure {
        errors: Vec<Entry>,
        details: Option<String>,
        error_description: Option<String>,
        message: Option<String>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Entry {
        code: String,
        message: String,
    }
    let Ok(failure) = serde_json::from_slice::<Failure>(bytes) else {
        return String::new();
    };
    let entry = |entry: &Entry| {
        let code = entry.code.to_ascii_lowercase().replace('_', " ");
        match (code.as_str(), entry.message.as_str()) {
            ("", message) => message.to_owned(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        }
    };
    let text = if failure.errors.is_empty() {
        let other = failure
            .details
            .or(failure.error_description)
            .or(failure.message);
        other.unwrap_or_default()
    } else {
        failure
            .errors
            .iter()
            .map(entry)
            .collect::<Vec<_>>()
            .join("; ")
    };
    // Not a way to write to somebody's terminal.
    text.chars()
        .filter(|character| !character.is_control())
        .take(MAX_DETAIL)
        .collect()
}

/// Why a connection failed, of the HTTP client's error.
pub(crate) fn connection_failure(action: String, error: ureq::Error) -> RegistryError {
    if let ureq::Error::Io(error) = &error
        && matches!(RegistryError::of_io(error), Some(RegistryError::Cancelled))
    {
        return RegistryError::Cancelled;
    }
    let (reason, source) = match error {
        ureq::Error::Io(error) => (broken(&error), Some(error)),
        ureq::Error::Timeout(_) => (Broken::Timeout, None),
        ureq::Error::HostNotFound => (Broken::Name, None),
        ureq::Error::ConnectProxyFailed(reason) => (Broken::Proxy, Some(io::Error::other(reason))),
        ureq::Error::ConnectionFailed => (Broken::System, None),
        ureq::Error::Tls(reason) => (Broken::Handshake, Some(io::Error::other(reason))),
        ureq::Error::TlsRequired => (Broken::Handshake, None),
        other => (Broken::Protocol, Some(io::Error::other(other.to_string()))),
    };
    RegistryError::Connection {
        action,
        reason,
        // What the reason says already.
        source: source.filter(|_| {
            matches!(
                reason,
                Broken::Handshake | Broken::Proxy | Broken::Protocol | Broken::System
            )
        }),
    }
}

fn broken(error: &io::Error) -> Broken {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return match error {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Broken::Expired,
                CertificateError::UnknownIssuer => Broken::UnknownAuthority,
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Broken::WrongName,
                // The only other one that is met: a self-signed certificate of an authority.
                CertificateError::Other(_) => Broken::UnknownAuthority,
                _ => Broken::Handshake,
            },
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Broken::PlainHttp,
            _ => Broken::Handshake,
        };
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Broken::Refused,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Broken::Timeout,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Broken::Closed,
        _ if error.to_string().contains("failed to lookup address") => Broken::Name,
        _ => Broken::System,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_speak_in_dockers_words() {
        let table: [(&str, &str); 6] = [
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"x"}}]}"#,
                "manifest unknown: manifest unknown",
            ),
            (
                r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#,
                "denied: requested access to the resource is denied",
            ),
            (
                r#"{"details":"incorrect username or password"}"#,
                "incorrect username or password",
            ),
            (
                r#"{"errors":[{"code":"A","message":""},{"code":"","message":"b\u001b[2J"}]}"#,
                "a; b[2J",
            ),
            ("<html>", ""),
            (r#"{"errors":null}"#, ""),
        ];
        for (body, text) in table {
            assert_eq!(detail(body.as_bytes()), text, "{body}");
        }
        assert_eq!(
            detail(format!(r#"{{"details":"{}"}}"#, "x".repeat(9999)).as_bytes()).len(),
            MAX_DETAIL
        );
    }
}
