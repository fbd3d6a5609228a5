//! The content of a file into another one, in the kernel where it can be done there: a reflink where
//! the file system has them, a copy within the page cache elsewhere. Holes stay holes.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{SeekFrom, copy_file_range, fstat, ftruncate, seek, sendfile},
    io::Errno,
};

/// Bytes that the kernel is asked to copy at once.
const CHUNK: usize = 1 << 30;

/// Copy the content of `source` to the empty file `target`, in the kernel where it can.
pub(super) fn copy(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    expected: u64,
) -> Result<(), Errno> {
    if expected == 0 {
        return copy_by_hand(source, target);
    }
    let stat = fstat(source)?;
    // Blocks of 512 bytes, whatever those of the file system are (stat(2)).
    if stat.st_blocks.cast_unsigned() * 512 < expected && copy_data(source, target)? {
        return Ok(());
    }
    copy_whole(source, target, expected)
}

/// Copy what a sparse file has between its holes; false when the file systems cannot, and nothing
/// is written.
fn copy_data(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut position = 0;
    let mut begun = false;
    loop {
        position = match seek(source, SeekFrom::Data(position)) {
            Ok(position) => position,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL) if !begun => return rewound(source),
            Err(errno) => return Err(errno),
        };
        let end = seek(source, SeekFrom::Hole(position))?;
        while position < end {
            let (mut from, mut to) = (position, position);
            let rest = usize::try_from(end - position).unwrap_or(CHUNK).min(CHUNK);
            match copy_file_range(source, Some(&mut from), target, Some(&mut to), rest) {
                // It became shorter meanwhile.
                Ok(0) => break,
                Ok(count) => {
                    position += count as u64;
                    begun = true;
                }
                Err(Errno::INTR) => {}
                // Nothing is written as long as the first piece has not been.
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if !begun => {
                    return rewound(source);
                }
                Err(errno) => return Err(errno),
            }
        }
        position = end;
    }
    let length = seek(source, SeekFrom::End(0))?;
    ftruncate(target, length)?;
    Ok(true)
}

/// Back to the beginning, for who copies the file in another way.
fn rewound(source: BorrowedFd<'_>) -> Result<bool, Errno> {
    seek(source, SeekFrom::Start(0))?;
    Ok(false)
}

fn copy_whole(source: BorrowedFd<'_>, target: BorrowedFd<'_>, expected: u64) -> Result<(), Errno> {
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
