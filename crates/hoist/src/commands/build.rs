//! `build`: an image from a Dockerfile.

mod call;
pub(super) mod inputs;
mod metadata;
mod output;
mod report;
mod trust;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use hoist_build::{BuildError, BuildRequest, CDI_DIRECTORIES, Fetch, FetchImage};
use hoist_core::{Kind, Reference, signal::Signal};
use hoist_engine::{Engine, EngineError, image::PullRequest};
use hoist_sys::signal::{self, Mask, SignalFd};

use self::inputs::Context;
use super::{pull, request};
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
    output::check(flags)?;
    let mut engine = None;
    let mut request = from_flags(call, &mut engine, flags, &words[0])?;
    output::annotate(flags, &mut request.build);
    if let Some(call) = flags.method.instead() {
        return call::in_place_of_build(&request.build, call);
    }
    let engine = Arc::new(match engine {
        Some(engine) => engine,
        None => call.working_engine()?,
    });
    let cancelled = cancel_on_signals()?;
    request.build.fetch = Some(fetch(&engine, flags, style, &cancelled));
    let progress = Progress::new(style);
    let record = report::Record::default();
    let built = hoist_build::build(
        &engine,
        &request.build,
        &|event| {
            record.note(&event);
            progress.event(&event);
        },
        &cancelled,
    );
    drop(progress);
    report::explain(&record, flags, built.as_ref().ok())?;
    let built = built.map_err(|error| explain(&error, style))?;
    if style != Style::Quiet && style != Style::RawJson {
        report::sizes(&engine, &built);
    }
    let written = output::write(&engine, flags, &built, &cancelled)?;
    let pushed = output::push(&engine, flags, style, &cancelled)?;
    if let Some(path) = &flags.iidfile {
        std::fs::write(path, built.id.to_string())
            .map_err(|error| CliError::file("write the image ID to", path, &error))?;
    }
    if let Some(path) = &flags.metadata_file {
        metadata::write(path, &built, pushed.or(written), &flags.tag)?;
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

/// A build request, and what the context needs to last as long.
struct Request {
    build: BuildRequest,
    _context: Context,
}

/// What the flags ask for. `engine` is made when the context needs one.
fn from_flags(
    call: &Call<'_>,
    engine: &mut Option<Engine>,
    flags: &BuildFlags,
    path: &str,
) -> Result<Request, CliError> {
    let reads_dockerfile = flags.file.as_deref() == Some(Path::new("-"));
    if path == "-" && reads_dockerfile {
        return Err(CliError::invalid(
            "invalid argument: can't use stdin for both build context and dockerfile",
        ));
    }
    let context = Context::find(call, engine, path)?;
    let dockerfile_text = match &context {
        Context::Dockerfile { text, .. } => Some(text.clone()),
        _ if reads_dockerfile => Some(inputs::read_stdin()?),
        _ => None,
    };
    let build_args = flags.build_arg.iter().map(|flag| argument(flag));
    let build = BuildRequest {
        context: context.path().to_owned(),
        context_label: context.label(),
        contexts: flags.inputs.build_context.iter().cloned().collect(),
        dockerfile: flags.file.clone().filter(|_| dockerfile_text.is_none()),
        dockerfile_text,
        tags: if flags.output.keeps_names() {
            flags
                .tag
                .iter()
                .chain(flags.output.names())
                .cloned()
                .collect()
        } else {
            Vec::new()
        },
        build_args: build_args.collect(),
        target: flags.target.clone(),
        labels: request::labels(&[], &flags.label)?,
        annotations: BTreeMap::new(),
        no_cache: flags.no_cache,
        uncached_stages: flags.inputs.uncached_stages(),
        surroundings: flags.surroundings.surroundings(),
        network: flags.network.unwrap_or_default(),
        allowed: flags.surroundings.allow.clone(),
        cdi_directories: CDI_DIRECTORIES.map(PathBuf::from).to_vec(),
        platform: flags.platform.clone(),
        secrets: trust::secrets(&flags.trust.secret)?,
        agents: trust::agents(&flags.trust.ssh)?,
        allowed_secrets: flags.trust.allow_secret_in_layer.clone(),
        fetch: None,
    };
    Ok(Request {
        build,
        _context: context,
    })
}

/// The name and value of a `--build-arg`.
pub(super) fn argument(flag: &str) -> (String, Option<String>) {
    match flag.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (flag.to_owned(), settings::variable(flag)),
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
