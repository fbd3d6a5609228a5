//! The whole data root: what takes space, what can go, what the host offers.

use std::{fs, io::Read, time::SystemTime};

use crate::error::EngineError;

mod check;
mod info;
mod plan;
mod prune;
mod usage;

pub use plan::{Planned, PlannedKind, PruneFilter, PrunePlan, Verdict};
pub(crate) use prune::ids_in;
pub use prune::{Prunable, PruneRequest, Pruned};
pub use usage::{DiskUsage, Usage};

/// The time now. All of the engine's looks at the clock go through here.
pub(crate) fn clock() -> SystemTime {
    SystemTime::now()
}

/// Processors that this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Random bytes from the kernel.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], EngineError> {
    let mut bytes = [0; N];
    let read = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match read {
        Ok(length) if length == N => Ok(bytes),
        Ok(_) => Err(EngineError::System {
            action: "getrandom",
            source: std::io::ErrorKind::UnexpectedEof.into(),
        }),
        Err(error) => Err(EngineError::system("getrandom")(error)),
    }
}

/// Which boot of the machine this is.
pub(crate) fn boot_id() -> Result<String, EngineError> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let mut text = String::new();
    let mut file = fs::File::open(PATH).map_err(EngineError::file("read", PATH))?;
    file.read_to_string(&mut text)
        .map_err(EngineError::file("read", PATH))?;
    Ok(text.trim_end().to_owned())
}
