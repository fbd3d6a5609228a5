//! A Dockerfile turned into what is to be done: data, made without touching a file.
//!
//! Everything that the text decides is decided here, for every stage that the target needs and
//! before anything runs: variables are expanded, configurations and histories computed, triggers
//! of base images unrolled, and what hoist cannot do is refused with its line.

mod actions;
mod privilege;
mod stage;
mod trusted;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub(crate) use actions::{HOSTNAME, remotes};

use hoist_core::Platform;
use hoist_dockerfile::{
    InstructionKind, Span,
    instruction::{Sharing, parse_trigger},
    stages::{Origin, Resolution},
};
use hoist_engine::{
    request::NetworkMode,
    step::{Confinement, Surroundings},
};
use hoist_store::StoredImage;

use crate::{
    cdi::{Edits, Wanted},
    config::StageConfig,
    entitlement::Entitlement,
    error::BuildError,
    excerpt::Listing,
    execute::{Access, chmod::Chmod},
    history::Line,
    remote::RemoteArgument,
    request::NamedContext,
    secret::{Secret, SshAgent},
};

/// What a build does: stages, each behind those that it needs; the last one becomes the image.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<StagePlan>,
    /// How many steps all stages have.
    pub(crate) total: usize,
}

/// What one stage does.
#[derive(Debug)]
pub(crate) struct StagePlan {
    /// Its name, or `stage-N`.
    pub(crate) name: String,
    /// Its number in the Dockerfile.
    pub(crate) number: usize,
    pub(crate) base: Base,
    /// The name of the image that it starts from, when it starts from one.
    pub(crate) base_name: Option<String>,
    pub(crate) entries: Vec<Entry>,
    /// The configuration at its end.
    pub(crate) config: StageConfig,
    /// Where its variables stand at its end, for stages that start from it.
    scope: hoist_dockerfile::expand::StageScope,
    /// What its commands run on.
    pub(crate) platform: Platform,
    /// Seconds since 1970 that new directories of its layers carry.
    pub(crate) time: i64,
}

/// What a stage starts from, and a `COPY --from` reads.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    Scratch,
    /// A position in [`Plan::stages`].
    Stage(usize),
    Image(Arc<StoredImage>),
}

/// One line of the history to be.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It only changed the configuration.
    Metadata(Line),
    /// It makes a layer.
    Step(Box<Step>),
}

/// An instruction that changes files.
#[derive(Debug)]
pub(crate) struct Step {
    /// Among all steps of the build, from 1.
    pub(crate) index: usize,
    /// Position among the steps of its stage, from 0: where earlier builds had it.
    pub(crate) position: usize,
    /// The instruction on one line.
    pub(crate) text: String,
    /// `created_by` of the history.
    pub(crate) history: String,
    pub(crate) span: Span,
    pub(crate) action: Action,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Action {
    Run(RunAction),
    Copy(CopyAction),
    /// `WORKDIR`: the directory is made when it is missing.
    MakeDirectory {
        path: String,
        user: String,
    },
}

/// `RUN`.
#[derive(Debug)]
pub(crate) struct RunAction {
    pub(crate) argv: Vec<String>,
    /// The command as written, for hints about mistakes in it.
    pub(crate) command: String,
    /// A here-document with a `#!` line: its name below `/dev/pipes`, and its content.
    pub(crate) script: Option<(String, String)>,
    /// The environment, and which of it are build arguments.
    pub(crate) variables: Vec<Variable>,
    pub(crate) working_dir: String,
    pub(crate) user: String,
    pub(crate) network: NetworkMode,
    pub(crate) confinement: Confinement,
    pub(crate) devices: Devices,
    pub(crate) mounts: Vec<MountAction>,
    pub(crate) surroundings: Surroundings,
    pub(crate) hostname: String,
}

/// `RUN --device`.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    /// By the names that the Dockerfile has for them.
    pub(crate) found: Vec<(String, Edits)>,
    /// Those that are not here; the step does without.
    pub(crate) absent: Vec<String>,
}

/// One variable of a RUN step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) origin: VariableOrigin,
}

/// Where a variable of a RUN step comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VariableOrigin {
    /// The image or ENV.
    Env,
    /// ARG.
    Arg,
    /// A proxy of the build that no ARG declares: it reaches the command, but neither the cache
    /// key nor the history.
    Proxy,
}

