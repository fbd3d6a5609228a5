//! The environment, read here and nowhere else.
//!
//! | variable | meaning |
//! |---|---|
//! | `HOIST_ROOT` | persistent data; default `/var/lib/hoist`, for ordinary users `$XDG_DATA_HOME/hoist` |
//! | `HOIST_RUN` | live state, on tmpfs; default `/run/hoist`, for ordinary users `$XDG_RUNTIME_DIR/hoist` |
//! | `HOIST_LAYER_FORM` | how layers from registries and archives lie on disk: `auto` (default), `indexed`, `unpacked` |
//! | `NO_COLOR` | no colours, whatever its value unless empty |
//! | `TZ` | the zone of times without one, as everywhere |
//! | `DOCKER_CONFIG`, `HTTP_PROXY`, … | see [`registries`] and [`remote`] |
//! | `TERM` | `dumb` means no colours and no live lines |

pub(crate) mod registries;
pub(crate) mod remote;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use hoist_core::{Digest, Kind, time::Timestamp};
use hoist_store::FormPolicy;
use jiff::{Zoned, tz::TimeZone};

use crate::error::CliError;

/// The engine's settings from the environment.
///
/// # Errors
/// When an ordinary user has neither the variables nor a home directory.
pub(crate) fn engine() -> Result<hoist_engine::Settings, CliError> {
    let user = rustix::process::geteuid();
    let rootless = !user.is_root();
    let default_root = if rootless {
        user_data()?
    } else {
        PathBuf::from("/var/lib/hoist")
    };
    let default_run = if rootless {
        user_runtime(user.as_raw(), &default_root)
    } else {
        PathBuf::from("/run/hoist")
    };
    let root = directory("HOIST_ROOT")?.unwrap_or_else(|| default_root.clone());
    let run = match directory("HOIST_RUN")? {
        Some(run) => run,
        None if root == default_root => default_run.clone(),
        None => beside(&default_run, &root),
    };
    let program = env::current_exe().map_err(|error| {
        CliError::of(
            Kind::Unavailable,
            format!("cannot find this program's own file: {error}"),
        )
    })?;
    Ok(hoist_engine::Settings {
        default_root: root == default_root && run == default_run,
        root,
        run,
        program,
        rootless,
        layer_form: layer_form()?,
    })
}

fn layer_form() -> Result<FormPolicy, CliError> {
    match env::var_os("HOIST_LAYER_FORM") {
        Some(value) if !value.is_empty() => {
            let parsed = value.to_string_lossy().parse();
            parsed.map_err(|error| CliError::invalid(format!("HOIST_LAYER_FORM: {error}")))
        }
        _ => Ok(FormPolicy::Auto),
    }
}

/// The value of an environment variable, for `-e NAME` and `--build-arg NAME`.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Colours are welcome on a terminal.
pub(crate) fn colour() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !dumb_terminal()
}

/// The terminal cannot move its cursor.
pub(crate) fn dumb_terminal() -> bool {
    env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// How many seconds east of Greenwich the zone of this machine is now.
pub(crate) fn local_offset_seconds() -> i32 {
    Zoned::now().offset().seconds()
}

/// `time` in the zone of this machine, as Go writes it: `2026-01-02 15:04:05 +0100 CET`.
pub(crate) fn local_time(time: Timestamp) -> String {
    zoned(time).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// `time` in the zone of this machine, as RFC 3339 without fractions.
pub(crate) fn local_rfc3339(time: Timestamp) -> String {
    let zoned = zoned(time);
    match zoned.offset().seconds() {
        0 => zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        _ => zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    }
}

fn zoned(time: Timestamp) -> Zoned {
    let time = jiff::Timestamp::from_second(time.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::system())
}

fn directory(name: &str) -> Result<Option<PathBuf>, CliError> {
    let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    match std::path::absolute(&value) {
        Ok(path) => Ok(Some(path)),
        Err(error) => Err(CliError::invalid(format!(
            "{name}={}: {error}",
            value.display()
        ))),
    }
}

/// Live state of a root that is not the default one: its own directory beside the default's.
fn beside(default_run: &Path, root: &Path) -> PathBuf {
    let mark = Digest::of(root.as_os_str().as_encoded_bytes()).short();
    let mut name = default_run.as_os_str().to_owned();
    name.push(format!("-{mark}"));
    PathBuf::from(name)
}

fn user_data() -> Result<PathBuf, CliError> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("hoist"))
        .ok_or_else(|| {
            CliError::of(Kind::Invalid, "no home directory: HOME is not set")
                .hint("set HOME, or HOIST_ROOT to a directory for images and containers")
        })
}

/// Live state of an ordinary user: below the session's directory, which only the user can enter;
/// without a session, below the user's own data, never in a directory that all can write to.
fn user_runtime(uid: u32, data: &Path) -> PathBuf {
    let given = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    let of_session = given.filter(|path| path.is_absolute()).unwrap_or(usual);
    if fs::metadata(&of_session).is_ok_and(|data| data.is_dir()) {
        return of_session.join("hoist");
    }
    data.join("run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_root_has_its_own_live_state() {
        let run = Path::new("/run/hoist");
        let one = beside(run, Path::new("/a"));
        assert!(one.to_str().unwrap().starts_with("/run/hoist-"));
        assert_ne!(one, beside(run, Path::new("/b")));
    }
}
