//! Findings in the Static Analysis Results Interchange Format 2.1.0 (OASIS), which code hosts and
//! editors read.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

use hoist_build::check::Checked;
use hoist_core::error::chain;
use hoist_dockerfile::{
    Source, Span,
    lint::{Author, Finding, Fix, Page},
};
use serde_json::{Value, json};

use super::pages;

/// The document about the Dockerfile at `path`.
pub(super) fn render(checked: &Checked, path: &Path) -> String {
    let artifact = json!({ "uri": uri(path) });
    let rules: Vec<&Page> = pages().collect();
    let findings = checked.report.findings.iter();
    let mut results: Vec<Value> = findings
        .map(|finding| result(checked, finding, &rules, &artifact))
        .collect();
    if let Some(error) = &checked.error {
        results.push(json!({
            "level": "error",
            "message": { "text": chain(error) },
            "locations": [{ "physicalLocation": { "artifactLocation": artifact } }],
        }));
    }
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "hoist",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|page| rule(page)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{document:#}\n")
}

fn rule(page: &Page) -> Value {
    let rule = page.rule;
    let mut value = json!({
        "id": rule.name,
        "shortDescription": { "text": format!("{}.", rule.summary) },
        "fullDescription": { "text": page.why },
        "help": { "text": format!("Bad:\n{}\n\nGood:\n{}", page.bad, page.good) },
        "properties": { "tags": [if rule.author == Author::Hoist { "hoist" } else { "docker" }] },
    });
    if let Some(url) = rule.url() {
        value["helpUri"] = json!(url);
    }
    value
}

fn result(checked: &Checked, finding: &Finding, rules: &[&Page], artifact: &Value) -> Value {
    let found = &finding.diagnostic;
    let text = match &found.help {
        Some(help) => format!("{}\n{help}", found.message),
        None => found.message.clone(),
    };
    let index = rules.iter().position(|page| page.rule == finding.rule);
    let mut value = json!({
        "ruleId": finding.rule.name,
        "ruleIndex": index,
        "level": "warning",
        "message": { "text": text },
        "locations": [{ "physicalLocation": {
            "artifactLocation": artifact,
            "region": region(&checked.source, found.span),
        }}],
    });
    if let Some(fix) = &finding.fix {
        value["fixes"] = json!([change(&checked.source, fix, artifact)]);
    }
    value
}

fn change(source: &Source, fix: &Fix, artifact: &Value) -> Value {
    let replacements = fix.edits.iter().map(|edit| {
        json!({
            "deletedRegion": region(source, edit.span),
            "insertedContent": { "text": edit.replacement },
        })
    });
    json!({
        "description": { "text": fix.description },
        "artifactChanges": [{
            "artifactLocation": artifact,
            "replacements": replacements.collect::<Vec<_>>(),
        }],
    })
}

fn region(source: &Source, span: Span) -> Value {
    let (start, end) = (source.position(span.start), source.position(span.end));
    json!({
        "startLine": start.line,
        "startColumn": start.column,
        "endLine": end.line,
        "endColumn": end.column,
    })
}

/// A path as a URI reference (RFC 3986): what is not plain is percent-encoded.
fn uri(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uri_references() {
        assert_eq!(uri(Path::new("a/Dockerfile.dev")), "a/Dockerfile.dev");
        assert_eq!(uri(Path::new("my dir/é:%")), "my%20dir/%C3%A9%3A%25");
    }
}
