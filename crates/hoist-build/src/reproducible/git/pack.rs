//! Packs (`gitformat-pack`, version 2) and their indices.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use flate2::read::ZlibDecoder;

use super::{
    objects::{Kind, LARGEST},
    open,
};

/// Magic number and version at the start of an index.
const INDEX: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];

/// Where the table of an index begins that counts ids by their first byte, and where it ends.
const COUNTS: u64 = 8;
const IDS: u64 = COUNTS + 256 * 4;

/// The file with the objects.
#[derive(Debug)]
pub(super) struct Pack {
    file: File,
}

/// An object as a pack has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packed {
    Whole(Kind, Vec<u8>),
    /// A difference to the object at this offset.
    From(u64, Vec<u8>),
    /// A difference to the object of this id.
    FromObject(Vec<u8>, Vec<u8>),
}

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

impl Pack {
    /// Where the object `id` lies in the pack whose index is at `index`.
    pub(super) fn find(index: &Path, id: &[u8]) -> io::Result<Option<u64>> {
        let index = open(index)?;
        let mut magic = [0; 8];
        index.read_exact_at(&mut magic, 0)?;
        if magic != INDEX {
            return Err(invalid());
        }
        let number = |at: u64| -> io::Result<u64> {
            let mut bytes = [0; 4];
            index.read_exact_at(&mut bytes, at)?;
            Ok(u64::from(u32::from_be_bytes(bytes)))
        };
        let first = u64::from(*id.first().ok_or_else(invalid)?);
        let count = number(COUNTS + 255 * 4)?;
        let mut low = match first {
            0 => 0,
            first => number(COUNTS + (first - 1) * 4)?,
        };
        let mut high = number(COUNTS + first * 4)?.min(count);
        let length = id.len() as u64;
        let mut found = vec![0; id.len()];
        while low < high {
            let middle = low + (high - low) / 2;
            index.read_exact_at(&mut found, IDS + middle * length)?;
            match found.as_slice().cmp(id) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    // Checksums of four bytes lie between the ids and the offsets.
                    let offsets = IDS + count * (length + 4);
                    let offset = number(offsets + middle * 4)?;
                    if offset & 0x8000_0000 == 0 {
                        return Ok(Some(offset));
                    }
                    let place = offsets + count * 4 + (offset & 0x7fff_ffff) * 8;
                    let mut bytes = [0; 8];
                    index.read_exact_at(&mut bytes, place)?;
                    return Ok(Some(u64::from_be_bytes(bytes)));
                }
            }
        }
        Ok(None)
    }

    /// The pack whose index is at `index`.
    pub(super) fn open(index: &Path) -> io::Result<Self> {
        let path: PathBuf = index.with_extension("pack");
        Ok(Self { file: open(&path)? })
    }

    /// The object at `offset`.
    pub(super) fn read(&self, offset: u64, id_length: usize) -> io::Result<Packed> {
        let mut reader = At {
            file: &self.file,
            offset,
        };
        // Kind and size: four bits of the size, then seven with each further byte.
        let mut byte = reader.byte()?;
        let kind = byte >> 4 & 7;
        let mut size = u64::from(byte & 15);
        let mut shift = 4;
        while byte & 0x80 != 0 {
            byte = reader.byte()?;
            let more = u64::from(byte & 0x7f).checked_shl(shift);
            size |= more.ok_or_else(invalid)?;
            shift += 7;
        }
        if size > LARGEST {
            return Err(invalid());
        }
        let whole = |kind, reader| Ok(Packed::Whole(kind, inflate(reader, size)?));
        match kind {
            1 => whole(Kind::Commit, reader),
            2 => whole(Kind::Tree, reader),
            3 | 4 => whole(Kind::Other, reader),
            6 => {
                let distance = reader.distance()?;
                let base = offset.checked_sub(distance).filter(|_| distance > 0);
                Ok(Packed::From(
                    base.ok_or_else(invalid)?,
                    inflate(reader, size)?,
                ))
            }
            7 => {
                let mut base = vec![0; id_length];
                reader.read_exact(&mut base)?;
                Ok(Packed::FromObject(base, inflate(reader, size)?))
            }
            _ => Err(invalid()),
        }
    }
}

fn inflate(reader: At<'_>, size: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    ZlibDecoder::new(reader)
        .take(size + 1)
        .read_to_end(&mut content)?;
    match content.len() as u64 == size {
        true => Ok(content),
        false => Err(invalid()),
    }
}

/// Reads a file from some place on.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl At<'_> {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    /// How far back the base of a difference lies: seven bits a byte, each but the first counting
    /// from one.
    fn distance(&mut self) -> io::Result<u64> {
        let mut byte = self.byte()?;
        let mut distance = u64::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            let next = distance.checked_add(1).ok_or_else(invalid)?;
            distance = next.checked_mul(128).ok_or_else(invalid)? | u64::from(byte & 0x7f);
        }
        Ok(distance)
    }
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
