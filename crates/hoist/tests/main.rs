//! The command line, as people use it: real containers, real images, real signals.
//!
//! Every test has a data root of its own ([`support::Sandbox`]), and fails when it leaves a mount, a
//! process, a cgroup, an interface or a rule behind. They run as root; what an ordinary user can do
//! is in [`rootless`]. Base images come from `cargo xtask bases --make-only`.

mod article;
mod build;
mod build_contexts;
mod build_outputs;
mod build_reports;
mod build_secrets;
mod builder;
mod checks;
mod errors;
mod exec;
mod health;
mod images;
mod isolation;
mod kill9;
mod layer_forms;
mod lifecycle;
mod limits;
mod logs;
mod monitor;
mod network;
mod registry;
mod rootless;
mod run;
mod signals;
mod support;
mod terminal;
mod vm;
mod volumes;
