//! What is said about a build besides whether it works.
//!
//! The rules of [`hoist_dockerfile::lint`] look at the text. Those here look at what the text is
//! about: what COPY takes from the context ([`context`]), and whether the image has what its
//! commands run and whether its user may read that ([`image`]). Nothing is run for it: the image
//! is read as a merged view of its layers.
//!
//! [`check`] does all of it without building; [`Checks`] goes along with a build. Findings of
//! hoist's own rules never fail a build: what builds with Docker builds here.

mod context;
mod image;
mod missing;
mod pages;
mod python;
mod view;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use hoist_core::{
    Digest, Platform,
    event::{BuildEvent, Warning},
    image::Image,
};
use hoist_dockerfile::{
    Diagnostic, Dockerfile, DockerfileError, Instruction, Source as Text, Span,
    ignore::Ignore,
    instruction::InstructionKind,
    lint::{self, BaseImage, Finding, Options, Report, Rule, Settings, Unpinned},
    parse,
    stages::{Inputs, Origin, Resolution, resolve},
};
use hoist_engine::Engine;
use hoist_store::Store;

pub use missing::why_module_is_missing;
pub use pages::PAGES;

use crate::{
    context::{Context, IgnoreFile},
    error::BuildError,
    excerpt::Listing,
    execute::StageResult,
    plan::{Base, Plan},
    planning::stage_arguments,
    read::read_dockerfile,
    request::BuildRequest,
    sources::Source,
};

/// The build argument that replaces what the file's `# check=` says.
const CHECK_ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// A fix may make room for another one; so many times all are made.
const MOST_REPAIRS: usize = 20;

/// The rules of this module.
pub const RULES: &[&Rule] = &[
    &context::CLUTTER_COPIED,
    &image::COMMAND_NOT_FOUND,
    &context::DOCKERIGNORE_TOP_LEVEL_ONLY,
    &image::HEALTHCHECK_PROGRAM,
    &context::SECRET_FILE_COPIED,
];

/// The result of [`check`].
#[derive(Debug)]
pub struct Checked {
    /// How messages call the Dockerfile.
    pub name: String,
    /// Where it lies, when it is a file.
    pub path: Option<PathBuf>,
    /// Its text, which all places refer to.
    pub source: Text,
    /// What was found.
    pub report: Report,
    /// Why it cannot be built at all: a syntax error, stages that do not fit together.
    pub error: Option<BuildError>,
}

impl Checked {
    /// `Dockerfile:4`, and the lines around `span`, its own marked with `>>>`.
    #[must_use]
    pub fn excerpt(&self, span: Span) -> String {
        let listing = Listing {
            name: self.name.clone(),
            source: self.source.clone(),
        };
        listing.excerpt(span)
    }
}

/// Check the Dockerfile and the context of `request` without building anything. Base images are
/// looked for in `store`; one that is not there is no error.
///
/// # Errors
/// [`BuildError`] when the Dockerfile, the context or its ignore file cannot be read, or when the
/// options of the checks are malformed.
pub fn check(store: Option<&Store>, request: &BuildRequest) -> Result<Checked, BuildError> {
    let (listing, parsed, path) = read_dockerfile(request)?;
    let checked = |report, error| Checked {
        name: listing.name.clone(),
        path: path.clone(),
        source: listing.source.clone(),
        report,
        error,
    };
    let dockerfile = match parsed {
        Ok(dockerfile) => dockerfile,
        Err(error) => {
            let report = Report {
                findings: Vec::new(),
                options: Options::default(),
            };
            return Ok(checked(report, Some(error)));
        }
    };
    let (root, ignore) = Context::look(&request.context, path.as_deref())?;
    let (report, resolution) = report(store, request, &dockerfile, &listing, ignore.as_ref())?;
    let mut checks = Checks::new(&dockerfile, &listing, report);
    let needed = resolution.as_ref().ok().map(|found| &found.needed);
    context::look(&mut checks, &root, ignore.as_ref(), needed)?;
    let error = resolution.err().map(|error| listing.language(error));
    Ok(checked(checks.into_report(), error))
}

/// The text of what was checked with every safe fix made, and each base image whose digest `pins`
/// tells pinned to it. The result is a Dockerfile if the text was one.
///
/// # Errors
/// As [`check`].
pub fn repair(
    store: Option<&Store>,
    request: &BuildRequest,
    checked: &Checked,
    pins: &mut dyn FnMut(&Unpinned) -> Option<Digest>,
) -> Result<String, BuildError> {
    let (_, ignore) = Context::look(&request.context, checked.path.as_deref())?;
    let mut listing = Listing {
        name: checked.name.clone(),
        source: checked.source.clone(),
    };
    let mut findings = checked.report.findings.clone();
    for _ in 0..MOST_REPAIRS {
        let next = lint::apply(&listing.source, &findings);
        let Ok(dockerfile) = parse(&next) else {
            break;
        };
        if next == listing.source.text() {
            break;
        }
        listing.source = Text::new(&next);
        let (found, _) = report(store, request, &dockerfile, &listing, ignore.as_ref())?;
        findings = found.findings;
    }
    let text = listing.source.text();
    let Ok(dockerfile) = parse(text) else {
        return Ok(text.to_owned());
    };
    let arguments = stage_arguments(request);
    let Ok(resolution) = resolve(&dockerfile, &inputs(request, &arguments, &Platform::host()))
    else {
        return Ok(text.to_owned());
    };
    let images = lint::unpinned(&dockerfile, &resolution);
    let digests = images
        .into_iter()
        .filter_map(|image| Some((pins(&image)?, image.reference)))
        .map(|(digest, reference)| (reference, digest));
    Ok(lint::pin(&dockerfile, &resolution, &digests.collect()))
}

