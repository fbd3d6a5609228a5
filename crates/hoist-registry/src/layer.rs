//! Layers as plain tars: inflated while they pass, with the digest of what comes out.

use std::{
    fmt,
    io::{self, BufReader, Chain, Cursor, Read},
};

use flate2::bufread::MultiGzDecoder;
use hoist_core::{Digest, Digester};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Frames of zstd that hold no content begin with one of sixteen words; estargz and zstd:chunked
/// put them at the end, pzstd at the beginning.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// Bytes that are read from the wire at once.
const BUFFER: usize = 128 * 1024;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar.
    None,
    /// gzip, by one member or several.
    Gzip,
    /// Zstandard, by one frame or several.
    Zstd,
}

impl Compression {
    /// What a media type promises; the content decides. `None` for what is no layer.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Some(Self::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Some(Self::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// What content that begins so is.
    fn of_magic(start: &[u8]) -> Self {
        if start.starts_with(GZIP) {
            Self::Gzip
        } else if start.starts_with(ZSTD)
            || (start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == ZSTD_SKIPPABLE)
        {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

type Raw<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

enum Decoder<R: Read> {
    None(Raw<R>),
    Gzip(Box<MultiGzDecoder<Raw<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, Raw<R>>),
}

/// A layer, inflated. Errors of the reader below come through as they are.
pub struct LayerReader<R: Read> {
    decoder: Decoder<R>,
    compression: Compression,
    digester: Digester,
    length: u64,
}

impl<R: Read> LayerReader<R> {
    /// The layer that `reader` delivers, compressed as its first bytes say.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn new(mut reader: R) -> io::Result<Self> {
        let mut start = Vec::with_capacity(4);
        reader.by_ref().take(4).read_to_end(&mut start)?;
        let compression = Compression::of_magic(&start);
        let raw = BufReader::with_capacity(BUFFER, Cursor::new(start).chain(reader));
        let decoder = match compression {
            Compression::None => Decoder::None(raw),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(raw))),
            Compression::Zstd => Decoder::Zstd(zstd::stream::read::Decoder::with_buffer(raw)?),
        };
        Ok(Self {
            decoder,
            compression,
            digester: Digester::new(),
            length: 0,
        })
    }

    /// How the layer is compressed.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        self.compression
    }

    /// Inflated bytes so far.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Read what is left (a tar may end before its file does), so that the reader below verifies
    /// the whole, and return the digest of the inflated content: the diff id.
    ///
    /// # Errors
    /// Those of the reader and of the compression.
    pub fn finish(mut self) -> io::Result<Digest> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match self.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // What lies behind the last frame still belongs to the blob.
        let raw = match &mut self.decoder {
            Decoder::None(raw) => raw,
            Decoder::Gzip(gzip) => gzip.get_mut(),
            Decoder::Zstd(zstd) => zstd.get_mut(),
        };
        io::copy(raw, &mut io::sink())?;
        Ok(self.digester.finish())
    }
}

impl<R: Read> Read for LayerReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.decoder {
            Decoder::None(raw) => raw.read(buffer),
            Decoder::Gzip(gzip) => gzip.read(buffer),
            Decoder::Zstd(zstd) => zstd.read(buffer),
        }?;
        self.digester.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }
}

impl<R: Read> fmt::Debug for LayerReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerReader")
            .field("compression", &self.compression)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_form_inflates_to_the_same_diff_id() {
        let tar: Vec<u8> = (0..300_000_u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        let (head, tail) = tar.split_at(123_457);
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let forms = [
            (Compression::None, tar.clone()),
            (Compression::Gzip, gzip(&tar)),
            (Compression::Gzip, [gzip(head), gzip(tail)].concat()),
            (Compression::Zstd, zstd::encode_all(&tar[..], 3).unwrap()),
            (
                Compression::Zstd,
                [
                    skippable.to_vec(),
                    zstd::encode_all(head, 1).unwrap(),
                    zstd::encode_all(tail, 1).unwrap(),
                    skippable.to_vec(),
                ]
                .concat(),
            ),
        ];
        for (compression, bytes) in forms {
            let mut layer = LayerReader::new(&bytes[..]).unwrap();
            assert_eq!(layer.compression(), compression);
            let mut first = vec![0; 1000];
            layer.read_exact(&mut first).unwrap();
            assert_eq!(first, tar[..1000]);
            assert_eq!(layer.finish().unwrap(), Digest::of(&tar));
        }
        assert_eq!(
            LayerReader::new(&b""[..]).unwrap().finish().unwrap(),
            Digest::of(b"")
        );
    }

    #[test]
    fn a_cut_layer_is_an_error() {
        for whole in [
            gzip(&[7; 9999]),
            zstd::encode_all(&[7; 9999][..], 3).unwrap(),
        ] {
            let layer = LayerReader::new(&whole[..whole.len() - 1]).unwrap();
            assert!(layer.finish().is_err());
        }
    }
}
