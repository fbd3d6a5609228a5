//! Every instruction and flag of the Dockerfile language, by tables.
//!
//! Each row is an instruction and the tree that it becomes, written on one line by [`show`], or
//! the error it is.

mod commands;
mod files;
mod metadata;
mod show;
mod stage;

use hoist_dockerfile::{Diagnostic, Dockerfile, parse};
use show::show;

/// Parses `FROM x` and `text` and writes what `text` became.
fn read(text: &str) -> String {
    match parse(&format!("FROM x\n{text}")) {
        Ok(dockerfile) => {
            let instructions = &dockerfile.stages[0].instructions;
            let shown: Vec<String> = instructions.iter().map(|i| show(&i.kind)).collect();
            shown.join("; ")
        }
        Err(errors) => format!("error: {}", errors[0].message),
    }
}

/// Checks every row of a table at once, so that one run shows all that differ.
fn check(table: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (text, expected) in table {
        let found = read(text);
        if &found != expected {
            wrong += &format!("{text:?}\n  expected {expected}\n  found    {found}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn parsed(text: &str) -> Dockerfile {
    parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn warnings(text: &str) -> Vec<String> {
    let warnings = parsed(&format!("FROM x\n{text}")).warnings;
    warnings
        .iter()
        .map(|warning| format!("{}: {warning}", warning.code))
        .collect()
}

fn errors(text: &str) -> Vec<Diagnostic> {
    parse(text).expect_err(text)
}
