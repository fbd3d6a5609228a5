//! `hoist build --reproducible` and `--verify`, `SOURCE_DATE_EPOCH`, `rewrite-timestamp`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Run, Sandbox};

/// The digests of two builds of an example without cache, in one data root. The context is a copy: a
/// commit to this repository while the test runs is a change of time.
fn builds_of(example: &str) -> [String; 2] {
    let sandbox = Sandbox::with(&["python:3.11-slim"]);
    let original = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(example);
    let context = directory(&sandbox, "context");
    let copied = Command::new("cp")
        .arg("-r")
        .args([original.as_path(), Path::new(&context)])
        .status();
    assert!(copied.expect("cp").success(), "a copy of the example");
    [(); 2].map(|()| {
        let build = sandbox.hoist(&["build", "--reproducible", "--no-cache", "-q", &context]);
        build.ok().text().to_owned()
    })
}

macro_rules! built_twice_it_is_one_image {
    ($($name:ident: $example:literal,)*) => {
        $(
            #[test]
            fn $name() {
                let [first, second] = builds_of($example);
                assert_eq!(first, second);
            }
        )*
    };
}

// `article/04-uv` does not build: `article.rs` says why.
built_twice_it_is_one_image! {
    fastapi: "fastapi",
    single_stage: "article/01-single-stage",
    multi_stage: "article/02-multi-stage",
    multi_stage_appuser: "article/03-multi-stage-appuser",
    uv_system: "article/05-uv-system",
    environment: "article/06-env",
    dotenv: "article/07-dotenv",
    health_check: "article/08-healthcheck",
    graceful: "article/09-graceful",
    nonroot: "article/10-nonroot",
    layer_order: "article/11-layer-order",
}

fn directory(sandbox: &Sandbox, name: &str) -> String {
    sandbox.path(name).to_str().expect("a path").to_owned()
}

/// The context `context` with this Dockerfile; its path.
fn context(sandbox: &Sandbox, dockerfile: &str) -> String {
    sandbox.file("context/Dockerfile", dockerfile);
    directory(sandbox, "context")
}

#[test]
fn packages_of_the_distribution_leave_no_time_and_ldconfig_no_cache() {
    let sandbox = Sandbox::with(&["debian:bookworm-slim"]);
    let context = context(
        &sandbox,
        "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends \
         make fontconfig\n",
    );
    let build = |iid: &str| {
        let iid = directory(&sandbox, iid);
        let flags = ["--reproducible", "--no-cache", "--iidfile", &iid];
        let run = sandbox.hoist(&[&["build", "-t", "made"], &flags[..], &[&context]].concat());
        (run.ok(), std::fs::read_to_string(&iid).expect("an id"))
    };
    let (told, first) = build("one");
    told.says("apt-log: ")
        .says("dpkg-log: ")
        .says("ldconfig-cache: 1 file left out")
        .says("reproducible: no time is after ");
    let (_, second) = build("two");
    assert_eq!(first, second);
    // What apt knows of packages is as ever.
    let run = ["run", "--rm", "made"];
    sandbox
        .hoist(&[&run[..], &["dpkg-query", "-W", "-f", "${Status}", "make"]].concat())
        .ok()
        .stdout_is("install ok installed");
    sandbox.hoist(&[&run[..], &["ldconfig"]].concat()).ok();
}

#[test]
fn make_has_nothing_to_do_in_a_later_step() {
    let sandbox = Sandbox::with(&["debian:bookworm-slim"]);
    sandbox.file(
        "context/Makefile",
        "all: program\nprogram: object\n\tcp object program; echo link >> log\n\
         object: source\n\tcp source object; echo compile >> log\n",
    );
    sandbox.file("context/source", "x");
    let context = context(
        &sandbox,
        "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y make\nWORKDIR /src\n\
         COPY . .\nRUN make\nRUN make && cat log | tr '\\n' ' ' > made\nCMD [\"cat\", \"/src/made\"]\n",
    );
    let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=1000000000"];
    let build = ["build", "--reproducible", "-t", "made", &context];
    sandbox.hoist(&[&build[..], &epoch].concat()).ok();
    sandbox
        .hoist(&["run", "--rm", "made"])
        .ok()
        .stdout_is("compile link");
}

