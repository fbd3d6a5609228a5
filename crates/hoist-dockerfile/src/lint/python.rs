//! Python: UvPipNeedsSystem, PipCacheKept, UvLockUnread, ConsoleScriptsLost.

use super::script::{Command, run_commands};
use super::{Checker, Fix, Note, Rule};
use crate::expand::Scope;
use crate::instruction::{Copy, Instruction, InstructionKind, Run};

pub(super) const UV_PIP_NEEDS_SYSTEM: Rule = Rule::hoist(
    "UvPipNeedsSystem",
    "uv pip install needs --system or a virtual environment",
);
pub(super) const PIP_CACHE_KEPT: Rule =
    Rule::hoist("PipCacheKept", "pip's cache should not stay in the layer");
pub(super) const UV_LOCK_UNREAD: Rule =
    Rule::hoist("UvLockUnread", "A uv.lock that is copied should be read");
pub(super) const CONSOLE_SCRIPTS_LOST: Rule = Rule::hoist(
    "ConsoleScriptsLost",
    "Who copies site-packages alone leaves the console scripts behind",
);

/// What a stage has seen so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    /// A virtual environment was made.
    has_venv: bool,
}

pub(super) fn check_run(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    run: &Run,
    commands: &[Command],
    scope: &dyn Scope,
    environment: &mut Environment,
) {
    let (mut uv_reported, mut pip_reported) = (false, false);
    for command in commands {
        environment.has_venv |= makes_venv(command);
        let set = |name: &str| {
            scope.lookup(name).is_some() || command.assignments().any(|given| given == name)
        };
        if !uv_reported
            && let Some(arguments) = uv_pip(command)
            && !environment.has_venv
            && !["UV_SYSTEM_PYTHON", "VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"]
                .into_iter()
                .any(set)
            && !has_option(
                arguments,
                &["--system", "--target", "-t", "--prefix", "--python", "-p"],
            )
        {
            uv_reported = true;
            report_uv(checker, instruction);
        }
        if !pip_reported
            && let Some(arguments) = pip_install(command)
            && !has_option(arguments, &["--no-cache-dir", "--no-cache"])
            && !set("PIP_NO_CACHE_DIR")
            && !run
                .mounts
                .iter()
                .any(|mount| mount.text.contains("type=cache"))
            && !instruction.original.contains("pip cache purge")
        {
            pip_reported = true;
            report_cache(checker, instruction);
        }
    }
}

fn uv_pip(command: &Command) -> Option<&[String]> {
    ["install", "sync"]
        .iter()
        .find_map(|verb| command.after(&["uv", "pip", verb]))
}

fn pip_install(command: &Command) -> Option<&[String]> {
    let words = command.bare();
    let module =
        words.len() >= 4 && words[0].contains("python") && words[1..4] == ["-m", "pip", "install"];
    if module {
        return Some(&words[4..]);
    }
    ["pip", "pip3"]
        .iter()
        .find_map(|pip| command.after(&[pip, "install"]))
}

fn makes_venv(command: &Command) -> bool {
    let words = command.bare();
    command.after(&["uv", "venv"]).is_some()
        || command.after(&["uv", "sync"]).is_some()
        || command.after(&["virtualenv"]).is_some()
        || words.windows(2).any(|pair| pair == ["-m", "venv"])
}

fn has_option(arguments: &[String], options: &[&str]) -> bool {
    arguments.iter().any(|word| {
        let name = word.split('=').next().unwrap_or(word);
        options.contains(&name)
    })
}

fn report_uv(checker: &mut Checker<'_>, instruction: &Instruction) {
    let verb = ["uv pip install", "uv pip sync"]
        .into_iter()
        .find_map(|words| checker.locate_only(instruction.span, words));
    let span = verb.unwrap_or(instruction.keyword.span);
    let message = "uv pip install without a virtual environment stops with an error; in an image, \
                   install into the system's Python";
    checker.report(
        &instruction.comments,
        Note::new(&UV_PIP_NEEDS_SYSTEM, span, message)
            .help("add --system, or set ENV UV_SYSTEM_PYTHON=1")
            .fix(verb.map(|verb| Fix::insert(verb.end, " --system"))),
    );
}

