//! Pages of help, and sentences about wrong words.

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
      pull        Download an image from a registry
      push        Upload an image to a registry
      images      List images
      login       Authenticate to a registry
      logout      Log out from a registry
      version     Show the version information
      info        Display system-wide information

    Management Commands:
      builder     Manage builds
      container   Manage containers
      context     Show what a build reads from its context
      image       Manage images
      manifest    Manage image manifests and manifest lists
      registry    A registry of one's own
      system      Manage hoist

    Commands:
      check       Check a Dockerfile and its context without building
      create      Create a new container
      diff        Inspect changes to files or directories on a container's filesystem
      export      Export a container's filesystem as a tar archive
      history     Show the history of an image
      import      Import the contents from a tarball to create a filesystem image
      inspect     Return low-level information on containers and images
      kill        Kill one or more running containers
      load        Load an image from a tar archive or STDIN
      logs        Fetch the logs of a container
      restart     Restart one or more containers
      rm          Remove one or more containers
      rmi         Remove one or more images
      save        Save one or more images to a tar archive (streamed to STDOUT by default)
      search      Search Docker Hub for images
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
    let container = GROUPS.iter().find(|group| group.name == "container");
    insta::assert_snapshot!(group_page("docker", container.unwrap()), @r"
    Usage:  docker container COMMAND

    Manage containers

    Commands:
      create    Create a new container
      diff      Inspect changes to files or directories on a container's filesystem
      exec      Execute a command in a running container
      export    Export a container's filesystem as a tar archive
      inspect   Display detailed information on one or more containers
      kill      Kill one or more running containers
      logs      Fetch the logs of a container
      ls        List containers
      prune     Remove all stopped containers
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
          --pull string                      Pull image before running ("always", "missing", "never")
                                             (default "missing")
      -q, --quiet                            Suppress the pull output
          --platform string                  Set platform if server is multi-platform capable

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
    Usage:  hoist image build [OPTIONS] PATH | URL | -

    Build an image from a Dockerfile

    Aliases:
      hoist builder build, hoist image build, hoist build

    Options:
      -t, --tag name                     Name and optionally a tag (format: "name:tag")
      -f, --file file                    Name of the Dockerfile (default: "PATH/Dockerfile"; "-" reads
                                         it from STDIN)
          --build-arg list               Set build-time variables; a name alone takes the value from
                                         here
          --target stage                 Set the target build stage to build
          --label list                   Set metadata for the image
          --no-cache                     Do not use the cache when building the image
          --network network              Network of RUN instructions ("default", "none", "host")
          --platform platform            Set target platform for build (os/arch[/variant])
          --pull                         Always attempt to pull all referenced images
          --check                        Shorthand for "--call=check"
          --call string                  Set method for evaluating build ("build", "check", "outline",
                                         "targets"; with ",format=json" for tools)
          --build-context context        Additional build contexts (format: "name=path", "name=URL",
                                         "name=docker-image://image",
                                         "name=oci-layout://directory[:tag]")
          --no-cache-filter stages       Do not use the cache for the specified stages
          --annotation list              Add annotation to the image (format:
                                         "[manifest|manifest-descriptor|index:]key=value")
          --cache-from source            External cache sources (e.g., "user/app:cache",
                                         "type=local,src=path/to/dir")
          --cache-to destination         Cache export destinations (e.g.,
                                         "type=registry,ref=user/app:cache,mode=max",
                                         "type=local,dest=path/to/dir,mounts=all", "type=inline")
          --explain                      Say of every step whether it was found in the cache, and why
                                         not; "json" for tools
          --timings                      Say where the time went
          --reproducible                 Make the image independent of when and where it is built
          --verify                       Build a second time without cache, and say what differs
      -o, --output output                Output destination (format: "type=local,dest=path"; types are
                                         image, registry, local, tar, oci, docker, cacheonly)
          --load                         Keep the image in the store, as without any "--output"
          --push                         Push the image under its names; shorthand for
                                         "--output=type=registry"
          --add-host host                Add a custom host-to-IP mapping (format: "host:ip")
          --shm-size bytes               Size of "/dev/shm"
          --ulimit ulimit                Ulimit options (format: "name=soft[:hard]")
          --cgroup-parent string         Set the parent cgroup for the RUN instructions during build
          --allow entitlement            Allow extra privileged entitlement ("network.host",
                                         "security.insecure", "device", "device=NAME")
          --secret secret                Secret to expose to the build (format:
                                         "id=mysecret[,src=/local/secret]" or "id=mysecret,env=NAME")
          --ssh agent                    SSH agent socket or keys to expose to the build (format:
                                         "default|<id>[=<socket>|<key>[,<key>]]")
          --allow-secret-in-layer path   File or directory of the image that may hold secrets, which
                                         otherwise end the build
          --iidfile file                 Write the image ID to the file
          --metadata-file file           Write what the build made to the file, as JSON
          --progress string              Set type of progress output ("auto", "tty", "plain", "quiet",
                                         "rawjson")
      -q, --quiet                        Suppress the build output and print image ID on success

    Examples:

      Build the Dockerfile of this directory and name the image:
        hoist build -t my-api:1.0 .

      Build one stage of another Dockerfile, with a build argument:
        hoist build -f docker/Dockerfile.dev --target test --build-arg PYTHON=3.12 .

      Build a directory of a branch, straight from its repository:
        hoist build https://github.com/me/app.git#main:service

      Say what could be better, without building:
        hoist build --check .

      Keep the cache of a CI job in a directory, with the caches of package managers:
        hoist build --cache-from type=local,src=.cache --cache-to type=local,dest=.cache,mode=max,mounts=all .

      Show the whole output of every step:
        hoist build --progress plain .

      Build an image that anybody can build again, and make sure of it:
        hoist build --reproducible --verify -t my-api:1.0 .
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
