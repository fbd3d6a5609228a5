//! Points in time, as Docker writes and reads them.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    duration,
    error::{Describe, Kind},
};

const NANOSECONDS: i128 = 1_000_000_000;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z.
///
/// Written as RFC 3339 in UTC with as many digits of a second as it needs
/// (`2026-01-02T03:04:05.123456789Z`), as Docker's documents do. [`Timestamp::ZERO`] is Go's zero
/// time, which means “never” in those documents. Years 1 to 9999 can be expressed; arithmetic
/// stays within them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i128);

/// Why a text is not a [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid time {text:?}: {reason}")]
pub struct TimeError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Describe for TimeError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec![
            "write 2026-01-02T15:04:05Z, 2026-01-02, seconds since 1970, or how long ago: 10m"
                .to_owned(),
        ]
    }
}

impl Timestamp {
    /// `0001-01-01T00:00:00Z`: never.
    pub const ZERO: Self = Self(-62_135_596_800 * NANOSECONDS);
    /// `1970-01-01T00:00:00Z`.
    pub const EPOCH: Self = Self(0);
    /// `9999-12-30T22:00:00.999999999Z`, the latest that RFC 3339 can write in every zone.
    pub const MAX: Self = Self(253_402_207_200 * NANOSECONDS + 999_999_999);

    /// The time so many nanoseconds after (or before) 1970, at most [`Timestamp::MAX`] and at
    /// least [`Timestamp::ZERO`].
    #[must_use]
    pub fn from_nanoseconds(nanoseconds: i128) -> Self {
        Self(nanoseconds.clamp(Self::ZERO.0, Self::MAX.0))
    }

    /// The time so many seconds after (or before) 1970.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self::from_nanoseconds(i128::from(seconds) * NANOSECONDS)
    }

    /// Nanoseconds since 1970; negative before.
    #[must_use]
    pub const fn nanoseconds(self) -> i128 {
        self.0
    }

    /// Whole seconds since 1970, rounded down; negative before.
    #[must_use]
    pub fn seconds(self) -> i64 {
        i64::try_from(self.0.div_euclid(NANOSECONDS)).unwrap_or(i64::MAX)
    }

    /// Whether this is Go's zero time, which means “never”.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let nanoseconds = u128::try_from(self.0 - earlier.0).unwrap_or(0);
        let nanos = u32::try_from(nanoseconds % 1_000_000_000).unwrap_or(0);
        let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, nanos)
    }

    /// This time and `duration` more, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let more = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        Self::from_nanoseconds(self.0.saturating_add(more))
    }

    /// `duration` before this time, at least [`Timestamp::ZERO`].
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let less = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        Self::from_nanoseconds(self.0.saturating_sub(less))
    }

    /// RFC 3339 in UTC with nine digits of a second always: the form of `docker logs -t`, whose
    /// lines then start with columns of one width.
    #[must_use]
    pub fn to_fixed(self) -> String {
        format!("{:.9}", self.to_jiff())
    }

    fn to_jiff(self) -> jiff::Timestamp {
        // `from_nanoseconds` keeps every value within jiff's range.
        jiff::Timestamp::from_nanosecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, the digits of a second without trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_jiff())
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    /// RFC 3339 with any offset.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let stamp: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| TimeError {
            text: text.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Self::from_nanoseconds(stamp.as_nanosecond()))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimeError;

    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::EPOCH.after(after),
            Err(error) => Self::EPOCH.before(error.duration()),
        }
    }
}

/// The time that `--since`, `--until` or a filter names (Docker's `GetTimestamp`).
///
/// Forms: a Go duration, counted back from `now` (`10m`); RFC 3339; date and time without a zone
/// or with parts missing (`2026-01-02`, `2026-01-02T15:04`), in the zone that is
/// `local_offset_seconds` east of Greenwich; seconds since 1970 with a fraction
/// (`1136073600.000000001`).
///
/// # Errors
/// [`TimeError`] when `text` has none of these forms.
pub fn parse_since(
    text: &str,
    now: Timestamp,
    local_offset_seconds: i32,
) -> Result<Timestamp, TimeError> {
    if let Some(seconds) = parse_seconds(text) {
        return Ok(seconds);
    }
    if let Ok(ago) = duration::parse(text) {
        return Ok(now.before(ago));
    }
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    parse_civil(text, local_offset_seconds).ok_or_else(|| TimeError {
        text: text.to_owned(),
        reason: "it is neither a time nor a duration".to_owned(),
    })
}

/// Seconds since 1970, `1136073600` or `1136073600.000000001`.
fn parse_seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanoseconds: i128 = format!("{fraction:0<9}").parse().ok()?;
    Some(Timestamp::from_nanoseconds(
        i128::from(seconds) * NANOSECONDS + nanoseconds,
    ))
}

