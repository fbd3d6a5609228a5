//! From the flags of `run` and `create` to the engine's request.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hoist_core::{
    env::{self, EnvSetting},
    image::Healthcheck,
};
use hoist_engine::{CreateRequest, request::Limits};

use crate::{
    args::container::{ContainerFlags, HealthFlags, all_ports},
    error::CliError,
    settings,
};

/// A grace period that no one waits out: `--stop-timeout -1`.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The request that the flags and the words `IMAGE [COMMAND] [ARG...]` make.
///
/// # Errors
/// When a file cannot be read or parsed, or flags contradict each other.
pub(crate) fn from_flags(
    flags: &ContainerFlags,
    words: &[String],
) -> Result<CreateRequest, CliError> {
    let (image, command) = words
        .split_first()
        .ok_or_else(|| CliError::invalid("no image given"))?;
    let process = &flags.process;
    let mounts = [
        &flags.storage.volume,
        &flags.storage.mount,
        &flags.storage.tmpfs,
    ];
    Ok(CreateRequest {
        image: image.clone(),
        name: flags.name.clone().filter(|name| !name.is_empty()),
        command: command.to_vec(),
        entrypoint: process.entrypoint.as_ref().map(|word| match word.as_str() {
            "" => Vec::new(),
            program => vec![program.to_owned()],
        }),
        env: environment(&process.env_file, &process.env)?,
        working_dir: process.workdir.clone(),
        user: process.user.clone(),
        hostname: flags.network.hostname.clone(),
        labels: labels(&process.label_file, &process.label)?,
        tty: flags.tty,
        stdin_open: flags.interactive,
        ports: all_ports(&flags.network.publish),
        mounts: mounts.into_iter().flatten().cloned().collect(),
        network: flags.network.network.unwrap_or_default(),
        limits: Limits {
            memory: flags.resources.memory.filter(|bytes| *bytes > 0),
            nano_cpus: flags.resources.cpus.filter(|cpus| *cpus > 0),
            pids: flags.resources.pids_limit.filter(|limit| *limit > 0),
        },
        read_only: flags.storage.read_only,
        init: process.init,
        stop_signal: process.stop_signal.clone(),
        stop_timeout: process.stop_timeout.map(grace),
        auto_remove: flags.rm,
        healthcheck: healthcheck(&flags.health)?,
    })
}

/// Seconds of `--stop-timeout`; negative is for ever.
fn grace(seconds: i64) -> Duration {
    u64::try_from(seconds)
        .map_or(FOR_EVER, Duration::from_secs)
        .min(FOR_EVER)
}

/// The settings of the files, then those of the flags.
pub(crate) fn environment(
    files: &[PathBuf],
    flags: &[String],
) -> Result<Vec<EnvSetting>, CliError> {
    let mut settings = Vec::new();
    for path in files {
        let content = read(path)?;
        settings.extend(env::parse_file(
            &path.to_string_lossy(),
            &content,
            settings::variable,
        )?);
    }
    for flag in flags {
        settings.push(env::parse_flag(flag, settings::variable)?);
    }
    Ok(settings)
}

/// The labels of the files (a name alone has an empty value), then those of the flags.
pub(crate) fn labels(
    files: &[PathBuf],
    flags: &[String],
) -> Result<BTreeMap<String, String>, CliError> {
    let mut labels = BTreeMap::new();
    for path in files {
        let content = read(path)?;
        let lines = env::parse_file(&path.to_string_lossy(), &content, |_| Some(String::new()))?;
        labels.extend(
            lines
                .into_iter()
                .map(|line| (line.name, line.value.unwrap_or_default())),
        );
    }
    for flag in flags {
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        labels.insert(name.to_owned(), value.to_owned());
    }
    Ok(labels)
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| CliError::file("open", path, &error))
}

