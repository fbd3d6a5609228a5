//! `bench images`: an image of 10 000 files and 210 MB between stores, archives and a real registry on
//! loopback.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::row::Row;
use super::tools::{Kind, Tool};
use super::{Effort, files, peak, table};
use crate::debian;
use crate::program::{self, Result, command};

/// How many files the image has, and how large they are on average.
const FILES: usize = 10_000;
const LENGTH: usize = 21_000;

/// The registry, and an image in it that no tool has made.
pub(super) struct Suite {
    inner: Rc<Inner>,
}

struct Inner {
    registry: Registry,
    directory: PathBuf,
    /// The digest of the one layer of the image that is pulled.
    layer: String,
}

impl Suite {
    /// Starts the registry and puts the image there.
    pub(super) fn set_up(tools: &[Tool], disk: &Path) -> Result<Self> {
        debian::ensure(&[
            ("docker-registry", "docker-registry"),
            ("curl", "curl"),
            ("gzip", "gzip"),
        ])?;
        let registry = Registry::start(&disk.join("registry"))?;
        let directory = disk.join("images");
        files::make_tree(&directory.join("context/data"), FILES, LENGTH)?;
        fs::write(
            directory.join("context/Dockerfile"),
            "FROM scratch\nCOPY data /data\nCMD [\"true\"]\n",
        )?;
        let mut inner = Inner {
            registry,
            directory,
            layer: String::new(),
        };
        let maker = tools.iter().find(|tool| tool.is_hoist());
        let maker = maker.ok_or("hoist is not among the tools")?;
        let reference = inner.pulled();
        maker.run(&["build", "-t", &reference, &inner.context()])?;
        maker.run(&["push", &reference])?;
        maker.forget_image(&reference);
        let manifest: Value = serde_json::from_str(&program::text(&mut command(
            "curl",
            [
                "-fsS",
                "-H",
                "Accept: application/vnd.oci.image.manifest.v1+json",
                &inner.url("manifests/latest"),
            ],
        ))?)?;
        let layer = manifest["layers"][0]["digest"].as_str();
        layer
            .ok_or("the registry's manifest names no layer")?
            .clone_into(&mut inner.layer);
        Ok(Self {
            inner: Rc::new(inner),
        })
    }

    /// All rows, in the order of the table.
    pub(super) fn rows(&self, effort: Effort) -> Vec<Row> {
        let often = effort.rounds;
        let seldom = effort.rounds.div_ceil(4);
        let row = |name, rounds, measure: fn(&Inner, &Tool) -> Result<Option<Duration>>| {
            let inner = Rc::clone(&self.inner);
            Row::new(name, rounds, move |tool| measure(&inner, tool))
        };
        vec![
            row("push, first time", seldom, push_first).goal("≤ podman / 2"),
            row("push, nothing new", often, push_again).goal("≤ docker / 8"),
            row("pull into an empty store", seldom, pull_first)
                .goal("≤ docker / 7 and ≤ podman / 4; unpacked ≤ docker / 4"),
            row("pull, nothing new", often, pull_again).goal("≤ docker / 8"),
            row("save", seldom, save).goal("≤ 1.3 × floor"),
            row("load", seldom, load).goal("≤ 1.3 × floor"),
        ]
    }

    /// Prints the most memory that pull, push and hoist's own registry had with a layer of `large` bytes.
    pub(super) fn print_peaks(&self, tools: &[Tool], large: u64) -> Result<()> {
        let Some(tool) = tools.iter().find(|tool| tool.is_hoist()) else {
            return Ok(());
        };
        let context = self.inner.directory.join("large");
        fs::create_dir_all(&context)?;
        files::make_large(&context.join("model.bin"), large)?;
        fs::write(
            context.join("Dockerfile"),
            "FROM scratch\nCOPY model.bin /\n",
        )?;
        let own = OwnRegistry::start(tool)?;
        let reference = format!("{}/hoist-bench/large:latest", own.address);
        tool.run(&["build", "-t", &reference, &context.display().to_string()])?;
        let push = peak::of(&mut tool.command(&["push", &reference]))?;
        tool.forget_image(&reference);
        let pull = peak::of(&mut tool.command(&["pull", &reference]))?;
        let serve = peak::of_process(own.child.id()).unwrap_or_default();
        tool.forget_image(&reference);
        let head = format!("peak memory, a layer of {} GB", large >> 30);
        let mut lines = vec![vec![head, "MB".to_owned(), "to reach".to_owned()]];
        for (what, peak) in [("push", push), ("pull", pull), ("registry serve", serve)] {
            lines.push(vec![
                format!("hoist {what}"),
                (peak / 1024).to_string(),
                "≤ 64".to_owned(),
            ]);
        }
        table::aligned(&lines);
        Ok(())
    }
}

impl Inner {
    fn context(&self) -> String {
        self.directory.join("context").display().to_string()
    }

    /// The image that is there to be pulled.
    fn pulled(&self) -> String {
        format!("{}/hoist-bench/pulled:latest", self.registry.address)
    }

    /// The image that a tool pushes.
    fn pushed(&self, tool: &Tool) -> String {
        let name = tool.name.replace(' ', "-");
        format!("{}/hoist-bench/{name}:latest", self.registry.address)
    }

    fn url(&self, rest: &str) -> String {
        format!(
            "http://{}/v2/hoist-bench/pulled/{rest}",
            self.registry.address
        )
    }

    /// Where a tool may put something that is deleted at once.
    fn scratch(tool: &Tool, name: &str) -> Result<PathBuf> {
        let path = tool.directory.join(name);
        // Most often it is not there.
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        fs::create_dir_all(&tool.directory)?;
        Ok(path)
    }
}

