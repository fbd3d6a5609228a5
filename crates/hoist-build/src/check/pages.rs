//! What there is to say about the rules that look at the context and at the image.

use hoist_dockerfile::lint::Page;

use super::{context, image};

/// A page for each of [`super::RULES`], in the same order.
pub const PAGES: &[Page] = &[
    Page {
        rule: &context::CLUTTER_COPIED,
        why: "Repositories, caches and virtual environments of the machine make the image bigger, and \
              each change in them makes COPY and all after it run again. A virtual environment from \
              outside does not even work inside. Looked for are .git, .hg, .svn, directories with a \
              pyvenv.cfg, __pycache__, *.pyc, node_modules and the caches of common tools.",
        bad: "# no .dockerignore beside it\nFROM python:3.11-slim\nCOPY . /app",
        good: "# .dockerignore: .git  **/.venv  **/__pycache__  **/*.pyc  **/node_modules\nFROM python:3.11-slim\nCOPY . /app",
    },
    Page {
        rule: &image::COMMAND_NOT_FOUND,
        why: "After a build the program of CMD or ENTRYPOINT is looked up in the image, on its PATH; for \
              python -m NAME the module too, for scripts the program of their first line. A program \
              that is not there fails when the container starts; this says so before.",
        bad: "FROM python:3.11-slim\nCMD [\"uvicorn\", \"main:app\"]",
        good: "FROM python:3.11-slim\nRUN pip install --no-cache-dir uvicorn\nCMD [\"uvicorn\", \"main:app\"]",
    },
    Page {
        rule: &context::DOCKERIGNORE_TOP_LEVEL_ONLY,
        why: "Patterns without **/ match at the top of the context only: __pycache__ keeps out \
              __pycache__, not src/__pycache__.",
        bad: "# .dockerignore: __pycache__\nFROM python:3.11-slim\nCOPY . /app",
        good: "# .dockerignore: **/__pycache__\nFROM python:3.11-slim\nCOPY . /app",
    },
    Page {
        rule: &image::HEALTHCHECK_PROGRAM,
        why: "Small images have no curl and no wget: the probe fails every time, and the container is \
              unhealthy for ever while the service works.",
        bad: "FROM python:3.11-slim\nHEALTHCHECK CMD curl -f http://localhost:8000/health",
        good: "FROM python:3.11-slim\nHEALTHCHECK CMD python -c \"import urllib.request as u; u.urlopen('http://localhost:8000/health', timeout=5)\"",
    },
    Page {
        rule: &context::SECRET_FILE_COPIED,
        why: "Whoever can pull the image can read every file in it, also those that a later step \
              removes. Looked for are .env (and .env.*, but for examples), SSH keys, .netrc, .pypirc, and \
              *.pem and *.key files with a private key, when a COPY of a directory takes them along.",
        bad: "# .env lies in the context\nFROM python:3.11-slim\nCOPY . /app",
        good: "# .dockerignore: **/.env\nFROM python:3.11-slim\nCOPY . /app",
    },
];
