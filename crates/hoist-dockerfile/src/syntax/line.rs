//! Logical lines: an instruction with its continuation lines joined, every byte still knowing
//! where it came from.

use std::ops::Range;

use super::directive::DirectiveReader;
use crate::diagnostic::Diagnostic;
use crate::source::{Span, Spanned};

/// One instruction's text, continuation lines joined as Docker joins them: the escape character
/// and what follows it removed, comment and blank lines in between dropped, nothing inserted.
#[derive(Debug, Default)]
pub(crate) struct LogicalLine {
    /// The joined text.
    pub(crate) text: String,
    /// From where the text's parts came, in order.
    pieces: Vec<Piece>,
    /// From the first to the last byte that the text was made from.
    pub(crate) span: Span,
    /// The comments above.
    pub(crate) comments: Vec<Spanned<String>>,
    /// Blank lines between continued ones.
    pub(crate) blank_lines: Vec<Span>,
}

#[derive(Debug)]
struct Piece {
    text: usize,
    source: usize,
}

impl LogicalLine {
    /// Where `range` of the text stands in the source.
    pub(crate) fn span_of(&self, range: Range<usize>) -> Span {
        let start = self.source_offset(range.start);
        if range.is_empty() {
            return Span::at(start);
        }
        Span::new(start, self.source_offset(range.end - 1) + 1)
    }

    /// The whole line as a fragment.
    pub(crate) fn fragment(&self) -> Fragment<'_> {
        Fragment {
            line: self,
            start: 0,
            end: self.text.len(),
        }
    }

    fn source_offset(&self, at: usize) -> usize {
        let index = self.pieces.partition_point(|piece| piece.text <= at);
        match index.checked_sub(1).map(|index| &self.pieces[index]) {
            Some(piece) => (piece.source + at - piece.text).min(self.span.end),
            None => self.span.start,
        }
    }

    fn push(&mut self, content: &str, source: usize) {
        if !content.is_empty() {
            self.pieces.push(Piece {
                text: self.text.len(),
                source,
            });
            self.text.push_str(content);
            self.span.end = source + content.len();
        }
    }
}

/// A part of a logical line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fragment<'l> {
    line: &'l LogicalLine,
    start: usize,
    end: usize,
}

impl<'l> Fragment<'l> {
    pub(crate) fn text(&self) -> &'l str {
        &self.line.text[self.start..self.end]
    }

    /// Where the fragment stands in the source.
    pub(crate) fn span(&self) -> Span {
        self.line.span_of(self.start..self.end)
    }

    /// Where a part of the fragment stands in the source.
    pub(crate) fn span_of(&self, range: Range<usize>) -> Span {
        self.line
            .span_of(self.start + range.start..self.start + range.end)
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        Self {
            line: self.line,
            start: self.start + range.start,
            end: self.start + range.end,
        }
    }

    /// Without white space around.
    pub(crate) fn trim(&self) -> Self {
        let text = self.text();
        let start = text.len() - text.trim_start().len();
        let end = start + text.trim().len();
        self.slice(start..end)
    }

    /// The fragment's text with its place.
    pub(crate) fn spanned(&self) -> Spanned<String> {
        Spanned::new(self.text().to_owned(), self.span())
    }
}

