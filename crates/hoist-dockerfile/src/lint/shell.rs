//! BashUnderSh.

use super::{Checker, Note, Rule};
use crate::instruction::{Instruction, InstructionKind, Program};

pub(super) const BASH_UNDER_SH: Rule = Rule::hoist(
    "BashUnderSh",
    "Bash syntax should not be used where RUN's shell is /bin/sh",
);

/// Parts of image names whose `/bin/sh` is bash, or a busybox that understands it.
const BASH_LIKE: [&str; 16] = [
    "alpine",
    "busybox",
    "fedora",
    "centos",
    "rocky",
    "alma",
    "rhel",
    "ubi",
    "redhat",
    "amazon",
    "oracle",
    "suse",
    "arch",
    "mariner",
    "azurelinux",
    "photon",
];

/// `base` is the image that the stage goes back to.
pub(super) fn check(checker: &mut Checker<'_>, instruction: &Instruction, base: &str) {
    let InstructionKind::Run(run) = &instruction.kind else {
        return;
    };
    let Program::Shell(script) = run.program() else {
        return;
    };
    let base = base.to_lowercase();
    if BASH_LIKE.iter().any(|name| base.contains(name)) {
        return;
    }
    let Some((construct, name)) = bash_syntax(&script) else {
        return;
    };
    let span = checker
        .locate(instruction.span, construct)
        .unwrap_or(instruction.keyword.span);
    let message = format!("{name} is bash syntax, but RUN uses /bin/sh, which is dash on Debian");
    checker.report(
        &instruction.comments,
        Note::new(&BASH_UNDER_SH, span, message).help(
            "put SHELL [\"/bin/bash\", \"-c\"] before it if the image has bash, or write it for sh",
        ),
    );
}

/// The first construct outside quotes that only bash knows: how it is written, what it is called.
#[must_use]
pub fn bash_syntax(script: &str) -> Option<(&'static str, &'static str)> {
    let mut quote = None;
    let mut before = ' ';
    let mut chars = script.char_indices();
    let mut comment = false;
    while let Some((at, c)) = chars.next() {
        let rest = &script[at..];
        match (c, quote) {
            ('\n', None) => comment = false,
            _ if comment => {}
            ('\\', Some('"') | None) => drop(chars.next()),
            ('\'' | '"', None) => quote = Some(c),
            (end, Some(open)) if end == open => quote = None,
            (_, Some(_)) => {}
            ('#', None) if before.is_whitespace() => comment = true,
            ('<', None) if rest.starts_with("<<<") => return Some(("<<<", "the here-string <<<")),
            ('<', None) if rest.starts_with("<(") => {
                return Some(("<(", "the process substitution <( )"));
            }
            ('>', None) if rest.starts_with(">(") => {
                return Some((">(", "the process substitution >( )"));
            }
            ('(', None) if before == '=' && is_assignment(&script[..at]) => {
                return Some(("=(", "the array =( )"));
            }
            ('[', None) if rest.starts_with("[[ ") && !before.is_alphanumeric() => {
                return Some(("[[", "the test [[ ]]"));
            }
            ('s', None) if rest.starts_with("source ") && is_command(&script[..at]) => {
                return Some(("source", "source (in sh it is .)"));
            }
            _ => {}
        }
        before = c;
    }
    None
}

/// Whether `text` ends with a name and `=` where a command can start.
fn is_assignment(text: &str) -> bool {
    let text = text.trim_end_matches(['=', '+']);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let before = text.trim_end_matches(is_part);
    let name = &text[before.len()..];
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    is_name && (before.ends_with([' ', '\t', '\n']) || before.is_empty()) && is_command(before)
}

/// Whether a command can start behind `text`.
fn is_command(text: &str) -> bool {
    let text = text.trim_end();
    text.is_empty()
        || text.ends_with(['&', '|', ';', '(', '{'])
        || text.ends_with("then")
        || text.ends_with("do")
}

#[cfg(test)]
mod tests {
    use super::bash_syntax;

    #[test]
    fn only_unquoted_bash_is_found() {
        for (script, construct) in [
            (
                "uv pip install -r <(uv pip compile pyproject.toml)",
                Some("<("),
            ),
            ("tee >(cat) x", Some(">(")),
            ("[[ -f x ]] && y", Some("[[")),
            ("cat <<<x", Some("<<<")),
            ("cd a && source venv/bin/activate", Some("source")),
            ("source x", Some("source")),
            ("files=(a b)", Some("=(")),
            ("cd x; files+=(a)", Some("=(")),
            ("make X=(a)", None),
            ("echo '<(x)'", None),
            ("echo \"<(x)\"", None),
            ("echo a # <(x)", None),
            ("cat <x", None),
            ("apt-get source x", None),
            ("case $x in [[:alpha:]]) ;; esac", None),
            ("(cat <x)", None),
            ("cat <<EOF\nx\nEOF", None),
        ] {
            assert_eq!(
                bash_syntax(script).map(|found| found.0),
                construct,
                "{script}"
            );
        }
    }
}