/// Prints compiled modules that an import writes anew, and how modules name their sources.
const IMPORT: &str = "
import os, pathlib, struct, sys
def modules():
    root = pathlib.Path('/usr/local/lib/python3.11')
    found = root.rglob('*.pyc')
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in found}
before = modules()
import fastapi, uvicorn, pydantic, starlette, mine
after = modules()
changed = [str(path) for path in after if before.get(path) != after[path] and 'site-packages' in str(path)]
print('written', changed)
kinds = {struct.unpack('<I', content[2][4:8])[0] for content in after.values()}
print('kinds', kinds)
";

#[test]
fn modules_are_not_compiled_again_and_not_named_by_hash() {
    let sandbox = Sandbox::with(&["python:3.11-slim"]);
    sandbox.file("context/requirements.txt", "fastapi\nuvicorn\n");
    sandbox.file("context/mine.py", "VALUE = {'a', 'b', 'c'}\n");
    let context = context(
        &sandbox,
        "FROM python:3.11-slim\nCOPY requirements.txt .\nRUN pip install --no-cache-dir -r requirements.txt\n\
         COPY mine.py /usr/local/lib/python3.11/site-packages/\n\
         RUN python -m compileall -q /usr/local/lib/python3.11/site-packages/mine.py\n",
    );
    sandbox
        .hoist(&["build", "--reproducible", "-t", "made", &context])
        .ok()
        .says("python-bytecode: ");
    sandbox
        .hoist(&["run", "--rm", "made", "python", "-c", IMPORT])
        .ok()
        .stdout_is("written []\nkinds {0}");
    // Python itself agrees that each names its source.
    let check = "import importlib._bootstrap_external as b, mine, fastapi, os\n\
                 for m in (mine, fastapi):\n s = os.stat(m.__file__)\n \
                 d = open(m.__cached__, 'rb').read()\n \
                 b._validate_timestamp_pyc(d, int(s.st_mtime), s.st_size, m.__name__, {})\n";
    sandbox
        .hoist(&["run", "--rm", "made", "python", "-c", check])
        .ok();
}

/// A Dockerfile that is different each time, in its own ways.
const PLANTED: &str = "FROM busybox AS builder\nRUN cat /proc/uptime > /x\n\
    RUN head -c 8 /dev/urandom > /y\nFROM busybox\nCOPY --from=builder /x /y /from/\nRUN echo same > /z\n";

