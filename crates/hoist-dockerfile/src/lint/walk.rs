//! One pass over the stages, with the variables, users and shells that hold at each instruction.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, user, variables};
use super::{
    add, apt, base_image, copy, forms, health, platform, python, repetition, secrets, shell,
};
use crate::dockerfile::Stage;
use crate::expand::instruction::expand;
use crate::expand::{Expander, Expansion, StageScope};
use crate::glob::clean;
use crate::instruction::{Instruction, InstructionKind, Run};
use crate::source::Spanned;
use crate::stages::{Inputs, Origin, Resolution, global_scope, resolve};

/// The size that a variable's value may have here, in bytes; longer ones count as empty.
const VALUE_LIMIT: usize = 4096;

/// So many variables of a stage are remembered.
const MAX_VARIABLES: usize = 1000;

/// What holds at a point of a stage; a stage that starts from another one continues its state.
#[derive(Debug, Clone, Default)]
struct State {
    scope: StageScope,
    /// All variables of the base image are known.
    base_is_known: bool,
    /// The image at the bottom.
    image: String,
    custom_shell: bool,
    workdir_set: bool,
    users: user::Users,
    python: python::Environment,
}

pub(super) fn check_stages(checker: &mut Checker<'_>) {
    let dockerfile = checker.dockerfile;
    let inputs = checker.settings.inputs;
    let Ok(global) = global_scope(dockerfile, &inputs) else {
        return;
    };
    let no_args = BTreeMap::new();
    let defaults = global_scope(
        dockerfile,
        &Inputs {
            build_args: &no_args,
            ..inputs
        },
    );
    // A file whose stages do not fit together is refused by the build; the rest is still checked.
    let resolution = resolve(dockerfile, &inputs).ok();
    let needed: BTreeSet<usize> = match (&resolution, inputs.target) {
        (Some(resolution), Some(_)) => resolution.needed.iter().copied().collect(),
        _ => (0..dockerfile.stages.len()).collect(),
    };
    let declared = dockerfile.global_args.iter().map(|arg| arg.name.as_str());
    let known: BTreeSet<&str> = declared.chain(global.keys().map(String::as_str)).collect();
    let mut states: Vec<State> = Vec::new();
    for stage in &dockerfile.stages {
        if let Ok(defaults) = &defaults {
            variables::check_default(checker, stage, defaults);
        }
        check_from(checker, stage, &global, &known);
        let mut state = start(checker, stage, resolution.as_ref(), &states);
        if needed.contains(&stage.index) {
            walk(checker, stage, &global, &mut state);
        }
        states.push(state);
    }
    let target = resolution.map_or(states.len() - 1, |resolution| resolution.target);
    let state = &states[target];
    user::check(
        checker,
        &dockerfile.stages[target],
        &state.users,
        &state.image,
    );
}

fn check_from(
    checker: &mut Checker<'_>,
    stage: &Stage,
    global: &BTreeMap<String, String>,
    known: &BTreeSet<&str>,
) {
    let expander = Expander::new(global, checker.dockerfile.directives.escape);
    let base = expander.word(&stage.base).unwrap_or_default();
    let platform = stage
        .platform
        .as_ref()
        .map(|text| expander.word(text).unwrap_or_default());
    let mut unset = base.unset;
    if let Some(platform) = platform {
        unset.extend(platform.unset.iter().cloned());
        platform::check(checker, stage, &platform, global.get("TARGETPLATFORM"));
    }
    variables::check_from(checker, stage, &unset, known);
    forms::check_stage_description(checker, stage);
}

/// The state that a stage begins with.
fn start(
    checker: &mut Checker<'_>,
    stage: &Stage,
    resolution: Option<&Resolution>,
    states: &[State],
) -> State {
    let resolved = resolution.map(|resolution| &resolution.stages[stage.index]);
    let known = checker.settings.bases.get(&stage.index);
    let mut state = match resolved.map(|resolved| &resolved.base) {
        Some(Origin::Stage(index)) => return states[*index].clone(),
        Some(Origin::Scratch) => State {
            base_is_known: true,
            ..State::default()
        },
        Some(Origin::Image(image)) => {
            base_image::check(checker, stage, image);
            State {
                image: image.clone(),
                ..State::default()
            }
        }
        Some(Origin::Context(_)) | None => State::default(),
    };
    if let (Some(found), Some(resolved)) = (known.and_then(|base| base.platform.as_ref()), resolved)
    {
        let target = checker.settings.inputs.target_platform.to_string();
        let wanted = resolved.platform.as_deref().unwrap_or(&target);
        platform::check_base(checker, stage, &resolved.base_text, (found, wanted));
    }
    if let Some(base) = known {
        state.scope = StageScope::new(base.environment.clone());
        state.base_is_known = true;
        state.custom_shell = !base.shell.is_empty();
        state.users.user = Some(Spanned::new(base.user.clone(), stage.base_span));
    }
    if state.scope.variables().get("PATH").is_none() {
        state.scope.set("PATH", hoist_core::image::DEFAULT_PATH);
    }
    state
}

