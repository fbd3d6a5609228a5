//! What there is to say about each rule: why, a Dockerfile that it warns about, and a better one.
//!
//! `docs/checks.md` and `hoist check --explain` are made of this table; tests hold each example
//! against its rule.

use super::{
    Rule, add, apt, base_image, casing, copy, forms, health, platform, python, repetition, secrets,
    shell, user, variables,
};

/// A rule explained.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The rule.
    pub rule: &'static Rule,
    /// What goes wrong without it.
    pub why: &'static str,
    /// A Dockerfile (or what else the rule looks at) that it warns about.
    pub bad: &'static str,
    /// The same, written so that it does not.
    pub good: &'static str,
}

/// A page for each of [`super::RULES`], in the same order.
pub const PAGES: &[Page] = &[
    Page {
        rule: &add::ADD_INSTEAD_OF_COPY,
        why: "ADD also unpacks archives and fetches URLs, so a reader has to know what the source is. \
              COPY says what happens.",
        bad: "FROM python:3.11-slim\nADD . /app",
        good: "FROM python:3.11-slim\nCOPY . /app",
    },
    Page {
        rule: &apt::APT_LISTS_KEPT,
        why: "The package lists that apt-get update fetches stay in the layer (about 20 MB) and are of \
              no use in a container. They must be removed in the same RUN: a later one cannot make a \
              layer smaller.",
        bad: "FROM debian:12\nRUN apt-get update && apt-get install -y curl",
        good: "FROM debian:12\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*",
    },
    Page {
        rule: &apt::APT_UPDATE_ALONE,
        why: "A RUN of its own is found in the cache for ever: the lists grow old, and the install \
              after it asks for packages that the mirrors no longer have.",
        bad: "FROM debian:12\nRUN apt-get update\nRUN apt-get install -y curl",
        good: "FROM debian:12\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*",
    },
    Page {
        rule: &base_image::UNPINNED_BASE_IMAGE,
        why: "latest is another image tomorrow: the same Dockerfile then builds something else, or \
              nothing.",
        bad: "FROM python:latest",
        good: "FROM python:3.11-slim",
    },
    Page {
        rule: &casing::CONSISTENT_INSTRUCTION_CASING,
        why: "Instructions may be written in upper or lower case; a file that does both is harder to \
              read.",
        bad: "FROM python:3.11-slim\nRUN useradd app\nuser app",
        good: "FROM python:3.11-slim\nRUN useradd app\nUSER app",
    },
    Page {
        rule: &casing::FROM_AS_CASING,
        why: "FROM and AS belong to one instruction and should be in one case.",
        bad: "FROM python:3.11-slim as builder",
        good: "FROM python:3.11-slim AS builder",
    },
    Page {
        rule: &casing::STAGE_NAME_CASING,
        why: "Stage names ignore case; written in lower case everywhere, they cannot seem to be two.",
        bad: "FROM python:3.11-slim AS Builder",
        good: "FROM python:3.11-slim AS builder",
    },
    Page {
        rule: &copy::COPY_BEFORE_INSTALL,
        why: "A layer is made again when a file that it copies has changed, and so are all layers \
              after it: every change of the code installs everything again.",
        bad: "FROM python:3.11-slim\nCOPY . .\nRUN pip install --no-cache-dir -r requirements.txt",
        good: "FROM python:3.11-slim\nCOPY requirements.txt .\nRUN pip install --no-cache-dir -r requirements.txt\nCOPY . .",
    },
    Page {
        rule: &copy::COPY_IGNORED_FILE,
        why: "What .dockerignore leaves out is not there to be copied: the build stops. (In this \
              example .dockerignore has the line .env.)",
        bad: "FROM scratch\nCOPY .env /",
        good: "FROM scratch\nCOPY env.example /",
    },
    Page {
        rule: &forms::EXPOSE_INVALID_FORMAT,
        why: "EXPOSE names ports of the container. Addresses and host ports are given when it runs: \
              hoist run -p 127.0.0.1:80:8000.",
        bad: "FROM python:3.11-slim\nEXPOSE 127.0.0.1:80:8000",
        good: "FROM python:3.11-slim\nEXPOSE 8000",
    },
    Page {
        rule: &forms::EXPOSE_PROTO_CASING,
        why: "Protocols are written in lower case.",
        bad: "FROM python:3.11-slim\nEXPOSE 8000/TCP",
        good: "FROM python:3.11-slim\nEXPOSE 8000/tcp",
    },
    Page {
        rule: &forms::INVALID_DEFINITION_DESCRIPTION,
        why: "A comment right above a stage or ARG describes it, and should begin with its name. Asked \
              for with check=experimental=InvalidDefinitionDescription.",
        bad: "# check=experimental=InvalidDefinitionDescription\n# the compiler's stage\nFROM python:3.11-slim AS builder",
        good: "# check=experimental=InvalidDefinitionDescription\n# builder compiles the wheels\nFROM python:3.11-slim AS builder",
    },
    Page {
        rule: &forms::INVALID_JSON_FORM,
        why: "JSON strings stand in double quotes. With single quotes it is no JSON, and the whole text \
              goes to the shell as a command.",
        bad: "FROM python:3.11-slim\nCMD ['python', 'main.py']",
        good: "FROM python:3.11-slim\nCMD [\"python\", \"main.py\"]",
    },
    Page {
        rule: &forms::JSON_ARGS_RECOMMENDED,
        why: "The shell form runs under /bin/sh, which is process 1 and hands no signals on: the \
              program never hears of SIGTERM, and stopping takes ten seconds.",
        bad: "FROM python:3.11-slim\nCMD python main.py",
        good: "FROM python:3.11-slim\nCMD [\"python\", \"main.py\"]",
    },
    Page {
        rule: &forms::LEGACY_KEY_VALUE_FORMAT,
        why: "ENV and LABEL without = take the rest of the line as one value, which surprises as soon \
              as there are two.",
        bad: "FROM python:3.11-slim\nENV PORT 8000",
        good: "FROM python:3.11-slim\nENV PORT=8000",
    },
    Page {
        rule: &forms::MAINTAINER_DEPRECATED,
        why: "MAINTAINER is no longer maintained itself; a label can be queried.",
        bad: "FROM python:3.11-slim\nMAINTAINER me@example.com",
        good: "FROM python:3.11-slim\nLABEL org.opencontainers.image.authors=\"me@example.com\"",
    },
    Page {
        rule: &forms::NO_EMPTY_CONTINUATION,
        why: "An empty line inside a continued instruction is read over today and will be an error.",
        bad: "FROM debian:12\nRUN echo one && \\\n\n    echo two",
        good: "FROM debian:12\nRUN echo one && \\\n    echo two",
    },
    Page {
        rule: &health::HEALTHCHECK_IGNORES_STATUS,
        why: "curl without -f and requests.get succeed whatever the answer is: a service that answers \
              everything with HTTP 500 counts as healthy.",
        bad: "FROM python:3.11-slim\nHEALTHCHECK CMD curl http://localhost:8000/health",
        good: "FROM python:3.11-slim\nHEALTHCHECK CMD curl -f http://localhost:8000/health",
    },
    Page {
        rule: &health::HEALTHCHECK_MODULE,
        why: "A probe that imports a module which is not installed fails every time, and only the \
              container's health log says why. After a build the image itself is asked.",
        bad: "FROM python:3.11-slim\nHEALTHCHECK CMD python -c \"import requests; requests.get('http://localhost:8000/health')\"",
        good: "FROM python:3.11-slim\nHEALTHCHECK CMD python -c \"import urllib.request as u; u.urlopen('http://localhost:8000/health', timeout=5)\"",
    },
    Page {
        rule: &platform::FROM_PLATFORM_FLAG_CONST_DISALLOWED,
        why: "A fixed platform in FROM builds the same architecture whatever --platform asks for.",
        bad: "FROM --platform=linux/amd64 python:3.11-slim",
        good: "FROM --platform=$BUILDPLATFORM python:3.11-slim",
    },
    Page {
        rule: &platform::INVALID_BASE_IMAGE_PLATFORM,
        why: "The image is there, but for another architecture, and the tag has none for the one that \
              is built: what is copied out of it does not run on the target.",
        bad: "FROM --platform=linux/riscv64 python:3.11-slim",
        good: "FROM python:3.11-slim",
    },
    Page {
        rule: &platform::REDUNDANT_TARGET_PLATFORM,
        why: "The target's platform is what FROM takes anyway.",
        bad: "FROM --platform=$TARGETPLATFORM python:3.11-slim",
        good: "FROM python:3.11-slim",
    },
    Page {
        rule: &python::CONSOLE_SCRIPTS_LOST,
        why: "pip puts commands such as uvicorn into bin, beside lib. Who copies site-packages alone has \
              the module (python -m uvicorn) and not the command.",
        bad: "FROM python:3.11-slim AS builder\nRUN pip install --no-cache-dir uvicorn\nFROM python:3.11-slim\n\
              COPY --from=builder /usr/local/lib/python3.11/site-packages /usr/local/lib/python3.11/site-packages",
        good: "FROM python:3.11-slim AS builder\nRUN pip install --no-cache-dir uvicorn\nFROM python:3.11-slim\n\
               COPY --from=builder /usr/local/lib/python3.11/site-packages /usr/local/lib/python3.11/site-packages\n\
               COPY --from=builder /usr/local/bin /usr/local/bin",
    },
    Page {
        rule: &python::PIP_CACHE_KEPT,
        why: "pip keeps what it downloads in ~/.cache/pip, which then lies in the layer beside what it \
              installed.",
        bad: "FROM python:3.11-slim\nRUN pip install fastapi",
        good: "FROM python:3.11-slim\nRUN pip install --no-cache-dir fastapi",
    },
    Page {
        rule: &python::UV_LOCK_UNREAD,
        why: "uv pip compile and uv pip install do not read uv.lock: the versions are resolved anew at \
              every build, and two builds may differ. uv sync and uv export do read it.",
        bad: "FROM python:3.11-slim\nCOPY pyproject.toml uv.lock .\nRUN uv pip install --system -r pyproject.toml",
        good: "FROM python:3.11-slim\nCOPY pyproject.toml uv.lock .\nRUN uv sync --frozen",
    },
    Page {
        rule: &python::UV_PIP_NEEDS_SYSTEM,
        why: "uv installs into a virtual environment and stops when there is none. An image is an \
              environment of its own: say so with --system, or set UV_SYSTEM_PYTHON=1.",
        bad: "FROM python:3.11-slim\nRUN uv pip install fastapi",
        good: "FROM python:3.11-slim\nRUN uv pip install --system fastapi",
    },
    Page {
        rule: &repetition::DUPLICATE_STAGE_NAME,
        why: "The later stage hides the earlier one from COPY --from and --target.",
        bad: "FROM debian:12 AS builder\nFROM python:3.11-slim AS builder",
        good: "FROM debian:12 AS compiler\nFROM python:3.11-slim AS builder",
    },
    Page {
        rule: &repetition::MULTIPLE_INSTRUCTIONS_DISALLOWED,
        why: "Of several CMD, ENTRYPOINT or HEALTHCHECK in a stage only the last one counts.",
        bad: "FROM python:3.11-slim\nCMD [\"python\"]\nCMD [\"python\", \"main.py\"]",
        good: "FROM python:3.11-slim\nCMD [\"python\", \"main.py\"]",
    },
    Page {
        rule: &repetition::RESERVED_STAGE_NAME,
        why: "scratch and context mean something already; a stage of that name cannot be reached.",
        bad: "FROM python:3.11-slim AS context",
        good: "FROM python:3.11-slim AS sources",
    },
    Page {
        rule: &secrets::SECRETS_USED_IN_ARG_OR_ENV,
        why: "ENV is in the image, and build arguments are in its history: whoever has the image has \
              the secret. Give it to one RUN with --mount=type=secret, or to the container when it runs.",
        bad: "FROM python:3.11-slim\nENV API_KEY=abc123",
        good: "FROM python:3.11-slim\nENV API_KEY_FILE=/run/secrets/api_key",
    },
    Page {
        rule: &shell::BASH_UNDER_SH,
        why: "RUN uses /bin/sh, and that is dash in Debian's and Ubuntu's images: <( ), [[ ]], <<< and \
              source are syntax errors there. SHELL picks another one.",
        bad: "FROM python:3.11-slim\nRUN cat <(echo hello)",
        good: "FROM python:3.11-slim\nSHELL [\"/bin/bash\", \"-c\"]\nRUN cat <(echo hello)",
    },
    Page {
        rule: &user::RUNS_AS_ROOT,
        why: "A service that is broken into as root is one kernel bug away from the machine, and may \
              change all of the container's own files at once.",
        bad: "FROM python:3.11-slim\nCMD [\"python\", \"main.py\"]",
        good: "FROM python:3.11-slim\nRUN useradd -m -u 1000 app\nUSER app\nCMD [\"python\", \"main.py\"]",
    },
    Page {
        rule: &user::USER_CANNOT_READ,
        why: "/root is closed to everyone but root (mode 0700). What was installed or copied there is \
              out of reach after USER: No module named uvicorn. After a build the image's own modes \
              and owners decide.",
        bad: "FROM python:3.11-slim AS builder\nRUN pip install --user --no-cache-dir uvicorn\nFROM python:3.11-slim\n\
              COPY --from=builder /root/.local /root/.local\nENV PATH=/root/.local/bin:$PATH\nUSER 1000",
        good: "FROM python:3.11-slim AS builder\nRUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir uvicorn\n\
               FROM python:3.11-slim\nCOPY --from=builder /opt/venv /opt/venv\nENV PATH=/opt/venv/bin:$PATH\nUSER 1000",
    },
    Page {
        rule: &variables::ENV_LOCALHOST,
        why: "Inside a container localhost is the container itself: that default never reaches a \
              database on the host or in another container.",
        bad: "FROM python:3.11-slim\nENV DATABASE_URL=postgresql://localhost/myapp",
        good: "FROM python:3.11-slim\nENV DATABASE_URL=postgresql://db/myapp",
    },
    Page {
        rule: &variables::INVALID_DEFAULT_ARG_IN_FROM,
        why: "Without --build-arg the name of the base image comes out empty or malformed.",
        bad: "ARG TAG\nFROM python:$TAG",
        good: "ARG TAG=3.11-slim\nFROM python:$TAG",
    },
    Page {
        rule: &variables::UNDEFINED_ARG_IN_FROM,
        why: "FROM sees only the arguments declared before it: this one is probably misspelt.",
        bad: "ARG TAG=3.11-slim\nFROM python:${TGA}",
        good: "ARG TAG=3.11-slim\nFROM python:${TAG}",
    },
    Page {
        rule: &variables::UNDEFINED_VAR,
        why: "A variable that nothing defines is empty.",
        bad: "FROM scratch\nARG SOURCE=src\nCOPY $SUORCE /app",
        good: "FROM scratch\nARG SOURCE=src\nCOPY $SOURCE /app",
    },
    Page {
        rule: &variables::WORKDIR_RELATIVE_PATH,
        why: "A relative WORKDIR depends on what the base image happens to have.",
        bad: "FROM python:3.11-slim\nWORKDIR app",
        good: "FROM python:3.11-slim\nWORKDIR /app",
    },
];
