//! `build`: an image from a Dockerfile.

mod cache;
mod call;
pub(super) mod inputs;
mod metadata;
mod output;
mod report;
mod trust;
mod verify;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use hoist_build::{
    BuildError, BuildRequest, CDI_DIRECTORIES, ContextTrust, DescribeImage, DescribedImage, Fetch,
    FetchImage, Trace,
};
use hoist_core::{Kind, Reference};
use hoist_engine::{Engine, EngineError, image::PullRequest};

use self::inputs::{Context, Fetching};
use super::{gc, interrupt::Interrupt, pull, request};
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

/// The build argument that the environment gives, too.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Build the Dockerfile of this directory and name the image:
    hoist build -t my-api:1.0 .

  Build one stage of another Dockerfile, with a build argument:
    hoist build -f docker/Dockerfile.dev --target test --build-arg PYTHON=3.12 .

  Build a directory of a branch, straight from its repository:
    hoist build https://github.com/me/app.git#main:service

  Say what could be better, without building:
    hoist build --check .

  Keep the cache of a CI job in a directory, with the caches of package managers:
    hoist build --cache-from type=local,src=.cache --cache-to type=local,dest=.cache,mode=max,mounts=all .

  Show the whole output of every step:
    hoist build --progress plain .

  Build an image that anybody can build again, and make sure of it:
    hoist build --reproducible --verify -t my-api:1.0 .
";

/// `build [OPTIONS] PATH | URL | -`.
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
    let interrupt = Interrupt::default();
    let mut engine = None;
    let mut request = from_flags(call, &mut engine, (flags, &words[0]), &interrupt)?;
    output::annotate(flags, &mut request.build);
    if let Some(call) = flags.method.instead() {
        return call::in_place_of_build(&request.build, call);
    }
    let engine = Arc::new(match engine {
        Some(engine) => engine,
        None => call.working_engine()?,
    });
    interrupt.watch()?;
    let cancelled = Arc::clone(interrupt.raised());
    request.build.fetch = Some(fetch(&engine, flags, style, &cancelled));
    cache::add(&mut request.build, flags, style, &cancelled)?;
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
        report::reproducible(&record, flags);
    }
    let written = output::write(&engine, flags, &built, &cancelled)?;
    let pushed = output::push(&engine, flags, style, &cancelled)?;
    gc::daily(&engine);
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
    match flags.repro.verify {
        true => verify::verify(&engine, &request.build, &built, style, &cancelled),
        false => Ok(ExitCode::SUCCESS),
    }
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
    let prepare = move |reference: &Reference, stream| -> Result<_, EngineError> {
        let transfer = Transfer::on(stream);
        let registry = pull::stoppable_registry(&transfer, &cancelled).map_err(as_engine)?;
        let request = PullRequest {
            reference: reference.clone(),
            platform: platform.clone(),
        };
        Ok((registry, request, transfer))
    };
    let prepare = Arc::new(prepare);
    let (engine_too, prepare_too) = (Arc::clone(&engine), Arc::clone(&prepare));
    let image: FetchImage = Arc::new(move |reference: &Reference| {
        let stream = if style == Style::Quiet {
            Stream::Nowhere
        } else {
            Stream::Error
        };
        let (registry, request, transfer) = prepare(reference, stream)?;
        engine
            .pull(&registry, &request, &transfer.listener())
            .map(drop)
    });
    let describe: DescribeImage = Arc::new(move |reference: &Reference| {
        let (registry, request, transfer) = prepare_too(reference, Stream::Nowhere)?;
        let config = Engine::describe(&registry, &request)?;
        let engine = Arc::clone(&engine_too);
        let pull = move || {
            let listener = transfer.listener();
            engine.pull(&registry, &request, &listener).map(drop)
        };
        let pull = Arc::new(pull);
        Ok(DescribedImage { config, pull })
    });
    Fetch {
        always: flags.pull,
        image,
        describe: Some(describe),
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
    (flags, path): (&BuildFlags, &str),
    interrupt: &Interrupt,
) -> Result<Request, CliError> {
    let reads_dockerfile = flags.file.as_deref() == Some(Path::new("-"));
    if path == "-" && reads_dockerfile {
        return Err(CliError::invalid(
            "invalid argument: can't use stdin for both build context and dockerfile",
        ));
    }
    let piped_dockerfile = reads_dockerfile.then(inputs::read_stdin).transpose()?;
    let secrets = trust::secrets(&flags.trust.secret)?;
    let agents = trust::agents(&flags.trust.ssh)?;
    let remote = settings::remote::access(interrupt.raised())?;
    let fetching = Fetching {
        access: &remote,
        trust: ContextTrust {
            secrets: &secrets,
            agents: &agents,
        },
        interrupt,
    };
    let context = Context::find(call, engine, (path, flags), &fetching)?;
    let context_time = context.time()?;
    let dockerfile_text = match (piped_dockerfile, &context) {
        (Some(text), _) => Some(text),
        (None, Context::Dockerfile { text, .. }) => Some(text.clone()),
        _ => inputs::remote_dockerfile(call, engine, flags.file.as_deref(), &fetching)?,
    };
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
        build_args: arguments(&flags.build_arg),
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
        secrets,
        agents,
        allowed_secrets: flags.trust.allow_secret_in_layer.clone(),
        cache_from: Vec::new(),
        cache_to: Vec::new(),
        fetch: None,
        remote: Some(remote),
        timestamps: flags.repro.timestamps(&flags.output),
        context_time,
        trace: Trace::Full,
    };
    Ok(Request {
        build,
        _context: context,
    })
}

/// The names and values of `--build-arg`. As with buildx, `SOURCE_DATE_EPOCH` of the environment is
/// one of them.
pub(super) fn arguments(flags: &[String]) -> Vec<(String, Option<String>)> {
    let mut arguments: Vec<_> = flags.iter().map(|flag| argument(flag)).collect();
    if arguments.iter().all(|(name, _)| name != SOURCE_DATE_EPOCH)
        && let Some(value) = settings::variable(SOURCE_DATE_EPOCH).filter(|value| !value.is_empty())
    {
        arguments.push((SOURCE_DATE_EPOCH.to_owned(), Some(value)));
    }
    arguments
}

/// The name and value of one `--build-arg`.
fn argument(flag: &str) -> (String, Option<String>) {
    match flag.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (flag.to_owned(), settings::variable(flag)),
    }
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
