//! `--annotation`: what is written about the image beside it, and where.

use hoist_core::Platform;

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotation {
    pub(crate) levels: Vec<Level>,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Where an annotation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// In the manifest of the image.
    Manifest,
    /// In the index, about the manifest.
    Descriptor,
    /// In the index, about itself.
    Index,
}

/// `[level,level:]key=value`; the manifest when there is no level.
pub(crate) fn annotation(text: &str) -> Result<Annotation, String> {
    let invalid = || format!("invalid annotation {text:?}, expected key=value");
    let (key, value) = text.split_once('=').ok_or_else(invalid)?;
    let (levels, key) = match key.split_once(':') {
        None => (vec![Level::Manifest], key),
        Some((levels, key)) => {
            let levels = levels.split(',').map(|level| of_name(level, text));
            (levels.collect::<Result<_, _>>()?, key)
        }
    };
    if key.is_empty() {
        return Err(invalid());
    }
    Ok(Annotation {
        levels,
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

/// `annotation-manifest.key` of an output.
pub(super) fn of_output(key: &str, value: &str) -> Option<Result<Annotation, String>> {
    let (level, name) = key.strip_prefix("annotation")?.split_once('.')?;
    let level = match level {
        "" => Ok(Level::Manifest),
        level => of_name(level.strip_prefix('-')?, key),
    };
    Some(level.map(|level| Annotation {
        levels: vec![level],
        key: name.to_owned(),
        value: value.to_owned(),
    }))
}

fn of_name(name: &str, text: &str) -> Result<Level, String> {
    let (name, platform) = match name.split_once('[') {
        Some((name, rest)) => (name, rest.strip_suffix(']')),
        None => (name, None),
    };
    let host = Platform::host();
    if let Some(platform) = platform
        && platform.split('/').nth(1) != Some(host.architecture.as_str())
    {
        return Err(format!(
            "the annotation {text:?} is for {platform}, and one platform is built at a time"
        ));
    }
    match name {
        "manifest" => Ok(Level::Manifest),
        "manifest-descriptor" => Ok(Level::Descriptor),
        "index" => Ok(Level::Index),
        "index-descriptor" => Err(format!(
            "the index of one platform has no descriptor to annotate: {text:?}"
        )),
        _ => Err(format!(
            "unknown annotation type {name:?} in {text:?}: write manifest, manifest-descriptor or index"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_have_a_level() {
        let manifest = vec![Level::Manifest];
        let table = [
            ("a.b=c", Some((manifest.clone(), "a.b", "c"))),
            ("manifest:a.b=c=d", Some((manifest, "a.b", "c=d"))),
            (
                "index,manifest-descriptor:a=",
                Some((vec![Level::Index, Level::Descriptor], "a", "")),
            ),
            ("a", None),
            ("=b", None),
            ("x:a=b", None),
            ("index-descriptor:a=b", None),
            ("manifest[linux/other]:a=b", None),
        ];
        for (text, expected) in table {
            let found = annotation(text).ok();
            let found = found.map(|found| (found.levels, found.key, found.value));
            let expected =
                expected.map(|(levels, key, value)| (levels, key.to_owned(), value.to_owned()));
            assert_eq!(found, expected, "{text}");
        }
        let own = format!("manifest[{}]:a=b", Platform::host());
        assert!(annotation(&own).is_ok());
    }

    #[test]
    fn outputs_have_annotations_too() {
        let found = of_output("annotation-index.org.x", "1").unwrap().unwrap();
        assert_eq!(
            (found.levels, found.key.as_str()),
            (vec![Level::Index], "org.x")
        );
        assert_eq!(
            of_output("annotation.a", "1").unwrap().unwrap().levels,
            [Level::Manifest]
        );
        assert!(of_output("annotation-x.a", "1").unwrap().is_err());
        assert!(of_output("dest", "1").is_none());
    }
}
