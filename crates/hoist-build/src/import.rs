//! `import`: an archive of a root file system becomes an image of one layer.

use std::{io::Read, time::SystemTime};

use hoist_core::{
    Digest, Platform,
    image::{History, Image, RootFs},
    time::Timestamp,
};
use hoist_dockerfile::{
    InstructionKind, Source,
    expand::{Expander, instruction::expand},
    instruction::parse_trigger,
};
use hoist_engine::Engine;

use crate::{config::StageConfig, error::BuildError, excerpt::Listing, request::ImportRequest};

/// Make an image of the archive (plain or gzip) that `reader` gives.
///
/// # Errors
/// [`BuildError::Invalid`] for a change that is no instruction, or one that cannot be applied;
/// the store's errors about the archive. Nothing is left behind.
pub fn import(
    engine: &Engine,
    reader: impl Read,
    request: &ImportRequest,
) -> Result<Digest, BuildError> {
    let mut stage = StageConfig::default();
    for change in &request.changes {
        apply(&mut stage, change)?;
    }
    let store = engine.store();
    let layer = store.import_tar(reader)?;
    let created = Timestamp::from(SystemTime::now()).to_string();
    let comment = request.message.clone();
    let image = Image {
        created: Some(created.clone()),
        author: None,
        platform: request.platform.clone().unwrap_or_else(Platform::host),
        config: stage.config,
        rootfs: RootFs {
            diff_ids: vec![layer.diff_id],
            ..RootFs::default()
        },
        history: vec![History {
            created: Some(created),
            created_by: None,
            comment: Some(comment.unwrap_or_else(|| "Imported from -".to_owned())),
            empty_layer: false,
        }],
    };
    let id = store.put_image(&image)?;
    store.sync()?;
    if let Some(reference) = &request.reference {
        store.tag(reference, &id)?;
    }
    Ok(id)
}

/// Apply one `--change`.
fn apply(stage: &mut StageConfig, change: &str) -> Result<(), BuildError> {
    let listing = Listing {
        name: "--change".to_owned(),
        source: Source::new(change),
    };
    let instruction = parse_trigger(change).map_err(|found| {
        let error = hoist_dockerfile::DockerfileError::syntax(found, &listing.source);
        listing.language(error)
    })?;
    let kind = instruction.kind;
    if kind.changes_files() && !matches!(kind, InstructionKind::Workdir(_))
        || matches!(
            kind,
            InstructionKind::Arg(_) | InstructionKind::Maintainer(_)
        )
    {
        return Err(BuildError::Invalid {
            message: format!("{} is not a valid change command", kind.keyword()),
            hints: vec![
                "changes are CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, \
                 STOPSIGNAL, USER, VOLUME and WORKDIR"
                    .to_owned(),
            ],
        });
    }
    let pairs: Vec<(String, String)> = stage
        .config
        .env
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let expander = Expander::new(&pairs, '\\');
    let kind = expand(&kind, &expander)
        .map_err(|found| listing.language(found.into()))?
        .kind;
    stage.apply(&kind).map_err(|message| BuildError::Invalid {
        message,
        hints: Vec::new(),
    })?;
    Ok(())
}
