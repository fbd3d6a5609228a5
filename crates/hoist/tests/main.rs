//! The command line, as people use it: real containers, real images, real signals.
//!
//! Every test has a data root of its own ([`support::Sandbox`]), and fails when it leaves a mount, a
//! process, a cgroup, an interface or a rule behind. They run as root; what an ordinary user can do
//! is in [`rootless`]. Base images come from `cargo xtask bases --make-only`.

mod archives;
mod article;
mod build;
mod build_cache;
mod build_contexts;
mod build_hostile;
mod build_outputs;
mod build_reports;
mod build_rows;
mod build_secrets;
mod builder;
mod check_pins;
mod checks;
mod context;
mod errors;
mod exec;
mod faults;
mod gc;
mod health;
mod image_content;
mod images;
mod isolation;
mod kill9;
mod layer_forms;
mod lifecycle;
mod limits;
mod logs;
mod manifests;
mod monitor;
mod network;
mod pushes;
mod registry;
mod remote;
mod reproducible;
mod rootless;
mod run;
mod serve;
mod signals;
mod store_check;
mod support;
mod terminal;
mod vm;
mod volumes;
