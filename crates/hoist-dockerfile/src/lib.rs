//! Dockerfiles and `.dockerignore` files: text in, trees with places and diagnostics out.
//!
//! The language is Dockerfile frontend 1.20 as BuildKit reads it. [`parse`] gives a [`Dockerfile`]
//! or all its [`Diagnostic`]s; [`render`] shows one of them with an excerpt. [`expand`] replaces
//! variables, [`stages`] finds what a target needs, [`ignore`] decides which files belong to a
//! build context, [`glob`] matches the patterns of COPY, [`lint`] says what is better written
//! otherwise, [`outline`] what can be built and given.
//!
//! This crate reads no file, knows no build and no image, and prints nothing: the builder uses it,
//! and an editor could. No input makes it panic, and its time grows with the length of the input.
#![forbid(unsafe_code)]

pub mod diagnostic;
mod dockerfile;
mod error;
pub mod expand;
pub mod glob;
pub mod ignore;
pub mod instruction;
pub mod lint;
pub mod outline;
mod render;
pub mod source;
pub mod stages;
pub mod suggest;
mod syntax;

pub use diagnostic::{Diagnostic, Severity};
pub use dockerfile::{Dockerfile, Stage, is_own_frontend, parse, parse_bytes};
pub use error::DockerfileError;
pub use instruction::{CommandForm, Instruction, InstructionKind};
pub use render::render;
pub use source::{Position, Source, Span, Spanned};
pub use syntax::directive::Directives;
pub use syntax::heredoc::Heredoc;
