//! `info`: what this hoist runs on.

use std::{fmt::Write as _, process::ExitCode};

use hoist_core::units;
use serde_json::{Value, json};

use crate::{args::system::FormatFlags, cli::Call, error::CliError, format, ui};

/// The lines of the plain form: label and field of Docker's document.
const LINES: &[(&str, &str)] = &[
    (" Containers", "Containers"),
    ("  Running", "ContainersRunning"),
    ("  Paused", "ContainersPaused"),
    ("  Stopped", "ContainersStopped"),
    (" Images", "Images"),
    (" Server Version", "ServerVersion"),
    (" Daemon", "Daemon"),
    (" Storage Driver", "Driver"),
    (" Layer form", "LayerForm"),
    (" Logging Driver", "LoggingDriver"),
    (" Cgroup Driver", "CgroupDriver"),
    (" Cgroup Version", "CgroupVersion"),
    (" Default Runtime", "DefaultRuntime"),
    (" Kernel Version", "KernelVersion"),
    (" Operating System", "OperatingSystem"),
    (" OSType", "OSType"),
    (" Architecture", "Architecture"),
    (" CPUs", "NCPU"),
    (" Total Memory", "MemTotal"),
    (" Name", "Name"),
    (" Root Dir", "DockerRootDir"),
    (" Run Dir", "RunDir"),
    (" Rootless", "Rootless"),
];

/// `info [OPTIONS]`.
pub(crate) fn info(
    call: &Call<'_>,
    flags: &FormatFlags,
    _: &[String],
) -> Result<ExitCode, CliError> {
    let mut info = call.engine()?.info()?;
    match flags.format.as_deref() {
        None | Some("") => ui::out(&plain(&info))?,
        format => {
            if let Some(fields) = info.as_object_mut() {
                let client = json!({ "Version": env!("CARGO_PKG_VERSION"), "Context": "default" });
                fields.insert("ClientInfo".to_owned(), client);
            }
            ui::out(&format::document(&info, format)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn plain(info: &Value) -> String {
    let mut text = format!(
        "Client:\n Version:    {}\n\nServer:\n",
        env!("CARGO_PKG_VERSION")
    );
    for (label, field) in LINES {
        let value = match &info[*field] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            form if *field == "LayerForm" => format!(
                "{} ({})",
                form["Form"].as_str().unwrap_or_default(),
                form["Reason"].as_str().unwrap_or_default()
            ),
            number if *field == "MemTotal" => {
                units::human_bytes_binary(number.as_u64().unwrap_or(0))
            }
            other => other.to_string(),
        };
        let _ = writeln!(text, "{label}: {value}");
    }
    if let Some(options) = info["SecurityOptions"].as_array() {
        text.push_str(" Security Options:\n");
        for option in options.iter().filter_map(Value::as_str) {
            let _ = writeln!(text, "  {}", option.trim_start_matches("name="));
        }
    }
    text
}
