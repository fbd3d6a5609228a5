//! Which files of a tree a walk lists: the patterns of `.dockerignore`, `--exclude`, `--parents`.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use hoist_dockerfile::ignore::{Ignore, Verdict};

/// Patterns that leave files out of a walk.
#[derive(Debug, Default)]
pub(crate) struct Filter<'a> {
    /// Matched against paths below the root.
    below_root: Option<&'a Ignore>,
    /// Each matched against paths below the start of the walk.
    below_start: Vec<Ignore>,
}

/// What the patterns said about a directory, for those below it.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    below_root: Verdict,
    below_start: Vec<Verdict>,
}

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It is part of the list.
    Keep,
    /// Neither it nor anything below it is.
    Skip,
    /// A directory that is part of the list when something below it is.
    Descend,
}

impl<'a> Filter<'a> {
    /// Leave out what `.dockerignore` leaves out.
    pub(crate) fn ignoring(ignore: Option<&'a Ignore>) -> Self {
        Self {
            below_root: ignore.filter(|ignore| !ignore.is_empty()),
            below_start: Vec::new(),
        }
    }

    /// Also leave out what matches `patterns`; the error says what is wrong with one.
    pub(crate) fn excluding(mut self, patterns: &[String]) -> Result<Self, String> {
        let patterns = patterns.iter().map(String::as_str);
        self.below_start.push(Ignore::from_patterns(patterns)?);
        Ok(self)
    }

    /// Keep only what matches `pattern` and what lies below that.
    pub(crate) fn only(mut self, pattern: &str) -> Result<Self, String> {
        let back = format!("!{pattern}");
        self.below_start.push(Ignore::from_patterns(["**", &back])?);
        Ok(self)
    }

    /// What a walk that starts at `start` begins with, and whether `start` itself is wanted.
    pub(crate) fn begin(&self, start: &Path) -> (Choice, State) {
        let mut state = State {
            below_root: Verdict::default(),
            below_start: vec![Verdict::default(); self.below_start.len()],
        };
        let Some(ignore) = self.below_root else {
            return (Choice::Keep, state);
        };
        let mut path = PathBuf::new();
        for name in start {
            path.push(name);
            state.below_root = ignore.enter(path.as_os_str().as_bytes(), &state.below_root);
        }
        (choice(ignore, &state.below_root, start, true), state)
    }

    /// What is to be done with a file, given what was said of its directory.
    pub(crate) fn ask(
        &self,
        below_root: &Path,
        below_start: &Path,
        is_directory: bool,
        parent: &State,
    ) -> (Choice, State) {
        let mut state = State::default();
        let mut worst = Choice::Keep;
        let mut note = |found: Choice| {
            worst = match (worst, found) {
                (Choice::Skip, _) | (_, Choice::Skip) => Choice::Skip,
                (Choice::Descend, _) | (_, Choice::Descend) => Choice::Descend,
                (Choice::Keep, Choice::Keep) => Choice::Keep,
            };
        };
        if let Some(ignore) = self.below_root {
            state.below_root = ignore.enter(below_root.as_os_str().as_bytes(), &parent.below_root);
            note(choice(ignore, &state.below_root, below_root, is_directory));
        }
        for (ignore, parent) in self.below_start.iter().zip(&parent.below_start) {
            let verdict = ignore.enter(below_start.as_os_str().as_bytes(), parent);
            note(choice(ignore, &verdict, below_start, is_directory));
            state.below_start.push(verdict);
        }
        (worst, state)
    }
}

fn choice(ignore: &Ignore, verdict: &Verdict, path: &Path, is_directory: bool) -> Choice {
    if !verdict.ignored {
        Choice::Keep
    } else if is_directory && ignore.may_contain_exception(path.as_os_str().as_bytes()) {
        Choice::Descend
    } else {
        Choice::Skip
    }
}
