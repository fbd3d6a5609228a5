//! The lexical layer: directives, continued lines, words, flags, JSON arrays, heredocs.
//!
//! Nothing here knows what an instruction means.

pub(crate) mod directive;
pub(crate) mod flags;
pub(crate) mod heredoc;
pub(crate) mod json;
pub(crate) mod line;
pub(crate) mod words;
