//! Build checks: Docker's own under Docker's names, and hoist's for what Docker says nothing about.
//!
//! [`check`] looks at the Dockerfile and at what the caller knows ([`Settings`]): base images, the
//! `.dockerignore`. It reads nothing itself. Each [`Finding`] has its rule, its place, a reason, and
//! where a safe change is known a [`Fix`].
//!
//! `# check=skip=Rule,Other;error=true` at the top of the file (or in a comment right above an
//! instruction, for that one) switches rules off; `error=true` makes the findings of Docker's rules
//! an error.

mod add;
mod apt;
mod base_image;
mod casing;
mod copy;
mod fix;
mod forms;
mod health;
mod options;
mod pages;
mod pin;
mod platform;
mod python;
mod repetition;
pub mod script;
mod secrets;
mod shell;
mod user;
mod variables;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use hoist_core::Platform;

use crate::diagnostic::Diagnostic;
use crate::dockerfile::Dockerfile;
use crate::ignore::Ignore;
use crate::source::{Span, Spanned};
use crate::stages::Inputs;

pub use fix::{Edit, Fix, apply};
pub use health::HEALTHCHECK_MODULE;
pub use options::Options;
pub use pages::{PAGES, Page};
pub use pin::{Unpinned, pin, unpinned};
pub use secrets::is_secret;
pub use shell::bash_syntax;
pub use user::USER_CANNOT_READ;

/// Whose rule it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// Docker's; the name is Docker's.
    Docker,
    /// Docker's, off unless asked for by `experimental=`.
    DockerExperimental,
    /// hoist's.
    Hoist,
}

/// A check.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// The name, as `skip=` takes it.
    pub name: &'static str,
    /// What it asks for, in one line.
    pub summary: &'static str,
    /// Whose it is.
    pub author: Author,
}

impl Rule {
    const fn docker(name: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            summary,
            author: Author::Docker,
        }
    }

    /// A rule of hoist's own.
    #[must_use]
    pub const fn hoist(name: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            summary,
            author: Author::Hoist,
        }
    }

    /// Whether the rule is off: by the options of the whole file, or by a `check=` in `comments`,
    /// those right above the instruction.
    #[must_use]
    pub fn is_off(&self, options: &Options, comments: &[Spanned<String>]) -> bool {
        let local = Options::from_comments(comments);
        match self.author {
            Author::DockerExperimental => {
                let asked = |options: &Options| options.experimental(self.name);
                !asked(options) && !local.as_ref().is_some_and(asked)
            }
            Author::Docker | Author::Hoist => {
                let skips = |options: &Options| options.skips(self.name);
                skips(options) || local.as_ref().is_some_and(skips)
            }
        }
    }

    /// Where Docker describes the rule; `None` for a rule of hoist's own.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        if self.author == Author::Hoist {
            return None;
        }
        let slug = kebab_case(self.name);
        Some(format!(
            "https://docs.docker.com/go/dockerfile/rule/{slug}/"
        ))
    }
}

/// `JSONArgsRecommended` as `json-args-recommended`.
fn kebab_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut words = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let follows_small = at > 0 && letters[at - 1].is_lowercase();
        let ends_capitals = at > 0 && letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (follows_small || ends_capitals) {
            words.push('-');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// Something that a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// What and where; the code is the rule's name.
    pub diagnostic: Diagnostic,
    /// A change that is safe to make without looking.
    pub fix: Option<Fix>,
}

/// What is known of a base image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseImage {
    /// The names and values of its environment.
    pub environment: BTreeMap<String, String>,
    /// Its user; empty for root.
    pub user: String,
    /// Its shell; empty for `/bin/sh -c`.
    pub shell: Vec<String>,
    /// What it runs on, when that is known.
    pub platform: Option<Platform>,
}

/// What a check may use besides the Dockerfile.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Target, arguments and platforms of the build. Without a target every stage is checked.
    pub inputs: Inputs<'a>,
    /// `BUILDKIT_DOCKERFILE_CHECK`, instead of what the file's `# check=` says.
    pub options: Option<&'a Options>,
    /// The base images that are known, by stage number.
    pub bases: &'a BTreeMap<usize, BaseImage>,
    /// The context's `.dockerignore`.
    pub ignore: Option<&'a Ignore>,
}

/// The result of [`check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was found, in the order of the file.
    pub findings: Vec<Finding>,
    /// The options in force, those of single instructions aside.
    pub options: Options,
}

impl Report {
    /// `error=true`, and a rule of Docker's found something: the names of the rules.
    ///
    /// hoist's own rules are not counted, so that what builds with Docker builds with hoist.
    #[must_use]
    pub fn violated(&self) -> BTreeSet<&'static str> {
        let docker = self
            .findings
            .iter()
            .filter(|finding| self.options.error && finding.rule.author != Author::Hoist);
        docker.map(|finding| finding.rule.name).collect()
    }
}

