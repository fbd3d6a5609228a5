//! Bodies of requests: from the connection into an upload, piece by piece.

use std::{future::poll_fn, io::Write as _, pin::Pin, time::Duration};

use hoist_store::{StoreError, Upload};
use hyper::{
    StatusCode,
    body::{Body as _, Bytes, Incoming},
};
use tokio::{task::JoinHandle, time::timeout};

use super::{
    PIECE,
    problem::{Code, Problem},
};

/// How long a client may take for a piece: slower than a kilobyte a second is nobody.
const PATIENCE: Duration = Duration::from_secs(60);
/// What of a refused body is read, so that the client gets to see the answer.
const DRAINED: usize = 8 << 20;
/// How long that may take.
const DRAINING: Duration = Duration::from_secs(5);

/// What one piece came to: the upload again, and how far it got.
type Written = (Upload, Result<(), std::io::Error>);

/// Write everything that comes to `upload`, up to `most` bytes of it. The upload comes back in any
/// case but one: when the thread that writes to it has died.
pub(super) async fn receive(
    body: &mut Incoming,
    upload: Upload,
    most: u64,
) -> (Option<Upload>, Result<u64, Problem>) {
    let mut idle = Some(upload);
    let mut writing: Option<JoinHandle<Written>> = None;
    let mut count = 0_u64;
    loop {
        let piece = match timeout(PATIENCE, piece(body)).await {
            Ok(piece) => piece,
            Err(_) => Err(
                Problem::new(Code::BlobUploadInvalid, "the body comes too slowly")
                    .status(StatusCode::REQUEST_TIMEOUT),
            ),
        };
        if let Some(written) = writing.take() {
            match written.await {
                Ok((upload, Ok(()))) => idle = Some(upload),
                Ok((upload, Err(error))) => return (Some(upload), Err(unwritten(error))),
                Err(error) => return (None, Err(Problem::internal(error.to_string()))),
            }
        }
        let piece = match piece {
            Ok(piece) if piece.is_empty() => return (idle, Ok(count)),
            Ok(piece) => piece,
            Err(problem) => return (idle, Err(problem)),
        };
        count += piece.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        if count > most {
            let problem = Problem::new(Code::SizeInvalid, format!("more than {most} bytes"))
                .status(StatusCode::PAYLOAD_TOO_LARGE);
            return (idle, Err(problem));
        }
        writing = idle.take().map(|mut upload| {
            tokio::task::spawn_blocking(move || {
                let written = piece.iter().try_for_each(|bytes| upload.write_all(bytes));
                (upload, written)
            })
        });
    }
}

fn unwritten(source: std::io::Error) -> Problem {
    Problem::from(StoreError::File {
        action: "write to an upload in",
        path: "registry".into(),
        source,
    })
}

/// About [`PIECE`] bytes, or what is left; nothing at the end.
async fn piece(body: &mut Incoming) -> Result<Vec<Bytes>, Problem> {
    let mut piece = Vec::new();
    let mut length = 0;
    while length < PIECE {
        match frame(body).await {
            None => break,
            Some(Ok(bytes)) => {
                length += bytes.len();
                if !bytes.is_empty() {
                    piece.push(bytes);
                }
            }
            Some(Err(error)) => {
                let text = format!("the body ends early: {error}");
                return Err(Problem::new(Code::SizeInvalid, text));
            }
        }
    }
    Ok(piece)
}

/// The next bytes; none of trailers.
async fn frame(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// Read on for a moment after a refusal: a client that is still sending when its connection is
/// closed would not see why.
pub(super) async fn drain(body: &mut Incoming) {
    let reading = async {
        let mut length = 0;
        while length < DRAINED
            && let Some(Ok(bytes)) = frame(body).await
        {
            length += bytes.len();
        }
    };
    // Whoever takes longer has had the time to read an answer.
    let _ = timeout(DRAINING, reading).await;
}
