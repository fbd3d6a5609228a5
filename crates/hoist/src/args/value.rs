//! The values of flags: text in, typed value or Docker's sentence out.

use std::time::Duration;

use super::registry::PullPolicy;
use hoist_core::{
    Platform, Reference, duration as core_duration,
    mount::{self as core_mount, MountRequest},
    port::{self, PortMapping},
    signal::Signal,
    units,
};
use hoist_engine::request::NetworkMode;

use crate::ui::progress::Style;

/// The mappings of one `-p`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ports(pub(crate) Vec<PortMapping>);

/// A value's sentence and hints as one text.
fn sentence<E: hoist_core::Describe>(error: &E) -> String {
    let mut text = error.to_string();
    for hint in error.hints() {
        text.push_str("\nhint: ");
        text.push_str(&hint);
    }
    text
}

/// Go's `strconv.ParseBool`.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!(
            "strconv.ParseBool: parsing {text:?}: invalid syntax"
        )),
    }
}

/// A decimal number.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse().map_err(|error: std::num::ParseIntError| {
        let what = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {text:?}: {what}")
    })
}

/// `512m`, `1.5g`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    units::parse_bytes(text).map_err(|error| sentence(&error))
}

/// `1.5` processors in billionths.
pub(crate) fn cpus(text: &str) -> Result<u64, String> {
    units::parse_cpus(text).map_err(|error| sentence(&error))
}

/// `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    core_duration::parse(text).map_err(|error| sentence(&error))
}

/// `30d`, `36h`.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    core_duration::parse_age(text).map_err(|error| sentence(&error))
}

/// A signal's number from its name or number.
pub(crate) fn signal(text: &str) -> Result<Signal, String> {
    text.parse::<Signal>().map_err(|error| sentence(&error))
}

/// A signal's name or number, which is kept as it was written.
pub(crate) fn signal_name(text: &str) -> Result<String, String> {
    signal(text).map(|_| text.to_owned())
}

/// `-e`: a name, with or without a value.
pub(crate) fn env(text: &str) -> Result<String, String> {
    match text.split('=').next() {
        None | Some("") => Err(format!("invalid environment variable: {text}")),
        Some(_) => Ok(text.to_owned()),
    }
}

/// `-l`: a name, with or without a value.
pub(crate) fn label(text: &str) -> Result<String, String> {
    let name = text.split('=').next().unwrap_or_default().trim_start();
    if name.is_empty() {
        return Err(format!("invalid label '{text}': empty name"));
    }
    if name.contains([' ', '\t']) {
        return Err(format!("label '{name}' contains whitespaces"));
    }
    Ok(text.to_owned())
}

/// `-w`: an absolute path.
pub(crate) fn workdir(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err(format!(
        "the working directory '{text}' is invalid, it needs to be an absolute path"
    ))
}

/// `-p`.
pub(crate) fn ports(text: &str) -> Result<Ports, String> {
    port::parse_publish(text)
        .map(Ports)
        .map_err(|error| sentence(&error))
}

/// `-v`; relative host paths start at the working directory.
pub(crate) fn volume(text: &str) -> Result<MountRequest, String> {
    core_mount::parse_volume(text, &here()?).map_err(|error| sentence(&error))
}

/// `--mount`.
pub(crate) fn mount(text: &str) -> Result<MountRequest, String> {
    core_mount::parse_mount(text, &here()?).map_err(|error| sentence(&error))
}

/// `--tmpfs`.
pub(crate) fn tmpfs(text: &str) -> Result<MountRequest, String> {
    core_mount::parse_tmpfs(text).map_err(|error| sentence(&error))
}

fn here() -> Result<std::path::PathBuf, String> {
    std::env::current_dir().map_err(|error| format!("the working directory is gone: {error}"))
}

/// `--network` of a container.
pub(crate) fn network(text: &str) -> Result<NetworkMode, String> {
    match text {
        "bridge" | "default" => Ok(NetworkMode::Bridge),
        "none" => Ok(NetworkMode::None),
        "host" => Ok(NetworkMode::Host),
        _ => Err(format!(
            "network {text} not found\nhint: this version of hoist has the networks bridge, none and host"
        )),
    }
}

/// `--network` of a build.
pub(crate) fn build_network(text: &str) -> Result<NetworkMode, String> {
    match text {
        "default" => Ok(NetworkMode::Bridge),
        "none" | "host" => network(text),
        _ => Err(format!(
            "network mode {text:?} not supported: write default, none or host"
        )),
    }
}

/// `--pull` of `run` and `create`.
pub(crate) fn pull(text: &str) -> Result<PullPolicy, String> {
    match text {
        "missing" => Ok(PullPolicy::Missing),
        "always" => Ok(PullPolicy::Always),
        "never" => Ok(PullPolicy::Never),
        _ => Err(format!(
            "invalid pull option: {text:?}: must be one of \"always\", \"missing\" or \"never\""
        )),
    }
}

/// `os/arch[/variant]`.
pub(crate) fn platform(text: &str) -> Result<Platform, String> {
    let word = |part: &&str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let parts: Vec<&str> = text.split('/').collect();
    let malformed = || {
        format!(
            "{text:?} is an invalid platform specifier: write os/arch[/variant], such as linux/amd64"
        )
    };
    if !parts.iter().all(word) {
        return Err(malformed());
    }
    match parts.as_slice() {
        [os, architecture] => Ok(made_platform(os, architecture, None)),
        [os, architecture, variant] => Ok(made_platform(os, architecture, Some(variant))),
        [architecture] if *architecture != "linux" => {
            Ok(made_platform("linux", architecture, None))
        }
        ["linux"] => Ok(Platform::host()),
        _ => Err(malformed()),
    }
}

fn made_platform(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64", None) => ("amd64", None),
        ("aarch64", None) | ("arm64", Some("v8")) => ("arm64", None),
        other => other,
    };
    Platform {
        os: os.to_owned(),
        architecture: architecture.to_owned(),
        variant: variant.map(str::to_owned),
    }
}

/// A name for an image.
pub(crate) fn tag(text: &str) -> Result<Reference, String> {
    let reference = Reference::parse(text).map_err(|error| error.to_string())?;
    if reference.digest().is_some() {
        return Err("a name with a digest cannot be given to an image: write name:tag".to_owned());
    }
    Ok(reference)
}

/// `--progress`.
pub(crate) fn progress(text: &str) -> Result<Style, String> {
    match text {
        "auto" => Ok(Style::Auto),
        "tty" => Ok(Style::Terminal),
        "plain" => Ok(Style::Plain),
        "quiet" | "none" => Ok(Style::Quiet),
        "rawjson" => Ok(Style::RawJson),
        _ => Err(format!(
            "unknown progress mode {text:?}: write auto, tty, plain, quiet or rawjson"
        )),
    }
}
