//! Words: how the arguments of an instruction are split, before any expansion.

use std::ops::Range;

use super::line::Fragment;

/// A word of `ENV`, `LABEL` or `ARG`: quotes and escapes still in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    /// Where it stands in the fragment.
    pub(crate) range: Range<usize>,
    /// Its text: that of the range, but for a dangling escape character at the very end.
    pub(crate) text: String,
}

/// A flag before the arguments, `--name=value`, quotes and escapes resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlagWord {
    pub(crate) range: Range<usize>,
    pub(crate) text: String,
}

/// White space as Docker splits arguments at (a newline cannot occur, other Unicode space does not
/// split).
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

/// The first word and the rest behind the blanks that follow.
pub(crate) fn split_first(text: &str) -> (Range<usize>, Range<usize>) {
    let end = text.find(is_blank).unwrap_or(text.len());
    let rest = text[end..].trim_start_matches(is_blank);
    (0..end, text.len() - rest.len()..text.len())
}

/// The arguments of `fragment`, split at blanks; quotes mean nothing here.
pub(crate) fn split_blank<'l>(fragment: &Fragment<'l>) -> Vec<Fragment<'l>> {
    let text = fragment.text();
    let mut parts = Vec::new();
    let mut rest = 0..text.len();
    while !rest.is_empty() {
        let (word, tail) = split_first(&text[rest.clone()]);
        parts.push(fragment.slice(rest.start + word.start..rest.start + word.end));
        rest = rest.start + tail.start..text.len();
    }
    parts
}

/// Splits at white space outside quotes. Quotes and escapes stay in the words; an escape
/// character at the very end is dropped.
pub(crate) fn split_words(text: &str, escape: char) -> Vec<Word> {
    let mut words = Vec::new();
    let mut current: Option<Word> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(current.take().filter(|word| !word.text.is_empty()));
            continue;
        }
        let word = current.get_or_insert_with(|| Word {
            range: at..at,
            text: String::new(),
        });
        word.range.end = at + c.len_utf8();
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            let Some((at, next)) = chars.next() else {
                break;
            };
            word.text.push(c);
            word.text.push(next);
            word.range.end = at + next.len_utf8();
            continue;
        }
        word.text.push(c);
    }
    words.extend(current.filter(|word| !word.text.is_empty()));
    words
}

/// The flags at the start of `text`, and where the arguments begin.
///
/// Quotes are removed and escapes resolved; a lone `--` ends the flags.
pub(crate) fn split_flags(text: &str, escape: char) -> (Vec<FlagWord>, usize) {
    let mut flags = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if !text[at..].starts_with("--") {
            return (flags, at);
        }
        let (word, end) = flag_word(&text[at..], escape);
        let range = at..at + end;
        at += end;
        if word == "--" {
            return (flags, at);
        }
        flags.push(FlagWord { range, text: word });
    }
}

/// The flag at the start of `text` without quotes and escapes, and its length as written.
fn flag_word(text: &str, escape: char) -> (String, usize) {
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, at),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => word.extend(chars.next().map(|(_, next)| next)),
            _ => word.push(c),
        }
    }
    (word, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_quotes_and_escapes() {
        let table: &[(&str, &[&str])] = &[
            ("a=b c=d", &["a=b", "c=d"]),
            ("a=\"b c\" d='e f'", &["a=\"b c\"", "d='e f'"]),
            (r"a=b\ c d=e", &[r"a=b\ c", "d=e"]),
            (r#"a="b\"c" d"#, &[r#"a="b\"c""#, "d"]),
            (r"a='b\' c'", &[r"a='b\'", "c'"]),
            ("a=\"\" ''", &["a=\"\"", "''"]),
            (r"a=b\", &["a=b"]),
            ("  ", &[]),
            ("a\u{a0}b", &["a", "b"]),
        ];
        for (text, expected) in table {
            let words: Vec<String> = split_words(text, '\\')
                .into_iter()
                .map(|w| w.text)
                .collect();
            assert_eq!(&words, expected, "{text}");
        }
    }

    #[test]
    fn flags_lose_quotes_and_escapes() {
        let table: &[(&str, &[&str], &str)] = &[
            ("--a=b --c x y", &["--a=b", "--c"], "x y"),
            ("--a=\"b c\" x", &["--a=b c"], "x"),
            (r"--a=b\ c x", &["--a=b c"], "x"),
            ("-a x", &[], "-a x"),
            ("--a -- --b x", &["--a"], " --b x"),
            ("--a", &["--a"], ""),
            ("x --a", &[], "x --a"),
            ("--é=ü x", &["--é=ü"], "x"),
        ];
        for (text, expected, rest) in table {
            let (flags, at) = split_flags(text, '\\');
            let flags: Vec<String> = flags.into_iter().map(|flag| flag.text).collect();
            assert_eq!(&flags, expected, "{text}");
            assert_eq!(&&text[at..], rest, "{text}");
        }
    }

    #[test]
    fn the_first_word_ends_at_a_blank() {
        assert_eq!(split_first("RUN \t x y"), (0..3, 6..9));
        assert_eq!(split_first("RUN"), (0..3, 3..3));
        assert_eq!(split_first(""), (0..0, 0..0));
    }
}
