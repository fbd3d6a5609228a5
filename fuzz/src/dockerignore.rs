//! Any bytes as a `.dockerignore` (up to the first NUL) and a path (behind it).

use hoist_dockerfile::ignore::Ignore;

use crate::signature;

/// The signature: how many patterns there are in words, and what they say about the path.
pub(crate) fn run(bytes: &[u8]) -> u64 {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let path = parts.next().unwrap_or_default();
    let Ok(ignore) = Ignore::parse(&text) else {
        return signature(&"refused");
    };
    let ignored = ignore.is_ignored(path);
    let decision = ignore.decision(path);
    let negated = decision.as_ref().map(|decision| decision.negated);
    assert_eq!(ignored, negated == Some(false));
    if !ignored && let Some(slash) = path.iter().rposition(|byte| *byte == b'/') {
        let directory = &path[..slash];
        assert!(!ignore.is_ignored(directory) || ignore.may_contain_exception(directory));
    }
    let line = decision.map(|decision| decision.line);
    let has_wildcards = text.contains(['*', '?', '[']);
    signature(&(
        negated,
        line.map(|line| line.min(4)),
        has_wildcards,
        ignore.has_exceptions(),
    ))
}
