//! Debian: packages that a chore needs, and the archive as this machine reaches it.

use std::collections::BTreeMap;
use std::fs;

use crate::program::{self, Result, command};

/// The release that the base images are made from.
pub(crate) const RELEASE: &str = "bookworm";

/// True for uid 0.
pub(crate) fn is_root() -> bool {
    program::text(&mut command("id", ["-u"])).is_ok_and(|uid| uid.trim() == "0")
}

/// Makes sure of programs: pairs of a program (or an absolute path) and the Debian package it comes
/// from. Installs what is missing when it may, and otherwise says the line that would.
pub(crate) fn ensure(wanted: &[(&str, &str)]) -> Result<()> {
    let present = |what: &str| {
        if what.starts_with('/') {
            fs::exists(what).unwrap_or(false)
        } else {
            program::find(what).is_some()
        }
    };
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|(what, _)| !present(what))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!(
        "apt-get install -y --no-install-recommends {}",
        missing.join(" ")
    );
    if !is_root() {
        return Err(format!(
            "this needs packages of Debian that are not installed: sudo {install}"
        )
        .into());
    }
    println!("==> {install}");
    let apt = || {
        let arguments = ["install", "-y", "--no-install-recommends", "-qq"];
        let mut apt = command("apt-get", arguments);
        apt.args(&missing).env("DEBIAN_FRONTEND", "noninteractive");
        program::run(&mut apt)
    };
    if apt().is_ok() {
        return Ok(());
    }
    // The package lists may be absent or old.
    program::run(&mut command("apt-get", ["update", "-qq"]))?;
    apt()
}

/// The lines of a sources list for [`RELEASE`], with the mirrors that this machine uses; Debian's
/// public ones when it names none.
pub(crate) fn sources() -> Vec<String> {
    let mut files = vec!["/etc/apt/sources.list".into()];
    if let Ok(directory) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(directory.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut suites = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => one_line(&text, &mut suites),
            Some("sources") => deb822(&text, &mut suites),
            _ => {}
        }
    }
    for (suite, uri) in public() {
        suites.entry(suite).or_insert_with(|| uri.to_owned());
    }
    suites
        .into_iter()
        .map(|(suite, uri)| format!("deb {uri} {suite} main"))
        .collect()
}

/// The suites that an image is made from, with Debian's public mirrors.
fn public() -> [(String, &'static str); 3] {
    let archive = "http://deb.debian.org/debian";
    [
        (RELEASE.to_owned(), archive),
        (format!("{RELEASE}-updates"), archive),
        (
            format!("{RELEASE}-security"),
            "http://deb.debian.org/debian-security",
        ),
    ]
}

/// Takes the wanted suites out of a sources list in the one-line style.
fn one_line(text: &str, suites: &mut BTreeMap<String, String>) {
    for line in text.lines() {
        let mut words = line.split_whitespace().peekable();
        if words.next() != Some("deb") {
            continue;
        }
        if words.peek().is_some_and(|word| word.starts_with('[')) {
            while words.next().is_some_and(|word| !word.ends_with(']')) {}
        }
        if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
            note(uri, suite, suites);
        }
    }
}

/// Takes the wanted suites out of a sources file in the deb822 style.
fn deb822(text: &str, suites: &mut BTreeMap<String, String>) {
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .fold(String::new(), |text, line| text + line + "\n");
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            stanza.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_owned())
            })
        };
        let (Some(uris), Some(named)) = (field("URIs"), field("Suites")) else {
            continue;
        };
        if field("Enabled").is_some_and(|enabled| enabled == "no") {
            continue;
        }
        for suite in named.split_whitespace() {
            if let Some(uri) = uris.split_whitespace().next() {
                note(uri, suite, suites);
            }
        }
    }
}

/// Remembers the mirror of a suite, if the suite is one of the wanted; the first one wins.
fn note(uri: &str, suite: &str, suites: &mut BTreeMap<String, String>) {
    if public().iter().any(|(wanted, _)| wanted == suite) {
        suites
            .entry(suite.to_owned())
            .or_insert_with(|| uri.to_owned());
    }
}

/// The settings of this machine's apt without which its mirrors would not be reached or believed.
pub(crate) fn apt_options() -> Result<Vec<String>> {
    let wanted = ["::proxy", "::check-valid-until", "::check-date"];
    let dump = program::text(&mut command("apt-config", ["dump", "Acquire"]))?;
    Ok(dump
        .lines()
        .filter(|line| {
            let name = line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_lowercase();
            wanted.iter().any(|end| name.ends_with(end)) && !line.ends_with("\"\";")
        })
        .map(str::to_owned)
        .collect())
}

/// The lines of a `pip.conf` without which pip would not reach this machine's package index.
pub(crate) fn pip_options() -> Vec<String> {
    let mut lines = Vec::new();
    for key in ["index-url", "extra-index-url", "trusted-host", "proxy"] {
        let variable = format!("PIP_{}", key.to_uppercase().replace('-', "_"));
        let value = std::env::var(variable).ok().or_else(|| {
            let name = format!("global.{key}");
            let text = program::text(&mut command(
                "python3",
                ["-m", "pip", "config", "get", &name],
            ))
            .ok()?;
            Some(text.trim().to_owned())
        });
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push(format!("{key} = {value}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirrors_of_both_styles_of_sources_are_found() {
        let mut suites = BTreeMap::new();
        one_line(
            "# a comment\n\
             deb-src http://a/debian bookworm main\n\
             deb [arch=amd64 signed-by=/k.gpg] http://b/debian bookworm main contrib\n\
             deb http://other.example/apt cloud-sdk-bookworm main\n",
            &mut suites,
        );
        deb822(
            "Types: deb\n# not this\nURIs: http://c/debian\nSuites: bookworm bookworm-updates\n\n\
             Types: deb\nURIs: http://d/security\nSuites: bookworm-security\nEnabled: no\n",
            &mut suites,
        );
        let found: Vec<_> = suites
            .iter()
            .map(|(suite, uri)| (suite.as_str(), uri.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("bookworm", "http://b/debian"),
                ("bookworm-updates", "http://c/debian")
            ]
        );
    }
}
