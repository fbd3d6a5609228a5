//! `hoist_fuzz`'s target `dockerfile` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hoist_fuzz::run("dockerfile", bytes);
});
