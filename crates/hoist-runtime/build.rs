//! Compiles the default system-call filter, so that starting a container only loads it.

#[path = "src/seccomp/compile.rs"]
mod compile;
#[path = "src/seccomp/numbers.rs"]
mod numbers;
#[expect(
    dead_code,
    reason = "the crate asks more of the profile than its compilation does"
)]
#[path = "src/seccomp/profile.rs"]
mod profile;

use std::{env, fs, path::PathBuf};

use profile::Architecture;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/seccomp");
    let target = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let (name, architectures): (&str, &[Architecture]) = match target.as_str() {
        "x86_64" => (
            "X86_64, Architecture::I386",
            &[Architecture::X86_64, Architecture::I386],
        ),
        "aarch64" => ("Aarch64", &[Architecture::Aarch64]),
        other => panic!("hoist has no table of system calls for the architecture {other}"),
    };
    let program = compile::compile(architectures, profile::DEFAULT_CAPABILITIES);
    let text = format!(
        "/// The architectures whose programs run here.\n\
         const ARCHITECTURES: &[Architecture] = &[Architecture::{name}];\n\
         /// The filter of a container with the default capabilities.\n\
         const DEFAULT_PROGRAM: &[Word] = &{program:?};\n"
    );
    let directory = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    if let Err(error) = fs::write(directory.join("seccomp.rs"), text) {
        panic!(
            "cannot write the compiled filter into {}: {error}",
            directory.display()
        );
    }
}
