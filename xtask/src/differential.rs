//! `cargo xtask differential`: the article's examples built by hoist and by Docker, and the results
//! compared: the configuration field by field, the history line by line, the flattened file system
//! file by file.
//!
//! Both start from the same base images: hoist's, which Docker loads.

mod files;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{self, Result, command};
use crate::{bases, workspace};

/// The base images of the examples.
const BASES: [&str; 3] = ["busybox:latest", "debian:bookworm-slim", "python:3.11-slim"];

/// The name of what is built.
const IMAGE: &str = "hoist-differential:1";

/// The fields of the configuration that are compared, as `inspect` of both calls them.
const FIELDS: [&str; 12] = [
    "User",
    "ExposedPorts",
    "Env",
    "Cmd",
    "Entrypoint",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "Shell",
    "OnBuild",
];

/// Differences of one example that are printed; the others are counted.
const SHOWN: usize = 20;

/// Builds and compares all examples, or those that are named.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let docker = Tool::docker()?;
    let hoist = Tool(workspace::debug_hoist()?);
    bases::make(false)?;
    bases::import(&hoist.0, false)?;
    for base in BASES {
        hand_over(&hoist, &docker, base)?;
    }
    let mut wrong = Vec::new();
    for example in examples(arguments)? {
        let name = example
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        println!("==> {name}");
        let differences = compare(&hoist, &docker, &example)?;
        for difference in differences.iter().take(SHOWN) {
            println!("    {difference}");
        }
        match differences.len() {
            0 => println!("    equal"),
            count if count > SHOWN => println!("    and {} more", count - SHOWN),
            _ => {}
        }
        if !differences.is_empty() {
            wrong.push(name);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("hoist and Docker differ on {}", wrong.join(", ")).into())
}

/// The directories with the examples.
fn examples(named: &[String]) -> Result<Vec<PathBuf>> {
    let all = workspace::root().join("examples/article");
    if !named.is_empty() {
        let found: Vec<PathBuf> = named.iter().map(|name| all.join(name)).collect();
        return match found.iter().find(|path| !path.is_dir()) {
            Some(missing) => Err(format!("there is no example {}", missing.display()).into()),
            None => Ok(found),
        };
    }
    let entries = std::fs::read_dir(&all)?.map(|entry| entry.map(|entry| entry.path()));
    let mut found = entries.collect::<std::io::Result<Vec<PathBuf>>>()?;
    found.sort();
    Ok(found)
}

/// A program with Docker's command line.
struct Tool(PathBuf);

/// What a tool made of an example.
enum Outcome {
    /// The build failed; the last line that it said.
    Failed(String),
    Built {
        config: Value,
        history: Vec<String>,
    },
}

impl Tool {
    /// Docker, when an engine answers.
    fn docker() -> Result<Self> {
        let missing = "no Docker engine answers: apt-get install docker.io docker-buildx, and start it: \
                       systemctl start docker";
        let program = std::env::var_os("DOCKER").map(PathBuf::from);
        let program = program.or_else(|| program::find("docker")).ok_or(missing)?;
        let tool = Self(program);
        let format = "{{.Server.Version}}";
        let answer = program::output(&mut tool.command(["version", "--format", format]))?;
        if !answer.status.success() {
            return Err(missing.into());
        }
        let version = String::from_utf8_lossy(&answer.stdout);
        println!("compared with Docker {}", version.trim());
        Ok(tool)
    }

    fn command<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = command(&self.0, arguments);
        command.env("DOCKER_BUILDKIT", "1");
        command
    }

    /// Build the example, and look at what came out.
    fn build(&self, example: &Path) -> Result<Outcome> {
        let mut build = self.command(["build", "--quiet", "--tag", IMAGE]);
        let output = program::output(build.arg(example))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            return Ok(Outcome::Failed(last.unwrap_or_default().to_owned()));
        }
        let text = program::text(&mut self.command(["inspect", "--type", "image", IMAGE]))?;
        let inspected: Value = serde_json::from_str(&text)?;
        let format = "{{.CreatedBy}}";
        let history =
            program::text(&mut self.command(["history", "--no-trunc", "--format", format, IMAGE]))?;
        Ok(Outcome::Built {
            config: inspected[0]["Config"].clone(),
            history: history.lines().map(str::to_owned).collect(),
        })
    }

    /// The flattened file system of the example, in the directory `at`.
    fn files(&self, example: &Path, at: &Path) -> Result<()> {
        std::fs::create_dir_all(at)?;
        let mut build = self.command(["build", "--quiet", "--output", "type=tar,dest=-"]);
        let mut build = build.arg(example).stdout(Stdio::piped()).spawn()?;
        let archive = build.stdout.take().ok_or("the build has no output")?;
        let mut unpack = command(
            "tar",
            ["--extract", "--preserve-permissions", "--numeric-owner"],
        );
        unpack
            .args(["--same-owner", "--directory"])
            .arg(at)
            .stdin(archive);
        program::run(&mut unpack)?;
        match build.wait()?.success() {
            true => Ok(()),
            false => Err(format!("{} build --output failed", self.0.display()).into()),
        }
    }
}

