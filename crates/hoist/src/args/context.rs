//! The flags of `context ls` and `context why`.

use std::path::PathBuf;

use hoist_build::NamedContext;

use super::build::inputs::named_context;

/// `context ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct ContextListFlags {
    /// Name of the Dockerfile, beside which an ignore file may lie
    #[arg(short, long, value_name = "file")]
    pub(crate) file: Option<PathBuf>,
    /// Additional build contexts to list (format: "name=path")
    #[arg(long, value_name = "context", value_parser = named_context)]
    pub(crate) build_context: Vec<(String, NamedContext)>,
    /// Show what the ignore file leaves out, and by which line
    #[arg(long)]
    pub(crate) ignored: bool,
    /// Format of the list ("text", "json")
    #[arg(long, value_name = "string", value_parser = form)]
    pub(crate) format: Option<Form>,
    /// Only show paths
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `context why`.
#[derive(Debug, clap::Args)]
pub(crate) struct ContextWhyFlags {
    /// The build context (default: the working directory)
    #[arg(long, value_name = "directory")]
    pub(crate) context: Option<PathBuf>,
    /// Name of the Dockerfile, beside which an ignore file may lie
    #[arg(short, long, value_name = "file")]
    pub(crate) file: Option<PathBuf>,
    /// Additional build contexts: paths as "name:path" are looked for in them
    #[arg(long, value_name = "context", value_parser = named_context)]
    pub(crate) build_context: Vec<(String, NamedContext)>,
    /// Format of the answers ("text", "json")
    #[arg(long, value_name = "string", value_parser = form)]
    pub(crate) format: Option<Form>,
}

/// How it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

fn form(text: &str) -> Result<Form, String> {
    match text {
        "text" => Ok(Form::Text),
        "json" => Ok(Form::Json),
        _ => Err(format!("unknown format {text:?}: write text or json")),
    }
}

/// Nothing: for verbs that are there to say why they are not.
#[derive(Debug, clap::Args)]
pub(crate) struct NoFlags {}
