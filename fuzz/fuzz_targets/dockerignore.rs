//! Any bytes as a `.dockerignore` (up to the first NUL) and a path (behind it).
#![no_main]

use hoist_dockerfile::ignore::Ignore;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let path = parts.next().unwrap_or_default();
    if let Ok(ignore) = Ignore::parse(&text) {
        let ignored = ignore.is_ignored(path);
        let decision = ignore.decision(path);
        assert_eq!(ignored, decision.is_some_and(|decision| !decision.negated));
        if !ignored && let Some(slash) = path.iter().rposition(|byte| *byte == b'/') {
            let directory = &path[..slash];
            assert!(!ignore.is_ignored(directory) || ignore.may_contain_exception(directory));
        }
    }
});
