//! `cargo xtask licences`: what hoist is built from, checked without another tool. `deny.toml` says the
//! same to `cargo deny`, which also knows the advisories.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::program::Result;
use crate::workspace;

/// Licences that a part of hoist may have.
const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // The list of certificate authorities that browsers trust: data.
    "CDLA-Permissive-2.0",
    // The BSD licence in the words of bzip2.
    "bzip2-1.0.6",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Fails with one line for every crate that has no place here.
pub(crate) fn main() -> Result<()> {
    let metadata = workspace::metadata()?;
    let complaints = complaints(&metadata);
    if complaints.is_empty() {
        return Ok(());
    }
    Err(complaints.join("\n").into())
}

/// Everything wrong with the crates that `cargo metadata` lists.
fn complaints(metadata: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    let linked = linked(metadata);
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        let Some(source) = package["source"].as_str() else {
            complaints.extend(wildcards(package));
            continue;
        };
        if source != "registry+https://github.com/rust-lang/crates.io-index" {
            complaints.push(format!(
                "{name} {version} does not come from crates.io but from {source}"
            ));
        }
        let licence = package["license"].as_str().unwrap_or_default();
        if !permitted(licence) {
            complaints.push(format!(
                "{name} {version} has a licence that is not allowed: {licence:?}"
            ));
        }
        if linked.contains(package["id"].as_str().unwrap_or_default()) {
            versions.entry(name).or_default().insert(version);
        }
    }
    for (name, versions) in versions {
        if versions.len() > 1 {
            let versions: Vec<_> = versions.into_iter().collect();
            complaints.push(format!(
                "hoist would link {name} in versions {}",
                versions.join(" and ")
            ));
        }
    }
    complaints
}

/// Dependencies of one of our own crates on any version whatever.
fn wildcards(package: &Value) -> Vec<String> {
    package["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|dependency| dependency["req"] == "*" && dependency["path"].is_null())
        .map(|dependency| {
            format!(
                "{} takes any version of {}",
                package["name"], dependency["name"]
            )
        })
        .collect()
}

/// The ids of the packages that end up in the program: what `hoist` reaches over ordinary
/// dependencies, not those of tests, build scripts and procedural macros.
fn linked(metadata: &Value) -> BTreeSet<&str> {
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|node| (node["id"].as_str().unwrap_or_default(), node))
        .collect();
    let macros: BTreeSet<&str> = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|package| package["targets"].to_string().contains("\"proc-macro\""))
        .filter_map(|package| package["id"].as_str())
        .collect();
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = nodes
        .keys()
        .copied()
        .filter(|id| id.contains("crates/hoist#"))
        .collect();
    while let Some(id) = open.pop() {
        if macros.contains(id) || !reached.insert(id) {
            continue;
        }
        let Some(node) = nodes.get(id) else { continue };
        for dependency in node["deps"].as_array().into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array();
            let ordinary = |kind: &Value| kind["kind"].is_null();
            if kinds.is_none_or(|kinds| kinds.iter().any(ordinary)) {
                open.extend(dependency["pkg"].as_str());
            }
        }
    }
    reached
}

/// Whether an SPDX expression can be met with the allowed licences alone. `AND` binds tighter than
/// `OR`; old crates write `/` for `OR`.
fn permitted(expression: &str) -> bool {
    let expression = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = expression.split_whitespace().collect();
    let mut words = words.as_slice();
    any(&mut words) && words.is_empty()
}

fn any(words: &mut &[&str]) -> bool {
    let mut met = all(words);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= all(words);
    }
    met
}

fn all(words: &mut &[&str]) -> bool {
    let mut met = one(words);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words);
    }
    met
}

fn one(words: &mut &[&str]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any(words);
            *words = words.split_first().map_or(&[], |(_, rest)| rest);
            met
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            ALLOWED.contains(licence)
                || ALLOWED.contains(&format!("{licence} WITH {exception}").as_str())
        }
        [licence, rest @ ..] => {
            *words = rest;
            ALLOWED.contains(licence)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_permitted_when_one_way_through_it_is() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR MIT",
            "MIT/Apache-2.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(permitted(good), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR BSD-3-Clause) AND MPL-2.0",
            "MIT MIT",
        ] {
            assert!(!permitted(bad), "{bad}");
        }
    }
}
