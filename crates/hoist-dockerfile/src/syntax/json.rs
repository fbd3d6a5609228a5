//! JSON arrays of strings, accepted exactly where Docker (Go's `encoding/json`) accepts them.

use std::ops::Range;

/// Why a text is not a JSON array of strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotStrings {
    /// It does not start with `[`.
    NoArray,
    /// It is no valid JSON: what was wrong and where.
    Invalid { offset: usize, reason: &'static str },
    /// It is a valid array, but this element is not a string. Docker refuses it.
    Element { offset: usize },
}

/// The strings of a JSON array, each with its range (quotes included).
pub(crate) fn string_array(text: &str) -> Result<Vec<(String, Range<usize>)>, NotStrings> {
    if !text.trim_start().starts_with('[') {
        return Err(NotStrings::NoArray);
    }
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        text,
        at: text.len() - text.trim_start().len() + 1,
    };
    let mut strings = Vec::new();
    let mut odd = None;
    scanner.blanks();
    if scanner.peek() == Some(b']') {
        scanner.at += 1;
    } else {
        loop {
            scanner.blanks();
            let start = scanner.at;
            if scanner.peek() == Some(b'"') {
                let value = scanner.string()?;
                strings.push((value, start..scanner.at));
            } else {
                scanner.value()?;
                odd.get_or_insert(start);
            }
            scanner.blanks();
            match scanner.next() {
                Some(b',') => {}
                Some(b']') => break,
                Some(_) => return Err(scanner.fail_back("expected ',' or ']' after an element")),
                None => return Err(scanner.fail("the array is not closed")),
            }
        }
    }
    scanner.blanks();
    if scanner.peek().is_some() {
        return Err(scanner.fail("there is text after the array"));
    }
    match odd {
        Some(offset) => Err(NotStrings::Element { offset }),
        None => Ok(strings),
    }
}

/// Go's limit of nesting.
const MAX_DEPTH: usize = 10_000;

