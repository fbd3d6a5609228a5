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

/// The number of insertions, deletions, substitutions and swaps of neighbours between two words.
fn edit_distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let substituted = above[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            row[j] = substituted.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_within_two_edits() {
        let names = ["COPY", "CMD", "FROM", "RUN", "WORKDIR"];
        assert_eq!(nearest("COPPY", names), Some("COPY"));
        assert_eq!(nearest("FORM", names), Some("FROM"));
        assert_eq!(nearest("RNU", ["ENV", "RUN"]), Some("RUN"));
        assert_eq!(nearest("WROKDIR", names), Some("WORKDIR"));
        assert_eq!(nearest("RUN", names), None);
        assert_eq!(nearest("INCLUDE", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest(&"R".repeat(10_000), names), None);
    }
}
