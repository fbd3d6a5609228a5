//! The long form: `--mount`.

use std::path::{Component, Path, PathBuf};

use super::{
    MountError, MountKind, MountRequest, Propagation, Recursion, csv, host_path, parse_target,
    short::octal_mode,
};
use crate::{name, units};

/// The mount of one `--mount`: `type=bind,source=/host,target=/container,readonly` and the like,
/// one record of comma-separated values, quotes included.
///
/// Relative sources of bind mounts count from `cwd`, which is absolute.
///
/// # Errors
/// [`MountError`] in Docker's words; [`MountError::Unsupported`] for what Docker has beyond local
/// volumes (other drivers and their options).
pub fn parse_mount(text: &str, cwd: &Path) -> Result<MountRequest, MountError> {
    let mut fields = Fields::default();
    for field in csv::fields(text)? {
        fields.set(&field)?;
    }
    fields.finish(cwd)
}

/// The fields of one `--mount` as far as they are read.
#[derive(Debug, Default)]
struct Fields {
    kind: Option<String>,
    source: String,
    target: String,
    read_only: bool,
    propagation: Option<Propagation>,
    recursion: Option<Recursion>,
    nocopy: bool,
    tmpfs_size: Option<u64>,
    tmpfs_mode: Option<u32>,
    image_subpath: String,
    /// A `volume-*`, `bind-*`, `tmpfs-*` option was there.
    prefixes: Vec<&'static str>,
}

impl Fields {
    fn set(&mut self, field: &str) -> Result<(), MountError> {
        let Some((key, value)) = field.split_once('=') else {
            return match field {
                "readonly" | "ro" | "volume-nocopy" => self.set_value(field, "true", field),
                "bind-nonrecursive" => self.set_value(field, "true", field),
                _ => Err(MountError::Field(field.to_owned())),
            };
        };
        self.set_value(key, value, field)
    }

