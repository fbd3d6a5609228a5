//! Path patterns: Go's `filepath.Match` for the sources of COPY, and the same with `**` as
//! Docker's `.dockerignore`, `--exclude` and `--parents` read it.
//!
//! | pattern | matches |
//! |---|---|
//! | `*` | any run of characters but `/` |
//! | `?` | one character but `/` |
//! | `[a-z]`, `[^a-z]` | one character (not) of the class |
//! | `\c` | the character `c` |
//! | `**/` | any number of directories, none too ([`Syntax::DoubleStar`] only) |
//! | `**` at the end | anything ([`Syntax::DoubleStar`] only) |
//!
//! A match takes time in proportion to pattern times path. Paths are bytes; what is not UTF-8 in
//! them counts as U+FFFD, one character a byte.

/// What `**` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Go's `filepath.Match`: two stars are a star.
    Go,
    /// Docker's pattern matcher: any number of directories.
    DoubleStar,
}

/// A malformed pattern: an open `[`, an empty class, a range without an end, a final `\`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern \"{pattern}\"")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    /// Characters that every match starts with.
    prefix: String,
    /// Characters that every match ends with.
    suffix: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Star,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// The start of `**/`: leads behind the directories at once.
    DirectoriesStart,
    /// Inside the directories of `**/`: every `/` leads behind them.
    Directories,
    /// `**` at the end.
    Everything,
}

/// Whether `name` matches `pattern` by Go's rules; a malformed pattern matches nothing.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern, Syntax::Go).is_ok_and(|pattern| pattern.matches(name))
}

/// Whether `text` has a wildcard that is not escaped.
#[must_use]
pub fn has_wildcards(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn new(text: &str, syntax: Syntax) -> Result<Self, BadPattern> {
        let bad = || BadPattern {
            pattern: text.to_owned(),
        };
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                '*' if syntax == Syntax::DoubleStar && rest.starts_with('*') => {
                    let first = tokens.is_empty();
                    rest = double_star(&mut tokens, &rest[1..], first);
                }
                '*' => tokens.push(Token::Star),
                '?' => tokens.push(Token::One),
                '[' => {
                    let (class, tail) = class(rest).ok_or_else(bad)?;
                    tokens.push(class);
                    rest = tail;
                }
                '\\' => {
                    let escaped = rest.chars().next().ok_or_else(bad)?;
                    rest = &rest[escaped.len_utf8()..];
                    tokens.push(Token::Char(escaped));
                }
                literal => tokens.push(Token::Char(literal)),
            }
        }
        tokens.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
        let literal = |token: &Token| match token {
            Token::Char(c) => Some(*c),
            _ => None,
        };
        let prefix = tokens.iter().map_while(literal).collect();
        let reversed: Vec<char> = tokens.iter().rev().map_while(literal).collect();
        Ok(Self {
            prefix,
            suffix: reversed.into_iter().rev().collect(),
            tokens,
        })
    }

    /// Whether the whole of `path` matches.
    #[must_use]
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        if self.prefix.chars().count() == self.tokens.len() {
            return path == self.prefix.as_bytes();
        }
        if !path.starts_with(self.prefix.as_bytes()) || !path.ends_with(self.suffix.as_bytes()) {
            return false;
        }
        self.run(chars(path))
            .is_some_and(|states| states[self.tokens.len()])
    }

    /// For the directories on the way to `path`, from the top, and for `path` itself: whether it
    /// matches. One pass, however deep the path.
    pub(crate) fn matches_on_the_way(&self, path: &[u8]) -> Vec<bool> {
        let count = self.tokens.len();
        let mut found = Vec::new();
        let mut states = self.start();
        let mut next = states.clone();
        for c in chars(path) {
            if c == '/' {
                found.push(states[count]);
            }
            self.step(c, &mut states, &mut next);
        }
        found.push(states[count]);
        found
    }

    /// Whether something below the directory `path` may match.
    #[must_use]
    pub fn may_match_below(&self, path: impl AsRef<[u8]>) -> bool {
        let below = chars(path.as_ref()).chain(['/']);
        self.run(below)
            .is_some_and(|states| states[..self.tokens.len()].contains(&true))
    }

    /// The states after `text`; `None` if nothing that starts so can match.
    fn run(&self, text: impl Iterator<Item = char>) -> Option<Vec<bool>> {
        let mut states = self.start();
        let mut next = states.clone();
        for c in text {
            self.step(c, &mut states, &mut next);
            if !states.contains(&true) {
                return None;
            }
        }
        Some(states)
    }

    /// The states before the first character: for each token, whether it may come next; the last
    /// one stands for a complete match.
    fn start(&self) -> Vec<bool> {
        let mut states = vec![false; self.tokens.len() + 1];
        states[0] = true;
        self.close(&mut states);
        states
    }

    /// Eats one character; `next` is scratch space.
    fn step(&self, c: char, states: &mut Vec<bool>, next: &mut Vec<bool>) {
        next.fill(false);
        for index in (0..self.tokens.len()).filter(|index| states[*index]) {
            let (stays, passes) = self.tokens[index].step(c);
            next[index] |= stays;
            next[index + 1] |= passes;
        }
        self.close(next);
        std::mem::swap(states, next);
    }

    /// Follows what needs no character.
    fn close(&self, states: &mut [bool]) {
        for (index, token) in self.tokens.iter().enumerate() {
            if !states[index] {
                continue;
            }
            match token {
                Token::Star | Token::Everything => states[index + 1] = true,
                Token::DirectoriesStart => {
                    states[index + 1] = true;
                    states[index + 2] = true;
                }
                _ => {}
            }
        }
    }
}

