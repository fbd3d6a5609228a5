//! One test for each row of the feature table of builds: what a Dockerfile may say (rows 1–63), and
//! what a build does with it (64–90). The name of a test begins with the number of its row. Rows of
//! the command line alone are in `crates/hoist/tests/build_rows.rs`.
//!
//! Rows that are not here: composed files, `FROM --after` and squashing, which are other tools'
//! inventions (16, 19, 83); the recording proxy (36); limits per step (37); fleets of builders,
//! attestations, policies, bake, histories and debuggers (76–81); Windows (87).

#[path = "rows/elsewhere.rs"]
mod elsewhere;
#[path = "rows/experience.rs"]
mod experience;
#[path = "rows/files.rs"]
mod files;
#[path = "rows/format.rs"]
mod format;
#[path = "rows/metadata.rs"]
mod metadata;
#[path = "rows/run.rs"]
mod run;
#[path = "rows/stages.rs"]
mod stages;

use hoist_core::image::Config;

use super::support::{Outcome, World};

/// Build `dockerfile` with build arguments.
fn with_args(world: &World, dockerfile: &str, args: &[(&str, &str)]) -> Outcome {
    world.file("Dockerfile", dockerfile);
    let mut request = world.request();
    let args = args.iter();
    request.build_args = args
        .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())))
        .collect();
    world.build(&request)
}

/// The content of the file `path` in the image that `dockerfile` makes.
fn content(world: &World, dockerfile: &str, path: &str) -> String {
    let built = world.dockerfile(dockerfile).built();
    read(world, &built, path)
}

/// The content of a file of an image.
fn read(world: &World, built: &hoist_build::Built, path: &str) -> String {
    let line = world.files(&built.id, path);
    let (_, quoted) = line.split_once('"').expect("a file with text");
    let text: String = serde_json::from_str(&format!("\"{quoted}")).expect("quoted text");
    text
}

/// The configuration of the image that `dockerfile` makes.
fn config(world: &World, dockerfile: &str) -> Config {
    let built = world.dockerfile(dockerfile).built();
    let stored = world.engine.store().image(&built.id).expect("the image");
    stored.image.config
}

/// Every row has its test, here or among those of the command line, unless the list at the top of
/// this file has it.
#[test]
fn every_row_in_scope_has_a_test() {
    const OUT: [u32; 11] = [16, 19, 36, 37, 76, 77, 78, 79, 80, 81, 83];
    const OF_WINDOWS: u32 = 87;
    let sources = [
        include_str!("rows/elsewhere.rs"),
        include_str!("rows/experience.rs"),
        include_str!("rows/files.rs"),
        include_str!("rows/format.rs"),
        include_str!("rows/metadata.rs"),
        include_str!("rows/run.rs"),
        include_str!("rows/stages.rs"),
        include_str!("../../../hoist/tests/build_rows.rs"),
    ];
    let missing: Vec<u32> = (1..=90)
        .filter(|row| !OUT.contains(row) && *row != OF_WINDOWS)
        .filter(|row| {
            let name = format!("fn row_{row:02}_");
            !sources.iter().any(|text| text.contains(&name))
        })
        .collect();
    assert_eq!(missing, [0_u32; 0], "rows without a test");
}
