//! How much may come out of a compressed archive.
//!
//! A few kilobytes of Zstandard can stand for terabytes of zeros. Disks end such an archive, too, but
//! late. gzip never makes more than 1032 bytes of one, and archives of real files stay far below that;
//! those that do not (a large file that is all zeros) are let through up to a size that a disk has.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

/// Inflated bytes that are always let through.
const ALWAYS: u64 = 4 << 30;
/// Inflated bytes for each byte that went in, beyond those.
const RATIO: u64 = 1100;

/// The input of a decoder, counted.
pub(super) struct Counted<R> {
    input: R,
    count: Rc<Cell<u64>>,
}

/// The output of that decoder, which fails when it is out of proportion.
pub(super) struct Bounded<R> {
    output: R,
    input: Rc<Cell<u64>>,
    count: u64,
    always: u64,
}

impl<R: Read> Counted<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            count: Rc::default(),
        }
    }

    /// What the count is read by.
    pub(super) fn count(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.count)
    }
}

impl<R: Read> Bounded<R> {
    pub(super) const fn new(output: R, input: Rc<Cell<u64>>) -> Self {
        Self {
            output,
            input,
            count: 0,
            always: ALWAYS,
        }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.output.read(buffer)?;
        self.count += count as u64;
        if self.count > self.always && self.count / RATIO > self.input.get() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} bytes of it inflate to more than {} bytes: a decompression bomb",
                    self.input.get(),
                    self.count
                ),
            ));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_inflates_out_of_proportion_is_cut() {
        let zeros = zstd::encode_all(io::repeat(0).take(8 << 20), 3).unwrap();
        let read = |always| {
            let input = Counted::new(&zeros[..]);
            let count = input.count();
            let decoder = zstd::stream::read::Decoder::new(input).unwrap();
            let mut bounded = Bounded::new(decoder, count);
            bounded.always = always;
            io::copy(&mut bounded, &mut io::sink())
        };
        assert_eq!(read(8 << 20).unwrap(), 8 << 20);
        let error = read(1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().ends_with("a decompression bomb"));
    }

    #[test]
    fn what_does_not_repeat_is_never_cut() {
        let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let input = Counted::new(&bytes[..]);
        let count = input.count();
        let mut bounded = Bounded::new(input, count);
        bounded.always = 0;
        let length = io::copy(&mut bounded, &mut io::sink()).unwrap();
        assert_eq!(length, bytes.len() as u64);
    }
}
