//! Compressed archives: told by their first bytes, inflated while they are read.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

/// Bytes that are read of a file at once.
const BUFFER: usize = 256 << 10;

/// The most memory that an xz archive may ask for, in KiB: what `xz -9` writes needs 65 MiB.
const XZ_MEMORY: u32 = 512 << 10;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Compression {
    /// What a file that begins so is.
    pub(crate) fn of(start: &[u8]) -> Self {
        let table: [(&[u8], Self); 4] = [
            (&[0x1f, 0x8b], Self::Gzip),
            (b"BZh", Self::Bzip2),
            (b"\xfd7zXZ\0", Self::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Self::Zstd),
        ];
        let found = table.iter().find(|(magic, _)| start.starts_with(magic));
        found.map_or(Self::None, |(_, compression)| *compression)
    }
}

/// The content of `file`, inflated. Nothing is held in memory but the window of the compression,
/// which is bounded.
pub(crate) fn reader(file: File) -> io::Result<(Compression, Box<dyn Read>)> {
    let mut file = BufReader::with_capacity(BUFFER, file);
    let compression = Compression::of(file.fill_buf()?);
    let reader: Box<dyn Read> = match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(file)),
        Compression::Xz => Box::new(XzReader::new_mem_limit(file, true, XZ_MEMORY)),
        // It refuses windows above 128 MiB.
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
    };
    Ok((compression, reader))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn every_compression_is_told_and_inflated() {
        let text = b"the content ".repeat(9999);
        let pipe = |program: &str, arguments: &[&str]| {
            let mut child = std::process::Command::new(program)
                .args(arguments)
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{program}: {error}: apt-get install {program}"));
            child.stdin.take().unwrap().write_all(&text).unwrap();
            child.wait_with_output().unwrap().stdout
        };
        let forms = [
            (Compression::None, text.clone()),
            (Compression::Gzip, pipe("gzip", &["-c"])),
            (Compression::Xz, pipe("xz", &["-9e", "-c"])),
            (Compression::Xz, pipe("xz", &["-C", "sha256", "-c"])),
            (Compression::Bzip2, pipe("bzip2", &["-c"])),
            (Compression::Zstd, zstd::encode_all(&text[..], 3).unwrap()),
        ];
        for (expected, bytes) in forms {
            // Two streams in a row, as parallel compressors write them.
            let mut twice = tempfile::tempfile().unwrap();
            twice.write_all(&bytes).unwrap();
            twice.write_all(&bytes).unwrap();
            twice.rewind().unwrap();
            let (compression, mut reader) = reader(twice).unwrap();
            assert_eq!(compression, expected);
            let mut inflated = Vec::new();
            reader.read_to_end(&mut inflated).unwrap();
            assert!(inflated == [&text[..], &text].concat(), "{expected:?}");
        }
    }

    #[test]
    fn a_file_that_asks_for_more_memory_than_is_sensible_gets_none() {
        // The header of a block whose dictionary is 4 GiB.
        let mut block = vec![0x02, 0x00, 0x21, 0x01, 40, 0, 0, 0];
        let mut crc = flate2::Crc::new();
        crc.update(&block);
        block.extend(crc.sum().to_le_bytes());
        let mut flags = flate2::Crc::new();
        flags.update(&[0, 0]);
        let mut bytes = b"\xfd7zXZ\0\0\0".to_vec();
        bytes.extend(flags.sum().to_le_bytes());
        bytes.extend(block);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        let (compression, mut reader) = reader(file).unwrap();
        assert_eq!(compression, Compression::Xz);
        let error = reader.read(&mut [0; 9]).unwrap_err().to_string();
        assert!(error.contains("mem"), "{error}");
    }
}