impl Token {
    /// Whether `c` may be eaten staying at this token, and whether by passing it.
    fn step(&self, c: char) -> (bool, bool) {
        match self {
            Self::Char(literal) => (false, *literal == c),
            Self::One => (false, c != '/'),
            Self::Star => (c != '/', false),
            Self::Class { negated, ranges } => {
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                (false, inside != *negated)
            }
            Self::DirectoriesStart => (false, false),
            Self::Directories => (true, c == '/'),
            Self::Everything => (true, false),
        }
    }
}

/// The tokens of `**` with `rest` behind it; what is left of `rest`.
fn double_star<'p>(tokens: &mut Vec<Token>, rest: &'p str, first: bool) -> &'p str {
    let tail = rest.strip_prefix('/').unwrap_or(rest);
    let plain = !tail.contains(['*', '?', '[', ']', '\\']);
    if tail.is_empty() || (first && plain && tail == rest) {
        tokens.push(Token::Everything);
    } else {
        tokens.extend([Token::DirectoriesStart, Token::Directories]);
    }
    tail
}

/// The class behind a `[`, and what follows it.
fn class(text: &str) -> Option<(Token, &str)> {
    let (negated, mut rest) = match text.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        if let Some(tail) = rest.strip_prefix(']')
            && !ranges.is_empty()
        {
            return Some((Token::Class { negated, ranges }, tail));
        }
        let (low, tail) = class_character(rest)?;
        let (high, tail) = match tail.strip_prefix('-') {
            Some(tail) => class_character(tail)?,
            None => (low, tail),
        };
        ranges.push((low, high));
        rest = tail;
    }
}

fn class_character(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    let c = match chars.next()? {
        '-' | ']' => return None,
        '\\' => chars.next()?,
        other => other,
    };
    Some((c, chars.as_str()))
}

/// The characters of a path.
fn chars(path: &[u8]) -> impl Iterator<Item = char> + '_ {
    path.utf8_chunks().flat_map(|chunk| {
        let broken = chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(broken)
    })
}

