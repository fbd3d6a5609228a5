//! The Dockerfiles of "Docker for Python developers", each read whole.

use hoist_dockerfile::{CommandForm, Dockerfile, InstructionKind, parse};

fn fixture(text: &str) -> Dockerfile {
    let dockerfile = parse(text).expect("the article's files are Dockerfiles");
    assert_eq!(
        dockerfile.warnings,
        [],
        "the article's files have no syntax warnings"
    );
    dockerfile
}

/// Stages and instructions, one a line.
fn outline(dockerfile: &Dockerfile) -> String {
    let mut out = String::new();
    for stage in &dockerfile.stages {
        out += &format!("{}: {}\n", stage.display_name(), stage.from_text);
        for instruction in &stage.instructions {
            out += &format!("  {}\n", instruction.original);
        }
    }
    out
}

#[test]
fn the_first_dockerfile() {
    let dockerfile = fixture(include_str!("../testdata/first.Dockerfile"));
    insta::assert_snapshot!(outline(&dockerfile), @r#"
    stage-0: FROM python:3.11-slim
      WORKDIR /app
      COPY requirements.txt .
      RUN pip install --no-cache-dir -r requirements.txt
      COPY . .
      CMD ["python", "-m", "uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]
    "#);
    let last = &dockerfile.stages[0].instructions[4].kind;
    let InstructionKind::Cmd(CommandForm::Exec(words)) = last else {
        panic!("{last:?}");
    };
    assert_eq!(words.len(), 8);
}

#[test]
fn the_multi_stage_dockerfile() {
    let dockerfile = fixture(include_str!("../testdata/multi-stage.Dockerfile"));
    insta::assert_snapshot!(outline(&dockerfile), @r#"
    builder: FROM python:3.11-slim as builder
      WORKDIR /app
      RUN apt-get update && apt-get install -y --no-install-recommends     build-essential     && rm -rf /var/lib/apt/lists/*
      COPY requirements.txt .
      RUN pip install --user --no-cache-dir -r requirements.txt
    stage-1: FROM python:3.11-slim
      WORKDIR /app
      COPY --from=builder /root/.local /root/.local
      ENV PATH=/root/.local/bin:$PATH
      COPY . .
      CMD ["python", "-m", "uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]
    "#);
}

#[test]
fn the_uv_dockerfile() {
    let dockerfile = fixture(include_str!("../testdata/uv.Dockerfile"));
    let run = &dockerfile.stages[0].instructions[3];
    assert_eq!(
        run.original,
        "RUN uv pip install --no-cache-dir -r <(uv pip compile pyproject.toml)"
    );
    let InstructionKind::Copy(copy) = &dockerfile.stages[0].instructions[2].kind else {
        panic!("no COPY");
    };
    assert_eq!((copy.sources.len(), copy.destination.as_str()), (2, "."));
}

#[test]
fn the_environment_dockerfile() {
    let dockerfile = fixture(include_str!("../testdata/environment.Dockerfile"));
    let InstructionKind::Env(pairs) = &dockerfile.stages[0].instructions[4].kind else {
        panic!("no ENV");
    };
    assert_eq!(pairs[0].value.as_str(), "postgresql://localhost/myapp");
}

#[test]
fn the_healthcheck_dockerfile() {
    let dockerfile = fixture(include_str!("../testdata/healthcheck.Dockerfile"));
    let InstructionKind::Healthcheck(check) = &dockerfile.stages[0].instructions[4].kind else {
        panic!("no HEALTHCHECK");
    };
    insta::assert_debug_snapshot!(check, @r#"
    Healthcheck {
        test: Command(
            Shell(
                "python -c \"import requests; requests.get('http://localhost:8000/health', timeout=5)\"",
            ),
        ),
        interval: Some(
            30s,
        ),
        timeout: Some(
            10s,
        ),
        start_period: Some(
            5s,
        ),
        start_interval: None,
        retries: Some(
            3,
        ),
    }
    "#);
    assert_eq!(check.test_words()[0], "CMD-SHELL");
}

#[test]
fn the_user_dockerfile() {
    let dockerfile = fixture(include_str!("../testdata/user.Dockerfile"));
    let kinds = dockerfile.stages[0].instructions.iter();
    assert!(
        kinds
            .clone()
            .any(|i| matches!(&i.kind, InstructionKind::User(user) if user.as_str() == "appuser"))
    );
}
