//! From the text of a template to tokens.

use super::{TemplateError, parse_error};

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// The first byte.
    pub(super) start: usize,
    /// The byte behind the last one.
    pub(super) end: usize,
    /// White space, or nothing of the action, stands before it.
    pub(super) spaced: bool,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// Text outside of actions, trimmed.
    Text(String),
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    /// `.`.
    Dot,
    /// `.Name`, without the dot.
    Field(String),
    /// `$` or `$name`, with the dollar sign.
    Variable(String),
    /// A keyword, `true`, `false`, `nil` or a function.
    Word(String),
    /// A string or raw string, decoded.
    String(String),
    /// A whole number or a character.
    Integer(i64),
    /// A number with point or exponent.
    Float(f64),
    /// `(`.
    LeftParenthesis,
    /// `)`.
    RightParenthesis,
    /// `|`.
    Pipe,
    /// `:=`.
    Declare,
    /// `=`.
    Assign,
    /// `,`.
    Comma,
    /// Anything else.
    Other(char),
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// White space as Go's lexer has it.
pub(super) const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// All tokens of `source`.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer {
        source,
        at: 0,
        tokens: Vec::new(),
        parentheses: 0,
    };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    tokens: Vec<Token>,
    parentheses: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn error(&self, message: impl Into<String>) -> TemplateError {
        parse_error(self.source, self.at, message)
    }

    fn push(&mut self, kind: TokenKind, start: usize, spaced: bool) {
        self.tokens.push(Token {
            kind,
            start,
            end: self.at,
            spaced,
        });
    }

    /// Text and actions in turn.
    fn run(&mut self) -> Result<(), TemplateError> {
        let mut trim_start = false;
        loop {
            let start = self.at;
            let Some(length) = self.rest().find(OPEN) else {
                let text = self.rest().to_owned();
                self.at = self.source.len();
                self.push_text(&text, start, (trim_start, false));
                return Ok(());
            };
            let text = self.rest()[..length].to_owned();
            self.at += length;
            let open = self.at;
            self.at += OPEN.len();
            let trims = self.rest().starts_with('-')
                && self.rest()[1..].chars().next().is_some_and(is_space);
            self.push_text(&text, start, (trim_start, trims));
            if trims {
                self.at += 1;
            }
            let comment = self.rest().trim_start_matches(is_space);
            let is_comment = match trims {
                true => comment.starts_with("/*"),
                false => self.rest().starts_with("/*"),
            };
            trim_start = if is_comment {
                self.comment()?
            } else {
                self.push(TokenKind::Open, open, true);
                self.action()?
            };
        }
    }

    fn push_text(&mut self, text: &str, start: usize, (trim_start, trim_end): (bool, bool)) {
        let mut text = text;
        if trim_start {
            text = text.trim_start_matches(is_space);
        }
        if trim_end {
            text = text.trim_end_matches(is_space);
        }
        if !text.is_empty() {
            self.push(TokenKind::Text(text.to_owned()), start, true);
        }
    }

    /// A comment up to its delimiter; whether that trims what follows.
    fn comment(&mut self) -> Result<bool, TemplateError> {
        let Some(length) = self.rest().find("*/") else {
            return Err(self.error("unclosed comment"));
        };
        self.at += length + 2;
        match self.close() {
            Some(trims) => Ok(trims),
            None => Err(self.error("comment ends before closing delimiter")),
        }
    }

    /// Step over `}}`, or white space and `-}}`, if that is what follows; whether it trims.
    fn close(&mut self) -> Option<bool> {
        if self.rest().starts_with(CLOSE) {
            self.at += CLOSE.len();
            return Some(false);
        }
        let after_space = self.rest().trim_start_matches(is_space);
        let spaces = self.rest().len() - after_space.len();
        if spaces > 0 && after_space.starts_with("-}}") {
            self.at += spaces + 1 + CLOSE.len();
            return Some(true);
        }
        None
    }

    /// The tokens of an action up to its delimiter; whether that trims what follows.
    fn action(&mut self) -> Result<bool, TemplateError> {
        self.parentheses = 0;
        let mut spaced = true;
        loop {
            let start = self.at;
            if let Some(trims) = self.close() {
                if self.parentheses > 0 {
                    return Err(self.error("unclosed left paren"));
                }
                self.push(TokenKind::Close, start, true);
                return Ok(trims);
            }
            let Some(first) = self.rest().chars().next() else {
                return Err(self.error("unclosed action"));
            };
            if is_space(first) {
                self.at += 1;
                spaced = true;
                continue;
            }
            let kind = self.token(first)?;
            self.push(kind, start, spaced);
            spaced = false;
        }
    }

    /// The token that starts with `first`.
    fn token(&mut self, first: char) -> Result<TokenKind, TemplateError> {
        let second = self.rest()[first.len_utf8()..].chars().next();
        match first {
            '"' => self.quoted(),
            '`' => self.raw(),
            '\'' => self.character(),
            '.' if !second.is_some_and(|c| c.is_ascii_digit()) => {
                self.at += 1;
                let name = self.take_while(is_word);
                self.terminated()?;
                Ok(match name.is_empty() {
                    true => TokenKind::Dot,
                    false => TokenKind::Field(name),
                })
            }
            '$' => {
                self.at += 1;
                let name = self.take_while(is_word);
                self.terminated()?;
                Ok(TokenKind::Variable(format!("${name}")))
            }
            '.' | '+' | '-' | '0'..='9' => self.number(),
            c if is_word(c) => {
                let word = self.take_while(is_word);
                self.terminated()?;
                Ok(TokenKind::Word(word))
            }
            _ => self.sign(first, second),
        }
    }

    fn sign(&mut self, first: char, second: Option<char>) -> Result<TokenKind, TemplateError> {
        let kind = match (first, second) {
            (':', Some('=')) => {
                self.at += 2;
                return Ok(TokenKind::Declare);
            }
            (':', _) => return Err(self.error("expected :=")),
            ('=', _) => TokenKind::Assign,
            ('|', _) => TokenKind::Pipe,
            (',', _) => TokenKind::Comma,
            ('(', _) => {
                self.parentheses += 1;
                TokenKind::LeftParenthesis
            }
            (')', _) => {
                if self.parentheses == 0 {
                    return Err(self.error("unexpected right paren"));
                }
                self.parentheses -= 1;
                TokenKind::RightParenthesis
            }
            (other, _) if other.is_ascii() && !other.is_ascii_control() && other != '}' => {
                TokenKind::Other(other)
            }
            (other, _) => return Err(self.bad_character(other)),
        };
        self.at += first.len_utf8();
        Ok(kind)
    }

    fn bad_character(&self, c: char) -> TemplateError {
        let code = u32::from(c);
        self.error(if c.is_control() {
            format!("bad character U+{code:04X}")
        } else {
            format!("bad character U+{code:04X} '{c}'")
        })
    }

    /// What follows a field, variable or word must end it.
    fn terminated(&self) -> Result<(), TemplateError> {
        match self.rest().chars().next() {
            Some(c) if !is_space(c) && !matches!(c, '.' | ',' | '|' | ':' | '=' | '(' | ')') => {
                match self.rest().starts_with(CLOSE) {
                    true => Ok(()),
                    false => Err(self.bad_character(c)),
                }
            }
            _ => Ok(()),
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let length = self
            .rest()
            .find(|c| !wanted(c))
            .unwrap_or(self.rest().len());
        let taken = self.rest()[..length].to_owned();
        self.at += length;
        taken
    }

    /// Go's whole numbers (decimal, hexadecimal, octal, binary, with underscores) and floats.
    fn number(&mut self) -> Result<TokenKind, TemplateError> {
        let start = self.at;
        let mut length = 0;
        let mut previous = ' ';
        for c in self.rest().chars() {
            let after_exponent = matches!(previous, 'e' | 'E');
            let sign = matches!(c, '+' | '-') && (length == 0 || after_exponent);
            if !(sign || is_word(c) || (c == '.' && previous != ' ') || (c == '.' && length == 0)) {
                break;
            }
            length += c.len_utf8();
            previous = c;
        }
        let mut end = start + length;
        // `3-` is a number that goes wrong, `3 -}}` was seen to end the action before.
        if self.source[end..].starts_with(['-', '+']) {
            end += 1;
        }
        let text = &self.source[start..end];
        let parsed = integer(text)
            .map(TokenKind::Integer)
            .or_else(|| float(text).map(TokenKind::Float));
        let Some(kind) = parsed else {
            return Err(self.error(format!("bad number syntax: {text:?}")));
        };
        self.at = end;
        Ok(kind)
    }

    /// A string in double quotes.
    fn quoted(&mut self) -> Result<TokenKind, TemplateError> {
        let mut escaped = false;
        for (index, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    let body = &self.rest()[1..index];
                    let Some(text) = unquote(body, '"') else {
                        return Err(self.error("invalid syntax"));
                    };
                    self.at += index + 1;
                    return Ok(TokenKind::String(text));
                }
                _ => {}
            }
        }
        Err(self.error("unterminated quoted string"))
    }

    /// A string in back quotes.
    fn raw(&mut self) -> Result<TokenKind, TemplateError> {
        let Some(length) = self.rest()[1..].find('`') else {
            return Err(self.error("unterminated raw quoted string"));
        };
        let text = self.rest()[1..=length].replace('\r', "");
        self.at += length + 2;
        Ok(TokenKind::String(text))
    }

    /// A character constant, which is a number in Go.
    fn character(&mut self) -> Result<TokenKind, TemplateError> {
        let mut escaped = false;
        for (index, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '\'' => {
                    let whole = &self.rest()[..=index];
                    let body = unquote(&whole[1..index], '\'');
                    let mut characters = body.iter().flat_map(|body| body.chars());
                    let (Some(character), None) = (characters.next(), characters.next()) else {
                        return Err(self.error(format!("malformed character constant: {whole}")));
                    };
                    self.at += index + 1;
                    return Ok(TokenKind::Integer(i64::from(u32::from(character))));
                }
                _ => {}
            }
        }
        Err(self.error("unterminated character constant"))
    }
}