    fn set_value(&mut self, key: &str, value: &str, field: &str) -> Result<(), MountError> {
        let refused = || MountError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        for prefix in ["volume", "bind", "tmpfs", "image"] {
            if key.starts_with(prefix) && !self.prefixes.contains(&prefix) {
                self.prefixes.push(prefix);
            }
        }
        match key {
            "type" => self.kind = Some(value.to_ascii_lowercase()),
            "source" | "src" => value.clone_into(&mut self.source),
            "target" | "dst" | "destination" => value.clone_into(&mut self.target),
            "readonly" | "ro" => self.read_only = parse_bool(value).ok_or_else(refused)?,
            "consistency" => match value.to_ascii_lowercase().as_str() {
                "default" | "consistent" | "cached" | "delegated" => {}
                _ => return Err(refused()),
            },
            "bind-propagation" => {
                let word = value.to_ascii_lowercase();
                self.propagation = Some(Propagation::from_word(&word).ok_or_else(refused)?);
            }
            "bind-nonrecursive" => {
                let disabled = parse_bool(value).ok_or_else(refused)?;
                self.recursion = disabled.then_some(Recursion::Disabled);
            }
            "bind-recursive" => self.recursion = Some(parse_recursion(value)?),
            "volume-nocopy" => self.nocopy = parse_bool(value).ok_or_else(refused)?,
            "volume-driver" if value == "local" => {}
            "volume-driver" | "volume-label" | "volume-opt" | "volume-subpath" => {
                return Err(MountError::Unsupported(field.to_owned()));
            }
            "tmpfs-size" => {
                self.tmpfs_size = Some(units::parse_bytes(value).map_err(|_| refused())?);
            }
            "tmpfs-mode" => self.tmpfs_mode = Some(octal_mode(value).ok_or_else(refused)?),
            "image-subpath" => value.clone_into(&mut self.image_subpath),
            _ => {
                return Err(MountError::Key {
                    key: key.to_owned(),
                    field: field.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn finish(mut self, cwd: &Path) -> Result<MountRequest, MountError> {
        let kind = self.kind.take().unwrap_or_else(|| "volume".to_owned());
        if kind.is_empty() {
            return Err(MountError::Required("type"));
        }
        if self.target.is_empty() {
            return Err(MountError::Required("target"));
        }
        if let Some(options) = self.prefixes.iter().find(|prefix| **prefix != kind) {
            return Err(MountError::Mixed { options, kind });
        }
        let config = |reason: String| MountError::Config {
            kind: kind.clone(),
            reason,
        };
        let target = parse_target(&self.target).map_err(|error| config(error.to_string()))?;
        let kind = match kind.as_str() {
            "bind" => self.bind(cwd)?,
            "volume" => self.volume(&config)?,
            "tmpfs" if self.source.is_empty() => MountKind::Tmpfs {
                size: self.tmpfs_size,
                mode: self.tmpfs_mode,
                options: Vec::new(),
            },
            "tmpfs" => return Err(config("field Source must not be specified".to_owned())),
            "image" => self.image(&config)?,
            "npipe" | "cluster" => {
                return Err(MountError::Unsupported(format!("type={kind}")));
            }
            _ => return Err(config("mount type unknown".to_owned())),
        };
        Ok(MountRequest {
            target,
            read_only: self.read_only || matches!(kind, MountKind::Image { .. }),
            kind,
            propagation: self.propagation.unwrap_or_default(),
        })
    }

    fn bind(&self, cwd: &Path) -> Result<MountKind, MountError> {
        let config = |reason: String| MountError::Config {
            kind: "bind".to_owned(),
            reason,
        };
        if self.source.is_empty() {
            return Err(config("field Source must not be empty".to_owned()));
        }
        let recursion = self.recursion.unwrap_or_default();
        if recursion == Recursion::Readonly {
            if !self.read_only {
                return Err(config(
                    "option 'bind-recursive=readonly' requires 'readonly' to be specified in \
                     conjunction"
                        .to_owned(),
                ));
            }
            if self.propagation != Some(Propagation::Rprivate) {
                return Err(config(
                    "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be \
                     specified in conjunction"
                        .to_owned(),
                ));
            }
        }
        let source = host_path(&self.source, cwd).filter(|_| !self.source.contains('\0'));
        let source = source
            .ok_or_else(|| config(MountError::NotAbsolute(self.source.clone()).to_string()))?;
        Ok(MountKind::Bind {
            source,
            create_missing: false,
            recursion,
        })
    }

    fn image(&self, config: &impl Fn(String) -> MountError) -> Result<MountKind, MountError> {
        if self.source.is_empty() {
            return Err(config("field Source must not be empty".to_owned()));
        }
        let mut subpath = PathBuf::new();
        for component in Path::new(&self.image_subpath).components() {
            match component {
                Component::Normal(name) => subpath.push(name),
                Component::CurDir => {}
                _ => {
                    return Err(config(format!(
                        "subpath must be a relative path within the image: {}",
                        self.image_subpath
                    )));
                }
            }
        }
        Ok(MountKind::Image {
            source: self.source.clone(),
            subpath,
            image: None,
            layers: Vec::new(),
        })
    }

    fn volume(&self, config: &impl Fn(String) -> MountError) -> Result<MountKind, MountError> {
        if self.source.is_empty() {
            if self.read_only {
                return Err(config(
                    "must not set ReadOnly mode when using anonymous volumes".to_owned(),
                ));
            }
            return Ok(MountKind::Volume {
                name: None,
                nocopy: self.nocopy,
            });
        }
        name::validate_volume(&self.source)?;
        Ok(MountKind::Volume {
            name: Some(self.source.clone()),
            nocopy: self.nocopy,
        })
    }
}

/// The words of Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

fn parse_recursion(text: &str) -> Result<Recursion, MountError> {
    if let Some(flag) = parse_bool(text) {
        return Ok(match flag {
            true => Recursion::Enabled,
            false => Recursion::Disabled,
        });
    }
    Ok(match text {
        "enabled" => Recursion::Enabled,
        "disabled" => Recursion::Disabled,
        "writable" => Recursion::Writable,
        "readonly" => Recursion::Readonly,
        _ => {
            return Err(MountError::Value {
                key: "bind-recursive".to_owned(),
                value: format!(
                    "{text} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
                ),
            });
        }
    })
}
