//! `image mount` and `image unmount`: the files of an image as a directory.

use std::{path::Path, process::ExitCode};

use super::each;
use crate::{
    args::{NoFlags, store::UnmountFlags},
    cli::Call,
    error::CliError,
    ui,
};

/// For `--help` of `image mount`.
pub(crate) const EXAMPLES: &str = "
  Look into an image without running it:
    ls $(hoist image mount my-api:1.0)
    hoist image unmount my-api:1.0

  List what is mounted:
    hoist image mount
";

/// `image mount [IMAGE [TARGET]]`.
pub(crate) fn mount(call: &Call<'_>, _: &NoFlags, words: &[String]) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    let Some(image) = words.first() else {
        for mount in engine.image_mounts()? {
            let names = engine.store().references(&mount.image).unwrap_or_default();
            let name = names
                .first()
                .map_or_else(|| mount.image.short(), hoist_core::Reference::familiar);
            ui::line(&format!("{name} {}", mount.target.display()))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let place = engine.mount_image(image, words.get(1).map(Path::new))?;
    ui::line(&place.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// `image unmount [OPTIONS] IMAGE|TARGET [IMAGE|TARGET...]`.
pub(crate) fn unmount(
    call: &Call<'_>,
    flags: &UnmountFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let engine = call.working_engine()?;
    let all: Vec<String> = if flags.all {
        let mounts = engine.image_mounts()?.into_iter();
        mounts
            .map(|mount| mount.target.display().to_string())
            .collect()
    } else if words.is_empty() {
        return Err(CliError::invalid("an image or a directory is needed")
            .hint("hoist image mount lists what is mounted; --all unmounts everything"));
    } else {
        words.to_vec()
    };
    each::name(&all, |name| {
        let free = engine.unmount_image(name)?;
        let lines = free.iter().map(|place| format!("{}\n", place.display()));
        ui::out(&lines.collect::<String>())
    })
}
