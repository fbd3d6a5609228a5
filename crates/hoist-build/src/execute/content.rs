//! The content of a file into another one, in the kernel where it can be done there: a reflink where
//! the file system has them, a copy within the page cache elsewhere.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{copy_file_range, sendfile},
    io::Errno,
};

/// Copy the content of `source` to the empty file `target`, in the kernel where it can.
pub(super) fn copy(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    expected: u64,
) -> Result<(), Errno> {
    const CHUNK: usize = 1 << 30;
    if expected == 0 {
        return copy_by_hand(source, target);
    }
    let mut copied = 0_u64;
    // What a file grows by meanwhile is the next build's.
    while copied < expected {
        match copy_file_range(source, None, target, None, CHUNK) {
            Ok(0) => break,
            Ok(count) => copied += count as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if copied == 0 => {
                return send_content(source, target);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn send_content(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    const CHUNK: usize = 1 << 24;
    let mut copied = 0_u64;
    loop {
        match sendfile(target, source, None, CHUNK) {
            Ok(0) => return Ok(()),
            Ok(count) => copied += count as u64,
            Err(Errno::INTR) => {}
            Err(Errno::INVAL | Errno::NOSYS) if copied == 0 => return copy_by_hand(source, target),
            Err(errno) => return Err(errno),
        }
    }
}

/// For files of unknown length (a size of 0 may mean "generated when read").
fn copy_by_hand(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut buffer = [0; 64 << 10];
    loop {
        let count = match rustix::io::read(source, &mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            match rustix::io::write(target, rest) {
                Ok(count) => rest = &rest[count..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}
