//! Digesting and writing what an archive inflates to, by a thread of its own: inflating and reading
//! entries take one processor, SHA-256 and the disk another.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    sync::mpsc::{self, Receiver, SyncSender},
    thread::JoinHandle,
};

use hoist_core::{Digest, Digester};
use hoist_sys::writeback;

use crate::error::StoreError;

/// Bytes that are handed over at once.
const CHUNK: usize = 256 * 1024;
/// Chunks that may wait; with it the thread and its caller are bounded in memory.
const WAITING: usize = 4;

/// Takes bytes in their order. Dropped, it leaves the thread to end with what it has.
pub(crate) struct Aside {
    /// `None` once the thread has ended early.
    chunks: Option<SyncSender<Vec<u8>>>,
    /// Chunks that the thread is done with, to be filled again.
    spare: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    length: u64,
    worker: JoinHandle<Result<Digest, StoreError>>,
}

impl Aside {
    /// Digest everything, and write it into a file if one is given.
    pub(crate) fn begin(file: Option<(File, PathBuf)>) -> Self {
        let (chunks, queue) = mpsc::sync_channel::<Vec<u8>>(WAITING);
        let (done, spare) = mpsc::channel();
        let worker = std::thread::spawn(move || {
            let mut digester = Digester::new();
            let mut written = 0;
            for mut chunk in queue {
                digester.update(&chunk);
                if let Some((file, path)) = &file {
                    let mut output = file;
                    output
                        .write_all(&chunk)
                        .map_err(StoreError::file("write", path))?;
                    written = writeback::begin(file, written, chunk.len());
                }
                chunk.clear();
                // Whoever filled it may have gone.
                drop(done.send(chunk));
            }
            Ok(digester.finish())
        });
        Self {
            chunks: Some(chunks),
            spare,
            chunk: Vec::with_capacity(CHUNK),
            length: 0,
            worker,
        }
    }

    /// Take the next bytes.
    ///
    /// # Errors
    /// When the thread has ended early: [`finish`](Self::finish) says why.
    pub(crate) fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = bytes.len().min(CHUNK - self.chunk.len());
            self.chunk.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
            if self.chunk.len() == CHUNK {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let empty = self
            .spare
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        let full = std::mem::replace(&mut self.chunk, empty);
        let sent = self.chunks.as_ref().map(|chunks| chunks.send(full).is_ok());
        if sent == Some(true) {
            return Ok(());
        }
        self.chunks = None;
        Err(io::Error::other("the bytes could not be written"))
    }

    /// Wait for the rest: the digest and the number of the bytes.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file could not be written.
    pub(crate) fn finish(mut self) -> Result<(Digest, u64), StoreError> {
        if !self.chunk.is_empty() {
            // The thread knows better why it ended.
            drop(self.hand_over());
        }
        drop(self.chunks);
        match self.worker.join() {
            Ok(digest) => Ok((digest?, self.length)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
