//! The commands: one file a verb, and the table of their names.

pub(crate) mod build;
pub(crate) mod create;
pub(crate) mod df;
pub(crate) mod exec;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod request;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod tag;
pub(crate) mod version;

mod each;
mod table;

pub(crate) use table::{COMMON, Entry, GROUPS, Group, SECTIONS};

use crate::cli::Command;

/// The command with this name that needs no noun.
pub(crate) fn top_level(name: &str) -> Option<&'static Command> {
    let mut entries = SECTIONS.iter().flat_map(|(_, entries)| entries.iter());
    entries
        .find(|entry| entry.name == name)
        .map(|entry| entry.command)
}

/// The verb of a noun.
pub(crate) fn in_group(group: &Group, verb: &str) -> Option<&'static Command> {
    let named = |entry: &&Entry| entry.name == verb || entry.aliases.contains(&verb);
    group.entries.iter().find(named).map(|entry| entry.command)
}

/// Every way to write the command, the noun forms first, as Docker lists them.
pub(crate) fn paths(command: &Command) -> impl Iterator<Item = String> {
    let same = move |entry: &&Entry| std::ptr::eq(entry.command, command);
    let nouns = GROUPS.iter().flat_map(move |group| {
        let entries = group.entries.iter().filter(same);
        entries.flat_map(|entry| {
            let names = std::iter::once(&entry.name).chain(entry.aliases);
            names.map(|name| format!("{} {name}", group.name))
        })
    });
    let verbs = SECTIONS
        .iter()
        .flat_map(|(_, entries)| entries.iter())
        .filter(same);
    nouns.chain(verbs.map(|entry| entry.name.to_owned()))
}

/// The command whose name is at most two letters away from `name`.
pub(crate) fn nearest(name: &str) -> Option<String> {
    let verbs = SECTIONS
        .iter()
        .flat_map(|(_, entries)| entries.iter())
        .map(|entry| entry.name.to_owned());
    let nouns = GROUPS.iter().flat_map(|group| {
        group
            .entries
            .iter()
            .map(|entry| format!("{} {}", group.name, entry.name))
    });
    let near = verbs
        .chain(nouns)
        .map(|known| (distance(name, &known), known));
    near.filter(|(distance, known)| *distance <= 2 && *distance < known.len().min(name.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// How many letters must be changed, added or left out to make `a` of `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, right) in b.chars().enumerate() {
            let replace = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::{table::PS, *};

    #[test]
    fn a_mistyped_command_finds_its_neighbour() {
        let table = [
            ("rnu", Some("run")),
            ("image", Some("images")),
            ("container lst", Some("container ls")),
            ("xyz", None),
        ];
        for (typed, near) in table {
            assert_eq!(nearest(typed).as_deref(), near, "{typed}");
        }
    }

    #[test]
    fn noun_forms_and_verbs_are_the_same_command() {
        let listed: Vec<_> = paths(&PS).collect();
        assert_eq!(
            listed,
            ["container ls", "container ps", "container list", "ps"]
        );
    }
}
