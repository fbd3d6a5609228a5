//! `HEALTHCHECK [flags] CMD command`, `HEALTHCHECK NONE`.

use std::time::Duration;

use super::duration::parse_duration;
use super::{CommandForm, Request};
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::syntax::flags::{Flags, Takes};

/// How the health of a container is probed. A duration that is `None` is the engine's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthcheck {
    /// The probe.
    pub test: HealthTest,
    /// `--interval`.
    pub interval: Option<Duration>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--start-period`.
    pub start_period: Option<Duration>,
    /// `--start-interval`.
    pub start_interval: Option<Duration>,
    /// `--retries`.
    pub retries: Option<u32>,
}

/// What a health check runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthTest {
    /// `NONE`: also not what the base image says.
    None,
    /// `CMD`.
    Command(CommandForm),
}

impl Healthcheck {
    /// The `Test` of an image's configuration: `NONE`, `CMD-SHELL` and a line, or `CMD` and words.
    #[must_use]
    pub fn test_words(&self) -> Vec<String> {
        match &self.test {
            HealthTest::None => vec!["NONE".to_owned()],
            HealthTest::Command(CommandForm::Shell(line)) => {
                vec!["CMD-SHELL".to_owned(), line.clone()]
            }
            HealthTest::Command(CommandForm::Exec(words)) => {
                let kind = std::iter::once("CMD".to_owned());
                kind.chain(words.iter().cloned()).collect()
            }
        }
    }
}

pub(super) fn parse(request: &mut Request<'_, '_>) -> Result<Healthcheck, Diagnostic> {
    let args = request.args();
    let text = args.text();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let kind = args.slice(0..end);
    let rest = args.slice(end..text.len()).trim();
    match kind.text().to_ascii_uppercase().as_str() {
        "" => Err(request.needs_one()),
        "NONE" => {
            if !rest.text().is_empty() {
                let message = "HEALTHCHECK NONE takes no arguments";
                return Err(Diagnostic::error("healthcheck", message, rest.span()));
            }
            request.ignore_flags();
            Ok(Healthcheck {
                test: HealthTest::None,
                interval: None,
                timeout: None,
                start_period: None,
                start_interval: None,
                retries: None,
            })
        }
        "CMD" => {
            let flags = request.flags(&[
                ("interval", Takes::Value),
                ("timeout", Takes::Value),
                ("start-period", Takes::Value),
                ("start-interval", Takes::Value),
                ("retries", Takes::Value),
            ])?;
            let command = request.command(rest)?;
            if command.is_empty() {
                let message = "Missing command after HEALTHCHECK CMD";
                return Err(Diagnostic::error("healthcheck", message, kind.span()));
            }
            Ok(Healthcheck {
                test: HealthTest::Command(command),
                interval: interval(&flags, "interval")?,
                timeout: interval(&flags, "timeout")?,
                start_period: interval(&flags, "start-period")?,
                start_interval: interval(&flags, "start-interval")?,
                retries: flags
                    .non_empty("retries")
                    .map(|value| retries(&value))
                    .transpose()?
                    .flatten(),
            })
        }
        other => {
            let message = format!("Unknown type \"{other}\" in HEALTHCHECK (try CMD)");
            Err(Diagnostic::error("healthcheck", message, kind.span()))
        }
    }
}

fn interval(flags: &Flags, name: &str) -> Result<Option<Duration>, Diagnostic> {
    let Some(value) = flags.non_empty(name) else {
        return Ok(None);
    };
    let error = |message| Diagnostic::error("duration", message, value.span);
    let nanoseconds = parse_duration(&value).map_err(|message| {
        error(message).with_help("write a number with a unit, such as 30s or 1m30s")
    })?;
    if nanoseconds == 0 {
        return Ok(None);
    }
    match u64::try_from(nanoseconds) {
        Ok(nanoseconds) if nanoseconds >= 1_000_000 => Ok(Some(Duration::from_nanos(nanoseconds))),
        _ => Err(error(format!(
            "Interval \"{name}\" cannot be less than 1ms"
        ))),
    }
}

fn retries(value: &Spanned<String>) -> Result<Option<u32>, Diagnostic> {
    let error = |message| Diagnostic::error("retries", message, value.span);
    match value.parse::<i32>() {
        Ok(count) => match u32::try_from(count) {
            Ok(0) => Ok(None),
            Ok(count) => Ok(Some(count)),
            Err(_) => Err(error(format!("--retries cannot be negative ({count})"))),
        },
        Err(reason) => Err(error(format!(
            "--retries takes a number, not \"{}\": {reason}",
            value.value
        ))),
    }
}
