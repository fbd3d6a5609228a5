//! What the commands of an image need, looked up in the image: CommandNotFound,
//! HealthcheckProgram, and the last word on HealthcheckModule and UserCannotRead.

use std::path::{Path, PathBuf};

use hoist_core::{Digest, image::Config};
use hoist_dockerfile::{
    Instruction,
    instruction::InstructionKind,
    lint::{
        HEALTHCHECK_MODULE, Rule, USER_CANNOT_READ,
        script::{Command, commands},
    },
};
use hoist_engine::Engine;

use super::{
    Checks, Words, backwards, from_root, last,
    python::{Module, Python, imports},
    view::{Closed, Program, View},
};
use crate::{
    plan::Plan,
    tree::{Ownership, Root},
};

pub(super) const COMMAND_NOT_FOUND: Rule = Rule::hoist(
    "CommandNotFound",
    "What CMD and ENTRYPOINT run should be in the image",
);
pub(super) const HEALTHCHECK_PROGRAM: Rule = Rule::hoist(
    "HealthcheckProgram",
    "What HEALTHCHECK runs should be in the image",
);

/// Commands of the shell itself.
const SHELL_WORDS: [&str; 36] = [
    ".", ":", "[", "[[", "alias", "bg", "break", "case", "cd", "continue", "declare", "done",
    "echo", "esac", "eval", "exit", "export", "false", "fi", "for", "function", "local", "printf",
    "pwd", "read", "return", "set", "shift", "source", "test", "trap", "true", "ulimit", "umask",
    "unset", "wait",
];

/// Directories of programs that are often not on PATH.
const OTHER_DIRECTORIES: [&str; 5] = [
    "root/.local/bin",
    "opt/venv/bin",
    "venv/bin",
    "app/.venv/bin",
    "app/venv/bin",
];

/// Whether the image has the last word on findings of `rule`.
pub(super) fn decides(rule: &Rule) -> bool {
    *rule == HEALTHCHECK_MODULE || *rule == USER_CANNOT_READ
}

/// The image as a tree; `None` when it has no files, or its layers cannot be merged just now,
/// which is no reason to fail a build.
pub(super) fn open(engine: &Engine, layers: &[Digest]) -> Option<Root> {
    if layers.is_empty() {
        return None;
    }
    let view = engine.merged_view(layers).ok()?;
    Some(Root::new(view, PathBuf::from("/"), Ownership::Kept))
}

/// Look up what the image's commands need.
pub(super) fn look(checks: &mut Checks<'_>, plan: &Plan, root: &Root) {
    let config = &plan.target().config.config;
    let Some(view) = View::new(root, config) else {
        return;
    };
    let written = backwards(checks.dockerfile, plan);
    let mut looker = Looker {
        view: &view,
        checks,
        unreadable: false,
    };
    if let Some(job) = Job::main(config, &written) {
        looker.job(&job);
    }
    let probe = Job::probe(config, &written);
    let modules_known = probe.as_ref().is_some_and(|job| looker.job(job));
    let unreadable = looker.unreadable;
    let root_is_open = view.closed(Path::new("root")).is_none();
    checks.open.retain(|finding| {
        if *finding.rule == HEALTHCHECK_MODULE {
            // The image was asked about the same import.
            !modules_known
        } else {
            !root_is_open && !unreadable
        }
    });
}

/// A command of the image's configuration that the Dockerfile sets.
struct Job<'a> {
    instruction: &'a Instruction,
    /// `CMD`.
    name: &'static str,
    rule: &'static Rule,
    commands: Vec<Command>,
}

