//! `build`: an image from a Dockerfile.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hoist_build::{BuildError, BuildRequest, Fetch, FetchImage};
use hoist_core::{Kind, Reference, signal::Signal};
use hoist_engine::{Engine, EngineError, image::PullRequest};
use hoist_sys::signal::{self, Mask, SignalFd};

use super::{check, pull, request};
use crate::{
    args::build::BuildFlags,
    cli::Call,
    error::{CliError, Failure},
    settings,
    ui::{
        self,
        progress::{Progress, Style},
        transfer::{Stream, Transfer},
    },
};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Build the Dockerfile of this directory and name the image:
    hoist build -t my-api:1.0 .

  Build one stage of another Dockerfile, with a build argument:
    hoist build -f docker/Dockerfile.dev --target test --build-arg PYTHON=3.12 .

  Say what could be better, without building:
    hoist build --check .

  Show the whole output of every step:
    hoist build --progress plain .
";

/// `build [OPTIONS] PATH | -`.
pub(crate) fn build(
    call: &Call<'_>,
    flags: &BuildFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let style = if flags.quiet {
        Style::Quiet
    } else {
        flags.progress.unwrap_or_default()
    };
    let mut request = from_flags(flags, &words[0])?;
    if let Some(format) = flags.method.check() {
        return check::in_place_of_build(&request.build, format);
    }
    let engine = Arc::new(call.working_engine()?);
    let cancelled = cancel_on_signals()?;
    request.build.fetch = Some(fetch(&engine, flags, style, &cancelled));
    let progress = Progress::new(style);
    let built = hoist_build::build(
        &engine,
        &request.build,
        &|event| progress.event(&event),
        &cancelled,
    );
    drop(progress);
    let built = built.map_err(|error| explain(&error, style))?;
    if let Some(path) = &flags.iidfile {
        std::fs::write(path, built.id.to_string())
            .map_err(|error| CliError::file("write the image ID to", path, &error))?;
    }
    if flags.quiet {
        ui::line(&built.id.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Pulls the images that the build needs.
fn fetch(
    engine: &Arc<Engine>,
    flags: &BuildFlags,
    style: Style,
    cancelled: &Arc<AtomicBool>,
) -> Fetch {
    let engine = Arc::clone(engine);
    let cancelled = Arc::clone(cancelled);
    let platform = flags.platform.clone();
    let image: FetchImage = Arc::new(move |reference: &Reference| {
        let transfer = Transfer::on(if style == Style::Quiet {
            Stream::Nowhere
        } else {
            Stream::Error
        });
        let registry = pull::stoppable_registry(&transfer, &cancelled).map_err(as_engine)?;
        let request = PullRequest {
            reference: reference.clone(),
            platform: platform.clone(),
        };
        engine
            .pull(&registry, &request, &transfer.listener())
            .map(drop)
    });
    Fetch {
        always: flags.pull,
        image,
    }
}

/// What is wrong with the settings, in the words that the engine has for it.
fn as_engine(error: CliError) -> EngineError {
    let message = match error {
        CliError::Failed(failure) => failure.message,
        CliError::Usage { text, .. } => text,
        CliError::Said(code) => format!("exit status {code}"),
    };
    EngineError::Invalid {
        message,
        hint: None,
    }
}

/// A build request, and the empty context that it may need.
struct Request {
    build: BuildRequest,
    _empty: Option<EmptyContext>,
}

fn from_flags(flags: &BuildFlags, path: &str) -> Result<Request, CliError> {
    let (context, empty) = match path {
        "-" => {
            let empty = EmptyContext::make()?;
            (empty.0.clone(), Some(empty))
        }
        url if ["http://", "https://", "git://", "git@"]
            .iter()
            .any(|start| url.starts_with(start)) =>
        {
            return Err(CliError::of(
                Kind::Unsupported,
                format!("cannot build from {url}: this version builds directories only"),
            )
            .hint("clone or download it first, then: hoist build DIRECTORY"));
        }
        path => (PathBuf::from(path), None),
    };
    let from_stdin = path == "-" || flags.file.as_deref() == Some(Path::new("-"));
    if path == "-" && flags.file.as_deref() == Some(Path::new("-")) {
        return Err(CliError::invalid(
            "invalid argument: can't use stdin for both build context and dockerfile",
        ));
    }
    let build_args = flags.build_arg.iter().map(|flag| argument(flag));
    let build = BuildRequest {
        context,
        dockerfile: flags.file.clone().filter(|_| !from_stdin),
        dockerfile_text: if from_stdin {
            Some(read_stdin()?)
        } else {
            None
        },
        tags: flags.tag.clone(),
        build_args: build_args.collect(),
        target: flags.target.clone(),
        labels: request::labels(&[], &flags.label)?,
        no_cache: flags.no_cache,
        network: flags.network.unwrap_or_default(),
        platform: flags.platform.clone(),
        fetch: None,
    };
    Ok(Request {
        build,
        _empty: empty,
    })
}

/// The name and value of a `--build-arg`.
pub(super) fn argument(flag: &str) -> (String, Option<String>) {
    match flag.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (flag.to_owned(), settings::variable(flag)),
    }
}

/// A Dockerfile from standard input.
pub(super) fn read_stdin() -> Result<String, CliError> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| {
        CliError::invalid(format!("failed to read dockerfile from STDIN: {error}"))
    })?;
    Ok(text)
}

/// The context of `build -`: a directory with nothing in it, gone afterwards.
struct EmptyContext(PathBuf);

impl EmptyContext {
    fn make() -> Result<Self, CliError> {
        let path = std::env::temp_dir().join(format!("hoist-empty-context-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| CliError::file("make", &path, &error))?;
        Ok(Self(path))
    }
}

impl Drop for EmptyContext {
    fn drop(&mut self) {
        drop(std::fs::remove_dir(&self.0));
    }
}

/// A flag that turns true when the user interrupts; from now on signals do nothing else. A second
/// one ends the program at once: what it leaves is swept by the next command.
fn cancel_on_signals() -> Result<Arc<AtomicBool>, CliError> {
    let cannot = |error: io::Error| {
        CliError::of(
            Kind::Unavailable,
            format!("cannot watch for signals: {error}"),
        )
    };
    let mask = Mask::of(&[Signal::INT, Signal::TERM, Signal::HUP].map(Signal::number));
    signal::block(&mask).map_err(cannot)?;
    let signals = SignalFd::new(&mask, false).map_err(cannot)?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    std::thread::spawn(move || {
        while let Ok(Some(_)) = signals.read() {
            flag.store(true, Ordering::SeqCst);
        }
    });
    Ok(cancelled)
}

/// The failure of a build as the terminal shows it: the last lines of output, the place in the
/// Dockerfile, what went wrong.
pub(super) fn explain(error: &BuildError, style: Style) -> CliError {
    let mut failure = Failure::from_error(error);
    let mut before = String::new();
    if style != Style::Plain && !error.output().is_empty() {
        before.push_str("------\n");
        for line in error.output() {
            before.push_str(line);
            before.push('\n');
        }
        before.push_str("------\n");
    }
    if let Some(excerpt) = error.excerpt() {
        before.push_str(excerpt.trim_end());
        before.push('\n');
    }
    ui::error(&before);
    // The exit code of a failed RUN is not that of the build.
    if let Kind::ContainerCommand(_) = failure.kind {
        failure.kind = Kind::Invalid;
    }
    CliError::Failed(failure)
}
