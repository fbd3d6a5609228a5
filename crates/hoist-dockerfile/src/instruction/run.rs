//! `RUN`: the command, its mounts, network and security mode.

use super::mount::{self, MountSpec};
use super::{CommandForm, Request};
use crate::diagnostic::Diagnostic;
use crate::source::{Span, Spanned};
use crate::syntax::flags::Takes;
use crate::syntax::heredoc::{self, Heredoc};

/// `RUN [flags] command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The command as written; with heredocs, the line that starts them. See [`Run::program`].
    pub command: CommandForm,
    /// The heredocs, in order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, in order.
    pub mounts: Vec<MountSpec>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// `--device`, in order, unread.
    pub devices: Vec<Spanned<String>>,
    /// Where the command stands (the first line of it, if there are heredocs).
    pub command_span: Span,
}

/// What a RUN step may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// The network of the build.
    #[default]
    Default,
    /// None.
    None,
    /// The host's; needs the `network.host` entitlement.
    Host,
}

/// How a RUN step is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// As usual.
    #[default]
    Sandbox,
    /// Privileged; needs the `security.insecure` entitlement.
    Insecure,
}

/// What a RUN step executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// This text, by the stage's shell.
    Shell(String),
    /// This argument vector.
    Exec(Vec<String>),
    /// This file, executable, by its own `#!` line; Docker puts it at `/dev/pipes/<name>`, and runs
    /// that path by the stage's shell.
    Script {
        /// The heredoc's delimiter.
        name: String,
        /// The file.
        content: String,
    },
}

impl Run {
    /// What to execute.
    ///
    /// A command that is nothing but one heredoc is a script: run by its `#!` line if it has one,
    /// else by the shell. Heredocs in a longer command are left to the shell.
    #[must_use]
    pub fn program(&self) -> Program {
        let line = match &self.command {
            CommandForm::Exec(words) => return Program::Exec(words.clone()),
            CommandForm::Shell(line) => line,
        };
        let Some(first) = self.heredocs.first() else {
            return Program::Shell(line.clone());
        };
        if heredoc::parse(line).is_some() {
            let content = first.text();
            if content.starts_with("#!") {
                let name = first.name.clone();
                return Program::Script { name, content };
            }
            return Program::Shell(content);
        }
        let mut text = line.clone();
        for heredoc in &self.heredocs {
            text.push('\n');
            text.push_str(&heredoc.content);
            text.push_str(&heredoc.name);
        }
        Program::Shell(text)
    }
}

pub(super) fn parse(request: &mut Request<'_, '_>) -> Result<Run, Diagnostic> {
    let flags = request.flags(&[
        ("mount", Takes::Values),
        ("network", Takes::Value),
        ("security", Takes::Value),
        ("device", Takes::Values),
    ])?;
    let command = request.command(request.args())?;
    if command.is_empty() {
        let message = "RUN without a command runs nothing";
        let span = request.statement.keyword.span();
        let warning = Diagnostic::warning("EmptyRun", message, span);
        request.warnings.push(warning);
    }
    let mounts = flags.values("mount").into_iter();
    Ok(Run {
        command,
        heredocs: std::mem::take(&mut request.heredocs),
        mounts: mounts
            .map(|mount| mount::parse(mount, request.escape))
            .collect::<Result<_, _>>()?,
        network: network(flags.value("network"))?,
        security: security(flags.value("security"))?,
        devices: flags.values("device"),
        command_span: request.args().span(),
    })
}

fn network(value: Option<Spanned<String>>) -> Result<Network, Diagnostic> {
    let Some(value) = value else {
        return Ok(Network::default());
    };
    match value.as_str() {
        "default" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        other => {
            let message = format!("invalid network mode \"{other}\"");
            let error = Diagnostic::error("network-mode", message, value.span);
            Err(error.with_help("the modes are default, none and host"))
        }
    }
}

fn security(value: Option<Spanned<String>>) -> Result<Security, Diagnostic> {
    let Some(value) = value else {
        return Ok(Security::default());
    };
    match value.as_str() {
        "sandbox" => Ok(Security::Sandbox),
        "insecure" => Ok(Security::Insecure),
        other => {
            let message = format!("security \"{other}\" is not valid");
            let error = Diagnostic::error("security-mode", message, value.span);
            Err(error.with_help("the modes are sandbox and insecure"))
        }
    }
}