impl<'a> Job<'a> {
    /// What the container runs. An entry point of the base image is not the Dockerfile's concern.
    fn main(config: &Config, written: &[&'a Instruction]) -> Option<Self> {
        let entry_point = config.entrypoint.clone().unwrap_or_default();
        let command = config.cmd.clone().unwrap_or_default();
        let (name, instruction) = if entry_point.is_empty() {
            let found = last(written, |kind| matches!(kind, InstructionKind::Cmd(_)));
            ("CMD", found?)
        } else {
            let found = last(written, |kind| {
                matches!(kind, InstructionKind::Entrypoint(_))
            });
            ("ENTRYPOINT", found?)
        };
        let words = [entry_point, command].concat();
        (!words.is_empty()).then(|| Self {
            instruction,
            name,
            rule: &COMMAND_NOT_FOUND,
            commands: unfold(words),
        })
    }

    /// What the health check runs.
    fn probe(config: &Config, written: &[&'a Instruction]) -> Option<Self> {
        let instruction = last(written, |kind| {
            matches!(kind, InstructionKind::Healthcheck(_))
        })?;
        let test = &config.healthcheck.as_ref()?.test;
        let words = match test.split_first()? {
            (kind, words) if kind == "CMD" => words.to_vec(),
            (kind, [line]) if kind == "CMD-SHELL" => {
                let shell = config.shell.clone().filter(|shell| !shell.is_empty());
                let mut words =
                    shell.unwrap_or_else(|| ["/bin/sh", "-c"].map(str::to_owned).into());
                words.push(line.clone());
                words
            }
            _ => return None,
        };
        (!words.is_empty()).then(|| Self {
            instruction,
            name: "HEALTHCHECK",
            rule: &HEALTHCHECK_PROGRAM,
            commands: unfold(words),
        })
    }
}

/// The command, and the commands in it when it is a line for a shell.
fn unfold(words: Vec<String>) -> Vec<Command> {
    let mut found = Vec::new();
    if let [shell, flag, line, ..] = words.as_slice()
        && shell.ends_with("sh")
        && flag.starts_with('-')
        && flag.ends_with('c')
        && is_plain(line)
    {
        found = commands(line);
    }
    found.insert(0, Command { words });
    found
}

/// A line whose commands all run: nothing asks first whether a program is there.
fn is_plain(line: &str) -> bool {
    let odd = [
        "command -v",
        "which ",
        "type ",
        "hash ",
        "<<",
        "case ",
        "() {",
        "(){",
    ];
    !odd.iter().any(|text| line.contains(text))
}

struct Looker<'a, 'c, 'd> {
    view: &'a View<'a>,
    checks: &'c mut Checks<'d>,
    /// Something that the user may not read was told of.
    unreadable: bool,
}

impl Looker<'_, '_, '_> {
    /// Look up what `job` needs; whether all its modules could be looked up.
    fn job(&mut self, job: &Job<'_>) -> bool {
        let mut modules_known = false;
        for (position, command) in job.commands.iter().enumerate() {
            let words = command.bare();
            let Some(name) = words.first() else {
                continue;
            };
            if SHELL_WORDS.contains(&name.as_str()) || !is_program_name(name) {
                continue;
            }
            match self.view.program(name) {
                Program::Found(path) => modules_known |= self.modules(job, &path, &words[1..]),
                found => {
                    self.program(job, name, found);
                    // Without its shell a line says nothing more.
                    if position == 0 {
                        break;
                    }
                }
            }
        }
        modules_known
    }

    fn program(&mut self, job: &Job<'_>, name: &str, found: Program) {
        let kind = job.name;
        let consequence = consequence(job);
        let words = match found {
            Program::Found(_) => return,
            Program::Closed(path, closed) => {
                self.tell_closed(job, &from_root(&path), &closed);
                return;
            }
            Program::NoInterpreter(path, interpreter) if interpreter.ends_with('\r') => Words {
                message: format!(
                    "{kind} runs {}, a script with Windows line ends: {consequence}",
                    from_root(&path)
                ),
                help: Some("save it with LF only (git config core.autocrlf input)".to_owned()),
            },
            Program::NoInterpreter(path, interpreter) => Words {
                message: format!(
                    "{kind} runs {}, a script for {interpreter}, which is not in the image: \
                     {consequence}",
                    from_root(&path)
                ),
                help: Some(
                    "a virtual environment must stay at the path where it was made, beside the \
                     same Python"
                        .to_owned(),
                )
                .filter(|_| interpreter.contains("python")),
            },
            Program::Missing => {
                if name.contains('/') && self.view.is_in_volume(&self.view.resolve(name)) {
                    return;
                }
                let place = if name.contains('/') {
                    "in the image"
                } else {
                    "on PATH in the image"
                };
                Words {
                    message: format!("{kind} runs {name}, which is not {place}: {consequence}"),
                    help: self.where_else(name, job),
                }
            }
        };
        self.checks.add(job.rule, job.instruction, words);
    }

