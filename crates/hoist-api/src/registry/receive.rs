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

/// How long a client may take for a piece: slower than half a kilobyte a second is nobody.
const PATIENCE: Duration = Duration::from_secs(60);
/// What of a refused body is read, so that the client gets to see the answer.
const DRAINED: usize = 8 << 20;
/// How long that may take.
const DRAINING: Duration = Duration::from_secs(5);

/// A thread that writes a piece: it gives the upload back, with how the writing went.
type Writing = JoinHandle<(Upload, std::io::Result<()>)>;

/// Write everything that comes to `upload`, up to `most` bytes of it; also what came before a body
/// broke off. The upload comes back in any case but one: when the thread that writes has died.
pub(super) async fn receive(
    body: &mut Incoming,
    upload: Upload,
    most: u64,
) -> (Option<Upload>, Result<u64, Problem>) {
    let mut idle = Some(upload);
    let mut writing: Option<Writing> = None;
    let mut count = 0_u64;
    loop {
        // The next piece comes while the one before it is written.
        let mut piece = Vec::new();
        let ended = match timeout(PATIENCE, fill(&mut piece, body)).await {
            Ok(ended) => ended,
            Err(_) => Err(
                Problem::new(Code::BlobUploadInvalid, "the body comes too slowly")
                    .status(StatusCode::REQUEST_TIMEOUT),
            ),
        };
        if let Some(writing) = writing.take() {
            match written(writing).await {
                Ok(upload) => idle = Some(upload),
                Err(failed) => return failed,
            }
        }
        let length = piece.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        if length == 0 {
            return (idle, ended.map(|()| count));
        }
        count += length;
        if count > most {
            let problem = Problem::new(Code::SizeInvalid, format!("more than {most} bytes"))
                .status(StatusCode::PAYLOAD_TOO_LARGE);
            return (idle, Err(problem));
        }
        writing = idle.take().map(|upload| write(upload, piece));
        if let Err(problem) = ended {
            let Some(writing) = writing else {
                return (None, Err(problem));
            };
            return match written(writing).await {
                Ok(upload) => (Some(upload), Err(problem)),
                Err(failed) => failed,
            };
        }
    }
}

fn write(mut upload: Upload, piece: Vec<Bytes>) -> Writing {
    tokio::task::spawn_blocking(move || {
        let written = piece.iter().try_for_each(|bytes| upload.write_all(bytes));
        (upload, written)
    })
}

/// Wait for a piece to be written.
async fn written(writing: Writing) -> Result<Upload, (Option<Upload>, Result<u64, Problem>)> {
    match writing.await {
        Ok((upload, Ok(()))) => Ok(upload),
        Ok((upload, Err(error))) => Err((Some(upload), Err(unwritten(error)))),
        Err(error) => Err((None, Err(Problem::internal(error.to_string())))),
    }
}

fn unwritten(source: std::io::Error) -> Problem {
    Problem::from(StoreError::File {
        action: "write to an upload in",
        path: "registry".into(),
        source,
    })
}

/// Add about [`PIECE`] bytes to `piece`, or what is left: nothing at the end, and after a failure.
async fn fill(piece: &mut Vec<Bytes>, body: &mut Incoming) -> Result<(), Problem> {
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
    Ok(())
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
