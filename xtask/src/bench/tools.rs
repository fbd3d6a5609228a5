//! What is measured: hoist, the floor, and those of its peers that are on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::{self, Result, command};
use crate::{bases, debian};

/// What the benchmark's image and containers are called, in stores that others use too.
pub(super) const IMAGE: &str = "hoist-bench-busybox:latest";
pub(super) const BUILT: &str = "hoist-bench-built:latest";

/// Live state of the benchmark's own hoist.
const RUN: &str = "/run/hoist-bench";

/// hoist with layers as directories, whatever the kernel can do.
const UNPACKED: &str = "hoist unpacked";

/// What a tool can do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The bare system calls.
    Floor,
    /// Docker's command line, whoever answers it.
    Engine,
    /// A low-level runtime: it runs a bundle, and nothing else.
    Runtime,
    /// It copies images between registries and directories, and unpacks none.
    Copier,
}

/// A tool, set up and ready.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    program: PathBuf,
    /// Flags before everything else, and the environment.
    global: Vec<String>,
    environment: Vec<(&'static str, PathBuf)>,
    /// Files of its own on the benchmark's disk.
    pub(super) directory: PathBuf,
}

impl Tool {
    /// A command of the tool that says nothing.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.program, &self.global);
        command
            .args(arguments)
            .envs(self.environment.iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs a command to its end; what it wrote.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(arguments);
        program::text(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// How long a command took from its start to its end.
    pub(super) fn time(&self, arguments: &[&str]) -> Result<Duration> {
        let mut command = self.command(arguments);
        let begun = Instant::now();
        let status = command.status()?;
        let took = begun.elapsed();
        if status.success() {
            return Ok(took);
        }
        Err(format!("{} {}: {status}", self.name, arguments.join(" ")).into())
    }
}

/// All tools, hoist second and the floor first.
pub(super) struct Tools(Vec<Tool>);

impl std::ops::Deref for Tools {
    type Target = [Tool];

    fn deref(&self) -> &[Tool] {
        &self.0
    }
}

impl Tools {
    /// Sets up what is there of these `kinds`, with busybox in every store.
    pub(super) fn set_up(
        hoist: &Path,
        floor: &Path,
        disk: &Path,
        archives: &Path,
        kinds: &[Kind],
    ) -> Result<Self> {
        debian::ensure(&[("tar", "tar")])?;
        let archive = archives.join("busybox.tar");
        let tree = disk.join("tree");
        fs::create_dir(&tree)?;
        program::run(command("tar", ["-xf"]).arg(&archive).arg("-C").arg(&tree))?;

        let mut ready = Self(Vec::new());
        for tool in present(hoist, floor, disk)? {
            // The other form of layers matters where layers come from elsewhere.
            let other_form = tool.name == UNPACKED && !kinds.contains(&Kind::Copier);
            if other_form || !kinds.contains(&tool.kind) {
                continue;
            }
            fs::create_dir_all(&tool.directory)?;
            let prepared = match tool.kind {
                Kind::Floor | Kind::Copier => Ok(()),
                Kind::Engine => tool.import(&archive),
                Kind::Runtime => tool.bundle(&tree),
            };
            match prepared {
                Ok(()) => ready.0.push(tool),
                Err(error) if tool.is_hoist() => return Err(error),
                Err(error) => println!("==> {} is left out: {error}", tool.name),
            }
        }
        Ok(ready)
    }

    pub(super) fn names(&self) -> String {
        self.iter()
            .map(|tool| tool.name)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The floor, hoist, and those of its peers that are on this machine.
fn present(hoist: &Path, floor: &Path, disk: &Path) -> Result<Vec<Tool>> {
    let tool = |name: &'static str, kind: Kind, program: PathBuf| Tool {
        name,
        kind,
        program,
        global: Vec::new(),
        environment: Vec::new(),
        directory: disk.join(name),
    };
    let mut tools = vec![tool("floor", Kind::Floor, floor.to_owned())];
    let mut own = tool("hoist", Kind::Engine, hoist.to_owned());
    own.environment = vec![
        ("HOIST_ROOT", disk.join("hoist/root")),
        ("HOIST_RUN", RUN.into()),
    ];
    tools.push(own);
    let mut unpacked = tool(UNPACKED, Kind::Engine, hoist.to_owned());
    unpacked.environment = vec![
        ("HOIST_ROOT", disk.join("hoist-unpacked/root")),
        ("HOIST_RUN", format!("{RUN}-unpacked").into()),
        ("HOIST_LAYER_FORM", "unpacked".into()),
    ];
    tools.push(unpacked);
    if let Some(program) = program::find("crun") {
        tools.push(tool("crun", Kind::Runtime, program));
    }
    if let Some(program) = program::find("skopeo") {
        tools.push(tool("skopeo", Kind::Copier, program));
    }
    if let Some(program) = program::find("podman") {
        let mut podman = tool("podman", Kind::Engine, program);
        let root = disk.join("podman/root").display().to_string();
        podman.global = ["--root", &root, "--runroot", "/run/hoist-bench-podman"]
            .map(str::to_owned)
            .to_vec();
        tools.push(podman);
    }
    if let Some(program) = program::find("docker") {
        let docker = tool("docker", Kind::Engine, program);
        if docker.run(&["info"]).is_ok() {
            tools.push(docker);
        } else {
            println!("==> docker is installed, but its daemon does not answer: it is left out");
        }
    }
    Ok(tools)
}

impl Drop for Tools {
    fn drop(&mut self) {
        for tool in self.iter().filter(|tool| tool.kind == Kind::Engine) {
            tool.remove_containers();
            // Absent where the benchmark did not come that far.
            let _ = tool.run(&["rmi", "--force", IMAGE, BUILT]);
        }
        let _ = self
            .iter()
            .find(|tool| tool.name == "hoist")
            .map(|hoist| hoist.run(&["system", "prune", "--force"]));
        let _ = fs::remove_dir_all(RUN);
        let _ = fs::remove_dir_all(format!("{RUN}-unpacked"));
        // The bridge that the floor makes for its containers.
        let _ = program::output(&mut command("ip", ["link", "delete", "hoist-floor"]));
    }
}

impl Tool {
    fn import(&self, archive: &Path) -> Result<()> {
        let mut import = self.command(&["import"]);
        for change in bases::changes("busybox:latest") {
            import.args(["--change", &change]);
        }
        import.arg(archive).arg(IMAGE).stderr(Stdio::inherit());
        program::run(&mut import)
    }

    /// A bundle for a low-level runtime: the tree, and the configuration that it writes itself, with
    /// `true` as its command.
    fn bundle(&self, tree: &Path) -> Result<()> {
        program::run(self.command(&["spec"]).current_dir(&self.directory))?;
        let file = self.directory.join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
        config["process"]["args"] = json!(["true"]);
        config["process"]["terminal"] = json!(false);
        config["root"] = json!({"path": tree, "readonly": true});
        fs::write(file, serde_json::to_vec(&config)?)?;
        let bundle = self.directory.display().to_string();
        self.run(&["run", "--bundle", &bundle, "hoist-bench-first"])
            .map(drop)
    }

    /// True for hoist, in whatever form.
    pub(super) fn is_hoist(&self) -> bool {
        self.name.starts_with("hoist")
    }

    /// Removes an image with its layers, as far as the tool has them.
    pub(super) fn forget_image(&self, reference: &str) {
        // It is not there in the first round.
        let _ = self.run(&["rmi", "--force", reference]);
        if self.is_hoist() {
            self.forget_builds();
        }
    }

    /// Removes what earlier builds have left; Podman's cache are its images.
    pub(super) fn forget_builds(&self) {
        if self.name == "podman" {
            let _ = self.run(&["rmi", "--force", BUILT]);
        } else {
            let _ = self.run(&["builder", "prune", "--all", "--force"]);
        }
        if self.is_hoist() {
            let _ = self.run(&["image", "prune", "--force"]);
        }
    }

    /// The words of a push to a registry without TLS.
    pub(super) fn push<'a>(&self, reference: &'a str) -> Vec<&'a str> {
        self.plain("push", reference)
    }

    /// The words of a pull from a registry without TLS.
    pub(super) fn pull<'a>(&self, reference: &'a str) -> Vec<&'a str> {
        self.plain("pull", reference)
    }

    fn plain<'a>(&self, verb: &'a str, reference: &'a str) -> Vec<&'a str> {
        match self.name {
            "podman" => vec![verb, "--tls-verify=false", reference],
            _ => vec![verb, reference],
        }
    }

    /// The benchmark's containers, gone.
    pub(super) fn remove_containers(&self) {
        let Ok(names) = self.run(&[
            "ps",
            "--all",
            "--filter",
            "name=hoist-bench",
            "--format",
            "{{.Names}}",
        ]) else {
            return;
        };
        let names: Vec<&str> = names.split_whitespace().collect();
        if !names.is_empty() {
            // What is not removed here shows in the next measurement.
            let _ = self.run(&[&["rm", "--force"], names.as_slice()].concat());
        }
    }
}
