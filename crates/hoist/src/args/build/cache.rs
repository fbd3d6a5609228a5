//! `--cache-from` and `--cache-to`: the build cache of other machines, in buildx's words.

use std::path::PathBuf;

use hoist_build::{CacheMode, CacheMounts};
use hoist_core::{Digest, Reference, mount::csv_fields};
use hoist_dockerfile::suggest::nearest;
use hoist_engine::{artifact::LayerForm, image::PushRequest};

use crate::args::value;

/// The flags about caches elsewhere.
#[derive(Debug, clap::Args)]
pub(crate) struct CacheFlags {
    /// External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")
    #[arg(long, value_name = "source", value_parser = source)]
    pub(crate) cache_from: Vec<CacheSource>,
    /// Cache export destinations (e.g., "type=registry,ref=user/app:cache,mode=max",
    /// "type=local,dest=path/to/dir,mounts=all", "type=inline")
    #[arg(long, value_name = "destination", value_parser = destination)]
    pub(crate) cache_to: Vec<CacheDestination>,
}

/// One `--cache-from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CacheSource {
    Registry(Reference),
    Local(Layout),
}

/// An artifact in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) path: PathBuf,
    pub(crate) tag: String,
    /// The manifest itself, in place of the tag.
    pub(crate) digest: Option<Digest>,
}

/// One `--cache-to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheDestination {
    pub(crate) to: Destination,
    pub(crate) mode: CacheMode,
    pub(crate) mounts: CacheMounts,
    pub(crate) form: LayerForm,
    pub(crate) ignores_errors: bool,
}

/// Where a cache goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Inline,
    Registry(Reference),
    Local(Layout),
}

/// The keys that each type of source knows.
const SOURCE_KEYS: [(&str, &[&str]); 2] = [
    ("registry", &["type", "ref"]),
    ("local", &["type", "src", "tag", "digest"]),
];
/// The keys that directories and registries know as destinations.
const COMMON_KEYS: [&str; 9] = [
    "type",
    "mode",
    "mounts",
    "compression",
    "compression-level",
    "force-compression",
    "ignore-error",
    "oci-mediatypes",
    "image-manifest",
];

/// `key=value,…`, the type first known.
struct Fields {
    kind: String,
    /// Without the type.
    pairs: Vec<(String, String)>,
}

impl Fields {
    /// Read `text`; without any `=` it is the name of an image in a registry.
    fn read(text: &str, flag: &str) -> Result<Self, String> {
        let fields = csv_fields(text).map_err(|error| format!("{flag}: {error}"))?;
        if let [only] = &fields[..]
            && !only.contains('=')
        {
            return Ok(Self {
                kind: "registry".to_owned(),
                pairs: vec![("ref".to_owned(), only.clone())],
            });
        }
        let (mut kind, mut pairs) = (None, Vec::new());
        for field in fields {
            let Some((key, value)) = field.split_once('=') else {
                return Err(format!("invalid value {field}, expected key=value"));
            };
            match key.trim().to_ascii_lowercase().as_str() {
                "type" => kind = Some(value.to_owned()),
                key => pairs.push((key.to_owned(), value.to_owned())),
            }
        }
        match kind {
            Some(kind) => Ok(Self { kind, pairs }),
            None => Err(format!("type required form> {text:?}")),
        }
    }