/// The shortest path that means the same, as Go's `path.Clean`.
#[must_use]
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => drop(parts.pop()),
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_patterns() {
        let table = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            (r"[\]a]", "]", true),
            (r"[\-]", "-", true),
            (r"[x\-]", "x", true),
            (r"[x\-]", "z", false),
            (r"[\-x]", "a", false),
            ("*x", "xxx", true),
            ("**", "a/b", false),
            ("a**b", "axyb", true),
            ("", "", true),
            ("", "x", false),
            ("arr[[]0].txt", "arr[0].txt", true),
            ("hom?.txt", "home.txt", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in [
            "[", "[^", "[^bc", "a[", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "a\\", "[]", "[a-\\",
        ] {
            assert!(Pattern::new(pattern, Syntax::Go).is_err(), "{pattern}");
            assert!(!matches(pattern, "a"), "{pattern}");
        }
    }

    #[test]
    fn double_stars() {
        let table = [
            ("**", "a/b/c", true),
            ("**/", "a/b", true),
            ("**/a", "a", true),
            ("**/a", "x/y/a", true),
            ("**/a", "xa", false),
            ("**/a/b", "x/a/b", true),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a**", "abc/d", true),
            ("**.py", "a/b.py", true),
            ("**/*.py", "b.py", true),
            ("**/*.py", "a/b.py", true),
            ("a/**/b/**/c", "a/x/b/y/c", true),
            ("a**b", "axxb", false),
            ("a**b", "a/b", true),
            ("a**b", "ax/b", true),
        ];
        for (pattern, path, expected) in table {
            let compiled = Pattern::new(pattern, Syntax::DoubleStar).unwrap();
            assert_eq!(compiled.matches(path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn directories_below_which_something_may_match() {
        let below = |pattern, path| {
            Pattern::new(pattern, Syntax::DoubleStar)
                .unwrap()
                .may_match_below(path)
        };
        assert!(below("a/b", "a"));
        assert!(!below("a/b", "b"));
        assert!(!below("a/b", "a/b"));
        assert!(!below("*.md", "docs"));
        assert!(below("**/*.md", "docs/deep"));
        assert!(below("docs/*.md", "docs"));
        assert!(!below("docs/*.md", "docs/deep"));
    }

    #[test]
    fn paths_that_are_not_utf8_match_wildcards() {
        let pattern = Pattern::new("a?c", Syntax::Go).unwrap();
        assert!(pattern.matches(b"a\xffc"));
        assert!(!pattern.matches(b"a\xff\xfec"));
    }

    #[test]
    fn wildcards_are_seen_unless_escaped() {
        assert!(has_wildcards("a*"));
        assert!(has_wildcards("a[b"));
        assert!(!has_wildcards(r"a\*"));
        assert!(!has_wildcards("ab\\"));
    }

    #[test]
    fn paths_are_cleaned_as_in_go() {
        for (path, expected) in [
            ("", "."),
            ("a/", "a"),
            ("./a//b/.", "a/b"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("a/../..", ".."),
            ("/", "/"),
            ("/../a", "/a"),
            ("//a", "/a"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_pattern_compiles_or_is_refused(pattern in "[ab*?\\[\\]^\\\\/-]{0,12}", path in "[ab/]{0,12}") {
            for syntax in [Syntax::Go, Syntax::DoubleStar] {
                if let Ok(compiled) = Pattern::new(&pattern, syntax) {
                    let matched = compiled.matches(&path);
                    // What lies below a directory has a name.
                    if matched
                        && let Some((directory, name)) = path.rsplit_once('/')
                        && !name.is_empty()
                    {
                        prop_assert!(compiled.may_match_below(directory), "{pattern} {path}");
                    }
                }
            }
        }

        #[test]
        fn stars_agree_with_trying_every_way(pattern in "[ab*?/]{0,7}", path in "[ab/]{0,7}") {
            fn slow(pattern: &[u8], path: &[u8]) -> bool {
                match pattern.first() {
                    None => path.is_empty(),
                    Some(b'*') => (0..=path.len())
                        .take_while(|&at| !path[..at].contains(&b'/'))
                        .any(|at| slow(&pattern[1..], &path[at..])),
                    Some(b'?') => path.first().is_some_and(|c| *c != b'/') && slow(&pattern[1..], &path[1..]),
                    Some(c) => path.first() == Some(c) && slow(&pattern[1..], &path[1..]),
                }
            }
            prop_assert_eq!(matches(&pattern, &path), slow(pattern.as_bytes(), path.as_bytes()));
        }
    }
}
