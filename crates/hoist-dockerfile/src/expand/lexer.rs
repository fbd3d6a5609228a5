//! The lexer behind every expansion.

use super::pattern::Pattern;
use super::{DEFAULT_LIMIT, ExpandError, Expansion, MAX_DEPTH, Problem, Scope};

/// A word with the offset it starts at.
type PlacedWord = (String, usize);

/// What stopped the lexer, and where.
type Trouble = (usize, Problem);

/// Reads one word; made anew for each.
pub(crate) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    scope: &'t dyn Scope,
    escape: char,
    /// Bytes that may still be produced.
    budget: usize,
    depth: usize,
    /// Quotes are ordinary characters.
    ignore_quotes: bool,
    /// Quotes stay in the result.
    keep_quotes: bool,
    /// Escape characters stay in the result.
    keep_escapes: bool,
    /// References to unset variables stay as they are.
    keep_unset: bool,
    found: Expansion,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str, scope: &'t dyn Scope, escape: char, limit: usize) -> Self {
        Self {
            text,
            at: 0,
            scope,
            escape,
            budget: limit,
            depth: 0,
            ignore_quotes: false,
            keep_quotes: false,
            keep_escapes: false,
            keep_unset: false,
            found: Expansion::default(),
        }
    }

    pub(super) fn ignoring_quotes(mut self) -> Self {
        self.ignore_quotes = true;
        self
    }

    /// Splits a line to look for heredocs: nothing is expanded, quotes and escapes stay.
    pub(crate) fn for_heredoc_line(line: &'t str) -> Self {
        Self {
            keep_quotes: true,
            keep_escapes: true,
            keep_unset: true,
            ..Self::new(line, &(), '\\', DEFAULT_LIMIT.saturating_add(line.len()))
        }
    }

    /// Splits the delimiter of a heredoc, with or without its quotes.
    pub(crate) fn for_heredoc_word(word: &'t str, keep_quotes: bool) -> Self {
        Self {
            keep_quotes,
            keep_unset: true,
            ..Self::new(word, &(), '\\', DEFAULT_LIMIT.saturating_add(word.len()))
        }
    }

    pub(super) fn expansion(mut self) -> Result<Expansion, ExpandError> {
        let (text, _) = self.run()?;
        self.found.text = text;
        Ok(self.found)
    }

    /// The words of the result, each with the offset in the text at which it starts.
    pub(crate) fn words(mut self) -> Result<Vec<PlacedWord>, ExpandError> {
        Ok(self.run()?.1)
    }

    fn run(&mut self) -> Result<(String, Vec<PlacedWord>), ExpandError> {
        let keep_escapes = self.keep_escapes;
        self.until(None, keep_escapes)
            .map_err(|(offset, problem)| ExpandError {
                word: self.text.to_owned(),
                offset,
                problem,
            })
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Trouble> {
        self.budget = self
            .budget
            .checked_sub(bytes)
            .ok_or((self.at, Problem::TooLarge))?;
        Ok(())
    }

    /// Everything up to `stop` (which is eaten), or to the end of the text.
    fn until(
        &mut self,
        stop: Option<char>,
        keep_escapes: bool,
    ) -> Result<(String, Vec<PlacedWord>), Trouble> {
        let outer = std::mem::replace(&mut self.keep_escapes, keep_escapes);
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err((self.at, Problem::TooDeep));
        }
        let mut out = Output::default();
        let mut stopped = stop.is_none();
        while let Some(c) = self.peek() {
            if stop == Some(c) {
                self.next();
                stopped = true;
                break;
            }
            self.piece(c, &mut out)?;
        }
        if !stopped {
            return Err((self.at, Problem::MissingBrace));
        }
        self.depth -= 1;
        self.keep_escapes = outer;
        Ok(out.finish())
    }

    /// One character, quoted string, reference or `<<`.
    fn piece(&mut self, c: char, out: &mut Output) -> Result<(), Trouble> {
        let start = self.at;
        match c {
            '\'' if !self.ignore_quotes => {
                let text = self.single_quoted()?;
                out.raw(&text, start);
            }
            '"' if !self.ignore_quotes => {
                let text = self.double_quoted()?;
                out.raw(&text, start);
            }
            '$' => {
                let text = self.dollar()?;
                self.spend(text.len())?;
                out.split(&text, start);
            }
            '<' => {
                let text = self.less_than();
                out.raw(text, start);
            }
            _ => {
                self.next();
                if c == self.escape {
                    if self.keep_escapes {
                        out.raw(c.encode_utf8(&mut [0; 4]), start);
                    }
                    if let Some(escaped) = self.next() {
                        out.raw(escaped.encode_utf8(&mut [0; 4]), start);
                    }
                } else {
                    out.split(c.encode_utf8(&mut [0; 4]), start);
                }
            }
        }
        Ok(())
    }

    /// `<`, or `<<` with the blanks behind it, which belong to the delimiter.
    fn less_than(&mut self) -> &'t str {
        let start = self.at;
        self.next();
        if self.peek() == Some('<') {
            self.next();
            while matches!(self.peek(), Some('\t' | '\r' | ' ')) {
                self.next();
            }
        }
        &self.text[start..self.at]
    }

    fn single_quoted(&mut self) -> Result<String, Trouble> {
        let start = self.at;
        let body = &self.text[start + 1..];
        let Some(length) = body.find('\'') else {
            self.at = self.text.len();
            return Err((start, Problem::OpenQuote('\'')));
        };
        self.at = start + length + 2;
        Ok(if self.keep_quotes {
            self.text[start..self.at].to_owned()
        } else {
            body[..length].to_owned()
        })
    }

    fn double_quoted(&mut self) -> Result<String, Trouble> {
        let start = self.at;
        self.next();
        let mut result = String::new();
        if self.keep_quotes {
            result.push('"');
        }
        loop {
            match self.peek() {
                None => return Err((start, Problem::OpenQuote('"'))),
                Some('"') => {
                    self.next();
                    if self.keep_quotes {
                        result.push('"');
                    }
                    return Ok(result);
                }
                Some('$') => {
                    let value = self.dollar()?;
                    self.spend(value.len())?;
                    result.push_str(&value);
                }
                Some(c) => {
                    self.next();
                    if c != self.escape {
                        result.push(c);
                        continue;
                    }
                    if self.keep_escapes {
                        result.push(c);
                    }
                    match self.peek() {
                        None => {}
                        Some(next) if next == '"' || next == '$' || next == self.escape => {
                            self.next();
                            result.push(next);
                        }
                        Some(_) => result.push(c),
                    }
                }
            }
        }
    }

    /// A reference, from its `$`.
    fn dollar(&mut self) -> Result<String, Trouble> {
        let start = self.at;
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(match self.look_up(&name) {
                None if self.keep_unset => self.text[start..self.at].to_owned(),
                value => value.unwrap_or_default(),
            });
        }
        self.next();
        match self.peek() {
            None => return Err((start, Problem::MissingBrace)),
            Some('{' | '}' | ':') => return Err((start, Problem::BadSubstitution)),
            Some(_) => {}
        }
        let name = self.name();
        let Some(operator) = self.next() else {
            return Err((start, Problem::MissingBrace));
        };
        let value = match operator {
            '}' => self
                .look_up(&name)
                .map_or_else(|| (!self.keep_unset).then(String::new), Some),
            ':' => self.colon_form(&name, start)?,
            '-' | '+' | '?' => self.default_form(&name, operator, false, start)?,
            '#' | '%' => self.trim_form(&name, operator, start)?,
            '/' => self.replace_form(&name, start)?,
            other => {
                return Err((start, Problem::UnsupportedModifier(other.to_string())));
            }
        };
        Ok(value.unwrap_or_else(|| self.text[start..self.at].to_owned()))
    }

    /// `${name:` and what follows. `None`: the variable is unset and the reference is to stay.
    fn colon_form(&mut self, name: &str, start: usize) -> Result<Option<String>, Trouble> {
        match self.next() {
            Some(operator @ ('-' | '+' | '?')) => self.default_form(name, operator, true, start),
            Some(other) => {
                let modifier = format!(":{other}");
                Err((start, Problem::UnsupportedModifier(modifier)))
            }
            None => Err((start, Problem::MissingBrace)),
        }
    }

    /// `-`, `+` and `?`; `null_is_unset` with a colon before.
    fn default_form(
        &mut self,
        name: &str,
        operator: char,
        null_is_unset: bool,
        start: usize,
    ) -> Result<Option<String>, Trouble> {
        let word = self.operand('}', false, start)?;
        let value = self.look_up(name);
        if value.is_none() && self.keep_unset {
            return Ok(None);
        }
        let unset = value.is_none();
        let value = value.filter(|value| !(null_is_unset && value.is_empty()));
        Ok(Some(match (operator, value) {
            ('-', value) => value.unwrap_or(word),
            ('+', value) => value.map(|_| word).unwrap_or_default(),
            (_, Some(value)) => value,
            (_, None) => {
                let state = if unset { "unset" } else { "empty" };
                let message = if word.is_empty() {
                    format!("is not allowed to be {state}")
                } else {
                    word
                };
                let name = name.to_owned();
                return Err((start, Problem::Required { name, message }));
            }
        }))
    }

    /// `#`, `##`, `%`, `%%`.
    fn trim_form(
        &mut self,
        name: &str,
        operator: char,
        start: usize,
    ) -> Result<Option<String>, Trouble> {
        let word = self.operand('}', true, start)?;
        let Some(value) = self.look_up(name) else {
            return Ok((!self.keep_unset).then(String::new));
        };
        let (longest, pattern) = match word.strip_prefix(operator) {
            Some(pattern) => (true, pattern),
            None => (false, word.as_str()),
        };
        let pattern = self.pattern(pattern, value.len(), start)?;
        Ok(Some(if operator == '#' {
            pattern.trim_prefix(&value, longest).to_owned()
        } else {
            pattern.trim_suffix(&value, longest).to_owned()
        }))
    }

    /// `/pattern/replacement` and `//pattern/replacement`.
    fn replace_form(&mut self, name: &str, start: usize) -> Result<Option<String>, Trouble> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.operand('/', true, start)?;
        let replacement = self.operand('}', true, start)?;
        let Some(value) = self.look_up(name) else {
            return Ok((!self.keep_unset).then(String::new));
        };
        let pattern = self.pattern(&pattern, value.len(), start)?;
        let limit = self.budget;
        pattern
            .replace(&value, &replacement, all, limit)
            .map(Some)
            .ok_or((start, Problem::TooLarge))
    }

    /// The text up to `stop`, its own references expanded.
    fn operand(&mut self, stop: char, keep: bool, start: usize) -> Result<String, Trouble> {
        let before = self.budget;
        match self.until(Some(stop), keep) {
            Ok((text, _)) => {
                self.budget = before;
                self.spend(text.len())?;
                Ok(text)
            }
            Err((_, Problem::MissingBrace)) if stop == '/' => Err((start, Problem::MissingSlash)),
            Err((_, Problem::MissingBrace)) => Err((start, Problem::MissingBrace)),
            Err(trouble) => Err(trouble),
        }
    }

    fn pattern(&self, text: &str, value: usize, start: usize) -> Result<Pattern, Trouble> {
        let pattern = Pattern::new(text).map_err(|reason| {
            let pattern = text.to_owned();
            (start, Problem::InvalidPattern { pattern, reason })
        })?;
        if pattern.cost(value) > Pattern::MAX_COST {
            return Err((start, Problem::TooLarge));
        }
        Ok(pattern)
    }

    /// A name: letters, digits and `_`; or digits alone; or one special character.
    fn name(&mut self) -> String {
        let rest = &self.text[self.at..];
        let length = match rest.chars().next() {
            Some(c) if c.is_ascii_digit() => rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len()),
        };
        self.at += length;
        rest[..length].to_owned()
    }

    fn look_up(&mut self, name: &str) -> Option<String> {
        let value = self.scope.lookup(name);
        let names = match value {
            Some(_) => &mut self.found.used,
            None => &mut self.found.unset,
        };
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
        value.map(str::to_owned)
    }
}

/// The result as one text and as words.
#[derive(Default)]
struct Output {
    text: String,
    words: Vec<PlacedWord>,
    word: String,
    word_at: usize,
}

impl Output {
    /// Text that does not end a word.
    fn raw(&mut self, text: &str, at: usize) {
        if self.word.is_empty() {
            self.word_at = at;
        }
        self.text.push_str(text);
        self.word.push_str(text);
    }

    /// Text that ends words at white space.
    fn split(&mut self, text: &str, at: usize) {
        self.text.push_str(text);
        for c in text.chars() {
            if c.is_whitespace() {
                self.end_word();
            } else {
                if self.word.is_empty() {
                    self.word_at = at;
                }
                self.word.push(c);
            }
        }
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            let word = std::mem::take(&mut self.word);
            self.words.push((word, self.word_at));
        }
    }

    fn finish(mut self) -> (String, Vec<PlacedWord>) {
        self.end_word();
        (self.text, self.words)
    }
}
