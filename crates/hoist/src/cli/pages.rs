//! What is shown without running a command: the overview, the pages of nouns, unknown words.

use crate::{
    commands::{self, Entry, GROUPS, Group, SECTIONS},
    error::CliError,
};

/// What `hoist` alone prints.
pub(super) fn overview(program: &str) -> String {
    let mut page = format!(
        "Usage:  {program} COMMAND\n\nBuilds images and runs containers, without a daemon\n"
    );
    let line = |name: &str, about: &str| format!("  {name:<12}{about}\n");
    for (heading, entries) in SECTIONS {
        page.push_str(&format!("\n{heading}:\n"));
        for Entry { name, command, .. } in *entries {
            page.push_str(&line(name, command.about));
        }
        if *heading == commands::COMMON {
            page.push_str("\nManagement Commands:\n");
            for group in GROUPS {
                page.push_str(&line(group.name, group.about));
            }
        }
    }
    page.push_str("\nGlobal Options:\n  -v, --version  Print version information and quit\n");
    page.push_str(&format!(
        "\nRun '{program} COMMAND --help' for more information on a command.\n"
    ));
    page
}

pub(super) fn group_page(program: &str, group: &Group) -> String {
    let mut page = format!(
        "Usage:  {program} {} COMMAND\n\n{}\n\nCommands:\n",
        group.name, group.about
    );
    for Entry { name, command, .. } in group.entries {
        page.push_str(&format!("  {name:<10}{}\n", command.about));
    }
    page.push_str(&format!(
        "\nRun '{program} {} COMMAND --help' for more information on a command.\n",
        group.name
    ));
    page
}

/// A flag where a command must be.
pub(super) fn unknown_flag(program: &str, flag: &str) -> CliError {
    let name = flag.split('=').next().unwrap_or(flag);
    let what = match name.strip_prefix('-').filter(|rest| !rest.starts_with('-')) {
        Some(rest) => format!(
            "unknown shorthand flag: '{}' in {name}",
            rest.chars().next().unwrap_or('-')
        ),
        None => format!("unknown flag: {name}"),
    };
    let usage = format!("Usage:  {program} COMMAND\n\nRun '{program} --help' for more information");
    CliError::Usage {
        text: format!("{what}\n\n{usage}"),
        code: 125,
    }
}

/// A word that is no command.
pub(super) fn unknown_command(program: &str, name: &str) -> CliError {
    let mut text = format!("{program}: unknown command: {program} {name}\n");
    if let Some(near) = commands::nearest(name) {
        text.push_str(&format!("\nDid you mean '{program} {near}'?\n"));
    }
    text.push_str(&format!("\nRun '{program} --help' for more information"));
    CliError::Usage { text, code: 1 }
}
