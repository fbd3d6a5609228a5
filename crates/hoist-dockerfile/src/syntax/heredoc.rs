//! Heredocs: `<<EOF` words in RUN, COPY and ADD, and the bodies below.

use crate::expand::Lexer;
use crate::source::{Span, Spanned};

/// An inline document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter, quotes removed; for COPY and ADD the name of the file.
    pub name: String,
    /// The body as written: with its tabs, and with its final line break.
    pub content: Spanned<String>,
    /// `<<-`: leading tabs of each line are not part of the document.
    pub strip_tabs: bool,
    /// The delimiter was not quoted: variables in the body are expanded (by the builder for COPY
    /// and ADD, by the shell for RUN).
    pub expand: bool,
    /// Where the `<<` word stands.
    pub span: Span,
}

impl Heredoc {
    /// The document: the body, without leading tabs if the word was `<<-`.
    #[must_use]
    pub fn text(&self) -> String {
        if !self.strip_tabs {
            return self.content.value.clone();
        }
        let lines = self.content.split_inclusive('\n');
        lines.map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// A `<<` word, its body not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeredocWord {
    pub(crate) name: String,
    pub(crate) strip_tabs: bool,
    pub(crate) expand: bool,
    /// Offset of the word in the line.
    pub(crate) at: usize,
    pub(crate) length: usize,
}

/// The heredocs that the words of `line` start, in order.
///
/// As in Docker, a line that cannot be split into words (an open quote) starts none.
pub(crate) fn find(line: &str) -> Vec<HeredocWord> {
    if !line.contains("<<") {
        return Vec::new();
    }
    let words = Lexer::for_heredoc_line(line).words().unwrap_or_default();
    let mut found = Vec::new();
    for (word, at) in words {
        if let Some(mut heredoc) = parse(&word) {
            heredoc.at = at;
            heredoc.length = word.len();
            found.push(heredoc);
        }
    }
    found
}

/// `word` as `[fd]<<[-] delimiter`.
pub(crate) fn parse(word: &str) -> Option<HeredocWord> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start_matches([' ', '\t', '\r', '\u{c}', '\n']);
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let plain = single(Lexer::for_heredoc_word(rest, false))?;
    let quoted = single(Lexer::for_heredoc_word(rest, true))?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    Some(HeredocWord {
        expand: quotes(&plain) == quotes(&quoted),
        name: plain,
        strip_tabs,
        at: 0,
        length: word.len(),
    })
}

/// The only word that `lexer` finds.
fn single(lexer: Lexer<'_>) -> Option<String> {
    let mut words = lexer.words().ok()?;
    match words.len() {
        1 => words.pop().map(|(word, _)| word),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Vec<String> {
        find(line).into_iter().map(|word| word.name).collect()
    }

    #[test]
    fn words_that_start_a_heredoc() {
        let table: &[(&str, &[&str])] = &[
            ("RUN <<EOF", &["EOF"]),
            ("RUN <<-EOF", &["EOF"]),
            ("RUN << EOF", &["EOF"]),
            ("RUN <<'EOF'", &["EOF"]),
            ("RUN <<\"E F\"", &["E F"]),
            ("RUN <<E'O'F", &["EOF"]),
            ("RUN 3<<EOF cat", &["EOF"]),
            ("COPY <<a <<b /dir/", &["a", "b"]),
            ("RUN cat <<A && cat <<B", &["A", "B"]),
            ("RUN python3 <<EOF > /x", &["EOF"]),
            ("RUN cat <<<EOF", &[]),
            ("RUN cat <<< EOF", &[]),
            ("RUN echo '<<EOF'", &[]),
            ("RUN echo \"<<EOF\"", &[]),
            ("RUN echo \\<<EOF", &[]),
            ("RUN a<<EOF", &[]),
            ("RUN echo \"<<EOF", &[]),
            ("RUN <<", &[]),
            ("RUN <<$NAME", &["$NAME"]),
            ("RUN <<${NAME:-x}", &["${NAME:-x}"]),
            ("RUN x < y << Z", &["Z"]),
        ];
        for (line, expected) in table {
            assert_eq!(&names(line), expected, "{line}");
        }
    }

    #[test]
    fn quotes_switch_expansion_off() {
        for (word, expand, strip) in [
            ("<<EOF", true, false),
            ("<<-EOF", true, true),
            ("<<'EOF'", false, false),
            ("<<-\"EOF\"", false, true),
            ("<<E\"O\"F", false, false),
        ] {
            let parsed = parse(word).unwrap();
            assert_eq!(
                (parsed.expand, parsed.strip_tabs),
                (expand, strip),
                "{word}"
            );
        }
    }

    #[test]
    fn the_word_knows_its_place() {
        let line = "RUN cat <<A 5<<-'B'";
        let places: Vec<&str> = find(line)
            .iter()
            .map(|word| &line[word.at..word.at + word.length])
            .collect();
        assert_eq!(places, ["<<A", "5<<-'B'"]);
    }
}
