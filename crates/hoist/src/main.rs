//! The hoist command line.
fn main() {}