/// An image that nobody has seen is built, then pushed.
fn push_first(suite: &Inner, tool: &Tool) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    let reference = suite.pushed(tool);
    tool.forget_image(&reference);
    let data = suite.directory.join("context/data");
    files::touch(&files::file_of(&data, FILES / 2), LENGTH)?;
    tool.run(&["build", "-t", &reference, &suite.context()])?;
    tool.time(&tool.push(&reference)).map(Some)
}

fn push_again(suite: &Inner, tool: &Tool) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    tool.time(&tool.push(&suite.pushed(tool))).map(Some)
}

fn pull_first(suite: &Inner, tool: &Tool) -> Result<Option<Duration>> {
    let reference = suite.pulled();
    match tool.kind {
        Kind::Floor => {
            let tree = Inner::scratch(tool, "unpacked")?;
            fs::create_dir_all(&tree)?;
            let url = suite.url(&format!("blobs/{}", suite.layer));
            let script = "curl -fsS \"$1\" | gzip -dc | tar -xC \"$2\"";
            let mut pull = command("sh", ["-c", script, "sh", &url]);
            let begun = Instant::now();
            program::run(pull.arg(&tree))?;
            let took = begun.elapsed();
            fs::remove_dir_all(tree)?;
            Ok(Some(took))
        }
        Kind::Copier => {
            let directory = Inner::scratch(tool, "copied")?;
            let to = format!("dir:{}", directory.display());
            let from = format!("docker://{reference}");
            let took = tool.time(&["copy", "--src-tls-verify=false", &from, &to])?;
            fs::remove_dir_all(directory)?;
            Ok(Some(took))
        }
        Kind::Engine => {
            tool.forget_image(&reference);
            tool.time(&tool.pull(&reference)).map(Some)
        }
        Kind::Runtime => Ok(None),
    }
}

fn pull_again(suite: &Inner, tool: &Tool) -> Result<Option<Duration>> {
    if tool.kind != Kind::Engine {
        return Ok(None);
    }
    tool.time(&tool.pull(&suite.pulled())).map(Some)
}

fn save(suite: &Inner, tool: &Tool) -> Result<Option<Duration>> {
    let archive = suite.directory.join("saved.tar");
    match tool.kind {
        Kind::Floor => copy_archive(suite, tool),
        Kind::Engine => {
            // All archives hold the same bytes; the floor and the loads want one.
            let own = Inner::scratch(tool, "saved.tar")?;
            let took = tool.time(&["save", "-o", &own.display().to_string(), &suite.pulled()])?;
            fs::rename(own, archive)?;
            Ok(Some(took))
        }
        Kind::Runtime | Kind::Copier => Ok(None),
    }
}

/// The floor: to copy the archive that was saved last, if there is one yet.
fn copy_archive(suite: &Inner, tool: &Tool) -> Result<Option<Duration>> {
    let archive = suite.directory.join("saved.tar");
    if !archive.exists() {
        return Ok(None);
    }
    let copy = Inner::scratch(tool, "copy.tar")?;
    let begun = Instant::now();
    program::run(command("cp", [&archive]).arg(&copy))?;
    let took = begun.elapsed();
    fs::remove_file(copy)?;
    Ok(Some(took))
}

fn load(suite: &Inner, tool: &Tool) -> Result<Option<Duration>> {
    match tool.kind {
        Kind::Floor => copy_archive(suite, tool),
        Kind::Engine => {
            tool.forget_image(&suite.pulled());
            let archive = suite.directory.join("saved.tar").display().to_string();
            tool.time(&["load", "-i", &archive]).map(Some)
        }
        Kind::Runtime | Kind::Copier => Ok(None),
    }
}

/// Debian's docker-registry on loopback, ended when dropped.
struct Registry {
    address: String,
    child: Child,
}

impl Registry {
    fn start(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let config = directory.join("config.yml");
        let text = format!(
            "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\n\
             storage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
            directory.display()
        );
        fs::write(&config, text)?;
        let mut serve = command("docker-registry", ["serve"]);
        serve.arg(config);
        serve.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = serve.spawn()?;
        let said = child.stderr.take();
        let address = listening(&mut child, said)?;
        Ok(Self { address, child })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// `hoist registry serve`, ended when dropped.
struct OwnRegistry {
    address: String,
    child: Child,
}

impl OwnRegistry {
    fn start(tool: &Tool) -> Result<Self> {
        let storage = tool.directory.join("served").display().to_string();
        let flags = ["--listen", "127.0.0.1:0", "--storage", &storage];
        let mut serve = tool.command(&[&["registry", "serve"], &flags[..]].concat());
        let mut child = serve.stdout(Stdio::piped()).spawn()?;
        let said = child.stdout.take();
        let address = listening(&mut child, said)?;
        Ok(Self { address, child })
    }
}

impl Drop for OwnRegistry {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a server that this benchmark has started.
fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits until a server says where it listens; what else it says is read and forgotten.
fn listening(child: &mut Child, said: Option<impl Read + Send + 'static>) -> Result<String> {
    let mut lines = BufReader::new(said.ok_or("a server whose words nobody hears")?);
    let mut before = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            end(child);
            return Err(format!("a server did not start: {before}").into());
        }
        if let Some((_, rest)) = line.split_once("listening on ") {
            let rest = rest.trim_start_matches("http://");
            let end = rest.find([',', '"', '\n', ' ', '/']).unwrap_or(rest.len());
            let address = rest[..end].to_owned();
            std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
            return Ok(address);
        }
        before.push_str(&line);
    }
}
