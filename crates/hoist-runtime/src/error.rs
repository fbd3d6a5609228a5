//! What can go wrong between a specification and a running process.

use std::{io, path::PathBuf};

use hoist_core::{Describe, Kind};

/// Why a process could not be started, or a cgroup not be set up.
///
/// Failures of the command itself are worded as Docker words them, since scripts look for that.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The specification has no command.
    #[error("no command specified")]
    NoCommand,
    /// A bare name that is in no directory of `PATH`.
    #[error("exec: \"{command}\": executable file not found in $PATH")]
    CommandNotFound {
        /// The name.
        command: String,
    },
    /// A path that does not exist.
    #[error("exec: \"{command}\": stat {command}: no such file or directory")]
    CommandMissing {
        /// The path.
        command: String,
    },
    /// The file is there, but what should interpret or load it is not.
    #[error("exec {path}: no such file or directory: its interpreter {interpreter:?} is missing")]
    InterpreterMissing {
        /// The file.
        path: String,
        /// What its first line (or its ELF header) names.
        interpreter: String,
    },
    /// The file may not be executed.
    #[error("exec: \"{command}\": permission denied")]
    NotExecutable {
        /// As it was asked for.
        command: String,
        /// Whether it is a directory.
        directory: bool,
    },
    /// The kernel knows no way to run the file.
    #[error("exec {path}: exec format error")]
    ExecFormat {
        /// The file.
        path: String,
        /// The architecture of an ELF file for another machine.
        architecture: Option<String>,
    },
    /// Another failure of `execve(2)`.
    #[error("exec: \"{command}\": {source}")]
    Execute {
        /// As it was asked for.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// The source of a bind mount does not exist.
    #[error(
        "invalid mount config for type \"bind\": bind source path does not exist: {}",
        .source_path.display()
    )]
    BindSourceMissing {
        /// Path on the host.
        source_path: PathBuf,
        /// Path in the container.
        destination: PathBuf,
    },
    /// The working directory is no directory, or not reachable for the user.
    #[error("working directory {}: {source}", .path.display())]
    WorkingDirectory {
        /// Path in the container.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One step of the plan failed in the new process.
    #[error("{step}: {}{source}", shown(.path.as_ref()))]
    Step {
        /// The step, as the plan prints it.
        step: String,
        /// The path that it was about, when the step has several.
        path: Option<PathBuf>,
        /// Why.
        source: io::Error,
    },
    /// The new process ended before it could say why.
    #[error("the process ended while it was being set up ({how})")]
    Died {
        /// Its exit code or signal.
        how: String,
        /// Whether its cgroup counted a kill for memory.
        out_of_memory: bool,
    },
    /// The kernel refused to make the process.
    #[error("cannot make a process in new namespaces: {source}")]
    Clone {
        /// Why.
        source: io::Error,
    },
    /// A system call of the parent failed.
    #[error("{call}: {source}")]
    Call {
        /// What was being done.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The specification asks for something that makes no sense.
    #[error("invalid {field}: {reason}")]
    Invalid {
        /// The part of the specification.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The specification asks for something that hoist or this host cannot do.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A user name without an entry.
    #[error("unable to find user {user}: no matching entries in passwd file")]
    UnknownUser {
        /// The name.
        user: String,
    },
    /// A group name without an entry.
    #[error("unable to find group {group}: no matching entries in group file")]
    UnknownGroup {
        /// The name.
        group: String,
    },
    /// A number that is no id.
    #[error("uids and gids must be in range 0-2147483647: {id}")]
    IdOutOfRange {
        /// The number.
        id: String,
        /// The whole of what was asked for.
        user: String,
    },
    /// A file of the image could not be read.
    #[error("reading {} of the image: {source}", .path.display())]
    RootFile {
        /// Path in the container.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or directory of the cgroup file system.
    #[error("cgroup {}: {source}", .path.display())]
    Cgroup {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A limit was not accepted.
    #[error("cannot set {limit} to {value} ({}): {source}", .path.display())]
    Limit {
        /// The limit in the user's words.
        limit: &'static str,
        /// The value written.
        value: String,
        /// The file it was written to.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A limit needs a controller that the host does not offer.
    #[error("{limit} needs the cgroup controller {controller}, which this host does not offer")]
    MissingController {
        /// The controller.
        controller: &'static str,
        /// The limit.
        limit: &'static str,
    },
    /// The memory limit leaves no room for a process.
    #[error("Minimum memory limit allowed is 6MB, got {bytes} bytes")]
    MemoryLimitTooSmall {
        /// The limit asked for.
        bytes: i64,
    },
}

fn shown(path: Option<&PathBuf>) -> String {
    path.map(|path| format!("{}: ", path.display()))
        .unwrap_or_default()
}

impl Describe for RuntimeError {
    fn kind(&self) -> Kind {
        match self {
            Self::CommandNotFound { .. }
            | Self::CommandMissing { .. }
            | Self::InterpreterMissing { .. } => Kind::ContainerCommand(127),
            Self::NotExecutable { .. } | Self::ExecFormat { .. } | Self::Execute { .. } => {
                Kind::ContainerCommand(126)
            }
            Self::NoCommand
            | Self::BindSourceMissing { .. }
            | Self::WorkingDirectory { .. }
            | Self::Invalid { .. }
            | Self::UnknownUser { .. }
            | Self::UnknownGroup { .. }
            | Self::IdOutOfRange { .. }
            | Self::MemoryLimitTooSmall { .. } => Kind::Invalid,
            Self::Unsupported { .. } | Self::MissingController { .. } => Kind::Unsupported,
            Self::Clone { source } if source.kind() == io::ErrorKind::Deadlock => Kind::Internal,
            Self::Step { .. }
            | Self::Died { .. }
            | Self::Clone { .. }
            | Self::Call { .. }
            | Self::RootFile { .. }
            | Self::Cgroup { .. }
            | Self::Limit { .. } => Kind::Unavailable,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NoCommand => "give a command, or set CMD or ENTRYPOINT in the image".to_owned(),
            Self::CommandNotFound { command } if command.contains(' ') => {
                "the whole line was taken as one program name; pass program and arguments \
                 separately, or run it with sh -c"
                    .to_owned()
            }
            Self::CommandNotFound { command } | Self::CommandMissing { command } => {
                format!("check that {command:?} is installed in the image, and how it is spelled")
            }
            Self::InterpreterMissing { interpreter, .. } if interpreter.ends_with('\r') => {
                "the first line ends in CR LF: save the script with Unix line ends \
                 (dos2unix, or *.sh text eol=lf in .gitattributes)"
                    .to_owned()
            }
            Self::InterpreterMissing { interpreter, .. } if interpreter.contains("/ld-") => {
                format!(
                    "the program was linked for another C library ({interpreter}): use an image \
                     with that library, or a static build"
                )
            }
            Self::InterpreterMissing { interpreter, .. } => {
                format!("install {interpreter} in the image, or name another on the first line")
            }
            Self::NotExecutable {
                directory: true, ..
            } => "that path is a directory; name the program in it".to_owned(),
            Self::NotExecutable { command, .. } => format!(
                "make it executable (RUN chmod +x {command}, or COPY --chmod=755), and check that \
                 the container's user may reach it"
            ),
            Self::ExecFormat {
                architecture: Some(architecture),
                ..
            } => format!(
                "the file is for {architecture}; use an image for {}",
                std::env::consts::ARCH
            ),
            Self::ExecFormat { .. } => {
                "a script must begin with a line such as #!/bin/sh".to_owned()
            }
            Self::BindSourceMissing { source_path, .. } => {
                format!("create {} on the host first", source_path.display())
            }
            Self::WorkingDirectory { path, .. } => format!(
                "check WORKDIR or -w: {} must be a directory that the container's user may enter",
                path.display()
            ),
            Self::Died {
                out_of_memory: true,
                ..
            } => "the memory limit is too small to start anything; raise it".to_owned(),
            Self::MemoryLimitTooSmall { .. } => "give at least 6m".to_owned(),
            Self::UnknownUser { user } => {
                format!("create the user in the image (RUN useradd {user}), or give a number")
            }
            Self::MissingController { controller, .. } => format!(
                "enable the {controller} controller of the host's cgroups, or leave the limit out"
            ),
            Self::Limit { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => {
                "the processes of the container already use more than that".to_owned()
            }
            _ => return Vec::new(),
        };
        vec![hint]
    }
}

/// A failed system call of the parent.
pub(crate) fn call<E: Into<io::Error>>(call: &'static str) -> impl FnOnce(E) -> RuntimeError {
    move |source| RuntimeError::Call {
        call,
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_fail_in_dockers_words() {
        let error = RuntimeError::CommandNotFound {
            command: "foo".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "exec: \"foo\": executable file not found in $PATH"
        );
        assert_eq!(error.kind(), Kind::ContainerCommand(127));
        let error = RuntimeError::NotExecutable {
            command: "/x".to_owned(),
            directory: false,
        };
        assert_eq!(error.to_string(), "exec: \"/x\": permission denied");
        assert_eq!(error.kind(), Kind::ContainerCommand(126));
        let error = RuntimeError::InterpreterMissing {
            path: "/entry.sh".to_owned(),
            interpreter: "/bin/sh\r".to_owned(),
        };
        assert!(error.hints()[0].contains("CR LF"));
    }

    #[test]
    fn a_step_names_its_path() {
        let error = RuntimeError::Step {
            step: "mount proc at /proc".to_owned(),
            path: Some("/proc".into()),
            source: io::Error::from_raw_os_error(1),
        };
        let text = error.to_string();
        assert!(text.starts_with("mount proc at /proc: /proc: "), "{text}");
    }
}
