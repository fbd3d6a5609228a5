//! `--help` in Docker's layout, with the flags of the larger commands in groups.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

/// What stands around the flags.
pub(crate) struct Page<'a> {
    /// `hoist run [OPTIONS] IMAGE [COMMAND] [ARG...]`.
    pub(crate) usage: &'a str,
    /// One line.
    pub(crate) about: &'a str,
    /// Every way to write the command, when there is more than one.
    pub(crate) aliases: Vec<String>,
    /// Examples, indented; may be empty.
    pub(crate) examples: &'a str,
}

const DEFAULT_HEADING: &str = "Options";

/// The page of the command that `parser` parses, wrapped at `width` columns.
pub(crate) fn render(page: &Page<'_>, parser: &Command, width: usize) -> String {
    let mut out = format!("Usage:  {}\n\n{}\n", page.usage, page.about);
    if page.aliases.len() > 1 {
        let _ = writeln!(out, "\nAliases:\n  {}", page.aliases.join(", "));
    }
    let shown: Vec<&Arg> = parser
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !arg.is_hide_set() && arg.get_id() != "help")
        .collect();
    let column = shown.iter().map(|arg| name(arg).len()).max().unwrap_or(0) + 3;
    let mut headings: Vec<&str> = Vec::new();
    for arg in &shown {
        let heading = arg.get_help_heading().unwrap_or(DEFAULT_HEADING);
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        let _ = writeln!(out, "\n{heading}:");
        let of_heading = |arg: &&&Arg| arg.get_help_heading().unwrap_or(DEFAULT_HEADING) == heading;
        for arg in shown.iter().filter(of_heading) {
            flag(&mut out, arg, column, width);
        }
    }
    if !page.examples.is_empty() {
        let _ = writeln!(out, "\nExamples:\n{}", page.examples.trim_end());
    }
    out
}

/// `  -m, --memory bytes`.
fn name(arg: &Arg) -> String {
    let mut name = match arg.get_short() {
        Some(short) => format!("  -{short}, --"),
        None => "      --".to_owned(),
    };
    name.push_str(arg.get_long().unwrap_or_default());
    if arg
        .get_num_args()
        .is_none_or(|range| range.min_values() > 0)
        && takes_value(arg)
    {
        let value = arg.get_value_names().and_then(|names| names.first());
        let _ = write!(name, " {}", value.map_or("string", |value| value.as_str()));
    }
    name
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

fn flag(out: &mut String, arg: &Arg, column: usize, width: usize) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let room = width.saturating_sub(column).max(24);
    let mut name = name(arg);
    for line in wrap(&help, room) {
        let _ = writeln!(out, "{name:<column$}{line}");
        name.clear();
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
