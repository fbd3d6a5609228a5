//! Where things stand in a text: byte spans, lines and columns.

use std::fmt;
use std::ops::{Deref, Range};

/// A half-open range of bytes in a [`Source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset just behind the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` up to, not including, `end`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The empty span at `offset`.
    #[must_use]
    pub const fn at(offset: usize) -> Self {
        Self::new(offset, offset)
    }

    /// The smallest span that holds both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether the span holds no byte.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The span as a range, to slice a text with.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// A value and the place it was written at.
///
/// Equality looks at the value and at the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `value`, written at `span`.
    #[must_use]
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// The same place with another value.
    #[must_use]
    pub fn with<U>(&self, value: U) -> Spanned<U> {
        Spanned::new(value, self.span)
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// A place as people count: both numbers start at 1, the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line number.
    pub line: usize,
    /// Column number, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A text and the index of its lines. A byte order mark at the start is not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// Indexes `text`, without its byte order mark.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self { text, line_starts }
    }

    /// Indexes bytes that may not be UTF-8; what is not is shown as U+FFFD.
    ///
    /// Offsets up to the first such byte are those of `bytes` (without a byte order mark).
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::new(&String::from_utf8_lossy(bytes))
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of `span`, as far as it lies inside.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        let end = self.floor(span.end);
        &self.text[self.floor(span.start).min(end)..end]
    }

    /// Line and column of the byte at `offset` (of the end, where `offset` is behind it).
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.floor(offset);
        let line = self.line_starts.partition_point(|&start| start <= offset) - 1;
        let column = self.text[self.line_starts[line]..offset].chars().count() + 1;
        Position {
            line: line + 1,
            column,
        }
    }

    /// How many lines there are; a final line break does not start another one.
    #[must_use]
    pub fn line_count(&self) -> usize {
        let open_line = !self.text.ends_with('\n') && !self.text.is_empty();
        self.line_starts.len() - usize::from(!open_line)
    }

    /// The span of line `number` (from 1), without its line break; `None` behind the last line.
    #[must_use]
    pub fn line_span(&self, number: usize) -> Option<Span> {
        let start = *self.line_starts.get(number.checked_sub(1)?)?;
        let end = self
            .line_starts
            .get(number)
            .map_or(self.text.len(), |next| next - 1);
        let line = self.text[start..end].trim_end_matches('\r');
        Some(Span::new(start, start + line.len()))
    }

    /// The nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let source = Source::new("FROM é\r\nRUN x\n");
        assert_eq!(source.position(0).to_string(), "1:1");
        assert_eq!(source.position(7).to_string(), "1:7");
        assert_eq!(source.position(9).to_string(), "2:1");
        assert_eq!(source.position(999).to_string(), "3:1");
        assert_eq!(source.line_count(), 2);
        assert_eq!(source.slice(source.line_span(1).unwrap()), "FROM é");
        assert_eq!(source.slice(source.line_span(2).unwrap()), "RUN x");
        assert_eq!(source.line_span(0), None);
        assert_eq!(source.line_span(9), None);
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_text() {
        let source = Source::new("\u{feff}FROM x");
        assert_eq!(source.text(), "FROM x");
        assert_eq!(source.position(0).to_string(), "1:1");
    }

    #[test]
    fn an_empty_text_has_no_line() {
        assert_eq!(Source::new("").line_count(), 0);
        assert_eq!(Source::new("a").line_count(), 1);
        assert_eq!(Source::new("a\n\n").line_count(), 2);
    }

    #[test]
    fn offsets_inside_a_character_are_harmless() {
        let source = Source::new("é");
        assert_eq!(source.slice(Span::new(1, 2)), "é");
        assert_eq!(source.slice(Span::new(0, 1)), "");
        assert_eq!(source.slice(Span::new(5, 1)), "");
    }
}
