//! Every rule with bad and good examples; fixes; options.

use super::*;
use crate::{Source, parse, render};
use hoist_core::Platform;

/// Checks `text` and hands over report and source.
fn run(
    text: &str,
    bases: &BTreeMap<usize, BaseImage>,
    ignore: Option<&Ignore>,
) -> (Report, Source) {
    let dockerfile = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    let platform = Platform {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        variant: None,
    };
    let settings = Settings {
        inputs: Inputs {
            target: None,
            build_args: &BTreeMap::new(),
            build_platform: &platform,
            target_platform: &platform,
            contexts: &BTreeSet::new(),
        },
        options: None,
        bases,
        ignore,
    };
    let report = check(&dockerfile, &settings).unwrap();
    (report, dockerfile.source)
}

/// The places at which `rule` finds something: line, and the text that is marked.
fn found(rule: &str, text: &str) -> Vec<String> {
    found_with(rule, text, &BTreeMap::new(), None)
}

fn found_with(
    rule: &str,
    text: &str,
    bases: &BTreeMap<usize, BaseImage>,
    ignore: Option<&Ignore>,
) -> Vec<String> {
    assert!(RULES.iter().any(|known| known.name == rule), "{rule}");
    let (report, source) = run(text, bases, ignore);
    let of_rule = report
        .findings
        .iter()
        .filter(|finding| finding.rule.name == rule);
    of_rule
        .map(|finding| {
            let span = finding.diagnostic.span;
            format!(
                "{}: {}",
                source.position(span.start).line,
                source.slice(span)
            )
        })
        .collect()
}

/// The text with the fixes of `rule` made.
fn fixed(rule: &str, text: &str) -> String {
    let (report, source) = run(text, &BTreeMap::new(), None);
    let findings: Vec<Finding> = report
        .findings
        .into_iter()
        .filter(|finding| finding.rule.name == rule)
        .collect();
    apply(&source, &findings)
}

