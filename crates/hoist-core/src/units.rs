//! Sizes and processor shares as Docker reads and writes them.
//!
//! Reading follows docker/go-units (`RAMInBytes`: every prefix counts in 1024s, the letter case
//! and a trailing `iB` or `b` do not matter). Writing follows `docker images` (powers of 1000,
//! three digits) and `docker stats` (powers of 1024, four digits).

use crate::error::{Describe, Kind};

/// The prefixes of sizes, smallest first; each is 1024 (read) or 1000 (written) of the one before.
const PREFIXES: [char; 6] = ['k', 'm', 'g', 't', 'p', 'e'];
const DECIMAL: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Billionths of a processor in one processor.
pub const NANO_CPUS: u64 = 1_000_000_000;

/// Why a text is not a size or a number of processors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number at all.
    #[error("invalid size: '{0}'")]
    Size(String),
    /// A number, but what follows it is no unit.
    #[error("invalid suffix: '{0}'")]
    Suffix(String),
    /// More bytes than 63 bits count.
    #[error("invalid size: '{0}' is more than 8 EiB")]
    TooLarge(String),
    /// Not a decimal number of processors.
    #[error("failed to parse {0} as a rational number")]
    Cpus(String),
    /// More than nine digits after the point.
    #[error("value is too precise: {0}")]
    Precise(String),
}

impl Describe for UnitError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Size(_) | Self::Suffix(_) | Self::TooLarge(_) => {
                vec![
                    "write a number and a unit: 512m, 1.5g, 64kb, 1GiB; without a unit it is bytes"
                        .to_owned(),
                ]
            }
            Self::Cpus(_) | Self::Precise(_) => {
                vec!["write processors as a decimal number: 0.5, 1, 1.5".to_owned()]
            }
        }
    }
}

/// The number of bytes that `text` names: `512m`, `1.5g`, `1GiB`, `64kb`, `100`.
///
/// A fraction of a byte is dropped. Units count in 1024s, in upper or lower case.
///
/// # Errors
/// [`UnitError`] in Docker's words when `text` is no size.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let invalid = || UnitError::Size(text.to_owned());
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return Err(invalid());
    }
    let suffix = rest.strip_prefix(' ').unwrap_or(rest);
    let multiplier =
        multiplier(suffix).ok_or_else(|| UnitError::Suffix(suffix.to_ascii_lowercase()))?;

    let too_large = || UnitError::TooLarge(text.to_owned());
    let whole = match whole {
        "" => 0,
        digits => digits.parse::<u64>().map_err(|_| too_large())?,
    };
    let bytes = whole
        .checked_mul(multiplier)
        .and_then(|bytes| bytes.checked_add(fraction_of(multiplier, fraction)))
        .ok_or_else(too_large)?;
    if i64::try_from(bytes).is_err() {
        return Err(too_large());
    }
    Ok(bytes)
}

/// `multiplier * 0.fraction`, rounded down. Digits beyond the eighteenth change no byte.
fn fraction_of(multiplier: u64, fraction: &str) -> u64 {
    let digits = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(digits.len()).unwrap_or(0));
    let parts: u128 = digits.parse().unwrap_or(0);
    u64::try_from(u128::from(multiplier) * parts / scale).unwrap_or(0)
}

/// 1024 to the power that `suffix` (`""`, `b`, `k`, `kb`, `kib`, …) names.
fn multiplier(suffix: &str) -> Option<u64> {
    let lower = suffix.to_ascii_lowercase();
    if lower.is_empty() || lower == "b" {
        return Some(1);
    }
    let mut letters = lower.chars();
    let prefix = letters.next()?;
    let power = PREFIXES.iter().position(|&known| known == prefix)? + 1;
    matches!(letters.as_str(), "" | "b" | "ib")
        .then(|| 1024_u64.pow(u32::try_from(power).unwrap_or(0)))
}

/// `bytes` in powers of 1000 with three significant digits, as `docker images` shows them:
/// `219MB`, `1.24GB`, `0B`.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    human(bytes, 1000.0, &DECIMAL, 3)
}

/// `bytes` in powers of 1000 with four significant digits, as `docker system df` shows them:
/// `1.236GB`.
#[must_use]
pub fn human_size_precise(bytes: u64) -> String {
    human(bytes, 1000.0, &DECIMAL, 4)
}

/// `bytes` in powers of 1024 with four significant digits, as `docker stats` shows them:
/// `512MiB`, `1.953GiB`.
#[must_use]
pub fn human_bytes_binary(bytes: u64) -> String {
    human(bytes, 1024.0, &BINARY, 4)
}

fn human(bytes: u64, base: f64, units: &[&str], digits: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "at most four digits are shown")]
    let mut size = bytes as f64;
    let mut unit = 0;
    while unit + 1 < units.len() {
        // What rounds up to the base belongs to the next unit: 1MB, where Go writes 1e+03kB.
        let shown: f64 = significant(size, digits).parse().unwrap_or(size);
        if shown < base {
            break;
        }
        size /= base;
        unit += 1;
    }
    format!("{}{}", significant(size, digits), units[unit])
}

