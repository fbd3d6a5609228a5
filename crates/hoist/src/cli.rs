//! From the words on the command line to one command.
//!
//! Only the parser of the named command is built. Words that are no flags are counted here, with
//! Docker's sentences when there are too many or too few.

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::error::ErrorKind;
use hoist_engine::Engine;

use crate::{
    args::{self, help, usage},
    commands::{self, Entry, GROUPS, Group, SECTIONS},
    error::CliError,
    settings, ui,
};

/// A verb: how it is called, parsed and run.
#[derive(Debug)]
pub(crate) struct Command {
    /// What follows the command's name: `[OPTIONS] IMAGE [COMMAND] [ARG...]`.
    pub(crate) usage: &'static str,
    /// One line.
    pub(crate) about: &'static str,
    /// Examples for `--help`.
    pub(crate) examples: &'static str,
    /// How many words that are no flags it takes.
    pub(crate) words: Words,
    /// The first such word ends the flags.
    pub(crate) flags_first: bool,
    /// Failures return 125 and are signed with the program's name, as Docker's `run` does.
    pub(crate) as_run: bool,
    /// Parse and do it.
    pub(crate) run: fn(&Call<'_>, Vec<OsString>) -> Result<ExitCode, CliError>,
}

/// How many words that are no flags a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// None.
    No,
    /// So many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// From the first to the second.
    Between(usize, usize),
}

/// A command as it was called.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// `hoist`, or `docker` when called so.
    pub(crate) program: &'static str,
    /// `hoist container ls`.
    path: String,
    command: &'a Command,
}

/// Do what `words`, the command line without the program, ask for.
pub(crate) fn main(program: &OsString, words: Vec<OsString>) -> ExitCode {
    let program = match Path::new(program)
        .file_name()
        .and_then(|name| name.to_str())
    {
        Some("docker") => "docker",
        _ => "hoist",
    };
    match dispatch(program, words) {
        Ok(code) => code,
        Err((error, as_run)) => {
            ui::error(&error.text(if as_run { program } else { "Error" }));
            error.code(if as_run { 125 } else { 1 })
        }
    }
}

fn dispatch(program: &'static str, words: Vec<OsString>) -> Result<ExitCode, (CliError, bool)> {
    let done = |result: Result<(), CliError>| match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err((error, false)),
    };
    let mut words = words.into_iter();
    let first = words.next();
    match first.as_ref().and_then(|word| word.to_str()) {
        None | Some("--help" | "-h") => done(ui::out(&overview(program))),
        Some("--version" | "-v") => done(ui::line(&commands::version::one_line())),
        Some("help") => done(topic(program, words.as_slice())),
        Some(flag) if flag.starts_with('-') => Err((unknown_flag(program, flag), false)),
        Some(name) => {
            if let Some(command) = commands::top_level(name) {
                return call(program, &[name], command, words.collect());
            }
            let Some(group) = GROUPS.iter().find(|group| group.name == name) else {
                return Err((unknown_command(program, name), false));
            };
            let verb = words.next();
            match verb.as_ref().and_then(|word| word.to_str()) {
                None | Some("--help" | "-h") => done(ui::out(&group_page(program, group))),
                Some(verb) => match commands::in_group(group, verb) {
                    Some(command) => call(program, &[name, verb], command, words.collect()),
                    None => Err((unknown_command(program, &format!("{name} {verb}")), false)),
                },
            }
        }
    }
}

fn call(
    program: &'static str,
    path: &[&str],
    command: &'static Command,
    words: Vec<OsString>,
) -> Result<ExitCode, (CliError, bool)> {
    let path = format!("{program} {}", path.join(" "));
    let call = Call {
        program,
        path,
        command,
    };
    (command.run)(&call, words).map_err(|error| (error, command.as_run))
}

