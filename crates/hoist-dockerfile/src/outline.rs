//! What a Dockerfile offers: the stages that can be built, and what the one that is built can be
//! given (BuildKit's subrequests `targets` and `outline`).

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Dockerfile, InstructionKind, Span, Stage,
    expand::{Expander, StageScope},
    instruction::{Arg, MountKind, Run},
    source::Spanned,
    stages::{Inputs, Resolution},
};

/// A stage that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The comment above it that begins with its name.
    pub description: Option<String>,
    /// It is what is built when nothing else is asked for.
    pub is_default: bool,
    /// What it starts from, as written.
    pub base: String,
    /// `--platform`, as written.
    pub platform: Option<String>,
    /// The FROM instruction.
    pub span: Span,
}

/// What the build of a target can be given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// The target's name, if it has one.
    pub name: Option<String>,
    /// The comment above it that begins with its name.
    pub description: Option<String>,
    /// Build arguments.
    pub arguments: Vec<Argument>,
    /// Secrets that steps mount.
    pub secrets: Vec<Need>,
    /// SSH agents that steps mount.
    pub agents: Vec<Need>,
}

/// A build argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// The value that it has in this build.
    pub value: Option<String>,
    /// The comment above it that begins with its name.
    pub description: Option<String>,
    /// Where it is declared.
    pub span: Span,
}

/// A secret or an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Its id.
    pub name: String,
    /// The build fails without it.
    pub is_required: bool,
    /// The instruction that mounts it.
    pub span: Span,
}

/// The stages of `dockerfile`, in its order.
#[must_use]
pub fn targets(dockerfile: &Dockerfile) -> Vec<Target> {
    let last = dockerfile.stages.len().saturating_sub(1);
    let stages = dockerfile.stages.iter();
    let target = |stage: &Stage| Target {
        name: stage.name.clone(),
        description: stage_description(stage),
        is_default: stage.index == last,
        base: stage.base.clone(),
        platform: stage.platform.clone(),
        span: stage.span,
    };
    stages.map(target).collect()
}

/// What the build of the target of `resolution` can be given. What is written in stages that it
/// does not need is left out.
#[must_use]
pub fn outline(dockerfile: &Dockerfile, resolution: &Resolution, inputs: &Inputs<'_>) -> Outline {
    let target = &dockerfile.stages[resolution.target];
    let mut outline = Outline {
        name: target.name.clone(),
        description: stage_description(target),
        ..Outline::default()
    };
    let mut found = Found::default();
    let mut needed = resolution.needed.clone();
    needed.sort_unstable();
    for number in needed {
        found.stage(dockerfile, &dockerfile.stages[number], resolution, inputs);
    }
    found.globals(dockerfile, resolution);
    outline.arguments = found.arguments;
    outline
        .arguments
        .sort_by_key(|argument| argument.span.start);
    outline.secrets = in_order(found.secrets);
    outline.agents = in_order(found.agents);
    outline
}

fn in_order(needs: BTreeMap<String, Need>) -> Vec<Need> {
    let mut needs: Vec<Need> = needs.into_values().collect();
    needs.sort_by_key(|need| need.span.start);
    needs
}

/// The comment in `comments` that describes `name`, without the name.
fn description(comments: &[Spanned<String>], name: &str) -> Option<String> {
    let mut comments = comments.iter();
    comments.find_map(|comment| {
        let rest = comment.trim_start().strip_prefix(name)?.strip_prefix(' ')?;
        Some(rest.trim().to_owned())
    })
}

fn stage_description(stage: &Stage) -> Option<String> {
    description(&stage.comments, stage.name.as_deref()?)
}

#[derive(Default)]
struct Found {
    arguments: Vec<Argument>,
    /// Names of arguments before the first FROM that are used.
    used: BTreeSet<String>,
    secrets: BTreeMap<String, Need>,
    agents: BTreeMap<String, Need>,
}

impl Found {
    /// What a needed stage declares and mounts.
    fn stage(
        &mut self,
        dockerfile: &Dockerfile,
        stage: &Stage,
        resolution: &Resolution,
        inputs: &Inputs<'_>,
    ) {
        let escape = dockerfile.directives.escape;
        let global = Expander::new(&resolution.global, escape);
        for text in [Some(&stage.base), stage.platform.as_ref()]
            .into_iter()
            .flatten()
        {
            let names = global.word(text).map(|expansion| expansion.used);
            self.used.extend(names.unwrap_or_default());
        }
        if resolution.stages[stage.index].replaced {
            return;
        }
        let mut scope = StageScope::default();
        for instruction in &stage.instructions {
            match &instruction.kind {
                InstructionKind::Arg(arguments) => {
                    for argument in arguments {
                        // A default that cannot be expanded is the build's to refuse.
                        drop(scope.declare(
                            argument,
                            inputs.build_args,
                            &resolution.global,
                            escape,
                        ));
                        self.argument(argument, &scope, &instruction.comments);
                    }
                }
                InstructionKind::Env(pairs) => {
                    for pair in pairs {
                        let value = Expander::new(&scope, escape).word(&pair.value);
                        let value = value.unwrap_or_default().text;
                        scope.set(pair.key.as_str(), value);
                    }
                }
                InstructionKind::Run(run) => {
                    self.mounts(run, &Expander::new(&scope, escape), instruction.span);
                }
                _ => {}
            }
        }
    }

    fn argument(&mut self, argument: &Arg, scope: &StageScope, comments: &[Spanned<String>]) {
        let name = argument.name.as_str();
        self.used.insert(name.to_owned());
        if self.arguments.iter().any(|known| known.name == name) {
            return;
        }
        let declared = scope.arguments().iter().rev();
        let value = declared
            .filter(|(known, _)| known == name)
            .find_map(|(_, value)| value.clone());
        self.arguments.push(Argument {
            name: name.to_owned(),
            value,
            description: description(comments, name),
            span: argument.name.span,
        });
    }

