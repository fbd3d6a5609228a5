//! From the words on the command line to one command.
//!
//! Only the parser of the named command is built. Words that are no flags are counted here, with
//! Docker's sentences when there are too many or too few.

mod pages;
#[cfg(test)]
mod tests;

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::error::ErrorKind;
use hoist_engine::Engine;

use self::pages::{group_page, overview, unknown_command, unknown_flag};
use crate::{
    args::{self, help, usage},
    commands::{self, GROUPS, Group},
    error::CliError,
    settings, ui,
};

/// A verb: how it is called, parsed and run.
#[derive(Debug)]
pub(crate) struct Command {
    /// What follows the command's name: `[OPTIONS] IMAGE [COMMAND] [ARG...]`.
    pub(crate) usage: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    /// Examples for `--help`.
    pub(crate) examples: &'static str,
    /// How many words that are no flags it takes.
    pub(crate) words: Words,
    /// The first such word ends the flags.
    pub(crate) flags_first: bool,
    /// Failures return 125 and are signed with the program's name, as Docker's `run` does.
    pub(crate) as_run: bool,
    /// Parse and do it.
    pub(crate) run: fn(&Call<'_>, Vec<OsString>) -> Result<ExitCode, CliError>,
}

/// How many words that are no flags a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// None.
    No,
    /// So many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// From the first to the second.
    Between(usize, usize),
}

/// A command as it was called.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// `hoist`, or `docker` when called so.
    pub(crate) program: &'static str,
    /// `hoist container ls`.
    path: String,
    command: &'a Command,
}

/// Do what `words`, the command line without the program, ask for.
pub(crate) fn main(program: &OsString, words: Vec<OsString>) -> ExitCode {
    let program = match Path::new(program)
        .file_name()
        .and_then(|name| name.to_str())
    {
        Some("docker") => "docker",
        _ => "hoist",
    };
    match dispatch(program, words) {
        Ok(code) => code,
        Err((error, as_run)) => {
            ui::error(&error.text(if as_run { program } else { "Error" }));
            error.code(if as_run { 125 } else { 1 })
        }
    }
}

fn dispatch(program: &'static str, words: Vec<OsString>) -> Result<ExitCode, (CliError, bool)> {
    let done = |result: Result<(), CliError>| match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err((error, false)),
    };
    let mut words = words.into_iter();
    let Some(first) = words.next() else {
        return done(ui::out(&overview(program)));
    };
    match &*first.to_string_lossy() {
        "--help" | "-h" => done(ui::out(&overview(program))),
        "--version" | "-v" => done(ui::line(&commands::version::one_line())),
        "help" => done(topic(program, words.as_slice())),
        flag if flag.starts_with('-') => Err((unknown_flag(program, flag), false)),
        name => match GROUPS.iter().find(|group| group.name == name) {
            Some(group) => verb(program, group, words),
            None => match commands::top_level(name) {
                Some(command) => call(program, &[name], command, words.collect()),
                None => Err((unknown_command(program, name), false)),
            },
        },
    }
}

/// The rest of the command line after the name of a group.
fn verb(
    program: &'static str,
    group: &'static Group,
    mut words: std::vec::IntoIter<OsString>,
) -> Result<ExitCode, (CliError, bool)> {
    let page = || match ui::out(&group_page(program, group)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err((error, false)),
    };
    let Some(verb) = words.next() else {
        return page();
    };
    match &*verb.to_string_lossy() {
        "--help" | "-h" => page(),
        verb => match commands::in_group(group, verb) {
            Some(command) => call(program, &[group.name, verb], command, words.collect()),
            None => {
                let name = format!("{} {verb}", group.name);
                Err((unknown_command(program, &name), false))
            }
        },
    }
}

fn call(
    program: &'static str,
    path: &[&str],
    command: &'static Command,
    words: Vec<OsString>,
) -> Result<ExitCode, (CliError, bool)> {
    let path = format!("{program} {}", path.join(" "));
    let call = Call {
        program,
        path,
        command,
    };
    (command.run)(&call, words).map_err(|error| (error, command.as_run))
}

