//! Sparse files in archives of GNU tar: the old header (`S`) and the pax records of the versions
//! 0.0, 0.1 and 1.0 (GNU tar manual, appendix D.2). Only read, never written.

use std::collections::BTreeMap;

use super::BLOCK;

/// A run of data at an offset of the file; between the runs are holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The most runs that a file may have; also bounds what a hostile archive makes us remember.
pub(super) const RUNS: usize = 1 << 16;

/// Ascending runs that lie within `size`, and whose data are `stored` bytes.
pub(super) fn check(runs: &[Run], size: u64, stored: u64) -> Result<(), &'static str> {
    let mut end = 0;
    let mut sum: u64 = 0;
    for run in runs {
        if run.offset < end {
            return Err("the map of a sparse file is not in order");
        }
        end = run
            .offset
            .checked_add(run.length)
            .filter(|&end| end <= size)
            .ok_or("the map of a sparse file reaches beyond its end")?;
        sum += run.length;
    }
    if sum == stored {
        Ok(())
    } else {
        Err("the map of a sparse file does not match its data")
    }
}

/// The runs in a GNU header or its extension block: pairs of 12-byte numbers up to an empty one.
pub(super) fn runs_in_block(
    pairs: &[u8],
    number: impl Fn(&[u8]) -> Option<u64>,
) -> Option<Vec<Run>> {
    let mut runs = Vec::new();
    for pair in pairs.chunks_exact(24) {
        if pair[0] == 0 || pair[12] == 0 {
            break;
        }
        runs.push(Run {
            offset: number(&pair[..12])?,
            length: number(&pair[12..])?,
        });
    }
    Some(runs)
}

/// The comma-separated map of versions 0.0 (whose records the reader joins) and 0.1.
pub(super) fn runs_in_record(map: &[u8]) -> Option<Vec<Run>> {
    let numbers: Option<Vec<u64>> = std::str::from_utf8(map)
        .ok()?
        .split(',')
        .filter(|text| !text.is_empty())
        .take(2 * RUNS + 1)
        .map(|text| text.parse().ok())
        .collect();
    pairs(&numbers?)
}

/// The map of version 1.0, in front of the data: count and numbers, a line each.
///
/// `next_block` yields the archive's blocks; whole blocks belong to the map.
pub(super) fn runs_before_data<E>(
    mut next_block: impl FnMut() -> Result<[u8; BLOCK], E>,
) -> Result<Option<Vec<Run>>, E> {
    let mut numbers = Vec::new();
    let mut wanted = 1;
    let mut current: u64 = 0;
    while numbers.len() < wanted {
        for byte in next_block()? {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let Some(next) = current.checked_mul(10).and_then(|n| n.checked_add(digit))
                    else {
                        return Ok(None);
                    };
                    current = next;
                }
                b'\n' => {
                    numbers.push(current);
                    if numbers.len() == 1 {
                        match usize::try_from(current) {
                            Ok(count) if count <= RUNS => wanted = 1 + 2 * count,
                            _ => return Ok(None),
                        }
                    }
                    current = 0;
                    if numbers.len() == wanted {
                        break;
                    }
                }
                _ => return Ok(None),
            }
        }
    }
    Ok(pairs(&numbers[1..]))
}

fn pairs(numbers: &[u64]) -> Option<Vec<Run>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    let runs = pairs.iter().map(|&[offset, length]| Run { offset, length });
    (rest.is_empty() && pairs.len() <= RUNS).then(|| runs.collect())
}

/// What pax records say about a sparse file: its name, its size, and where its map is.
pub(super) struct SparseRecords {
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<Vec<u8>>,
    pub(super) map: MapPlace,
}

/// Where the map of a sparse file is.
pub(super) enum MapPlace {
    /// Not a sparse file.
    None,
    /// In this record.
    Record(Vec<u8>),
    /// In front of the data.
    BeforeData,
}

/// Take the records of a sparse file out of `records`.
pub(super) fn take_records(records: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> SparseRecords {
    let mut take = |key: &str| records.remove(format!("GNU.sparse.{key}").as_bytes());
    let version = (take("major"), take("minor"));
    let map = match (version, take("map")) {
        ((Some(major), _), _) if major == b"1" => MapPlace::BeforeData,
        (_, Some(map)) => MapPlace::Record(map),
        _ => MapPlace::None,
    };
    let size = take("realsize").or_else(|| take("size"));
    SparseRecords {
        name: take("name"),
        size,
        map,
    }
}