/// What a check knows of the build: no named contexts, which come with a command line.
fn inputs<'a>(
    request: &'a BuildRequest,
    arguments: &'a BTreeMap<String, String>,
    host: &'a Platform,
) -> Inputs<'a> {
    const NO_CONTEXTS: &BTreeSet<String> = &BTreeSet::new();
    Inputs {
        target: request.target.as_deref(),
        build_args: arguments,
        build_platform: host,
        target_platform: request.platform.as_ref().unwrap_or(host),
        contexts: NO_CONTEXTS,
    }
}

/// What the text's rules find, and how the stages fit together.
fn report(
    store: Option<&Store>,
    request: &BuildRequest,
    dockerfile: &Dockerfile,
    listing: &Listing,
    ignore: Option<&IgnoreFile>,
) -> Result<(Report, Result<Resolution, DockerfileError>), BuildError> {
    let arguments = stage_arguments(request);
    let host = Platform::host();
    let inputs = inputs(request, &arguments, &host);
    let resolution = resolve(dockerfile, &inputs);
    let mut bases = BTreeMap::new();
    if let (Ok(resolution), Some(store)) = (&resolution, store) {
        for stage in &resolution.stages {
            if let Origin::Image(name) = &stage.base
                && let Ok(image) = store.resolve(name).and_then(|id| store.image(&id))
            {
                bases.insert(stage.index, base_image(&image.image));
            }
        }
    }
    let patterns = ignore.map(|file| &file.patterns);
    let report = text(dockerfile, listing, inputs, &bases, patterns)?;
    Ok((report, resolution))
}

/// The checks that go along with a build.
pub(crate) struct Checks<'a> {
    dockerfile: &'a Dockerfile,
    listing: &'a Listing,
    options: Options,
    /// Found and told.
    told: Vec<Finding>,
    /// Found in the text, and to be confirmed or refuted by the image.
    open: Vec<Finding>,
}

impl<'a> Checks<'a> {
    /// Check the text. What needs no image is told at once.
    ///
    /// # Errors
    /// Malformed options; a rule of Docker's found something and the options make that an error.
    pub(crate) fn begin(
        dockerfile: &'a Dockerfile,
        listing: &'a Listing,
        request: &BuildRequest,
        plan: &Plan,
        ignore: Option<&Ignore>,
        events: &dyn Fn(BuildEvent),
    ) -> Result<Self, BuildError> {
        let host = Platform::host();
        let arguments = stage_arguments(request);
        let inputs = inputs(request, &arguments, &host);
        let stages = plan.stages.iter();
        let bases = stages
            .filter_map(|stage| match &stage.base {
                Base::Image(image) => Some((stage.number, base_image(&image.image))),
                Base::Scratch | Base::Stage(_) => None,
            })
            .collect();
        let report = text(dockerfile, listing, inputs, &bases, ignore)?;
        let violated = report.violated();
        let mut checks = Self::new(dockerfile, listing, report);
        if !violated.is_empty() {
            checks.told.append(&mut checks.open);
        }
        for finding in &checks.told {
            events(BuildEvent::Warning(checks.warning(finding)));
        }
        if violated.is_empty() {
            return Ok(checks);
        }
        let names: Vec<&str> = violated.into_iter().collect();
        Err(BuildError::Invalid {
            message: format!("lint violation found for rules: {}", names.join(", ")),
            hints: vec![
                "error=true in the check options makes them errors; hoist check --fix repairs \
                 what it safely can"
                    .to_owned(),
            ],
        })
    }

    fn new(dockerfile: &'a Dockerfile, listing: &'a Listing, report: Report) -> Self {
        let (open, told) = report
            .findings
            .into_iter()
            .partition(|finding| image::decides(finding.rule));
        Self {
            dockerfile,
            listing,
            options: report.options,
            told,
            open,
        }
    }

    /// Check what the build takes from the context.
    pub(crate) fn context(
        &mut self,
        context: &Context,
        plan: &Plan,
        prepared: &BTreeMap<(usize, usize), Vec<Source>>,
        events: &dyn Fn(BuildEvent),
    ) {
        let before = self.told.len();
        context::gathered(self, context, plan, prepared);
        self.tell_from(before, events);
    }

