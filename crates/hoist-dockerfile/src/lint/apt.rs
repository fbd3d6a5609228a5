//! Debian packages: AptUpdateAlone, AptListsKept.

use super::script::Command;
use super::{Checker, Note, Rule};
use crate::instruction::{Instruction, MountKind, Run};

pub(super) const APT_UPDATE_ALONE: Rule = Rule::hoist(
    "AptUpdateAlone",
    "apt-get update and install should be one RUN, or install uses an old cached list",
);
pub(super) const APT_LISTS_KEPT: Rule =
    Rule::hoist("AptListsKept", "Package lists should not stay in the layer");

pub(super) fn check(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    run: &Run,
    commands: &[Command],
) {
    let runs = |words: &str| commands.iter().any(|command| is_apt(command, words));
    let (updates, installs) = (runs("update"), runs("install"));
    if updates && !installs && !runs("upgrade") && !runs("dist-upgrade") && !runs("build-dep") {
        let message = "apt-get update in a RUN of its own: later installs use this cached list, \
                       however old it is";
        let span = checker
            .locate(instruction.span, "update")
            .unwrap_or(instruction.span);
        checker.report(
            &instruction.comments,
            Note::new(&APT_UPDATE_ALONE, span, message)
                .help("RUN apt-get update && apt-get install -y … && rm -rf /var/lib/apt/lists/*"),
        );
    }
    let cleans = instruction.original.contains("/var/lib/apt/lists");
    let cached = run
        .mounts
        .iter()
        .any(|mount| mount.text.contains(MountKind::Cache.as_str()) && mount.text.contains("/apt"));
    if updates && installs && !cleans && !cached {
        let message = "the package lists of apt-get update stay in this layer";
        let span = checker
            .locate(instruction.span, "update")
            .unwrap_or(instruction.span);
        checker.report(
            &instruction.comments,
            Note::new(&APT_LISTS_KEPT, span, message)
                .help("end the RUN with && rm -rf /var/lib/apt/lists/*"),
        );
    }
}

fn is_apt(command: &Command, subcommand: &str) -> bool {
    ["apt-get", "apt"]
        .iter()
        .any(|program| command.after(&[program, subcommand]).is_some())
}