    /// What to do about a program that is missing.
    fn where_else(&self, name: &str, job: &Job<'_>) -> Option<String> {
        if name.ends_with("/sh") {
            return Some(format!(
                "the image has no shell: write {} [\"program\", \"argument\"]",
                job.name
            ));
        }
        if name.contains('/') {
            return None;
        }
        let directories = OTHER_DIRECTORIES.iter().map(Path::new);
        let found = directories
            .filter(|directory| self.view.has(&directory.join(name)))
            .map(from_root)
            .next();
        if let Some(directory) = found {
            return Some(format!(
                "it is in {directory}: ENV PATH={directory}:$PATH before {}",
                job.name
            ));
        }
        if let Program::Found(python) = self.view.program("python")
            && let Some(python) = Python::of(self.view, &python)
            && python.import(name) == Module::Fine
        {
            return Some(format!(
                "the Python module is there, its command is not: write python -m {name}, or also \
                 copy the bin directory beside lib"
            ));
        }
        (job.rule == &HEALTHCHECK_PROGRAM && matches!(name, "curl" | "wget")).then(|| {
            "install it, or use what the image has: python -c \"import urllib.request as u; \
             u.urlopen('http://localhost:8000/health', timeout=5)\""
                .to_owned()
        })
    }

    /// Look up the modules that a Python is to run or import; whether that could be done.
    fn modules(&mut self, job: &Job<'_>, program: &Path, arguments: &[String]) -> bool {
        let Some(python) = Python::of(self.view, program) else {
            return false;
        };
        let (names, verb) = match arguments
            .iter()
            .position(|word| word == "-m" || word == "-c")
        {
            Some(at) if arguments[..at].iter().all(|word| word.starts_with('-')) => {
                let Some(value) = arguments.get(at + 1) else {
                    return false;
                };
                match arguments[at].as_str() {
                    "-m" => (vec![value.clone()], "runs"),
                    _ => (imports(value), "imports"),
                }
            }
            _ => return false,
        };
        for name in names {
            if !name.contains('$') {
                self.module(job, &python, &name, verb);
            }
        }
        true
    }

    fn module(&mut self, job: &Job<'_>, python: &Python<'_>, name: &str, verb: &str) {
        let kind = job.name;
        let consequence = consequence(job);
        let rule: &'static Rule = if kind == "HEALTHCHECK" {
            &HEALTHCHECK_MODULE
        } else {
            job.rule
        };
        let top = name.split('.').next().unwrap_or(name);
        match python.import(name) {
            Module::Fine => {}
            Module::Closed(directory, closed) => {
                let what = format!("{top} in {}", from_root(&directory));
                self.tell_closed(job, &what, &closed);
            }
            Module::Elsewhere(directory) => {
                if let Some(closed) = self.view.closed(&directory.join(top)) {
                    let what = format!("{top} in {}", from_root(&directory));
                    self.tell_closed(job, &what, &closed);
                    return;
                }
                let message = format!(
                    "{kind} {verb} the module {top}, which lies in {}, where this Python does not \
                     look: {consequence}",
                    from_root(&directory)
                );
                self.checks.add(
                    rule,
                    job.instruction,
                    Words {
                        message,
                        help: Some(
                            "copy packages between images of one Python version only, and to the \
                             same path"
                                .to_owned(),
                        ),
                    },
                );
            }
            Module::Missing => {
                let message = format!(
                    "{kind} {verb} the module {top}, which is not installed in the image: \
                     {consequence}"
                );
                let help = if rule == &HEALTHCHECK_MODULE {
                    "urllib is always there, and raises on errors: python -c \"import \
                     urllib.request as u; u.urlopen('http://localhost:8000/health', timeout=5)\""
                        .to_owned()
                } else {
                    format!("add {top} to what pip installs")
                };
                self.checks.add(
                    rule,
                    job.instruction,
                    Words {
                        message,
                        help: Some(help),
                    },
                );
            }
        }
    }

    /// `what` is there, and the user may not read it. Where the text says so too, with the lines
    /// that brought it about, that is said instead.
    fn tell_closed(&mut self, job: &Job<'_>, what: &str, closed: &Closed) {
        let mut open = self.checks.open.iter();
        if self.unreadable || open.any(|finding| *finding.rule == USER_CANNOT_READ) {
            return;
        }
        self.unreadable = true;
        let words = Words {
            message: format!(
                "{} cannot read {what}, which {} needs: {} is {}",
                self.view.user(),
                job.name,
                from_root(&closed.path),
                closed.mode
            ),
            help: Some(
                "install into a virtual environment such as /opt/venv and copy that, or give the \
                 user its own copy with COPY --chown"
                    .to_owned(),
            ),
        };
        self.checks.add(&USER_CANNOT_READ, job.instruction, words);
    }
}

fn consequence(job: &Job<'_>) -> &'static str {
    if job.name == "HEALTHCHECK" {
        "every probe fails"
    } else {
        "the container cannot start"
    }
}

/// Whether a word can be looked up as it stands.
fn is_program_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with('-')
        && !word.contains(['$', '*', '?', '{', '}', '=', '<', '>', '"', '\'', '~', ' '])
}
