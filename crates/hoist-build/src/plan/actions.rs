//! RUN, COPY and ADD as actions, and the refusal of what is not there yet.

use hoist_dockerfile::{
    instruction::{
        Add, Copy, InlineFile, Mount, MountKind, Network, Program, Run, Security, Sharing,
    },
    stages::Origin,
};
use hoist_engine::request::NetworkMode;

use super::{
    Base, CopyAction, CopyFrom, CopyOptions, MountAction, MountSource, RunAction, Variable,
    VariableOrigin,
    stage::{Builder, named_context},
};
use crate::{
    config,
    error::BuildError,
    execute::{chmod::Chmod, copy},
    history,
};

/// Build arguments that reach RUN without an ARG (Docker's "predefined ARGs").
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

fn invalid(message: impl Into<String>, hint: &str) -> BuildError {
    BuildError::Invalid {
        message: message.into(),
        hints: vec![hint.to_owned()],
    }
}

fn unsupported(what: impl Into<String>, hint: &str) -> BuildError {
    BuildError::Unsupported {
        what: what.into(),
        hints: vec![hint.to_owned()],
    }
}

impl Builder<'_> {
    pub(super) fn run(&self, run: &Run, mounts: &[Mount]) -> Result<RunAction, BuildError> {
        if run.security == Security::Insecure {
            return Err(unsupported(
                "RUN --security=insecure",
                "steps run confined, as by default",
            ));
        }
        if !run.devices.is_empty() {
            return Err(unsupported(
                "RUN --device",
                "steps see the default devices only",
            ));
        }
        let shell = self.config.shell();
        let mut script = None;
        let (argv, command) = match run.program() {
            Program::Exec(words) => (words.clone(), words.join(" ")),
            Program::Shell(text) => (with(shell, text.clone()), text),
            Program::Script { name, content } => {
                let path = format!("/dev/pipes/{name}");
                script = Some((name, content.clone()));
                (with(shell, path), content)
            }
        };
        if argv.is_empty() {
            return Err(invalid(
                "RUN needs a command",
                "write RUN command, or RUN [\"program\"]",
            ));
        }
        let written = run.mounts.iter().map(|mount| mount.text.value.as_str());
        let mounts = mounts.iter().zip(written);
        Ok(RunAction {
            argv,
            command,
            script,
            variables: self.variables(),
            working_dir: self.config.working_dir().to_owned(),
            user: self.config.config.user.clone(),
            network: self.network(run.network)?,
            mounts: mounts
                .map(|(mount, text)| self.mount(mount, text))
                .collect::<Result<_, _>>()?,
        })
    }

    fn network(&self, network: Network) -> Result<NetworkMode, BuildError> {
        match network {
            Network::Default => Ok(self.inputs.network),
            Network::None => Ok(NetworkMode::None),
            Network::Host if self.inputs.network == NetworkMode::Host => Ok(NetworkMode::Host),
            Network::Host => Err(invalid(
                "RUN --network=host is not allowed: a Dockerfile must not reach the host's network on its own",
                "build with --network host to allow it",
            )),
        }
    }

    /// The environment of a RUN: that of the image in its order, then the build arguments, then
    /// the proxies that no ARG declares.
    fn variables(&self) -> Vec<Variable> {
        let all = self.scope.variables();
        let order = self.config.config.env.iter();
        let mut names: Vec<&str> = order.filter_map(|pair| pair.split('=').next()).collect();
        names.extend(
            all.keys()
                .map(String::as_str)
                .filter(|name| self.scope.is_declared(name)),
        );
        let mut variables: Vec<Variable> = Vec::new();
        for name in names {
            let Some(value) = all.get(name) else { continue };
            if variables.iter().any(|known| known.name == name) {
                continue;
            }
            let declared = self.scope.is_declared(name);
            variables.push(Variable {
                name: name.to_owned(),
                value: value.clone(),
                origin: if declared {
                    VariableOrigin::Arg
                } else {
                    VariableOrigin::Env
                },
            });
        }
        for (name, value) in self.inputs.build_args {
            if PROXIES.contains(&name.as_str()) && !all.contains_key(name) {
                variables.push(Variable {
                    name: name.clone(),
                    value: value.clone(),
                    origin: VariableOrigin::Proxy,
                });
            }
        }
        variables
    }

    fn mount(&self, mount: &Mount, text: &str) -> Result<MountAction, BuildError> {
        let target = mount.target.as_deref();
        let source = match mount.kind {
            MountKind::Tmpfs => MountSource::Tmpfs { size: mount.size },
            MountKind::Bind => MountSource::Bind {
                from: self.from(mount.from.as_deref())?,
                path: mount.source.clone().unwrap_or_else(|| "/".to_owned()),
            },
            MountKind::Cache if mount.from.is_some() || mount.source.is_some() => {
                return Err(unsupported(
                    "RUN --mount=type=cache with from or source",
                    "start from an empty cache: leave from and source out",
                ));
            }
            MountKind::Cache => MountSource::Cache {
                id: mount
                    .id
                    .clone()
                    .or(target.map(str::to_owned))
                    .unwrap_or_default(),
                sharing: mount.sharing.unwrap_or(Sharing::Shared),
                mode: mount.mode.unwrap_or(0o755),
                uid: mount.uid.unwrap_or(0),
                gid: mount.gid.unwrap_or(0),
            },
            MountKind::Secret => {
                return Err(unsupported(
                    "RUN --mount=type=secret",
                    "use the secret before the build, or give it to the container at run time",
                ));
            }
            MountKind::Ssh => {
                return Err(unsupported(
                    "RUN --mount=type=ssh",
                    "clone what needs the key before the build, and COPY it",
                ));
            }
        };
        let Some(target) = target else {
            return Err(invalid(
                format!("mount {text} has no target"),
                "write target=/path, the place in the container",
            ));
        };
        let target = config::absolute(self.config.working_dir(), target);
        if target == "/" {
            return Err(invalid("invalid mount target /", "mount below the root"));
        }
        Ok(MountAction {
            text: text.to_owned(),
            target,
            read_only: mount.read_only,
            source,
        })
    }

    /// What `from=` or `--from` names; the context without it.
    fn from(&self, from: Option<&str>) -> Result<CopyFrom, BuildError> {
        let Some(from) = from else {
            return Ok(CopyFrom::Context);
        };
        Ok(CopyFrom::Other(match self.inputs.resolution.source(from) {
            Origin::Scratch => Base::Scratch,
            Origin::Stage(number) => match self.positions.get(&number) {
                Some(position) => Base::Stage(*position),
                None => {
                    return Err(invalid(
                        format!("stage \"{from}\" needs to be defined before it is used"),
                        "move the stage up",
                    ));
                }
            },
            Origin::Image(name) => Base::Image(self.image(&name)?),
            Origin::Context(name) => return Err(named_context(&name)),
        }))
    }

    pub(super) fn copy(&self, copy: &Copy) -> Result<(CopyAction, String), BuildError> {
        for source in &copy.sources {
            if is_url(source) {
                return Err(invalid(
                    "source can't be a URL for COPY",
                    "COPY reads the build context; fetch it in a RUN step",
                ));
            }
        }
        let options = CopyOptions {
            link: copy.link,
            parents: copy.parents,
            unpack: false,
        };
        let texts = Texts {
            keyword: "COPY",
            sources: values(&copy.sources),
            files: &copy.files,
            destination: &copy.destination.value,
            chown: copy.chown.as_ref().map(|text| text.value.clone()),
            chmod: copy.chmod.as_ref().map(|text| text.value.clone()),
            exclude: values(&copy.exclude),
        };
        let from = self.from(copy.from.as_ref().map(|text| text.value.as_str()))?;
        self.copy_action(texts, from, options)
    }

    pub(super) fn add(&self, add: &Add) -> Result<(CopyAction, String), BuildError> {
        for source in &add.sources {
            if is_git(source) {
                return Err(unsupported(
                    format!("ADD of the git repository {}", source.value),
                    "clone it in a RUN step, or before the build",
                ));
            }
            if is_url(source) {
                return Err(unsupported(
                    format!("ADD of the URL {}", source.value),
                    "fetch it in a RUN step with curl -fsSL or python3 -c, or before the build",
                ));
            }
        }
        for (given, flag) in [
            (add.checksum.is_some(), "--checksum"),
            (add.keep_git_dir.is_some(), "--keep-git-dir"),
        ] {
            if given {
                return Err(unsupported(
                    format!("ADD {flag}"),
                    "it is for remote sources only",
                ));
            }
        }
        let options = CopyOptions {
            link: add.link,
            parents: false,
            unpack: add.unpack.unwrap_or(true),
        };
        let texts = Texts {
            keyword: "ADD",
            sources: values(&add.sources),
            files: &add.files,
            destination: &add.destination.value,
            chown: add.chown.as_ref().map(|text| text.value.clone()),
            chmod: add.chmod.as_ref().map(|text| text.value.clone()),
            exclude: values(&add.exclude),
        };
        self.copy_action(texts, CopyFrom::Context, options)
    }

    fn copy_action(
        &self,
        texts: Texts<'_>,
        from: CopyFrom,
        options: CopyOptions,
    ) -> Result<(CopyAction, String), BuildError> {
        let history = texts.history(options);
        let chmod = texts.chmod.map(|text| match Chmod::parse(&text) {
            Ok(chmod) => Ok((text, chmod)),
            Err(message) => Err(invalid(
                message,
                "write --chmod=755, or --chmod=u=rwX,go=rX",
            )),
        });
        let action = CopyAction {
            from,
            sources: texts.sources,
            inline: texts
                .files
                .iter()
                .map(|file| (file.name.clone(), file.content.clone()))
                .collect(),
            destination: copy::absolute(self.config.working_dir(), texts.destination),
            chown: texts.chown,
            chmod: chmod.transpose()?,
            exclude: texts.exclude,
            options,
        };
        Ok((action, history))
    }
}

