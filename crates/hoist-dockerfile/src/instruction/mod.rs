//! The instructions of a Dockerfile, as values.
//!
//! Texts are as written, unexpanded, quotes included; [`crate::expand::instruction`] expands a
//! whole instruction.

mod add_copy;
mod argument;
mod duration;
mod expose;
mod from;
mod healthcheck;
mod keyword;
mod mount;
mod onbuild;
mod pairs;
mod parse;
mod run;

use crate::source::{Span, Spanned};

pub use add_copy::{Add, Copy, InlineFile};
pub use argument::Arg;
pub use expose::{Port, PortError};
pub use healthcheck::{HealthTest, Healthcheck};
pub use keyword::Keyword;
pub use mount::{Mount, MountKind, MountSpec, Sharing};
pub use onbuild::{OnBuild, parse_trigger};
pub use pairs::KeyValue;
pub use run::{Network, Program, Run, Security};

pub(crate) use from::From;
pub(crate) use parse::{Parsed, Request, Statement};

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// What it says.
    pub kind: InstructionKind,
    /// From its first to its last byte; heredoc bodies included.
    pub span: Span,
    /// The keyword as written.
    pub keyword: Spanned<String>,
    /// The instruction on one line as the history of an image shows it: keyword in upper case,
    /// continuation lines joined, comments dropped.
    pub original: String,
    /// The comments right above it, without their `#`.
    pub comments: Vec<Spanned<String>>,
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstructionKind {
    /// `RUN`.
    Run(Run),
    /// `COPY`.
    Copy(Copy),
    /// `ADD`.
    Add(Add),
    /// `ENV`.
    Env(Vec<KeyValue>),
    /// `ARG`.
    Arg(Vec<Arg>),
    /// `WORKDIR`.
    Workdir(Spanned<String>),
    /// `USER`.
    User(Spanned<String>),
    /// `CMD`.
    Cmd(CommandForm),
    /// `ENTRYPOINT`.
    Entrypoint(CommandForm),
    /// `EXPOSE`: port specifications; [`Port::parse`] reads one after expansion.
    Expose(Vec<Spanned<String>>),
    /// `VOLUME`.
    Volume(Vec<Spanned<String>>),
    /// `LABEL`.
    Label(Vec<KeyValue>),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    StopSignal(Spanned<String>),
    /// `ONBUILD`.
    OnBuild(OnBuild),
    /// `MAINTAINER` (deprecated).
    Maintainer(Spanned<String>),
}

impl InstructionKind {
    /// The instruction's keyword.
    #[must_use]
    pub fn keyword(&self) -> Keyword {
        match self {
            Self::Run(_) => Keyword::Run,
            Self::Copy(_) => Keyword::Copy,
            Self::Add(_) => Keyword::Add,
            Self::Env(_) => Keyword::Env,
            Self::Arg(_) => Keyword::Arg,
            Self::Workdir(_) => Keyword::Workdir,
            Self::User(_) => Keyword::User,
            Self::Cmd(_) => Keyword::Cmd,
            Self::Entrypoint(_) => Keyword::Entrypoint,
            Self::Expose(_) => Keyword::Expose,
            Self::Volume(_) => Keyword::Volume,
            Self::Label(_) => Keyword::Label,
            Self::Healthcheck(_) => Keyword::Healthcheck,
            Self::Shell(_) => Keyword::Shell,
            Self::StopSignal(_) => Keyword::StopSignal,
            Self::OnBuild(_) => Keyword::OnBuild,
            Self::Maintainer(_) => Keyword::Maintainer,
        }
    }

    /// Whether the instruction makes a layer.
    #[must_use]
    pub fn changes_files(&self) -> bool {
        matches!(
            self,
            Self::Run(_) | Self::Copy(_) | Self::Add(_) | Self::Workdir(_)
        )
    }
}

/// How a command is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandForm {
    /// A line for the stage's shell.
    Shell(String),
    /// A JSON array: program and arguments, no shell.
    Exec(Vec<String>),
}

impl CommandForm {
    /// Whether there is no command at all (`CMD []`, `ENTRYPOINT []`, `CMD`).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Shell(line) => line.is_empty(),
            Self::Exec(words) => words.is_empty(),
        }
    }

    /// The argument vector, the shell form behind `shell` (`["/bin/sh", "-c"]` by default).
    #[must_use]
    pub fn argv(&self, shell: &[String]) -> Vec<String> {
        match self {
            Self::Shell(line) => shell.iter().chain([line]).cloned().collect(),
            Self::Exec(words) => words.clone(),
        }
    }
}
