//! Reproducible builds: the same Dockerfile, context and bases give the same image.
//!
//! Everything that a build takes from the clock is bounded by one time, the epoch ([`epoch`]): the
//! times of the image and of its history always, those of files when the build is asked to rewrite
//! them. With [`Timestamps::Reproducible`] a RUN step is told the epoch, and what package managers
//! leave behind from the clock or from chance is undone by [`rules`], each of which says so. The
//! layer is settled ([`layer`]) before its digest is taken.
//!
//! Nothing here looks at how a layer came to be cached: epoch and mode are parts of the key of
//! every step ([`Times::enter`]).

mod bytecode;
pub(crate) mod epoch;
mod git;
pub(crate) mod layer;
mod rules;
mod siphash;

use hoist_core::time::Timestamp;

use crate::{key::Parts, request::Timestamps};

pub(crate) use layer::Reach;

/// The variable, and the build argument, that carries the epoch
/// (`reproducible-builds.org/specs/source-date-epoch`).
pub(crate) const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Python orders sets and dictionaries of bytes and text by a seed, which compiled modules show.
const PYTHONHASHSEED: &str = "PYTHONHASHSEED";

/// Raised when the rules do something else than before: layers that an older version settled are
/// not found again.
const GENERATION: u32 = 1;

/// What becomes of the times in what a build makes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    timestamps: Timestamps,
    /// Seconds since 1970.
    epoch: Option<i64>,
}

impl Times {
    /// Times of a build whose epoch, if it has one, is `epoch` seconds after 1970.
    pub(crate) fn new(timestamps: Timestamps, epoch: Option<i64>) -> Self {
        Self { timestamps, epoch }
    }

    /// The epoch, in seconds since 1970.
    pub(crate) fn epoch(self) -> Option<i64> {
        self.epoch
    }

    /// What the configuration and the new lines of the history have for the time of the build.
    pub(crate) fn created(self) -> Option<Timestamp> {
        self.epoch.map(Timestamp::from_seconds)
    }

    /// The latest time, in seconds, that files of new layers may have.
    pub(crate) fn limit(self) -> Option<i64> {
        match self.timestamps {
            Timestamps::Kept => None,
            Timestamps::Rewritten | Timestamps::Reproducible => self.epoch,
        }
    }

    fn is_reproducible(self) -> bool {
        self.timestamps == Timestamps::Reproducible && self.epoch.is_some()
    }

    /// Add to the key of a step what the times do to its layer.
    pub(crate) fn enter(self, parts: &mut Parts) {
        let Some(limit) = self.limit() else { return };
        let how = match self.is_reproducible() {
            true => format!(" (reproducible, rules {GENERATION})"),
            false => String::new(),
        };
        parts.push("epoch", format!("{limit}{how}"));
    }

    /// What RUN steps see beside their own variables, unless these have the name already.
    pub(crate) fn variables(self) -> Vec<(&'static str, String)> {
        match self.epoch {
            Some(epoch) if self.is_reproducible() => vec![
                (SOURCE_DATE_EPOCH, epoch.to_string()),
                (PYTHONHASHSEED, "0".to_owned()),
            ],
            _ => Vec::new(),
        }
    }

    /// Which times of a layer that was copied out of a context change. Two checkouts of the same
    /// files have them at different times, so that in a reproducible build none of them counts.
    pub(crate) fn reach_of_context(self) -> Reach {
        match self.is_reproducible() {
            true => Reach::All,
            false => Reach::Later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(timestamps: Timestamps, epoch: Option<i64>) -> hoist_core::Digest {
        let mut parts = Parts::new();
        Times::new(timestamps, epoch).enter(&mut parts);
        parts.key()
    }

    #[test]
    fn a_key_tells_modes_and_epochs_apart_where_layers_differ() {
        use Timestamps::{Kept, Reproducible, Rewritten};
        let plain = key(Kept, None);
        assert_eq!(key(Kept, Some(1)), plain);
        assert_eq!(key(Rewritten, None), plain);
        let others = [
            key(Rewritten, Some(1)),
            key(Rewritten, Some(2)),
            key(Reproducible, Some(1)),
            key(Reproducible, Some(2)),
        ];
        for (number, one) in others.iter().enumerate() {
            assert_ne!(*one, plain);
            assert!(!others[..number].contains(one));
        }
    }

    #[test]
    fn steps_see_the_epoch_when_the_build_is_reproducible() {
        let names = |timestamps| Times::new(timestamps, Some(7)).variables();
        assert_eq!(
            names(Timestamps::Reproducible),
            [
                ("SOURCE_DATE_EPOCH", "7".to_owned()),
                ("PYTHONHASHSEED", "0".to_owned())
            ]
        );
        assert!(names(Timestamps::Rewritten).is_empty());
    }
}
