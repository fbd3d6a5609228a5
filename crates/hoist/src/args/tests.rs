//! Flags as Docker's users write them, and what is said about wrong ones.

use std::time::Duration;

use clap::FromArgMatches;
use hoist_core::{mount::MountKind, signal::Signal};
use hoist_engine::request::NetworkMode;

use super::{
    build::BuildFlags,
    container::{ExecFlags, RunFlags, all_ports},
    image::HistoryFlags,
    lifecycle::{LogsFlags, StopFlags},
    list::PsFlags,
    parser, usage,
};

/// The flags and other words of a command line, or the sentence about it.
fn parse<A: clap::Args + FromArgMatches>(
    flags_first: bool,
    line: &str,
) -> Result<(A, Vec<String>), String> {
    let argv: Vec<String> = line
        .split_whitespace()
        .map(|word| word.replace('~', " "))
        .collect();
    let last = argv.last().cloned().unwrap_or_default();
    let mut parser = parser::<A>(flags_first);
    match parser.try_get_matches_from_mut(argv) {
        Ok(mut matches) => {
            let words = matches
                .remove_many(super::WORDS)
                .into_iter()
                .flatten()
                .collect();
            Ok((A::from_arg_matches(&matches).unwrap(), words))
        }
        Err(error) => Err(usage::sentence(&error, &parser, &last)),
    }
}

fn run(line: &str) -> (RunFlags, Vec<String>) {
    parse(true, line).unwrap()
}

fn run_error(line: &str) -> String {
    parse::<RunFlags>(true, line).unwrap_err()
}

#[test]
fn parsers_are_consistent() {
    parser::<RunFlags>(true).debug_assert();
    parser::<super::container::CreateFlags>(true).debug_assert();
    parser::<ExecFlags>(true).debug_assert();
    parser::<BuildFlags>(false).debug_assert();
    parser::<PsFlags>(false).debug_assert();
    parser::<super::list::ImagesFlags>(false).debug_assert();
    parser::<LogsFlags>(false).debug_assert();
    parser::<StopFlags>(false).debug_assert();
    parser::<super::lifecycle::StartFlags>(false).debug_assert();
    parser::<super::lifecycle::KillFlags>(false).debug_assert();
    parser::<super::lifecycle::RemoveFlags>(false).debug_assert();
    parser::<super::lifecycle::InspectFlags>(false).debug_assert();
    parser::<super::lifecycle::InspectOneFlags>(false).debug_assert();
    parser::<super::image::RmiFlags>(false).debug_assert();
    parser::<HistoryFlags>(false).debug_assert();
    parser::<super::image::ImportFlags>(false).debug_assert();
    parser::<super::system::DfFlags>(false).debug_assert();
    parser::<super::system::PruneFlags>(false).debug_assert();
    parser::<super::system::FormatFlags>(false).debug_assert();
    parser::<super::NoFlags>(false).debug_assert();
}

#[test]
fn flags_stop_at_the_image() {
    let (flags, words) = run("--rm -it busybox sh -c ls~-l --rm -d -- x");
    assert!(flags.container.rm && flags.container.interactive && flags.container.tty);
    assert!(!flags.detach);
    assert_eq!(
        words,
        ["busybox", "sh", "-c", "ls -l", "--rm", "-d", "--", "x"]
    );
    let (_, words) = run("--rm -- busybox -v");
    assert_eq!(words, ["busybox", "-v"]);
    let (_, words) = parse::<ExecFlags>(true, "-it web ls -a").unwrap();
    assert_eq!(words, ["web", "ls", "-a"]);
}

#[test]
fn switches_take_values_after_an_equals_sign() {
    assert!(!run("--rm=false x").0.container.rm);
    assert!(run("--rm=1 -d=true x").0.detach);
    assert!(!run("--rm --rm=false x").0.container.rm);
    assert!(run("x").0.sig_proxy);
    assert!(!run("--sig-proxy=false x").0.sig_proxy);
    assert!(run("--sig-proxy x").0.sig_proxy);
    let (flags, _) = run("-itd x");
    assert!(flags.detach && flags.container.tty && flags.container.interactive);
    let (flags, _) = parse::<HistoryFlags>(false, "-H=false x").unwrap();
    assert!(!flags.human);
}

