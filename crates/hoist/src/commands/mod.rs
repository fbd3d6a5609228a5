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

use crate::cli::{Command, Words};

/// A name for a command.
#[derive(Debug)]
pub(crate) struct Entry {
    /// As listed.
    pub(crate) name: &'static str,
    /// Other names, not listed.
    pub(crate) aliases: &'static [&'static str],
    /// The command.
    pub(crate) command: &'static Command,
}

/// A noun with its verbs.
#[derive(Debug)]
pub(crate) struct Group {
    /// The noun.
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    /// The verbs.
    pub(crate) entries: &'static [Entry],
}

/// Heading of the commands that everyone uses.
pub(crate) const COMMON: &str = "Common Commands";

/// The commands that need no noun, as the overview shows them.
pub(crate) static SECTIONS: &[(&str, &[Entry])] = &[
    (
        COMMON,
        &[
            entry("run", &RUN),
            entry("exec", &EXEC),
            entry("ps", &PS),
            entry("build", &BUILD),
            entry("images", &IMAGES),
            entry("version", &VERSION),
            entry("info", &INFO),
        ],
    ),
    (
        "Commands",
        &[
            entry("create", &CREATE),
            entry("history", &HISTORY),
            entry("import", &IMPORT),
            entry("inspect", &INSPECT),
            entry("kill", &KILL),
            entry("logs", &LOGS),
            entry("restart", &RESTART),
            entry("rm", &REMOVE),
            entry("rmi", &REMOVE_IMAGE),
            entry("start", &START),
            entry("stop", &STOP),
            entry("tag", &TAG),
        ],
    ),
];

/// The nouns.
pub(crate) static GROUPS: &[Group] = &[
    Group {
        name: "container",
        about: "Manage containers",
        entries: &[
            entry("create", &CREATE),
            entry("exec", &EXEC),
            entry("inspect", &INSPECT_CONTAINER),
            entry("kill", &KILL),
            entry("logs", &LOGS),
            Entry {
                name: "ls",
                aliases: &["ps", "list"],
                command: &PS,
            },
            entry("restart", &RESTART),
            Entry {
                name: "rm",
                aliases: &["remove"],
                command: &REMOVE,
            },
            entry("run", &RUN),
            entry("start", &START),
            entry("stop", &STOP),
        ],
    },
    Group {
        name: "image",
        about: "Manage images",
        entries: &[
            entry("build", &BUILD),
            entry("history", &HISTORY),
            entry("import", &IMPORT),
            entry("inspect", &INSPECT_IMAGE),
            Entry {
                name: "ls",
                aliases: &["list"],
                command: &IMAGES,
            },
            Entry {
                name: "rm",
                aliases: &["remove"],
                command: &REMOVE_IMAGE,
            },
            entry("tag", &TAG),
        ],
    },
    Group {
        name: "system",
        about: "Manage hoist",
        entries: &[
            entry("df", &DF),
            entry("info", &INFO),
            entry("prune", &PRUNE),
        ],
    },
];

const fn entry(name: &'static str, command: &'static Command) -> Entry {
    Entry {
        name,
        aliases: &[],
        command,
    }
}

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

const PLAIN: Command = Command {
    usage: "[OPTIONS]",
    about: "",
    examples: "",
    words: Words::No,
    flags_first: false,
    as_run: false,
    run: |_, _| Ok(std::process::ExitCode::SUCCESS),
};

static RUN: Command = Command {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create and run a new container from an image",
    examples: run::EXAMPLES,
    words: Words::AtLeast(1),
    flags_first: true,
    as_run: true,
    run: |call, argv| call.with(argv, run::run),
};

static CREATE: Command = Command {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create a new container",
    words: Words::AtLeast(1),
    flags_first: true,
    run: |call, argv| call.with(argv, create::create),
    ..PLAIN
};

static EXEC: Command = Command {
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    about: "Execute a command in a running container",
    words: Words::AtLeast(2),
    flags_first: true,
    run: |call, argv| call.with(argv, exec::exec),
    ..PLAIN
};

static PS: Command = Command {
    about: "List containers",
    run: |call, argv| call.with(argv, ps::ps),
    ..PLAIN
};

static BUILD: Command = Command {
    usage: "[OPTIONS] PATH | -",
    about: "Build an image from a Dockerfile",
    examples: build::EXAMPLES,
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, build::build),
    ..PLAIN
};

static IMAGES: Command = Command {
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    about: "List images",
    words: Words::Between(0, 1),
    run: |call, argv| call.with(argv, images::images),
    ..PLAIN
};

static VERSION: Command = Command {
    about: "Show the version information",
    run: |call, argv| call.with(argv, version::version),
    ..PLAIN
};

static INFO: Command = Command {
    about: "Display system-wide information",
    run: |call, argv| call.with(argv, info::info),
    ..PLAIN
};

static HISTORY: Command = Command {
    usage: "[OPTIONS] IMAGE",
    about: "Show the history of an image",
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, history::history),
    ..PLAIN
};

static IMPORT: Command = Command {
    usage: "[OPTIONS] file|- [REPOSITORY[:TAG]]",
    about: "Import the contents from a tarball to create a filesystem image",
    words: Words::Between(1, 2),
    run: |call, argv| call.with(argv, import::import),
    ..PLAIN
};

static INSPECT: Command = Command {
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    about: "Return low-level information on containers and images",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, inspect::inspect),
    ..PLAIN
};

static INSPECT_CONTAINER: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Display detailed information on one or more containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, inspect::container),
    ..PLAIN
};

static INSPECT_IMAGE: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Display detailed information on one or more images",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, inspect::image),
    ..PLAIN
};

static KILL: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Kill one or more running containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, kill::kill),
    ..PLAIN
};

static LOGS: Command = Command {
    usage: "[OPTIONS] CONTAINER",
    about: "Fetch the logs of a container",
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, logs::logs),
    ..PLAIN
};

static RESTART: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Restart one or more containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, restart::restart),
    ..PLAIN
};

static REMOVE: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Remove one or more containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, rm::remove),
    ..PLAIN
};

static REMOVE_IMAGE: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Remove one or more images",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, rmi::remove),
    ..PLAIN
};

static START: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Start one or more stopped containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, start::start),
    ..PLAIN
};

static STOP: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Stop one or more running containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, stop::stop),
    ..PLAIN
};

static TAG: Command = Command {
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    about: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    words: Words::Exactly(2),
    run: |call, argv| call.with(argv, tag::tag),
    ..PLAIN
};

static DF: Command = Command {
    about: "Show disk usage",
    run: |call, argv| call.with(argv, df::disk_usage),
    ..PLAIN
};

static PRUNE: Command = Command {
    about: "Remove unused data",
    run: |call, argv| call.with(argv, prune::prune),
    ..PLAIN
};

#[cfg(test)]
mod tests {
    use super::*;

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
