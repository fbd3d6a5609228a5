//! `cargo xtask demo`: the article's service, from nothing to an answer on a port.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::program::{self, Result, command};
use crate::{bases, debian, workspace};

/// What the container is called. A demo that was cut off is cleaned up by the next one.
const NAME: &str = "hoist-demo";
const IMAGE: &str = "hoist-demo-fastapi:1.0";
/// What its Dockerfile stands on.
const BASE: &str = "python:3.11-slim";
/// The port that the service listens on.
const INSIDE: u16 = 8000;

/// The whole demonstration; nothing of it runs afterwards.
pub(crate) fn main() -> Result<()> {
    step("building hoist (release)");
    let demo = Demo {
        hoist: workspace::hoist()?,
        root: debian::is_root(),
    };

    step(&format!("base image {BASE}"));
    demo.base()?;

    step(&format!("hoist build --tag {IMAGE} examples/fastapi"));
    let context = workspace::root().join("examples/fastapi");
    program::run(demo.command(["build", "--tag", IMAGE]).arg(context))?;

    // From here on there is something to take away again, whatever happens.
    let demo = Running(demo);
    demo.0.remove();
    let port = demo.0.port()?;
    let published = format!("{port}:{INSIDE}");
    let network = if demo.0.root {
        ["--publish", &published]
    } else {
        ["--network", "host"]
    };
    let line = format!(
        "hoist run --detach --name {NAME} {} {} {IMAGE}",
        network[0], network[1]
    );
    step(&line);
    let run = [
        "run", "--detach", "--name", NAME, network[0], network[1], IMAGE,
    ];
    program::run(&mut demo.0.command(run))?;

    step("waiting until it is healthy");
    let took = demo.0.healthy()?;
    println!("healthy after {:.1} s", took.as_secs_f64());
    program::run(&mut demo.0.command(["ps"]))?;

    step(&format!("GET http://localhost:{port}/health"));
    println!("{}", get(port, "/health")?);

    step("hoist stop, hoist rm");
    program::run(&mut demo.0.command(["stop", NAME]))?;
    program::run(&mut demo.0.command(["rm", NAME]))?;
    println!("\nNothing of the demo runs any more. The images are kept: hoist images");
    Ok(())
}

/// One line that says what comes next.
fn step(what: &str) {
    println!("\n==> {what}");
}

struct Demo {
    hoist: PathBuf,
    root: bool,
}

impl Demo {
    fn command<const N: usize>(&self, arguments: [&str; N]) -> Command {
        command(Path::new(&self.hoist), arguments)
    }

    /// The base image in the store: the one that is there, that of the registry, or where no
    /// registry answers a stand-in made from Debian packages.
    fn base(&self) -> Result<()> {
        let there = |arguments| program::output(&mut self.command(arguments));
        if there(["image", "inspect", BASE])?.status.success() {
            println!("it is in the store");
            return Ok(());
        }
        if there(["pull", "--quiet", BASE])?.status.success() {
            println!("pulled from its registry");
            return Ok(());
        }
        println!("its registry does not answer: made from Debian packages");
        bases::make(false)?;
        bases::import(&self.hoist, false)
    }

    /// The container of this or an earlier demo, gone.
    fn remove(&self) {
        // There may be none, and then there is nothing to say.
        let _ = program::output(&mut self.command(["rm", "--force", NAME]));
    }

    /// The port on this machine: the article's, or a free one where that is taken.
    fn port(&self) -> Result<u16> {
        match TcpListener::bind(("0.0.0.0", INSIDE)) {
            Ok(_) => Ok(INSIDE),
            Err(error) if !self.root => Err(format!(
                "port {INSIDE} of this machine is taken ({error}), and without root the demo uses no other: \
                 stop what listens there (ss -ltnp 'sport = :{INSIDE}'), or run the demo as root"
            )
            .into()),
            Err(error) => {
                let free = TcpListener::bind(("0.0.0.0", 0))?.local_addr()?.port();
                println!("port {INSIDE} of this machine is taken ({error}); the demo uses {free}");
                Ok(free)
            }
        }
    }

    /// Waits for the health check to pass; says how long that was.
    fn healthy(&self) -> Result<Duration> {
        let begun = Instant::now();
        let format = "{{.State.Status}} {{.State.Health.Status}}";
        loop {
            let state = program::text(&mut self.command(["inspect", "--format", format, NAME]))?;
            match state.trim() {
                "running healthy" => return Ok(begun.elapsed()),
                "running starting" if begun.elapsed() < Duration::from_secs(60) => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                other => {
                    program::run(&mut self.command(["logs", NAME]))?;
                    return Err(
                        format!("the container did not become healthy: it is {other}").into(),
                    );
                }
            }
        }
    }
}

/// A demo that may have a container; dropping it removes that.
struct Running(Demo);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// The body that a GET of `path` on a port of this machine is answered with; anything but 200 is an
/// error.
fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer is no HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        Ok(format!("{status}\n{body}"))
    } else {
        Err(format!("{path} answered {status}").into())
    }
}
