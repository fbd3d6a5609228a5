//! Changes that a machine may make.

use std::collections::BTreeMap;

use crate::source::{Source, Span};

use super::Finding;

/// A change of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What it does, as an imperative: `write COPY`.
    pub description: String,
    /// What to replace; the spans do not overlap.
    pub edits: Vec<Edit>,
}

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; an empty span inserts.
    pub span: Span,
    /// By what.
    pub replacement: String,
}

impl Fix {
    pub(super) fn replace(span: Span, replacement: &str) -> Self {
        let description = if replacement.is_empty() {
            "remove it".to_owned()
        } else {
            format!("write {}", replacement.trim())
        };
        Self {
            description,
            edits: vec![Edit {
                span,
                replacement: replacement.to_owned(),
            }],
        }
    }

    pub(super) fn insert(at: usize, text: &str) -> Self {
        Self {
            description: format!("add {}", text.trim()),
            ..Self::replace(Span::at(at), text)
        }
    }

    /// Removes the whole lines that `span` touches.
    pub(super) fn remove_lines(source: &Source, span: Span) -> Self {
        let text = source.text();
        let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end = text[span.end..]
            .find('\n')
            .map_or(text.len(), |at| span.end + at + 1);
        Self::replace(Span::new(start, end), "")
    }
}

/// The text with the fixes of all findings made. Of fixes that touch the same bytes only the first
/// is made; check the result again for the others. Line breaks that a fix inserts are those of the
/// text.
#[must_use]
pub fn apply(source: &Source, findings: &[Finding]) -> String {
    let mut accepted: BTreeMap<Span, &str> = BTreeMap::new();
    for fix in findings.iter().filter_map(|finding| finding.fix.as_ref()) {
        if fix.edits.iter().any(|edit| clashes(&accepted, edit.span)) {
            continue;
        }
        for edit in &fix.edits {
            accepted.insert(edit.span, &edit.replacement);
        }
    }
    let mut result = String::new();
    let mut copied = 0;
    for (span, replacement) in accepted {
        result.push_str(source.slice(Span::new(copied, span.start)));
        if source.text().contains("\r\n") {
            result.push_str(&replacement.replace('\n', "\r\n"));
        } else {
            result.push_str(replacement);
        }
        copied = span.end;
    }
    result.push_str(source.slice(Span::new(copied, source.text().len())));
    result
}

/// Whether `span` touches bytes that an accepted edit changes.
fn clashes(accepted: &BTreeMap<Span, &str>, span: Span) -> bool {
    let before = accepted.range(..=span).next_back();
    let after = accepted.range(span..).next();
    before.is_some_and(|(other, _)| overlap(*other, span))
        || after.is_some_and(|(other, _)| overlap(*other, span))
}

fn overlap(left: Span, right: Span) -> bool {
    left == right || (left.start < right.end && right.start < left.end)
}
