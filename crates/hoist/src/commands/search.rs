//! `search`: images of Docker Hub.

use std::process::ExitCode;

use hoist_registry::SearchResult;

use crate::{
    args::{filter::Filters, registry::SearchFlags},
    cli::Call,
    error::CliError,
    format::{Listing, Row, ellipsis},
    ui::{
        self,
        transfer::{Stream, Transfer},
    },
};

const KEYS: &[&str] = &["is-official", "stars"];
const COLUMNS: &[&str] = &["Name", "Description", "StarCount", "IsOfficial"];
const HEADINGS: &[(&str, &str)] = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
];
/// Letters of a description that are shown.
const DESCRIPTION: usize = 45;

/// `search [OPTIONS] TERM`.
pub(crate) fn search(
    _: &Call<'_>,
    flags: &SearchFlags,
    words: &[String],
) -> Result<ExitCode, CliError> {
    let filters = Filters::checked(&flags.filter, KEYS).map_err(CliError::invalid)?;
    let limit = usize::try_from(flags.limit)
        .ok()
        .filter(|limit| (1..=100).contains(limit))
        .ok_or_else(|| {
            CliError::invalid(format!(
                "limit {} is outside the range of [1, 100]",
                flags.limit
            ))
        })?;
    let fits = filter(&filters)?;
    let registry = super::pull::registry(&Transfer::on(Stream::Nowhere))?;
    let (server, term) = place(&words[0]);
    let found = registry.search(server, term, limit)?;
    let rows: Vec<Row> = found
        .iter()
        .filter(|result| fits(result))
        .map(|result| row(result, flags.no_trunc))
        .collect();
    let listing = Listing {
        headings: HEADINGS,
        columns: COLUMNS,
    };
    ui::out(&listing.render(&rows, flags.format.as_deref())?)?;
    Ok(ExitCode::SUCCESS)
}

/// The registry and what to look for: `quay.io/python` looks elsewhere.
fn place(word: &str) -> (&str, &str) {
    match word.split_once('/') {
        Some((server, term)) if server.contains(['.', ':']) || server == "localhost" => {
            (server, term)
        }
        _ => ("docker.io", word),
    }
}

fn filter(filters: &Filters<'_>) -> Result<impl Fn(&SearchResult) -> bool + use<>, CliError> {
    let stars = match filters.values("stars").last() {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| CliError::invalid(format!("invalid filter 'stars={text}'")))?,
    };
    let official = match filters.values("is-official").last() {
        None => None,
        Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        Some(text) => {
            return Err(CliError::invalid(format!(
                "invalid filter 'is-official={text}'"
            )));
        }
    };
    Ok(move |result: &SearchResult| {
        result.stars >= stars && official.is_none_or(|wanted| result.official == wanted)
    })
}

fn row(result: &SearchResult, whole: bool) -> Row {
    let description = result.description.replace(['\n', '\r'], " ");
    let description = if whole {
        description
    } else {
        ellipsis(&description, DESCRIPTION)
    };
    let official = if result.official { "[OK]" } else { "" };
    Row::new([
        ("Name", result.name.clone()),
        ("Description", description),
        ("StarCount", result.stars.to_string()),
        ("IsOfficial", official.to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_may_begin_with_a_registry() {
        assert_eq!(place("python"), ("docker.io", "python"));
        assert_eq!(place("bitnami/redis"), ("docker.io", "bitnami/redis"));
        assert_eq!(place("quay.io/redis"), ("quay.io", "redis"));
        assert_eq!(place("localhost:5000/x"), ("localhost:5000", "x"));
    }
}