    fn mounts(&mut self, run: &Run, expander: &Expander<'_>, span: Span) {
        for spec in &run.mounts {
            let Ok(mount) = spec.resolve(expander) else {
                continue;
            };
            let needs = match mount.kind {
                MountKind::Secret => &mut self.secrets,
                MountKind::Ssh => &mut self.agents,
                MountKind::Bind | MountKind::Cache | MountKind::Tmpfs => continue,
            };
            let base_name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
            let name = match (mount.kind, mount.id, mount.source, mount.target) {
                (_, Some(id), _, _) => id,
                (MountKind::Ssh, None, _, _) => "default".to_owned(),
                (_, None, Some(source), _) => source,
                (_, None, None, target) => base_name(&target.unwrap_or_default()),
            };
            let need = needs.entry(name.clone()).or_insert(Need {
                name,
                is_required: false,
                span,
            });
            need.is_required |= mount.required;
        }
    }

    /// The arguments before the first FROM that something uses: in place of those that stages only
    /// declare again, because the value and the comment stand there.
    fn globals(&mut self, dockerfile: &Dockerfile, resolution: &Resolution) {
        let mut open: Vec<String> = self.used.iter().cloned().collect();
        let expander = Expander::new(&resolution.global, dockerfile.directives.escape);
        while let Some(name) = open.pop() {
            let mut declared = dockerfile.global_args.iter();
            let Some(argument) = declared.find(|argument| argument.name.value == name) else {
                continue;
            };
            let expansion = argument.default.as_ref().map(|text| expander.word(text));
            for name in expansion.and_then(Result::ok).unwrap_or_default().used {
                if self.used.insert(name.clone()) {
                    open.push(name);
                }
            }
            let value = resolution.global.get(&name).cloned();
            let found = Argument {
                value,
                description: dockerfile
                    .global_comments
                    .get(&name)
                    .and_then(|comments| description(comments, &name)),
                span: argument.name.span,
                name,
            };
            match self
                .arguments
                .iter_mut()
                .find(|known| known.name == found.name)
            {
                Some(known) if known.value.is_none() || known.value == found.value => {
                    known.description = found.description.or(known.description.take());
                    known.value = found.value;
                    known.span = found.span;
                }
                Some(_) => {}
                None => self.arguments.push(found),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use hoist_core::Platform;

    use super::*;
    use crate::{parse, stages::resolve};

    const TEXT: &str = "\
# VERSION of the base
ARG VERSION=3
ARG UNUSED=x
# IMAGE is what it starts from
ARG IMAGE=base:$VERSION
# builder compiles
FROM $IMAGE AS builder
# MODE of the compiler
ARG MODE=fast TARGETARCH
ARG VERSION
RUN --mount=type=secret,id=token,required --mount=type=ssh make
# other is not needed
FROM base AS other
ARG OTHER
FROM scratch
COPY --from=builder /a /a
RUN --mount=type=secret,target=/run/secrets/key,env=$MODE x
";

    fn shown(text: &str, target: Option<&str>, args: &[(&str, &str)]) -> String {
        let dockerfile = parse(text).unwrap();
        let args = args.iter();
        let build_args = args
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let platform = Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
        };
        let inputs = Inputs {
            target,
            build_args: &build_args,
            build_platform: &platform,
            target_platform: &platform,
            contexts: &BTreeSet::new(),
        };
        let resolution = resolve(&dockerfile, &inputs).unwrap();
        let outline = outline(&dockerfile, &resolution, &inputs);
        let mut text = format!("{:?} {:?}\n", outline.name, outline.description);
        for arg in &outline.arguments {
            let _ = writeln!(
                text,
                "{} = {:?}: {:?}",
                arg.name, arg.value, arg.description
            );
        }
        for need in outline.secrets.iter().chain(&outline.agents) {
            let _ = writeln!(text, "{} {}", need.name, need.is_required);
        }
        text
    }

    #[test]
    fn an_outline_has_what_the_target_can_be_given() {
        insta::assert_snapshot!(shown(TEXT, None, &[("MODE", "slow")]), @r#"
        None None
        VERSION = Some("3"): Some("of the base")
        IMAGE = Some("base:3"): Some("is what it starts from")
        MODE = Some("slow"): Some("of the compiler")
        TARGETARCH = Some("amd64"): None
        token true
        key false
        default false
        "#);
        insta::assert_snapshot!(shown(TEXT, Some("other"), &[]), @r#"
        Some("other") Some("is not needed")
        OTHER = None: None
        "#);
        insta::assert_snapshot!(shown(TEXT, Some("builder"), &[("VERSION", "4")]), @r#"
        Some("builder") Some("compiles")
        VERSION = Some("4"): Some("of the base")
        IMAGE = Some("base:4"): Some("is what it starts from")
        MODE = Some("fast"): Some("of the compiler")
        TARGETARCH = Some("amd64"): None
        token true
        default false
        "#);
    }

    #[test]
    fn targets_have_their_comments() {
        let dockerfile = parse(TEXT).unwrap();
        let targets = targets(&dockerfile);
        let lines: Vec<String> = targets
            .iter()
            .map(|t| {
                format!(
                    "{:?} {:?} {} {}",
                    t.name, t.description, t.base, t.is_default
                )
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        Some("builder") Some("compiles") $IMAGE false
        Some("other") Some("is not needed") base false
        None None scratch true
        "#);
    }
}