impl Call<'_> {
    /// The words of the command: `hoist container ls`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Parse `argv` as the flags `A` and run `command` with them and the other words.
    pub(crate) fn with<A: clap::Args + clap::FromArgMatches>(
        &self,
        argv: Vec<OsString>,
        command: fn(&Call<'_>, &A, &[String]) -> Result<ExitCode, CliError>,
    ) -> Result<ExitCode, CliError> {
        let mut parser = args::parser::<A>(self.command.flags_first);
        let last = argv
            .last()
            .map(|word| word.to_string_lossy().into_owned())
            .unwrap_or_default();
        let parsed = parser
            .try_get_matches_from_mut(argv)
            .and_then(|mut matches| {
                let words: Vec<String> = matches
                    .remove_many(args::WORDS)
                    .into_iter()
                    .flatten()
                    .collect();
                A::from_arg_matches(&matches).map(|flags| (flags, words))
            });
        match parsed {
            Ok((flags, words)) => {
                self.count(words.len())?;
                command(self, &flags, &words)
            }
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                ui::out(&self.page(&parser, ui::terminal::columns()))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Err(self.flag_error(&usage::sentence(&error, &parser, &last))),
        }
    }

    /// The engine on the data root of the environment.
    pub(crate) fn engine(&self) -> Result<Engine, CliError> {
        Ok(Engine::open(settings::engine()?)?)
    }

    /// The engine for work that changes or runs something: ordinary users enter a user namespace.
    pub(crate) fn working_engine(&self) -> Result<Engine, CliError> {
        let settings = settings::engine()?;
        if settings.rootless {
            hoist_engine::rootless::enter()?;
        }
        Ok(Engine::open(settings)?)
    }

    /// A flag that is wrong: what, and how the command is used.
    pub(crate) fn flag_error(&self, sentence: &str) -> CliError {
        CliError::Usage {
            text: format!("{sentence}\n\n{}", self.usage_lines()),
            code: 125,
        }
    }

    fn usage_lines(&self) -> String {
        let Self { path, command, .. } = self;
        format!(
            "Usage:  {path} {}\n\nRun '{path} --help' for more information",
            command.usage
        )
    }

    fn count(&self, count: usize) -> Result<(), CliError> {
        let needs = match self.command.words {
            Words::No if count > 0 => "accepts no arguments".to_owned(),
            Words::Exactly(exact) if count != exact => format!("requires {}", arguments(exact)),
            Words::AtLeast(least) if count < least => {
                format!("requires at least {}", arguments(least))
            }
            Words::Between(least, most) if !(least..=most).contains(&count) => {
                format!("requires at least {least} and at most {}", arguments(most))
            }
            _ => return Ok(()),
        };
        let Self { program, path, .. } = self;
        let text = format!("{program}: '{path}' {needs}\n\n{}", self.usage_lines());
        Err(CliError::Usage { text, code: 1 })
    }

    fn page(&self, parser: &clap::Command, width: usize) -> String {
        let page = help::Page {
            usage: &format!("{} {}", self.path, self.command.usage),
            about: self.command.about,
            aliases: commands::paths(self.command)
                .map(|path| format!("{} {path}", self.program))
                .collect(),
            examples: &self
                .command
                .examples
                .replace("hoist ", &format!("{} ", self.program)),
        };
        help::render(&page, parser, width)
    }
}

fn arguments(count: usize) -> String {
    format!("{count} argument{}", if count == 1 { "" } else { "s" })
}

/// `help COMMAND…`.
fn topic(program: &'static str, words: &[OsString]) -> Result<(), CliError> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let help = vec![OsString::from("--help")];
    let found = match words.as_slice() {
        [] => return ui::out(&overview(program)),
        [name] => match GROUPS.iter().find(|group| group.name == *name) {
            Some(group) => return ui::out(&group_page(program, group)),
            None => commands::top_level(name),
        },
        [name, verb] => GROUPS
            .iter()
            .find(|group| group.name == *name)
            .and_then(|group| commands::in_group(group, verb)),
        _ => None,
    };
    match found {
        Some(command) => call(program, &words, command, help)
            .map(drop)
            .map_err(|(error, _)| error),
        None => Err(CliError::Usage {
            text: format!("unknown help topic: {}", words.join(" ")),
            code: 1,
        }),
    }
}