/// `text` as a whole number of Go.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some(_) if lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let plain = !digits.starts_with(['+', '-', '_']) && !digits.ends_with('_');
    if !plain || digits.contains("__") {
        return None;
    }
    let digits = digits.replace('_', "");
    let value = i128::from_str_radix(&digits, radix).ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

/// `text` as a decimal float of Go.
fn float(text: &str) -> Option<f64> {
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    let is_float = text.contains(['.', 'e', 'E']) && text.chars().all(allowed);
    let value: f64 = is_float.then(|| text.parse().ok()).flatten()?;
    value.is_finite().then_some(value)
}

/// The text that the inside of a quoted literal of Go stands for; `None` for a bad escape.
fn unquote(body: &str, quote: char) -> Option<String> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = rest.next()?;
        let simple = match escape {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' => Some(b'\\'),
            c if c == quote => u8::try_from(c).ok(),
            _ => None,
        };
        if let Some(byte) = simple {
            bytes.push(byte);
            continue;
        }
        let (radix, digits) = match escape {
            'x' => (16, 2),
            'u' => (16, 4),
            'U' => (16, 8),
            '0'..='7' => (8, 3),
            _ => return None,
        };
        let mut number = if radix == 8 { escape.to_digit(8)? } else { 0 };
        for _ in usize::from(radix == 8)..digits {
            let digit = rest.next()?.to_digit(radix)?;
            number = number.checked_mul(radix)?.checked_add(digit)?;
        }
        match escape {
            // A byte, in strings; a code point, in characters.
            'x' | '0'..='7' if quote == '"' => bytes.push(u8::try_from(number).ok()?),
            _ => {
                let c = char::from_u32(number)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
