//! What a build reads beside its Dockerfile, and what it writes beside its image.

use std::path::{Path, PathBuf};

use hoist_build::NamedContext;
use hoist_core::Digest;
use hoist_engine::image::LayoutImage;

use super::annotation::{Annotation, annotation};

/// The flags about contexts, caches and annotations.
#[derive(Debug, clap::Args)]
pub(crate) struct InputFlags {
    /// Additional build contexts (format: "name=path", "name=URL",
    /// "name=docker-image://image", "name=oci-layout://directory[:tag]")
    #[arg(long, value_name = "context", value_parser = named_context)]
    pub(crate) build_context: Vec<(String, NamedContext)>,
    /// Do not use the cache for the specified stages
    #[arg(long, value_name = "stages")]
    pub(crate) no_cache_filter: Vec<String>,
    /// Add annotation to the image (format: "[manifest|manifest-descriptor|index:]key=value")
    #[arg(long, value_name = "list", value_parser = annotation)]
    pub(crate) annotation: Vec<Annotation>,
}

impl InputFlags {
    /// The stages of `--no-cache-filter`, which may be given as a list.
    pub(crate) fn uncached_stages(&self) -> Vec<String> {
        let lists = self.no_cache_filter.iter();
        let names = lists.flat_map(|list| list.split(','));
        names.map(|name| name.trim().to_owned()).collect()
    }
}

pub(crate) fn named_context(text: &str) -> Result<(String, NamedContext), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(format!("invalid context value: {text}, expected key=value"));
    };
    if name.is_empty() || value.is_empty() {
        return Err(format!("invalid context value: {text}, expected key=value"));
    }
    if let Some(image) = value.strip_prefix("docker-image://") {
        return Ok((name.to_owned(), NamedContext::Image(image.to_owned())));
    }
    if let Some(layout) = value.strip_prefix("oci-layout://") {
        return Ok((name.to_owned(), NamedContext::Layout(layout_image(layout)?)));
    }
    if !Path::new(value).exists() && hoist_build::is_remote(value) {
        return Ok((name.to_owned(), NamedContext::Remote(value.to_owned())));
    }
    if value.starts_with("target:") {
        return Err(format!(
            "the context {name} is a target of a bake file, of which there is none: write COPY --from=STAGE for a stage of the Dockerfile"
        ));
    }
    if let Some((scheme, _)) = value.split_once("://") {
        return Err(format!(
            "unsupported context source {scheme}:// for {name}: write a directory, an https or git address, docker-image://IMAGE or oci-layout://DIRECTORY"
        ));
    }
    Ok((
        name.to_owned(),
        NamedContext::Directory(PathBuf::from(value)),
    ))
}

/// `directory[:tag][@digest]`.
fn layout_image(text: &str) -> Result<LayoutImage, String> {
    let (rest, digest) = match text.rsplit_once('@') {
        Some((rest, digest)) => {
            let digest = digest
                .parse::<Digest>()
                .map_err(|error| error.to_string())?;
            (rest, Some(digest))
        }
        None => (text, None),
    };
    let (directory, tag) = match rest.rsplit_once(':') {
        Some((directory, tag)) if !tag.contains('/') => (directory, Some(tag.to_owned())),
        _ => (rest, None),
    };
    if directory.is_empty() {
        return Err(format!(
            "invalid layout {text:?}: write oci-layout://DIRECTORY[:TAG]"
        ));
    }
    Ok(LayoutImage {
        directory: PathBuf::from(directory),
        tag,
        digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_directories_or_images() {
        let directory = |path: &str| Ok(NamedContext::Directory(PathBuf::from(path)));
        let layout = |directory: &str, tag: Option<&str>| {
            NamedContext::Layout(LayoutImage {
                directory: PathBuf::from(directory),
                tag: tag.map(str::to_owned),
                digest: None,
            })
        };
        let table = [
            ("a=../x", directory("../x")),
            ("a=/x=y", directory("/x=y")),
            (
                "a=docker-image://alpine:3",
                Ok(NamedContext::Image("alpine:3".to_owned())),
            ),
            ("a", Err("invalid context value: a, expected key=value")),
            ("a=", Err("invalid context value: a=, expected key=value")),
            (
                "a=https://x.org/y.git#main",
                Ok(NamedContext::Remote("https://x.org/y.git#main".to_owned())),
            ),
            (
                "a=git@x.org:y",
                Ok(NamedContext::Remote("git@x.org:y".to_owned())),
            ),
            ("a=oci-layout:///x/y:v1", Ok(layout("/x/y", Some("v1")))),
            ("a=oci-layout://x.d/y", Ok(layout("x.d/y", None))),
            (
                "a=ftp://x",
                Err(
                    "unsupported context source ftp:// for a: write a directory, an https or git address, docker-image://IMAGE or oci-layout://DIRECTORY",
                ),
            ),
        ];
        for (text, expected) in table {
            let found = named_context(text).map(|(_, context)| context);
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
        assert!(named_context("a=target:x").is_err());
        assert!(named_context("a=oci-layout://x@sha256:0").is_err());
    }
}