/// `RUN --mount`.
#[derive(Debug)]
pub(crate) struct MountAction {
    /// As written, for the cache key.
    pub(crate) text: String,
    /// Absolute; empty for a secret that is a variable only.
    pub(crate) target: String,
    pub(crate) read_only: bool,
    pub(crate) source: MountSource,
}

/// What a `RUN --mount` shows.
#[derive(Debug)]
pub(crate) enum MountSource {
    Bind {
        from: CopyFrom,
        path: String,
    },
    Cache {
        id: String,
        sharing: Sharing,
        /// What it holds at first; nothing when absent.
        seed: Option<(CopyFrom, String)>,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
    },
    Tmpfs {
        size: Option<u64>,
    },
    /// Nothing when the build was given no secret of this id: one that is required is refused
    /// before.
    Secret {
        id: String,
        /// The variable that holds it.
        variable: Option<String>,
        access: Access,
    },
    /// The socket of an agent; nothing when the build was given none of this id.
    Ssh {
        id: String,
        access: Access,
    },
}

impl MountSource {
    /// The files that it shows or starts with: where they are, and which.
    pub(crate) fn reads(&self) -> Option<(&CopyFrom, &str)> {
        match self {
            Self::Bind { from, path }
            | Self::Cache {
                seed: Some((from, path)),
                ..
            } => Some((from, path)),
            Self::Cache { seed: None, .. }
            | Self::Tmpfs { .. }
            | Self::Secret { .. }
            | Self::Ssh { .. } => None,
        }
    }
}

/// `COPY` and `ADD`.
#[derive(Debug)]
pub(crate) struct CopyAction {
    pub(crate) from: CopyFrom,
    /// Paths and patterns, expanded; at the places of `remotes` what they are called.
    pub(crate) sources: Vec<String>,
    /// Those of the sources that lie elsewhere.
    pub(crate) remotes: Vec<RemoteArgument>,
    /// Names and contents of here-documents.
    pub(crate) inline: Vec<(String, String)>,
    /// Absolute; a slash at its end means a directory.
    pub(crate) destination: String,
    pub(crate) chown: Option<String>,
    pub(crate) chmod: Option<(String, Chmod)>,
    pub(crate) exclude: Vec<String>,
    pub(crate) options: CopyOptions,
}

/// The switches of `COPY` and `ADD`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CopyOptions {
    /// `--link`: the layer does not depend on the layers below.
    pub(crate) link: bool,
    /// `--parents`: directories of the source path are kept.
    pub(crate) parents: bool,
    /// Archives are unpacked: `ADD`.
    pub(crate) unpack: bool,
}

/// Where a `COPY` or a bind mount reads.
#[derive(Debug, Clone)]
pub(crate) enum CopyFrom {
    Context,
    /// A directory named with `--build-context`.
    Named(String),
    Other(Base),
}

/// Everything that a plan is made from beside the Dockerfile.
pub(crate) struct Inputs<'a> {
    pub(crate) listing: &'a Listing,
    pub(crate) resolution: &'a Resolution,
    pub(crate) build_args: &'a BTreeMap<String, String>,
    pub(crate) network: NetworkMode,
    /// `--allow`.
    pub(crate) allowed: &'a [Entitlement],
    /// Finds a device of this machine.
    pub(crate) devices: &'a dyn Fn(&Wanted) -> Result<Option<Edits>, BuildError>,
    /// The secrets that the build was given.
    pub(crate) secrets: &'a [Secret],
    /// The agents that it was given.
    pub(crate) agents: &'a [SshAgent],
    /// `--build-context`.
    pub(crate) contexts: &'a BTreeMap<String, NamedContext>,
    /// Of RUN steps.
    pub(crate) surroundings: &'a Surroundings,
    /// Tells whether programs for a platform run on this machine.
    pub(crate) can_run: &'a dyn Fn(&Platform) -> bool,
    /// The platform that was asked for; `None` for the machine's own.
    pub(crate) platform: Option<&'a Platform>,
    /// Finds an image of the store.
    pub(crate) images: &'a dyn Fn(&str) -> Result<Arc<StoredImage>, BuildError>,
}

