//! An instruction on one line.

use std::time::Duration;

use hoist_dockerfile::instruction::{
    Add, Copy, HealthTest, Healthcheck, InlineFile, KeyValue, Network, Program, Run, Security,
};
use hoist_dockerfile::{CommandForm, InstructionKind, Spanned};

pub(crate) fn show(kind: &InstructionKind) -> String {
    let name = kind.keyword();
    match kind {
        InstructionKind::Run(run) => format!("{name}{}", show_run(run)),
        InstructionKind::Copy(copy) => format!("{name}{}", show_copy(copy)),
        InstructionKind::Add(add) => format!("{name}{}", show_add(add)),
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
            format!("{name} {}", show_pairs(pairs))
        }
        InstructionKind::Arg(args) => {
            let args: Vec<String> = args
                .iter()
                .map(|arg| match &arg.default {
                    Some(default) => format!("{}={default}", arg.name),
                    None => arg.name.to_string(),
                })
                .collect();
            format!("{name} {args:?}")
        }
        InstructionKind::Workdir(text)
        | InstructionKind::User(text)
        | InstructionKind::StopSignal(text)
        | InstructionKind::Maintainer(text) => format!("{name} {:?}", text.value),
        InstructionKind::Cmd(form) | InstructionKind::Entrypoint(form) => {
            format!("{name} {}", show_form(form))
        }
        InstructionKind::Expose(list) | InstructionKind::Volume(list) => {
            format!("{name} {}", show_list(list))
        }
        InstructionKind::Healthcheck(check) => format!("{name}{}", show_health(check)),
        InstructionKind::Shell(words) => format!("{name} {words:?}"),
        InstructionKind::OnBuild(onbuild) => {
            let trigger = onbuild
                .trigger
                .as_ref()
                .map_or("?".to_owned(), |kind| show(kind));
            format!("{name} {:?} = {trigger}", onbuild.expression.value)
        }
    }
}

fn show_form(form: &CommandForm) -> String {
    match form {
        CommandForm::Shell(line) => format!("sh {line:?}"),
        CommandForm::Exec(words) => format!("{words:?}"),
    }
}

fn show_list(list: &[Spanned<String>]) -> String {
    let list: Vec<&str> = list.iter().map(|item| item.as_str()).collect();
    format!("{list:?}")
}

fn show_pairs(pairs: &[KeyValue]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|pair| {
            let separator = if pair.legacy { " " } else { "=" };
            format!("{}{separator}{}", pair.key, pair.value)
        })
        .collect();
    format!("{pairs:?}")
}

fn show_run(run: &Run) -> String {
    let mut out = String::new();
    for mount in &run.mounts {
        out += &format!(" mount({})", mount.text);
    }
    if run.network != Network::Default {
        out += &format!(" network={:?}", run.network);
    }
    if run.security != Security::Sandbox {
        out += &format!(" security={:?}", run.security);
    }
    for device in &run.devices {
        out += &format!(" device={device}");
    }
    match run.program() {
        Program::Shell(line) => out + &format!(" sh {line:?}"),
        Program::Exec(words) => out + &format!(" {words:?}"),
        Program::Script { name, content } => out + &format!(" script {name} {content:?}"),
    }
}

fn option(name: &str, value: Option<&Spanned<String>>) -> String {
    value.map_or_else(String::new, |value| format!(" {name}={value}"))
}

fn switch(name: &str, set: bool) -> String {
    if set {
        format!(" {name}")
    } else {
        String::new()
    }
}

fn show_files(files: &[InlineFile]) -> String {
    let mut out = String::new();
    for file in files {
        let kind = if file.expand { "text" } else { "raw" };
        out += &format!(" {kind} {}={:?}", file.name, file.content);
    }
    out
}

fn show_copy(copy: &Copy) -> String {
    let mut out = option("from", copy.from.as_ref());
    out += &option("chown", copy.chown.as_ref());
    out += &option("chmod", copy.chmod.as_ref());
    out += &switch("link", copy.link);
    out += &switch("parents", copy.parents);
    for pattern in &copy.exclude {
        out += &option("exclude", Some(pattern));
    }
    out += &show_files(&copy.files);
    format!("{out} {} -> {}", show_list(&copy.sources), copy.destination)
}

fn show_add(add: &Add) -> String {
    let mut out = option("chown", add.chown.as_ref());
    out += &option("chmod", add.chmod.as_ref());
    out += &switch("link", add.link);
    out += &option("checksum", add.checksum.as_ref());
    for (name, value) in [("keep-git-dir", add.keep_git_dir), ("unpack", add.unpack)] {
        if let Some(value) = value {
            out += &format!(" {name}={value}");
        }
    }
    for pattern in &add.exclude {
        out += &option("exclude", Some(pattern));
    }
    out += &show_files(&add.files);
    format!("{out} {} -> {}", show_list(&add.sources), add.destination)
}

fn show_health(check: &Healthcheck) -> String {
    let mut out = String::new();
    let duration = |name: &str, value: Option<Duration>| {
        value.map_or_else(String::new, |value| format!(" {name}={value:?}"))
    };
    out += &duration("interval", check.interval);
    out += &duration("timeout", check.timeout);
    out += &duration("start-period", check.start_period);
    out += &duration("start-interval", check.start_interval);
    if let Some(retries) = check.retries {
        out += &format!(" retries={retries}");
    }
    match &check.test {
        HealthTest::None => out + " NONE",
        HealthTest::Command(form) => format!("{out} {}", show_form(form)),
    }
}
