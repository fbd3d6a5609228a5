//! Keeping no more memory than is used.

/// Returns the pages of the heap that hold nothing to the kernel (`malloc_trim(3)`).
///
/// For a process that did its work at the start and waits from then on: the allocator would keep
/// what the start needed.
pub fn release_free() {
    // SAFETY: the call takes no pointers and only touches memory that the allocator owns; it is
    // safe beside other allocations.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets everything that is large (from 128 KiB) come from the kernel and go back to it at once, and
/// all threads share two heaps (`mallopt(3)`).
///
/// For a process that lives long and has many threads: the allocator would keep, for each thread,
/// what the largest piece of its work ever needed. To be called before threads are begun.
pub fn keep_little() {
    // SAFETY: the calls take no pointers and change settings of the allocator, which reads them
    // under its own locks.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}
