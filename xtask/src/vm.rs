//! `cargo xtask vm`: hoist on Debian's own kernel with nothing but cgroup v2, in an emulated machine.
//!
//! ```text
//! target/vm/vmlinuz, lib/modules/…   the kernel, made once
//! ```

use std::fs;
use std::path::PathBuf;

use crate::program::{self, Result, command};
use crate::{bases, debian, workspace};

/// Runs the shell script given as an argument in the machine, or a small tour of the limits.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let kernel = make()?;
    let commands = match arguments.first().map(String::as_str) {
        Some("--make-only") => return Ok(()),
        Some(script) => PathBuf::from(script),
        None => workspace::root().join("xtask/vm/tour.sh"),
    };
    let base = bases::make(false)?.join("busybox.tar");
    let hoist = workspace::hoist()?;
    let mut boot = command("sh", [workspace::root().join("xtask/vm/boot.sh")]);
    program::run(boot.arg(kernel).arg(hoist).arg(base).arg(commands))
}

/// Fetches the kernel, unless it is there.
pub(crate) fn make() -> Result<PathBuf> {
    let directory = workspace::target().join("vm");
    if fs::exists(directory.join("vmlinuz"))? {
        return Ok(directory);
    }
    debian::ensure(&[
        ("mmdebstrap", "mmdebstrap"),
        ("busybox", "busybox-static"),
        ("cpio", "cpio"),
        ("qemu-system-x86_64", "qemu-system-x86"),
    ])?;
    println!("==> fetching Debian's cloud kernel");
    let script = workspace::root().join("xtask/vm/kernel.sh");
    let mut fetch = bases::mmdebstrap(0, "extract")?;
    fetch.args(["--include=busybox-static", "--format=null"]);
    // A directory under another name until it is whole.
    let making = workspace::target().join("vm.new");
    fetch.arg(format!(
        "--extract-hook=sh {} \"$1\" {}",
        script.display(),
        making.display()
    ));
    program::run(
        fetch
            .arg(debian::RELEASE)
            .arg("/dev/null")
            .args(debian::sources()),
    )?;
    let _ = fs::remove_dir_all(&directory);
    fs::rename(making, &directory)?;
    Ok(directory)
}
