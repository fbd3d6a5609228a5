//! The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: literal characters, `?` and `*`.
//!
//! As in Docker neither wildcard matches a line break.

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    Any,
    Star,
}

impl Pattern {
    /// The work that one match may take, in pattern tokens times bytes of value.
    pub(super) const MAX_COST: usize = 1 << 24;

    /// Parses `text`; `\` escapes `*`, `?`, `\`, `/` and `}`.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '?' | '\\' | '/' | '}')) => Token::Char(escaped),
                    Some(other) => return Err(format!("invalid escape '\\{other}'")),
                    None => return Err("invalid escape '\\' at the end".to_owned()),
                },
                other => Token::Char(other),
            });
        }
        tokens.dedup_by(|a, b| *a == Token::Star && *b == Token::Star);
        Ok(Self { tokens })
    }

    /// The work of a match against `bytes` bytes.
    pub(super) fn cost(&self, bytes: usize) -> usize {
        (self.tokens.len() + 1).saturating_mul(bytes + 1)
    }

    /// `value` without its shortest (longest) prefix that matches.
    pub(super) fn trim_prefix<'v>(&self, value: &'v str, longest: bool) -> &'v str {
        let ends = matches(self.tokens.iter(), value.char_indices(), longest);
        match ends {
            Some(0) => value,
            Some(count) => &value[offset_of(value, count)..],
            None => value,
        }
    }

    /// `value` without its shortest (longest) suffix that matches.
    pub(super) fn trim_suffix<'v>(&self, value: &'v str, longest: bool) -> &'v str {
        let reversed = value.char_indices().rev();
        match matches(self.tokens.iter().rev(), reversed, longest) {
            Some(count) => {
                let total = value.chars().count();
                &value[..offset_of(value, total - count)]
            }
            None => value,
        }
    }

    /// `value` with the first match, or every match, replaced; `None` if the result would be
    /// larger than `limit` bytes.
    pub(super) fn replace(
        &self,
        value: &str,
        replacement: &str,
        all: bool,
        limit: usize,
    ) -> Option<String> {
        let mut result = String::new();
        let mut copied = 0;
        let mut from = 0;
        let mut last_end = None;
        while let Some((start, end)) = self.find(value, from) {
            let empty = start == end;
            if !(empty && last_end == Some(start)) {
                result.push_str(&value[copied..start]);
                result.push_str(replacement);
                copied = end;
                if result.len() > limit {
                    return None;
                }
                if !all {
                    break;
                }
            }
            last_end = Some(end);
            from = if empty {
                match value[end..].chars().next() {
                    Some(c) => end + c.len_utf8(),
                    None => break,
                }
            } else {
                end
            };
        }
        result.push_str(&value[copied..]);
        (result.len() <= limit).then_some(result)
    }

    /// The leftmost match at or behind `from`, and of those the longest.
    ///
    /// Every state carries the earliest start that leads to it, so one pass suffices.
    fn find(&self, value: &str, from: usize) -> Option<(usize, usize)> {
        let count = self.tokens.len();
        let mut states: Vec<Option<usize>> = vec![None; count + 1];
        let mut best: Option<(usize, usize)> = None;
        let mut at = from;
        for c in value[from..].chars().map(Some).chain([None]) {
            if best.is_none() {
                earliest(&mut states[0], Some(at));
            }
            for index in 0..count {
                if self.tokens[index] == Token::Star {
                    let start = states[index];
                    earliest(&mut states[index + 1], start);
                }
            }
            if let Some(start) = states[count]
                && best.is_none_or(|(first, _)| start <= first)
            {
                best = Some((start, at));
            }
            let (Some(c), true) = (c, states.iter().any(Option::is_some)) else {
                break;
            };
            let limit = best.map_or(usize::MAX, |(start, _)| start);
            let mut next = vec![None; count + 1];
            for (index, start) in states.iter().enumerate().take(count) {
                let Some(start) = start.filter(|start| *start <= limit) else {
                    continue;
                };
                match self.tokens[index] {
                    Token::Star if c != '\n' => earliest(&mut next[index], Some(start)),
                    Token::Any if c != '\n' => earliest(&mut next[index + 1], Some(start)),
                    Token::Char(literal) if c == literal => {
                        earliest(&mut next[index + 1], Some(start));
                    }
                    _ => {}
                }
            }
            states = next;
            at += c.len_utf8();
            if best.is_some() && states.iter().all(Option::is_none) {
                break;
            }
        }
        best
    }
}

fn earliest(slot: &mut Option<usize>, start: Option<usize>) {
    if let Some(start) = start
        && slot.is_none_or(|old| start < old)
    {
        *slot = Some(start);
    }
}

/// The byte offset of character number `count`.
fn offset_of(value: &str, count: usize) -> usize {
    value
        .char_indices()
        .nth(count)
        .map_or(value.len(), |(at, _)| at)
}

/// The number of characters of the shortest (longest) run from the start that the tokens match.
fn matches<'p>(
    tokens: impl Iterator<Item = &'p Token>,
    value: impl Iterator<Item = (usize, char)>,
    longest: bool,
) -> Option<usize> {
    let tokens: Vec<Token> = tokens.copied().collect();
    let count = tokens.len();
    let mut states = vec![false; count + 1];
    states[0] = true;
    let mut best = None;
    let mut chars = value.map(|(_, c)| c);
    for taken in 0.. {
        for index in 0..count {
            if states[index] && tokens[index] == Token::Star {
                states[index + 1] = true;
            }
        }
        if states[count] {
            best = Some(taken);
            if !longest {
                break;
            }
        }
        let Some(c) = chars.next() else { break };
        let mut next = vec![false; count + 1];
        for index in (0..count).filter(|index| states[*index]) {
            match tokens[index] {
                Token::Star => next[index] |= c != '\n',
                Token::Any => next[index + 1] |= c != '\n',
                Token::Char(literal) => next[index + 1] |= c == literal,
            }
        }
        states = next;
        if !states.contains(&true) {
            break;
        }
    }
    best
}
