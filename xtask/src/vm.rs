//! `cargo xtask vm`: hoist on Debian's own kernels with nothing but cgroup v2, in an emulated machine.
//!
//! ```text
//! target/vm/<release>/vmlinuz, lib/modules/…   the kernel of a release, made once
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{self, Result, command};
use crate::{bases, debian, workspace};

/// Releases whose kernels the tests boot: 6.1, and 6.12, the first that mounts indexed layers.
const RELEASES: [&str; 2] = [debian::RELEASE, "trixie"];

/// Runs the shell script given as an argument in the machine, or a small tour of the limits.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    make()?;
    let kernel = workspace::target().join("vm").join(debian::RELEASE);
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

/// Fetches the kernels that are not there.
pub(crate) fn make() -> Result<()> {
    for release in RELEASES {
        let directory = workspace::target().join("vm").join(release);
        if !fs::exists(directory.join("vmlinuz"))? {
            fetch(release, &directory)?;
        }
    }
    Ok(())
}

fn fetch(release: &str, directory: &Path) -> Result<()> {
    debian::ensure(&[
        ("mmdebstrap", "mmdebstrap"),
        ("busybox", "busybox-static"),
        ("cpio", "cpio"),
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("xz", "xz-utils"),
    ])?;
    println!("==> fetching the cloud kernel of Debian {release}");
    let script = workspace::root().join("xtask/vm/kernel.sh");
    let mut fetch = bases::mmdebstrap(0, "extract")?;
    fetch.args(["--include=busybox-static", "--format=null"]);
    // A directory under another name until it is whole.
    let making = directory.with_extension("new");
    fs::create_dir_all(workspace::target().join("vm"))?;
    fetch.arg(format!(
        "--extract-hook=sh {} \"$1\" {}",
        script.display(),
        making.display()
    ));
    let sources = debian::sources();
    let of_release = sources
        .iter()
        .map(|line| line.replace(debian::RELEASE, release));
    program::run(fetch.arg(release).arg("/dev/null").args(of_release))?;
    let _ = fs::remove_dir_all(directory);
    fs::rename(making, directory)?;
    Ok(())
}
