//! A tar archive of files that are known by name and size alone: no owner, no time.

use std::io::{self, Write};

/// Bytes of a block.
const BLOCK: usize = 512;

/// An archive on its way to `output`.
pub(super) struct Archive<W> {
    output: W,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output }
    }

    /// A directory.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        self.header(path, tar::EntryType::Directory, 0o755, 0)
    }

    /// A file that is in memory.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.stream(path, content.len() as u64, |output| {
            output.write_all(content)
        })
    }

    /// A file of `size` bytes, which `write` writes.
    pub(super) fn stream<E: From<io::Error>>(
        &mut self,
        path: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        self.header(path, tar::EntryType::Regular, 0o644, size)?;
        write(&mut self.output)?;
        let rest = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        let padding = [0; BLOCK];
        let rest = usize::try_from(rest).unwrap_or(0);
        Ok(self.output.write_all(&padding[..rest])?)
    }

    /// The end of the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        self.output.flush()
    }

    fn header(&mut self, path: &str, kind: tar::EntryType, mode: u32, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(path)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.output.write_all(header.as_bytes())
    }
}

/// Counts the bytes that are written, and keeps none.
#[derive(Debug, Default)]
pub(super) struct Count(pub(super) u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
