//! What changed between two texts, in the unified format of `diff -u`.

use std::fmt::Write as _;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;

/// The most cells of the table of common lines; larger differences become one hunk.
const MOST_CELLS: usize = 4_000_000;

/// One line of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'t> {
    Same(&'t str),
    Old(&'t str),
    New(&'t str),
}

/// The difference between `old` and `new`, both texts of the file `name`; nothing when they are
/// equal.
pub(super) fn unified(name: &str, old: &str, new: &str) -> String {
    let lines = compare(
        &old.split_inclusive('\n').collect::<Vec<_>>(),
        &new.split_inclusive('\n').collect::<Vec<_>>(),
    );
    let is_change = |line: &Line<'_>| !matches!(line, Line::Same(_));
    let mut text = String::new();
    let mut at = 0;
    while let Some(first) = lines[at..].iter().position(is_change) {
        let start = (at + first).saturating_sub(CONTEXT).max(at);
        let mut end = at + first;
        // Changes with few lines between them share a hunk.
        while let Some(next) = lines[end..].iter().position(is_change) {
            if next > 2 * CONTEXT {
                break;
            }
            end += next + 1;
        }
        let stop = (end + CONTEXT).min(lines.len());
        if text.is_empty() {
            let _ = writeln!(text, "--- {name}\n+++ {name}");
        }
        hunk(&mut text, &lines[..start], &lines[start..stop]);
        at = stop;
    }
    text
}

fn hunk(text: &mut String, before: &[Line<'_>], lines: &[Line<'_>]) {
    let count = |lines: &[Line<'_>], other: fn(&Line<'_>) -> bool| {
        lines.iter().filter(|line| !other(line)).count()
    };
    let is_new: fn(&Line<'_>) -> bool = |line| matches!(line, Line::New(_));
    let is_old: fn(&Line<'_>) -> bool = |line| matches!(line, Line::Old(_));
    let range = |other| {
        let length = count(lines, other);
        let start = count(before, other) + usize::from(length > 0);
        format!("{start},{length}")
    };
    let _ = writeln!(text, "@@ -{} +{} @@", range(is_new), range(is_old));
    for line in lines {
        let (mark, content) = match line {
            Line::Same(content) => (' ', content),
            Line::Old(content) => ('-', content),
            Line::New(content) => ('+', content),
        };
        let shown = content.trim_end_matches(['\n', '\r']);
        let shown: String = shown.chars().map(printable).collect();
        let _ = writeln!(text, "{mark}{shown}");
    }
}

fn printable(character: char) -> char {
    if character.is_control() && character != '\t' {
        char::REPLACEMENT_CHARACTER
    } else {
        character
    }
}

/// The lines of both texts, the longest common subsequence of them as [`Line::Same`].
fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<Line<'t>> {
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = old.iter().zip(new).take_while(same).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let both = old_rest.iter().rev().zip(new_rest.iter().rev());
    let tail = both.take_while(same).count();
    let (old_middle, end) = old_rest.split_at(old_rest.len() - tail);
    let new_middle = &new_rest[..new_rest.len() - tail];
    let mut lines: Vec<Line<'t>> = old[..head].iter().map(|line| Line::Same(line)).collect();
    middle(&mut lines, old_middle, new_middle);
    lines.extend(end.iter().map(|line| Line::Same(line)));
    lines
}

fn middle<'t>(lines: &mut Vec<Line<'t>>, old: &[&'t str], new: &[&'t str]) {
    let width = new.len() + 1;
    if width.saturating_mul(old.len() + 1) > MOST_CELLS {
        lines.extend(old.iter().map(|line| Line::Old(line)));
        lines.extend(new.iter().map(|line| Line::New(line)));
        return;
    }
    // The length of the longest common subsequence of the rests from each pair of places on.
    let mut common = vec![0_usize; width * (old.len() + 1)];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]
        {
            lines.push(Line::Old(old[i]));
            i += 1;
        } else {
            lines.push(Line::New(new[j]));
            j += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn changes_are_shown_as_diff_shows_them() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n";
        let new = "a\nB\nc\nd\ne\nf\ng\nh\ni\nj\nl\nm\n";
        insta::assert_snapshot!(unified("f", old, new), @r"
        --- f
        +++ f
        @@ -1,5 +1,5 @@
         a
        -b
        +B
         c
         d
         e
        @@ -8,5 +8,5 @@
         h
         i
         j
        -k
         l
        +m
        ");
        assert_eq!(unified("f", old, old), "");
        insta::assert_snapshot!(unified("f", "a\r\nb", "b"), @r"
        --- f
        +++ f
        @@ -1,2 +1,1 @@
        -a
         b
        ");
        insta::assert_snapshot!(unified("f", "", "x\n"), @r"
        --- f
        +++ f
        @@ -0,0 +1,1 @@
        +x
        ");
    }
}
