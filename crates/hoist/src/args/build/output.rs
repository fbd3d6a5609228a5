//! `--output`: where the result of a build goes.

use std::path::PathBuf;

use hoist_core::Reference;

use crate::args::value;

/// The flags about the result.
#[derive(Debug, clap::Args)]
pub(crate) struct OutputFlags {
    /// Output destination (format: "type=local,dest=path"; types are image, local, tar, oci, docker)
    #[arg(short, long, value_name = "output", value_parser = output)]
    pub(crate) output: Vec<Output>,
    /// Keep the image in the store, as without any "--output"
    #[arg(long)]
    pub(crate) load: bool,
}

impl OutputFlags {
    /// The image keeps its names in the store.
    pub(crate) fn keeps_names(&self) -> bool {
        let is_image = |output: &Output| matches!(output, Output::Image { .. });
        self.load || self.output.is_empty() || self.output.iter().any(is_image)
    }

    /// The times of files in the layers are to be bounded.
    pub(crate) fn rewrites_timestamps(&self) -> bool {
        self.output.iter().any(|output| match output {
            Output::Image { times, .. } | Output::Archive(_, _, times) => {
                *times == Times::Rewritten
            }
            Output::Local(_) | Output::CacheOnly => false,
        })
    }

    /// The further names of `type=image,name=…`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Reference> {
        self.output.iter().flat_map(|output| match output {
            Output::Image { names, .. } => names.as_slice(),
            _ => &[],
        })
    }
}

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// The store.
    Image { names: Vec<Reference>, times: Times },
    /// The files, in a directory.
    Local(PathBuf),
    /// An archive.
    Archive(Form, Destination, Times),
    /// Nothing but the cache.
    CacheOnly,
}

/// What becomes of the times of files (`rewrite-timestamp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Kept,
    /// None is later than `SOURCE_DATE_EPOCH`.
    Rewritten,
}

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The files.
    Files,
    /// The image in OCI's layout.
    Oci,
    /// The same with what `docker load` reads.
    Docker,
}

/// Where an archive goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    StandardOutput,
    File(PathBuf),
}

impl Destination {
    fn of(path: &str) -> Self {
        match path {
            "-" => Self::StandardOutput,
            path => Self::File(PathBuf::from(path)),
        }
    }
}

fn output(text: &str) -> Result<Output, String> {
    if !text.contains('=') {
        return Ok(match text {
            "-" => Output::Archive(Form::Files, Destination::StandardOutput, Times::Kept),
            path => Output::Local(PathBuf::from(path)),
        });
    }
    let (mut kind, mut destination, mut names) = (None, None, Vec::new());
    let mut times = Times::Kept;
    for field in text.split(',') {
        let Some((key, value)) = field.split_once('=') else {
            return Err(format!("invalid value {field}, expected key=value"));
        };
        match (key.to_ascii_lowercase().as_str(), value) {
            ("type", kind_) => kind = Some(kind_),
            ("dest", path) => destination = Some(path),
            ("name", name) => names.push(value::tag(name)?),
            ("rewrite-timestamp", "true") => times = Times::Rewritten,
            ("rewrite-timestamp", "false") => times = Times::Kept,
            ("compression", "uncompressed") | ("tar", "true") | ("push", "false") => {}
            ("push", _) => {
                return Err(
                    "build does not push\nhint: build with -t NAME, then: hoist push NAME"
                        .to_owned(),
                );
            }
            _ => return Err(format!("unsupported option {field} of --output")),
        }
    }
    if times == Times::Rewritten && matches!(kind, Some("local" | "tar" | "cacheonly")) {
        return Err(format!(
            "rewrite-timestamp is for images: the files of type={} have the time of SOURCE_DATE_EPOCH in any case",
            kind.unwrap_or_default()
        ));
    }
    let needs = |kind| format!("dest is required for {kind} output");
    match (kind, destination) {
        (None, _) => Err("type is required for output".to_owned()),
        (Some("image"), None) | (Some("docker"), None) => Ok(Output::Image { names, times }),
        (Some("local"), Some(path)) => Ok(Output::Local(PathBuf::from(path))),
        (Some("tar"), Some(path)) => Ok(Output::Archive(Form::Files, Destination::of(path), times)),
        (Some("oci"), Some(path)) => Ok(Output::Archive(Form::Oci, Destination::of(path), times)),
        (Some("docker"), Some(path)) => {
            Ok(Output::Archive(Form::Docker, Destination::of(path), times))
        }
        (Some("cacheonly"), None) => Ok(Output::CacheOnly),
        (Some(kind @ ("local" | "tar" | "oci")), None) => Err(needs(kind)),
        (Some(kind @ ("image" | "cacheonly")), Some(_)) => {
            Err(format!("{kind} output has no dest"))
        }
        (Some(kind), _) => Err(format!(
            "output type {kind:?} not supported: write image, local, tar, oci or docker"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_written_as_buildx_takes_them() {
        let file = |path: &str| Destination::File(PathBuf::from(path));
        let image = |times| Output::Image {
            names: Vec::new(),
            times,
        };
        let table = [
            (
                "type=image,rewrite-timestamp=true",
                Ok(image(Times::Rewritten)),
            ),
            (
                "type=oci,dest=x,rewrite-timestamp=true",
                Ok(Output::Archive(Form::Oci, file("x"), Times::Rewritten)),
            ),
            ("type=image,rewrite-timestamp=false", Ok(image(Times::Kept))),
            (
                "type=tar,dest=x,rewrite-timestamp=true",
                Err(
                    "rewrite-timestamp is for images: the files of type=tar have the time of SOURCE_DATE_EPOCH in any case",
                ),
            ),
            ("out", Ok(Output::Local("out".into()))),
            (
                "-",
                Ok(Output::Archive(
                    Form::Files,
                    Destination::StandardOutput,
                    Times::Kept,
                )),
            ),
            ("type=local,dest=out", Ok(Output::Local("out".into()))),
            (
                "type=tar,dest=x",
                Ok(Output::Archive(Form::Files, file("x"), Times::Kept)),
            ),
            (
                "dest=-,type=oci",
                Ok(Output::Archive(
                    Form::Oci,
                    Destination::StandardOutput,
                    Times::Kept,
                )),
            ),
            (
                "type=docker,dest=x",
                Ok(Output::Archive(Form::Docker, file("x"), Times::Kept)),
            ),
            ("type=docker", Ok(image(Times::Kept))),
            ("type=image", Ok(image(Times::Kept))),
            ("type=cacheonly", Ok(Output::CacheOnly)),
            ("type=tar", Err("dest is required for tar output")),
            ("dest=x", Err("type is required for output")),
            ("type=image,dest=x", Err("image output has no dest")),
            (
                "type=oci,dest=x,compression=zstd",
                Err("unsupported option compression=zstd of --output"),
            ),
            (
                "type=x",
                Err("output type \"x\" not supported: write image, local, tar, oci or docker"),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(output(text), expected.map_err(str::to_owned), "{text}");
        }
        assert!(
            output("type=image,push=true")
                .is_err_and(|text| text.starts_with("build does not push"))
        );
    }
}