/// Give Docker the base image that hoist has.
fn hand_over(hoist: &Tool, docker: &Tool, image: &str) -> Result<()> {
    let mut save = hoist.command(["save", image]);
    let mut save = save.stdout(Stdio::piped()).spawn()?;
    let archive = save.stdout.take().ok_or("save has no output")?;
    program::run(docker.command(["load", "--quiet"]).stdin(archive))?;
    match save.wait()?.success() {
        true => Ok(()),
        false => Err(format!("hoist save {image} failed").into()),
    }
}

/// What is different about the two images of an example.
fn compare(hoist: &Tool, docker: &Tool, example: &Path) -> Result<Vec<String>> {
    let (ours, theirs) = (hoist.build(example)?, docker.build(example)?);
    let (config, history) = match (ours, theirs) {
        (Outcome::Failed(_), Outcome::Failed(_)) => return Ok(Vec::new()),
        (Outcome::Failed(why), _) => return Ok(vec![format!("hoist alone fails: {why}")]),
        (_, Outcome::Failed(why)) => return Ok(vec![format!("Docker alone fails: {why}")]),
        (
            Outcome::Built { config, history },
            Outcome::Built {
                config: their_config,
                history: their_history,
            },
        ) => ((config, their_config), (history, their_history)),
    };
    let mut differences = configurations(&config.0, &config.1);
    differences.extend(histories(&history.0, &history.1));
    let place = workspace::target().join("differential");
    let (ours, theirs) = (place.join("hoist"), place.join("docker"));
    for directory in [&ours, &theirs] {
        if directory.exists() {
            std::fs::remove_dir_all(directory)?;
        }
    }
    hoist.files(example, &ours)?;
    docker.files(example, &theirs)?;
    differences.extend(files::compare(&ours, &theirs)?);
    std::fs::remove_dir_all(&place)?;
    Ok(differences)
}

/// Fields that differ. What says nothing is as good as absent.
fn configurations(ours: &Value, theirs: &Value) -> Vec<String> {
    let of = |config: &Value, field: &str| match &config[field] {
        Value::Array(list) if list.is_empty() => Value::Null,
        Value::Object(map) if map.is_empty() => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        value => value.clone(),
    };
    let fields = FIELDS
        .iter()
        .map(|field| (field, of(ours, field), of(theirs, field)));
    fields
        .filter(|(_, ours, theirs)| ours != theirs)
        .map(|(field, ours, theirs)| format!("config {field}: hoist {ours}, Docker {theirs}"))
        .collect()
}

/// Lines that differ.
fn histories(ours: &[String], theirs: &[String]) -> Vec<String> {
    if ours.len() != theirs.len() {
        let (ours, theirs) = (ours.len(), theirs.len());
        return vec![format!("history: hoist has {ours} lines, Docker {theirs}")];
    }
    let pairs = ours.iter().zip(theirs);
    pairs
        .filter(|(ours, theirs)| ours != theirs)
        .map(|(ours, theirs)| format!("history: hoist {ours:?}, Docker {theirs:?}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_say_nothing_are_equal() {
        let ours = json!({ "User": "", "Env": ["A=1"], "Cmd": ["a"], "Other": 1 });
        let theirs = json!({ "Env": ["A=1"], "Cmd": ["b"], "Labels": {}, "Entrypoint": null });
        let found = configurations(&ours, &theirs);
        assert_eq!(found, ["config Cmd: hoist [\"a\"], Docker [\"b\"]"]);
    }

    #[test]
    fn histories_are_compared_line_by_line() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(histories(&lines("a\nb"), &lines("a\nb")), [""; 0]);
        assert_eq!(
            histories(&lines("a\nb"), &lines("a\nc")),
            ["history: hoist \"b\", Docker \"c\""]
        );
        assert_eq!(
            histories(&lines("a"), &lines("a\nc")),
            ["history: hoist has 1 lines, Docker 2"]
        );
    }
}