#[test]
fn values_are_given_in_every_form() {
    for line in [
        "-m 512m x",
        "-m512m x",
        "-m=512m x",
        "--memory=512m x",
        "--memory 512m x",
        "--memory 1g -m 512m x",
    ] {
        assert_eq!(
            run(line).0.container.resources.memory,
            Some(512 << 20),
            "{line}"
        );
    }
    for line in ["-p 8000:80 x", "-p8000:80 x", "--publish=8000:80 x"] {
        let ports = all_ports(&run(line).0.container.network.publish);
        assert_eq!(
            (ports[0].host_port, ports[0].container_port),
            (Some(8000), 80),
            "{line}"
        );
    }
    for line in ["--network none x", "--net none x", "--net=none x"] {
        assert_eq!(
            run(line).0.container.network.network,
            Some(NetworkMode::None),
            "{line}"
        );
    }
    let (flags, words) = run("--name --rm x");
    assert_eq!(
        (flags.container.name.as_deref(), flags.container.rm),
        (Some("--rm"), false)
    );
    assert_eq!(words, ["x"]);
    assert_eq!(
        run("--entrypoint= x")
            .0
            .container
            .process
            .entrypoint
            .as_deref(),
        Some("")
    );
}

#[test]
fn every_flag_of_run_arrives() {
    let (flags, words) = run(
        "-d --name web --cidfile /tmp/id --pull never -e A=1 -e B --env-file .env --entrypoint /init \
         -w /app -u 1000:1000 --init --stop-signal SIGINT --stop-timeout 3 -l a=b --label-file labels \
         -v data:/data:ro --mount type=bind,source=/tmp,target=/host --tmpfs /run --read-only \
         -p 127.0.0.1:80:80/udp --network host -h box --cpus 1.5 --pids-limit -1 --health-cmd true \
         --health-interval 1s --health-timeout 2s --health-retries 4 --health-start-period 1m \
         --health-start-interval 500ms image",
    );
    assert!(flags.detach);
    let container = flags.container;
    assert_eq!(container.name.as_deref(), Some("web"));
    assert_eq!(container.cidfile.unwrap().to_str(), Some("/tmp/id"));
    let process = container.process;
    assert_eq!(process.env, ["A=1", "B"]);
    assert_eq!(process.env_file[0].to_str(), Some(".env"));
    assert_eq!(process.entrypoint.as_deref(), Some("/init"));
    assert_eq!(
        (process.workdir.as_deref(), process.user.as_deref()),
        (Some("/app"), Some("1000:1000"))
    );
    assert!(process.init);
    assert_eq!(
        (process.stop_signal.as_deref(), process.stop_timeout),
        (Some("SIGINT"), Some(3))
    );
    assert_eq!(
        (process.label.as_slice(), process.label_file.len()),
        (&["a=b".to_owned()][..], 1)
    );
    let storage = container.storage;
    assert!(
        matches!(&storage.volume[0].kind, MountKind::Volume { name: Some(name), .. } if name == "data")
    );
    assert!(storage.volume[0].read_only && storage.read_only);
    assert!(matches!(&storage.mount[0].kind, MountKind::Bind { .. }));
    assert!(matches!(&storage.tmpfs[0].kind, MountKind::Tmpfs { .. }));
    assert_eq!(container.network.network, Some(NetworkMode::Host));
    assert_eq!(container.network.hostname.as_deref(), Some("box"));
    let resources = container.resources;
    assert_eq!(
        (resources.cpus, resources.pids_limit),
        (Some(1_500_000_000), Some(-1))
    );
    let health = container.health;
    assert_eq!(health.health_cmd.as_deref(), Some("true"));
    assert_eq!(health.health_interval, Some(Duration::from_secs(1)));
    assert_eq!(health.health_timeout, Some(Duration::from_secs(2)));
    assert_eq!(health.health_retries, Some(4));
    assert_eq!(health.health_start_period, Some(Duration::from_secs(60)));
    assert_eq!(
        health.health_start_interval,
        Some(Duration::from_millis(500))
    );
    assert_eq!(words, ["image"]);
}

#[test]
fn wrong_flags_are_told_in_dockers_words() {
    let table = [
        ("--bogus x", "unknown flag: --bogus"),
        ("--bogus=1 x", "unknown flag: --bogus"),
        ("-z x", "unknown shorthand flag: 'z' in -z"),
        ("-itz x", "unknown shorthand flag: 'z' in -z"),
        ("--privileged x", "unknown flag: --privileged"),
        (
            "--entrypiont=y x",
            "unknown flag: --entrypiont\nhint: did you mean --entrypoint?",
        ),
        ("--name", "flag needs an argument: --name"),
        ("-e", "flag needs an argument: 'e' in -e"),
        (
            "--rm=maybe x",
            "invalid argument \"maybe\" for \"--rm\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "--pids-limit many x",
            "invalid argument \"many\" for \"--pids-limit\" flag: strconv.ParseInt: parsing \"many\": invalid syntax",
        ),
        (
            "-e =x y",
            "invalid argument \"=x\" for \"-e, --env\" flag: invalid environment variable: =x",
        ),
        (
            "-l =x y",
            "invalid argument \"=x\" for \"-l, --label\" flag: invalid label '=x': empty name",
        ),
        (
            "-w app x",
            "invalid argument \"app\" for \"-w, --workdir\" flag: the working directory 'app' is invalid, it needs to be an absolute path",
        ),
    ];
    for (line, sentence) in table {
        assert_eq!(run_error(line), sentence, "{line}");
    }
}

