//! What builds say about Dockerfile, context and image; and the page about all of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use hoist_build::check::{self, check};
use hoist_core::{
    Platform,
    event::{BuildEvent, Warning},
};
use hoist_dockerfile::{
    lint::{self, Author, Page, Rule},
    parse,
    stages::Inputs,
};

use crate::support::{Outcome, World};

/// The warnings of a build in the order in which it told them, those of some rules left out.
fn told(outcome: &Outcome) -> Vec<String> {
    let noise = ["RunsAsRoot", "UnpinnedBaseImage", "JSONArgsRecommended"];
    let warnings = outcome.events.iter().filter_map(|event| match event {
        BuildEvent::Warning(warning) => Some(warning),
        _ => None,
    });
    warnings
        .filter(|warning| !noise.contains(&warning.rule.as_deref().unwrap_or_default()))
        .map(shown)
        .collect()
}

fn shown(warning: &Warning) -> String {
    let rule = warning.rule.as_deref().unwrap_or_default();
    let line = warning.line.unwrap_or_default();
    let hints = warning.hints.join(" | ");
    format!("{line} {rule}: {} [{hints}]", warning.message)
}

/// A world whose context holds a Python 3.11 without modules: enough to be looked at.
fn python() -> World {
    let world = World::new();
    world
        .file("python/bin/python3.11", "#!/bin/sh\n")
        .file("python/lib/python3.11/os.py", "")
        .file("python/lib/python3.11/urllib/request.py", "")
        .file("packages/requests/__init__.py", "")
        .file("packages/uvicorn/__main__.py", "");
    let program = world.context().join("python/bin/python3.11");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
    std::os::unix::fs::symlink("python3.11", world.context().join("python/bin/python"))
        .expect("a link");
    world
}

