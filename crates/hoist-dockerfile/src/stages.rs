//! Which stages a target needs, and what each of them starts from.

use std::collections::{BTreeMap, BTreeSet};

use hoist_core::{Platform, Reference};

use crate::diagnostic::Diagnostic;
use crate::dockerfile::{Dockerfile, Stage};
use crate::error::DockerfileError;
use crate::expand::instruction::at_place;
use crate::expand::{Expander, Expansion};
use crate::instruction::InstructionKind;
use crate::source::{Span, Spanned};
use crate::suggest::{did_you_mean, nearest};

/// The size of all arguments before the first FROM together, in bytes: what Linux hands to a
/// program.
const GLOBAL_LIMIT: usize = 1 << 21;

/// What a build brings along.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// `--target`: a stage's name, or its number. Without one the last stage is built.
    pub target: Option<&'a str>,
    /// `--build-arg`.
    pub build_args: &'a BTreeMap<String, String>,
    /// The platform of this machine.
    pub build_platform: &'a Platform,
    /// The platform to build for.
    pub target_platform: &'a Platform,
    /// The names of `--build-context`.
    pub contexts: &'a BTreeSet<String>,
}

/// Where files come from: the base of a stage, `COPY --from`, `RUN --mount=from=`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nothing.
    Scratch,
    /// The stage of this number.
    Stage(usize),
    /// An image, as written.
    Image(String),
    /// A context named on the command line.
    Context(String),
}

/// A stage with its base known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedStage {
    /// Its number.
    pub index: usize,
    /// What it starts from. A stage whose *name* is a named context is that context: then
    /// `replaced` is set and its instructions do not run.
    pub base: Origin,
    /// The base, expanded.
    pub base_text: String,
    /// A named context stands in for the whole stage.
    pub replaced: bool,
    /// `--platform`, expanded.
    pub platform: Option<String>,
    /// The stages that must be there before this one.
    pub dependencies: BTreeSet<usize>,
}

/// The stages of a Dockerfile, put in relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// All stages, by number.
    pub stages: Vec<ResolvedStage>,
    /// The number of the stage to build.
    pub target: usize,
    /// The stages that the target needs, itself included, each behind those it depends on.
    pub needed: Vec<usize>,
    /// The variables that FROM sees, and that `ARG name` in a stage takes its value from: the
    /// platform's, and the arguments declared before the first FROM.
    pub global: BTreeMap<String, String>,
    names: BTreeMap<String, usize>,
    contexts: BTreeSet<String>,
}

impl Resolution {
    /// What `COPY --from=` or a mount's `from=` means: a stage by name or number, a named
    /// context, or an image. Names ignore case.
    #[must_use]
    pub fn source(&self, from: &str) -> Origin {
        let number = from.parse().ok().filter(|index| *index < self.stages.len());
        if let Some(index) = self.names.get(&from.to_lowercase()).copied().or(number) {
            return Origin::Stage(index);
        }
        image_or_context(from, &self.contexts)
    }
}

/// Resolves the bases of all stages and finds those that the target needs.
///
/// # Errors
/// A base or platform that cannot be expanded or is blank, an invalid stage number, stages that
/// depend on each other in a circle, a stage that is used before it is defined, or an unknown
/// target.
pub fn resolve(
    dockerfile: &Dockerfile,
    inputs: &Inputs<'_>,
) -> Result<Resolution, DockerfileError> {
    let global = global_scope(dockerfile, inputs)?;
    let mut resolution = Resolution {
        stages: Vec::new(),
        target: 0,
        needed: Vec::new(),
        global,
        names: BTreeMap::new(),
        contexts: inputs.contexts.clone(),
    };
    for stage in &dockerfile.stages {
        let resolved = resolve_stage(dockerfile, stage, &resolution)?;
        resolution.stages.push(resolved);
        if let Some(name) = &stage.name {
            resolution.names.insert(name.clone(), stage.index);
        }
    }
    let mut uses = Vec::new();
    for stage in &dockerfile.stages {
        uses.push(stage_uses(dockerfile, stage, &resolution)?);
    }
    for (resolved, uses) in resolution.stages.iter_mut().zip(&uses) {
        resolved.dependencies = uses.iter().map(|used| used.value).collect();
    }
    check_circles(dockerfile, &uses)?;
    resolution.target = find_target(dockerfile, inputs.target, &resolution)?;
    resolution.needed = needed(&resolution);
    check_order(dockerfile, &resolution, &uses)?;
    Ok(resolution)
}