fn healthcheck(flags: &HealthFlags) -> Result<Option<Healthcheck>, CliError> {
    let command = flags
        .health_cmd
        .as_ref()
        .filter(|command| !command.is_empty());
    let durations = [
        flags.health_interval,
        flags.health_timeout,
        flags.health_start_period,
        flags.health_start_interval,
    ];
    let given = command.is_some()
        || flags.health_retries.is_some()
        || durations.iter().any(Option::is_some);
    if flags.no_healthcheck {
        if given {
            return Err(CliError::invalid(
                "--no-healthcheck conflicts with --health-* options",
            ));
        }
        return Ok(Some(Healthcheck {
            test: vec!["NONE".to_owned()],
            ..Healthcheck::default()
        }));
    }
    if !given {
        return Ok(None);
    }
    let retries = u32::try_from(flags.health_retries.unwrap_or(0))
        .map_err(|_| CliError::invalid("--health-retries cannot be negative"))?;
    Ok(Some(Healthcheck {
        test: command
            .map(|command| vec!["CMD-SHELL".to_owned(), command.clone()])
            .unwrap_or_default(),
        interval: durations[0].unwrap_or_default(),
        timeout: durations[1].unwrap_or_default(),
        start_period: durations[2].unwrap_or_default(),
        start_interval: durations[3].unwrap_or_default(),
        retries,
    }))
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;
    use crate::args::{self, container::CreateFlags};

    fn request(line: &[&str]) -> Result<CreateRequest, CliError> {
        let parser = args::parser::<CreateFlags>(true);
        let mut matches = parser.try_get_matches_from(line).unwrap();
        let words: Vec<String> = matches
            .remove_many(args::WORDS)
            .into_iter()
            .flatten()
            .collect();
        from_flags(
            &CreateFlags::from_arg_matches(&matches).unwrap().container,
            &words,
        )
    }

    fn sentence(line: &[&str]) -> String {
        request(line).unwrap_err().text("hoist")
    }

    #[test]
    fn files_come_before_flags() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = directory.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let env = file("env", "# comment\nA=file\nB=file\n");
        let labels = file("labels", "tier=web\nalone\n");
        let request = request(&[
            "-e",
            "A=flag",
            "--env-file",
            &env,
            "--label-file",
            &labels,
            "-l",
            "tier=db",
            "x",
        ])
        .unwrap();
        let settings: Vec<_> = request
            .env
            .iter()
            .map(|setting| (setting.name.as_str(), setting.value.as_deref().unwrap()))
            .collect();
        assert_eq!(settings, [("A", "file"), ("B", "file"), ("A", "flag")]);
        let labels: Vec<_> = request.labels.into_iter().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(labels, [pair("alone", ""), pair("tier", "db")]);
    }

    #[test]
    fn zero_and_negative_limits_are_none() {
        let limits = |line: &[&str]| request(line).unwrap().limits;
        assert_eq!(
            limits(&["-m", "0", "--cpus", "0", "--pids-limit", "-1", "x"]),
            Limits::default()
        );
        assert_eq!(limits(&["--pids-limit", "0", "x"]), Limits::default());
        assert_eq!(limits(&["--pids-limit", "9", "x"]).pids, Some(9));
        let timeout = |text| {
            request(&["--stop-timeout", text, "x"])
                .unwrap()
                .stop_timeout
        };
        assert_eq!(timeout("3"), Some(Duration::from_secs(3)));
        assert_eq!(timeout("-1"), Some(FOR_EVER));
    }

    #[test]
    fn an_entry_point_is_one_word_or_none() {
        let entrypoint = |line: &[&str]| request(line).unwrap().entrypoint;
        assert_eq!(entrypoint(&["x"]), None);
        assert_eq!(entrypoint(&["--entrypoint", "", "x"]), Some(Vec::new()));
        assert_eq!(
            entrypoint(&["--entrypoint", "a b", "x"]),
            Some(vec!["a b".to_owned()])
        );
    }

    #[test]
    fn health_flags_make_a_check() {
        let check = |line: &[&str]| request(line).unwrap().healthcheck;
        assert_eq!(check(&["x"]), None);
        assert_eq!(check(&["--no-healthcheck", "x"]).unwrap().test, ["NONE"]);
        let made = check(&["--health-cmd", "curl x", "--health-retries", "2", "x"]).unwrap();
        assert_eq!(
            (made.test.as_slice(), made.retries),
            (&["CMD-SHELL".to_owned(), "curl x".to_owned()][..], 2)
        );
        let changed = check(&["--health-interval", "5s", "x"]).unwrap();
        assert_eq!(
            (changed.test.len(), changed.interval),
            (0, Duration::from_secs(5))
        );
    }

    #[test]
    fn contradictions_and_missing_files_are_told() {
        assert_eq!(
            sentence(&["--no-healthcheck", "--health-cmd", "true", "x"]),
            "hoist: --no-healthcheck conflicts with --health-* options\n"
        );
        assert_eq!(
            sentence(&["--health-retries", "-1", "x"]),
            "hoist: --health-retries cannot be negative\n"
        );
        assert_eq!(
            sentence(&["--env-file", "/nonexistent/env", "x"]),
            "hoist: cannot open /nonexistent/env: No such file or directory (os error 2)\n"
        );
    }
}