#[test]
fn programs_that_are_not_there_are_named() {
    let world = World::new();
    let outcome = world.dockerfile(
        "FROM base\nHEALTHCHECK CMD curl -f http://localhost/ || exit 1\nCMD [\"gunicorn\", \"x\"]\n",
    );
    outcome.result.as_ref().expect("a build");
    insta::assert_snapshot!(told(&outcome).join("\n"), @r#"
    3 CommandNotFound: CMD runs gunicorn, which is not on PATH in the image: the container cannot start []
    2 HealthcheckProgram: HEALTHCHECK runs curl, which is not on PATH in the image: every probe fails [install it, or use what the image has: python -c "import urllib.request as u; u.urlopen('http://localhost:8000/health', timeout=5)"]
    "#);
    let fine = world.dockerfile(
        "FROM base\nHEALTHCHECK CMD if command -v curl; then curl -f x; fi\nCMD cd / && sh -c 'x $Y'\n",
    );
    assert_eq!(told(&fine), [""; 0]);
}

#[test]
fn an_image_without_a_shell_is_noticed() {
    let world = World::new();
    world.file("program", "");
    let outcome = world.dockerfile("FROM scratch\nCOPY program /\nCMD program\n");
    insta::assert_snapshot!(told(&outcome).join("\n"), @r#"
    3 CommandNotFound: CMD runs /bin/sh, which is not in the image: the container cannot start [the image has no shell: write CMD ["program", "argument"]]
    "#);
}

#[test]
fn scripts_need_the_program_of_their_first_line() {
    let world = World::new();
    world.file("venv", "#!/opt/venv/bin/python3\n");
    world.file("windows", "#!/bin/sh\r\necho\r\n");
    let dockerfile = |name: &str| {
        format!("FROM base\nCOPY --chmod=755 {name} /start\nENTRYPOINT [\"/start\"]\n")
    };
    let venv = world.dockerfile(&dockerfile("venv"));
    let windows = world.dockerfile(&dockerfile("windows"));
    insta::assert_snapshot!([told(&venv), told(&windows)].concat().join("\n"), @r"
    3 CommandNotFound: ENTRYPOINT runs /start, a script for /opt/venv/bin/python3, which is not in the image: the container cannot start [a virtual environment must stay at the path where it was made, beside the same Python]
    3 CommandNotFound: ENTRYPOINT runs /start, a script with Windows line ends: the container cannot start [save it with LF only (git config core.autocrlf input)]
    ");
}

#[test]
fn modules_are_looked_for_where_python_looks() {
    let world = python();
    let dockerfile = |copy: &str, rest: &str| {
        format!("FROM base\nCOPY python /usr/local\nCOPY packages {copy}\n{rest}")
    };
    let site = "/usr/local/lib/python3.11/site-packages";
    let probe = "HEALTHCHECK CMD python -c \"import requests; requests.get('http://x').raise_for_status()\"\n";
    let runs = "CMD [\"python\", \"-m\", \"uvicorn\", \"main:app\"]\n";
    let fine = world.dockerfile(&dockerfile(site, &format!("{probe}{runs}")));
    fine.result.as_ref().expect("a build");
    assert_eq!(told(&fine), [""; 0]);
    let by_path = format!("ENV PYTHONPATH=/elsewhere\n{probe}{runs}");
    let fine = world.dockerfile(&dockerfile("/elsewhere", &by_path));
    assert_eq!(told(&fine), [""; 0]);
    let missing = world.dockerfile(&dockerfile("/elsewhere", &format!("{probe}{runs}")));
    let other = world.dockerfile(&dockerfile("/usr/local/lib/python3.12/site-packages", runs));
    insta::assert_snapshot!([told(&missing), told(&other)].concat().join("\n"), @r#"
    5 CommandNotFound: CMD runs the module uvicorn, which is not installed in the image: the container cannot start [add uvicorn to what pip installs]
    4 HealthcheckModule: HEALTHCHECK imports the module requests, which is not installed in the image: every probe fails [urllib is always there, and raises on errors: python -c "import urllib.request as u; u.urlopen('http://localhost:8000/health', timeout=5)"]
    4 CommandNotFound: CMD runs the module uvicorn, which lies in /usr/local/lib/python3.12/site-packages, where this Python does not look: the container cannot start [copy packages between images of one Python version only, and to the same path]
    "#);
}

#[test]
fn the_user_must_be_able_to_read_what_runs() {
    let world = python();
    let stages = |home: &str, put: &str| {
        format!(
            "FROM base\nCOPY python /usr/local\nRUN mkdir -p /root && chmod {home} /root\n\
             COPY packages {put}\nUSER 1000\nCMD [\"python\", \"-m\", \"uvicorn\"]\n"
        )
    };
    let packages = "/root/.local/lib/python3.11/site-packages";
    let closed = world.dockerfile(&stages("700", packages));
    let closed_by_text = told(&closed);
    let open = world.dockerfile(&format!(
        "{}ENV PYTHONPATH={packages}\n",
        stages("755", packages)
    ));
    assert_eq!(
        told(&open),
        [""; 0],
        "the image refutes what the text suggests"
    );
    let elsewhere = world.dockerfile(
        "FROM base\nCOPY python /usr/local\nCOPY --chmod=700 packages \
         /usr/local/lib/python3.11/site-packages\nUSER 1000\nCMD [\"python\", \"-m\", \"uvicorn\"]\n",
    );
    insta::assert_snapshot!([closed_by_text, told(&elsewhere)].concat().join("\n"), @r"
    5 UserCannotRead: 1000 cannot read /root/.local/lib/python3.11/site-packages: /root is closed to everyone but root. It was put there in line 4 [install into a virtual environment such as /opt/venv and copy that, or give the user its own copy with COPY --chown]
    5 UserCannotRead: 1000 cannot read uvicorn in /usr/local/lib/python3.11/site-packages, which CMD needs: /usr/local/lib/python3.11/site-packages is drwx------ root [install into a virtual environment such as /opt/venv and copy that, or give the user its own copy with COPY --chown]
    ");
}

#[test]
fn a_command_that_lies_beside_path_or_is_a_module_is_found() {
    let world = python();
    let module = world.dockerfile(
        "FROM base\nCOPY python /usr/local\nCOPY packages /usr/local/lib/python3.11/site-packages\n\
         CMD [\"uvicorn\", \"main:app\"]\n",
    );
    let other = world.dockerfile(
        "FROM base\nCOPY --chmod=755 python/bin/python3.11 /opt/venv/bin/serve\nCMD [\"serve\"]\n",
    );
    insta::assert_snapshot!([told(&module), told(&other)].concat().join("\n"), @r"
    4 CommandNotFound: CMD runs uvicorn, which is not on PATH in the image: the container cannot start [the Python module is there, its command is not: write python -m uvicorn, or also copy the bin directory beside lib]
    3 CommandNotFound: CMD runs serve, which is not on PATH in the image: the container cannot start [it is in /opt/venv/bin: ENV PATH=/opt/venv/bin:$PATH before CMD]
    ");
}

#[test]
fn checks_can_be_switched_off_and_errors_fail_before_anything_runs() {
    let world = World::new();
    let text =
        "# check=skip=FromAsCasing,CommandNotFound;error=true\nFROM base as x\nCMD [\"no\"]\n";
    let quiet = world.dockerfile(text);
    quiet.result.as_ref().expect("a build");
    assert_eq!(told(&quiet), [""; 0]);
    world.file(
        "Dockerfile",
        "# check=error=true\nFROM base as x\nRUN false\n",
    );
    let outcome = world.build(&world.request());
    let error = outcome.result.as_ref().expect_err("a violation");
    assert_eq!(
        error.to_string(),
        "lint violation found for rules: FromAsCasing"
    );
    assert_eq!(told(&outcome).len(), 1);
    let mut request = world.request();
    let argument = |value: &str| {
        vec![(
            "BUILDKIT_DOCKERFILE_CHECK".to_owned(),
            Some(value.to_owned()),
        )]
    };
    world.file(
        "Dockerfile",
        "# check=error=true\nFROM base as x\nCMD [\"no\"]\n",
    );
    request.build_args = argument("skip=all");
    let outcome = world.build(&request);
    outcome.result.as_ref().expect("a build");
    assert_eq!(told(&outcome), [""; 0]);
    request.build_args = argument("nonsense");
    let error = world.build(&request).result.expect_err("malformed options");
    assert_eq!(
        error.to_string(),
        "--build-arg BUILDKIT_DOCKERFILE_CHECK: invalid check option \"nonsense\""
    );
}

#[test]
fn a_failing_build_still_tells_what_it_found() {
    let world = World::new();
    let outcome = world.dockerfile(
        "FROM base as x\nRUN false\nHEALTHCHECK CMD python -c 'import requests; requests.get(\"x\").ok'\n",
    );
    outcome.result.as_ref().expect_err("false");
    let rules: Vec<String> = told(&outcome)
        .iter()
        .map(|line| line.split(':').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(rules, ["1 FromAsCasing", "3 HealthcheckModule"]);
}

#[test]
fn a_check_needs_neither_store_nor_base_image() {
    let world = World::bare();
    world
        .file("Dockerfile", "FROM nowhere:1 as x\nCOPY . /app\n")
        .file("src/__pycache__/a.pyc", "")
        .file(".dockerignore", "__pycache__\n");
    let checked = check(None, &world.request()).expect("a check");
    let rules: Vec<&str> = checked
        .report
        .findings
        .iter()
        .map(|finding| finding.rule.name)
        .collect();
    assert_eq!(
        rules,
        ["RunsAsRoot", "FromAsCasing", "DockerignoreTopLevelOnly"]
    );
    assert!(checked.error.is_none());
    world.file("Dockerfile", "FROM a\nCOPPY x y\n");
    let checked = check(None, &world.request()).expect("a check");
    let error = checked.error.expect("a syntax error").to_string();
    assert_eq!(
        error,
        "dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)"
    );
}

/// `docs/checks.md`, from the tables.
fn page() -> String {
    let mut text = String::from(INTRODUCTION);
    overview(&mut text);
    let dockers = |rule: &Rule| rule.author != Author::Hoist;
    let pages = || lint::PAGES.iter().chain(check::PAGES);
    let _ = writeln!(text, "\n## Docker's checks");
    for page in pages().filter(|page| dockers(page.rule)) {
        section(&mut text, page);
    }
    let _ = writeln!(text, "\n## hoist's checks");
    for page in pages().filter(|page| !dockers(page.rule)) {
        section(&mut text, page);
    }
    text
}

const INTRODUCTION: &str = "\
# Checks

`hoist build` looks at the Dockerfile, at what `COPY` takes from the context, and at the image that came
out, and lists what is probably not meant. Nothing of that makes a build fail that works with Docker.

* `hoist build --check .` (or `--call=check`) checks without building; the exit code is 1 when one of
  Docker's checks found something, as with Docker. `--call=check,format=json` prints Docker's JSON.
* `hoist check [-f FILE] [PATH]` does the same, and its exit code is 1 when any check found something.
  `--format json` and `--format sarif` are for tools, `--fix` repairs what is safe to repair and shows
  what it changed, `--explain RULE` prints a section of this page.
* `--fix` also pins base images: `FROM python:3.12-slim` gets the digest that the image had when it was pulled, or
  that the registry knows now. What cannot be pinned (no registry answers, the name has variables) is said.
* `# check=skip=RuleName,OtherRule` at the top of the file switches rules off; in a comment right above an
  instruction it does so for that one. `skip=all` switches off all of them. `# check=error=true` makes
  findings of Docker's checks fail the build. `--build-arg BUILDKIT_DOCKERFILE_CHECK=skip=…;error=true`
  replaces what the file says.

This page is made from the rules' own tables; every example is tested.
";

/// All rules in one table.
fn overview(text: &mut String) {
    let _ = writeln!(
        text,
        "\n| check | of | fix | what it asks for |\n|---|---|---|---|"
    );
    let mut pages: Vec<&Page> = lint::PAGES.iter().chain(check::PAGES).collect();
    pages.sort_by_key(|page| page.rule.name);
    for page in pages {
        let Rule {
            name,
            summary,
            author,
        } = page.rule;
        let of = match author {
            Author::Docker => "Docker",
            Author::DockerExperimental => "Docker, when asked for",
            Author::Hoist => "hoist",
        };
        let fix = if has_fix(page) { "yes" } else { "" };
        let anchor = name.to_lowercase();
        let _ = writeln!(text, "| [{name}](#{anchor}) | {of} | {fix} | {summary} |");
    }
}

/// Whether `--fix` repairs the bad example.
fn has_fix(page: &Page) -> bool {
    let dockerfile = parse(page.bad).expect("an example is a Dockerfile");
    let host = Platform::host();
    let settings = lint::Settings {
        inputs: Inputs {
            target: None,
            build_args: &BTreeMap::new(),
            build_platform: &host,
            target_platform: &host,
            contexts: &BTreeSet::new(),
        },
        options: None,
        bases: &BTreeMap::new(),
        ignore: None,
    };
    let report = lint::check(&dockerfile, &settings).expect("a check");
    let mut findings = report.findings.iter();
    findings.any(|finding| finding.rule == page.rule && finding.fix.is_some())
}

fn section(text: &mut String, page: &Page) {
    let rule = page.rule;
    let _ = writeln!(text, "\n### {}\n\n{}.", rule.name, rule.summary);
    let _ = writeln!(text, "\n{}", page.why);
    for (title, example) in [("Bad", page.bad), ("Good", page.good)] {
        let _ = writeln!(text, "\n{title}:\n\n```dockerfile\n{example}\n```");
    }
    if let Some(url) = rule.url() {
        let _ = writeln!(text, "\n[Docker's own page]({url})");
    }
}

#[test]
fn the_page_about_checks_is_up_to_date() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/checks.md");
    let written = fs::read_to_string(&place).unwrap_or_default();
    let made = page();
    if written != made {
        let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("checks.md");
        fs::write(&fresh, &made).expect("a file");
        panic!(
            "docs/checks.md is not what the tables say; write it anew with: cp {} docs/checks.md",
            fresh.display()
        );
    }
}

#[test]
fn every_rule_has_a_page() {
    let rules: Vec<&str> = check::RULES.iter().map(|rule| rule.name).collect();
    let pages: Vec<&str> = check::PAGES.iter().map(|page| page.rule.name).collect();
    assert_eq!(rules, pages);
}
