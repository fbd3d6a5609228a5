//! What a build reads beside its Dockerfile, and what it writes beside its image.

use std::path::PathBuf;

use hoist_build::NamedContext;

use super::annotation::{Annotation, annotation};

/// The flags about contexts, caches and annotations.
#[derive(Debug, clap::Args)]
pub(crate) struct InputFlags {
    /// Additional build contexts (format: "name=path" or "name=docker-image://image")
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
    let remote = ["http://", "https://", "git://", "git@", "ssh://"];
    if remote.iter().any(|start| value.starts_with(start)) {
        return Err(format!(
            "the context {name} is remote, which this version does not fetch\nhint: clone or download it, then: --build-context {name}=DIRECTORY"
        ));
    }
    if let Some(image) = value.strip_prefix("docker-image://") {
        return Ok((name.to_owned(), NamedContext::Image(image.to_owned())));
    }
    if let Some((scheme, _)) = value.split_once("://") {
        return Err(format!(
            "unsupported context source {scheme}:// for {name}: write a directory, or docker-image://IMAGE"
        ));
    }
    Ok((
        name.to_owned(),
        NamedContext::Directory(PathBuf::from(value)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_directories_or_images() {
        let directory = |path: &str| Ok(NamedContext::Directory(PathBuf::from(path)));
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
                "a=oci-layout://x",
                Err(
                    "unsupported context source oci-layout:// for a: write a directory, or docker-image://IMAGE",
                ),
            ),
        ];
        for (text, expected) in table {
            let found = named_context(text).map(|(_, context)| context);
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
        let remote = named_context("a=https://x.org/y.git").unwrap_err();
        assert!(remote.starts_with("the context a is remote"));
    }
}
