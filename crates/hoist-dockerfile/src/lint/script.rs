//! A shell script as a list of simple commands: enough to see which programs run with which words.

use crate::instruction::{Program, Run};

/// A simple command: its words, quotes removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// All words, assignments and prefixes such as `sudo` included.
    pub words: Vec<String>,
}

/// Words that come before a command and do not change what it is.
const PREFIXES: [&str; 14] = [
    "if", "then", "else", "elif", "do", "while", "until", "!", "{", "time", "exec", "sudo", "env",
    "command",
];

impl Command {
    /// The command without assignments and words such as `sudo` before it.
    pub fn bare(&self) -> &[String] {
        let skip = |word: &String| PREFIXES.contains(&word.as_str()) || is_assignment(word);
        let start = self.words.iter().take_while(|word| skip(word)).count();
        &self.words[start..]
    }

    /// The assignments before the command.
    pub fn assignments(&self) -> impl Iterator<Item = &str> {
        let words = self.words.iter().map(String::as_str);
        words
            .take_while(|word| PREFIXES.contains(word) || is_assignment(word))
            .filter_map(|word| word.split_once('=').map(|(name, _)| name))
    }

    /// The words behind the program and these sub-commands, if the command starts with them;
    /// options in between are skipped, and the program may have a path.
    pub fn after(&self, start: &[&str]) -> Option<&[String]> {
        let words = self.bare();
        let (program, subcommands) = start.split_first()?;
        let first = words.first()?;
        let name = first.rsplit('/').next().unwrap_or(first);
        if name != *program {
            return None;
        }
        let mut at = 1;
        for subcommand in subcommands {
            while words.get(at).is_some_and(|word| word.starts_with('-')) {
                at += 1;
            }
            if words.get(at).is_none_or(|word| word != subcommand) {
                return None;
            }
            at += 1;
        }
        Some(&words[at..])
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// The commands of a RUN step; those of command substitutions too.
pub fn run_commands(run: &Run) -> Vec<Command> {
    match run.program() {
        Program::Shell(script) => commands(&script),
        Program::Exec(words) => match words.as_slice() {
            [shell, flag, script, ..] if is_shell(shell) && flag.starts_with('-') => {
                commands(script)
            }
            _ => vec![Command { words }],
        },
        Program::Script { content, .. } => {
            let shell = content
                .lines()
                .next()
                .is_some_and(|line| line.ends_with("sh"));
            if shell {
                commands(&content)
            } else {
                Vec::new()
            }
        }
    }
}

fn is_shell(program: &str) -> bool {
    matches!(
        program.rsplit('/').next(),
        Some("sh" | "bash" | "dash" | "ash")
    )
}

/// The commands of a script, in the order in which they are written.
pub fn commands(script: &str) -> Vec<Command> {
    let mut found = Vec::new();
    let mut command = Command::default();
    let mut word: Option<String> = None;
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\n') | None => {}
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                while let Some(inner) = chars.next() {
                    match inner {
                        end if end == c => break,
                        '\\' if c == '"' => text.extend(chars.next()),
                        other => text.push(other),
                    }
                }
            }
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            ' ' | '\t' | '\r' => command.words.extend(word.take()),
            '\n' | ';' | '&' | '|' | '(' | ')' | '`' => {
                command.words.extend(word.take());
                found.push(std::mem::take(&mut command));
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    command.words.extend(word);
    found.push(command);
    found.retain(|command| !command.bare().is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_cut_into_commands() {
        let shown: Vec<String> = commands(
            "a 'b c' && sudo X=1 d\\ e; if f | g; then (h \"i\\\"j\") # not && this\nfi\nk $(l m)",
        )
        .iter()
        .map(|command| command.bare().join("|"))
        .collect();
        assert_eq!(
            shown,
            ["a|b c", "d e", "f", "g", "h|i\"j", "fi", "k|$", "l|m"]
        );
    }

    #[test]
    fn subcommands_are_found_behind_options() {
        let after =
            |text: &str, start: &[&str]| commands(text)[0].after(start).map(|rest| rest.join(" "));
        assert_eq!(
            after("uv --quiet pip install x", &["uv", "pip", "install"]),
            Some("x".into())
        );
        assert_eq!(
            after("/usr/bin/apt-get -y update", &["apt-get", "update"]),
            Some(String::new())
        );
        assert_eq!(after("pip freeze", &["pip", "install"]), None);
        assert_eq!(
            after("A=1 pip install x", &["pip", "install"]),
            Some("x".into())
        );
        assert_eq!(
            commands("A=1 B=2 pip")[0].assignments().collect::<Vec<_>>(),
            ["A", "B"]
        );
    }
}
