//! `registry serve`: a registry on this machine.

use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    time::{Duration, Instant, SystemTime},
};

use hoist_api::registry::{Access, Event, Exchange, Handle, Options, Report, Server, TlsFiles};
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
    let log = Log::begin();
    let report = log.report(flags.quiet);
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
    log.end();
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

/// What is written while the server runs: by a thread of its own, so that a reader who stops
/// reading keeps no client waiting. Lines that there is no room for are counted.
struct Log {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
    ended: Receiver<()>,
}

enum Line {
    /// A request.
    Out(String),
    /// Trouble.
    Note(String),
    /// No more.
    End,
}

impl Log {
    /// Lines that wait to be written.
    const ROOM: usize = 1024;
    /// How long the last of them may take.
    const PATIENCE: Duration = Duration::from_secs(1);

    fn begin() -> Self {
        let (lines, written) = mpsc::sync_channel(Self::ROOM);
        let (end, ended) = mpsc::channel();
        let lost = Arc::new(AtomicU64::new(0));
        let missing = Arc::clone(&lost);
        std::thread::spawn(move || {
            write(&written, &missing);
            // Nobody waits for it where the command has ended already.
            let _ = end.send(());
        });
        Self { lines, lost, ended }
    }

    /// What the server tells goes here.
    fn report(&self, quiet: bool) -> Report {
        let (lines, lost) = (self.lines.clone(), Arc::clone(&self.lost));
        Arc::new(move |event| {
            let line = match event {
                Event::Exchange(_) if quiet => return,
                Event::Exchange(exchange) => Line::Out(access_line(&exchange)),
                Event::Trouble(text) => Line::Note(format!("hoist: {text}")),
            };
            if lines.try_send(line).is_err() {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Write what is left, as long as somebody reads it.
    fn end(self) {
        let begun = Instant::now();
        while begun.elapsed() < Self::PATIENCE {
            if self.lines.try_send(Line::End).is_ok() {
                // A timeout means that nobody reads.
                let _ = self.ended.recv_timeout(Self::PATIENCE);
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn write(lines: &Receiver<Line>, lost: &AtomicU64) {
    for line in lines {
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            count => ui::note(&format!(
                "hoist: {count} lines are missing: nobody read them"
            )),
        }
        match line {
            // That nobody reads the log any more is no reason to serve nobody.
            Line::Out(text) => drop(ui::line(&text)),
            Line::Note(text) => ui::note(&text),
            Line::End => return,
        }
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
