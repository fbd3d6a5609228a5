//! Giving memory back to the kernel.

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