/// Every rule.
pub const RULES: &[&Rule] = &[
    &add::ADD_INSTEAD_OF_COPY,
    &apt::APT_LISTS_KEPT,
    &apt::APT_UPDATE_ALONE,
    &base_image::UNPINNED_BASE_IMAGE,
    &casing::CONSISTENT_INSTRUCTION_CASING,
    &casing::FROM_AS_CASING,
    &casing::STAGE_NAME_CASING,
    &copy::COPY_BEFORE_INSTALL,
    &copy::COPY_IGNORED_FILE,
    &forms::EXPOSE_INVALID_FORMAT,
    &forms::EXPOSE_PROTO_CASING,
    &forms::INVALID_DEFINITION_DESCRIPTION,
    &forms::INVALID_JSON_FORM,
    &forms::JSON_ARGS_RECOMMENDED,
    &forms::LEGACY_KEY_VALUE_FORMAT,
    &forms::MAINTAINER_DEPRECATED,
    &forms::NO_EMPTY_CONTINUATION,
    &health::HEALTHCHECK_IGNORES_STATUS,
    &health::HEALTHCHECK_MODULE,
    &platform::FROM_PLATFORM_FLAG_CONST_DISALLOWED,
    &platform::INVALID_BASE_IMAGE_PLATFORM,
    &platform::REDUNDANT_TARGET_PLATFORM,
    &python::CONSOLE_SCRIPTS_LOST,
    &python::PIP_CACHE_KEPT,
    &python::UV_LOCK_UNREAD,
    &python::UV_PIP_NEEDS_SYSTEM,
    &repetition::DUPLICATE_STAGE_NAME,
    &repetition::MULTIPLE_INSTRUCTIONS_DISALLOWED,
    &repetition::RESERVED_STAGE_NAME,
    &secrets::SECRETS_USED_IN_ARG_OR_ENV,
    &shell::BASH_UNDER_SH,
    &user::RUNS_AS_ROOT,
    &user::USER_CANNOT_READ,
    &variables::ENV_LOCALHOST,
    &variables::INVALID_DEFAULT_ARG_IN_FROM,
    &variables::UNDEFINED_ARG_IN_FROM,
    &variables::UNDEFINED_VAR,
    &variables::WORKDIR_RELATIVE_PATH,
];

/// Checks `dockerfile`.
///
/// # Errors
/// The file's own `# check=` line cannot be read.
pub fn check(dockerfile: &Dockerfile, settings: &Settings<'_>) -> Result<Report, Diagnostic> {
    let options = match (settings.options, &dockerfile.directives.check) {
        (Some(options), _) => options.clone(),
        (None, Some(written)) => Options::parse(written)
            .map_err(|message| Diagnostic::error("check-options", message, written.span))?,
        (None, None) => Options::default(),
    };
    let mut checker = Checker {
        dockerfile,
        settings,
        options,
        findings: Vec::new(),
    };
    forms::check_warnings(&mut checker);
    casing::check(&mut checker);
    repetition::check_names(&mut checker);
    walk::check_stages(&mut checker);
    checker
        .findings
        .sort_by_key(|finding| finding.diagnostic.span.start);
    Ok(Report {
        findings: checker.findings,
        options: checker.options,
    })
}

/// What the rules share.
struct Checker<'a> {
    dockerfile: &'a Dockerfile,
    settings: &'a Settings<'a>,
    options: Options,
    findings: Vec<Finding>,
}

/// A finding in the making.
struct Note {
    rule: &'static Rule,
    message: String,
    span: Span,
    help: Option<String>,
    fix: Option<Fix>,
}

impl Note {
    fn new(rule: &'static Rule, span: Span, message: impl Into<String>) -> Self {
        Self {
            rule,
            message: message.into(),
            span,
            help: None,
            fix: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn fix(mut self, fix: Option<Fix>) -> Self {
        self.fix = fix;
        self
    }
}

impl Checker<'_> {
    /// Keeps `note` unless its rule is off, here or in one of `comments` above the instruction.
    fn report(&mut self, comments: &[Spanned<String>], note: Note) {
        if note.rule.is_off(&self.options, comments) {
            return;
        }
        let mut diagnostic = Diagnostic::warning(note.rule.name, note.message, note.span);
        if let Some(help) = note.help {
            diagnostic = diagnostic.with_help(help);
        }
        self.findings.push(Finding {
            rule: note.rule,
            diagnostic,
            fix: note.fix,
        });
    }

    /// Where `needle` stands in the text of `span`; the first place if there are several.
    fn locate(&self, span: Span, needle: &str) -> Option<Span> {
        let at = self.dockerfile.source.slice(span).find(needle)?;
        Some(Span::new(span.start + at, span.start + at + needle.len()))
    }

    /// Where `needle` stands in the text of `span`, if it stands there exactly once.
    fn locate_only(&self, span: Span, needle: &str) -> Option<Span> {
        let mut places = self.dockerfile.source.slice(span).match_indices(needle);
        let (at, _) = places.next()?;
        places
            .next()
            .is_none()
            .then(|| Span::new(span.start + at, span.start + at + needle.len()))
    }

    /// The line number of a place.
    fn line(&self, span: Span) -> usize {
        self.dockerfile.source.position(span.start).line
    }
}

#[cfg(test)]
mod tests;
