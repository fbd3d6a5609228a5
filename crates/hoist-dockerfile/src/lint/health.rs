//! HEALTHCHECK: HealthcheckModule, HealthcheckIgnoresStatus.

use super::script::{Command, commands, run_commands};
use super::{Checker, Edit, Fix, Note, Rule};
use crate::instruction::{CommandForm, HealthTest, Instruction, InstructionKind};

/// `HealthcheckModule`: also decided by the built image, where there is one.
pub const HEALTHCHECK_MODULE: Rule = Rule::hoist(
    "HealthcheckModule",
    "A health check should not need Python modules that nothing installs",
);
pub(super) const HEALTHCHECK_IGNORES_STATUS: Rule = Rule::hoist(
    "HealthcheckIgnoresStatus",
    "A health check should fail when the service answers with an error",
);

/// HTTP modules that are not part of Python.
const MODULES: [&str; 4] = ["requests", "httpx", "aiohttp", "urllib3"];

pub(super) fn check(checker: &mut Checker<'_>, instructions: &[Instruction]) {
    // Of several only the last counts.
    let last = instructions
        .iter()
        .rev()
        .find_map(|instruction| match &instruction.kind {
            InstructionKind::Healthcheck(health) => Some((instruction, health)),
            _ => None,
        });
    if let Some((instruction, health)) = last {
        let (text, parsed) = match &health.test {
            HealthTest::None => return,
            HealthTest::Command(CommandForm::Shell(line)) => (line.clone(), commands(line)),
            HealthTest::Command(CommandForm::Exec(words)) => {
                let command = Command {
                    words: words.clone(),
                };
                (words.join(" "), vec![command])
            }
        };
        let module = MODULES.into_iter().find(|module| imports(&text, module));
        if let Some(module) = module
            && !installs(instructions, module)
        {
            report_module(checker, instruction, module, &text);
        }
        check_status(checker, instruction, &text, &parsed, module);
    }
}

fn imports(text: &str, module: &str) -> bool {
    let starts = [format!("import {module}"), format!("from {module} ")];
    starts.iter().any(|start| text.contains(start.as_str()))
}

/// Whether a RUN of the stage names the module in an install command.
fn installs(instructions: &[Instruction], module: &str) -> bool {
    instructions
        .iter()
        .any(|instruction| match &instruction.kind {
            InstructionKind::Run(run) => run_commands(run).iter().any(|command| {
                let words = command.bare();
                let named = |word: &String| {
                    let name = word.split(['=', '<', '>', '[', '~', '!']).next();
                    name.is_some_and(|name| name.eq_ignore_ascii_case(module))
                };
                words.iter().any(|word| word == "install" || word == "add")
                    && words.iter().any(named)
            }),
            _ => false,
        })
}

fn report_module(checker: &mut Checker<'_>, instruction: &Instruction, module: &str, text: &str) {
    let span = checker
        .locate(instruction.span, module)
        .unwrap_or(instruction.span);
    let message = format!(
        "HEALTHCHECK imports {module}, which is not part of Python: unless your list of \
         dependencies has it, every probe fails"
    );
    let note = Note::new(&HEALTHCHECK_MODULE, span, message).help(
        "urllib is always there, and raises on errors: python -c \"import urllib.request as u; \
         u.urlopen('http://localhost:8000/health', timeout=5)\"",
    );
    let fix = (module == "requests")
        .then(|| urllib(checker, instruction, text))
        .flatten();
    checker.report(&instruction.comments, note.fix(fix));
}

/// `import requests; requests.get(…)` by means of urllib, if there is no more to it.
fn urllib(checker: &Checker<'_>, instruction: &Instruction, text: &str) -> Option<Fix> {
    let call = text.split_once("requests.get(")?.1;
    let simple = text.matches("requests").count() == 2
        && call.trim_end_matches(['"', ' ']).ends_with(')')
        && call.matches(['(', ')', '.']).count() <= 1 + call.matches('.').count()
        && !call.contains(").")
        && call.matches('=').count() == call.matches("timeout=").count();
    let import = checker.locate_only(instruction.span, "import requests")?;
    let get = checker.locate_only(instruction.span, "requests.get(")?;
    simple.then(|| Fix {
        description: "use urllib.request".to_owned(),
        edits: vec![
            Edit {
                span: import,
                replacement: "import urllib.request".to_owned(),
            },
            Edit {
                span: get,
                replacement: "urllib.request.urlopen(".to_owned(),
            },
        ],
    })
}

fn check_status(
    checker: &mut Checker<'_>,
    instruction: &Instruction,
    text: &str,
    parsed: &[Command],
    module: Option<&str>,
) {
    let checked = ["raise_for_status", "status", ".ok", "assert"]
        .iter()
        .any(|word| text.contains(word));
    let (needle, help) = if module.is_some_and(|name| name != "urllib3") && !checked {
        ("get(", "append .raise_for_status()")
    } else if parsed
        .iter()
        .any(|command| command.after(&["curl"]).is_some_and(ignores_errors))
    {
        ("curl", "write curl -f")
    } else {
        return;
    };
    let span = checker
        .locate(instruction.span, needle)
        .unwrap_or(instruction.span);
    let message = "this health check passes when the service answers with an error (HTTP 500)";
    checker.report(
        &instruction.comments,
        Note::new(&HEALTHCHECK_IGNORES_STATUS, span, message).help(help),
    );
}

/// Whether curl gets no option that makes it fail on an HTTP error.
fn ignores_errors(arguments: &[String]) -> bool {
    !arguments.iter().any(|word| {
        let short = word.starts_with('-') && !word.starts_with("--") && word.contains('f');
        short || word.starts_with("--fail") || word.contains("http_code")
    })
}
