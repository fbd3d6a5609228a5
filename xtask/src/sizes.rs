//! `cargo xtask sizes`: how large the rooms of the house are, and which are too large. A report.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::Result;
use crate::workspace;

/// Lines of code (no blank lines, comments or tests) that a file should not exceed.
const MOST: usize = 800;
/// What nine of ten files should not exceed, and half of them.
const NINE_IN_TEN: usize = 500;
const HALF: usize = 200;

/// Prints the report.
pub(crate) fn main() -> Result<()> {
    let mut files = Vec::new();
    sources(&workspace::root().join("crates"), &mut files)?;
    let mut sizes: Vec<(usize, PathBuf)> = Vec::new();
    for file in files {
        let lines = code_lines(&fs::read_to_string(&file)?);
        sizes.push((lines, file.strip_prefix(workspace::root())?.to_owned()));
    }
    sizes.sort();
    let at = |share: usize| {
        sizes
            .get(sizes.len() * share / 100)
            .map_or(0, |(lines, _)| *lines)
    };
    let verdict = |lines: usize, most: usize| if lines <= most { "fine" } else { "too large" };
    println!(
        "{} files, {} lines of code",
        sizes.len(),
        sizes.iter().map(|(lines, _)| lines).sum::<usize>()
    );
    println!(
        "half have up to {:4} lines (wanted {HALF}): {}",
        at(50),
        verdict(at(50), HALF)
    );
    println!(
        "90 % have up to {:4} lines (wanted {NINE_IN_TEN}): {}",
        at(90),
        verdict(at(90), NINE_IN_TEN)
    );
    println!("the largest:");
    for (lines, file) in sizes.iter().rev().take(10) {
        println!("{lines:6}  {}  {}", file.display(), verdict(*lines, MOST));
    }
    Ok(())
}

/// All Rust files of the crates' own sources below `directory`.
fn sources(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            if !["tests", "examples", "benches", "target"]
                .iter()
                .any(|other| name == *other)
            {
                sources(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs"
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Lines that are neither blank, nor comment, nor in a module of tests at the end.
fn code_lines(text: &str) -> usize {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_counted() {
        let text = "//! Head.\n\nfn a() {\n    // why\n    b();\n}\n\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
        assert_eq!(code_lines(text), 3);
    }
}
