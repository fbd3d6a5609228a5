//! Bringing a long file on its way to the disk while it is still being written, so that the sync at its
//! end has little to wait for.

use std::os::fd::{AsFd, AsRawFd};

/// Bytes that are brought on their way at once.
const STEP: u64 = 8 << 20;

/// Tell that `count` bytes were written to `file` at `position`; returns the position behind them.
/// Whenever another 8 MiB are complete, the kernel begins to write them (`sync_file_range(2)`); nobody
/// waits for it, and it promises nothing about their durability.
pub fn begin(file: &impl AsFd, position: u64, count: usize) -> u64 {
    let end = position + count as u64;
    let (first, last) = (position / STEP * STEP, end / STEP * STEP);
    if last > first {
        let (Ok(offset), Ok(length)) = (i64::try_from(first), i64::try_from(last - first)) else {
            return end;
        };
        let file = file.as_fd().as_raw_fd();
        // SAFETY: the descriptor is open; the call touches no memory. That it fails, as where a file
        // system does not know it, changes nothing.
        unsafe { libc::sync_file_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE) };
    }
    end
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn positions_add_up() {
        let mut file = tempfile::tempfile().unwrap();
        let chunk = vec![1; 3 << 20];
        let mut position = 0;
        for _ in 0..9 {
            file.write_all(&chunk).unwrap();
            position = begin(&file, position, chunk.len());
        }
        assert_eq!(position, 27 << 20);
        assert_eq!(file.metadata().unwrap().len(), position);
        // A pipe has no pages to write.
        let (_reader, writer) = std::io::pipe().unwrap();
        assert_eq!(begin(&writer, 0, 9 << 20), 9 << 20);
    }
}
