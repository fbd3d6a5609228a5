//! Bytes to members.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Cursor, Read},
};

use flate2::bufread::MultiGzDecoder;

use super::{
    BLOCK, Member, MemberKind, XATTR_RECORD,
    bomb::{Bounded, Counted},
    sparse::{self, MapPlace, Run},
};
use crate::error::{Result, StoreError};

/// The most that names, records and attributes of one entry may take (as Go's `archive/tar`).
const METADATA: u64 = 1 << 20;

/// `input` itself, or inflated when it begins like gzip or Zstandard; and whether it is itself. What
/// inflates out of proportion fails ([`bomb`](super::bomb)).
///
/// # Errors
/// [`StoreError::Archive`] for the other compressions, by name; [`StoreError::Input`].
pub(crate) fn decompressed_layer<'a>(
    mut input: impl Read + 'a,
) -> Result<(Box<dyn BufRead + 'a>, bool)> {
    let mut start = Vec::with_capacity(6);
    input
        .by_ref()
        .take(6)
        .read_to_end(&mut start)
        .map_err(|source| StoreError::Input { offset: 0, source })?;
    let refused = |reason: &str| StoreError::Archive {
        offset: 0,
        reason: reason.to_owned(),
    };
    let compression = match start.as_slice() {
        [] => return Err(refused("it is empty")),
        [0x1f, 0x8b, ..] => Compression::Gzip,
        // The second form is a frame without content, which some encoders begin with.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', ..] => return Err(refused("it is compressed by xz")),
        [b'B', b'Z', b'h', ..] => return Err(refused("it is compressed by bzip2")),
        _ => Compression::None,
    };
    let counted = Counted::new(Cursor::new(start).chain(input));
    let count = counted.count();
    let whole = BufReader::with_capacity(128 * 1024, counted);
    let buffered = 128 * 1024;
    Ok(match compression {
        Compression::None => (Box::new(whole), true),
        Compression::Gzip => {
            let inflated = Bounded::new(MultiGzDecoder::new(whole), count);
            let reader = BufReader::with_capacity(buffered, inflated);
            (Box::new(reader), false)
        }
        Compression::Zstd => {
            let inflated = zstd::stream::read::Decoder::with_buffer(whole)
                .map_err(|source| StoreError::Input { offset: 0, source })?;
            let reader = BufReader::with_capacity(buffered, Bounded::new(inflated, count));
            (Box::new(reader), false)
        }
    })
}

enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Reads the entries of an archive one after the other.
pub(crate) struct Reader<R> {
    input: R,
    /// Bytes read so far.
    offset: u64,
    /// Data of the current member that were not read yet.
    data: u64,
    /// Filling after these data.
    padding: u64,
}

/// What the data of a member are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// The file from its beginning to its end.
    Plain,
    /// The runs of a sparse file one after the other.
    Sparse(Vec<Run>),
}

/// What stood before the header of a member and is about it.
#[derive(Default)]
struct Prelude {
    records: BTreeMap<Vec<u8>, Vec<u8>>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: BufRead> Reader<R> {
    pub(crate) const fn new(input: R) -> Self {
        Self {
            input,
            offset: 0,
            data: 0,
            padding: 0,
        }
    }

    /// The next entry, after skipping what was not read of the last one; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(Member, Data)>> {
        self.skip(self.data.saturating_add(self.padding))?;
        (self.data, self.padding) = (0, 0);
        let mut prelude = Prelude::default();
        loop {
            let Some(block) = self.header()? else {
                return Ok(None);
            };
            match block[156] {
                b'x' => {
                    let body = self.metadata(&block)?;
                    prelude.records = self.decode_records(&body)?;
                }
                // Global records (git's commit id) are about no entry.
                b'g' => drop(self.metadata(&block)?),
                b'L' => prelude.path = Some(until_nul(&self.metadata(&block)?).to_vec()),
                b'K' => prelude.link = Some(until_nul(&self.metadata(&block)?).to_vec()),
                _ => return self.member(&block, prelude).map(Some),
            }
        }
    }

