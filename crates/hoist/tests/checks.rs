//! What `build`, `build --check` and `check` say about a Dockerfile, its context and its image.
//!
//! The tests named after rows are about the tutorial's examples: what is known to go wrong with them
//! is said, with the line, before it costs anything.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use serde_json::Value;

use crate::support::{Run, Sandbox};

/// A text that nothing can be said against.
const CLEAN: &str = "FROM busybox:1.36\nUSER 1000\nCMD [\"true\"]\n";

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/article")
        .join(name);
    path.to_str().expect("a path").to_owned()
}

/// `check` on an example; it always finds something.
fn check_example(name: &str) -> Run {
    let sandbox = Sandbox::with(&[]);
    sandbox.hoist(&["check", &example(name)]).fails(1)
}

/// Builds the context of the sandbox.
fn build(sandbox: &Sandbox, flags: &[&str]) -> Run {
    sandbox.hoist(&[&["build", "-t", "built"], flags, &["context"]].concat())
}

/// A sandbox with this Dockerfile in its context, and no image.
fn with_dockerfile(text: &str) -> Sandbox {
    let sandbox = Sandbox::with(&[]);
    sandbox.file("context/Dockerfile", text);
    sandbox
}

#[test]
fn row_3_from_as_casing() {
    check_example("02-multi-stage")
        .prints(
            "WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/",
        )
        .prints("   1 | >>> FROM python:3.11-slim as builder");
}

#[test]
fn row_4_user_cannot_read_what_is_on_path() {
    check_example("03-multi-stage-appuser")
        .prints("WARNING: UserCannotRead - hoist check --explain UserCannotRead")
        .prints("appuser cannot read /root/.local: /root is closed to everyone but root")
        .prints("put there in line 17, and PATH names it (line 19)")
        .prints("  24 | >>> USER appuser");
    let sandbox = Sandbox::with(&["python:3.11-slim"]);
    sandbox
        .hoist(&["build", "-t", "built", &example("03-multi-stage-appuser")])
        .ok()
        .says(" - UserCannotRead: appuser cannot read /root/.local");
    // And when it is run all the same, the failure is explained.
    sandbox.hoist(&["run", "--rm", "built"]).fails(1).says(
        "hoist: uvicorn is in /root/.local/lib/python3.11/site-packages (from COPY /root/.local \
         /root/.local), which appuser cannot read: /root is drwx------ root",
    );
}

#[test]
fn row_5_bash_syntax_under_sh() {
    check_example("04-uv")
        .prints("the process substitution <( ) is bash syntax, but RUN uses /bin/sh")
        .prints("put SHELL [\"/bin/bash\", \"-c\"] before it")
        .prints("   9 | >>> RUN uv pip install --no-cache-dir -r <(uv pip compile pyproject.toml)");
}

#[test]
fn row_5b_uv_needs_system() {
    check_example("04-uv")
        .prints("WARNING: UvPipNeedsSystem")
        .prints("hint: add --system, or set ENV UV_SYSTEM_PYTHON=1");
}

#[test]
fn row_5d_the_lock_is_not_read_and_the_commands_stay_behind() {
    check_example("05-uv-system")
        .prints("uv.lock is copied but never read")
        .prints(
            "only site-packages is copied: commands that the packages install (such as uvicorn)",
        )
        .never_says("UvPipNeedsSystem");
}

#[test]
fn row_9_localhost_is_the_container() {
    check_example("06-env")
        .prints("WARNING: EnvLocalhost")
        .prints("DATABASE_URL");
}

#[test]
fn row_14_the_probes_module_is_not_in_the_image() {
    let sandbox = Sandbox::with(&["python:3.11-slim"]);
    sandbox
        .hoist(&["build", "-t", "built", &example("08-healthcheck")])
        .ok()
        .says(
            " - HealthcheckModule: HEALTHCHECK imports the module requests, which is not installed \
             in the image: every probe fails (line 10)",
        )
        .never_says("CommandNotFound");
}

#[test]
fn row_14b_the_probe_passes_on_errors() {
    check_example("08-healthcheck")
        .prints("this health check passes when the service answers with an error (HTTP 500)")
        .prints("hint: append .raise_for_status()");
}

#[test]
fn row_19_dockerignore_misses_what_lies_deeper() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox\nCOPY . /app\nCMD [\"true\"]\n",
    );
    sandbox.file("context/.dockerignore", ".git\n__pycache__\n*.pyc\n.venv\n");
    sandbox.file("context/src/__pycache__/a.pyc", "");
    sandbox.file("context/src/b.pyc", "");
    sandbox.file("context/.git/HEAD", "");
    sandbox.file("context/.env", "KEY=1");
    build(&sandbox, &["--allow-secret-in-layer", "/app/.env"])
        .ok()
        .says("__pycache__ below the top level is taken from the context (src/__pycache__): line 2 of .dockerignore says __pycache__")
        .says("line 3 of .dockerignore says *.pyc")
        .says(" - SecretFileCopied: this takes .env from the context")
        .never_says("this takes .git");
    sandbox
        .hoist(&["check", "context"])
        .fails(1)
        .prints("hint: write **/__pycache__")
        .prints("   2 | >>> COPY . /app");
}