#[test]
fn wrong_values_are_told_with_what_to_write() {
    let lines = [
        "-m abc x",
        "--cpus x x",
        "-p abc x",
        "-p 1:2:3:4 x",
        "-v a:b:c:d x",
        "--mount nonsense x",
        "--tmpfs run x",
        "--network web x",
        "--health-interval 10 x",
        "--stop-signal NOPE x",
        "--pull sometimes x",
    ];
    let sentences: Vec<String> = lines.iter().map(|line| run_error(line)).collect();
    insta::assert_snapshot!(sentences.join("\n"), @r#"
    invalid argument "abc" for "-m, --memory" flag: invalid size: 'abc'
    hint: write a number and a unit: 512m, 1.5g, 64kb, 1GiB; without a unit it is bytes
    invalid argument "x" for "--cpus" flag: failed to parse x as a rational number
    hint: write processors as a decimal number: 0.5, 1, 1.5
    invalid argument "abc" for "-p, --publish" flag: invalid containerPort: abc
    hint: write [ADDRESS:][HOST PORT:]CONTAINER PORT[/tcp|/udp], such as 8000:80
    invalid argument "1:2:3:4" for "-p, --publish" flag: invalid IP address: 1:2
    hint: write [ADDRESS:][HOST PORT:]CONTAINER PORT[/tcp|/udp], such as 8000:80
    invalid argument "a:b:c:d" for "-v, --volume" flag: invalid volume specification: 'a:b:c:d'
    hint: write /host/path:/container/path[:ro], name:/container/path[:ro] or /container/path
    invalid argument "nonsense" for "--mount" flag: invalid field 'nonsense' must be a key=value pair
    hint: write --mount type=bind,source=/host/path,target=/container/path[,readonly]
    invalid argument "run" for "--tmpfs" flag: invalid mount path: 'run' mount path must be absolute
    hint: write /run for the path in the container
    invalid argument "web" for "--network" flag: network web not found
    hint: this version of hoist has the networks bridge, none and host
    invalid argument "10" for "--health-interval" flag: time: missing unit in duration "10"
    hint: write numbers with units h, m, s, ms, us or ns: 1m30s, 500ms, 1h
    invalid argument "NOPE" for "--stop-signal" flag: Invalid signal: NOPE
    hint: write a name (TERM, SIGINT, RTMIN+3) or a number from 1 to 64
    invalid argument "sometimes" for "--pull" flag: invalid pull option: "sometimes": must be one of "always", "missing" or "never"
    "#);
}

#[test]
fn flags_may_follow_words_where_no_command_follows() {
    let (flags, words) = parse::<StopFlags>(false, "a -t 3 b -s INT").unwrap();
    assert_eq!((flags.timeout, flags.signal), (Some(3), Some(Signal::INT)));
    assert_eq!(words, ["a", "b"]);
    let (flags, _) = parse::<StopFlags>(false, "--time=-1 a").unwrap();
    assert_eq!(flags.timeout, Some(-1));
    let (flags, words) = parse::<LogsFlags>(false, "-ft --tail 5 web").unwrap();
    assert!(flags.follow && flags.timestamps);
    assert_eq!((flags.tail.as_deref(), words.len()), (Some("5"), 1));
    let (flags, _) = parse::<PsFlags>(
        false,
        "-aq -f name=web --filter status=exited -n 2 --no-trunc",
    )
    .unwrap();
    assert!(flags.all && flags.quiet && flags.no_trunc);
    assert_eq!((flags.filter.len(), flags.last), (2, Some(2)));
    let (flags, words) =
        parse::<BuildFlags>(false, ". -t a:1 -t b --build-arg X=1 -f - -q").unwrap();
    assert_eq!(
        (flags.tag.len(), flags.build_arg.len(), flags.quiet),
        (2, 1, true)
    );
    assert_eq!(
        (flags.file.unwrap().to_str(), words),
        (Some("-"), vec![".".to_owned()])
    );
}