/// The variables that are there before the first stage: those of the platforms (which build
/// arguments may override), then the arguments declared before the first FROM.
///
/// # Errors
/// A default that cannot be expanded.
pub fn global_scope(
    dockerfile: &Dockerfile,
    inputs: &Inputs<'_>,
) -> Result<BTreeMap<String, String>, Diagnostic> {
    let mut scope = platform_args(dockerfile, inputs);
    let mut left = GLOBAL_LIMIT;
    for arg in &dockerfile.global_args {
        let value = match (inputs.build_args.get(arg.name.as_str()), &arg.default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => {
                let expander = Expander::new(&scope, dockerfile.directives.escape);
                let expanded = expander.word(default);
                Some(
                    expanded
                        .map_err(|error| at_place(&error, default.span))?
                        .text,
                )
            }
            (None, None) => None,
        };
        if let Some(value) = value {
            left = left.checked_sub(value.len()).ok_or_else(|| {
                let message = "the arguments before the first FROM are too large";
                Diagnostic::error("expansion", message, arg.span)
            })?;
            scope.insert(arg.name.value.clone(), value);
        }
    }
    Ok(scope)
}

fn platform_args(dockerfile: &Dockerfile, inputs: &Inputs<'_>) -> BTreeMap<String, String> {
    let mut scope = BTreeMap::new();
    let platforms = [
        ("BUILD", inputs.build_platform),
        ("TARGET", inputs.target_platform),
    ];
    for (prefix, platform) in platforms {
        let variant = platform.variant.clone().unwrap_or_default();
        for (suffix, value) in [
            ("PLATFORM", platform.to_string()),
            ("OS", platform.os.clone()),
            ("OSVERSION", String::new()),
            ("ARCH", platform.architecture.clone()),
            ("VARIANT", variant),
        ] {
            scope.insert(format!("{prefix}{suffix}"), value);
        }
    }
    let last = dockerfile
        .stages
        .last()
        .and_then(|stage| stage.name.as_deref());
    let stage = inputs.target.or(last).unwrap_or("default");
    scope.insert("TARGETSTAGE".to_owned(), stage.to_owned());
    for (name, value) in &mut scope {
        if let Some(given) = inputs.build_args.get(name) {
            value.clone_from(given);
        }
    }
    scope
}

fn resolve_stage(
    dockerfile: &Dockerfile,
    stage: &Stage,
    so_far: &Resolution,
) -> Result<ResolvedStage, Diagnostic> {
    let expander = Expander::new(&so_far.global, dockerfile.directives.escape);
    let expand = |text: &str, span: Span| -> Result<Expansion, Diagnostic> {
        expander.word(text).map_err(|error| at_place(&error, span))
    };
    let base = expand(&stage.base, stage.base_span)?;
    if base.text.is_empty() {
        let hint = unset_hint(&base, so_far);
        let message = format!("base name ({}) should not be blank{hint}", stage.base);
        return Err(Diagnostic::error("blank-base", message, stage.base_span)
            .with_help("give the ARG before FROM a default, or pass --build-arg"));
    }
    let platform = match (&stage.platform, stage.platform_span) {
        (Some(text), Some(span)) => {
            let platform = expand(text, span)?;
            if platform.text.is_empty() {
                let hint = unset_hint(&platform, so_far);
                let message = format!("empty platform value from expression {text}{hint}");
                return Err(Diagnostic::error("blank-platform", message, span));
            }
            Some(platform.text)
        }
        _ => None,
    };
    let name = stage.name.as_deref();
    let context = name.filter(|name| so_far.contexts.contains(*name));
    let origin = match (context, so_far.names.get(&base.text.to_lowercase())) {
        (Some(context), _) => Origin::Context(context.to_owned()),
        (None, Some(index)) => Origin::Stage(*index),
        (None, None) => image_or_context(&base.text, &so_far.contexts),
    };
    Ok(ResolvedStage {
        index: stage.index,
        base: origin,
        base_text: base.text,
        replaced: context.is_some(),
        platform,
        dependencies: BTreeSet::new(),
    })
}

fn unset_hint(expansion: &Expansion, so_far: &Resolution) -> String {
    let known = || so_far.global.keys().map(String::as_str);
    did_you_mean(
        expansion
            .unset
            .iter()
            .find_map(|name| nearest(name, known())),
    )
}

fn image_or_context(text: &str, contexts: &BTreeSet<String>) -> Origin {
    if text.eq_ignore_ascii_case("scratch") {
        return Origin::Scratch;
    }
    let same = |context: &&String| {
        context.as_str() == text
            || matches!(
                (Reference::parse(context), Reference::parse(text)),
                (Ok(left), Ok(right)) if left == right
            )
    };
    match contexts.iter().find(same) {
        Some(context) => Origin::Context(context.clone()),
        None => Origin::Image(text.to_owned()),
    }
}