#[test]
fn row_20_a_user_of_its_own_is_fine() {
    Sandbox::with(&[])
        .hoist(&["check", &example("10-nonroot")])
        .ok()
        .prints("no warnings found");
}

#[test]
fn row_22_wrong_layer_order() {
    check_example("11-layer-order").prints(
        "the whole context is copied before pip install in line 7: every change of any file \
         installs everything again",
    );
}

#[test]
fn row_23_latest_is_another_image_tomorrow() {
    with_dockerfile("FROM python:latest\nUSER 1\n")
        .hoist(&["check", "context"])
        .fails(1)
        .prints("WARNING: UnpinnedBaseImage")
        .prints("python:latest is another image tomorrow");
}

#[test]
fn a_build_lists_its_warnings_in_the_order_of_the_file() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox AS a\nENV A b\nHEALTHCHECK CMD curl -f http://localhost/\nUSER 1\nCMD [\"nothing\"]\n",
    );
    let run = build(&sandbox, &[]).ok();
    let (_, list) = run
        .stderr
        .split_once("\n 4 warnings found (use --check to expand):\n")
        .expect("a list");
    let rules: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_prefix(" - ")?.split(':').next())
        .collect();
    assert_eq!(
        rules,
        [
            "UnpinnedBaseImage",
            "LegacyKeyValueFormat",
            "HealthcheckProgram",
            "CommandNotFound"
        ]
    );
    build(&sandbox, &["-q"]).ok().never_says("warning");
    let skip = ["--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all"];
    build(&sandbox, &skip).ok().never_says("warning");
}

#[test]
fn errors_are_errors_only_where_docker_says_so() {
    let sandbox = Sandbox::new();
    let write = |text: &str| sandbox.file("context/Dockerfile", text);
    // hoist's own findings never are.
    write("# check=error=true\nFROM busybox\nCMD [\"nothing\"]\n");
    build(&sandbox, &[]).ok().says("CommandNotFound");
    write("# check=error=true\nFROM busybox as x\nRUN exit 3\n");
    build(&sandbox, &[])
        .fails(1)
        .says("lint violation found for rules: FromAsCasing")
        .never_says("exit 3");
    sandbox
        .hoist(&["build", "--check", "context"])
        .fails(1)
        .prints("WARNING: FromAsCasing")
        .says("lint violation found for rules: FromAsCasing");
    write("# check=skip=FromAsCasing;error=true\nFROM busybox as x\n");
    build(&sandbox, &[]).ok().never_says("FromAsCasing");
    write("# check=nonsense\nFROM busybox\n");
    build(&sandbox, &[])
        .fails(1)
        .says("Dockerfile:1")
        .says("nonsense");
}

#[test]
fn exit_codes_are_dockers() {
    let sandbox = with_dockerfile(CLEAN);
    for line in [&["check", "context"][..], &["build", "--check", "context"]] {
        sandbox
            .hoist(line)
            .ok()
            .stdout_is("Check complete, no warnings found.");
    }
    // Docker has nothing against this one: its command passes.
    sandbox.file("context/Dockerfile", "FROM busybox:1.36\nCMD [\"true\"]\n");
    sandbox
        .hoist(&["build", "--call=check", "context"])
        .ok()
        .prints("Check complete, 1 warning has been found!")
        .prints("WARNING: RunsAsRoot");
    sandbox
        .hoist(&["check", "context"])
        .fails(1)
        .prints("WARNING: RunsAsRoot");
    sandbox.file(
        "context/Dockerfile",
        "FROM busybox:1.36\nUSER 1\nCMD true\n",
    );
    sandbox.hoist(&["build", "--check", "context"]).fails(1);
    // Nothing is built, and no data root is made.
    assert!(!sandbox.root().exists());
}

#[test]
fn json_is_that_of_docker() {
    let sandbox = with_dockerfile("FROM busybox:1.36 as x\nUSER 1\n");
    let run = sandbox
        .hoist(&["build", "--call=check,format=json", "context"])
        .fails(1);
    let document: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let warning = &document["warnings"][0];
    assert_eq!(warning["ruleName"], "FromAsCasing");
    assert_eq!(
        warning["url"],
        "https://docs.docker.com/go/dockerfile/rule/from-as-casing/"
    );
    assert_eq!(warning["location"]["ranges"][0]["start"]["line"], 1);
    assert_eq!(document["sources"][0]["filename"], "Dockerfile");
    assert_eq!(
        document["sources"][0]["data"],
        "RlJPTSBidXN5Ym94OjEuMzYgYXMgeApVU0VSIDEK"
    );
    assert!(document.get("buildError").is_none());
    sandbox.file("context/Dockerfile", "FROM busybox:1.36\nCOPPY a b\n");
    let run = sandbox
        .hoist(&["check", "--format", "json", "context"])
        .fails(1);
    let document: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let message = document["buildError"]["message"]
        .as_str()
        .expect("a message");
    assert!(message.contains("unknown instruction: COPPY"), "{message}");
}

