//! Ranges: of blobs that are pulled (RFC 9110, section 14) and of pieces that are pushed (the
//! specification's own form).

/// What a `Range` header means for a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// From the first to the last byte, inclusive.
    Part(u64, u64),
    /// Nothing that is there.
    Nothing,
}

/// The bytes that `header` asks for, of `size`. What is malformed, of another unit or of several
/// parts is as if it were not there.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = header
        .and_then(|text| text.trim().strip_prefix("bytes="))
        .and_then(|part| part.trim().split_once('-'))
    else {
        return Wanted::Whole;
    };
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(0) => Wanted::Nothing,
            Some(_) if size == 0 => Wanted::Nothing,
            Some(count) => Wanted::Part(size.saturating_sub(count), size - 1),
            None => Wanted::Whole,
        },
        (first, last) => match (number(first), last, number(last)) {
            (Some(first), "", _) if first < size => Wanted::Part(first, size - 1),
            (Some(_), "", _) => Wanted::Nothing,
            (Some(first), _, Some(last)) if first > last => Wanted::Nothing,
            (Some(first), _, Some(last)) if first < size => Wanted::Part(first, last.min(size - 1)),
            (Some(_), _, Some(_)) => Wanted::Nothing,
            _ => Wanted::Whole,
        },
    }
}

/// The first and the last byte of a piece that is pushed: `0-1023`, also as RFC 9110 writes it,
/// `bytes 0-1023/*`.
pub(super) fn piece(header: &str) -> Option<(u64, u64)> {
    let text = header.trim();
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let text = text.split_once('/').map_or(text, |(range, _)| range);
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

/// Digits and nothing else; one that is too large for any file counts as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_blob() {
        use Wanted::{Nothing, Part, Whole};
        let table = [
            (None, 10, Whole),
            (Some("bytes=0-3"), 10, Part(0, 3)),
            (Some("bytes=5-"), 10, Part(5, 9)),
            (Some("bytes=5-99"), 10, Part(5, 9)),
            (Some("bytes=-3"), 10, Part(7, 9)),
            (Some("bytes=-30"), 10, Part(0, 9)),
            (Some("bytes=-0"), 10, Nothing),
            (Some("bytes=10-"), 10, Nothing),
            (Some("bytes=10-12"), 10, Nothing),
            (Some("bytes=0-"), 0, Nothing),
            (Some("bytes=-1"), 0, Nothing),
            (Some("bytes=99999999999999999999999-"), 10, Nothing),
            (Some("bytes=3-2"), 10, Nothing),
            (Some("bytes=0-1,4-5"), 10, Whole),
            (Some("bytes=+1-2"), 10, Whole),
            (Some("bytes=a-b"), 10, Whole),
            (Some("bytes=-"), 10, Whole),
            (Some("lines=0-3"), 10, Whole),
            (Some(""), 10, Whole),
        ];
        for (header, size, expected) in table {
            assert_eq!(wanted(header, size), expected, "{header:?} of {size}");
        }
    }

    #[test]
    fn pieces_of_an_upload() {
        for (header, expected) in [
            ("0-9", Some((0, 9))),
            ("10-10", Some((10, 10))),
            ("bytes 3-4/*", Some((3, 4))),
            ("bytes 3-4/10", Some((3, 4))),
            ("4-3", None),
            ("-3", None),
            ("3-", None),
            ("", None),
            ("0x1-2", None),
        ] {
            assert_eq!(piece(header), expected, "{header}");
        }
    }
}
