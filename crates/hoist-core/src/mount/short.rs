//! The short forms: `-v` and `--tmpfs`.

use std::path::Path;

use super::{MountError, MountKind, MountRequest, Propagation, Recursion, host_path, parse_target};
use crate::{name, units};

/// The mount of one `-v`: `/host:/container[:options]`, `name:/container[:options]`, or
/// `/container` for a volume without a name.
///
/// Relative sources (`./data`, `../data`, `.`) count from `cwd`, which is absolute. Options:
/// `ro` or `rw`, `z` or `Z` (accepted; there is no SELinux label to set), `nocopy`, a propagation,
/// and `consistent`, `cached` or `delegated` (accepted; all mounts are consistent here).
///
/// # Errors
/// [`MountError`] in Docker's words.
pub fn parse_volume(text: &str, cwd: &Path) -> Result<MountRequest, MountError> {
    if text.is_empty() {
        return Err(MountError::Empty);
    }
    let parts: Vec<&str> = text.split(':').collect();
    let specification = || MountError::Specification(text.to_owned());
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        // `/container:ro` is a target with options, which volumes without a source cannot have.
        [_, options] if Options::parse(options).is_ok() => return Err(specification()),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => return Err(specification()),
    };
    if source == Some("") || target.is_empty() {
        return Err(MountError::EmptySection(text.to_owned()));
    }
    let options = Options::parse(options)?;
    let target = parse_target(target)?;
    let bind = source.and_then(|source| host_path(source, cwd));
    let kind = match (bind, source) {
        (Some(source), _) => MountKind::Bind {
            source,
            create_missing: true,
            recursion: Recursion::Enabled,
        },
        (None, Some(name)) => {
            name::validate_volume(name)?;
            MountKind::Volume {
                name: Some(name.to_owned()),
                nocopy: options.nocopy,
            }
        }
        (None, None) => MountKind::Volume {
            name: None,
            nocopy: false,
        },
    };
    if options.nocopy && matches!(kind, MountKind::Bind { .. }) {
        return Err(MountError::Mode("nocopy".to_owned()));
    }
    Ok(MountRequest {
        kind,
        target,
        read_only: options.read_only,
        propagation: options.propagation,
    })
}

/// What the third part of `-v` says.
#[derive(Debug, Default)]
struct Options {
    read_only: bool,
    nocopy: bool,
    propagation: Propagation,
}

impl Options {
    /// Comma-separated words, at most one of a group; an empty text has none.
    fn parse(text: &str) -> Result<Self, MountError> {
        let mut options = Self::default();
        if text.is_empty() {
            return Ok(options);
        }
        let mut groups_seen = Vec::new();
        for word in text.split(',') {
            let group = match word {
                "ro" | "rw" => {
                    options.read_only = word == "ro";
                    "access"
                }
                "nocopy" => {
                    options.nocopy = true;
                    "copy"
                }
                "z" | "Z" => "label",
                "consistent" | "cached" | "delegated" => "consistency",
                word => {
                    options.propagation = Propagation::from_word(word)
                        .ok_or_else(|| MountError::Mode(text.to_owned()))?;
                    "propagation"
                }
            };
            if groups_seen.contains(&group) {
                return Err(MountError::Mode(text.to_owned()));
            }
            groups_seen.push(group);
        }
        Ok(options)
    }
}

/// The mount of one `--tmpfs`: `/path` or `/path:options`, options as `mount -t tmpfs` takes them.
///
/// # Errors
/// [`MountError`]: the path is not absolute, or tmpfs knows no such option.
pub fn parse_tmpfs(text: &str) -> Result<MountRequest, MountError> {
    let (target, words) = text.split_once(':').unwrap_or((text, ""));
    let target = parse_target(target)?;
    let (mut size, mut mode, mut read_only) = (None, None, false);
    let mut options = Vec::new();
    for word in words.split(',').filter(|word| !word.is_empty()) {
        let refused = || MountError::TmpfsOption(word.to_owned());
        match word.split_once('=') {
            Some(("size", value)) if value.ends_with('%') => {
                let percent = value.trim_end_matches('%');
                percent.parse::<u32>().map_err(|_| refused())?;
                options.push(word.to_owned());
            }
            Some(("size", value)) => {
                size = Some(units::parse_bytes(value).map_err(|_| refused())?);
            }
            Some(("mode", value)) => mode = Some(octal_mode(value).ok_or_else(refused)?),
            Some(("uid" | "gid", value)) if value.parse::<u32>().is_ok() => {
                options.push(word.to_owned());
            }
            Some(("nr_inodes" | "nr_blocks", value)) if units::parse_bytes(value).is_ok() => {
                options.push(word.to_owned());
            }
            Some(("huge" | "mpol", _)) => options.push(word.to_owned()),
            None if word == "ro" => read_only = true,
            None if word == "rw" => read_only = false,
            None if FLAGS.contains(&word) => options.push(word.to_owned()),
            _ => return Err(refused()),
        }
    }
    Ok(MountRequest {
        kind: MountKind::Tmpfs {
            size,
            mode,
            options,
        },
        target,
        read_only,
        propagation: Propagation::default(),
    })
}

/// Options of every file system that `--tmpfs` passes on.
const FLAGS: [&str; 17] = [
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];

/// Permission bits in octal, at most 07777.
pub(super) fn octal_mode(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = digits
        .then(|| u32::from_str_radix(text, 8).ok())
        .flatten()?;
    (mode <= 0o7777).then_some(mode)
}