#[test]
fn sarif_names_file_place_and_fix() {
    let sandbox = with_dockerfile("");
    sandbox.file("context/docker/My File", "FROM busybox:1.36 as x\nUSER 1\n");
    let run = sandbox
        .hoist(&[
            "check",
            "--format=sarif",
            "-f",
            "context/docker/My File",
            "context",
        ])
        .fails(1);
    let document: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    let result = &run["results"][0];
    let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
    assert_eq!(
        run["tool"]["driver"]["rules"][index]["id"],
        result["ruleId"]
    );
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "context/docker/My%20File");
    assert_eq!(place["region"]["startLine"], 1);
    assert_eq!(place["region"]["startColumn"], 19);
    assert_eq!(place["region"]["endColumn"], 21);
    let replacement = &result["fixes"][0]["artifactChanges"][0]["replacements"][0];
    assert_eq!(replacement["insertedContent"]["text"], "AS");
}

#[test]
fn fixes_are_shown_and_keep_the_file_as_it_is_otherwise() {
    let sandbox = with_dockerfile("");
    let path = sandbox.file(
        "context/Dockerfile",
        "\u{feff}FROM busybox:1.36 as x\r\nENV A b\r\nUSER 1\r\n",
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
    chown(&path, Some(1234), Some(4321)).expect("chown");
    symlink("Dockerfile", sandbox.path("context/Link")).expect("a link");
    sandbox
        .hoist(&["check", "--fix", "-f", "context/Link", "context"])
        .ok()
        .prints("--- context/Link\n+++ context/Link\n@@ -1,3 +1,3 @@\n-FROM busybox:1.36 as x\n-ENV A b\n+FROM busybox:1.36 AS x\n+ENV A=b\n USER 1\n")
        .prints("Check complete, no warnings found.");
    let text = fs::read_to_string(&path).expect("the file");
    assert_eq!(
        text,
        "\u{feff}FROM busybox:1.36 AS x\r\nENV A=b\r\nUSER 1\r\n"
    );
    let found = fs::metadata(&path).expect("the file");
    assert_eq!(
        (found.mode() & 0o7777, found.uid(), found.gid()),
        (0o640, 1234, 4321)
    );
    let link = fs::symlink_metadata(sandbox.path("context/Link")).expect("the link");
    assert!(link.is_symlink());
    let names = fs::read_dir(sandbox.path("context"))
        .expect("the context")
        .count();
    assert_eq!(names, 2, "nothing is left beside the file");
    sandbox
        .hoist(&["check", "--fix", "context"])
        .ok()
        .stdout_is("Check complete, no warnings found.");
}

#[test]
fn what_cannot_be_repaired_is_left_alone() {
    let sandbox = with_dockerfile("FROM busybox:1.36 as x\nRUN \\\n");
    let broken = "FROM busybox:1.36 as x\nCOPPY a b\n";
    let path = sandbox.file("context/Dockerfile", broken);
    sandbox
        .hoist(&["check", "--fix", "context"])
        .fails(1)
        .says("unknown instruction: COPPY");
    assert_eq!(fs::read_to_string(&path).expect("the file"), broken);
    let bytes = b"FROM busybox:1.36 as x\n# \xff\nUSER 1\n";
    fs::write(&path, bytes).expect("a file");
    sandbox
        .hoist(&["check", "--fix", "context"])
        .fails(1)
        .says("invalid UTF-8: byte 0xff");
    assert_eq!(fs::read(&path).expect("the file"), bytes);
    sandbox
        .hoist_with_input(&["check", "--fix", "-f", "-", "context"], CLEAN)
        .fails(1)
        .says("standard input cannot be repaired");
    sandbox
        .hoist_with_input(&["check", "-f", "-", "context"], CLEAN)
        .ok()
        .prints("no warnings found");
}

#[test]
fn rules_explain_themselves() {
    let sandbox = Sandbox::with(&[]);
    sandbox
        .hoist(&["check", "--explain", "UserCannotRead"])
        .ok()
        .prints("No module named uvicorn")
        .prints("Bad:\n    FROM python:3.11-slim AS builder");
    sandbox
        .hoist(&["check", "--explain", "HealthcheckProgram"])
        .ok()
        .prints("have no curl");
    sandbox
        .hoist(&["check", "--explain", "UserCannotReed"])
        .fails(1)
        .says("did you mean UserCannotRead?");
}

#[test]
fn bad_input_to_a_check() {
    let sandbox = Sandbox::with(&[]);
    sandbox
        .hoist(&["check", "nowhere"])
        .fails(1)
        .says("nowhere");
    sandbox.file("context/other", "");
    sandbox
        .hoist(&["check", "context"])
        .fails(1)
        .says("Dockerfile");
    sandbox
        .hoist(&["check", "--format", "xml"])
        .fails(125)
        .says("write text, json or sarif");
    sandbox
        .hoist(&["build", "--call=nothing", "context"])
        .fails(125)
        .says("write build, check, outline or targets");
    sandbox.file("context/Dockerfile", "FROM a:1 AS x\nFROM x\n");
    sandbox
        .hoist(&["check", "--target", "y", "context"])
        .fails(1)
        .says("target stage \"y\" could not be found");
}
