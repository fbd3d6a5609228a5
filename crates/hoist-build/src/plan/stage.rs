//! One stage: its instructions in order, with the variables and the configuration at each.

use std::{collections::BTreeMap, sync::Arc};

use hoist_core::{Platform, Reference, time::Timestamp};
use hoist_dockerfile::{
    Diagnostic, Dockerfile, DockerfileError, Instruction, InstructionKind, Span, Stage,
    expand::{
        Expander, StageScope,
        instruction::{at_argument, expand},
    },
    instruction::{Arg, parse_trigger},
    stages::Origin,
};
use hoist_store::StoredImage;

use super::{
    Action, Base, CopyAction, CopyFrom, CopyOptions, Entry, Inputs, Plan, StagePlan, Step,
};
use crate::{
    config::StageConfig,
    error::BuildError,
    history::{self, Line},
};

/// The time of new directories where no base image has one: the first that zip archives can
/// express, so that every tool can handle the files.
const EARLIEST: i64 = 315_532_800;

/// Plan the stage `number`, whose dependencies are planned.
pub(super) fn plan(
    dockerfile: &Dockerfile,
    number: usize,
    inputs: &Inputs<'_>,
    plan: &mut Plan,
    positions: &BTreeMap<usize, usize>,
) -> Result<StagePlan, BuildError> {
    let stage = &dockerfile.stages[number];
    let start = Start::of(stage, inputs, plan, positions)?;
    let mut builder = Builder {
        escape: dockerfile.directives.escape,
        inputs,
        positions,
        plan,
        scope: start.scope,
        config: start.config,
        platform: start.platform,
        entries: Vec::new(),
        steps: 0,
    };
    if let Some(name) = start.directory {
        builder.directory(name, stage.span);
    }
    for trigger in &start.triggers {
        let instruction = parse_trigger(trigger).map_err(|found| {
            // Its places refer to the trigger's own text: the FROM that runs it is what to show.
            let message = found.first().map_or("", |first| &first.message).to_owned();
            let message = format!("the trigger ONBUILD {trigger} is not valid: {message}");
            BuildError::Invalid {
                message,
                hints: vec![format!("it comes from the base image {}", stage.base)],
            }
            .at(|| inputs.listing.excerpt(stage.span))
        })?;
        builder.instruction(&instruction, stage.span, true)?;
    }
    let own = match inputs.resolution.stages[number].replaced {
        true => &[][..],
        false => &stage.instructions,
    };
    for instruction in own {
        builder.instruction(instruction, instruction.span, false)?;
    }
    Ok(StagePlan {
        name: stage.display_name(),
        number,
        base: start.base,
        base_name: inputs
            .image_of(&inputs.resolution.stages[number].base)
            .map(full_name),
        entries: builder.entries,
        config: builder.config,
        scope: builder.scope,
        platform: builder.platform,
        time: start.time,
    })
}

/// `python:3` as `docker.io/library/python:3`.
fn full_name(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |reference| reference.to_string())
}

/// What a stage starts with.
struct Start {
    base: Base,
    config: StageConfig,
    scope: StageScope,
    /// Instructions of the base's ONBUILD.
    triggers: Vec<String>,
    /// A named context whose files are the first layer.
    directory: Option<String>,
    platform: Platform,
    time: i64,
}

impl Start {
    fn of(
        stage: &Stage,
        inputs: &Inputs<'_>,
        plan: &Plan,
        positions: &BTreeMap<usize, usize>,
    ) -> Result<Self, BuildError> {
        let resolved = &inputs.resolution.stages[stage.index];
        let at = |error: BuildError| error.at(|| inputs.listing.excerpt(stage.span));
        if let Some(name) = inputs.image_of(&resolved.base) {
            let image = (inputs.images)(name).map_err(at)?;
            let asked = resolved.platform.as_deref();
            check_platform(name, &image, asked, inputs.platform).map_err(at)?;
            return Ok(Self::from_image(image));
        }
        match &resolved.base {
            Origin::Scratch => Ok(Self::scratch(inputs)),
            Origin::Stage(number) => {
                let position = positions[number];
                let base = &plan.stages[position];
                Ok(Self {
                    config: StageConfig::from_stage(&base.config),
                    scope: base.scope.clone(),
                    triggers: base.config.config.on_build.clone(),
                    time: base.time,
                    platform: base.platform.clone(),
                    directory: None,
                    base: Base::Stage(position),
                })
            }
            Origin::Context(name) | Origin::Image(name) => Ok(Self {
                directory: Some(name.clone()),
                ..Self::scratch(inputs)
            }),
        }
    }

    fn from_image(image: Arc<StoredImage>) -> Self {
        let config = StageConfig::from_image(Some(&image.image));
        Self {
            scope: scope(&config),
            config,
            triggers: image.image.config.on_build.clone(),
            directory: None,
            platform: image.image.platform.clone(),
            time: image_time(&image),
            base: Base::Image(image),
        }
    }

    fn scratch(inputs: &Inputs<'_>) -> Self {
        let config = StageConfig::from_image(None);
        Self {
            base: Base::Scratch,
            scope: scope(&config),
            config,
            triggers: Vec::new(),
            directory: None,
            platform: inputs.platform.cloned().unwrap_or_else(Platform::host),
            time: EARLIEST,
        }
    }
}

