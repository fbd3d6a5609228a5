//! The commands: one file a verb, and the table of their names.

pub(crate) mod build;
pub(crate) mod builder;
pub(crate) mod check;
pub(crate) mod context;
pub(crate) mod create;
pub(crate) mod df;
pub(crate) mod diff;
pub(crate) mod exec;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod layers;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod manifest;
pub(crate) mod mount;
pub(crate) mod prune;
pub(crate) mod prune_one;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod request;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod system_check;
pub(crate) mod tag;
pub(crate) mod version;

mod archive;
mod attached;
mod each;
mod interrupt;
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

/// The command whose name is closest to `name`, when a slip or two of the fingers lie between.
pub(crate) fn nearest(name: &str) -> Option<String> {
    let verbs = SECTIONS.iter().flat_map(|(_, entries)| entries.iter());
    let verbs = verbs.map(|entry| entry.name.to_owned());
    let nouns = GROUPS.iter().flat_map(|group| {
        let entries = group.entries.iter();
        entries.map(|entry| format!("{} {}", group.name, entry.name))
    });
    let near = verbs.chain(nouns).map(|known| (slips(name, &known), known));
    near.filter(|(slips, known)| *slips <= known.len().div_ceil(4))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, known)| known)
}

/// How many letters must be changed, added, left out or swapped with their neighbour to make `a`
/// of `b` (Damerau's distance, each place at most once).
fn slips(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
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
            ("bogus", None),
            ("", None),
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
