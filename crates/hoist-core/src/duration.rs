//! Durations in Go's notation (`1m30s`) and in Docker's human words (`About a minute`).

use std::time::Duration;

use crate::error::{Describe, Kind};

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Why a text is not a duration; the words are those of Go's `time.ParseDuration`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No number where one must be, or more than 292 years.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without a unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit that Go does not know.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// What stands where a unit must be.
        unit: String,
    },
    /// Below zero, where only lengths of time make sense.
    #[error("invalid duration {0:?}: it must not be negative")]
    Negative(String),
}

impl Describe for DurationError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec!["write numbers with units h, m, s, ms, us or ns: 1m30s, 500ms, 1h".to_owned()]
    }
}

/// The duration that `text` names in days (`30d`), or in Go's notation.
///
/// # Errors
/// As [`parse`].
pub fn parse_age(text: &str) -> Result<Duration, DurationError> {
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.parse::<u32>().ok());
    match days {
        Some(days) => Ok(Duration::from_hours(u64::from(days) * 24)),
        None => parse(text),
    }
}

/// The duration that `text` names in Go's notation: `1m30s`, `500ms`, `1.5h`, `0`.
///
/// # Errors
/// [`DurationError`] in Go's words, and for negative durations.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (nanoseconds, after) = parse_component(text, rest)?;
        total = total.checked_add(nanoseconds).ok_or_else(invalid)?;
        rest = after;
    }
    if i64::try_from(total).is_err() {
        return Err(invalid());
    }
    if negative && total > 0 {
        return Err(DurationError::Negative(text.to_owned()));
    }
    Ok(Duration::from_nanos(total))
}

/// One number with its unit at the start of `rest`, in nanoseconds, and what follows it.
fn parse_component<'a>(text: &str, rest: &'a str) -> Result<(u64, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, rest) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return Err(invalid());
    }
    let (unit, rest) = rest.split_at(rest.find(is_number).unwrap_or(rest.len()));
    let scale = match unit {
        "" => return Err(DurationError::MissingUnit(text.to_owned())),
        "ns" => 1,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        other => {
            return Err(DurationError::UnknownUnit {
                text: text.to_owned(),
                unit: other.to_owned(),
            });
        }
    };
    let whole: u64 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| invalid())?,
    };
    // Beyond eighteen digits a fraction changes no nanosecond.
    let digits = &fraction[..fraction.len().min(18)];
    let parts: u128 = digits.parse().unwrap_or(0);
    let power = 10_u128.pow(u32::try_from(digits.len()).unwrap_or(0));
    let below_one = u64::try_from(u128::from(scale) * parts / power).map_err(|_| invalid())?;
    let nanoseconds = whole
        .checked_mul(scale)
        .and_then(|nanoseconds| nanoseconds.checked_add(below_one))
        .ok_or_else(invalid)?;
    Ok((nanoseconds, rest))
}

/// `duration` as Go's `Duration.String` writes it: `1m30s`, `500ms`, `1h0m0s`, `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let second = u128::from(SECOND);
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    if nanoseconds < second {
        let (scale, unit) = match nanoseconds {
            n if n < u128::from(MICROSECOND) => (1, "ns"),
            n if n < u128::from(MILLISECOND) => (MICROSECOND, "µs"),
            _ => (MILLISECOND, "ms"),
        };
        return decimal(nanoseconds, u128::from(scale)) + unit;
    }
    let seconds = decimal(nanoseconds % u128::from(MINUTE), second);
    let minutes = nanoseconds / u128::from(MINUTE);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / scale` with as many decimals as it has; `scale` is a power of ten.
fn decimal(value: u128, scale: u128) -> String {
    let (whole, rest) = (value / scale, value % scale);
    if rest == 0 {
        return whole.to_string();
    }
    let width = scale.ilog10() as usize;
    let fraction = format!("{rest:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// `duration` in Docker's words for `Up …` and `… ago` (docker/go-units `HumanDuration`):
/// `Less than a second`, `About a minute`, `5 minutes`, `2 weeks`.
#[must_use]
pub fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let minutes = seconds / 60;
    // Docker rounds to the nearest hour.
    let hours = (minutes + 30) / 60;
    let days = hours / 24;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 14 => format!("{days} days"),
        () if hours < 24 * 60 => format!("{} weeks", days / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", days / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_durations_are_read() {
        let table = [
            ("0", 0),
            ("0s", 0),
            ("-0s", 0),
            ("+5s", 5 * SECOND),
            ("1m30s", 90 * SECOND),
            ("500ms", 500 * MILLISECOND),
            ("1h", HOUR),
            ("1.5h", 90 * MINUTE),
            (".5s", 500 * MILLISECOND),
            ("1.s", SECOND),
            ("1h1h", 2 * HOUR),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("7ns", 7),
            ("0.3333333333333333333333h", 1_199_999_999_999),
            ("1h0m0.000000001s", HOUR + 1),
        ];
        for (text, nanoseconds) in table {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_in_gos_words() {
        let table = [
            ("", r#"time: invalid duration """#),
            ("-", r#"time: invalid duration "-""#),
            (".", r#"time: invalid duration ".""#),
            (".s", r#"time: invalid duration ".s""#),
            ("s", r#"time: invalid duration "s""#),
            ("1..2s", r#"time: invalid duration "1..2s""#),
            ("30", r#"time: missing unit in duration "30""#),
            ("1m30", r#"time: missing unit in duration "1m30""#),
            ("1x", r#"time: unknown unit "x" in duration "1x""#),
            ("1d", r#"time: unknown unit "d" in duration "1d""#),
            ("1 s", r#"time: unknown unit " s" in duration "1 s""#),
            ("9999999h", r#"time: invalid duration "9999999h""#),
            ("-1s", r#"invalid duration "-1s": it must not be negative"#),
        ];
        for (text, message) in table {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.kind(), Kind::Invalid);
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let table = [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (500 * MILLISECOND, "500ms"),
            (SECOND, "1s"),
            (1_500 * MILLISECOND, "1.5s"),
            (90 * SECOND, "1m30s"),
            (MINUTE, "1m0s"),
            (HOUR, "1h0m0s"),
            (HOUR + 5 * MINUTE + 6_007 * MILLISECOND, "1h5m6.007s"),
        ];
        for (nanoseconds, text) in table {
            assert_eq!(format(Duration::from_nanos(nanoseconds)), text);
        }
    }

    #[test]
    fn ages_are_told_in_dockers_words() {
        let day = 24 * 3600;
        let table = [
            (0, "Less than a second"),
            (1, "1 second"),
            (2, "2 seconds"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60 + 59, "59 minutes"),
            (3600, "About an hour"),
            (89 * 60, "About an hour"),
            (90 * 60, "2 hours"),
            (47 * 3600, "47 hours"),
            (2 * day, "2 days"),
            (13 * day, "13 days"),
            (14 * day, "2 weeks"),
            (59 * day, "8 weeks"),
            (60 * day, "2 months"),
            (700 * day, "23 months"),
            (730 * day, "2 years"),
            (3650 * day, "10 years"),
        ];
        for (seconds, words) in table {
            assert_eq!(human(Duration::from_secs(seconds)), words, "{seconds}");
        }
        assert_eq!(human(Duration::from_millis(999)), "Less than a second");
        assert_eq!(human(Duration::MAX), "584942417355 years");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-+]?([0-9.]{0,22}(h|m|s|ms|us|µs|ns|.)?){0,4}") {
            let _ = parse(&text);
        }

        #[test]
        fn written_durations_read_back(nanoseconds in 0..=i64::MAX.unsigned_abs()) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