/// The variables that a stage starts with.
fn scope(config: &StageConfig) -> StageScope {
    let pairs = config.config.env.iter();
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    StageScope::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

/// When `image` was made, as far as it is a time that files may carry.
fn image_time(image: &StoredImage) -> i64 {
    let created = image.image.created.as_deref();
    let time = created.and_then(|text| text.parse::<Timestamp>().ok());
    time.map_or(EARLIEST, |time| time.seconds().max(EARLIEST))
}

/// An image that was asked for by platform must be of that platform.
fn check_platform(
    name: &str,
    image: &StoredImage,
    from: Option<&str>,
    target: Option<&Platform>,
) -> Result<(), BuildError> {
    let wanted = match (from, target) {
        (Some(text), _) => text.to_owned(),
        (None, Some(platform)) => platform.to_string(),
        (None, None) => return Ok(()),
    };
    let found = &image.image.platform;
    let mut parts = wanted.split('/');
    let (os, architecture) = match (parts.next(), parts.next()) {
        (Some(os), Some(architecture)) => (os, architecture),
        (Some("linux"), None) => ("linux", found.architecture.as_str()),
        (Some(architecture), None) => ("linux", architecture),
        (None, _) => return Ok(()),
    };
    let architecture = match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    if found.os == os && found.architecture == architecture {
        return Ok(());
    }
    Err(BuildError::Platform {
        reference: name.to_owned(),
        found: found.to_string(),
        wanted,
    })
}

/// A stage while its instructions are gone through.
pub(super) struct Builder<'a> {
    pub(super) escape: char,
    pub(super) inputs: &'a Inputs<'a>,
    pub(super) positions: &'a BTreeMap<usize, usize>,
    plan: &'a mut Plan,
    pub(super) scope: StageScope,
    pub(super) config: StageConfig,
    pub(super) platform: Platform,
    entries: Vec<Entry>,
    steps: usize,
}

impl Builder<'_> {
    /// Go through one instruction; `span` is what errors and listings show of it.
    fn instruction(
        &mut self,
        instruction: &Instruction,
        span: Span,
        is_trigger: bool,
    ) -> Result<(), BuildError> {
        let listing = self.inputs.listing;
        let place = |mut found: Diagnostic| {
            if is_trigger {
                found.span = span;
            }
            listing.language(DockerfileError::from(found))
        };
        let expander = Expander::new(&self.scope, self.escape);
        let kind = expand(&instruction.kind, &expander).map_err(place)?.kind;
        let at = |error: BuildError| error.at(|| listing.excerpt(span));
        match &kind {
            InstructionKind::Arg(arguments) => {
                self.arguments(arguments).map_err(place)?;
            }
            InstructionKind::Run(run) => {
                let mounts = run.mounts.iter().map(|mount| mount.resolve(&expander));
                let mounts = mounts.collect::<Result<Vec<_>, _>>().map_err(place)?;
                let action = self.run(run, &mounts).map_err(at)?;
                let history = history::run(self.scope.arguments(), &action.argv);
                self.step(&instruction.original, span, history, Action::Run(action));
            }
            InstructionKind::Copy(copy) => {
                let (action, history) = self.copy(copy).map_err(at)?;
                self.step(&instruction.original, span, history, Action::Copy(action));
            }
            InstructionKind::Add(add) => {
                let (action, history) = self.add(add).map_err(at)?;
                self.step(&instruction.original, span, history, Action::Copy(action));
            }
            kind => {
                let applied = self.config.apply(kind).map_err(|message| {
                    at(BuildError::Invalid {
                        message,
                        hints: Vec::new(),
                    })
                })?;
                self.metadata(instruction, span, kind, applied);
            }
        }
        Ok(())
    }

    fn arguments(&mut self, arguments: &[Arg]) -> Result<(), Diagnostic> {
        let known = self.scope.arguments().len();
        for argument in arguments {
            let global = &self.inputs.resolution.global;
            let declared =
                self.scope
                    .declare(argument, self.inputs.build_args, global, self.escape);
            declared.map_err(|error| at_argument(&error, argument))?;
        }
        let text = history::arg(&self.scope.arguments()[known..]);
        self.entries.push(Entry::Metadata(Line::metadata(text)));
        Ok(())
    }

    /// Record an instruction that was applied to the configuration.
    fn metadata(
        &mut self,
        instruction: &Instruction,
        span: Span,
        kind: &InstructionKind,
        history: Option<String>,
    ) {
        if let InstructionKind::Env(pairs) = kind {
            for pair in pairs {
                self.scope
                    .set(pair.key.value.clone(), pair.value.value.clone());
            }
        }
        let Some(text) = history else { return };
        let path = self.config.working_dir().to_owned();
        if matches!(kind, InstructionKind::Workdir(_)) && path != "/" {
            let user = self.config.config.user.clone();
            let action = Action::MakeDirectory { path, user };
            return self.step(&instruction.original, span, text, action);
        }
        self.entries.push(Entry::Metadata(Line::metadata(text)));
    }

    /// The files of the named context `name`, as the first layer.
    fn directory(&mut self, name: String, span: Span) {
        let text = format!("COPY --from={name} / /");
        let action = CopyAction {
            from: CopyFrom::Named(name),
            sources: vec!["/".to_owned()],
            remotes: Vec::new(),
            inline: Vec::new(),
            destination: "/".to_owned(),
            chown: None,
            chmod: None,
            exclude: Vec::new(),
            options: CopyOptions::default(),
        };
        let history = format!("COPY / / {}", history::MARK);
        self.step(&text, span, history, Action::Copy(action));
    }

    fn step(&mut self, text: &str, span: Span, history: String, action: Action) {
        self.plan.total += 1;
        self.entries.push(Entry::Step(Box::new(Step {
            index: self.plan.total,
            position: self.steps,
            text: text.to_owned(),
            history,
            span,
            action,
        })));
        self.steps += 1;
    }

    /// An image that the stage reads from.
    pub(super) fn image(&self, name: &str) -> Result<Arc<StoredImage>, BuildError> {
        (self.inputs.images)(name)
    }
}
