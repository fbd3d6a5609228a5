//! Bodies of answers: nothing, a text, or a part of a file that is read as the client takes it.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::{Event, Exchange, PIECE, Report};

/// The body of an answer.
pub(super) struct Body {
    content: Content,
    line: Option<Line>,
}

enum Content {
    Nothing,
    Text(Bytes),
    File(Pieces),
}

/// A part of a file, one piece ahead of the client.
struct Pieces {
    left: u64,
    /// None when everything was read.
    next: Option<JoinHandle<io::Result<(File, Bytes)>>>,
}

/// What is told when the body is gone.
struct Line {
    exchange: Exchange,
    begun: Instant,
    report: Report,
}

impl Body {
    pub(super) const fn nothing() -> Self {
        Self::of(Content::Nothing)
    }

    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        Self::of(Content::Text(text.into()))
    }

    /// `length` bytes of a file that it has, from `offset` on.
    pub(super) fn file(file: File, offset: u64, length: u64) -> Self {
        Self::of(Content::File(Pieces {
            left: length,
            next: (length > 0).then(|| read(file, length, Some(offset))),
        }))
    }

    const fn of(content: Content) -> Self {
        Self {
            content,
            line: None,
        }
    }

    /// Tell about the exchange when the body was sent, or cannot be.
    #[must_use]
    pub(super) fn told(mut self, exchange: Exchange, begun: Instant, report: Report) -> Self {
        self.line = Some(Line {
            exchange,
            begun,
            report,
        });
        self
    }
}

/// Read the next piece, on a thread beside the event loop.
fn read(mut file: File, left: u64, seek: Option<u64>) -> JoinHandle<io::Result<(File, Bytes)>> {
    tokio::task::spawn_blocking(move || {
        if let Some(offset) = seek {
            file.seek(SeekFrom::Start(offset))?;
        }
        let most = left.min(PIECE as u64);
        let mut piece = Vec::with_capacity(PIECE);
        (&mut file).take(most).read_to_end(&mut piece)?;
        match piece.len() as u64 == most {
            true => Ok((file, Bytes::from(piece))),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    })
}

impl Pieces {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(reading) = &mut self.next else {
            return Poll::Ready(None);
        };
        let done = ready!(Pin::new(reading).poll(cx));
        self.next = None;
        let (file, piece) = match done.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(read) => read,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        self.left -= piece.len() as u64;
        if self.left > 0 {
            self.next = Some(read(file, self.left, None));
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut self.content {
            Content::Nothing => None,
            Content::Text(text) if text.is_empty() => None,
            Content::Text(text) => Some(Ok(std::mem::take(text))),
            Content::File(pieces) => ready!(pieces.poll(cx)),
        };
        if let (Some(Ok(piece)), Some(line)) = (&piece, &mut self.line) {
            line.exchange.sent += piece.len() as u64;
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Nothing => true,
            Content::Text(text) => text.is_empty(),
            Content::File(pieces) => pieces.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.content {
            Content::Nothing => 0,
            Content::Text(text) => text.len() as u64,
            Content::File(pieces) => pieces.left,
        })
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(Line {
            mut exchange,
            begun,
            report,
        }) = self.line.take()
        {
            exchange.took = begun.elapsed();
            report(Event::Exchange(exchange));
        }
    }
}
