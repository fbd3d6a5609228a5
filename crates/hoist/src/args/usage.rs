//! What was wrong with the flags, in the words of Docker's parser (pflag).

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use hoist_dockerfile::suggest::nearest;

/// The sentence about `error`, which `parser` returned for the words of which `last` is the last.
pub(crate) fn sentence(error: &clap::Error, parser: &clap::Command, last: &str) -> String {
    let flag = text(error, ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(&flag, parser),
        ErrorKind::InvalidValue if given(error).is_empty() => missing_value(&flag, parser, last),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let why = error
                .source()
                .map_or_else(|| "invalid value".to_owned(), ToString::to_string);
            format!(
                "invalid argument {:?} for {:?} flag: {why}",
                given(error),
                both_names(&flag, parser)
            )
        }
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").to_owned()
        }
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

fn given(error: &clap::Error) -> String {
    text(error, ContextKind::InvalidValue).unwrap_or_default()
}

fn unknown(flag: &str, parser: &clap::Command) -> String {
    let short = flag.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
    match short.and_then(|rest| rest.chars().next()) {
        Some(letter) => format!("unknown shorthand flag: '{letter}' in {flag}"),
        None => {
            let name = long_name(flag).trim_start_matches('-');
            let known = parser.get_arguments().filter(|arg| !arg.is_hide_set());
            let meant = nearest(name, known.filter_map(clap::Arg::get_long));
            let hint = meant.map_or(String::new(), |name| {
                format!("\nhint: did you mean --{name}?")
            });
            format!("unknown flag: {flag}{hint}")
        }
    }
}

fn missing_value(flag: &str, parser: &clap::Command, last: &str) -> String {
    match find(flag, parser).and_then(clap::Arg::get_short) {
        Some(short) if !last.starts_with("--") => {
            format!("flag needs an argument: '{short}' in {last}")
        }
        _ => format!("flag needs an argument: {}", long_name(flag)),
    }
}

/// `--memory <MEMORY>` → `-m, --memory`.
fn both_names(flag: &str, parser: &clap::Command) -> String {
    let long = long_name(flag);
    match find(flag, parser).and_then(clap::Arg::get_short) {
        Some(short) => format!("-{short}, {long}"),
        None => long.to_owned(),
    }
}

fn find<'a>(flag: &str, parser: &'a clap::Command) -> Option<&'a clap::Arg> {
    let name = long_name(flag).strip_prefix("--")?;
    parser
        .get_arguments()
        .find(|arg| arg.get_long() == Some(name))
}

fn long_name(flag: &str) -> &str {
    flag.split([' ', '[', '=']).next().unwrap_or_default()
}