/// Reads a Dockerfile as logical lines and heredoc bodies.
#[derive(Debug)]
pub(crate) struct Reader<'s> {
    text: &'s str,
    at: usize,
    pub(crate) directives: DirectiveReader,
    comments: Vec<Spanned<String>>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(text: &'s str) -> Self {
        Self {
            text,
            at: 0,
            directives: DirectiveReader::default(),
            comments: Vec::new(),
        }
    }

    /// The next instruction; `None` at the end of the text.
    pub(crate) fn next_line(&mut self, diagnostics: &mut Vec<Diagnostic>) -> Option<LogicalLine> {
        loop {
            let (mut start, raw) = self.next_raw()?;
            let body = raw.trim_start();
            start += raw.len() - body.len();
            if body.starts_with('#') {
                if !self.directives.comment(body, start, diagnostics) {
                    self.remember_comment(body, start);
                }
                continue;
            }
            self.directives.close();
            let (content, continued) = strip_continuation(body, self.escape());
            if content.is_empty() && !continued {
                continue;
            }
            let mut line = LogicalLine {
                span: Span::at(start),
                comments: std::mem::take(&mut self.comments),
                ..LogicalLine::default()
            };
            line.push(content, start);
            if continued {
                self.continue_line(&mut line);
            }
            return Some(line);
        }
    }

    /// The body of a heredoc up to, not including, the line that is `name` (behind tabs, if
    /// `strip_tabs`); `None` if the text ends before.
    pub(crate) fn heredoc_body(&mut self, name: &str, strip_tabs: bool) -> Option<Spanned<String>> {
        let start = self.at;
        loop {
            let (at, line) = self.next_raw()?;
            let candidate = if strip_tabs {
                line.trim_start_matches('\t')
            } else {
                line
            };
            if candidate == name {
                let body = self.text[start..at].to_owned();
                return Some(Spanned::new(body, Span::new(start, at)));
            }
        }
    }

    /// What has been read, from `start` on.
    pub(crate) fn read_since(&self, start: usize) -> &'s str {
        &self.text[start..self.at]
    }

    pub(crate) fn escape(&self) -> char {
        self.directives.directives.escape
    }

    fn continue_line(&mut self, line: &mut LogicalLine) {
        while let Some((start, raw)) = self.next_raw() {
            let body = raw.trim_start();
            if body.starts_with('#') {
                continue;
            }
            if body.is_empty() {
                line.blank_lines.push(Span::at(start));
                continue;
            }
            let (content, continued) = strip_continuation(raw, self.escape());
            line.push(content, start);
            if !continued {
                break;
            }
        }
    }

    /// A physical line without its line break, and where it starts.
    fn next_raw(&mut self) -> Option<(usize, &'s str)> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let start = self.at;
        let length = rest.find('\n').map_or(rest.len(), |at| at + 1);
        self.at += length;
        Some((start, rest[..length].trim_end_matches(['\r', '\n'])))
    }

    /// Keeps a comment for the instruction below; an empty one separates.
    fn remember_comment(&mut self, body: &str, start: usize) {
        let text = body[1..].trim();
        if text.is_empty() {
            self.comments.clear();
        } else {
            let span = Span::new(start, start + body.trim_end().len());
            self.comments.push(Spanned::new(text.to_owned(), span));
        }
    }
}

/// `line` without a final continuation character (and the blanks behind it), and whether there
/// was one. A doubled escape character at the end continues nothing.
fn strip_continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
        Some(content) if !content.ends_with(escape) => (content, true),
        _ => (line, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<LogicalLine> {
        let mut reader = Reader::new(text);
        std::iter::from_fn(|| reader.next_line(&mut Vec::new())).collect()
    }

    fn texts(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn continuations_are_joined_without_a_space() {
        let table: &[(&str, &[&str])] = &[
            ("RUN a \\\n  b\n", &["RUN a   b"]),
            ("RUN a \\  \t\n  b", &["RUN a   b"]),
            ("RUN a \\\r\n  b\r\n", &["RUN a   b"]),
            ("RUN a \\\n# comment\n  # other\n  b", &["RUN a   b"]),
            ("RUN a \\\n\n\n  b", &["RUN a   b"]),
            ("RUN a \\\\\nRUN b", &["RUN a \\\\", "RUN b"]),
            ("RUN a \\x\nRUN b", &["RUN a \\x", "RUN b"]),
            ("\\\nFROM x", &["FROM x"]),
            ("FR\\\nOM x", &["FROM x"]),
            ("  FROM x  ", &["FROM x  "]),
            ("RUN a \\", &["RUN a "]),
            ("\n\n# c\n\nFROM x", &["FROM x"]),
            (
                "# escape=`\nRUN a `\n  b\nRUN c \\\nRUN d",
                &["RUN a   b", "RUN c \\", "RUN d"],
            ),
            ("", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(&texts(text), expected, "{text:?}");
        }
    }

    #[test]
    fn spans_lead_back_through_continuations() {
        let text = "RUN one \\\n# note\n  two \\\n  three";
        let line = &lines(text)[0];
        for word in ["RUN", "one", "two", "three"] {
            let at = line.text.find(word).unwrap();
            assert_eq!(&text[line.span_of(at..at + word.len()).range()], word);
        }
        assert_eq!(line.span.range(), 0..text.len());
    }

    #[test]
    fn comments_stay_with_the_instruction_below() {
        let found = lines("# one\n#\n# two\nFROM x\n# three\nRUN y");
        let comments = |index: usize| -> Vec<&str> {
            found[index].comments.iter().map(|c| c.as_str()).collect()
        };
        assert_eq!(comments(0), ["two"]);
        assert_eq!(comments(1), ["three"]);
    }

    #[test]
    fn blank_lines_inside_are_noted() {
        let line = &lines("RUN a \\\n\n  \n b")[0];
        assert_eq!(line.blank_lines.len(), 2);
    }
}
