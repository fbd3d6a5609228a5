//! Trying again: how often, and how long to wait before.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    error::{RegistryError, Result},
    event::RegistryEvent,
    options::Options,
};

/// Between two looks at the caller's flag while waiting.
const LOOK: Duration = Duration::from_millis(50);

/// The attempts at one thing.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    options: &'a Options,
    made: u32,
}

impl<'a> Attempts<'a> {
    pub(crate) const fn new(options: &'a Options) -> Self {
        Self { options, made: 1 }
    }

    /// Go on from `made` attempts without progress.
    pub(crate) const fn after(options: &'a Options, made: u32) -> Self {
        Self { options, made }
    }

    /// Attempts without progress.
    pub(crate) const fn made(&self) -> u32 {
        self.made
    }

    /// There was progress: the next failure is a first one.
    pub(crate) const fn progressed(&mut self) {
        self.made = 1;
    }

    /// Wait for the next attempt, or give the failure back: when it is final, when there were
    /// attempts enough, when the server asks for more patience than is allowed.
    pub(crate) fn again(&mut self, error: RegistryError) -> Result<()> {
        if error.is_transient() {
            self.insist(error)
        } else {
            Err(error)
        }
    }

    /// As [`again`](Self::again), after a failure that passes although it looks final.
    pub(crate) fn insist(&mut self, error: RegistryError) -> Result<()> {
        let retries = self.options.retries;
        if self.made >= retries.attempts {
            return Err(error);
        }
        let wait = match error.retry_after() {
            Some(asked) if asked > retries.longest_wait => return Err(error),
            Some(asked) => asked,
            None => backoff(retries.first_wait, retries.longest_wait, self.made),
        };
        self.made += 1;
        if let Some(events) = &self.options.events {
            let text = hoist_core::error::chain(&error);
            let (action, reason) = text.split_once(": ").unwrap_or(("", &text));
            events(&RegistryEvent::Retrying {
                action: action.to_owned(),
                reason: reason.to_owned(),
                attempt: self.made,
                after: wait,
            });
        }
        self.sleep(wait)
    }

    fn sleep(&self, wait: Duration) -> Result<()> {
        let end = Instant::now() + wait;
        loop {
            if self.options.cancelled.load(Ordering::Relaxed) {
                return Err(RegistryError::Cancelled);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

/// Run until it succeeds, fails for good, or was tried often enough.
pub(crate) fn retrying<T>(options: &Options, mut run: impl FnMut() -> Result<T>) -> Result<T> {
    let mut attempts = Attempts::new(options);
    loop {
        match run() {
            Ok(value) => return Ok(value),
            Err(error) => attempts.again(error)?,
        }
    }
}

/// Doubling, between half of it and all of it, so that clients that failed together do not come
/// back together.
fn backoff(first: Duration, longest: Duration, made: u32) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(made - 1).unwrap_or(u32::MAX));
    let wait = doubled.min(longest);
    let random = RandomState::new().build_hasher().finish() % 1024;
    let share = u32::try_from(random).unwrap_or_default();
    wait / 2 + wait / 2 * share / 1024
}

/// The value of `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
pub(crate) fn parse_retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    let left = date.timestamp().duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(left).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        for (made, full) in [
            (1, 100),
            (2, 200),
            (3, 400),
            (4, 800),
            (5, 1000),
            (60, 1000),
        ] {
            let full = Duration::from_millis(full);
            let wait = backoff(first, longest, made);
            assert!(wait >= full / 2 && wait <= full, "{made}: {wait:?}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse_retry_after(" 7 "), Some(Duration::from_secs(7)));
        let past = parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(past, Some(Duration::ZERO));
        assert!(
            parse_retry_after("Wed, 06 Nov 2999 08:49:37 GMT").unwrap()
                > Duration::from_secs(1 << 30)
        );
        assert_eq!(parse_retry_after("soon"), None);
        assert_eq!(parse_retry_after("-1"), None);
    }
}
