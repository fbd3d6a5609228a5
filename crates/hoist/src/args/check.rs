//! The flags of `check`, and those of `build` that check in place of building.

use std::path::PathBuf;

use super::value;

/// `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckFlags {
    /// Name of the Dockerfile (default: "PATH/Dockerfile"; "-" reads it from STDIN)
    #[arg(short, long, value_name = "file")]
    pub(crate) file: Option<PathBuf>,
    /// Repair what is safe to repair, and show what was changed
    #[arg(long)]
    pub(crate) fix: bool,
    /// Format of the findings ("text", "json", "sarif")
    #[arg(long, value_name = "string", value_parser = format)]
    pub(crate) format: Option<Format>,
    /// Explain a check, with examples
    #[arg(long, value_name = "name")]
    pub(crate) explain: Option<String>,
    /// Set build-time variables; a name alone takes the value from here
    #[arg(long, value_name = "list", value_parser = value::env)]
    pub(crate) build_arg: Vec<String>,
    /// Check only what this build stage needs
    #[arg(long, value_name = "stage")]
    pub(crate) target: Option<String>,
    /// Set target platform for build (os/arch[/variant])
    #[arg(long, value_name = "platform", value_parser = value::platform)]
    pub(crate) platform: Option<hoist_core::Platform>,
}

/// What `build` is to do instead of building.
#[derive(Debug, clap::Args)]
pub(crate) struct CallFlags {
    /// Shorthand for "--call=check"
    #[arg(long)]
    check: bool,
    /// Set method for evaluating build ("build", "check", "outline", "targets";
    /// with ",format=json" for tools)
    #[arg(long, value_name = "string", value_parser = method)]
    call: Option<Method>,
}

/// `--call`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Build,
    Instead(Call),
}

/// What is told in place of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// What could be better.
    Check(Format),
    /// What the build of the target can be given.
    Outline(Form),
    /// The stages that can be built.
    Targets(Form),
}

/// How an outline or the targets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Tables for people, as Docker writes them.
    Text,
    /// Docker's JSON.
    Json,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people, as Docker writes them.
    #[default]
    Text,
    /// Docker's JSON.
    Json,
    /// SARIF 2.1.0.
    Sarif,
}

impl CallFlags {
    /// What is to be told in place of a build.
    pub(crate) fn instead(&self) -> Option<Call> {
        match (self.call, self.check) {
            (Some(Method::Instead(call)), _) => Some(call),
            (_, true) => Some(Call::Check(Format::Text)),
            (_, false) => None,
        }
    }
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        "sarif" => Ok(Format::Sarif),
        _ => Err(format!(
            "unknown format {text:?}: write text, json or sarif"
        )),
    }
}

/// `check,format=json`.
fn method(text: &str) -> Result<Method, String> {
    let mut parts = text.split(',');
    let name = parts.next().unwrap_or_default();
    let mut chosen = Format::Text;
    for part in parts {
        match part.split_once('=') {
            Some(("format", value)) => chosen = format(value)?,
            _ => return Err(format!("unknown option {part:?}: write format=json")),
        }
    }
    match name {
        "build" => Ok(Method::Build),
        "check" | "lint" => Ok(Method::Instead(Call::Check(chosen))),
        "outline" => Ok(Method::Instead(Call::Outline(form(chosen)?))),
        "targets" => Ok(Method::Instead(Call::Targets(form(chosen)?))),
        _ => Err(format!(
            "unknown method {name:?}: write build, check, outline or targets"
        )),
    }
}

fn form(format: Format) -> Result<Form, String> {
    match format {
        Format::Text => Ok(Form::Text),
        Format::Json => Ok(Form::Json),
        Format::Sarif => Err("sarif is for checks: write format=json".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_dockers() {
        assert_eq!(method("build"), Ok(Method::Build));
        let table = [
            ("check", Call::Check(Format::Text)),
            ("check,format=json", Call::Check(Format::Json)),
            ("lint,format=sarif", Call::Check(Format::Sarif)),
            ("outline", Call::Outline(Form::Text)),
            ("targets,format=json", Call::Targets(Form::Json)),
        ];
        for (text, call) in table {
            assert_eq!(method(text), Ok(Method::Instead(call)), "{text}");
        }
        for wrong in [
            "",
            "chekc",
            "check,json",
            "check,format=xml",
            "targets,format=sarif",
        ] {
            assert!(method(wrong).is_err(), "{wrong}");
        }
    }
}