/// Rule, Dockerfile, what is marked.
const EXAMPLES: &[(&str, &str, &[&str])] = &[
    // casing
    ("StageNameCasing", "FROM a:1 AS Build", &["1: Build"]),
    ("StageNameCasing", "FROM a:1 AS build", &[]),
    ("FromAsCasing", "FROM a:1 as b", &["1: as"]),
    ("FromAsCasing", "from a:1 AS b", &["1: AS"]),
    ("FromAsCasing", "from a:1 as b", &[]),
    ("FromAsCasing", "From a:1 as b", &[]),
    (
        "ConsistentInstructionCasing",
        "FROM a:1\nRUN b\nrun c\nRun d",
        &["3: run", "4: Run"],
    ),
    (
        "ConsistentInstructionCasing",
        "from a:1\nrun b\nRUN c",
        &["3: RUN"],
    ),
    ("ConsistentInstructionCasing", "from a:1\nrun b", &[]),
    // repetition
    (
        "DuplicateStageName",
        "FROM a:1 AS x\nFROM b:1 AS X",
        &["2: X"],
    ),
    ("DuplicateStageName", "FROM a:1 AS x\nFROM b:1 AS y", &[]),
    (
        "ReservedStageName",
        "FROM a:1 AS scratch\nFROM a:1 AS context",
        &["1: scratch", "2: context"],
    ),
    (
        "MultipleInstructionsDisallowed",
        "FROM a:1\nCMD [\"a\"]\nCMD [\"b\"]",
        &["2: CMD [\"a\"]"],
    ),
    (
        "MultipleInstructionsDisallowed",
        "FROM a:1\nHEALTHCHECK NONE\nHEALTHCHECK CMD a",
        &["2: HEALTHCHECK NONE"],
    ),
    (
        "MultipleInstructionsDisallowed",
        "FROM a:1 AS b\nCMD [\"a\"]\nFROM b\nCMD [\"b\"]",
        &[],
    ),
    // forms
    ("NoEmptyContinuation", "FROM a:1\nRUN a \\\n\n  b", &["3: "]),
    ("NoEmptyContinuation", "FROM a:1\nRUN a \\\n# x\n  b", &[]),
    ("JSONArgsRecommended", "FROM a:1\nCMD a b", &["2: CMD a b"]),
    (
        "JSONArgsRecommended",
        "FROM a:1\nENTRYPOINT a b",
        &["2: ENTRYPOINT a b"],
    ),
    ("JSONArgsRecommended", "FROM a:1\nCMD [\"a\", \"b\"]", &[]),
    (
        "JSONArgsRecommended",
        "FROM a:1\nSHELL [\"bash\", \"-c\"]\nCMD a b",
        &[],
    ),
    (
        "MaintainerDeprecated",
        "FROM a:1\nMAINTAINER me",
        &["2: MAINTAINER me"],
    ),
    (
        "LegacyKeyValueFormat",
        "FROM a:1\nENV a b\nLABEL c d e\nENV f=g",
        &["2: a b", "3: c d e"],
    ),
    (
        "ExposeProtoCasing",
        "FROM a:1\nEXPOSE 80/TCP 81/tcp",
        &["2: 80/TCP"],
    ),
    (
        "ExposeInvalidFormat",
        "FROM a:1\nEXPOSE 127.0.0.1:80:80 8080:80 80",
        &["2: 127.0.0.1:80:80", "2: 8080:80"],
    ),
    ("InvalidJSONForm", "FROM a:1\nCMD ['a']", &["2: '"]),
    ("InvalidJSONForm", "FROM a:1\nRUN [ -f a ]", &[]),
    (
        "InvalidDefinitionDescription",
        "# check=experimental=all\n# about it\nFROM a:1 AS b",
        &["2: # about it"],
    ),
    (
        "InvalidDefinitionDescription",
        "# check=experimental=all\n# b builds\nFROM a:1 AS b",
        &[],
    ),
    (
        "InvalidDefinitionDescription",
        "# about it\nFROM a:1 AS b",
        &[],
    ),
    // variables
    (
        "UndefinedArgInFrom",
        "ARG TAG=1\nFROM a:${TGA}",
        &["2: ${TGA}"],
    ),
    ("UndefinedArgInFrom", "ARG TAG\nFROM a:1$TAG", &[]),
    (
        "UndefinedArgInFrom",
        "FROM --platform=$BUILDPLATFORM a:1",
        &[],
    ),
    (
        "UndefinedArgInFrom",
        "FROM --platform=${PLATFORM:-linux} a:1",
        &["1: ${PLATFORM"],
    ),
    (
        "InvalidDefaultArgInFrom",
        "ARG TAG\nFROM a:$TAG",
        &["2: a:$TAG"],
    ),
    ("InvalidDefaultArgInFrom", "ARG TAG\nFROM a:${TAG:-1}", &[]),
    ("InvalidDefaultArgInFrom", "ARG TAG\nFROM a:1$TAG", &[]),
    ("UndefinedVar", "FROM scratch\nCOPY $foo /", &["2: $foo"]),
    ("UndefinedVar", "FROM scratch\nARG foo\nCOPY $foo /", &[]),
    (
        "UndefinedVar",
        "FROM scratch\nARG foo=1\nENV bar=$foo PATH=/x:$PATH",
        &[],
    ),
    ("UndefinedVar", "FROM scratch\nENV a=1 b=$a", &["2: $a"]),
    ("UndefinedVar", "FROM scratch\nENV b=${a:-1}", &["2: ${a"]),
    ("UndefinedVar", "FROM scratch\nRUN echo $a", &[]),
    ("UndefinedVar", "FROM python:3\nENV a=$PYTHON_VERSION", &[]),
    (
        "UndefinedVar",
        "FROM python:3\nARG VERSION=1\nENV a=$VERSOIN",
        &["3: $VERSOIN"],
    ),
    (
        "UndefinedVar",
        "FROM scratch AS a\nENV x=1\nFROM a\nENV y=$x",
        &[],
    ),
    (
        "UndefinedVar",
        "FROM scratch\nCOPY <<EOF /x\n$a\nEOF",
        &["3: $a"],
    ),
    ("WorkdirRelativePath", "FROM a:1\nWORKDIR app", &["2: app"]),
    (
        "WorkdirRelativePath",
        "FROM a:1\nWORKDIR /app\nWORKDIR b",
        &[],
    ),
    (
        "WorkdirRelativePath",
        "FROM a:1\nENV D=/app\nWORKDIR $D",
        &[],
    ),
    (
        "EnvLocalhost",
        "FROM a:1\nENV U=postgresql://u:p@localhost:5432/x",
        &["2: postgresql://u:p@localhost:5432/x"],
    ),
    (
        "EnvLocalhost",
        "FROM a:1\nENV REDIS_HOST=127.0.0.1",
        &["2: 127.0.0.1"],
    ),
    (
        "EnvLocalhost",
        "FROM a:1\nENV U=redis://cache:6379 HOST=0.0.0.0 X=localhost",
        &[],
    ),
    // platform
    (
        "RedundantTargetPlatform",
        "FROM --platform=$TARGETPLATFORM a:1",
        &["1: $TARGETPLATFORM"],
    ),
    (
        "RedundantTargetPlatform",
        "FROM --platform=$BUILDPLATFORM a:1",
        &[],
    ),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform=linux/arm64 a:1",
        &["1: linux/arm64"],
    ),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform=linux/arm64 a:1 AS build_arm64",
        &[],
    ),
    (
        "FromPlatformFlagConstDisallowed",
        "FROM --platform=$BUILDPLATFORM a:1",
        &[],
    ),
    // secrets
    (
        "SecretsUsedInArgOrEnv",
        "FROM a:1\nARG GITHUB_TOKEN\nENV DB_PASSWORD=x API_KEY=y",
        &["2: GITHUB_TOKEN", "3: DB_PASSWORD", "3: API_KEY"],
    ),
    (
        "SecretsUsedInArgOrEnv",
        "FROM a:1\nENV PUBLIC_KEY=x PASSWORD_FILE=/x KEYS=1 MONKEY=2",
        &[],
    ),
    // base image
    ("UnpinnedBaseImage", "FROM python", &["1: python"]),
    (
        "UnpinnedBaseImage",
        "FROM python:latest",
        &["1: python:latest"],
    ),
    ("UnpinnedBaseImage", "FROM python:3.11", &[]),
    (
        "UnpinnedBaseImage",
        "FROM scratch\nFROM a:1 AS b\nFROM b",
        &[],
    ),
    // apt
    (
        "AptUpdateAlone",
        "FROM a:1\nRUN apt-get update\nRUN apt-get install -y x",
        &["2: update"],
    ),
    (
        "AptUpdateAlone",
        "FROM a:1\nRUN apt-get update && apt-get install -y x",
        &[],
    ),
    (
        "AptListsKept",
        "FROM a:1\nRUN apt-get update && apt-get install -y x",
        &["2: update"],
    ),
    (
        "AptListsKept",
        "FROM a:1\nRUN apt-get -y update && apt-get install x && rm -rf /var/lib/apt/lists/*",
        &[],
    ),
    (
        "AptListsKept",
        "FROM a:1\nRUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install x",
        &[],
    ),
    // ADD and COPY
    ("AddInsteadOfCopy", "FROM a:1\nADD . /app", &["2: ADD"]),
    (
        "AddInsteadOfCopy",
        "FROM a:1\nADD a.tar.gz /\nADD https://x/y /\nADD --unpack=false x /\nADD $x /",
        &[],
    ),
    (
        "CopyBeforeInstall",
        "FROM a:1\nCOPY . .\nRUN pip install -r requirements.txt",
        &["2: COPY . ."],
    ),
    (
        "CopyBeforeInstall",
        "FROM a:1\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\nRUN pip install -r dev.txt",
        &[],
    ),
    (
        "CopyBeforeInstall",
        "FROM a:1\nCOPY . .\nRUN pip install .",
        &[],
    ),
    (
        "CopyBeforeInstall",
        "FROM a:1\nCOPY ./ /app/\nRUN cd /app && npm ci",
        &["2: COPY ./ /app/"],
    ),
    (
        "CopyBeforeInstall",
        "FROM a:1\nCOPY --from=x . .\nRUN npm ci",
        &[],
    ),
    (
        "CopyBeforeInstall",
        "FROM a:1\nCOPY . .\nRUN python -m pip install --no-cache-dir -r r.txt",
        &["2: COPY . ."],
    ),
    // shell
    (
        "BashUnderSh",
        "FROM python:3.11-slim\nRUN uv pip install -r <(uv pip compile pyproject.toml)",
        &["2: <("],
    ),
    (
        "BashUnderSh",
        "FROM python:3.11-slim\nSHELL [\"/bin/bash\", \"-c\"]\nRUN cat <(ls)",
        &[],
    ),
    ("BashUnderSh", "FROM fedora:41\nRUN cat <(ls)", &[]),
    (
        "BashUnderSh",
        "FROM python:3.11-slim\nRUN [\"bash\", \"-c\", \"cat <(ls)\"]",
        &[],
    ),
    (
        "BashUnderSh",
        "FROM debian:12\nRUN <<EOF\n[[ -f x ]]\nEOF",
        &["3: [["],
    ),
    // python
    (
        "UvPipNeedsSystem",
        "FROM a:1\nRUN uv pip install -r x",
        &["2: uv pip install"],
    ),
    (
        "UvPipNeedsSystem",
        "FROM a:1\nRUN uv pip install --system x",
        &[],
    ),
    (
        "UvPipNeedsSystem",
        "FROM a:1\nENV UV_SYSTEM_PYTHON=1\nRUN uv pip install x",
        &[],
    ),
    (
        "UvPipNeedsSystem",
        "FROM a:1\nRUN UV_SYSTEM_PYTHON=1 uv pip install x",
        &[],
    ),
    (
        "UvPipNeedsSystem",
        "FROM a:1\nRUN uv venv && uv pip install x\nRUN uv pip install y",
        &[],
    ),
    (
        "UvPipNeedsSystem",
        "FROM a:1\nENV VIRTUAL_ENV=/v\nRUN uv pip sync x",
        &[],
    ),
    (
        "PipCacheKept",
        "FROM a:1\nRUN pip install x",
        &["2: pip install"],
    ),
    (
        "PipCacheKept",
        "FROM a:1\nRUN pip install --no-cache-dir x",
        &[],
    ),
    (
        "PipCacheKept",
        "FROM a:1\nRUN --mount=type=cache,target=/root/.cache/pip pip install x",
        &[],
    ),
    (
        "PipCacheKept",
        "FROM a:1\nENV PIP_NO_CACHE_DIR=1\nRUN pip install x",
        &[],
    ),
    ("PipCacheKept", "FROM a:1\nRUN uv pip install x", &[]),
    (
        "UvLockUnread",
        "FROM a:1\nCOPY pyproject.toml uv.lock .\nRUN uv pip install --system -r pyproject.toml",
        &["2: uv.lock"],
    ),
    (
        "UvLockUnread",
        "FROM a:1\nCOPY pyproject.toml uv.lock .\nRUN uv sync --frozen",
        &[],
    ),
    (
        "ConsoleScriptsLost",
        "FROM a:1\nCOPY --from=b /usr/lib/python3/site-packages /usr/lib/python3/site-packages",
        &["2: /usr/lib/python3/site-packages"],
    ),
    (
        "ConsoleScriptsLost",
        "FROM a:1\nCOPY --from=b /l/site-packages /l/site-packages\nCOPY --from=b /usr/local/bin /usr/local/bin",
        &[],
    ),
    // health
    (
        "HealthcheckModule",
        "FROM a:1\nHEALTHCHECK CMD python -c \"import requests; requests.get('x')\"",
        &["2: requests"],
    ),
    (
        "HealthcheckModule",
        "FROM a:1\nRUN pip install 'requests==2'\nHEALTHCHECK CMD python -c \"import requests\"",
        &[],
    ),
    (
        "HealthcheckModule",
        "FROM a:1\nHEALTHCHECK CMD python -c \"import urllib.request\"",
        &[],
    ),
    (
        "HealthcheckIgnoresStatus",
        "FROM a:1\nHEALTHCHECK CMD python -c \"import requests; requests.get('x')\"",
        &["2: get("],
    ),
    (
        "HealthcheckIgnoresStatus",
        "FROM a:1\nHEALTHCHECK CMD python -c \"import requests; requests.get('x').raise_for_status()\"",
        &[],
    ),
    (
        "HealthcheckIgnoresStatus",
        "FROM a:1\nHEALTHCHECK CMD curl http://localhost/",
        &["2: curl"],
    ),
    (
        "HealthcheckIgnoresStatus",
        "FROM a:1\nHEALTHCHECK CMD curl -sf http://localhost/ || exit 1",
        &[],
    ),
    // users
    ("RunsAsRoot", "FROM a:1\nCMD [\"a\"]", &["1: FROM a:1"]),
    ("RunsAsRoot", "FROM a:1\nUSER app\nUSER root", &["3: root"]),
    ("RunsAsRoot", "FROM a:1\nUSER app", &[]),
    ("RunsAsRoot", "FROM a:1 AS b\nUSER app\nFROM b", &[]),
    ("RunsAsRoot", "FROM gcr.io/distroless/static:nonroot", &[]),
    ("RunsAsRoot", "FROM a:1\nARG UID=1000\nUSER $UID", &[]),
    (
        "UserCannotRead",
        "FROM a:1\nCOPY --from=b /root/.local /root/.local\nENV PATH=/root/.local/bin:$PATH\nUSER app",
        &["4: app"],
    ),
    (
        "UserCannotRead",
        "FROM a:1\nRUN pip install --user x\nUSER app",
        &["3: app"],
    ),
    (
        "UserCannotRead",
        "FROM a:1\nUSER app\nRUN pip install --user x",
        &[],
    ),
    (
        "UserCannotRead",
        "FROM a:1\nCOPY --from=b /root/.local /root/.local",
        &[],
    ),
];

