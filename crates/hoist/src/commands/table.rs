//! The table of commands: names, nouns, usage lines, and the function behind each.

use super::{
    build, builder, check, context, create, df, diff, exec, export, gc, history, images, import,
    info, inspect, kill, layers, login, logs, manifest, mount, prune, prune_one, ps, pull, push,
    restart, rm, rmi, run, save, search, serve, start, stop, system_check, tag, version,
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
            entry("diff", &DIFF),
            entry("export", &EXPORT),
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
            entry("diff", &DIFF),
            entry("exec", &EXEC),
            entry("export", &EXPORT),
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
        name: "context",
        about: "Show what a build reads from its context",
        entries: &[
            Entry {
                name: "ls",
                aliases: &["list"],
                command: &CONTEXT_LIST,
            },
            entry("why", &CONTEXT_WHY),
            Entry {
                name: "use",
                aliases: &[
                    "create", "export", "import", "inspect", "remove", "rm", "show", "update",
                ],
                command: &CONTEXT_OF_DAEMONS,
            },
        ],
    },
    Group {
        name: "image",
        about: "Manage images",
        entries: &[
            entry("build", &BUILD),
            entry("diff", &DIFF_IMAGES),
            entry("history", &HISTORY),
            entry("import", &IMPORT),
            entry("inspect", &INSPECT_IMAGE),
            entry("layers", &LAYERS),
            entry("load", &LOAD),
            Entry {
                name: "ls",
                aliases: &["list"],
                command: &IMAGES,
            },
            entry("mount", &MOUNT),
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
            Entry {
                name: "unmount",
                aliases: &["umount"],
                command: &UNMOUNT,
            },
        ],
    },
    Group {
        name: "manifest",
        about: "Manage image manifests and manifest lists",
        entries: &[
            entry("annotate", &ANNOTATE_MANIFEST),
            entry("create", &CREATE_LIST),
            entry("inspect", &INSPECT_MANIFEST),
            entry("push", &PUSH_LIST),
            entry("rm", &REMOVE_LIST),
        ],
    },
    Group {
        name: "registry",
        about: "A registry of one's own",
        entries: &[entry("serve", &SERVE)],
    },
    Group {
        name: "system",
        about: "Manage hoist",
        entries: &[
            entry("check", &CHECK_ROOT),
            entry("df", &DF),
            entry("gc", &GC),
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
    usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    about: "Display an image manifest, or manifest list",
    words: Words::Between(1, 2),
    run: |call, argv| call.with(argv, manifest::inspect),
    ..PLAIN
};

pub(super) static CREATE_LIST: Command = Command {
    usage: "[OPTIONS] MANIFEST_LIST MANIFEST [MANIFEST...]",
    about: "Create a local manifest list for annotating and pushing to a registry",
    examples: manifest::list::EXAMPLES,
    words: Words::AtLeast(2),
    run: |call, argv| call.with(argv, manifest::list::create),
    ..PLAIN
};

pub(super) static ANNOTATE_MANIFEST: Command = Command {
    usage: "[OPTIONS] MANIFEST_LIST MANIFEST",
    about: "Add additional information to a local image manifest",
    words: Words::Exactly(2),
    run: |call, argv| call.with(argv, manifest::list::annotate),
    ..PLAIN
};

pub(super) static PUSH_LIST: Command = Command {
    usage: "[OPTIONS] MANIFEST_LIST",
    about: "Push a manifest list to a repository",
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, manifest::list::push),
    ..PLAIN
};

pub(super) static REMOVE_LIST: Command = Command {
    usage: "MANIFEST_LIST [MANIFEST_LIST...]",
    about: "Delete one or more manifest lists from local storage",
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, manifest::list::remove),
    ..PLAIN
};

pub(super) static SERVE: Command = Command {
    usage: "[OPTIONS]",
    about: "Serve images to other machines",
    examples: serve::EXAMPLES,
    run: |call, argv| call.with(argv, serve::serve),
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

pub(super) static CONTEXT_LIST: Command = Command {
    usage: "[OPTIONS] [PATH]",
    about: "List what a build could read from its context",
    examples: context::LIST_EXAMPLES,
    words: Words::Between(0, 1),
    run: |call, argv| call.with(argv, context::list),
    ..PLAIN
};

pub(super) static CONTEXT_WHY: Command = Command {
    usage: "[OPTIONS] PATH [PATH...]",
    about: "Say which line of the ignore file decides about a path",
    examples: context::WHY_EXAMPLES,
    words: Words::AtLeast(1),
    run: |call, argv| call.with(argv, context::why),
    ..PLAIN
};

pub(super) static CONTEXT_OF_DAEMONS: Command = Command {
    usage: "[OPTIONS]",
    about: "Not there: Docker's contexts are daemons, and hoist has none",
    words: Words::AtLeast(0),
    run: |call, argv| call.with(argv, context::refuse),
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

pub(super) static DIFF: Command = Command {
    usage: "CONTAINER",
    about: "Inspect changes to files or directories on a container's filesystem",
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, diff::container),
    ..PLAIN
};

pub(super) static DIFF_IMAGES: Command = Command {
    usage: "[OPTIONS] IMAGE|CONTAINER IMAGE|CONTAINER",
    about: "Show in what two images differ",
    examples: diff::EXAMPLES,
    words: Words::Exactly(2),
    run: |call, argv| call.with(argv, diff::images),
    ..PLAIN
};

pub(super) static EXPORT: Command = Command {
    usage: "[OPTIONS] CONTAINER",
    about: "Export a container's filesystem as a tar archive",
    examples: export::EXAMPLES,
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, export::export),
    ..PLAIN
};

pub(super) static LAYERS: Command = Command {
    usage: "[OPTIONS] IMAGE",
    about: "Show what each layer of an image brings, and what of it is wasted",
    examples: layers::EXAMPLES,
    words: Words::Exactly(1),
    run: |call, argv| call.with(argv, layers::layers),
    ..PLAIN
};

pub(super) static MOUNT: Command = Command {
    usage: "[IMAGE [TARGET]]",
    about: "Mount an image as a directory, or list what is mounted",
    examples: mount::EXAMPLES,
    words: Words::Between(0, 2),
    run: |call, argv| call.with(argv, mount::mount),
    ..PLAIN
};

pub(super) static UNMOUNT: Command = Command {
    usage: "[OPTIONS] [IMAGE|TARGET...]",
    about: "Unmount images",
    words: Words::AtLeast(0),
    run: |call, argv| call.with(argv, mount::unmount),
    ..PLAIN
};

pub(super) static CHECK_ROOT: Command = Command {
    about: "Verify every digest and reference, and mend what is damaged",
    examples: system_check::EXAMPLES,
    run: |call, argv| call.with(argv, system_check::check),
    ..PLAIN
};

pub(super) static GC: Command = Command {
    about: "Remove images by age and size",
    examples: gc::EXAMPLES,
    run: |call, argv| call.with(argv, gc::gc),
    ..PLAIN
};
