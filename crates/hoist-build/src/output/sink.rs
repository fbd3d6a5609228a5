//! Where an image layout is written: an archive, or a directory.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::archive::Archive;

/// Takes the files of a layout, in an order in which each directory comes before its files.
pub(super) trait Sink {
    /// A directory.
    fn directory(&mut self, path: &str) -> io::Result<()>;

    /// A file that is in memory.
    fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()>;

    /// A file of `size` bytes, which `write` writes.
    fn stream<E: From<io::Error>>(
        &mut self,
        path: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E>;
}

impl<W: Write> Sink for Archive<W> {
    fn directory(&mut self, path: &str) -> io::Result<()> {
        Self::directory(self, path)
    }

    fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        Self::file(self, path, content)
    }

    fn stream<E: From<io::Error>>(
        &mut self,
        path: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        Self::stream(self, path, size, write)
    }
}

/// A directory on disk: each file gets its name when it is whole.
pub(super) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Write the file beside its place, and put it there.
    fn place<E: From<io::Error>>(
        &self,
        path: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = self.root.join(path);
        let temporary = place.with_extension(format!("partial-{}", std::process::id()));
        let mut file = io::BufWriter::new(fs::File::create(&temporary)?);
        let written = write(&mut file).and_then(|()| {
            file.flush()?;
            Ok(fs::rename(&temporary, &place)?)
        });
        if written.is_err() {
            // What failed is the news, not that a piece of it stays.
            drop(fs::remove_file(&temporary));
        }
        written
    }
}

impl Sink for Directory {
    fn directory(&mut self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.root.join(path))
    }

    fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.place(path, |output| output.write_all(content))
    }

    fn stream<E: From<io::Error>>(
        &mut self,
        path: &str,
        size: u64,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<(), E> {
        // A blob is what its name says: one of the right length is there already.
        let known = fs::metadata(self.root.join(path));
        if known.is_ok_and(|found| found.is_file() && found.len() == size) {
            return Ok(());
        }
        self.place(path, write)
    }
}