fn walk(
    checker: &mut Checker<'_>,
    stage: &Stage,
    global: &BTreeMap<String, String>,
    state: &mut State,
) {
    for instruction in &stage.instructions {
        secrets::check(checker, instruction);
        forms::check(checker, instruction, state.custom_shell);
        add::check(checker, instruction);
        if !state.custom_shell {
            shell::check(checker, instruction, &state.image);
        }
        step(checker, instruction, global, state);
    }
    repetition::check_single(checker, &stage.instructions);
    copy::check_order(checker, &stage.instructions);
    health::check(checker, &stage.instructions);
    python::check_stage(checker, &stage.instructions);
}

/// Expands one instruction, checks what depends on values, and moves the state on.
fn step(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    global: &BTreeMap<String, String>,
    state: &mut State,
) {
    let escape = checker.dockerfile.directives.escape;
    if let InstructionKind::Arg(args) = &instruction.kind {
        for arg in args {
            if state.scope.arguments().len() >= MAX_VARIABLES {
                return;
            }
            let build_args = checker.settings.inputs.build_args;
            let expansion = state.scope.declare(arg, build_args, global, escape);
            check_names(
                checker,
                instruction,
                state,
                &expansion.unwrap_or_default().unset,
            );
        }
        return;
    }
    if let InstructionKind::Run(run) = &instruction.kind {
        check_run(checker, instruction, run, state);
        return;
    }
    let expander = Expander::new(&state.scope, escape).limit(VALUE_LIMIT);
    let Ok(expanded) = expand(&instruction.kind, &expander) else {
        return;
    };
    match &expanded.kind {
        InstructionKind::Env(pairs) => {
            variables::check_localhost(checker, instruction, pairs);
            for pair in pairs {
                if state.scope.variables().len() < MAX_VARIABLES {
                    state.scope.set(pair.key.as_str(), pair.value.as_str());
                }
                if pair.key.as_str() == "PATH" && pair.value.contains("/root/") {
                    state.users.root_on_path = Some(pair.value.span);
                }
            }
        }
        InstructionKind::Workdir(path) => {
            if !state.workdir_set {
                variables::check_workdir(checker, instruction, path);
            }
            state.workdir_set = true;
        }
        InstructionKind::User(user) => state.users.user = Some(user.clone()),
        InstructionKind::Shell(_) => state.custom_shell = true,
        InstructionKind::Expose(ports) => {
            forms::check_ports(checker, instruction, ports);
            return;
        }
        InstructionKind::Copy(copied) => {
            let from_context = copied.from.is_none();
            check_copy(checker, instruction, &copied.sources, from_context);
            note_root_home(state, &copied.destination);
        }
        InstructionKind::Add(added) => {
            check_copy(checker, instruction, &added.sources, true);
            note_root_home(state, &added.destination);
        }
        _ => {}
    }
    check_names(checker, instruction, state, &expanded.unset);
}

fn check_copy(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    sources: &[Spanned<String>],
    from_context: bool,
) {
    if let Some(ignore) = checker.settings.ignore.filter(|_| from_context) {
        copy::check_ignored(checker, instruction, sources, ignore);
    }
}

fn note_root_home(state: &mut State, destination: &Spanned<String>) {
    if clean(destination).starts_with("/root/") {
        state.users.in_root_home = Some(destination.clone());
    }
}

fn check_run(checker: &mut Checker<'_>, instruction: &Instruction, run: &Run, state: &mut State) {
    let escape = checker.dockerfile.directives.escape;
    let expander = Expander::new(&state.scope, escape).limit(VALUE_LIMIT);
    let mut unset = BTreeSet::new();
    for mount in &run.mounts {
        let expansion: Expansion = expander.word(&mount.text).unwrap_or_default();
        unset.extend(expansion.unset);
    }
    check_names(checker, instruction, state, &unset);
    let commands = super::script::run_commands(run);
    apt::check(checker, instruction, run, &commands);
    let scope = &state.scope;
    python::check_run(
        checker,
        instruction,
        run,
        &commands,
        scope,
        &mut state.python,
    );
    let as_root = state
        .users
        .user
        .as_ref()
        .is_none_or(|user| matches!(user.as_str(), "" | "root" | "0"));
    let user_install = commands.iter().any(|command| {
        let words = command.bare();
        words
            .iter()
            .any(|word| word.starts_with("pip") || word == "python")
            && words.iter().any(|word| word == "--user")
    });
    if as_root && user_install {
        let path = "/root/.local".to_owned();
        state.users.in_root_home = Some(Spanned::new(path, instruction.span));
    }
}

fn check_names(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    state: &State,
    unset: &BTreeSet<String>,
) {
    if unset.is_empty() {
        return;
    }
    let unset = unset
        .iter()
        .filter(|name| !state.scope.is_declared(name))
        .cloned()
        .collect();
    let declared = state
        .scope
        .arguments()
        .iter()
        .map(|(name, _)| name.as_str());
    let known = state
        .scope
        .variables()
        .keys()
        .map(String::as_str)
        .chain(declared)
        .collect();
    variables::check_unset(checker, instruction, &unset, &known, state.base_is_known);
}
