//! The places of `--cache-from` and `--cache-to`.

use std::sync::{Arc, atomic::AtomicBool};

use hoist_build::{BuildRequest, CacheExport, CacheMode, CacheMounts, CacheTarget};
use hoist_core::{Platform, Reference};
use hoist_engine::artifact::{Artifact, InRegistry, LayerForm, LayoutDirectory};
use hoist_registry::Registry;

use super::pull;
use crate::{
    args::{
        build::{
            BuildFlags,
            cache::{CacheSource, Destination, Layout},
        },
        value,
    },
    error::CliError,
    ui::{
        progress::Style,
        transfer::{Stream, Transfer},
    },
};

/// The build argument that means `--cache-to type=inline`, as Docker has it.
const INLINE: &str = "BUILDKIT_INLINE_CACHE";

/// Put what `flags` say about caches into `request`.
pub(super) fn add(
    request: &mut BuildRequest,
    flags: &BuildFlags,
    style: Style,
    cancelled: &Arc<AtomicBool>,
) -> Result<(), CliError> {
    let mut places = Places {
        registry: None,
        platform: flags.platform.clone().unwrap_or_else(Platform::host),
        style,
        cancelled,
    };
    for source in &flags.cache.cache_from {
        let artifact = match source {
            CacheSource::Registry(reference) => places.registry(reference)?,
            CacheSource::Local(layout) => local(layout),
        };
        request.cache_from.push(artifact);
    }
    for destination in &flags.cache.cache_to {
        let to = match &destination.to {
            Destination::Inline => CacheTarget::Inline,
            Destination::Registry(reference) => CacheTarget::Artifact(places.registry(reference)?),
            Destination::Local(layout) => CacheTarget::Artifact(local(layout)),
        };
        request.cache_to.push(CacheExport {
            to,
            mode: destination.mode,
            mounts: destination.mounts.clone(),
            form: destination.form,
            ignores_errors: destination.ignores_errors,
        });
    }
    let mut arguments = request.build_args.iter();
    let is_inline = |value: &Option<String>| {
        let value = value.as_deref().unwrap_or_default();
        value::boolean(value).unwrap_or_default()
    };
    if arguments.any(|(name, value)| name == INLINE && is_inline(value)) {
        request.cache_to.push(CacheExport {
            to: CacheTarget::Inline,
            mode: CacheMode::Min,
            mounts: CacheMounts::None,
            form: LayerForm::Any,
            ignores_errors: false,
        });
    }
    Ok(())
}

fn local(layout: &Layout) -> Arc<dyn Artifact> {
    let directory = LayoutDirectory::new(layout.path.clone(), layout.tag.clone());
    Arc::new(match layout.digest {
        Some(digest) => directory.at(digest),
        None => directory,
    })
}

struct Places<'a> {
    /// Made when the first name needs it.
    registry: Option<Registry>,
    platform: Platform,
    style: Style,
    cancelled: &'a Arc<AtomicBool>,
}

impl Places<'_> {
    fn registry(&mut self, reference: &Reference) -> Result<Arc<dyn Artifact>, CliError> {
        let registry = match &self.registry {
            Some(registry) => registry.clone(),
            None => {
                let transfer = Transfer::on(if self.style == Style::Quiet {
                    Stream::Nowhere
                } else {
                    Stream::Error
                });
                let made = pull::stoppable_registry(&transfer, self.cancelled)?;
                self.registry.insert(made).clone()
            }
        };
        let platform = self.platform.clone();
        let artifact = InRegistry::new(registry, reference.clone(), platform);
        Ok(Arc::new(artifact))
    }
}
