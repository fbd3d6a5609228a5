//! Trees of files like those of real images: the same ones in every run.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::program::Result;

/// Bytes that gzip makes a third of, as it does with programs and libraries: blocks of noise among
/// blocks of text.
pub(super) struct Content {
    state: u64,
}

impl Content {
    pub(super) const fn new(seed: u64) -> Self {
        // xorshift stands still at nought.
        Self { state: seed | 1 }
    }

    /// The next number of an xorshift generator.
    const fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// The next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        const TEXT: &[u8] = b"def handler(request): return response(request.path, status=200)\n";
        let mut bytes = Vec::with_capacity(length + TEXT.len());
        while bytes.len() < length {
            if self.next().is_multiple_of(3) {
                for _ in 0..8 {
                    bytes.extend(self.next().to_le_bytes());
                }
            } else {
                bytes.extend(TEXT);
            }
        }
        bytes.truncate(length);
        bytes
    }
}

/// Makes `count` files of `length` bytes on average below `directory`, a hundred in each directory.
pub(super) fn make_tree(directory: &Path, count: usize, length: usize) -> Result<()> {
    let mut content = Content::new(count as u64);
    for number in 0..count {
        let path = file_of(directory, number);
        if number.is_multiple_of(100)
            && let Some(parent) = path.parent()
        {
            fs::create_dir_all(parent)?;
        }
        // From half to one and a half times the average.
        let length = length / 2 + number * 7919 % length.max(1);
        fs::write(path, content.bytes(length))?;
    }
    Ok(())
}

/// Where the file `number` of such a tree lies.
pub(super) fn file_of(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("d{:04}/f{number:06}.py", number / 100))
}

/// Gives the file a content that it never had.
pub(super) fn touch(path: &Path, length: usize) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let mut content = Content::new(u64::from(now.subsec_nanos()) ^ now.as_secs() << 30);
    Ok(fs::write(path, content.bytes(length))?)
}

/// Makes one large file of real bytes.
pub(super) fn make_large(path: &Path, length: u64) -> Result<()> {
    let mut file = fs::File::create(path)?;
    let mut content = Content::new(length);
    let mut left = length;
    while left > 0 {
        let count = left.min(1 << 20);
        file.write_all(&content.bytes(usize::try_from(count)?))?;
        left -= count;
    }
    Ok(())
}
