//! The table of commands: names, nouns, usage lines, and the function behind each.

use super::{
    build, builder, check, create, df, exec, history, images, import, info, inspect, kill, login,
    logs, manifest, prune, prune_one, ps, pull, push, restart, rm, rmi, run, save, search, start,
    stop, tag, version,
};
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
            entry("pull", &PULL),
            entry("push", &PUSH),
            entry("images", &IMAGES),
            entry("login", &LOGIN),
            entry("logout", &LOGOUT),
            entry("version", &VERSION),
            entry("info", &INFO),
        ],
    ),
    (
        "Commands",
        &[
            entry("check", &CHECK),
            entry("create", &CREATE),
            entry("history", &HISTORY),
            entry("import", &IMPORT),
            entry("inspect", &INSPECT),
            entry("kill", &KILL),
            entry("load", &LOAD),
            entry("logs", &LOGS),
            entry("restart", &RESTART),
            entry("rm", &REMOVE),
            entry("rmi", &REMOVE_IMAGE),
            entry("save", &SAVE),
            entry("search", &SEARCH),
            entry("start", &START),
            entry("stop", &STOP),
            entry("tag", &TAG),
        ],
    ),
];

/// The nouns.
pub(crate) static GROUPS: &[Group] = &[
    Group {
        name: "builder",
        about: "Manage builds",
        entries: &[
            entry("build", &BUILD),
            entry("du", &BUILDER_DU),
            entry("prune", &BUILDER_PRUNE),
        ],
    },
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
            entry("prune", &PRUNE_CONTAINERS),
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
            entry("load", &LOAD),
            Entry {
                name: "ls",
                aliases: &["list"],
                command: &IMAGES,
            },
            entry("prune", &PRUNE_IMAGES),
            entry("pull", &PULL),
            entry("push", &PUSH),
            Entry {
                name: "rm",
                aliases: &["remove"],
                command: &REMOVE_IMAGE,
            },
            entry("save", &SAVE),
            entry("tag", &TAG),
        ],
    },
    Group {
        name: "manifest",
        about: "Look at image manifests and manifest lists",
        entries: &[entry("inspect", &INSPECT_MANIFEST)],
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

const PLAIN: Command = Command {
    usage: "[OPTIONS]",
    about: "",
    examples: "",
    words: Words::No,
    flags_first: false,
    as_run: false,
    run: |_, _| Ok(std::process::ExitCode::SUCCESS),
};

pub(super) static RUN: Command = Command {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create and run a new container from an image",
    examples: run::EXAMPLES,
    words: Words::AtLeast(1),
    flags_first: true,
    as_run: true,
    run: |call, argv| call.with(argv, run::run),
};

pub(super) static CREATE: Command = Command {
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create a new container",
    words: Words::AtLeast(1),
    flags_first: true,
    run: |call, argv| call.with(argv, create::create),
    ..PLAIN
};

pub(super) static EXEC: Command = Command {
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    about: "Execute a command in a running container",
    words: Words::AtLeast(2),
    flags_first: true,
    run: |call, argv| call.with(argv, exec::exec),
    ..PLAIN
};

pub(super) static PS: Command = Command {
    about: "List containers",
    run: |call, argv| call.with(argv, ps::ps),
    ..PLAIN
};

pub(super) static BUILD: Command = Command {
    usage: "[OPTIONS] PATH | URL | -",
    about: "Build an image from a Dockerfile",
    examples: build::EXAMPLES,
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, build::build),
    ..PLAIN
};

pub(super) static CHECK: Command = Command {
    usage: "[OPTIONS] [PATH]",
    about: "Check a Dockerfile and its context without building",
    examples: check::EXAMPLES,
    words: Words::Between(0, 1),
    run: |call, argv| call.with(argv, check::check),
    ..PLAIN
};

pub(super) static IMAGES: Command = Command {
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    about: "List images",
    words: Words::Between(0, 1),
    run: |call, argv| call.with(argv, images::images),
    ..PLAIN
};

pub(super) static PULL: Command = Command {
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    about: "Download an image from a registry",
    examples: pull::EXAMPLES,
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, pull::pull),
    ..PLAIN
};

pub(super) static PUSH: Command = Command {
    usage: "[OPTIONS] NAME[:TAG]",
    about: "Upload an image to a registry",
    examples: push::EXAMPLES,
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, push::push),
    ..PLAIN
};

