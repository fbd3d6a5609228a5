//! The flags of every command, one struct a command, and what Docker's flag parser says of them.
//!
//! A struct derives [`clap::Args`] and holds flags only; the words that are no flags (`IMAGE`,
//! `CONTAINER…`) are counted and handed over by [`crate::cli`]. [`parser`] turns such a struct into
//! a parser with the habits of Docker's: the last of two equal flags wins, a flag's value may start
//! with a hyphen, `--rm=false` is a value of `--rm`.

pub(crate) mod build;
pub(crate) mod builder;
pub(crate) mod check;
pub(crate) mod container;
pub(crate) mod context;
pub(crate) mod filter;
pub(crate) mod help;
pub(crate) mod image;
pub(crate) mod lifecycle;
pub(crate) mod list;
pub(crate) mod manifest;
pub(crate) mod registry;
pub(crate) mod serve;
pub(crate) mod store;
pub(crate) mod system;
pub(crate) mod usage;
pub(crate) mod value;

#[cfg(test)]
mod tests;

use clap::{Arg, ArgAction};

/// The id of the words that are no flags.
pub(crate) const WORDS: &str = "words";

/// A command without flags of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct NoFlags {}

/// The parser of the flags `A`.
///
/// With `flags_first`, the first word that is no flag ends the flags (`run`, `create`, `exec`).
pub(crate) fn parser<A: clap::Args>(flags_first: bool) -> clap::Command {
    let command = A::augment_args(clap::Command::new("hoist"))
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .mut_args(as_docker_parses);
    let help = Arg::new("help")
        .long("help")
        .action(ArgAction::Help)
        .help("Print usage");
    let taken = command
        .get_arguments()
        .any(|arg| arg.get_short() == Some('h'));
    command.arg(if taken { help } else { help.short('h') }).arg(
        Arg::new(WORDS)
            .num_args(1..)
            .action(ArgAction::Append)
            .trailing_var_arg(flags_first),
    )
}

fn as_docker_parses(arg: Arg) -> Arg {
    match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .value_parser(value::boolean),
        ArgAction::Set | ArgAction::Append if !arg.is_positional() => arg.allow_hyphen_values(true),
        _ => arg,
    }
}