/// The stages that `stage` uses, each with the place that says so.
fn stage_uses(
    dockerfile: &Dockerfile,
    stage: &Stage,
    resolution: &Resolution,
) -> Result<Vec<Spanned<usize>>, Diagnostic> {
    let mut uses = Vec::new();
    let resolved = &resolution.stages[stage.index];
    if resolved.replaced {
        return Ok(uses);
    }
    if let Origin::Stage(index) = resolved.base {
        uses.push(Spanned::new(index, stage.base_span));
        for instruction in &dockerfile.stages[index].instructions {
            if let InstructionKind::OnBuild(onbuild) = &instruction.kind
                && let Some(trigger) = &onbuild.trigger
            {
                kind_uses(trigger, resolution, &mut uses)?;
            }
        }
    }
    for instruction in &stage.instructions {
        kind_uses(&instruction.kind, resolution, &mut uses)?;
    }
    Ok(uses)
}

fn kind_uses(
    kind: &InstructionKind,
    resolution: &Resolution,
    uses: &mut Vec<Spanned<usize>>,
) -> Result<(), Diagnostic> {
    let mut add = |from: &str, span: Span| {
        if let Origin::Stage(index) = resolution.source(from) {
            uses.push(Spanned::new(index, span));
        }
    };
    match kind {
        InstructionKind::Copy(copy) => {
            if let Some(from) = &copy.from {
                if let Ok(index) = from.parse::<i64>()
                    && usize::try_from(index).map_or(true, |index| index >= resolution.stages.len())
                {
                    let message = format!("invalid stage index {index}");
                    return Err(Diagnostic::error("stage-index", message, from.span));
                }
                add(from, from.span);
            }
        }
        InstructionKind::Run(run) => {
            for mount in &run.mounts {
                if let Some(from) = &mount.from {
                    add(from, mount.span());
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Walks every stage's uses; a stage met again on the way to itself closes a circle.
fn check_circles(dockerfile: &Dockerfile, uses: &[Vec<Spanned<usize>>]) -> Result<(), Diagnostic> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; uses.len()];
    for root in 0..uses.len() {
        if marks[root] != Mark::New {
            continue;
        }
        marks[root] = Mark::Open;
        let mut path = vec![(root, 0)];
        while let Some((stage, next)) = path.last_mut() {
            let Some(used) = uses[*stage].get(*next) else {
                marks[*stage] = Mark::Done;
                path.pop();
                continue;
            };
            *next += 1;
            match marks[used.value] {
                Mark::Done => {}
                Mark::New => {
                    marks[used.value] = Mark::Open;
                    path.push((used.value, 0));
                }
                Mark::Open => {
                    let name = dockerfile.stages[used.value].display_name();
                    let message = format!("circular dependency detected on stage: {name}");
                    return Err(Diagnostic::error("circular-stages", message, used.span));
                }
            }
        }
    }
    Ok(())
}

fn find_target(
    dockerfile: &Dockerfile,
    target: Option<&str>,
    resolution: &Resolution,
) -> Result<usize, DockerfileError> {
    let last = dockerfile.stages.len() - 1;
    let Some(target) = target.filter(|target| !target.is_empty()) else {
        return Ok(last);
    };
    let number = target.parse().ok().filter(|index| *index <= last);
    let lower = target.to_lowercase();
    if let Some(index) = resolution.names.get(&lower).copied().or(number) {
        return Ok(index);
    }
    let names = || resolution.names.keys().map(String::as_str);
    Err(DockerfileError::UnknownTarget {
        target: target.to_owned(),
        suggestion: nearest(&lower, names()).map(str::to_owned),
        stages: names().map(str::to_owned).collect(),
    })
}

/// The target and all it depends on, in the order of the file.
fn needed(resolution: &Resolution) -> Vec<usize> {
    let mut found = BTreeSet::from([resolution.target]);
    let mut open = vec![resolution.target];
    while let Some(index) = open.pop() {
        for &dependency in &resolution.stages[index].dependencies {
            if found.insert(dependency) {
                open.push(dependency);
            }
        }
    }
    found.into_iter().collect()
}

/// No needed stage may use a later one.
fn check_order(
    dockerfile: &Dockerfile,
    resolution: &Resolution,
    uses: &[Vec<Spanned<usize>>],
) -> Result<(), Diagnostic> {
    for &index in &resolution.needed {
        if let Some(used) = uses[index].iter().find(|used| used.value > index) {
            let later = dockerfile.stages[used.value].display_name();
            let current = dockerfile.stages[index].display_name();
            let message = format!(
                "cannot copy from stage \"{later}\", it needs to be defined before current stage \
                 \"{current}\""
            );
            return Err(Diagnostic::error("stage-order", message, used.span));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