pub(super) static LOGIN: Command = Command {
    usage: "[OPTIONS] [SERVER]",
    about: "Authenticate to a registry",
    examples: login::EXAMPLES,
    words: Words::Between(0, 1),
    run: |call, argv| call.with(argv, login::login),
    ..PLAIN
};

pub(super) static LOGOUT: Command = Command {
    usage: "[SERVER]",
    about: "Log out from a registry",
    words: Words::Between(0, 1),
    run: |call, argv| call.with(argv, login::logout),
    ..PLAIN
};

pub(super) static SAVE: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Save one or more images to a tar archive (streamed to STDOUT by default)",
    examples: save::EXAMPLES,
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, save::save),
    ..PLAIN
};

pub(super) static LOAD: Command = Command {
    about: "Load an image from a tar archive or STDIN",
    run: |call, argv| call.with(argv, save::load),
    ..PLAIN
};

pub(super) static SEARCH: Command = Command {
    usage: "[OPTIONS] TERM",
    about: "Search Docker Hub for images",
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, search::search),
    ..PLAIN
};

pub(super) static INSPECT_MANIFEST: Command = Command {
    usage: "[OPTIONS] MANIFEST",
    about: "Display an image manifest, or manifest list",
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, manifest::inspect),
    ..PLAIN
};

pub(super) static PRUNE_IMAGES: Command = Command {
    about: "Remove unused images",
    run: |call, argv| call.with(argv, prune_one::images),
    ..PLAIN
};

pub(super) static PRUNE_CONTAINERS: Command = Command {
    about: "Remove all stopped containers",
    run: |call, argv| call.with(argv, prune_one::containers),
    ..PLAIN
};

pub(super) static VERSION: Command = Command {
    about: "Show the version information",
    run: |call, argv| call.with(argv, version::version),
    ..PLAIN
};

pub(super) static INFO: Command = Command {
    about: "Display system-wide information",
    run: |call, argv| call.with(argv, info::info),
    ..PLAIN
};

pub(super) static HISTORY: Command = Command {
    usage: "[OPTIONS] IMAGE",
    about: "Show the history of an image",
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, history::history),
    ..PLAIN
};

pub(super) static IMPORT: Command = Command {
    usage: "[OPTIONS] file|- [REPOSITORY[:TAG]]",
    about: "Import the contents from a tarball to create a filesystem image",
    words: Words::Between(1, 2),
    run: |call, argv| call.with(argv, import::import),
    ..PLAIN
};

pub(super) static INSPECT: Command = Command {
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    about: "Return low-level information on containers and images",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, inspect::inspect),
    ..PLAIN
};

pub(super) static INSPECT_CONTAINER: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Display detailed information on one or more containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, inspect::container),
    ..PLAIN
};

pub(super) static INSPECT_IMAGE: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Display detailed information on one or more images",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, inspect::image),
    ..PLAIN
};

pub(super) static KILL: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Kill one or more running containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, kill::kill),
    ..PLAIN
};

pub(super) static LOGS: Command = Command {
    usage: "[OPTIONS] CONTAINER",
    about: "Fetch the logs of a container",
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, logs::logs),
    ..PLAIN
};

pub(super) static RESTART: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Restart one or more containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, restart::restart),
    ..PLAIN
};

pub(super) static REMOVE: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Remove one or more containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, rm::remove),
    ..PLAIN
};

pub(super) static REMOVE_IMAGE: Command = Command {
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Remove one or more images",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, rmi::remove),
    ..PLAIN
};

pub(super) static START: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Start one or more stopped containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, start::start),
    ..PLAIN
};

pub(super) static STOP: Command = Command {
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Stop one or more running containers",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, stop::stop),
    ..PLAIN
};

pub(super) static TAG: Command = Command {
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    about: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    words: Words::Exactly(2),
    run: |call, argv| call.with(argv, tag::tag),
    ..PLAIN
};

pub(super) static DF: Command = Command {
    about: "Show disk usage",
    run: |call, argv| call.with(argv, df::disk_usage),
    ..PLAIN
};

pub(super) static BUILDER_DU: Command = Command {
    about: "Show what the build cache holds",
    run: |call, argv| call.with(argv, builder::disk_usage),
    ..PLAIN
};

pub(super) static BUILDER_PRUNE: Command = Command {
    about: "Remove build cache",
    run: |call, argv| call.with(argv, builder::prune),
    ..PLAIN
};

pub(super) static PRUNE: Command = Command {
    about: "Remove unused data",
    run: |call, argv| call.with(argv, prune::prune),
    ..PLAIN
};