/// `size` with `digits` significant digits and without trailing zeros: C's `%.{digits}g`, never in
/// exponent form.
fn significant(size: f64, digits: usize) -> String {
    // The exponent form rounds first, so that 9.996 to three digits has two before the point.
    let scientific = format!("{size:.*e}", digits - 1);
    let exponent: usize = match scientific.split_once('e') {
        Some((_, exponent)) => exponent.parse().unwrap_or(0),
        None => 0,
    };
    let decimals = (digits - 1).saturating_sub(exponent);
    let rounded: f64 = scientific.parse().unwrap_or(size);
    let mut text = format!("{rounded:.decimals$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    text
}

/// Billionths of a processor from `--cpus`: `1.5` is 1 500 000 000.
///
/// # Errors
/// [`UnitError::Cpus`] when `text` is no decimal number, [`UnitError::Precise`] when it has more
/// than nine digits after the point.
pub fn parse_cpus(text: &str) -> Result<u64, UnitError> {
    let invalid = || UnitError::Cpus(text.to_owned());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return Err(invalid());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err(UnitError::Precise(text.to_owned()));
    }
    let whole: u64 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| invalid())?,
    };
    let nanos: u64 = format!("{fraction:0<9}").parse().map_err(|_| invalid())?;
    whole
        .checked_mul(NANO_CPUS)
        .and_then(|cpus| cpus.checked_add(nanos))
        .filter(|&cpus| i64::try_from(cpus).is_ok())
        .ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        let table = [
            ("0", 0),
            ("100", 100),
            ("1b", 1),
            ("64kb", 65_536),
            ("64K", 65_536),
            ("512m", 536_870_912),
            ("1.5g", 1_610_612_736),
            (".5g", 536_870_912),
            ("5.k", 5120),
            ("1GiB", 1_073_741_824),
            ("1 g", 1_073_741_824),
            ("1 ", 1),
            ("1kib", 1024),
            ("1.5", 1),
            ("0.1k", 102),
            ("2t", 2_199_023_255_552),
            ("1p", 1_125_899_906_842_624),
            ("7.999e", 9_222_219_115_350_168_961),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_in_dockers_words() {
        let table = [
            ("abc", "invalid size: 'abc'"),
            ("", "invalid size: ''"),
            ("-1", "invalid size: '-1'"),
            ("1..5g", "invalid size: '1..5g'"),
            ("1.2.3", "invalid size: '1.2.3'"),
            (".", "invalid size: '.'"),
            ("m", "invalid size: 'm'"),
            ("1ib", "invalid suffix: 'ib'"),
            ("1x", "invalid suffix: 'x'"),
            ("1  g", "invalid suffix: ' g'"),
            ("1é", "invalid suffix: 'é'"),
            ("0x10", "invalid suffix: 'x10'"),
            ("8e", "invalid size: '8e' is more than 8 EiB"),
            (
                "99999999999999999999",
                "invalid size: '99999999999999999999' is more than 8 EiB",
            ),
        ];
        for (text, message) in table {
            let error = parse_bytes(text).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(!error.hints().is_empty());
        }
    }

    #[test]
    fn sizes_are_written_as_docker_images_writes_them() {
        let table = [
            (0, "0B", "0B", "0B"),
            (7, "7B", "7B", "7B"),
            (999, "999B", "999B", "999B"),
            (1000, "1kB", "1kB", "1000B"),
            (1024, "1.02kB", "1.024kB", "1KiB"),
            (1500, "1.5kB", "1.5kB", "1.465KiB"),
            (9_999, "10kB", "9.999kB", "9.765KiB"),
            (219_000_000, "219MB", "219MB", "208.9MiB"),
            (536_870_912, "537MB", "536.9MB", "512MiB"),
            (999_499, "999kB", "999.5kB", "976.1KiB"),
            (999_999, "1MB", "1MB", "976.6KiB"),
            (1_236_000_000, "1.24GB", "1.236GB", "1.151GiB"),
            (10_050_000, "10.1MB", "10.05MB", "9.584MiB"),
            (u64::MAX, "18.4EB", "18.45EB", "16EiB"),
        ];
        for (bytes, images, df, stats) in table {
            assert_eq!(human_size(bytes), images, "{bytes}");
            assert_eq!(human_size_precise(bytes), df, "{bytes}");
            assert_eq!(human_bytes_binary(bytes), stats, "{bytes}");
        }
    }

    #[test]
    fn processors_are_read_to_the_billionth() {
        let table = [
            ("0", Ok(0)),
            ("1", Ok(1_000_000_000)),
            ("1.5", Ok(1_500_000_000)),
            (".5", Ok(500_000_000)),
            ("0.000000001", Ok(1)),
            ("1.5000000000000", Ok(1_500_000_000)),
            (
                "0.1234567891",
                Err("value is too precise: 0.1234567891".to_owned()),
            ),
            (
                "abc",
                Err("failed to parse abc as a rational number".to_owned()),
            ),
            ("", Err("failed to parse  as a rational number".to_owned())),
            (
                "-1",
                Err("failed to parse -1 as a rational number".to_owned()),
            ),
            (
                "1.2.3",
                Err("failed to parse 1.2.3 as a rational number".to_owned()),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(
                parse_cpus(text).map_err(|error| error.to_string()),
                expected,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,24}") {
            let _ = parse_bytes(&text);
            let _ = parse_cpus(&text);
        }

        #[test]
        fn whole_bytes_read_back(bytes in 0..=i64::MAX.unsigned_abs()) {
            prop_assert_eq!(parse_bytes(&bytes.to_string()), Ok(bytes));
        }

        #[test]
        fn written_sizes_are_short_and_close(bytes in 0_u64..=i64::MAX.unsigned_abs() / 2) {
            let text = human_bytes_binary(bytes);
            prop_assert!(text.len() <= 8, "{}", text);
            let back = parse_bytes(&text).unwrap();
            prop_assert!(back.abs_diff(bytes) <= bytes / 1000, "{} {}", text, back);
        }
    }
}
