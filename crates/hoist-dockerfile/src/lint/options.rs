//! `# check=skip=…;experimental=…;error=…`.

use std::collections::BTreeSet;

use crate::source::Spanned;

/// Which rules are off, and whether findings are errors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    skip_all: bool,
    skip: BTreeSet<String>,
    experimental_all: bool,
    experimental: BTreeSet<String>,
    /// Findings of Docker's rules fail the build.
    pub error: bool,
}

impl Options {
    /// Reads `key=value` pairs separated by `;`. What follows the first space is not read.
    ///
    /// # Errors
    /// An unknown key, a missing value, or an `error` that is neither true nor false.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        let text = text.split_whitespace().next().unwrap_or_default();
        if text.is_empty() {
            return Ok(options);
        }
        for part in text.splitn(3, ';') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(format!("invalid check option \"{part}\""));
            };
            let names = || {
                value
                    .split(',')
                    .map(|name| name.trim().to_owned())
                    .collect()
            };
            match (key.trim(), value.trim()) {
                ("skip", "all") => options.skip_all = true,
                ("skip", _) => options.skip = names(),
                ("experimental", "all") => options.experimental_all = true,
                ("experimental", _) => options.experimental = names(),
                ("error", "true" | "1" | "t" | "T" | "TRUE" | "True") => options.error = true,
                ("error", "false" | "0" | "f" | "F" | "FALSE" | "False") => options.error = false,
                ("error", _) => return Err(format!("failed to parse check option \"{part}\"")),
                (key, _) => return Err(format!("invalid check option \"{key}\"")),
            }
        }
        Ok(options)
    }

    /// The options of a `check=` comment above an instruction; one that cannot be read counts for
    /// nothing, as in Docker.
    pub(super) fn from_comments(comments: &[Spanned<String>]) -> Option<Self> {
        comments.iter().find_map(|comment| {
            let (name, value) = comment.split_once('=')?;
            let check = name.trim().eq_ignore_ascii_case("check");
            check.then(|| Self::parse(value.trim()).ok()).flatten()
        })
    }

    /// Whether the rule is off.
    #[must_use]
    pub fn skips(&self, rule: &str) -> bool {
        self.skip_all || self.skip.contains(rule)
    }

    /// Whether the experimental rule is on.
    #[must_use]
    pub fn experimental(&self, rule: &str) -> bool {
        self.experimental_all || self.experimental.contains(rule)
    }
}
