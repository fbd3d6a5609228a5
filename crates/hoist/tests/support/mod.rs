//! What every test of the command line stands on: a data root of its own, commands with deadlines, and
//! a look around at the end whether anything was left behind.

mod bases;
#[path = "../../../hoist-build/tests/support/git_server.rs"]
#[allow(dead_code, reason = "the tests of the builder use more of it")]
pub(crate) mod git_server;
mod leftovers;
mod processes;
pub(crate) mod registry;
mod sandbox;
#[path = "../../../hoist-registry/tests/support/scripted.rs"]
#[expect(clippy::unwrap_used, reason = "a failed call is a failed test")]
#[allow(dead_code, reason = "the registry's own tests use the rest of it")]
pub(crate) mod scripted;
pub(crate) mod served;
mod terminal;
mod user;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use bases::archive as base_archive;
pub(crate) use leftovers::network_name;
pub(crate) use processes::{Child, Run};
pub(crate) use sandbox::Sandbox;
pub(crate) use terminal::Terminal;

/// How long anything may take before a test gives up: long enough for a loaded machine, and never a
/// statement about speed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Waits until `condition` holds, and says what was waited for when it never does.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A file that a chore leaves in cargo's target directory, or how to make it.
pub(crate) fn made_by(chore: &str, file: &str) -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let places = own.ancestors().map(|directory| directory.join(file));
    places
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!(
                "no {file} in the target directory; it is made by: cargo xtask {chore} --make-only"
            )
        })
}

/// A TCP port of this machine that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let socket = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    socket
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// The answer (status line, headers, body) to `GET path`, if there is one.
pub(crate) fn http_get(address: (&str, u16), path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}
