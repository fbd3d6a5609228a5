//! RUN, COPY and ADD as actions, and the refusal of what is not there yet.

use hoist_core::Platform;
use hoist_dockerfile::{
    instruction::{Add, Copy, InlineFile, Mount, MountKind, Program, Run, Sharing},
    stages::Origin,
};

use super::{
    Base, CopyAction, CopyFrom, CopyOptions, MountAction, MountSource, RunAction, Variable,
    VariableOrigin, stage::Builder,
};
use crate::{
    error::BuildError,
    execute::{chmod::Chmod, copy},
    history,
    remote::{
        Remote, RemoteArgument,
        git::{GitAddress, GitSource, NotGit},
        web_file::{WebFile, is_address},
    },
};

/// The host name of RUN steps: BuildKit's, which some tools write into what they make.
pub(crate) const HOSTNAME: &str = "buildkitsandbox";

/// Build arguments that say something to the builder, as BuildKit's do: the host name of RUN
/// steps, and a prefix for the ids of cache mounts.
const SANDBOX_HOSTNAME: &str = "BUILDKIT_SANDBOX_HOSTNAME";
const CACHE_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";

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

pub(super) fn invalid(message: impl Into<String>, hint: &str) -> BuildError {
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
        if !(self.inputs.can_run)(&self.platform) {
            return Err(unsupported(
                format!(
                    "RUN for {} on a machine for {}",
                    self.platform,
                    Platform::host()
                ),
                "register an emulator with the kernel: apt-get install qemu-user-static binfmt-support",
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
            confinement: self.confinement(run.security)?,
            devices: self.devices(&run.devices)?,
            hostname: self.given(SANDBOX_HOSTNAME).unwrap_or(HOSTNAME).to_owned(),
            mounts: self.mounts(mounts)?,
            surroundings: self.inputs.surroundings.clone(),
        })
    }

    /// The value of the build argument `name`, when it is given and has one.
    fn given(&self, name: &str) -> Option<&str> {
        let value = self.inputs.build_args.get(name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
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

    fn mounts<'b>(
        &self,
        mounts: impl Iterator<Item = (&'b Mount, &'b str)>,
    ) -> Result<Vec<MountAction>, BuildError> {
        let mut actions = Vec::new();
        let mut sockets = 0;
        for (mount, text) in mounts {
            actions.push(match mount.kind {
                MountKind::Bind => {
                    let source = MountSource::Bind {
                        from: self.from(mount.from.as_deref())?,
                        path: mount.source.clone().unwrap_or_else(|| "/".to_owned()),
                    };
                    self.mount(mount, text, source)?
                }
                MountKind::Tmpfs => {
                    self.mount(mount, text, MountSource::Tmpfs { size: mount.size })?
                }
                MountKind::Cache => self.mount(mount, text, self.cache(mount)?)?,
                MountKind::Secret => self.secret(mount, text)?,
                MountKind::Ssh => {
                    sockets += 1;
                    self.ssh(mount, text, sockets - 1)?
                }
            });
        }
        Ok(actions)
    }

    fn mount(
        &self,
        mount: &Mount,
        text: &str,
        source: MountSource,
    ) -> Result<MountAction, BuildError> {
        let Some(target) = &mount.target else {
            return Err(invalid(
                format!("mount {text} has no target"),
                "write target=/path, the place in the container",
            ));
        };
        Ok(MountAction {
            text: text.to_owned(),
            target: self.target(target)?,
            read_only: mount.read_only,
            source,
        })
    }

    fn cache(&self, mount: &Mount) -> Result<MountSource, BuildError> {
        let seed = match (&mount.from, &mount.source) {
            (Some(from), source) => {
                let path = source.clone().unwrap_or_else(|| "/".to_owned());
                Some((self.from(Some(from))?, path))
            }
            (None, Some(source)) => {
                return Err(invalid(
                    format!("mount type=cache has the source {source}, and no from"),
                    "say from what it is: from=STAGE, or the image or context that holds it",
                ));
            }
            (None, None) => None,
        };
        let id = mount.id.as_ref().or(mount.target.as_ref());
        let id = id.cloned().unwrap_or_default();
        Ok(MountSource::Cache {
            id: match self.given(CACHE_NAMESPACE) {
                Some(space) => format!("{space}/{id}"),
                None => id,
            },
            sharing: mount.sharing.unwrap_or(Sharing::Shared),
            seed,
            mode: mount.mode,
            uid: mount.uid,
            gid: mount.gid,
        })
    }

    /// What `from=` or `--from` names; the context without it.
    fn from(&self, from: Option<&str>) -> Result<CopyFrom, BuildError> {
        let Some(from) = from else {
            return Ok(CopyFrom::Context);
        };
        let origin = self.inputs.resolution.source(from);
        if let Some(name) = self.inputs.image_of(&origin) {
            return Ok(CopyFrom::Other(Base::Image(self.image(name)?)));
        }
        Ok(CopyFrom::Other(match origin {
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
            Origin::Context(name) => return Ok(CopyFrom::Named(name)),
        }))
    }

    pub(super) fn copy(&self, copy: &Copy) -> Result<(CopyAction, String), BuildError> {
        for source in &copy.sources {
            if let Some(what) = remote_kind(source).map_err(bad_git)? {
                return Err(invalid(
                    format!("source can't be {what} for COPY"),
                    "COPY reads the build context; ADD fetches",
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
            remotes: Vec::new(),
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
        let (remotes, sources) = remotes(add)?;
        let options = CopyOptions {
            link: add.link,
            parents: false,
            unpack: add.unpack.unwrap_or(true),
        };
        let texts = Texts {
            keyword: "ADD",
            sources,
            remotes,
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
            remotes: texts.remotes,
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
    remotes: Vec<RemoteArgument>,
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

/// What a source is that lies elsewhere.
fn remote_kind(source: &str) -> Result<Option<&'static str>, String> {
    match GitAddress::parse(source) {
        Ok(_) => Ok(Some("a git ref")),
        Err(NotGit::Invalid(reason)) => Err(reason),
        Err(NotGit::Other) => Ok(is_address(source).then_some("a URL")),
    }
}

fn bad_git(reason: impl std::fmt::Display) -> BuildError {
    BuildError::Invalid {
        message: format!("invalid git source: {reason}"),
        hints: Vec::new(),
    }
}

/// How the checksum of a file is written.
const DIGITS: &str = "write sha256: and the 64 hexadecimal digits that sha256sum prints";

/// The sources of `add` that lie elsewhere, and what all of its sources are called.
pub(crate) fn remotes(add: &Add) -> Result<(Vec<RemoteArgument>, Vec<String>), BuildError> {
    let checksum = add.checksum.as_ref().map(|text| text.value.as_str());
    if checksum.is_some() && add.sources.len() + add.files.len() != 1 {
        return Err(invalid(
            "checksum can't be specified for multiple sources",
            "write an ADD for each",
        ));
    }
    let mut remotes = Vec::new();
    let mut names = values(&add.sources);
    for (argument, source) in add.sources.iter().enumerate() {
        let remote = match GitAddress::parse(source) {
            Ok(address) => {
                let keep = add.keep_git_dir;
                Remote::Git(GitSource::new(address, keep, checksum).map_err(bad_git)?)
            }
            Err(NotGit::Invalid(reason)) => return Err(bad_git(reason)),
            Err(NotGit::Other) if is_address(source) => {
                let unpack = add.unpack == Some(true);
                let file = WebFile::new(source, checksum, unpack);
                Remote::File(file.map_err(|message| invalid(message, DIGITS))?)
            }
            Err(NotGit::Other) if checksum.is_some() => {
                return Err(invalid(
                    "checksum requires HTTP(S) or Git sources",
                    "leave --checksum out: what is in the context is not fetched",
                ));
            }
            Err(NotGit::Other) => continue,
        };
        names[argument] = remote.shown();
        remotes.push(RemoteArgument { argument, remote });
    }
    Ok((remotes, names))
}
