//! Findings for people, in the form of `docker build --check`.

use std::fmt::Write as _;

use hoist_build::check::Checked;

use super::reference;

/// What was found, each with the lines it is about.
pub(super) fn render(checked: &Checked) -> String {
    let findings = &checked.report.findings;
    if findings.is_empty() {
        return match &checked.error {
            Some(_) => String::new(),
            None => "Check complete, no warnings found.\n".to_owned(),
        };
    }
    let mut text = match findings.len() {
        1 => "Check complete, 1 warning has been found!\n".to_owned(),
        count => format!("Check complete, {count} warnings have been found!\n"),
    };
    for finding in findings {
        let found = &finding.diagnostic;
        let (rule, more) = (finding.rule.name, reference(finding.rule));
        let _ = writeln!(text, "\nWARNING: {rule} - {more}\n{}", found.message);
        if let Some(help) = &found.help {
            let _ = writeln!(text, "hint: {help}");
        }
        text.push_str(&checked.excerpt(found.span));
    }
    let fixes = findings.iter().filter(|finding| finding.fix.is_some());
    match fixes.count() {
        0 => {}
        1 => text.push_str("\nhoist check --fix repairs 1 of them.\n"),
        count => {
            let _ = writeln!(text, "\nhoist check --fix repairs {count} of them.");
        }
    }
    text
}
