//! "Did you mean …?"

/// The candidate that differs from `word` by at most two edits, if one does; the nearest, and of
/// equally near ones the first.
///
/// A word that *is* a candidate needs no suggestion.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let mut best = None;
    let mut limit = 3;
    for candidate in candidates {
        if candidate == word {
            return None;
        }
        if candidate.len().abs_diff(word.len()) >= limit * 4 || word.len() > 128 {
            continue;
        }
        let distance = edit_distance(word, candidate);
        if distance < limit && distance < word.chars().count() {
            limit = distance;
            best = Some(candidate);
        }
    }
    best
}

/// ` (did you mean X?)`, or nothing.
pub(crate) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

/// The number of insertions, deletions and substitutions between two words.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_within_two_edits() {
        let names = ["COPY", "CMD", "FROM", "RUN", "WORKDIR"];
        assert_eq!(nearest("COPPY", names), Some("COPY"));
        assert_eq!(nearest("FORM", names), Some("FROM"));
        assert_eq!(nearest("WROKDIR", names), Some("WORKDIR"));
        assert_eq!(nearest("RUN", names), None);
        assert_eq!(nearest("INCLUDE", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest(&"R".repeat(10_000), names), None);
    }
}
