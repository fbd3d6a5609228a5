//! Shell patterns, as filters of images take them.

use crate::reference::Reference;

/// Whether a pattern fits a name of an image, as Docker matches: `name` or `name:tag`, with `*`, `?`
/// and `[…]` that do not match `/`; a pattern without a tag fits every tag.
#[must_use]
pub fn fits_reference(pattern: &str, reference: &Reference) -> bool {
    let hub = ["docker.io/library/", "docker.io/"];
    let familiar = hub
        .iter()
        .find_map(|prefix| pattern.strip_prefix(prefix))
        .unwrap_or(pattern);
    fits(familiar, &reference.familiar_name()) || fits(familiar, &reference.familiar())
}

/// Whether the shell pattern fits the whole text; `*` and `?` do not match `/` (Go's `path.Match`).
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return text.is_empty();
    };
    let rest = &pattern[first.len_utf8()..];
    let mut letters = text.chars();
    match first {
        '*' => {
            let end = text.find('/').unwrap_or(text.len());
            text.char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .take_while(|at| *at <= end)
                .any(|at| fits(rest, &text[at..]))
        }
        '?' => letters.next().is_some_and(|letter| letter != '/') && fits(rest, letters.as_str()),
        '\\' if !rest.is_empty() => {
            let literal = rest.chars().next();
            let width = literal.map_or(0, char::len_utf8);
            letters.next() == literal && fits(&rest[width..], letters.as_str())
        }
        '[' => match rest.split_once(']') {
            Some((class, rest)) => {
                letters.next().is_some_and(|letter| in_class(class, letter))
                    && fits(rest, letters.as_str())
            }
            None => false,
        },
        literal => letters.next() == Some(literal) && fits(rest, letters.as_str()),
    }
}

/// `a-z`, `^0-9`, `abc`.
fn in_class(class: &str, letter: char) -> bool {
    let (negated, class) = match class.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, class),
    };
    let members: Vec<char> = class.chars().collect();
    let mut at = 0;
    let mut found = false;
    while at < members.len() {
        let range = members.get(at + 1) == Some(&'-') && at + 2 < members.len();
        let last = if range { members[at + 2] } else { members[at] };
        found |= (members[at]..=last).contains(&letter);
        at += if range { 3 } else { 1 };
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_patterns_match_within_one_part_of_a_path() {
        let table = [
            ("a*c", "abbc", true),
            ("a*", "ab/c", false),
            ("*/c", "ab/c", true),
            ("?b", "ab", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[", "[", false),
            ("", "", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn patterns_fit_names_with_and_without_tags() {
        let table = [
            ("busybox", "busybox:1.36", true),
            ("busybox:1.36", "busybox:1.36", true),
            ("busybox:1.37", "busybox:1.36", false),
            ("busy*", "busybox:1.36", true),
            ("*:1.36", "busybox:1.36", true),
            ("*", "me/app:1", false),
            ("me/*", "me/app:1", true),
            ("docker.io/library/busybox", "busybox", true),
            ("box", "busybox", false),
        ];
        for (pattern, reference, expected) in table {
            let reference = Reference::parse(reference).unwrap();
            assert_eq!(
                fits_reference(pattern, &reference),
                expected,
                "{pattern} {reference}"
            );
        }
    }
}