#[test]
fn every_rule_marks_what_is_bad_and_nothing_else() {
    let mut wrong = String::new();
    for (rule, text, expected) in EXAMPLES {
        let marked = found(rule, text);
        if &marked != expected {
            wrong +=
                &format!("{rule} on {text:?}\n  expected {expected:?}\n  found    {marked:?}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    for rule in RULES {
        let has = |bad: bool| {
            EXAMPLES
                .iter()
                .any(|row| row.0 == rule.name && row.2.is_empty() != bad)
        };
        assert!(
            has(true) || matches!(rule.name, "CopyIgnoredFile" | "InvalidBaseImagePlatform"),
            "{} has no bad example",
            rule.name
        );
    }
}

/// Rule, Dockerfile, the Dockerfile with the rule's fixes made.
const FIXES: &[(&str, &str, &str)] = &[
    ("StageNameCasing", "FROM a:1 AS Build", "FROM a:1 AS build"),
    ("FromAsCasing", "FROM a:1 as b", "FROM a:1 AS b"),
    (
        "ConsistentInstructionCasing",
        "FROM a:1\nrun b\nRUN c",
        "FROM a:1\nRUN b\nRUN c",
    ),
    (
        "NoEmptyContinuation",
        "FROM a:1\nRUN a \\\n\n  b\n",
        "FROM a:1\nRUN a \\\n  b\n",
    ),
    (
        "JSONArgsRecommended",
        "FROM a:1\nCMD python -m app --port 80\n",
        "FROM a:1\nCMD [\"python\", \"-m\", \"app\", \"--port\", \"80\"]\n",
    ),
    (
        "JSONArgsRecommended",
        "FROM a:1\nCMD a && b\n",
        "FROM a:1\nCMD a && b\n",
    ),
    (
        "JSONArgsRecommended",
        "FROM a:1\nCMD a $PORT\n",
        "FROM a:1\nCMD a $PORT\n",
    ),
    (
        "LegacyKeyValueFormat",
        "FROM a:1\nENV a b c\nENV d   e\n",
        "FROM a:1\nENV a=\"b c\"\nENV d=e\n",
    ),
    (
        "LegacyKeyValueFormat",
        "FROM a:1\nENV a b \"c\"\n",
        "FROM a:1\nENV a b \"c\"\n",
    ),
    (
        "MaintainerDeprecated",
        "FROM a:1\nMAINTAINER Me <a@b.c>\n",
        "FROM a:1\nLABEL org.opencontainers.image.authors=\"Me <a@b.c>\"\n",
    ),
    (
        "ExposeProtoCasing",
        "FROM a:1\nEXPOSE 80/TCP\n",
        "FROM a:1\nEXPOSE 80/tcp\n",
    ),
    (
        "ExposeInvalidFormat",
        "FROM a:1\nEXPOSE 8080:80\n",
        "FROM a:1\nEXPOSE 80\n",
    ),
    (
        "MultipleInstructionsDisallowed",
        "FROM a:1\nCMD [\"a\"]\nCMD [\"b\"]\n",
        "FROM a:1\nCMD [\"b\"]\n",
    ),
    (
        "RedundantTargetPlatform",
        "FROM --platform=$TARGETPLATFORM a:1 AS b",
        "FROM a:1 AS b",
    ),
    (
        "AddInsteadOfCopy",
        "FROM a:1\nADD . /x\nadd a.py /x\nADD blob /x\n",
        "FROM a:1\nCOPY . /x\ncopy a.py /x\nADD blob /x\n",
    ),
    (
        "UvPipNeedsSystem",
        "FROM a:1\nRUN uv pip install x\n",
        "FROM a:1\nRUN uv pip install --system x\n",
    ),
    (
        "PipCacheKept",
        "FROM a:1\nRUN pip install x\n",
        "FROM a:1\nRUN pip install --no-cache-dir x\n",
    ),
    (
        "HealthcheckModule",
        "FROM a:1\nHEALTHCHECK CMD python -c \"import requests; requests.get('http://x/health', timeout=5)\"\n",
        "FROM a:1\nHEALTHCHECK CMD python -c \"import urllib.request; urllib.request.urlopen('http://x/health', timeout=5)\"\n",
    ),
    (
        "HealthcheckModule",
        "FROM a:1\nHEALTHCHECK CMD python -c \"import requests; requests.get('x').raise_for_status()\"\n",
        "FROM a:1\nHEALTHCHECK CMD python -c \"import requests; requests.get('x').raise_for_status()\"\n",
    ),
];

#[test]
fn fixes_do_what_they_say() {
    for (rule, text, expected) in FIXES {
        assert_eq!(&fixed(rule, text), expected, "{rule}");
    }
}

#[test]
fn known_base_images_make_the_checks_sharper() {
    let base = BaseImage {
        environment: BTreeMap::from([("PYTHON_VERSION".to_owned(), "3.11".to_owned())]),
        user: "1000".to_owned(),
        shell: vec!["/bin/bash".to_owned(), "-c".to_owned()],
        ..BaseImage::default()
    };
    let bases = BTreeMap::from([(0, base)]);
    let text = "FROM a:1\nENV a=$PYTHON_VERSION b=$NOPE\nRUN cat <(ls)\nCMD a\n";
    let with = |rule| found_with(rule, text, &bases, None);
    assert_eq!(with("UndefinedVar"), ["2: $NOPE"]);
    assert_eq!(with("RunsAsRoot"), Vec::<String>::new());
    assert_eq!(with("BashUnderSh"), Vec::<String>::new());
    assert_eq!(with("JSONArgsRecommended"), Vec::<String>::new());
}

#[test]
fn a_base_image_of_another_platform_is_named() {
    let of = |architecture: &str| BaseImage {
        platform: Some(Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
        }),
        ..BaseImage::default()
    };
    let bases = BTreeMap::from([(0, of("arm64")), (1, of("amd64")), (2, of("riscv64"))]);
    let text = "FROM a:1\nFROM b:1\nFROM --platform=$BUILDPLATFORM c:1\nFROM d:1\n";
    let marked = found_with("InvalidBaseImagePlatform", text, &bases, None);
    assert_eq!(marked, ["1: a:1", "3: c:1"]);
}

#[test]
fn ignored_files_that_are_copied_are_named() {
    let ignore = Ignore::parse("# x\n*.md\n.env\n").unwrap();
    let text = "FROM a:1\nCOPY README.md .env main.py /x/\nADD ./a.md /y\nCOPY --from=b x.md /\nCOPY . .\n";
    let marked = found_with("CopyIgnoredFile", text, &BTreeMap::new(), Some(&ignore));
    assert_eq!(marked, ["2: README.md", "2: .env", "3: ./a.md"]);
    let exceptions = Ignore::parse("*.md\n!README.md\n").unwrap();
    assert!(found_with("CopyIgnoredFile", text, &BTreeMap::new(), Some(&exceptions)).is_empty());
}

#[test]
fn rules_are_switched_off() {
    let names = |text: &str| -> Vec<&str> {
        let (report, _) = run(text, &BTreeMap::new(), None);
        report
            .findings
            .iter()
            .map(|finding| finding.rule.name)
            .collect()
    };
    assert_eq!(
        names("FROM a as B\n"),
        [
            "RunsAsRoot",
            "UnpinnedBaseImage",
            "FromAsCasing",
            "StageNameCasing"
        ]
    );
    assert_eq!(names("# check=skip=all\nFROM a as B\n"), Vec::<&str>::new());
    assert_eq!(
        names("# check=skip=RunsAsRoot,StageNameCasing\nFROM a as B\n"),
        ["UnpinnedBaseImage", "FromAsCasing"]
    );
    assert_eq!(
        names("FROM a:1\nUSER b\n# check=skip=SecretsUsedInArgOrEnv\nENV TOKEN=1\nENV KEY=1\n"),
        ["SecretsUsedInArgOrEnv"]
    );
}

#[test]
fn options_are_read_as_docker_reads_them() {
    let options = Options::parse("skip=A, B;error=true ignored").unwrap();
    assert!(options.skips("A") && !options.skips("B") && !options.error);
    let options = Options::parse("skip=A,B;error=true").unwrap();
    assert!(options.skips("B") && options.error);
    assert!(
        Options::parse("experimental=all")
            .unwrap()
            .experimental("X")
    );
    assert_eq!(Options::parse("").unwrap(), Options::default());
    for text in ["skip", "error=maybe", "color=red"] {
        assert!(Options::parse(text).is_err(), "{text}");
    }
    let dockerfile = parse("# check=oops\nFROM a\n").unwrap();
    let platform = Platform::host();
    let settings = Settings {
        inputs: Inputs {
            target: None,
            build_args: &BTreeMap::new(),
            build_platform: &platform,
            target_platform: &platform,
            contexts: &BTreeSet::new(),
        },
        options: None,
        bases: &BTreeMap::new(),
        ignore: None,
    };
    let error = check(&dockerfile, &settings).unwrap_err();
    assert_eq!(error.message, "invalid check option \"oops\"");
}

#[test]
fn only_dockers_rules_make_errors() {
    let (report, _) = run("# check=error=true\nFROM a\n", &BTreeMap::new(), None);
    assert!(report.violated().is_empty() && !report.findings.is_empty());
    let (report, _) = run("# check=error=true\nFROM a as b\n", &BTreeMap::new(), None);
    assert_eq!(Vec::from_iter(report.violated()), ["FromAsCasing"]);
    let (report, _) = run("FROM a as b\n", &BTreeMap::new(), None);
    assert!(report.violated().is_empty());
}

/// All findings of an article's file.
fn shown(text: &str) -> String {
    let (report, source) = run(text, &BTreeMap::new(), None);
    let lines = report.findings.iter().map(|finding| {
        let line = source.position(finding.diagnostic.span.start).line;
        format!("{line}: {}: {}\n", finding.rule.name, finding.diagnostic)
    });
    lines.collect()
}

#[test]
fn the_articles_files_are_explained() {
    insta::assert_snapshot!(shown(include_str!("../../testdata/first.Dockerfile")), @"1: RunsAsRoot: the container runs as root: there is no USER");
    insta::assert_snapshot!(shown(include_str!("../../testdata/multi-stage.Dockerfile")), @r"
    1: FromAsCasing: 'as' and 'FROM' keywords' casing do not match
    9: RunsAsRoot: the container runs as root: there is no USER
    ");
    insta::assert_snapshot!(shown(include_str!("../../testdata/uv.Dockerfile")), @r"
    1: FromAsCasing: 'as' and 'FROM' keywords' casing do not match
    3: PipCacheKept: pip keeps every download in this layer
    4: UvLockUnread: uv.lock is copied but never read: the versions are resolved anew
    5: UvPipNeedsSystem: uv pip install without a virtual environment stops with an error; in an image, install into the system's Python
    5: BashUnderSh: the process substitution <( ) is bash syntax, but RUN uses /bin/sh, which is dash on Debian
    7: RunsAsRoot: the container runs as root: there is no USER
    9: ConsoleScriptsLost: only site-packages is copied: commands that the packages install (such as uvicorn) stay behind in bin
    ");
    insta::assert_snapshot!(shown(include_str!("../../testdata/environment.Dockerfile")), @r"
    1: RunsAsRoot: the container runs as root: there is no USER
    6: EnvLocalhost: DATABASE_URL points to localhost: inside a container that is the container itself
    ");
    insta::assert_snapshot!(shown(include_str!("../../testdata/healthcheck.Dockerfile")), @r"
    1: RunsAsRoot: the container runs as root: there is no USER
    7: HealthcheckModule: HEALTHCHECK imports requests, which is not part of Python: unless your list of dependencies has it, every probe fails
    7: HealthcheckIgnoresStatus: this health check passes when the service answers with an error (HTTP 500)
    ");
    insta::assert_snapshot!(shown(include_str!("../../testdata/user.Dockerfile")), @"");
}

#[test]
fn the_articles_multi_stage_file_with_a_user_cannot_work() {
    let text = include_str!("../../testdata/multi-stage.Dockerfile").replace(
        "COPY . .\n",
        "COPY . .\nRUN useradd -m -u 1000 appuser\nUSER appuser\n",
    );
    let (report, source) = run(&text, &BTreeMap::new(), None);
    let finding = report
        .findings
        .iter()
        .find(|f| f.rule.name == "UserCannotRead")
        .unwrap();
    insta::assert_snapshot!(render(&finding.diagnostic, "Dockerfile", &source), @r#"
    Dockerfile:15:6
      13 | COPY . .
      14 | RUN useradd -m -u 1000 appuser
      15 | USER appuser
         |      ^^^^^^^ appuser cannot read /root/.local: /root is closed to everyone but root. It was put there in line 11, and PATH names it (line 12)
      16 | CMD ["python", "-m", "uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]
         = help: install into a virtual environment such as /opt/venv and copy that, or give the user its own copy with COPY --chown
    "#);
}

#[test]
fn fixing_everything_leaves_a_dockerfile() {
    for text in [
        include_str!("../../testdata/multi-stage.Dockerfile"),
        include_str!("../../testdata/uv.Dockerfile"),
        include_str!("../../testdata/healthcheck.Dockerfile"),
        "from a as B\nRUN a \\\n\n\n b\nMAINTAINER x\nADD . .\nENV a b c\nCMD a b\nCMD c d\nexpose 80/TCP\n",
    ] {
        let mut text = text.to_owned();
        for _ in 0..5 {
            let (report, source) = run(&text, &BTreeMap::new(), None);
            text = apply(&source, &report.findings);
        }
        let (report, _) = run(&text, &BTreeMap::new(), None);
        assert!(
            report.findings.iter().all(|finding| finding.fix.is_none()),
            "{text}"
        );
    }
}

#[test]
fn every_rule_has_a_page_whose_examples_are_true() {
    let ignore = Ignore::parse(".env").unwrap();
    let named: Vec<&str> = PAGES.iter().map(|page| page.rule.name).collect();
    let rules: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(named, rules);
    let amd64 = BaseImage {
        platform: Some(Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
        }),
        ..BaseImage::default()
    };
    for page in PAGES {
        let name = page.rule.name;
        let bases = match name {
            "InvalidBaseImagePlatform" => BTreeMap::from([(0, amd64.clone())]),
            _ => BTreeMap::new(),
        };
        let bad = found_with(name, page.bad, &bases, Some(&ignore));
        assert!(!bad.is_empty(), "{name}: nothing found in\n{}", page.bad);
        let good = found_with(name, page.good, &bases, Some(&ignore));
        assert_eq!(good, [""; 0], "{name}");
    }
}

#[test]
fn urls_are_dockers() {
    let url = |name: &str| RULES.iter().find(|rule| rule.name == name).unwrap().url();
    let docker = "https://docs.docker.com/go/dockerfile/rule";
    assert_eq!(
        url("JSONArgsRecommended"),
        Some(format!("{docker}/json-args-recommended/"))
    );
    assert_eq!(
        url("FromAsCasing"),
        Some(format!("{docker}/from-as-casing/"))
    );
    assert_eq!(
        url("SecretsUsedInArgOrEnv"),
        Some(format!("{docker}/secrets-used-in-arg-or-env/"))
    );
    assert_eq!(url("RunsAsRoot"), None);
}
