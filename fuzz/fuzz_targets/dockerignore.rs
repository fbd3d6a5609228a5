//! `hoist_fuzz`'s target `dockerignore` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hoist_fuzz::run("dockerignore", bytes);
});
