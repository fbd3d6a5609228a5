//! Compressing layers, once: in blocks, on all processors, with the same result on any number.
//!
//! The archive is cut into blocks of a fixed length, and each becomes a gzip member or a Zstandard
//! frame of its own; both formats say that several in a row are one stream (RFC 1952 section 2.2,
//! RFC 8878 section 3). The bytes depend on the archive, the compression and its level alone.

use std::{
    collections::VecDeque,
    io::{self, Write},
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
};

use hoist_core::{Digest, Digester};

use crate::{
    blob::{BlobDraft, LayerBlob},
    error::{Result, StoreError},
    import::PLAIN,
    layer::{Digested, write_tree},
    store::Store,
};

/// Bytes of the archive in a block: a few per cent of the ratio, for as many processors as there are.
const BLOCK: usize = 1 << 20;

/// How a layer is to be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// gzip, which every registry and runtime reads, with a level from 1 to 9.
    Gzip(u32),
    /// Zstandard, with a level from 1 to 19.
    Zstd(i32),
}

impl Codec {
    /// OCI's media type of such a layer.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Gzip(_) => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd(_) => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    fn block(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(level) => {
                let level = flate2::Compression::new(level);
                // Neither a name nor a time: the header is the same always.
                let mut encoder = flate2::GzBuilder::new().write(Vec::new(), level);
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Zstd(level) => zstd::bulk::compress(bytes, level),
        }
    }
}

impl Store {
    /// A form of the layer in this compression, made now if there is none. `progress` is told how
    /// many bytes of the archive went in.
    ///
    /// # Errors
    /// As [`write_tar`](Self::write_tar); [`StoreError::File`].
    pub fn compress_layer(
        &self,
        diff_id: &Digest,
        codec: Codec,
        progress: &mut dyn FnMut(u64),
    ) -> Result<LayerBlob> {
        let suffix = codec.media_type().rsplit('+').next().unwrap_or_default();
        let blobs = self.layer_blobs(diff_id)?;
        let known = blobs.iter().find(|blob| blob.media_type.ends_with(suffix));
        if let Some(known) = known {
            return Ok(known.clone());
        }
        self.keep_layer(diff_id)?;
        let mut draft = self.begin_blob()?;
        let mut output = Blocks::new(codec, &mut draft, progress);
        self.write_tar(diff_id, &mut output)?;
        output.finish().map_err(|source| StoreError::Output {
            layer: *diff_id,
            source,
        })?;
        let hold = self.hold()?;
        let form = self.add_form(diff_id, draft, codec.media_type())?;
        drop(hold);
        Ok(form)
    }

    /// The archive of a tree that is no layer, in the form of a layer's, compressed or plain: the
    /// blob, which vanishes with the value, and the digest of the archive. `name` is what errors call
    /// the tree.
    ///
    /// # Errors
    /// [`StoreError::Unrepresentable`] for a file that cannot be in such an archive;
    /// [`StoreError::File`].
    pub fn archive_tree(
        &self,
        tree: OwnedFd,
        name: &Path,
        codec: Option<Codec>,
    ) -> Result<(BlobDraft, Digest)> {
        let mut draft = self.begin_blob()?;
        let failed = StoreError::file("archive", name);
        let diff_id = match codec {
            None => {
                write_tree(tree, name, None, &mut draft)?;
                draft.digester().clone().finish()
            }
            Some(codec) => {
                let mut silent = |_| {};
                let mut digested = Digested {
                    output: Blocks::new(codec, &mut draft, &mut silent),
                    digester: Digester::new(),
                };
                write_tree(tree, name, None, &mut digested)?;
                digested.output.finish().map_err(failed)?;
                digested.digester.finish()
            }
        };
        Ok((draft, diff_id))
    }

    /// Bytes of the archive of a layer.
    ///
    /// # Errors
    /// As [`write_tar`](Self::write_tar).
    pub fn archive_size(&self, diff_id: &Digest) -> Result<u64> {
        let blobs = self.layer_blobs(diff_id)?;
        if let Some(plain) = blobs.iter().find(|blob| blob.media_type == PLAIN) {
            return Ok(plain.size);
        }
        let known = crate::layer::LayerRecord::read(self, diff_id)?.archive_size;
        if known > 0 {
            return Ok(known);
        }
        let mut count = Count(0);
        self.write_tar(diff_id, &mut count)?;
        Ok(count.0)
    }
}

struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Job = (Vec<u8>, mpsc::SyncSender<io::Result<Vec<u8>>>);

/// An output that compresses what is written to it.
struct Blocks<'a, W> {
    output: W,
    progress: &'a mut dyn FnMut(u64),
    read: u64,
    block: Vec<u8>,
    jobs: Option<mpsc::SyncSender<Job>>,
    /// Blocks that are being compressed, the oldest first.
    results: VecDeque<mpsc::Receiver<io::Result<Vec<u8>>>>,
    most: usize,
    workers: Vec<JoinHandle<()>>,
}

impl<'a, W: Write> Blocks<'a, W> {
    fn new(codec: Codec, output: W, progress: &'a mut dyn FnMut(u64)) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let count = processors.min(8);
        let (jobs, queue) = mpsc::sync_channel::<Job>(count);
        let queue = Arc::new(Mutex::new(queue));
        let workers = (0..count).map(|_| {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((bytes, result)) = job else { return };
                    // Whoever asked may have given up.
                    drop(result.send(codec.block(&bytes)));
                }
            })
        });
        Self {
            output,
            progress,
            read: 0,
            block: Vec::with_capacity(BLOCK),
            jobs: Some(jobs),
            results: VecDeque::new(),
            most: count * 2,
            workers: workers.collect(),
        }
    }

    fn submit(&mut self) -> io::Result<()> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        self.read += block.len() as u64;
        let ended = || io::Error::other("a compressing thread ended");
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send((block, sender)).map_err(|_| ended())?;
        self.results.push_back(receiver);
        while self.results.len() > self.most {
            self.collect()?;
        }
        (self.progress)(self.read);
        Ok(())
    }

    fn collect(&mut self) -> io::Result<()> {
        let Some(result) = self.results.pop_front() else {
            return Ok(());
        };
        let block = result
            .recv()
            .map_err(|_| io::Error::other("a compressing thread ended"))??;
        self.output.write_all(&block)
    }

    fn finish(mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.submit()?;
        }
        while !self.results.is_empty() {
            self.collect()?;
        }
        self.output.flush()
    }
}

impl<W: Write> Write for Blocks<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        if self.block.len() == BLOCK {
            self.submit()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W> Drop for Blocks<'_, W> {
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            drop(worker.join());
        }
    }
}