    /// Check the image that `result`, the target stage, has become. Of a build that failed there
    /// is none: then the text has the last word.
    pub(crate) fn image(
        &mut self,
        engine: &Engine,
        plan: &Plan,
        result: Option<&StageResult>,
        events: &dyn Fn(BuildEvent),
    ) {
        let before = self.told.len();
        let root = result.and_then(|result| image::open(engine, &result.layers));
        if let Some(root) = root {
            image::look(self, plan, &root);
        }
        self.told.append(&mut self.open);
        self.tell_from(before, events);
    }

    /// Everything that was told, in the order of the file.
    pub(crate) fn into_warnings(mut self) -> Vec<Warning> {
        self.told
            .sort_by_key(|finding| finding.diagnostic.span.start);
        let told = std::mem::take(&mut self.told);
        told.iter().map(|finding| self.warning(finding)).collect()
    }

    fn into_report(mut self) -> Report {
        self.told.append(&mut self.open);
        self.told
            .sort_by_key(|finding| finding.diagnostic.span.start);
        Report {
            findings: self.told,
            options: self.options,
        }
    }

    fn tell_from(&self, first: usize, events: &dyn Fn(BuildEvent)) {
        for finding in &self.told[first..] {
            events(BuildEvent::Warning(self.warning(finding)));
        }
    }

    /// A finding of one of this module's rules, unless the rule is off.
    fn add(&mut self, rule: &'static Rule, instruction: &Instruction, words: Words) {
        if rule.is_off(&self.options, &instruction.comments) {
            return;
        }
        let mut diagnostic = Diagnostic::warning(rule.name, words.message, instruction.span);
        if let Some(help) = words.help {
            diagnostic = diagnostic.with_help(help);
        }
        self.told.push(Finding {
            rule,
            diagnostic,
            fix: None,
        });
    }

    /// The instruction at `span`.
    fn instruction(&self, span: Span) -> Option<&'a Instruction> {
        let dockerfile = self.dockerfile;
        let stages = dockerfile.stages.iter();
        stages
            .flat_map(|stage| &stage.instructions)
            .find(|instruction| instruction.span == span)
    }

    /// A finding as events have it.
    fn warning(&self, finding: &Finding) -> Warning {
        Warning {
            rule: Some(finding.rule.name.to_owned()),
            message: finding.diagnostic.message.clone(),
            file: Some(self.listing.name.clone()),
            line: Some(self.listing.line(finding.diagnostic.span)),
            hints: finding.diagnostic.help.iter().cloned().collect(),
        }
    }
}

/// What a finding says.
struct Words {
    message: String,
    help: Option<String>,
}

/// The findings of the rules that look at the text.
fn text(
    dockerfile: &Dockerfile,
    listing: &Listing,
    inputs: Inputs<'_>,
    bases: &BTreeMap<usize, BaseImage>,
    ignore: Option<&Ignore>,
) -> Result<Report, BuildError> {
    let given = inputs.build_args.get(CHECK_ARGUMENT);
    let options = given.map(|text| Options::parse(text)).transpose();
    let options = options.map_err(|message| BuildError::Invalid {
        message: format!("--build-arg {CHECK_ARGUMENT}: {message}"),
        hints: vec!["write skip=Rule,Other;error=true".to_owned()],
    })?;
    let settings = Settings {
        inputs,
        options: options.as_ref(),
        bases,
        ignore,
    };
    lint::check(dockerfile, &settings)
        .map_err(|found| listing.language(DockerfileError::from(found)))
}

fn base_image(image: &Image) -> BaseImage {
    let config = &image.config;
    let pairs = config.env.iter().filter_map(|pair| pair.split_once('='));
    BaseImage {
        environment: pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        user: config.user.clone(),
        shell: config.shell.clone().unwrap_or_default(),
        platform: Some(image.platform.clone()),
    }
}

/// The instructions of the stages that the target is built on, the last of the target first.
fn backwards<'a>(dockerfile: &'a Dockerfile, plan: &Plan) -> Vec<&'a Instruction> {
    let mut found = Vec::new();
    let mut stage = plan.target();
    loop {
        let written = &dockerfile.stages[stage.number].instructions;
        found.extend(written.iter().rev());
        match stage.base {
            Base::Stage(position) => stage = &plan.stages[position],
            Base::Scratch | Base::Image(_) => return found,
        }
    }
}

/// The instruction that sets what `is_it` asks for, as the image has it.
fn last<'a>(
    instructions: &[&'a Instruction],
    is_it: impl Fn(&InstructionKind) -> bool,
) -> Option<&'a Instruction> {
    let mut instructions = instructions.iter();
    instructions
        .find(|instruction| is_it(&instruction.kind))
        .copied()
}

/// `path` as messages write it: from the root of the image.
fn from_root(path: &Path) -> String {
    format!("/{}", path.display())
}