impl Inputs<'_> {
    /// The image that `origin` is, if it is one.
    fn image_of<'b>(&'b self, origin: &'b Origin) -> Option<&'b str> {
        match origin {
            Origin::Image(name) => Some(name),
            Origin::Context(name) => match self.contexts.get(name) {
                Some(NamedContext::Image(reference)) => Some(reference),
                _ => None,
            },
            Origin::Scratch | Origin::Stage(_) => None,
        }
    }
}

/// Plan the build of the target of `inputs.resolution`.
pub(crate) fn plan(
    dockerfile: &hoist_dockerfile::Dockerfile,
    inputs: &Inputs<'_>,
) -> Result<Plan, BuildError> {
    let mut plan = Plan {
        stages: Vec::new(),
        total: 0,
    };
    // The position of each planned stage by its number in the Dockerfile.
    let mut positions = BTreeMap::new();
    for number in needed(dockerfile, inputs)? {
        let stage = stage::plan(dockerfile, number, inputs, &mut plan, &positions)?;
        positions.insert(number, plan.stages.len());
        plan.stages.push(stage);
    }
    Ok(plan)
}

/// The stages to plan, in the order of the file: those that the target needs, and those that
/// triggers of base images read.
fn needed(
    dockerfile: &hoist_dockerfile::Dockerfile,
    inputs: &Inputs<'_>,
) -> Result<BTreeSet<usize>, BuildError> {
    let resolution = inputs.resolution;
    let mut needed: BTreeSet<usize> = resolution.needed.iter().copied().collect();
    let mut open = resolution.needed.clone();
    while let Some(number) = open.pop() {
        let mut reads: Vec<usize> = resolution.stages[number]
            .dependencies
            .iter()
            .copied()
            .collect();
        if let Some(name) = inputs.image_of(&resolution.stages[number].base) {
            let stage = &dockerfile.stages[number];
            let image = (inputs.images)(name);
            let image = image.map_err(|error| error.at(|| inputs.listing.excerpt(stage.span)))?;
            for trigger in &image.image.config.on_build {
                reads.extend(read_by(trigger, resolution));
            }
        }
        for read in reads {
            if read < number && needed.insert(read) {
                open.push(read);
            }
        }
    }
    Ok(needed)
}

/// The stages that a trigger reads.
fn read_by(trigger: &str, resolution: &Resolution) -> Vec<usize> {
    let Ok(instruction) = parse_trigger(trigger) else {
        return Vec::new();
    };
    let names: Vec<&str> = match &instruction.kind {
        InstructionKind::Copy(copy) => copy.from.iter().map(|from| from.value.as_str()).collect(),
        InstructionKind::Run(run) => run
            .mounts
            .iter()
            .filter_map(|mount| mount.from.as_deref())
            .collect(),
        _ => Vec::new(),
    };
    let origins = names.into_iter().map(|name| resolution.source(name));
    origins
        .filter_map(|origin| match origin {
            Origin::Stage(number) => Some(number),
            _ => None,
        })
        .collect()
}

impl Plan {
    /// The named contexts that its steps read, each perhaps several times.
    pub(crate) fn named_contexts(&self) -> impl Iterator<Item = &str> {
        let steps = self.stages.iter().flat_map(StagePlan::steps);
        let reads = steps.flat_map(|step| match &step.action {
            Action::Copy(copy) => vec![&copy.from],
            Action::Run(run) => {
                let sources = run.mounts.iter().map(|mount| &mount.source);
                sources
                    .filter_map(|source| source.reads().map(|(from, _)| from))
                    .collect()
            }
            Action::MakeDirectory { .. } => Vec::new(),
        });
        reads.filter_map(|from| match from {
            CopyFrom::Named(name) => Some(name.as_str()),
            CopyFrom::Context | CopyFrom::Other(_) => None,
        })
    }

    /// The stage that becomes the image.
    pub(crate) fn target(&self) -> &StagePlan {
        self.stages.last().expect("a Dockerfile has a stage")
    }
}

impl StagePlan {
    /// How many steps it has, as people count them: the image that it starts from is the first.
    pub(crate) fn length(&self) -> usize {
        self.steps().count() + usize::from(self.base_name.is_some())
    }

    /// The steps of the stage.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Step(step) => Some(&**step),
            Entry::Metadata(_) => None,
        })
    }
}
