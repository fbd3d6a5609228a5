//! What a build tells about itself.

/// The flags about explanations.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportFlags {
    /// Say of every step whether it was found in the cache, and why not; "json" for tools
    #[arg(long, value_name = "format", num_args = 0..=1, require_equals = true,
          default_missing_value = "text", value_parser = form)]
    pub(crate) explain: Option<Form>,
    /// Say where the time went
    #[arg(long)]
    pub(crate) timings: bool,
}

/// How an explanation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines on standard error.
    Text,
    /// One JSON document on standard output.
    Json,
}

fn form(text: &str) -> Result<Form, String> {
    match text {
        "text" | "true" => Ok(Form::Text),
        "json" => Ok(Form::Json),
        _ => Err(format!(
            "{text:?} is no form of explanation: write --explain or --explain=json"
        )),
    }
}
