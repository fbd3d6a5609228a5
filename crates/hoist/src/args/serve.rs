//! The flags of `registry serve`.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

/// `registry serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeFlags {
    /// File of users and passwords, as htpasswd -B writes it ("FILE" or "htpasswd:FILE")
    #[arg(long, value_name = "file", value_parser = users)]
    pub(crate) auth: Option<PathBuf>,
    /// Address and port to listen on, several times for several (default 127.0.0.1:5000)
    #[arg(long, value_name = "addr", default_value = "127.0.0.1:5000", value_parser = address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Don't print a line for each request
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Let nobody push or delete
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Directory for everything that is pushed (default: that of the images)
    #[arg(long, value_name = "dir")]
    pub(crate) storage: Option<PathBuf>,
    /// Certificate in PEM form, for HTTPS
    #[arg(long, value_name = "file")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "file")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// `127.0.0.1:5000`, `[::]:5000`, `localhost:5000`, and `:5000` for all addresses.
fn address(text: &str) -> Result<SocketAddr, String> {
    let known = match text.rsplit_once(':') {
        Some(("", port)) => port
            .parse()
            .ok()
            .map(|port| (Ipv6Addr::UNSPECIFIED, port).into()),
        Some(("localhost", port)) => port
            .parse()
            .ok()
            .map(|port| (Ipv4Addr::LOCALHOST, port).into()),
        _ => text.parse().ok(),
    };
    known.ok_or_else(|| {
        "expected an address and a port, such as 127.0.0.1:5000, [::1]:5000, or :5000 for all \
         addresses of this machine"
            .to_owned()
    })
}

/// `htpasswd:FILE`, the only kind there is, or its file alone.
fn users(text: &str) -> Result<PathBuf, String> {
    let file = text.strip_prefix("htpasswd:").unwrap_or(text);
    if file.is_empty() {
        return Err("the file of users is missing".to_owned());
    }
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers() {
        for (text, expected) in [
            ("127.0.0.1:5000", Some("127.0.0.1:5000")),
            ("localhost:0", Some("127.0.0.1:0")),
            (":5000", Some("[::]:5000")),
            ("[::1]:5000", Some("[::1]:5000")),
            ("0.0.0.0:80", Some("0.0.0.0:80")),
            ("5000", None),
            ("::1:5000", None),
            ("registry.lan:5000", None),
            ("127.0.0.1:70000", None),
            ("127.0.0.1", None),
            ("", None),
        ] {
            let address = address(text).ok().map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{text}");
        }
    }
}
