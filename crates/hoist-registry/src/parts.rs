//! A large blob by several connections at once.
//!
//! One connection is often slower than the line: a server or the way to it gives each its share. So
//! the first range of a large blob is asked for, and where the server answers with just that range,
//! threads fetch the ranges after it, while whoever reads gets all of them in order. A range is in
//! memory from when it is asked for to when it was read; how many there are, of all blobs together,
//! is bounded ([`Slots`]). A reader that is slower than one connection makes the threads wait.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{blob::BlobReader, error::RegistryError};

/// How many ranges may be in memory now.
#[derive(Debug)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// Some of them, given back on drop.
#[derive(Debug)]
pub(crate) struct Slots {
    count: usize,
    free: Arc<AtomicUsize>,
}

impl Budget {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(count)))
    }

    /// Up to `most` slots; `None` when there are fewer than two, which would be no gain.
    pub(crate) fn take(&self, most: usize) -> Option<Slots> {
        let share = |free: usize| free.min(most);
        let taken = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| {
                (share(free) >= 2).then(|| free - share(free))
            });
        Some(Slots {
            count: share(taken.ok()?),
            free: Arc::clone(&self.0),
        })
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.free.fetch_add(self.count, Ordering::SeqCst);
    }
}

/// Makes the reader of the bytes from the first offset to the second.
type Open = dyn Fn(u64, u64) -> BlobReader + Send + Sync;

/// What the threads and the reader share.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    open: Box<Open>,
    length: u64,
    end: u64,
    slots: Slots,
}

struct State {
    /// Where the next range begins that nobody fetches yet.
    next: u64,
    /// Ranges that are fetched, waited for or read.
    held: usize,
    ready: BTreeMap<u64, Result<Vec<u8>, RegistryError>>,
    /// Memory of ranges that were read, for those to come.
    spare: Vec<Vec<u8>>,
    /// Nobody reads any more, or a range has failed: nothing further is fetched.
    over: bool,
}

/// The rest of a blob, whose first range is on its way already.
pub(crate) struct Parts {
    shared: Arc<Shared>,
    offset: u64,
    first: Option<io::Take<Box<dyn Read + Send>>>,
    part: io::Cursor<Vec<u8>>,
}

impl Parts {
    /// `first` has the bytes from `start` up to `next`; those up to `end` are fetched by ranges of
    /// `length`.
    pub(crate) fn begin(
        first: Box<dyn Read + Send>,
        (start, next, end): (u64, u64, u64),
        length: u64,
        slots: Slots,
        open: Box<Open>,
    ) -> io::Result<Self> {
        let threads = slots.count;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                next,
                held: 1,
                ready: BTreeMap::new(),
                spare: Vec::new(),
                over: false,
            }),
            changed: Condvar::new(),
            open,
            length,
            end,
            slots,
        });
        let parts = Self {
            shared,
            offset: start,
            first: Some(first.take(next - start)),
            part: io::Cursor::default(),
        };
        for number in 0..threads {
            let shared = Arc::clone(&parts.shared);
            let builder = thread::Builder::new().name("ranges".to_owned());
            match builder.spawn(move || shared.fetch()) {
                Err(error) if number == 0 => return Err(error),
                // The others do its work.
                Err(_) => break,
                Ok(_) => {}
            }
        }
        Ok(parts)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetch one range after another, until there are none or nobody wants them.
    fn fetch(&self) {
        while let Some((start, end, mut bytes)) = self.next() {
            bytes.reserve_exact(usize::try_from(end - start).unwrap_or_default());
            let mut reader = (self.open)(start, end);
            let result = match reader.read_to_end(&mut bytes) {
                Ok(_) => Ok(bytes),
                Err(error) => Err(reader.failure(error)),
            };
            let mut state = self.state();
            state.over |= result.is_err();
            state.ready.insert(start, result);
            self.changed.notify_all();
        }
    }

    /// Wait for a free slot: a range, and an empty buffer for it. `None` when nothing is left to
    /// fetch.
    fn next(&self) -> Option<(u64, u64, Vec<u8>)> {
        let idle = |state: &mut State| {
            !state.over && state.next < self.end && state.held >= self.slots.count
        };
        let mut state = self
            .changed
            .wait_while(self.state(), idle)
            .unwrap_or_else(PoisonError::into_inner);
        if state.over || state.next >= self.end {
            return None;
        }
        let start = state.next;
        state.next = self.end.min(start + self.length);
        state.held += 1;
        let spare = state.spare.pop().unwrap_or_default();
        Some((start, state.next, spare))
    }

    /// The range that begins at `offset`, once it is there; the one before it is done with, and
    /// leaves its memory. Ranges are begun in their order, and each that was begun comes to an end:
    /// none is waited for in vain.
    fn wait_for(&self, offset: u64, mut before: Vec<u8>) -> Result<Vec<u8>, RegistryError> {
        before.clear();
        let mut state = self.state();
        state.held -= 1;
        if before.capacity() > 0 {
            state.spare.push(before);
        }
        self.changed.notify_all();
        let missing = |state: &mut State| !state.ready.contains_key(&offset);
        let mut state = self
            .changed
            .wait_while(state, missing)
            .unwrap_or_else(PoisonError::into_inner);
        state.ready.remove(&offset).expect("waited for")
    }
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(first) = &mut self.first {
            let count = first.read(buffer)?;
            self.offset += count as u64;
            if first.limit() > 0 {
                return Ok(count);
            }
            // There is nothing more in it; this tells the client so, and the connection serves again.
            let mut body = self.first.take().expect("read just now").into_inner();
            let _ = body.read(&mut [0]);
            return Ok(count);
        }
        let is_read = self.part.position() == self.part.get_ref().len() as u64;
        if is_read && self.offset < self.shared.end {
            let before = std::mem::take(&mut self.part).into_inner();
            let bytes = self.shared.wait_for(self.offset, before);
            self.part = io::Cursor::new(bytes.map_err(RegistryError::into_io)?);
        }
        let count = self.part.read(buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl Drop for Parts {
    /// The threads end with the range that they are at; nobody waits for them.
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_shared_and_come_back() {
        let budget = Budget::new(5);
        let first = budget.take(4).unwrap();
        assert_eq!(first.count, 4);
        // One connection more is no gain.
        assert!(budget.take(4).is_none());
        drop(first);
        assert_eq!(budget.take(8).unwrap().count, 5);
        assert_eq!(budget.take(2).unwrap().count, 2);
        assert!(budget.take(1).is_none());
    }
}
