//! `SOURCE_DATE_EPOCH=<stage>`: the time of the one remote source that a stage adds, under BuildKit's
//! conditions and in its words.

use std::collections::BTreeMap;

use hoist_dockerfile::{
    Diagnostic, Dockerfile, InstructionKind, Span, Stage,
    expand::{
        Expander, StageScope,
        instruction::{at_argument, expand},
    },
    instruction::Add,
    stages::{Origin, Resolution},
};

use super::{super::SOURCE_DATE_EPOCH, Epoch, Question};
use crate::{
    error::BuildError,
    excerpt::Listing,
    plan::remotes,
    remote::{Remote, unreachable},
};

/// A stage that holds more or less than one source.
const ONE: &str = "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD";

impl Question<'_> {
    /// When what `stage` adds was published, as far as that can be told.
    pub(super) fn of_stage(
        &self,
        stage: &Stage,
        build_args: &BTreeMap<String, String>,
        resolution: &Resolution,
    ) -> Result<Option<Epoch>, BuildError> {
        let reading = Reading {
            dockerfile: self.dockerfile,
            listing: self.listing,
            build_args,
            resolution,
        };
        let (remote, span) = reading.source_of(stage)?;
        let shown = remote.shown();
        let supplier = self.supplier.ok_or_else(|| unreachable(&shown));
        let time = supplier.and_then(|supplier| supplier.published(&remote));
        let time = time.map_err(|error| error.at(|| self.listing.excerpt(span)))?;
        let source = format!("{shown} in the stage {}", stage.display_name());
        Ok(time.map(|seconds| Epoch::claimed(seconds, source)))
    }
}

/// What a stage is read with.
pub(super) struct Reading<'a> {
    pub(super) dockerfile: &'a Dockerfile,
    pub(super) listing: &'a Listing,
    pub(super) build_args: &'a BTreeMap<String, String>,
    pub(super) resolution: &'a Resolution,
}

impl Reading<'_> {
    /// The one source that `stage` adds, and the place of its instruction.
    pub(super) fn source_of(&self, stage: &Stage) -> Result<(Remote, Span), BuildError> {
        let refused = |message: &str| refusal(message).at(|| self.listing.excerpt(stage.span));
        if self.resolution.stages[stage.index].base != Origin::Scratch {
            return Err(refused("SOURCE_DATE_EPOCH stage must use FROM scratch"));
        }
        let mut global = self.resolution.global.clone();
        global.remove(SOURCE_DATE_EPOCH);
        // As with BuildKit, what stands before the first FROM is known here without an ARG.
        let mut scope = StageScope::new(global.clone());
        let escape = self.dockerfile.directives.escape;
        let language = |error: Diagnostic| self.listing.language(error.into());
        let mut source = None;
        for instruction in &stage.instructions {
            let expander = Expander::new(&scope, escape);
            let kind = expand(&instruction.kind, &expander).map_err(language)?.kind;
            match &kind {
                InstructionKind::Arg(arguments) => {
                    for argument in arguments {
                        let declared = scope.declare(argument, self.build_args, &global, escape);
                        declared.map_err(|error| language(at_argument(&error, argument)))?;
                    }
                }
                InstructionKind::Add(_) if source.is_some() => return Err(refused(ONE)),
                InstructionKind::Add(add) => {
                    let at =
                        |error: BuildError| error.at(|| self.listing.excerpt(instruction.span));
                    source = Some((only(add).map_err(at)?, instruction.span));
                }
                other => {
                    let keyword = other.keyword().as_str().to_lowercase();
                    return Err(refused(&format!(
                        "SOURCE_DATE_EPOCH stage does not meet source-only requirements: \
                         unsupported {keyword} instruction"
                    )));
                }
            }
        }
        source.ok_or_else(|| refused(ONE))
    }
}

/// The one source of `add`, which lies elsewhere.
fn only(add: &Add) -> Result<Remote, BuildError> {
    if add.sources.len() != 1 || !add.files.is_empty() {
        return Err(refusal(
            "SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source",
        ));
    }
    let (found, _) = remotes(add)?;
    let found = found.into_iter().next().map(|argument| argument.remote);
    found.ok_or_else(|| {
        refusal("SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD")
    })
}

fn refusal(message: &str) -> BuildError {
    BuildError::Invalid {
        message: message.to_owned(),
        hints: vec![format!(
            "the stage that {SOURCE_DATE_EPOCH} names is: FROM scratch, then ADD of one URL or git \
             repository"
        )],
    }
}
