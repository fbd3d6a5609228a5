//! Values of secrets taken out of text that is shown or stored.

use super::{Secret, pieces};
use crate::history::REDACTED;

/// Shorter values are too common to be told from ordinary text.
const SHORTEST: usize = 4;

/// What is taken out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor {
    needles: Vec<Vec<u8>>,
    /// Whether a needle starts with the byte.
    starts: Option<Box<[bool; 256]>>,
}

impl Redactor {
    /// Takes out the values of `secrets` and the further `values`.
    pub(crate) fn new<'a>(secrets: &[Secret], values: impl Iterator<Item = &'a str>) -> Self {
        let secrets = secrets.iter().flat_map(|secret| pieces(secret.value()));
        let values = values.flat_map(|value| pieces(value.as_bytes()));
        let mut needles: Vec<Vec<u8>> = secrets
            .chain(values)
            .filter(|piece| piece.len() >= SHORTEST)
            .map(<[u8]>::to_vec)
            .collect();
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        let mut starts = Box::new([false; 256]);
        for needle in &needles {
            starts[usize::from(needle[0])] = true;
        }
        let starts = (!needles.is_empty()).then_some(starts);
        Self { needles, starts }
    }

    /// `text` without the values.
    pub(crate) fn text(&self, text: &str) -> String {
        if self.needles.is_empty() {
            return text.to_owned();
        }
        let mut stream = self.stream();
        let mut bytes = stream.push(text.as_bytes());
        bytes.extend(stream.finish());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// For output that comes in pieces.
    pub(crate) fn stream(&self) -> Stream<'_> {
        Stream {
            redactor: self,
            held: Vec::new(),
        }
    }

    /// The needle that `bytes` start with; the longest one.
    fn needle_at(&self, bytes: &[u8]) -> Option<&[u8]> {
        let mut needles = self.needles.iter();
        needles
            .find(|needle| bytes.starts_with(needle))
            .map(Vec::as_slice)
    }

    /// True when `bytes` may be the beginning of a needle.
    fn may_begin(&self, bytes: &[u8]) -> bool {
        let mut needles = self.needles.iter();
        needles.any(|needle| needle.len() > bytes.len() && needle.starts_with(bytes))
    }
}

/// Output on its way; what may be the beginning of a value waits for the next piece.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    redactor: &'a Redactor,
    held: Vec<u8>,
}

impl Stream<'_> {
    /// What can be told now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.redactor.starts.is_none() {
            return bytes.to_vec();
        }
        self.held.extend_from_slice(bytes);
        self.told(false)
    }

    /// What was waiting when the output ended.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.told(true)
    }

    fn told(&mut self, is_end: bool) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.held);
        let Some(starts) = &self.redactor.starts else {
            return bytes;
        };
        let mut told = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            if !starts[usize::from(rest[0])] {
                told.push(rest[0]);
                at += 1;
            } else if !is_end && self.redactor.may_begin(rest) {
                rest.clone_into(&mut self.held);
                break;
            } else if let Some(needle) = self.redactor.needle_at(rest) {
                told.extend_from_slice(REDACTED.as_bytes());
                at += needle.len();
            } else {
                told.push(rest[0]);
                at += 1;
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redactor(values: &[&str]) -> Redactor {
        Redactor::new(&[], values.iter().copied())
    }

    #[test]
    fn values_are_taken_out_wherever_the_output_is_cut() {
        let redactor = redactor(&["hunter2\n", "hunter2-and-more", "abc", "top secret"]);
        let text = "a hunter2, hunter2-and-more, abc, top secre, hunter2-and";
        let expected = "a ***, ***, abc, top secre, ***-and";
        assert_eq!(redactor.text(text), expected);
        for cut in 0..text.len() {
            let mut stream = redactor.stream();
            let mut told = stream.push(&text.as_bytes()[..cut]);
            told.extend(stream.push(&text.as_bytes()[cut..]));
            told.extend(stream.finish());
            assert_eq!(String::from_utf8(told).unwrap(), expected, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn a_value_never_comes_through_and_other_text_does(
            before in "[x-z ]{0,9}", after in "[x-z ]{0,9}", value in "[a-c]{4,9}",
        ) {
            let text = format!("{before}{value}{after}");
            prop_assert_eq!(redactor(&[&value]).text(&text), format!("{before}***{after}"));
            prop_assert_eq!(redactor(&[]).text(&text), text);
        }
    }
}