impl Call<'_> {
    /// Parse `argv` as the flags `A` and run `command` with them and the other words.
    pub(crate) fn with<A: clap::Args + clap::FromArgMatches>(
        &self,
        argv: Vec<OsString>,
        command: fn(&Call<'_>, &A, &[String]) -> Result<ExitCode, CliError>,
    ) -> Result<ExitCode, CliError> {
        let mut parser = args::parser::<A>(self.command.flags_first);
        let last = argv
            .last()
            .map(|word| word.to_string_lossy().into_owned())
            .unwrap_or_default();
        let parsed = parser
            .try_get_matches_from_mut(argv)
            .and_then(|mut matches| {
                let words: Vec<String> = matches
                    .remove_many(args::WORDS)
                    .into_iter()
                    .flatten()
                    .collect();
                A::from_arg_matches(&matches).map(|flags| (flags, words))
            });
        match parsed {
            Ok((flags, words)) => {
                self.count(words.len())?;
                command(self, &flags, &words)
            }
            Err(error) if error.kind() == ErrorKind::DisplayHelp => {
                ui::out(&self.page(&parser, ui::terminal::columns()))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Err(self.flag_error(&usage::sentence(&error, &parser, &last))),
        }
    }

    /// The engine on the data root of the environment.
    pub(crate) fn engine(&self) -> Result<Engine, CliError> {
        Ok(Engine::open(settings::engine()?)?)
    }

    /// The engine for work that changes or runs something: ordinary users enter a user namespace.
    pub(crate) fn working_engine(&self) -> Result<Engine, CliError> {
        let settings = settings::engine()?;
        if settings.rootless {
            hoist_engine::rootless::enter()?;
        }
        Ok(Engine::open(settings)?)
    }

    /// A flag that is wrong: what, and how the command is used.
    pub(crate) fn flag_error(&self, sentence: &str) -> CliError {
        CliError::Usage {
            text: format!("{sentence}\n\n{}", self.usage_lines()),
            code: 125,
        }
    }

    fn usage_lines(&self) -> String {
        let Self { path, command, .. } = self;
        format!(
            "Usage:  {path} {}\n\nRun '{path} --help' for more information",
            command.usage
        )
    }

    fn count(&self, count: usize) -> Result<(), CliError> {
        let needs = match self.command.words {
            Words::No if count > 0 => "accepts no arguments".to_owned(),
            Words::Exactly(exact) if count != exact => format!("requires {}", arguments(exact)),
            Words::AtLeast(least) if count < least => {
                format!("requires at least {}", arguments(least))
            }
            Words::Between(least, most) if !(least..=most).contains(&count) => {
                format!("requires at least {least} and at most {}", arguments(most))
            }
            _ => return Ok(()),
        };
        let Self { program, path, .. } = self;
        let text = format!("{program}: '{path}' {needs}\n\n{}", self.usage_lines());
        Err(CliError::Usage { text, code: 1 })
    }

    fn page(&self, parser: &clap::Command, width: usize) -> String {
        let page = help::Page {
            usage: &format!("{} {}", self.path, self.command.usage),
            about: self.command.about,
            aliases: commands::paths(self.command)
                .map(|path| format!("{} {path}", self.program))
                .collect(),
            examples: &self
                .command
                .examples
                .replace("hoist ", &format!("{} ", self.program)),
        };
        help::render(&page, parser, width)
    }
}

fn arguments(count: usize) -> String {
    format!("{count} argument{}", if count == 1 { "" } else { "s" })
}

fn unknown_flag(program: &str, flag: &str) -> CliError {
    let name = flag.split('=').next().unwrap_or(flag);
    let what = match name.strip_prefix('-').filter(|rest| !rest.starts_with('-')) {
        Some(rest) => format!(
            "unknown shorthand flag: '{}' in {name}",
            rest.chars().next().unwrap_or('-')
        ),
        None => format!("unknown flag: {name}"),
    };
    let usage = format!("Usage:  {program} COMMAND\n\nRun '{program} --help' for more information");
    CliError::Usage {
        text: format!("{what}\n\n{usage}"),
        code: 125,
    }
}

fn unknown_command(program: &str, name: &str) -> CliError {
    let mut text = format!("{program}: unknown command: {program} {name}\n");
    if let Some(near) = commands::nearest(name) {
        text.push_str(&format!("\nDid you mean '{program} {near}'?\n"));
    }
    text.push_str(&format!("\nRun '{program} --help' for more information"));
    CliError::Usage { text, code: 1 }
}

/// `help COMMAND…`.
fn topic(program: &'static str, words: &[OsString]) -> Result<(), CliError> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let help = vec![OsString::from("--help")];
    let found = match words.as_slice() {
        [] => return ui::out(&overview(program)),
        [name] => match GROUPS.iter().find(|group| group.name == *name) {
            Some(group) => return ui::out(&group_page(program, group)),
            None => commands::top_level(name),
        },
        [name, verb] => GROUPS
            .iter()
            .find(|group| group.name == *name)
            .and_then(|group| commands::in_group(group, verb)),
        _ => None,
    };
    match found {
        Some(command) => call(program, &words, command, help)
            .map(drop)
            .map_err(|(error, _)| error),
        None => Err(CliError::Usage {
            text: format!("unknown help topic: {}", words.join(" ")),
            code: 1,
        }),
    }
}

/// What `hoist` alone prints.
fn overview(program: &str) -> String {
    let mut page = format!(
        "Usage:  {program} COMMAND\n\nBuilds images and runs containers, without a daemon\n"
    );
    let line = |name: &str, about: &str| format!("  {name:<12}{about}\n");
    for (heading, entries) in SECTIONS {
        page.push_str(&format!("\n{heading}:\n"));
        for Entry { name, command, .. } in *entries {
            page.push_str(&line(name, command.about));
        }
        if *heading == commands::COMMON {
            page.push_str("\nManagement Commands:\n");
            for group in GROUPS {
                page.push_str(&line(group.name, group.about));
            }
        }
    }
    page.push_str("\nGlobal Options:\n  -v, --version  Print version information and quit\n");
    page.push_str(&format!(
        "\nRun '{program} COMMAND --help' for more information on a command.\n"
    ));
    page
}

fn group_page(program: &str, group: &Group) -> String {
    let mut page = format!(
        "Usage:  {program} {} COMMAND\n\n{}\n\nCommands:\n",
        group.name, group.about
    );
    for Entry { name, command, .. } in group.entries {
        page.push_str(&format!("  {name:<10}{}\n", command.about));
    }
    page.push_str(&format!(
        "\nRun '{program} {} COMMAND --help' for more information on a command.\n",
        group.name
    ));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{build::BuildFlags, container::RunFlags, list::PsFlags};

    fn page<A: clap::Args>(path: &str, command: &'static str) -> String {
        let command = commands::top_level(command).unwrap();
        let call = Call {
            program: "hoist",
            path: path.to_owned(),
            command,
        };
        call.page(&args::parser::<A>(command.flags_first), 100)
    }

    #[test]
    fn the_overview_lists_every_command() {
        insta::assert_snapshot!(overview("hoist"), @r"
        Usage:  hoist COMMAND

        Builds images and runs containers, without a daemon

        Common Commands:
          run         Create and run a new container from an image
          exec        Execute a command in a running container
          ps          List containers
          build       Build an image from a Dockerfile
          images      List images
          version     Show the version information
          info        Display system-wide information

        Management Commands:
          container   Manage containers
          image       Manage images
          system      Manage hoist

        Commands:
          create      Create a new container
          history     Show the history of an image
          import      Import the contents from a tarball to create a filesystem image
          inspect     Return low-level information on containers and images
          kill        Kill one or more running containers
          logs        Fetch the logs of a container
          restart     Restart one or more containers
          rm          Remove one or more containers
          rmi         Remove one or more images
          start       Start one or more stopped containers
          stop        Stop one or more running containers
          tag         Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE

        Global Options:
          -v, --version  Print version information and quit

        Run 'hoist COMMAND --help' for more information on a command.
        ");
    }

    #[test]
    fn a_noun_lists_its_verbs() {
        insta::assert_snapshot!(group_page("docker", &GROUPS[0]), @r"
        Usage:  docker container COMMAND

        Manage containers

        Commands:
          create    Create a new container
          exec      Execute a command in a running container
          inspect   Display detailed information on one or more containers
          kill      Kill one or more running containers
          logs      Fetch the logs of a container
          ls        List containers
          restart   Restart one or more containers
          rm        Remove one or more containers
          run       Create and run a new container from an image
          start     Start one or more stopped containers
          stop      Stop one or more running containers

        Run 'docker container COMMAND --help' for more information on a command.
        ");
    }

    #[test]
    fn the_page_of_run_has_groups_and_examples() {
        insta::assert_snapshot!(page::<RunFlags>("hoist run", "run"), @r#"
        Usage:  hoist run [OPTIONS] IMAGE [COMMAND] [ARG...]

        Create and run a new container from an image

        Aliases:
          hoist container run, hoist run

        Options:
          -d, --detach                           Run container in background and print container ID
              --sig-proxy                        Proxy received signals to the process
          -i, --interactive                      Keep STDIN open even if not attached
          -t, --tty                              Allocate a pseudo-TTY
              --rm                               Automatically remove the container and its anonymous
                                                 volumes when it exits
              --name string                      Assign a name to the container
              --cidfile file                     Write the container ID to the file, which must not exist

        Process:
          -e, --env list                         Set environment variables; a name alone takes the value
                                                 from here
              --env-file file                    Read in a file of environment variables
              --entrypoint string                Overwrite the default ENTRYPOINT of the image
          -w, --workdir path                     Working directory inside the container
          -u, --user string                      Username or UID (format: <name|uid>[:<group|gid>])
              --init                             Run an init inside the container that forwards signals and
                                                 reaps processes
              --stop-signal signal               Signal to stop the container
              --stop-timeout int                 Timeout (in seconds) to stop the container
          -l, --label list                       Set meta data on the container
              --label-file file                  Read in a line delimited file of labels

        Storage:
          -v, --volume list                      Bind mount a host path or mount a volume
                                                 ([source:]target[:options])
              --mount mount                      Attach a filesystem mount to the container
                                                 (type=bind|volume|tmpfs,target=…)
              --tmpfs list                       Mount a tmpfs directory (target[:options])
              --read-only                        Mount the container's root filesystem as read only

        Network:
          -p, --publish list                     Publish a container's port(s) to the host
                                                 ([[ip:]host:]container[/protocol])
              --network network                  Connect the container to a network ("bridge", "none",
                                                 "host")
          -h, --hostname string                  Container host name

        Resources:
          -m, --memory bytes                     Memory limit
              --cpus decimal                     Number of CPUs
              --pids-limit int                   Limit the number of processes and threads (-1 for
                                                 unlimited)

        Health check:
              --health-cmd string                Command to run to check health
              --health-interval duration         Time between running the check (ms|s|m|h)
              --health-timeout duration          Maximum time to allow one check to run (ms|s|m|h)
              --health-retries int               Consecutive failures needed to report unhealthy
              --health-start-period duration     Time for the container to initialize before failures count
                                                 (ms|s|m|h)
              --health-start-interval duration   Time between running the check during the start period
                                                 (ms|s|m|h)
              --no-healthcheck                   Disable any container-specified HEALTHCHECK

        Examples:

          Try a command in a fresh container, and remove it afterwards:
            hoist run --rm -it debian:bookworm-slim bash

          Run a service in the background, published on port 8000, with 512 MiB of memory:
            hoist run -d --name api -p 8000:8000 -m 512m my-api:1.0

          The same with settings from a file and the working directory mounted:
            hoist run -d --name api -p 8000:8000 --env-file .env -v .:/app my-api:1.0
        "#);
    }

    #[test]
    fn the_page_of_build_has_examples() {
        insta::assert_snapshot!(page::<BuildFlags>("hoist image build", "build"), @r#"
        Usage:  hoist image build [OPTIONS] PATH | -

        Build an image from a Dockerfile

        Aliases:
          hoist image build, hoist build

        Options:
          -t, --tag name            Name and optionally a tag (format: "name:tag")
          -f, --file file           Name of the Dockerfile (default: "PATH/Dockerfile"; "-" reads it from
                                    STDIN)
              --build-arg list      Set build-time variables; a name alone takes the value from here
              --target stage        Set the target build stage to build
              --label list          Set metadata for the image
              --no-cache            Do not use the cache when building the image
              --network network     Network of RUN instructions ("default", "none", "host")
              --platform platform   Set target platform for build (os/arch[/variant])
              --iidfile file        Write the image ID to the file
              --progress string     Set type of progress output ("auto", "tty", "plain", "quiet")
          -q, --quiet               Suppress the build output and print image ID on success

        Examples:

          Build the Dockerfile of this directory and name the image:
            hoist build -t my-api:1.0 .

          Build one stage of another Dockerfile, with a build argument:
            hoist build -f docker/Dockerfile.dev --target test --build-arg PYTHON=3.12 .

          Show the whole output of every step:
            hoist build --progress plain .
        "#);
    }

    #[test]
    fn the_page_of_ps_names_its_other_forms() {
        insta::assert_snapshot!(page::<PsFlags>("hoist ps", "ps"), @r#"
        Usage:  hoist ps [OPTIONS]

        List containers

        Aliases:
          hoist container ls, hoist container ps, hoist container list, hoist ps

        Options:
          -a, --all             Show all containers (default shows just running)
          -f, --filter filter   Filter output based on conditions provided
              --format string   Format output using a Go template: "table", "table TEMPLATE", "json" or
                                TEMPLATE
          -n, --last int        Show n last created containers (includes all states)
          -l, --latest          Show the latest created container (includes all states)
              --no-trunc        Don't truncate output
          -q, --quiet           Only display container IDs
          -s, --size            Display total file sizes
        "#);
    }

    #[test]
    fn wrong_numbers_of_words_are_told_in_dockers_words() {
        let call = |name, words| {
            let command = commands::top_level(name).unwrap();
            let call = Call {
                program: "hoist",
                path: format!("hoist {name}"),
                command,
            };
            call.count(words)
                .err()
                .map(|error| error.text("Error").lines().next().unwrap().to_owned())
        };
        assert_eq!(
            call("ps", 1).as_deref(),
            Some("hoist: 'hoist ps' accepts no arguments")
        );
        assert_eq!(
            call("run", 0).as_deref(),
            Some("hoist: 'hoist run' requires at least 1 argument")
        );
        assert_eq!(
            call("tag", 1).as_deref(),
            Some("hoist: 'hoist tag' requires 2 arguments")
        );
        assert_eq!(
            call("import", 3).as_deref(),
            Some("hoist: 'hoist import' requires at least 1 and at most 2 arguments")
        );
        assert_eq!(call("run", 9), None);
    }

    #[test]
    fn what_is_unknown_is_told_with_the_way_out() {
        insta::assert_snapshot!(unknown_command("hoist", "imagse").text("Error"), @r"
        hoist: unknown command: hoist imagse

        Did you mean 'hoist images'?

        Run 'hoist --help' for more information
        ");
        insta::assert_snapshot!(unknown_flag("hoist", "--bogus=1").text("Error"), @r"
        unknown flag: --bogus

        Usage:  hoist COMMAND

        Run 'hoist --help' for more information
        ");
    }
}
