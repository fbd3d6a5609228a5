//! `--output`, `--push`, `--load`: where the result of a build goes.

use std::{collections::BTreeMap, path::PathBuf};

use hoist_build::Others;
use hoist_core::Reference;
use hoist_engine::image::PushRequest;
use hoist_store::Codec;

use super::annotation::{Annotation, of_output};
use crate::args::value;

/// The flags about the result.
#[derive(Debug, clap::Args)]
pub(crate) struct OutputFlags {
    /// Output destination (format: "type=local,dest=path"; types are image, registry, local, tar, oci, docker, cacheonly)
    #[arg(short, long, value_name = "output", value_parser = output)]
    pub(crate) output: Vec<Output>,
    /// Keep the image in the store, as without any "--output"
    #[arg(long)]
    pub(crate) load: bool,
    /// Push the image under its names; shorthand for "--output=type=registry"
    #[arg(long)]
    pub(crate) push: bool,
}

impl OutputFlags {
    /// The image keeps its names in the store.
    pub(crate) fn keeps_names(&self) -> bool {
        let is_image = |output: &Output| matches!(output.to, To::Image { .. });
        self.load || self.push || self.output.is_empty() || self.output.iter().any(is_image)
    }

    /// The times of files in the layers are to be bounded.
    pub(crate) fn rewrites_timestamps(&self) -> bool {
        let mut outputs = self.output.iter();
        outputs.any(|output| output.times == Times::Rewritten)
    }

    /// The further names of `type=image,name=…`.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Reference> {
        let is_image = |output: &&Output| matches!(output.to, To::Image { .. });
        let images = self.output.iter().filter(is_image);
        images.flat_map(|output| &output.names)
    }

    /// How to push, when the result is to be pushed.
    pub(crate) fn push(&self) -> Option<Option<Codec>> {
        let asked = self.output.iter().find_map(|output| match &output.to {
            To::Image { push: true, layers } => Some(*layers),
            _ => None,
        });
        asked.or(self.push.then_some(None))
    }
}

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) to: To,
    /// Further names of the image (`name=`).
    pub(crate) names: Vec<Reference>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) times: Times,
}

/// What becomes of the times of files (`rewrite-timestamp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Kept,
    /// None is later than `SOURCE_DATE_EPOCH`.
    Rewritten,
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum To {
    /// The store, and perhaps a registry.
    Image { push: bool, layers: Option<Codec> },
    /// The files, in a directory; with `split` in one below it that is named after the platform.
    Local {
        path: PathBuf,
        others: Others,
        split: bool,
    },
    /// The files, in an archive.
    Files(Destination),
    /// The image, in an archive.
    Archive {
        form: Form,
        destination: Destination,
        layers: Option<Codec>,
    },
    /// The image, in a directory.
    Layout {
        form: Form,
        path: PathBuf,
        layers: Option<Codec>,
    },
    /// Nothing but the cache.
    CacheOnly,
}

/// How an image is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// OCI's layout.
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
        let to = match text {
            "-" => To::Files(Destination::StandardOutput),
            path => local(PathBuf::from(path)),
        };
        return Ok(Output {
            to,
            names: Vec::new(),
            annotations: Vec::new(),
            times: Times::Kept,
        });
    }
    let mut options = Options::parse(text)?;
    let to = options.to()?;
    let has_names = matches!(
        to,
        To::Image { .. } | To::Archive { .. } | To::Layout { .. }
    );
    if let Some(name) = options.names.first().filter(|_| !has_names) {
        return Err(format!("unsupported option name={name} of --output here"));
    }
    let times = match options.switch("rewrite-timestamp", false)? {
        true if !has_names => {
            return Err(
                "rewrite-timestamp is for images: files have the time of SOURCE_DATE_EPOCH in any case"
                    .to_owned(),
            );
        }
        true => Times::Rewritten,
        false => Times::Kept,
    };
    match options.fields.keys().next() {
        None => Ok(Output {
            to,
            names: options.names,
            annotations: options.annotations,
            times,
        }),
        Some(key) => Err(format!(
            "unsupported option {key}={} of --output here",
            options.fields[key]
        )),
    }
}