/// `2026-01-02`, `2026-01-02T15`, `2026-01-02T15:04`, `2026-01-02T15:04:05.5`, each also with `Z`
/// or an offset (`+01:00`) in place of the local zone.
fn parse_civil(text: &str, local_offset_seconds: i32) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let (time, zone) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let time = match time.strip_prefix(['T', 't', ' ']) {
        None if time.is_empty() => "00:00:00".to_owned(),
        Some(hours) if hours.len() == 2 => format!("{hours}:00:00"),
        Some(minutes) if minutes.len() == 5 => format!("{minutes}:00"),
        Some(whole) => whole.to_owned(),
        None => return None,
    };
    if zone.is_empty() {
        let time: Timestamp = format!("{date}T{time}Z").parse().ok()?;
        let offset = i128::from(local_offset_seconds) * NANOSECONDS;
        return Some(Timestamp::from_nanoseconds(time.0 - offset));
    }
    format!("{date}T{time}{zone}").parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "2026-01-02T03:04:05.123456789Z";

    #[test]
    fn times_are_written_as_docker_writes_them() {
        let table = [
            (Timestamp::ZERO.0, "0001-01-01T00:00:00Z"),
            (0, "1970-01-01T00:00:00Z"),
            (1_767_323_045_123_456_789, NOW),
            (1_767_323_045_120_000_000, "2026-01-02T03:04:05.12Z"),
            (1_767_323_045_000_000_000, "2026-01-02T03:04:05Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (Timestamp::MAX.0, "9999-12-30T22:00:00.999999999Z"),
        ];
        for (nanoseconds, text) in table {
            let time = Timestamp::from_nanoseconds(nanoseconds);
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time));
            let json = format!("\"{text}\"");
            assert_eq!(serde_json::to_string(&time).unwrap(), json);
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
        }
        assert_eq!(
            Timestamp::from_seconds(1).to_fixed(),
            "1970-01-01T00:00:01.000000000Z"
        );
        assert!(Timestamp::default().is_zero());
    }

    #[test]
    fn offsets_are_understood_and_other_texts_refused() {
        let time: Timestamp = "2026-01-02T04:04:05.123456789+01:00".parse().unwrap();
        assert_eq!(time.to_string(), NOW);
        for text in [
            "",
            "now",
            "2026-01-02",
            "2026-13-02T00:00:00Z",
            "2026-01-02T03:04:05",
        ] {
            let error = text.parse::<Timestamp>().unwrap_err();
            assert_eq!(error.text, text);
            assert_eq!(error.kind(), Kind::Invalid);
        }
    }

    #[test]
    fn arithmetic_stays_in_range() {
        let now: Timestamp = NOW.parse().unwrap();
        let later = now.after(Duration::from_millis(1500));
        assert_eq!(later.since(now), Duration::from_millis(1500));
        assert_eq!(now.since(later), Duration::ZERO);
        assert_eq!(later.before(Duration::from_millis(1500)), now);
        assert_eq!(now.before(Duration::MAX), Timestamp::ZERO);
        assert_eq!(now.after(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::from_nanoseconds(-1).seconds(), -1);
        assert_eq!(Timestamp::from(UNIX_EPOCH), Timestamp::EPOCH);
        assert_eq!(
            Timestamp::from(UNIX_EPOCH - Duration::from_secs(2)).seconds(),
            -2
        );
    }

    #[test]
    fn since_takes_every_form_of_docker() {
        let table = [
            ("10m", "2026-01-02T02:54:05.123456789Z"),
            ("1h30m", "2026-01-02T01:34:05.123456789Z"),
            ("0s", NOW),
            ("0", "1970-01-01T00:00:00Z"),
            ("2025-12-31T23:00:00Z", "2025-12-31T23:00:00Z"),
            ("2025-12-31T23:00:00.5+02:00", "2025-12-31T21:00:00.5Z"),
            ("2025-12-31", "2025-12-30T23:00:00Z"),
            ("2025-12-31T12", "2025-12-31T11:00:00Z"),
            ("2025-12-31T12:30", "2025-12-31T11:30:00Z"),
            ("2025-12-31T12:30:15", "2025-12-31T11:30:15Z"),
            ("2025-12-31T12:30:15.25", "2025-12-31T11:30:15.25Z"),
            ("2025-12-31T12:30Z", "2025-12-31T12:30:00Z"),
            ("2025-12-31Z", "2025-12-31T00:00:00Z"),
            ("2025-12-31T12:30-05:00", "2025-12-31T17:30:00Z"),
            ("1136073600", "2006-01-01T00:00:00Z"),
            ("1136073600.000000001", "2006-01-01T00:00:00.000000001Z"),
            ("1136073600.5", "2006-01-01T00:00:00.5Z"),
        ];
        let now = NOW.parse().unwrap();
        for (text, expected) in table {
            let time = parse_since(text, now, 3600).unwrap();
            assert_eq!(time.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn since_refuses_the_rest() {
        let now = NOW.parse().unwrap();
        for text in [
            "",
            "yesterday",
            "2025-12-3",
            "2025-12-31x",
            "1136073600.0000000001",
            "1.2.3",
            "2025-02-30",
            "-5",
        ] {
            let error = parse_since(text, now, 0).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("invalid time {text:?}: it is neither a time nor a duration")
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,32}", offset in -86_400..86_400) {
            let _ = parse_since(&text, Timestamp::EPOCH, offset);
            let _ = parse_civil(&text, offset);
        }

        #[test]
        fn written_times_read_back(nanoseconds in Timestamp::ZERO.0..=Timestamp::MAX.0) {
            let time = Timestamp::from_nanoseconds(nanoseconds);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
            prop_assert_eq!(time.to_fixed().parse(), Ok(time));
        }
    }
}
