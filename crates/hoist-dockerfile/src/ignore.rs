//! `.dockerignore`: which paths of a build context are left out, and which line says so.
//!
//! Docker's rules: one pattern a line, the last one that matches decides, `!` takes back. A
//! pattern also matches what lies below the directories it matches. `#` starts a comment only in
//! the first column. Leading and trailing slashes mean nothing, so a pattern without `**/` matches
//! from the top of the context only: `*.pyc` does not match `src/a.pyc`, `**/*.pyc` does.
//!
//! As in Docker a walk goes from the top down and remembers, for every pattern, whether it matched
//! a directory above ([`Ignore::enter`]); the other questions do the same walk for one path.
//! Unlike Docker, which turns patterns into regular expressions, `**` matches line breaks in names
//! and `*`, `?` and `^` are ordinary characters inside `[…]`.

use crate::diagnostic::Diagnostic;
use crate::glob::{Pattern, Syntax, clean};
use crate::source::{Source, Span};

/// The patterns of a `.dockerignore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    line: usize,
    text: String,
    negated: bool,
    pattern: Pattern,
}

/// Which line decided about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'i> {
    /// The line, from 1.
    pub line: usize,
    /// The pattern as written, with its `!`.
    pub pattern: &'i str,
    /// The line takes the path back in.
    pub negated: bool,
}

/// The answer about one path, and what is to be remembered for the paths below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The path is left out.
    pub ignored: bool,
    /// For each rule: it matched this path or one above.
    matched: Vec<bool>,
    /// The rule that decided.
    rule: Option<usize>,
}

impl Ignore {
    /// Parses the text of a `.dockerignore`.
    ///
    /// # Errors
    /// Malformed patterns and a lone `!`, each with its place.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let source = Source::new(text);
        let mut rules = Vec::new();
        let mut errors = Vec::new();
        let mut offset = 0;
        for (index, line) in source.text().split('\n').enumerate() {
            let start = offset;
            offset += line.len() + 1;
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let lead = line.len() - line.trim_start().len();
            let written = line.trim();
            let span = Span::new(start + lead, start + lead + written.len());
            match Rule::parse(written, index + 1) {
                Ok(rule) => rules.push(rule),
                Err(message) => errors.push(Diagnostic::error("ignore-pattern", message, span)),
            }
        }
        if errors.is_empty() {
            Ok(Self { rules })
        } else {
            Err(errors)
        }
    }

    /// The same rules from patterns (`--exclude`); the "line" of a pattern is its number, from 1.
    ///
    /// # Errors
    /// The first malformed pattern: what is wrong with it.
    pub fn from_patterns<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, String> {
        let patterns = patterns.into_iter().map(str::trim).enumerate();
        let rules = patterns
            .filter(|(_, pattern)| !pattern.is_empty())
            .map(|(index, pattern)| Rule::parse(pattern, index + 1))
            .collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// The lines before `line` alone.
    #[must_use]
    pub fn before(&self, line: usize) -> Self {
        let rules = self.rules.iter().filter(|rule| rule.line < line);
        Self {
            rules: rules.cloned().collect(),
        }
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether some pattern takes paths back in.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.negated)
    }

    /// Whether `path`, relative to the context and with `/` between names, is left out.
    ///
    /// Docker's patterns do not tell files from directories.
    #[must_use]
    pub fn is_ignored(&self, path: impl AsRef<[u8]>) -> bool {
        self.verdict(path.as_ref()).ignored
    }

    /// The line that decided about `path`; `None` if no line matches it.
    #[must_use]
    pub fn decision(&self, path: impl AsRef<[u8]>) -> Option<Decision<'_>> {
        self.verdict(path.as_ref())
            .rule
            .map(|index| self.explain(index))
    }

    /// Whether a pattern with `!` may match something below the directory `path`: a walk must
    /// look into it although it is ignored.
    #[must_use]
    pub fn may_contain_exception(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        let mut exceptions = self.rules.iter().filter(|rule| rule.negated);
        exceptions.any(|rule| rule.pattern.may_match_below(path))
    }

    /// One step of a walk: the verdict about `path`, given that about the directory it lies in
    /// (`Verdict::default()` for what lies at the top).
    #[must_use]
    pub fn enter(&self, path: impl AsRef<[u8]>, parent: &Verdict) -> Verdict {
        let path = path.as_ref();
        self.decide(parent, |_, rule| rule.pattern.matches(path))
    }

    /// The verdict about a path, given that about its directory and which rules match it.
    fn decide(&self, parent: &Verdict, matches: impl Fn(usize, &Rule) -> bool) -> Verdict {
        let mut verdict = Verdict {
            ignored: false,
            matched: vec![false; self.rules.len()],
            rule: None,
        };
        for (index, rule) in self.rules.iter().enumerate() {
            let above = parent.matched.get(index).copied().unwrap_or(false);
            if !above && (rule.negated != verdict.ignored || !matches(index, rule)) {
                continue;
            }
            verdict.matched[index] = true;
            if verdict.ignored == rule.negated {
                verdict.rule = Some(index);
            }
            verdict.ignored = !rule.negated;
        }
        verdict
    }

    /// The line behind a verdict; `None` if no line matches.
    #[must_use]
    pub fn reason(&self, verdict: &Verdict) -> Option<Decision<'_>> {
        let rule = verdict.rule.filter(|index| *index < self.rules.len());
        rule.map(|index| self.explain(index))
    }

    /// Walks down to `path`.
    fn verdict(&self, path: &[u8]) -> Verdict {
        if self.rules.is_empty() || path == b"." || path.is_empty() {
            return Verdict::default();
        }
        let on_the_way = |rule: &Rule| rule.pattern.matches_on_the_way(path);
        let matches: Vec<Vec<bool>> = self.rules.iter().map(on_the_way).collect();
        let depth = path.iter().filter(|byte| **byte == b'/').count();
        (0..=depth).fold(Verdict::default(), |above, level| {
            self.decide(&above, |index, _| matches[index][level])
        })
    }

    fn explain(&self, index: usize) -> Decision<'_> {
        let rule = &self.rules[index];
        Decision {
            line: rule.line,
            pattern: &rule.text,
            negated: rule.negated,
        }
    }
}

impl Rule {
    fn parse(written: &str, line: usize) -> Result<Self, String> {
        let (negated, body) = match written.strip_prefix('!') {
            Some(body) => (true, body.trim()),
            None => (false, written),
        };
        if body.is_empty() {
            return Err("illegal exclusion pattern: \"!\"".to_owned());
        }
        let cleaned = clean(body);
        let cleaned = match cleaned.strip_prefix('/') {
            Some(rest) if !rest.is_empty() => rest,
            _ => cleaned.as_str(),
        };
        let pattern =
            Pattern::new(cleaned, Syntax::DoubleStar).map_err(|error| error.to_string())?;
        Ok(Self {
            line,
            text: written.to_owned(),
            negated,
            pattern,
        })
    }
}

#[cfg(test)]
mod tests;