    /// Bytes read so far: after [`next`](Self::next), where the data of the member begin.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Read data of the current member; 0 at their end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let most = usize::try_from(self.data)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = loop {
            match self.input.read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(|source| self.broken(source))?,
            }
        };
        if count == 0 {
            return Err(self.broken(io::ErrorKind::UnexpectedEof.into()));
        }
        self.data -= count as u64;
        self.offset += count as u64;
        Ok(count)
    }

    /// Read what follows the archive, so that a compressed one is checked to its end and a pipe
    /// is not broken.
    pub(crate) fn drain(&mut self) -> Result<()> {
        io::copy(&mut self.input, &mut io::sink())
            .map(drop)
            .map_err(|source| self.broken(source))
    }

    const fn broken(&self, source: io::Error) -> StoreError {
        StoreError::Input {
            offset: self.offset,
            source,
        }
    }

    fn malformed(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Archive {
            offset: self.offset.saturating_sub(BLOCK as u64),
            reason: reason.into(),
        }
    }

    fn skip(&mut self, mut count: u64) -> Result<()> {
        while count > 0 {
            let there = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.map(<[u8]>::len),
            };
            let there = there.map_err(|source| self.broken(source))?;
            if there == 0 {
                return Err(self.broken(io::ErrorKind::UnexpectedEof.into()));
            }
            let skipped = usize::try_from(count).unwrap_or(usize::MAX).min(there);
            self.input.consume(skipped);
            self.offset += skipped as u64;
            count -= skipped as u64;
        }
        Ok(())
    }

    fn block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.input
            .read_exact(&mut block)
            .map_err(|source| self.broken(source))?;
        self.offset += BLOCK as u64;
        Ok(block)
    }

    /// The next header block, its checksum verified; `None` at the end of the archive.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let offset = self.offset;
        let ahead = self
            .input
            .fill_buf()
            .map_err(|source| StoreError::Input { offset, source })?;
        // Some writers leave out the empty blocks at the end.
        if ahead.is_empty() {
            return Ok(None);
        }
        let block = self.block()?;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let sum = |byte: fn(u8) -> i64| -> i64 {
            let field = 8 * i64::from(b' ');
            let outside = block[..148].iter().chain(&block[156..]);
            outside.map(|&value| byte(value)).sum::<i64>() + field
        };
        let signed = |value: u8| i64::from(value.cast_signed());
        match number(&block[148..156]) {
            Some(found) if found == sum(i64::from) || found == sum(signed) => Ok(Some(block)),
            _ if self.offset == BLOCK as u64 => Err(self.malformed("it is not a tar archive")),
            _ => Err(self.malformed("the checksum of an entry's header is wrong")),
        }
    }

    /// The data of an entry that is about the next one.
    fn metadata(&mut self, block: &[u8; BLOCK]) -> Result<Vec<u8>> {
        let size = number(&block[124..136])
            .and_then(|size| u64::try_from(size).ok())
            .filter(|&size| size <= METADATA)
            .ok_or_else(|| {
                self.malformed("an entry has more than 1 MiB of names and attributes")
            })?;
        let mut body = Vec::new();
        let read = self
            .input
            .by_ref()
            .take(size)
            .read_to_end(&mut body)
            .map_err(|source| self.broken(source))?;
        self.offset += read as u64;
        if (read as u64) < size {
            return Err(self.broken(io::ErrorKind::UnexpectedEof.into()));
        }
        self.skip(padding(size))?;
        Ok(body)
    }

    fn decode_records(&self, mut body: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut records = BTreeMap::new();
        // Version 0.0 of sparse files repeats two records for each run.
        let mut runs: Vec<u8> = Vec::new();
        while !body.is_empty() {
            let (record, rest) =
                next_record(body).ok_or_else(|| self.malformed("a pax record is malformed"))?;
            body = rest;
            let (key, value) = record;
            if key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes" {
                runs.extend_from_slice(value);
                runs.push(b',');
            } else if !value.is_empty() || key.starts_with(XATTR_RECORD) {
                // An empty record takes an earlier one back.
                records.insert(key.to_vec(), value.to_vec());
            }
        }
        if !runs.is_empty() {
            records.insert(b"GNU.sparse.map".to_vec(), runs);
        }
        Ok(records)
    }

    fn member(&mut self, block: &[u8; BLOCK], mut prelude: Prelude) -> Result<(Member, Data)> {
        let sparse = sparse::take_records(&mut prelude.records);
        let mut records = prelude.records;
        let path = sparse
            .name
            .or_else(|| records.remove(b"path".as_slice()))
            .or(prelude.path)
            .unwrap_or_else(|| header_path(block));
        let name = String::from_utf8_lossy(&path).into_owned();
        let refused = |reason: &str| StoreError::Entry {
            entry: name.clone(),
            reason: reason.to_owned(),
        };
        let kind = match MemberKind::from_flag(block[156]) {
            Some(MemberKind::File) if path.ends_with(b"/") => MemberKind::Directory,
            Some(kind) => kind,
            None => {
                let flag = char::from(block[156]);
                return Err(refused(&format!("its type {flag:?} is not known")));
            }
        };
        let mut field =
            |key: &str, range: std::ops::Range<usize>| match records.remove(key.as_bytes()) {
                Some(text) => decimal(&text),
                None => number(&block[range]),
            };
        let stored = field("size", 124..136)
            .and_then(|size| u64::try_from(size).ok())
            .ok_or_else(|| refused("its size is not a number"))?;
        let owner = |value: Option<i64>| value.and_then(|id| u32::try_from(id).ok());
        // All ones means "leave as it is" to chown(2), and is nobody's number.
        let owner = |value| owner(value).filter(|&id| id != u32::MAX);
        let user = owner(field("uid", 108..116))
            .ok_or_else(|| refused("its user id is not a number below 4294967295"))?;
        let group = owner(field("gid", 116..124))
            .ok_or_else(|| refused("its group id is not a number below 4294967295"))?;
        let (modified, nanoseconds) = match records.remove(b"mtime".as_slice()) {
            Some(text) => instant(&text),
            None => number(&block[136..148]).map(|seconds| (seconds, 0)),
        }
        .ok_or_else(|| refused("its modification time is not a number"))?;
        let mode = number(&block[100..108]).ok_or_else(|| refused("its mode is not a number"))?;
        let mut member = Member {
            mode: u32::try_from(mode & 0o7777).unwrap_or(0),
            user,
            group,
            modified,
            nanoseconds,
            link: records
                .remove(b"linkpath".as_slice())
                .or(prelude.link)
                .unwrap_or_else(|| until_nul(&block[157..257]).to_vec()),
            device: device(block, kind).ok_or_else(|| refused("its device number is wrong"))?,
            xattrs: xattrs(records),
            ..Member::new(path, kind)
        };
        // Whatever their size says, only files have data: some writers give a hard link the size of
        // its file, and a symbolic link that of its target.
        if kind != MemberKind::File {
            return Ok((member, Data::Plain));
        }
        self.expect(stored);
        member.size = stored;
        let real = sparse.size.as_deref().and_then(decimal);
        let runs = match sparse.map {
            MapPlace::None if block[156] != b'S' => return Ok((member, Data::Plain)),
            MapPlace::None => self.old_sparse_map(block)?,
            MapPlace::Record(map) => (sparse::runs_in_record(&map), real),
            MapPlace::BeforeData => (self.leading_sparse_map()?, real),
        };
        let (Some(runs), Some(Ok(size))) = (runs.0, runs.1.map(u64::try_from)) else {
            return Err(refused("the map of a sparse file is malformed"));
        };
        sparse::check(&runs, size, self.data).map_err(refused)?;
        member.size = size;
        Ok((member, Data::Sparse(runs)))
    }

    const fn expect(&mut self, size: u64) {
        self.data = size;
        self.padding = padding(size);
    }

    /// The map in the header of an `S` entry and the blocks after it; and the file's size.
    fn old_sparse_map(&mut self, block: &[u8; BLOCK]) -> Result<(Option<Vec<Run>>, Option<i64>)> {
        let unsigned = |field: &[u8]| number(field).and_then(|value| u64::try_from(value).ok());
        let mut runs = sparse::runs_in_block(&block[386..482], unsigned);
        let mut more = block[482] != 0;
        while more {
            let block = self.block()?;
            more = block[504] != 0;
            let next = sparse::runs_in_block(&block[..504], unsigned);
            runs = match (runs, next) {
                (Some(mut runs), Some(next)) if runs.len() < sparse::RUNS => {
                    runs.extend(next);
                    Some(runs)
                }
                _ => return Ok((None, None)),
            };
        }
        Ok((runs, number(&block[483..495])))
    }

    fn leading_sparse_map(&mut self) -> Result<Option<Vec<Run>>> {
        sparse::runs_before_data(|| {
            if self.data < BLOCK as u64 {
                return Err(self.malformed("the map of a sparse file is longer than its data"));
            }
            self.data -= BLOCK as u64;
            self.block()
        })
    }
}

const fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|&byte| byte == 0);
    &field[..end.unwrap_or(field.len())]
}

fn header_path(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&block[..100]);
    // GNU tar keeps other things where ustar has the prefix; its magic ends in a blank.
    let prefix = match &block[257..263] {
        b"ustar\0" => until_nul(&block[345..500]),
        _ => b"",
    };
    if prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

fn device(block: &[u8; BLOCK], kind: MemberKind) -> Option<(u32, u32)> {
    if !matches!(kind, MemberKind::CharacterDevice | MemberKind::BlockDevice) {
        return Some((0, 0));
    }
    let part = |range: std::ops::Range<usize>, bits: u32| {
        let value = u32::try_from(number(&block[range])?).ok()?;
        (value < 1 << bits).then_some(value)
    };
    Some((part(329..337, 12)?, part(337..345, 20)?))
}

fn xattrs(records: BTreeMap<Vec<u8>, Vec<u8>>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    records
        .into_iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(XATTR_RECORD)?.to_vec(), value)))
        .collect()
}

/// A numeric field: octal digits with blanks around them, or base-256 when its first bit is set.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        let negative = field[0] & 0x40 != 0;
        let first = if negative { field[0] } else { field[0] & 0x7f };
        let start = if negative { -1_i128 } else { 0 };
        let mut value = (start << 8) | i128::from(first);
        for &byte in &field[1..] {
            value = (value << 8) | i128::from(byte);
        }
        return i64::try_from(value).ok();
    }
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim();
    if text.is_empty() {
        return Some(0);
    }
    text.bytes()
        .all(|digit| (b'0'..=b'7').contains(&digit))
        .then(|| i64::from_str_radix(text, 8).ok())?
}

/// A decimal number, rounded down to a whole one.
fn decimal(text: &[u8]) -> Option<i64> {
    instant(text).map(|(whole, _)| whole)
}

/// A decimal number as whole ones and the billionths above them; what is finer is cut off.
fn instant(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let value: i64 = whole.parse().ok()?;
    let billionths: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    if !whole.starts_with('-') || fraction.bytes().all(|digit| digit == b'0') {
        return Some((value, billionths));
    }
    // Below zero the fraction leads away from it.
    let rest = (1_000_000_000 - billionths) % 1_000_000_000;
    let whole = value.checked_sub(1)?;
    Some(match rest {
        0 => (value, 0),
        rest => (whole, rest),
    })
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn next_record(body: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let blank = body.iter().take(8).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(&body[..blank]).ok()?.parse().ok()?;
    if length <= blank + 1 || length > body.len() {
        return None;
    }
    let (record, rest) = body.split_at(length);
    let record = record[blank + 1..].strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some(((key, value), rest))
}
