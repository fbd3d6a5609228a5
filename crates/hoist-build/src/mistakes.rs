//! What a failing command's output says about a mistake that many people make.

use hoist_dockerfile::lint::bash_syntax;

/// What is known of a RUN step that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    /// The command as written.
    pub(crate) command: &'a str,
    /// Program and arguments.
    pub(crate) argv: &'a [String],
    pub(crate) code: i32,
    pub(crate) oom_killed: bool,
    /// The last lines of output.
    pub(crate) tail: &'a [String],
    /// The user that the step ran as; empty is root.
    pub(crate) user: &'a str,
}

impl Failure<'_> {
    fn says(&self, text: &str) -> bool {
        self.tail.iter().any(|line| line.contains(text))
    }

    /// The first line that contains `text`.
    fn line(&self, text: &str) -> Option<&str> {
        self.tail
            .iter()
            .map(String::as_str)
            .find(|line| line.contains(text))
    }

    fn uses_sh(&self) -> bool {
        self.argv
            .first()
            .is_some_and(|program| program.ends_with("/sh") || program == "sh")
    }

    fn is_root(&self) -> bool {
        matches!(self.user.split(':').next(), None | Some("" | "root" | "0"))
    }
}

/// What to do about it, the most likely first.
pub(crate) fn hints(failure: &Failure<'_>) -> Vec<String> {
    let checks: [fn(&Failure<'_>) -> Option<String>; 9] = [
        memory,
        bash,
        uv,
        pip,
        carriage_return,
        package_lists,
        not_found,
        permission,
        outside,
    ];
    checks
        .iter()
        .filter_map(|check| check(failure))
        .take(2)
        .collect()
}

fn memory(failure: &Failure<'_>) -> Option<String> {
    (failure.oom_killed || failure.code == 137).then(|| {
        "the kernel killed it for lack of memory: free some, or do less at a time".to_owned()
    })
}

/// Bash's syntax that the rule `BashUnderSh` leaves alone: not every `/bin/sh` minds it.
const BASHISMS: [(&str, &str); 9] = [
    ("pipefail", "set -o pipefail"),
    ("source ", "source (in sh it is .)"),
    ("[[", "the test [[ ]]"),
    ("==", "== in a test (in sh it is =)"),
    ("&>", "the redirection &> (in sh it is >file 2>&1)"),
    ("declare ", "declare"),
    ("shopt ", "shopt"),
    ("function ", "the word function (in sh it is name() { … })"),
    ("${", "this kind of ${ } expansion"),
];

/// What `sh` says about syntax that it does not know.
const COMPLAINTS: [&str; 11] = [
    "Syntax error",
    "syntax error",
    "Bad substitution",
    "bad substitution",
    "[[: not found",
    "source: not found",
    "shopt: not found",
    "declare: not found",
    "llegal option -o pipefail",
    "unexpected operator",
    "unknown operand",
];

/// Bash's syntax in a shell that is not bash. It complains, or takes it for something else and
/// says nothing.
fn bash(failure: &Failure<'_>) -> Option<String> {
    if !failure.uses_sh() {
        return None;
    }
    let complains = COMPLAINTS.iter().any(|text| failure.says(text));
    let says_nothing = failure.tail.iter().all(|line| line.trim().is_empty());
    let sure = bash_syntax(failure.command).map(|(_, name)| name);
    let likely = || {
        let mut known = BASHISMS.iter();
        let found = known.find(|(text, _)| failure.command.contains(text));
        found.map(|(_, name)| *name)
    };
    let construct = match (complains, says_nothing) {
        (true, _) => sure.or_else(likely)?,
        (false, true) => sure?,
        (false, false) => return None,
    };
    Some(format!(
        "{construct} is bash's, but RUN uses /bin/sh: put SHELL [\"/bin/bash\", \"-c\"] before it, \
         if the image has bash, or write it for sh"
    ))
}

fn uv(failure: &Failure<'_>) -> Option<String> {
    (failure.says("No virtual environment found") && failure.command.contains("uv")).then(|| {
        "uv pip install needs --system (or ENV UV_SYSTEM_PYTHON=1) in an image without a virtual \
         environment"
            .to_owned()
    })
}

fn pip(failure: &Failure<'_>) -> Option<String> {
    if failure.says("externally-managed-environment") {
        return Some(
            "the image's Python belongs to its distribution: install into a virtual environment \
             (RUN python3 -m venv /venv), or start FROM python:3"
                .to_owned(),
        );
    }
    let line = failure.line("Could not open requirements file")?;
    Some(format!("COPY the file before this step ({})", line.trim()))
}

fn carriage_return(failure: &Failure<'_>) -> Option<String> {
    (failure.says("^M") || failure.says("\r: not found") || failure.says("bad interpreter")).then(
        || {
            "a script has Windows line ends: save it with LF only (git config core.autocrlf input)"
                .to_owned()
        },
    )
}

fn package_lists(failure: &Failure<'_>) -> Option<String> {
    (failure.says("Unable to locate package") || failure.says("has no installation candidate"))
        .then(|| {
            "put apt-get update into the same RUN: apt-get update && apt-get install -y …"
                .to_owned()
        })
}

fn not_found(failure: &Failure<'_>) -> Option<String> {
    if failure.code != 127 {
        return None;
    }
    let line = failure.line("not found")?;
    let before = line.split(": not found").next().unwrap_or(line);
    let before = before.split(": command not found").next().unwrap_or(before);
    let name = before.rsplit(": ").next().unwrap_or(before).trim();
    Some(match name {
        "apt-get" | "apt" => {
            "the image has no apt: Alpine has apk add, Fedora dnf install".to_owned()
        }
        "apk" => "the image has no apk: Debian and Ubuntu have apt-get install".to_owned(),
        "pip" | "pip3" | "python" | "python3" => {
            format!("the image has no {name}: start FROM python:3-slim, or install it first")
        }
        name => format!("{name} is not on PATH of this image: install it in an earlier step"),
    })
}

fn permission(failure: &Failure<'_>) -> Option<String> {
    if failure.code == 126 {
        return Some(
            "the file may not be executed: COPY it with --chmod=755, or RUN chmod +x before"
                .to_owned(),
        );
    }
    let denied = failure.says("Permission denied") || failure.says("are you root");
    (denied && !failure.is_root()).then(|| {
        format!(
            "the step runs as user {}: do what needs root before USER",
            failure.user
        )
    })
}

fn outside(failure: &Failure<'_>) -> Option<String> {
    if failure.says("No space left on device") {
        return Some("the disk is full: hoist system prune frees what nothing uses".to_owned());
    }
    let unreachable = [
        "Temporary failure in name resolution",
        "Could not resolve host",
        "Temporary failure resolving",
        "Network is unreachable",
    ];
    unreachable.iter().any(|text| failure.says(text)).then(|| {
        "the step has no working network: check the machine's, RUN --network and the build's --network"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(command: &str, code: i32, user: &str, line: &str) -> Option<String> {
        let argv = ["/bin/sh", "-c", command].map(str::to_owned);
        let noise = if line.is_empty() { "" } else { "noise" };
        let tail = [noise.to_owned(), line.to_owned()];
        let failure = Failure {
            command,
            argv: &argv,
            code,
            oom_killed: false,
            tail: &tail,
            user,
        };
        hints(&failure).into_iter().next()
    }

    #[test]
    fn known_mistakes_are_recognised() {
        let table = [
            (
                "uv pip install -r <(uv pip compile pyproject.toml)",
                2,
                "",
                "/bin/sh: 1: Syntax error: \"(\" unexpected",
                "the process substitution <( ) is bash's",
            ),
            (
                "[[ -f x ]]",
                127,
                "",
                "/bin/sh: 1: [[: not found",
                "the test [[ ]] is bash's",
            ),
            (
                "uv pip install fastapi",
                2,
                "",
                "error: No virtual environment found; run 'uv venv'",
                "uv pip install needs --system",
            ),
            (
                "curl x",
                127,
                "",
                "/bin/sh: 1: curl: not found",
                "curl is not on PATH",
            ),
            (
                "apt-get install x",
                127,
                "",
                "/bin/sh: apt-get: not found",
                "the image has no apt",
            ),
            (
                "./run.sh",
                126,
                "",
                "/bin/sh: 1: ./run.sh: Permission denied",
                "the file may not be",
            ),
            (
                "apt-get update",
                100,
                "app",
                "E: Could not open lock file - open (13: Permission denied)",
                "the step runs as user app",
            ),
            (
                "apt-get install -y x",
                100,
                "",
                "E: Unable to locate package x",
                "put apt-get update",
            ),
            ("make", 137, "", "Killed", "the kernel killed it"),
        ];
        for (command, code, user, line, expected) in table {
            let hint = first(command, code, user, line).unwrap_or_default();
            assert!(hint.starts_with(expected), "{command}: {hint}");
        }
        assert_eq!(first("make", 2, "", "make: *** [all] Error 1"), None);

        assert_eq!(first("cat x", 1, "", "cat: x: Permission denied"), None);
    }
    #[test]
    fn bash_is_recognised_by_a_complaint_or_by_silence() {
        let table = [
            (
                "set -o pipefail; a | b",
                2,
                "",
                "/bin/sh: 1: set: Illegal option -o pipefail",
                "set -o pipefail is bash's",
            ),
            ("files=(a b); ls", 2, "", "", "the array =( ) is bash's"),
            ("[[ $A == b* ]]", 1, "", "", "the test [[ ]] is bash's"),
            (
                "test $A == b",
                2,
                "",
                "sh: b: unknown operand",
                "== in a test",
            ),
        ];
        for (command, code, user, line, expected) in table {
            let hint = first(command, code, user, line).unwrap_or_default();
            assert!(hint.starts_with(expected), "{command}: {hint}");
        }
        assert_eq!(first("[[ -f x ]] && make", 2, "", "Error 1"), None);
        assert_eq!(first("test -f x", 1, "", ""), None);
    }
}