#[test]
fn verify_names_a_planted_difference_and_its_step() {
    let sandbox = Sandbox::new();
    let context = context(&sandbox, PLANTED);
    let verify = |flags: &[&str]| -> Run {
        sandbox.hoist(&[&["build", "--verify"], flags, &[&context]].concat())
    };
    let run = verify(&["--reproducible", "-t", "made"]).fails(1);
    insta::assert_snapshot!(report(&run), @r"
    verify: the second build differs in 4 paths of 3 steps and 0 fields of the configuration
    [builder] RUN cat /proc/uptime > /x
      /x: content
    [builder] RUN head -c 8 /dev/urandom > /y
      /y: content
    [stage-1] COPY --from=builder /x /y /from/
      /from/x: content
      /from/y: content
    ");
    // The image and its name are there all the same.
    sandbox
        .hoist(&["run", "--rm", "made", "cat", "/z"])
        .ok()
        .stdout_is("same");

    std::fs::write(
        sandbox.path("context/Dockerfile"),
        "FROM busybox\nRUN echo same > /z\n",
    )
    .expect("a Dockerfile");
    verify(&["--reproducible"])
        .ok()
        .says("verify: both builds gave sha256:");
    let iid = directory(&sandbox, "iid");
    let quiet = verify(&["--reproducible", "-q", "--iidfile", &iid]).ok();
    let id = std::fs::read_to_string(iid).expect("an id");
    quiet.stdout_is(&id);
    // A build that fails is the failure of a build.
    std::fs::write(
        sandbox.path("context/Dockerfile"),
        "FROM busybox\nRUN false\n",
    )
    .expect("a Dockerfile");
    verify(&[]).fails(1).never_says("verify:");
}

/// What `--verify` said.
fn report(run: &Run) -> String {
    let text = &run.stderr;
    let start = text.find("verify: ").expect("a report");
    text[start..].to_owned()
}

#[test]
fn an_ordinary_user_builds_reproducibly_and_verifies() {
    let sandbox = Sandbox::of_user(&["busybox:latest"]);
    let text = "FROM busybox\nWORKDIR /app\nCOPY --chown=1000:1000 file .\n\
                RUN mkdir -p /var/log && date > /var/log/dpkg.log && touch here && ln -s here there\n\
                RUN rm /etc/passwd; adduser -D -u 1000 app || true\n";
    sandbox.file("context/file", "x");
    let context = context(&sandbox, text);
    let build = |flags: &[&str]| {
        let always = [
            "build",
            "--reproducible",
            "--build-arg",
            "SOURCE_DATE_EPOCH=1000000000",
        ];
        sandbox.hoist(&[&always[..], flags, &[&context]].concat())
    };
    let first = build(&["-q", "--no-cache"]).ok().text().to_owned();
    let second = build(&["-q", "--no-cache"]).ok().text().to_owned();
    assert_eq!(first, second);
    build(&["--verify"]).ok().says("verify: both builds gave ");
    std::fs::write(sandbox.path("context/Dockerfile"), PLANTED).expect("a Dockerfile");
    build(&["--verify"]).fails(1).says("/from/y: content");
}

#[test]
fn the_environment_gives_the_epoch_and_the_flag_overrules_it() {
    let sandbox = Sandbox::new();
    let context = context(&sandbox, "FROM busybox\nRUN echo x > /x\n");
    let created = |environment: &str, flags: &[&str]| {
        let arguments = [&["build", "-q", "-t", "made"], flags, &[&context]].concat();
        let mut command = sandbox.command(&arguments);
        command.env("SOURCE_DATE_EPOCH", environment);
        crate::support::Child::spawn(command).finish().ok();
        sandbox.inspect("made", "{{.Created}}")
    };
    assert_eq!(created("1000000000", &[]), "2001-09-09T01:46:40Z");
    let flag = ["--build-arg", "SOURCE_DATE_EPOCH=0"];
    assert_eq!(created("1000000000", &flag), "1970-01-01T00:00:00Z");
    let bare = ["--build-arg", "SOURCE_DATE_EPOCH"];
    assert_eq!(created("1000000000", &bare), "2001-09-09T01:46:40Z");
    assert_ne!(created("", &[]), "1970-01-01T00:00:00Z");

    // Files follow when the output says so, and results outside of images always.
    let time = |flags: &[&str]| {
        created("1000000000", flags);
        let stat = ["run", "--rm", "made", "stat", "-c", "%Y", "/x"];
        sandbox.hoist(&stat).ok().text().to_owned()
    };
    assert_ne!(time(&[]), "1000000000");
    assert_eq!(
        time(&["--output", "type=image,rewrite-timestamp=true"]),
        "1000000000"
    );
    let out = directory(&sandbox, "out");
    let mut command = sandbox.command(&["build", "-q", "-o", &out, &context]);
    command.env("SOURCE_DATE_EPOCH", "1000000000");
    crate::support::Child::spawn(command).finish().ok();
    let found = PathBuf::from(out).join("x").metadata().expect("a file");
    assert_eq!(std::os::unix::fs::MetadataExt::mtime(&found), 1_000_000_000);

    let explained = [
        "build",
        "--explain",
        "--build-arg",
        "SOURCE_DATE_EPOCH=5",
        "--reproducible",
    ];
    sandbox
        .hoist(&[&explained[..], &[&context]].concat())
        .ok()
        .says("epoch changed from \"1000000000\" to \"5 (reproducible, rules 1)\"");
}