fn report_cache(checker: &mut Checker<'_>, instruction: &Instruction) {
    let verb = checker
        .locate_only(instruction.span, "pip install")
        .or_else(|| checker.locate_only(instruction.span, "pip3 install"));
    let span = verb.unwrap_or(instruction.keyword.span);
    let message = "pip keeps every download in this layer";
    checker.report(
        &instruction.comments,
        Note::new(&PIP_CACHE_KEPT, span, message)
            .help("add --no-cache-dir, or RUN --mount=type=cache,target=/root/.cache/pip")
            .fix(verb.map(|verb| Fix::insert(verb.end, " --no-cache-dir"))),
    );
}

/// Looks at a stage as a whole.
pub(super) fn check_stage(checker: &mut Checker<'_>, instructions: &[Instruction]) {
    let reads_lock = instructions
        .iter()
        .any(|instruction| match &instruction.kind {
            InstructionKind::Run(run) => run_commands(run).iter().any(|command| {
                let words = command.bare();
                let uv = words.iter().any(|word| word.ends_with("uv"));
                uv && words
                    .iter()
                    .any(|word| matches!(word.as_str(), "sync" | "export" | "run" | "lock"))
                    && !words.iter().any(|word| word == "pip")
                    || words.iter().any(|word| word.contains("uv.lock"))
            }),
            _ => false,
        });
    let mut packages_seen = false;
    for instruction in instructions {
        let InstructionKind::Copy(copy) = &instruction.kind else {
            continue;
        };
        let lock = copy
            .sources
            .iter()
            .find(|source| copy.from.is_none() && source.rsplit('/').next() == Some("uv.lock"));
        if let Some(lock) = lock.filter(|_| !reads_lock) {
            let message = "uv.lock is copied but never read: the versions are resolved anew";
            checker.report(
                &instruction.comments,
                Note::new(&UV_LOCK_UNREAD, lock.span, message).help(
                    "uv sync --frozen --no-install-project, or uv export --frozen and uv pip \
                     install --system -r",
                ),
            );
        }
        if !packages_seen && copies_only_packages(copy) {
            packages_seen = true;
            if copies_scripts(instructions, copy) {
                continue;
            }
            let message = "only site-packages is copied: commands that the packages install (such \
                           as uvicorn) stay behind in bin";
            let from = copy.from.as_ref().map_or("", |from| from.as_str());
            checker.report(
                &instruction.comments,
                Note::new(&CONSOLE_SCRIPTS_LOST, copy.sources[0].span, message).help(format!(
                    "also COPY --from={from} /usr/local/bin /usr/local/bin, or run python -m NAME"
                )),
            );
        }
    }
}

fn copies_only_packages(copy: &Copy) -> bool {
    copy.from.is_some()
        && !copy.sources.is_empty()
        && copy
            .sources
            .iter()
            .all(|source| source.trim_end_matches('/').ends_with("site-packages"))
}

/// Whether another COPY takes a `bin`, or all above it, from the same place.
fn copies_scripts(instructions: &[Instruction], packages: &Copy) -> bool {
    let same = |copy: &Copy| {
        copy.from.as_ref().map(|from| &from.value) == packages.from.as_ref().map(|from| &from.value)
    };
    instructions
        .iter()
        .any(|instruction| match &instruction.kind {
            InstructionKind::Copy(copy) => {
                same(copy)
                    && copy.sources.iter().any(|source| {
                        let source = source.trim_end_matches('/');
                        source.ends_with("/bin")
                            || source.contains("/bin/")
                            || matches!(source, "/usr/local" | "/usr" | "")
                    })
            }
            _ => false,
        })
}
