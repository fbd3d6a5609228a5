//! Diagnostics as plain text: place, excerpt, caret.

use std::fmt::Write as _;

use crate::diagnostic::{Diagnostic, printable};
use crate::source::{Source, Span};

/// Lines shown before and after the one that is marked.
const CONTEXT: usize = 2;

/// Characters of a line that are shown; of a longer line, the part around the mark.
const WIDTH: usize = 160;

/// `file:line:column`, the lines around, and the message behind a caret; no colour, and no control
/// character of the source reaches the terminal. Ends with a line break.
///
/// `source` must be the text that was parsed.
#[must_use]
pub fn render(diagnostic: &Diagnostic, file_name: &str, source: &Source) -> String {
    let position = source.position(diagnostic.span.start);
    let mut out = format!("{file_name}:{position}\n");
    let first = position.line.saturating_sub(CONTEXT).max(1);
    let last = (position.line + CONTEXT).min(source.line_count());
    let gutter = last.max(position.line).to_string().len().max(4);
    let mut marked = false;
    for number in first..=last {
        let Some(line) = source.line_span(number) else {
            break;
        };
        let at_mark = number == position.line;
        let window = Window::around(source, line, at_mark.then_some(diagnostic.span));
        out.push_str(format!("{number:>gutter$} | {}", window.text).trim_end());
        out.push('\n');
        if at_mark {
            mark(&mut out, gutter, &window, &diagnostic.message);
            marked = true;
        }
    }
    if !marked {
        let _ = writeln!(out, "{:>gutter$} | {}", "", diagnostic.message);
    }
    if let Some(help) = &diagnostic.help {
        for (index, line) in help.lines().enumerate() {
            let lead = if index == 0 { "= help:" } else { "       " };
            let _ = writeln!(out, "{:>gutter$} {lead} {line}", "");
        }
    }
    out
}

/// The caret line: padding (tabs kept, so that it lines up), carets, message.
fn mark(out: &mut String, gutter: usize, window: &Window, message: &str) {
    let padding: String = window
        .text
        .chars()
        .take(window.mark_start)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let carets = "^".repeat(window.mark_length.max(1));
    let _ = writeln!(out, "{:>gutter$} | {padding}{carets} {message}", "");
}

/// The visible part of a line, in characters.
struct Window {
    text: String,
    mark_start: usize,
    mark_length: usize,
}

impl Window {
    /// `line` cut to [`WIDTH`] characters around `mark`.
    fn around(source: &Source, line: Span, mark: Option<Span>) -> Self {
        let text = source.slice(line);
        let count = |span: Span| source.slice(span).chars().count();
        let (start, length) = mark.map_or((0, 0), |mark| {
            let from = mark.start.clamp(line.start, line.end);
            let to = mark.end.clamp(from, line.end);
            (
                count(Span::new(line.start, from)),
                count(Span::new(from, to)),
            )
        });
        let skip = (start + 24).saturating_sub(WIDTH).min(start);
        let part: String = text.chars().skip(skip).take(WIDTH).collect();
        let mut shown = printable(&part);
        let mut mark_start = start - skip;
        if skip > 0 {
            shown.insert(0, '…');
            mark_start += 1;
        }
        if text.chars().nth(skip + WIDTH).is_some() {
            shown.push('…');
        }
        Self {
            text: shown,
            mark_start,
            mark_length: length.min((skip + WIDTH).saturating_sub(start)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, span: Span, message: &str) -> String {
        let diagnostic = Diagnostic::error("test", message, span);
        render(&diagnostic, "Dockerfile", &Source::new(text))
    }

    #[test]
    fn the_excerpt_has_numbers_and_a_caret() {
        let text = "FROM busybox\nWORKDIR /app\nCOPPY . .\n";
        let shown = show(text, Span::new(26, 31), "unknown instruction: COPPY");
        insta::assert_snapshot!(shown, @r"
        Dockerfile:3:1
           1 | FROM busybox
           2 | WORKDIR /app
           3 | COPPY . .
             | ^^^^^ unknown instruction: COPPY
        ");
    }

    #[test]
    fn lines_after_the_mark_and_help_follow() {
        let diagnostic =
            Diagnostic::warning("test", "odd", Span::new(8, 9)).with_help("write a\nor b");
        let shown = render(&diagnostic, "f", &Source::new("FROM a\n\tx\n\n\nlast\n"));
        insta::assert_snapshot!(shown, @"
        f:2:2
           1 | FROM a
           2 | \tx
             | \t^ odd
           3 |
           4 |
             = help: write a
                     or b
        ");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let shown = show("FROM \u{1b}[31mx\u{7}\r\n", Span::new(0, 4), "m");
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\r']), "{shown:?}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_mark() {
        let text = format!("RUN {}X{}", "a".repeat(500), "b".repeat(500));
        let shown = show(&text, Span::new(504, 505), "here");
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].chars().count() < 175, "{shown}");
        let column = lines[2].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[1].chars().nth(column), Some('X'), "{shown}");
    }

    #[test]
    fn an_empty_text_and_a_span_outside_are_rendered() {
        assert_eq!(
            show("", Span::at(0), "empty"),
            "Dockerfile:1:1\n     | empty\n"
        );
        assert_eq!(
            show("a", Span::new(7, 9), "m"),
            "Dockerfile:1:2\n   1 | a\n     |  ^ m\n"
        );
    }
}
