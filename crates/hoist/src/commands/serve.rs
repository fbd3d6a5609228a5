//! `registry serve`: a registry on this machine.

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::SystemTime};

use hoist_api::registry::{Access, Event, Exchange, Handle, Options, Server, TlsFiles};
use hoist_core::{Kind, signal::Signal, time::Timestamp};
use hoist_store::Store;
use hoist_sys::signal::{self, Mask, SignalFd};

use crate::{args::serve::ServeFlags, cli::Call, error::CliError, settings, ui};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Serve images to this machine:
    hoist registry serve

  Serve them to others, who have names and passwords:
    htpasswd -Bc users alice
    hoist registry serve --listen :443 --auth users --tls-cert cert.pem --tls-key key.pem

  On another machine:
    hoist login registry.lan
    hoist pull registry.lan/my-api:1.0
";

/// `registry serve [OPTIONS]`.
pub(crate) fn serve(_: &Call<'_>, flags: &ServeFlags, _: &[String]) -> Result<ExitCode, CliError> {
    let root = match &flags.storage {
        Some(directory) => std::path::absolute(directory)
            .map_err(|error| CliError::file("find", directory, &error))?,
        None => settings::engine()?.root,
    };
    let options = Options {
        listen: flags.listen.clone(),
        users: flags.auth.clone(),
        tls: identity(flags)?,
        access: if flags.read_only {
            Access::ReadOnly
        } else {
            Access::Full
        },
    };
    // Before the server's threads begin: they inherit both.
    hoist_sys::memory::keep_little();
    let signals = Signals::blocked()?;
    let quiet = flags.quiet;
    let report = Arc::new(move |event| told(event, quiet));
    let server = Server::bind(Store::open(&root)?, &options, report)?;
    let scheme = if options.tls.is_some() {
        "https"
    } else {
        "http"
    };
    for address in server.addresses() {
        if let Some(warning) = warning(address, &options) {
            ui::note(&format!("WARNING! {warning}"));
        }
        ui::line(&format!("listening on {scheme}://{address}"))?;
    }
    signals.stop(server.handle());
    server.run();
    Ok(ExitCode::SUCCESS)
}

fn identity(flags: &ServeFlags) -> Result<Option<TlsFiles>, CliError> {
    match (&flags.tls_cert, &flags.tls_key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        })),
        _ => Err(CliError::invalid(
            "--tls-cert and --tls-key go together: a certificate is of no use without its key",
        )),
    }
}

/// What somebody who opens this address to others should know.
fn warning(address: &SocketAddr, options: &Options) -> Option<String> {
    if address.ip().to_canonical().is_loopback() {
        return None;
    }
    let can = match options.access {
        Access::Full => "pull, push and delete",
        Access::ReadOnly => "pull",
    };
    match (&options.users, &options.tls) {
        (None, _) => Some(format!(
            "Anybody who reaches {address} can {can}. Give a file of users with --auth."
        )),
        (Some(_), None) => Some(format!(
            "Passwords cross the network to {address} unencrypted. Give a certificate with \
             --tls-cert and --tls-key."
        )),
        (Some(_), Some(_)) => None,
    }
}

/// Says what happened, until nobody reads it any more: that is no reason to serve nobody.
fn told(event: Event, quiet: bool) {
    match event {
        Event::Exchange(exchange) if !quiet => drop(ui::line(&access_line(&exchange))),
        Event::Exchange(_) => {}
        Event::Trouble(text) => ui::note(&format!("hoist: {text}")),
    }
}

/// A line in the common log format, with a readable time and the seconds that it took:
/// `127.0.0.1 - alice [2026-01-02T03:04:05Z] "GET /v2/" 200 2 0.001`.
fn access_line(exchange: &Exchange) -> String {
    format!(
        "{} - {} [{}] \"{} {}\" {} {} {:.3}",
        exchange.client.to_canonical(),
        exchange.user.as_deref().unwrap_or("-"),
        settings::local_rfc3339(Timestamp::from(SystemTime::now())),
        exchange.method,
        exchange.target.escape_default(),
        exchange.status.as_u16(),
        exchange.sent,
        exchange.took.as_secs_f64(),
    )
}

/// The signals that end a server, and SIGHUP, which does not: files are read again when they
/// change.
struct Signals(SignalFd);

impl Signals {
    fn blocked() -> Result<Self, CliError> {
        let mask = Mask::of(&[Signal::INT, Signal::TERM, Signal::HUP].map(Signal::number));
        let signals = signal::block(&mask).and_then(|_| SignalFd::new(&mask, false));
        signals.map(Self).map_err(|error| {
            let text = format!("cannot watch for signals: {error}");
            CliError::of(Kind::Unavailable, text)
        })
    }

    /// Stop the server at the first signal to end. Its requests have ten seconds then.
    fn stop(self, handle: Handle) {
        std::thread::spawn(move || {
            while let Ok(Some(received)) = self.0.read() {
                if received.signal != Signal::HUP.number() {
                    handle.stop();
                }
            }
        });
    }
}
