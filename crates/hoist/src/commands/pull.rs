//! `pull`: an image from a registry; also for the commands that need an image that is not here.

use std::{
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use hoist_core::{Kind, Platform, Reference};
use hoist_engine::{
    Engine, EngineError,
    image::{PullRequest, Pulled},
};
use hoist_registry::Registry;
use hoist_store::StoreError;

use super::{gc, interrupt};
use crate::{
    args::registry::{PullFlags, PullPolicy},
    cli::Call,
    error::CliError,
    settings,
    ui::{
        self,
        transfer::{Stream, Transfer},
    },
};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Pull an image from Docker Hub, and one from another registry:
    hoist pull python:3.11-slim
    hoist pull ghcr.io/yourusername/my-api:1.0

  Pull exactly the image that somebody tested:
    hoist pull python@sha256:DIGEST
";

/// `pull [OPTIONS] NAME[:TAG|@DIGEST]`.
pub(crate) fn pull(
    call: &Call<'_>,
    flags: &PullFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let name = &words[0];
    let untagged = Reference::parse_untagged(name)?;
    let has_version = untagged.tag().is_some() || untagged.digest().is_some();
    if flags.all_tags && has_version {
        return Err(CliError::invalid("tag can't be used with --all-tags/-a"));
    }
    let engine = call.working_engine()?;
    let transfer = Transfer::on(if flags.quiet {
        Stream::Nowhere
    } else {
        Stream::Output
    });
    let registry = stoppable_registry(&transfer, &interrupt::watch_transfer(interrupted)?)?;
    let references = if flags.all_tags {
        let tags = registry.tags(&untagged)?;
        let tagged = tags.iter().map(|tag| {
            Reference::parse(&format!("{}/{}:{tag}", untagged.domain(), untagged.path()))
        });
        tagged.collect::<Result<Vec<_>, _>>()?
    } else {
        vec![Reference::parse(name)?]
    };
    if !flags.quiet && !flags.all_tags && !has_version {
        ui::line("Using default tag: latest")?;
    }
    for reference in references {
        let request = PullRequest {
            reference: reference.clone(),
            platform: flags.platform.clone(),
        };
        let pulled = engine
            .pull(&registry, &request, &transfer.listener())
            .map_err(|error| interrupt::told(error.into(), interrupted))?;
        if !flags.quiet {
            ui::out(&summary(&reference, &pulled))?;
        }
        ui::line(&reference.to_string())?;
    }
    gc::daily(&engine);
    Ok(ExitCode::SUCCESS)
}

fn interrupted() -> CliError {
    CliError::of(Kind::Cancelled, "the pull was interrupted")
        .hint("what has arrived is kept, and the next pull goes on from there")
}

/// Docker's last lines about a pull.
fn summary(reference: &Reference, pulled: &Pulled) -> String {
    let what = if pulled.is_new {
        "Downloaded newer image"
    } else {
        "Image is up to date"
    };
    let name = reference.familiar();
    format!("Digest: {}\nStatus: {what} for {name}\n", pulled.digest)
}

/// A registry client whose warnings go where the progress goes.
pub(super) fn registry(transfer: &Transfer) -> Result<Registry, CliError> {
    stoppable_registry(transfer, &Arc::default())
}

/// The same, whose operations end when the flag is raised.
pub(super) fn stoppable_registry(
    transfer: &Transfer,
    cancelled: &Arc<AtomicBool>,
) -> Result<Registry, CliError> {
    let mut options = settings::registries::options()?;
    options.events = Some(transfer.registry_listener());
    options.cancelled = Arc::clone(cancelled);
    Ok(Registry::new(options)?)
}

/// An image that a command needs.
#[derive(Debug, Clone)]
pub(super) struct Needed<'a> {
    /// Its name or id.
    pub(super) image: &'a str,
    pub(super) policy: PullPolicy,
    pub(super) platform: Option<&'a Platform>,
    pub(super) quiet: bool,
}

impl Needed<'_> {
    /// See to it that the image is here, if it may be pulled; tell what happens on standard error.
    pub(super) fn obtain(&self, engine: &Engine) -> Result<(), CliError> {
        let reference = Reference::parse(self.image);
        let wanted = match self.policy {
            PullPolicy::Never => false,
            PullPolicy::Always => true,
            PullPolicy::Missing => !self.is_here(engine)?,
        };
        let (true, Ok(reference)) = (wanted, reference) else {
            return Ok(());
        };
        if self.policy == PullPolicy::Missing {
            let name = reference.familiar();
            ui::note(&format!("Unable to find image '{name}' locally"));
        }
        let transfer = Transfer::on(if self.quiet {
            Stream::Nowhere
        } else {
            Stream::Error
        });
        let request = PullRequest {
            reference: reference.clone(),
            platform: self.platform.cloned(),
        };
        let pulled = engine
            .pull(&registry(&transfer)?, &request, &transfer.listener())
            .map_err(|error| elsewhere(error.into(), self.image))?;
        if !self.quiet {
            ui::error(&summary(&reference, &pulled));
        }
        Ok(())
    }

    fn is_here(&self, engine: &Engine) -> Result<bool, CliError> {
        let store = engine.store();
        let id = match store.resolve(self.image) {
            Ok(id) => id,
            Err(StoreError::NoSuchImage(_)) => return Ok(false),
            Err(error) => return Err(EngineError::from(error).into()),
        };
        match store.image(&id) {
            Ok(found) => Ok(self.platform.is_none_or(|wanted| {
                let found = &found.image.platform;
                found.os == wanted.os && found.architecture == wanted.architecture
            })),
            Err(StoreError::NoSuchImage(_) | StoreError::Unfinished { .. }) => Ok(false),
            Err(error) => Err(EngineError::from(error).into()),
        }
    }
}

/// A pull that failed, with the other ways to come by an image.
pub(super) fn elsewhere(error: CliError, image: &str) -> CliError {
    let CliError::Failed(failure) = &error else {
        return error;
    };
    match failure.kind {
        Kind::Unavailable => error
            .hint(format!("without a registry, build it with: hoist build -t {image} PATH"))
            .hint(format!(
                "or import a root file system with: hoist import FILE.tar {image}"
            ))
            .hint(
                "hoist images lists what is here; cargo xtask bases makes busybox, debian and python bases",
            ),
        Kind::NotFound | Kind::Unauthorized => {
            error.hint("hoist images lists the images that are here")
        }
        _ => error,
    }
}
