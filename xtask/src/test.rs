//! `cargo xtask test`: everything that must hold, from a machine with nothing but Rust on it.

use std::path::Path;
use std::time::Instant;

use crate::program::{self, Result, command};
use crate::{bases, debian, licences, vm, workspace};

/// Programs that tests use, and the Debian packages that they come from.
const NEEDS: [(&str, &str); 21] = [
    ("mmdebstrap", "mmdebstrap"),
    (
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
    ("busybox", "busybox-static"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("newuidmap", "uidmap"),
    ("useradd", "passwd"),
    ("setpriv", "util-linux"),
    ("strace", "strace"),
    ("mkfs.ext4", "e2fsprogs"),
    ("fsck.erofs", "erofs-utils"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("cpio", "cpio"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("htpasswd", "apache2-utils"),
    ("openssl", "openssl"),
    ("git", "git"),
    ("xz", "xz-utils"),
    ("bzip2", "bzip2"),
    ("ssh-keygen", "openssh-client"),
];

/// Forms of layers, and the tests of the command line that run a second time with them. By themselves
/// the tests have unpacked base images, and indexed layers where they pull and load.
const FORMS: [(&str, &[&str]); 2] = [
    (
        "indexed",
        &["images::", "run::", "build::", "volumes::", "registry::"],
    ),
    ("unpacked", &["registry::"]),
];

/// All checks and tests; with a filter only the tests whose name contains it.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let begun = Instant::now();
    if !debian::is_root() {
        return Err(
            "the tests make namespaces, mounts and users: run `cargo xtask test` as root \
                    (what ordinary users can do is tested by a user that the tests make)"
                .into(),
        );
    }
    debian::ensure(&NEEDS)?;
    bases::make(false)?;
    vm::make()?;
    if arguments.is_empty() {
        checks()?;
    }
    step("cargo test");
    let mut tests = workspace::cargo(["test", "--workspace", "--no-fail-fast"]);
    program::run(tests.args(arguments))?;
    if arguments.is_empty() {
        for (form, modules) in FORMS {
            step(&format!("cargo test with {form} layers"));
            let mut tests = workspace::cargo(["test", "--package", "hoist", "--test", "main"]);
            tests.env("HOIST_LAYER_FORM", form);
            program::run(tests.arg("--").args(modules))?;
        }
    }
    println!("\n==> all of it held, in {} s", begun.elapsed().as_secs());
    Ok(())
}

/// What is checked without running the code.
fn checks() -> Result<()> {
    step("cargo fmt --check");
    program::run(&mut workspace::cargo(["fmt", "--all", "--check"]))?;

    step("cargo clippy");
    let mut clippy = workspace::cargo(["clippy", "--workspace", "--all-targets", "--quiet"]);
    program::run(clippy.args(["--", "--deny", "warnings"]))?;

    step("licences, sources and versions of what hoist is built from");
    licences::main()?;
    if program::find("cargo-deny").is_some() {
        // Advisories are looked up where the tool is installed: they change from day to day.
        program::run(&mut workspace::cargo(["deny", "check"]))?;
    }

    step("hoist is one static program");
    let hoist = workspace::debug_hoist()?;
    is_static(&hoist)
}

fn step(what: &str) {
    println!("==> {what}");
}

/// Fails when an ELF program asks for an interpreter, that is, for shared libraries.
fn is_static(program: &Path) -> Result<()> {
    let headers = program::text(command("readelf", ["--program-headers", "--wide"]).arg(program))?;
    match headers
        .lines()
        .find(|line| line.trim_start().starts_with("INTERP"))
    {
        None => Ok(()),
        Some(_) => Err(format!(
            "{} is not static: it has a program interpreter",
            program.display()
        )
        .into()),
    }
}