struct Scanner<'t> {
    bytes: &'t [u8],
    text: &'t str,
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn fail(&self, reason: &'static str) -> NotStrings {
        NotStrings::Invalid {
            offset: self.text.floor_char_boundary(self.at),
            reason,
        }
    }

    /// Fails at the byte that was just read.
    fn fail_back(&mut self, reason: &'static str) -> NotStrings {
        self.at -= 1;
        self.fail(reason)
    }

    /// A string, escapes resolved; a lone surrogate becomes U+FFFD as in Go.
    fn string(&mut self) -> Result<String, NotStrings> {
        self.at += 1;
        let mut value = String::new();
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            value.push_str(&self.text[start..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(value);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let unescaped = self.escape()?;
                    value.push(unescaped);
                }
                Some(_) => return Err(self.fail("a control character must be escaped")),
                None => return Err(self.fail("the string is not closed")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, NotStrings> {
        Ok(match self.next() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            Some(_) => return Err(self.fail_back("invalid escape in a string")),
            None => return Err(self.fail("the string is not closed")),
        })
    }

    /// The character of `\uXXXX`, with the second half of a surrogate pair if there is one.
    fn unicode(&mut self) -> Result<char, NotStrings> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let back = self.at;
        if self.bytes[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Result<u32, NotStrings> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.fail("\\u needs four hexadecimal digits"));
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// Any value that is not a string at its top: checked, not kept. Iterative, so that nesting
    /// cannot overflow the stack.
    fn value(&mut self) -> Result<(), NotStrings> {
        let mut closers = Vec::new();
        loop {
            self.blanks();
            let opened = self.value_start(&mut closers)?;
            if closers.len() > MAX_DEPTH {
                return Err(self.fail("nested too deeply"));
            }
            if !opened && self.value_end(&mut closers)? {
                return Ok(());
            }
        }
    }

    /// One scalar, or the start of an array or object; whether a value must follow.
    fn value_start(&mut self, closers: &mut Vec<u8>) -> Result<bool, NotStrings> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| false),
            Some(b'[') => {
                self.at += 1;
                closers.push(b']');
                self.blanks();
                Ok(self.peek() != Some(b']'))
            }
            Some(b'{') => {
                self.at += 1;
                closers.push(b'}');
                self.blanks();
                if self.peek() == Some(b'}') {
                    return Ok(false);
                }
                self.key()?;
                Ok(true)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            _ => self.keyword().map(|()| false),
        }
    }

    /// After a value: closes what ends here; whether the outermost value is complete.
    fn value_end(&mut self, closers: &mut Vec<u8>) -> Result<bool, NotStrings> {
        loop {
            let Some(&closer) = closers.last() else {
                return Ok(true);
            };
            self.blanks();
            match self.next() {
                Some(byte) if byte == closer => {
                    closers.pop();
                }
                Some(b',') => {
                    if closer == b'}' {
                        self.blanks();
                        self.key()?;
                    }
                    return Ok(false);
                }
                Some(_) => return Err(self.fail_back("expected ',' or a closing bracket")),
                None => return Err(self.fail("the array is not closed")),
            }
        }
    }

    fn key(&mut self) -> Result<(), NotStrings> {
        if self.peek() != Some(b'"') {
            return Err(self.fail("expected a string as key"));
        }
        self.string()?;
        self.blanks();
        match self.next() {
            Some(b':') => Ok(()),
            Some(_) => Err(self.fail_back("expected ':' after a key")),
            None => Err(self.fail("expected ':' after a key")),
        }
    }

    fn digits(&mut self) -> Result<(), NotStrings> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if start == self.at {
            return Err(self.fail("expected a digit"));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), NotStrings> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn keyword(&mut self) -> Result<(), NotStrings> {
        for word in ["true", "false", "null"] {
            if self.bytes[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(match self.peek() {
            Some(b'\'') => self.fail("JSON strings take double quotes"),
            Some(b']') => self.fail("a comma must not come last"),
            _ => self.fail("expected a string in double quotes"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(text: &str) -> Vec<String> {
        let found = string_array(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        found.into_iter().map(|(value, _)| value).collect()
    }

    #[test]
    fn arrays_of_strings_are_read() {
        assert_eq!(strings(r#"["a", "b c"]"#), ["a", "b c"]);
        assert_eq!(strings(r#"  [ "a" ,"b" ]  "#), ["a", "b"]);
        assert_eq!(strings("[]"), Vec::<String>::new());
        assert_eq!(strings("[ ]"), Vec::<String>::new());
        assert_eq!(
            strings(r#"["\"\\\/\b\f\n\r\t\u00e9"]"#),
            ["\"\\/\u{8}\u{c}\n\r\té"]
        );
        assert_eq!(
            strings(r#"["\ud83d\ude00", "\ud83d", "\ude00x"]"#),
            ["😀", "\u{fffd}", "\u{fffd}x"]
        );
        assert_eq!(strings(r#"["\ud83d\u0041"]"#), ["\u{fffd}A"]);
    }

    #[test]
    fn what_go_rejects_is_invalid() {
        for text in [
            r#"["a""#,
            r#"["a",]"#,
            r#"["a" "b"]"#,
            r#"['a']"#,
            r#"["a"] x"#,
            "[\"a\tb\"]",
            r#"["\x"]"#,
            r#"["\u12"]"#,
            "[a]",
            "[",
            "[[",
            "[1.]",
            "[01]",
            "[-]",
            "[1e]",
            r#"[{"a"}]"#,
            "[{]",
            "[nul]",
            "[ -f x ] && y",
        ] {
            let result = string_array(text);
            assert!(
                matches!(result, Err(NotStrings::Invalid { .. })),
                "{text}: {result:?}"
            );
        }
        assert_eq!(string_array("a"), Err(NotStrings::NoArray));
        assert_eq!(string_array(""), Err(NotStrings::NoArray));
    }

    #[test]
    fn valid_json_of_other_things_is_told_apart() {
        for (text, offset) in [
            ("[1]", 1),
            (r#"["a", null]"#, 6),
            (r#"[{"a": [1, -2.5e+3, {}, [], true, false]}, "b"]"#, 1),
            (r#"["a", ["b"]]"#, 6),
            ("[[[]]]", 1),
        ] {
            assert_eq!(
                string_array(text),
                Err(NotStrings::Element { offset }),
                "{text}"
            );
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_recursion() {
        let text = "[".repeat(200_000);
        assert!(matches!(
            string_array(&text),
            Err(NotStrings::Invalid { .. })
        ));
    }
}