fn local(path: PathBuf) -> To {
    To::Local {
        path,
        others: Others::Stay,
        split: false,
    }
}

/// The options of one output. Each is taken out by the type that knows it; what is left is wrong.
struct Options<'a> {
    fields: BTreeMap<String, &'a str>,
    names: Vec<Reference>,
    annotations: Vec<Annotation>,
}

impl<'a> Options<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut options = Self {
            fields: BTreeMap::new(),
            names: Vec::new(),
            annotations: Vec::new(),
        };
        for field in text.split(',') {
            let Some((key, value)) = field.split_once('=') else {
                return Err(format!("invalid value {field}, expected key=value"));
            };
            let lower = key.to_ascii_lowercase();
            if let Some(annotation) = of_output(key, value) {
                options.annotations.push(annotation?);
            } else if lower == "name" {
                options.names.push(value::tag(value)?);
            } else {
                options.fields.insert(lower, value);
            }
        }
        Ok(options)
    }

    fn to(&mut self) -> Result<To, String> {
        let kind = self.fields.remove("type");
        let kind = kind.ok_or("type is required for output")?;
        match (kind, self.fields.remove("dest")) {
            ("image", None) => self.image(false),
            ("registry", None) => self.image(true),
            ("docker", None) => self.image(false),
            ("local", Some(path)) => self.local(path),
            ("tar", Some(path)) => {
                self.switch("tar", true)?;
                Ok(To::Files(Destination::of(path)))
            }
            ("oci", Some(path)) => self.layout(Form::Oci, path),
            ("docker", Some(path)) => self.layout(Form::Docker, path),
            ("cacheonly", None) => Ok(To::CacheOnly),
            ("local" | "tar" | "oci", None) => Err(format!("dest is required for {kind} output")),
            ("image" | "registry" | "cacheonly", Some(_)) => {
                Err(format!("{kind} output has no dest"))
            }
            _ => Err(format!(
                "output type {kind:?} not supported: write image, registry, local, tar, oci or docker"
            )),
        }
    }

    fn image(&mut self, push: bool) -> Result<To, String> {
        Ok(To::Image {
            push: self.switch("push", push)? || push,
            layers: self.compression()?,
        })
    }

    fn local(&mut self, path: &str) -> Result<To, String> {
        let others = match self.fields.remove("mode") {
            None | Some("copy") => Others::Stay,
            Some("delete") => Others::Go,
            Some(mode) => return Err(format!("invalid mode {mode}: write copy or delete")),
        };
        Ok(To::Local {
            path: PathBuf::from(path),
            others,
            split: self.switch("platform-split", false)?,
        })
    }

    fn layout(&mut self, form: Form, path: &str) -> Result<To, String> {
        let layers = self.compression()?;
        if self.switch("tar", true)? {
            return Ok(To::Archive {
                form,
                destination: Destination::of(path),
                layers,
            });
        }
        if path == "-" {
            return Err("a layout in a directory needs a dest that is one".to_owned());
        }
        Ok(To::Layout {
            form,
            path: PathBuf::from(path),
            layers,
        })
    }

    fn compression(&mut self) -> Result<Option<Codec>, String> {
        if !self.switch("oci-mediatypes", true)? {
            return Err("images have OCI's media types: leave oci-mediatypes=false out".to_owned());
        }
        // What is asked for is what is written, whatever there is already.
        self.switch("force-compression", true)?;
        let level = self.fields.remove("compression-level");
        let level = level.map(str::parse::<u32>).transpose();
        let level = level.map_err(|_| "compression-level is a number".to_owned())?;
        match self.fields.remove("compression") {
            None if level.is_some() => Err("compression-level needs compression".to_owned()),
            None | Some("uncompressed") => Ok(None),
            Some(name) => PushRequest::codec(name, level).map(Some).ok_or_else(|| {
                format!(
                    "no such compression: {name}, level {level:?}: write uncompressed, gzip with a \
                     level from 1 to 9, or zstd with 1 to 19"
                )
            }),
        }
    }

    /// The value of a switch; `default` when it is not there.
    fn switch(&mut self, key: &str, default: bool) -> Result<bool, String> {
        match self.fields.remove(key) {
            None => Ok(default),
            Some(text) => {
                value::boolean(text).map_err(|_| format!("invalid value {text} for {key}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str) -> Result<To, String> {
        output(text).map(|output| output.to)
    }

    #[test]
    fn outputs_are_written_as_buildx_takes_them() {
        let file = |path: &str| Destination::File(PathBuf::from(path));
        let image = |push, layers| To::Image { push, layers };
        let archive = |form, destination, layers| To::Archive {
            form,
            destination,
            layers,
        };
        let mirror = To::Local {
            path: "out".into(),
            others: Others::Go,
            split: true,
        };
        let layout = To::Layout {
            form: Form::Oci,
            path: "d".into(),
            layers: Some(Codec::Zstd(3)),
        };
        let table = [
            ("out", local("out".into())),
            ("-", To::Files(Destination::StandardOutput)),
            ("type=local,dest=out", local("out".into())),
            (
                "type=local,dest=out,mode=delete,platform-split=true",
                mirror,
            ),
            ("type=tar,dest=x", To::Files(file("x"))),
            (
                "dest=-,type=oci",
                archive(Form::Oci, Destination::StandardOutput, None),
            ),
            ("type=docker,dest=x", archive(Form::Docker, file("x"), None)),
            (
                "type=oci,dest=x,compression=gzip,compression-level=9",
                archive(Form::Oci, file("x"), Some(Codec::Gzip(9))),
            ),
            ("type=oci,dest=d,tar=false,compression=zstd", layout),
            ("type=docker", image(false, None)),
            ("type=image,push=false", image(false, None)),
            (
                "type=image,push=true,oci-mediatypes=true",
                image(true, None),
            ),
            (
                "type=registry,compression=zstd,force-compression=true",
                image(true, Some(Codec::Zstd(3))),
            ),
            ("type=cacheonly", To::CacheOnly),
        ];
        for (text, expected) in table {
            assert_eq!(to(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn times_of_images_may_be_rewritten() {
        for (text, expected) in [
            ("type=image,rewrite-timestamp=true", Times::Rewritten),
            ("type=oci,dest=x,rewrite-timestamp=true", Times::Rewritten),
            ("type=image,rewrite-timestamp=false", Times::Kept),
            ("type=tar,dest=x", Times::Kept),
        ] {
            assert_eq!(
                output(text).map(|output| output.times),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn outputs_that_are_wrong_say_why() {
        let table = [
            (
                "type=tar,dest=x,rewrite-timestamp=true",
                "rewrite-timestamp is for images: files have the time of SOURCE_DATE_EPOCH in any case",
            ),
            ("type=tar", "dest is required for tar output"),
            ("dest=x", "type is required for output"),
            ("type=image,dest=x", "image output has no dest"),
            ("type=image,x", "invalid value x, expected key=value"),
            (
                "type=local,dest=x,mode=move",
                "invalid mode move: write copy or delete",
            ),
            (
                "type=local,dest=x,compression=gzip",
                "unsupported option compression=gzip of --output here",
            ),
            ("type=oci,dest=x,tar=maybe", "invalid value maybe for tar"),
            (
                "type=oci,dest=-,tar=false",
                "a layout in a directory needs a dest that is one",
            ),
            (
                "type=oci,dest=x,compression=estargz",
                "no such compression: estargz, level None: write uncompressed, gzip with a level from 1 \
                 to 9, or zstd with 1 to 19",
            ),
            (
                "type=x",
                "output type \"x\" not supported: write image, registry, local, tar, oci or docker",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(to(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_output_has_annotations_of_its_own() {
        let found = output("type=oci,dest=x,annotation.a.b=c,annotation-index.d=e").unwrap();
        assert_eq!(found.annotations.len(), 2);
        let found = output("type=registry,name=x.org/a:1,name=x.org/b:1").unwrap();
        assert_eq!(found.names.len(), 2);
        assert!(output("type=tar,dest=x,name=a").is_err());
    }
}
