//! `check --explain`: one rule, with examples.

use std::{fmt::Write as _, process::ExitCode};

use hoist_core::Kind;
use hoist_dockerfile::{lint::Page, suggest::nearest};

use super::pages;
use crate::{error::CliError, ui};

/// Say what there is to say about the rule called `name`.
pub(super) fn explain(name: &str) -> Result<ExitCode, CliError> {
    let mut found = pages().filter(|page| page.rule.name.eq_ignore_ascii_case(name));
    if let Some(page) = found.next() {
        ui::out(&shown(page))?;
        return Ok(ExitCode::SUCCESS);
    }
    let error = CliError::of(Kind::NotFound, format!("there is no check {name:?}"));
    let names: Vec<&str> = pages().map(|page| page.rule.name).collect();
    Err(match nearest(name, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error.hint(format!("the checks are {}", names.join(", "))),
    })
}

fn shown(page: &Page) -> String {
    let rule = page.rule;
    let mut text = format!("{}: {}.\n\n{}\n", rule.name, rule.summary, page.why);
    for (title, example) in [("Bad", page.bad), ("Good", page.good)] {
        let _ = writeln!(text, "\n{title}:");
        for line in example.lines() {
            let _ = writeln!(text, "{}", format!("    {line}").trim_end());
        }
    }
    if let Some(url) = rule.url() {
        let _ = writeln!(text, "\n{url}");
    }
    let _ = writeln!(text, "\nSwitch it off with: # check=skip={}", rule.name);
    text
}