/// What COPY and ADD have in common.
struct Texts<'a> {
    keyword: &'static str,
    sources: Vec<String>,
    files: &'a [InlineFile],
    destination: &'a str,
    chown: Option<String>,
    chmod: Option<String>,
    exclude: Vec<String>,
}

impl Texts<'_> {
    /// `created_by` of the instruction.
    fn history(&self, options: CopyOptions) -> String {
        let mut text = self.keyword.to_owned();
        if options.parents {
            text.push_str(" --parents");
        }
        for (flag, value) in [("chown", &self.chown), ("chmod", &self.chmod)] {
            if let Some(value) = value {
                text.push_str(&format!(" --{flag}={value}"));
            }
        }
        for source in &self.sources {
            text.push_str(&format!(" {source}"));
        }
        for file in self.files {
            text.push_str(&format!(" <<{}", file.name));
        }
        text.push_str(&format!(" {} {}", self.destination, history::MARK));
        text
    }
}

fn values(texts: &[hoist_dockerfile::Spanned<String>]) -> Vec<String> {
    texts.iter().map(|text| text.value.clone()).collect()
}

fn with(mut shell: Vec<String>, text: String) -> Vec<String> {
    shell.push(text);
    shell
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// BuildKit's idea of a git source, as far as it cannot be a path of the context.
fn is_git(source: &str) -> bool {
    let path = source.split(['#', '?']).next().unwrap_or_default();
    source.starts_with("git://")
        || source.starts_with("ssh://")
        || source.starts_with("git@")
        || is_url(source) && path.ends_with(".git")
}