    /// Refuse keys that are not among `known`.
    fn check(&self, flag: &str, known: &[&str]) -> Result<(), String> {
        for (key, _) in &self.pairs {
            if !known.contains(&key.as_str()) {
                let meant = match key.as_str() {
                    "dest" | "source" | "path" if known.contains(&"src") => Some("src"),
                    "src" | "path" if known.contains(&"dest") => Some("dest"),
                    key => nearest(key, known.iter().copied()),
                };
                let meant =
                    meant.map_or_else(String::new, |name| format!(": did you mean {name}?"));
                return Err(format!(
                    "unknown key {key:?} of {flag} type={}{meant}\nhint: it knows {}",
                    self.kind,
                    known.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// The last value of `key`.
    fn get(&self, key: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter().rev();
        pairs
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    fn required(&self, key: &str) -> Result<&str, String> {
        self.get(key)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("{key} is required for type={}", self.kind))
    }

    fn boolean(&self, key: &str) -> Result<Option<bool>, String> {
        let parsed = self.get(key).map(value::boolean).transpose();
        parsed.map_err(|why| format!("invalid {key}: {why}"))
    }

    fn reference(&self) -> Result<Reference, String> {
        value::tag(self.required("ref")?)
    }

    fn layout(&self, path: &str) -> Result<Layout, String> {
        let digest = self.get("digest").map(str::parse::<Digest>).transpose();
        Ok(Layout {
            path: PathBuf::from(self.required(path)?),
            tag: self.get("tag").unwrap_or("latest").to_owned(),
            digest: digest.map_err(|error| error.to_string())?,
        })
    }

    /// What is wrong with the type.
    fn unsupported(&self, supported: &[&str]) -> String {
        let Self { kind, .. } = self;
        let list = supported.join(", ");
        if matches!(kind.as_str(), "gha" | "s3" | "azblob") {
            return format!(
                "cache type {kind} is not supported; there are {list}\nhint: type=local with a directory \
                 that the CI service keeps (actions/cache, an object store's own tool) does the same"
            );
        }
        let meant = nearest(kind, supported.iter().copied());
        let meant = meant.map_or_else(String::new, |name| format!(": did you mean {name}?"));
        format!("unknown cache type {kind:?}{meant}\nhint: there are {list}")
    }
}

/// `--cache-from`.
fn source(text: &str) -> Result<CacheSource, String> {
    let fields = Fields::read(text, "--cache-from")?;
    let Some((_, known)) = SOURCE_KEYS.iter().find(|(kind, _)| *kind == fields.kind) else {
        return Err(fields.unsupported(&["registry", "local"]));
    };
    fields.check("--cache-from", known)?;
    match fields.kind.as_str() {
        "local" => Ok(CacheSource::Local(fields.layout("src")?)),
        _ => Ok(CacheSource::Registry(fields.reference()?)),
    }
}

/// `--cache-to`.
fn destination(text: &str) -> Result<CacheDestination, String> {
    let flag = "--cache-to";
    let fields = Fields::read(text, flag)?;
    let with_common = |own: &[&'static str]| [&COMMON_KEYS[..], own].concat();
    let to = match fields.kind.as_str() {
        "inline" => {
            // buildx takes it, and max means nothing here.
            fields.check(flag, &["type", "mode"])?;
            Destination::Inline
        }
        "registry" => {
            fields.check(flag, &with_common(&["ref"]))?;
            let reference = fields.reference()?;
            if reference.digest().is_some() {
                return Err(format!("{reference} is a digest: a cache needs a tag"));
            }
            Destination::Registry(reference)
        }
        "local" => {
            fields.check(flag, &with_common(&["dest", "tag"]))?;
            Destination::Local(fields.layout("dest")?)
        }
        _ => return Err(fields.unsupported(&["registry", "local", "inline"])),
    };
    // Layers of this machine always have the compression that is asked for.
    fields.boolean("force-compression")?;
    for key in ["oci-mediatypes", "image-manifest"] {
        if fields.boolean(key)? == Some(false) {
            return Err(format!(
                "{key}=false is not supported: caches are OCI manifests"
            ));
        }
    }
    Ok(CacheDestination {
        to,
        mode: mode(fields.get("mode"))?,
        mounts: mounts(fields.get("mounts")),
        form: form(&fields)?,
        ignores_errors: fields.boolean("ignore-error")?.unwrap_or_default(),
    })
}

fn mode(text: Option<&str>) -> Result<CacheMode, String> {
    match text {
        None | Some("min") => Ok(CacheMode::Min),
        Some("max") => Ok(CacheMode::Max),
        Some(other) => Err(format!("unsupported mode {other:?}: write min or max")),
    }
}

fn mounts(text: Option<&str>) -> CacheMounts {
    match text {
        None | Some("" | "none") => CacheMounts::None,
        Some("all") => CacheMounts::All,
        Some(ids) => CacheMounts::Only(ids.split(';').map(str::to_owned).collect()),
    }
}

fn form(fields: &Fields) -> Result<LayerForm, String> {
    let level = fields.get("compression-level");
    let number = level.map(str::parse::<u32>).transpose();
    let number =
        number.map_err(|_| format!("invalid compression-level {:?}", level.unwrap_or_default()))?;
    match (fields.get("compression"), number) {
        (None, None) => Ok(LayerForm::Any),
        (Some("uncompressed"), None) => Ok(LayerForm::Plain),
        (Some("uncompressed"), Some(_)) => {
            Err("compression-level needs a compression: write gzip or zstd".to_owned())
        }
        (name, level) => {
            let name = name.unwrap_or("gzip");
            let codec = PushRequest::codec(name, level);
            codec.map(LayerForm::Compressed).ok_or_else(|| {
                format!(
                    "unsupported compression {name}, level {}: write gzip (1 to 9), zstd (1 to 19) or uncompressed",
                    level.map_or_else(|| "none".to_owned(), |level| level.to_string())
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use hoist_store::Codec;

    use super::*;

    fn layout(path: &str, tag: &str) -> Layout {
        Layout {
            path: PathBuf::from(path),
            tag: tag.to_owned(),
            digest: None,
        }
    }

    fn name(text: &str) -> Reference {
        Reference::parse(text).unwrap()
    }

    #[test]
    fn sources_are_names_and_directories() {
        let local = |path: &str, tag: &str| Ok(CacheSource::Local(layout(path, tag)));
        let table = [
            (
                "user/app:cache",
                Ok(CacheSource::Registry(name("user/app:cache"))),
            ),
            (
                "type=registry,ref=user/app",
                Ok(CacheSource::Registry(name("user/app"))),
            ),
            ("type=local,src=/a", local("/a", "latest")),
            ("type=local,\"src=/a,b\",tag=x", local("/a,b", "x")),
            ("src=/a", Err("type required form> \"src=/a\"")),
            ("type=local", Err("src is required for type=local")),
            (
                "type=registry,ref=",
                Err("ref is required for type=registry"),
            ),
            (
                "type=local,src=/a,x",
                Err("invalid value x, expected key=value"),
            ),
            (
                "type=local,dest=/a",
                Err(
                    "unknown key \"dest\" of --cache-from type=local: did you mean src?\nhint: it knows type, src, tag, digest",
                ),
            ),
            (
                "type=registy,ref=a",
                Err(
                    "unknown cache type \"registy\": did you mean registry?\nhint: there are registry, local",
                ),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(source(text), expected.map_err(str::to_owned), "{text}");
        }
        for kind in ["gha", "s3", "azblob"] {
            let error = source(&format!("type={kind},scope=x")).unwrap_err();
            assert!(error.starts_with(&format!(
                "cache type {kind} is not supported; there are registry, local\n"
            )));
        }
    }

    #[test]
    fn destinations_are_as_buildx_writes_them() {
        let plain = |to| CacheDestination {
            to,
            mode: CacheMode::Min,
            mounts: CacheMounts::None,
            form: LayerForm::Any,
            ignores_errors: false,
        };
        let dir = || Destination::Local(layout("d", "latest"));
        let table = [
            ("type=inline", plain(Destination::Inline)),
            (
                "user/app:cache",
                plain(Destination::Registry(name("user/app:cache"))),
            ),
            (
                "type=local,dest=d,mode=max,mounts=all,ignore-error=true,oci-mediatypes=true",
                CacheDestination {
                    mode: CacheMode::Max,
                    mounts: CacheMounts::All,
                    ignores_errors: true,
                    ..plain(dir())
                },
            ),
            (
                "type=local,dest=d,mounts=pip;/root/.cache/uv,compression=zstd,compression-level=7",
                CacheDestination {
                    mounts: CacheMounts::Only(vec!["pip".to_owned(), "/root/.cache/uv".to_owned()]),
                    form: LayerForm::Compressed(Codec::Zstd(7)),
                    ..plain(dir())
                },
            ),
            (
                "type=local,dest=d,compression=uncompressed",
                CacheDestination {
                    form: LayerForm::Plain,
                    ..plain(dir())
                },
            ),
        ];
        for (text, expected) in table {
            assert_eq!(destination(text), Ok(expected), "{text}");
        }
        for (text, start) in [
            (
                "type=local,dest=d,mdoe=max",
                "unknown key \"mdoe\" of --cache-to type=local: did you mean mode?",
            ),
            (
                "type=local,dest=d,mode=all",
                "unsupported mode \"all\": write min or max",
            ),
            (
                "type=local,dest=d,compression=xz",
                "unsupported compression xz",
            ),
            (
                "type=local,dest=d,compression-level=x",
                "invalid compression-level \"x\"",
            ),
            (
                "type=local,dest=d,compression=gzip,compression-level=10",
                "unsupported compression gzip, level 10",
            ),
            (
                "type=local,dest=d,ignore-error=perhaps",
                "invalid ignore-error: ",
            ),
            ("type=registry,ref=UPPER", "invalid"),
            (
                "type=registry,ref=a,image-manifest=false",
                "image-manifest=false is not supported",
            ),
            (
                "type=gha",
                "cache type gha is not supported; there are registry, local, inline",
            ),
        ] {
            let error = destination(text).unwrap_err();
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }
}
