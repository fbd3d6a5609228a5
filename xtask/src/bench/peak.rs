//! The most memory that a command had at any time.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::program::Result;

/// Runs a command to its end and says how much memory its process had at most, in kB. The kernel keeps
/// the mark (`VmHWM`, proc_pid_status(5)); it is read until there is nothing more to read, so that the
/// last hundredth of a second may be missing.
pub(super) fn of(command: &mut Command) -> Result<u64> {
    let mut child = command.spawn()?;
    let mut peak = 0;
    loop {
        peak = of_process(child.id()).unwrap_or(0).max(peak);
        if let Some(status) = child.try_wait()? {
            return match status.success() {
                true => Ok(peak),
                false => Err(format!("{:?}: {status}", command.get_program()).into()),
            };
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The mark of a running process, in kB.
pub(super) fn of_process(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
