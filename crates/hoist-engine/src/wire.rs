//! Frames between a container's monitor and its clients, over a Unix stream socket.
//!
//! A frame is one byte of kind, four bytes of length (little endian) and a body. Bodies are raw
//! bytes of standard streams, or JSON documents.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// Longest body that is accepted; longer ones are a broken peer.
const MAX_BODY: usize = 1 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Monitor: the container runs.
    Started = 1,
    /// Monitor: it could not be started, or a request was refused ([`crate::error::Told`]).
    Failed = 2,
    /// Monitor: bytes of standard output (or of the terminal).
    Stdout = 3,
    /// Monitor: bytes of standard error.
    Stderr = 4,
    /// Monitor: the container has ended and is cleaned up ([`crate::Status`]).
    Exited = 5,
    /// Monitor: the request was carried out.
    Done = 6,
    /// Client: send me the output from now on, until the end.
    Attach = 16,
    /// Client: bytes for standard input.
    Stdin = 17,
    /// Client: standard input has ended.
    StdinEnd = 18,
    /// Client: the terminal's size ([`hoist_core::spec::ConsoleSize`]).
    Resize = 19,
    /// Client: send a signal to PID 1 (`i32`).
    Signal = 20,
    /// Client: stop the container ([`StopRequest`]); answered by [`Kind::Exited`].
    Stop = 21,
}

impl Kind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Started,
            2 => Self::Failed,
            3 => Self::Stdout,
            4 => Self::Stderr,
            5 => Self::Exited,
            6 => Self::Done,
            16 => Self::Attach,
            17 => Self::Stdin,
            18 => Self::StdinEnd,
            19 => Self::Resize,
            20 => Self::Signal,
            21 => Self::Stop,
            _ => return None,
        })
    }
}

/// Body of [`Kind::Stop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub(crate) struct StopRequest {
    /// Signal to send first.
    pub(crate) signal: i32,
    /// Milliseconds until SIGKILL; `None` is never.
    pub(crate) grace: Option<u64>,
}

/// Append one frame to `buffer`.
pub(crate) fn push(buffer: &mut Vec<u8>, kind: Kind, body: &[u8]) {
    for piece in pieces(body) {
        let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        buffer.push(kind as u8);
        buffer.extend_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(piece);
    }
}

fn pieces(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let empty = body.is_empty().then_some(body);
    empty.into_iter().chain(body.chunks(MAX_BODY))
}

/// A frame whose body is a JSON document.
pub(crate) fn json<T: Serialize>(kind: Kind, value: &T) -> Vec<u8> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut frame = Vec::with_capacity(body.len() + 5);
    push(&mut frame, kind, &body);
    frame
}

/// Write one frame to a blocking socket.
pub(crate) fn send(mut socket: impl Write, kind: Kind, body: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(body.len() + 5);
    push(&mut frame, kind, body);
    socket.write_all(&frame)
}

/// Read one frame from a blocking socket; `None` at its end.
pub(crate) fn receive(mut socket: impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut decoder = Decoder::default();
    loop {
        if let Some(frame) = decoder.next()? {
            return Ok(Some(frame));
        }
        let wanted = decoder.wanted();
        if decoder.fill(&mut socket, wanted)? == 0 {
            return Ok(None);
        }
    }
}

/// Parse a JSON body.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Takes frames out of a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Bytes that are missing until the next frame is whole.
    fn wanted(&self) -> usize {
        let whole = self.header().map_or(5, |(_, length)| 5 + length);
        whole.saturating_sub(self.buffer.len()).max(1)
    }

    fn header(&self) -> Option<(u8, usize)> {
        let header: &[u8; 5] = self.buffer.first_chunk()?;
        let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
        Some((header[0], usize::try_from(length).unwrap_or(usize::MAX)))
    }

    /// Read up to `limit` bytes; 0 is the end of the stream.
    pub(crate) fn fill(&mut self, mut from: impl Read, limit: usize) -> io::Result<usize> {
        let old = self.buffer.len();
        self.buffer.resize(old + limit, 0);
        let read = loop {
            match from.read(&mut self.buffer[old..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer
            .truncate(old + read.as_ref().copied().unwrap_or(0));
        read
    }

    /// The next whole frame.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Kind, Vec<u8>)>> {
        let Some((kind, length)) = self.header() else {
            return Ok(None);
        };
        let broken = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        if length > MAX_BODY {
            return Err(broken("a frame is too long"));
        }
        if self.buffer.len() < 5 + length {
            return Ok(None);
        }
        let kind = Kind::from_byte(kind).ok_or_else(|| broken("a frame of unknown kind"))?;
        let body = self.buffer[5..5 + length].to_vec();
        self.buffer.drain(..5 + length);
        Ok(Some((kind, body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let mut stream = Vec::new();
        push(&mut stream, Kind::Stdout, b"hello");
        push(&mut stream, Kind::StdinEnd, b"");
        push(&mut stream, Kind::Stderr, &vec![7; MAX_BODY + 1]);
        for step in [1, 2, 3, 7, 4096, stream.len()] {
            let mut decoder = Decoder::default();
            let mut frames = Vec::new();
            for piece in stream.chunks(step) {
                decoder.fill(piece, piece.len()).unwrap();
                while let Some(frame) = decoder.next().unwrap() {
                    frames.push((frame.0, frame.1.len()));
                }
            }
            let expected = [
                (Kind::Stdout, 5),
                (Kind::StdinEnd, 0),
                (Kind::Stderr, MAX_BODY),
                (Kind::Stderr, 1),
            ];
            assert_eq!(frames, expected);
        }
    }

    #[test]
    fn garbage_is_refused() {
        let mut decoder = Decoder::default();
        decoder.fill(&[99, 0, 0, 0, 0][..], 5).unwrap();
        assert!(decoder.next().is_err());
        let mut decoder = Decoder::default();
        decoder.fill(&[3, 255, 255, 255, 255][..], 5).unwrap();
        assert!(decoder.next().is_err());
    }
}
