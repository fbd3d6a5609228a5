//! The lines of a Dockerfile around an instruction, as Docker shows them under an error.

use std::fmt::Write as _;

use hoist_dockerfile::{Diagnostic, DockerfileError, Source, Span, render};

use crate::error::BuildError;

/// Lines shown before and after the instruction.
const AROUND: usize = 2;

/// The most lines of one instruction that are shown.
const MOST: usize = 20;

/// A Dockerfile and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub(crate) name: String,
    pub(crate) source: Source,
}

impl Listing {
    /// The line that `span` starts on, from 1.
    pub(crate) fn line(&self, span: Span) -> usize {
        self.source.position(span.start).line
    }

    /// `Dockerfile:4`, and the lines around `span`, its own marked with `>>>`.
    pub(crate) fn excerpt(&self, span: Span) -> String {
        let first = self.line(span);
        let last = self
            .source
            .position(span.end.saturating_sub(1).max(span.start))
            .line;
        let from = first.saturating_sub(AROUND).max(1);
        let to = (last + AROUND).min(self.source.line_count());
        let rule = "-".repeat(20);
        let mut text = format!("{}:{first}\n{rule}\n", self.name);
        for number in from..=to {
            if number > first + MOST && number < last {
                continue;
            }
            let Some(line) = self.source.line_span(number) else {
                break;
            };
            let mark = if (first..=last).contains(&number) {
                ">>>"
            } else {
                "   "
            };
            let content: String = self.source.slice(line).chars().map(printable).collect();
            let shown = format!("{number:>4} | {mark} {content}");
            let _ = writeln!(text, "{}", shown.trim_end());
        }
        text.push_str(&rule);
        text.push('\n');
        text
    }

    /// Errors of the language, each with its place.
    pub(crate) fn language(&self, error: DockerfileError) -> BuildError {
        let rendered = self.rendered(error.diagnostics());
        BuildError::Language { error, rendered }
    }

    fn rendered(&self, diagnostics: &[Diagnostic]) -> String {
        let each = diagnostics
            .iter()
            .map(|found| render(found, &self.name, &self.source));
        each.collect::<Vec<_>>().join("\n")
    }
}

fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        control if control.is_control() => char::REPLACEMENT_CHARACTER,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_instruction_are_marked() {
        let listing = Listing {
            name: "Dockerfile".to_owned(),
            source: Source::new("FROM a\n\nRUN x && \\\n  y\nCMD z\n# end\n\n"),
        };
        insta::assert_snapshot!(listing.excerpt(Span::new(8, 21)), @r"
        Dockerfile:3
        --------------------
           1 |     FROM a
           2 |
           3 | >>> RUN x && \
           4 | >>>   y
           5 |     CMD z
           6 |     # end
        --------------------
        ");
        insta::assert_snapshot!(listing.excerpt(Span::at(0)), @r"
        Dockerfile:1
        --------------------
           1 | >>> FROM a
           2 |
           3 |     RUN x && \
        --------------------
        ");
    }
}
