//! Standard output and standard error.
//!
//! The only code that prints. A reader that goes away ends a command quietly: standard output
//! reports it as [`CliError::Said`], standard error does not care.

pub(crate) mod progress;
pub(crate) mod terminal;
pub(crate) mod transfer;

use std::io::{self, BufWriter, IsTerminal as _, Write as _};

use crate::error::CliError;

/// Write `text` to standard output.
pub(crate) fn out(text: &str) -> Result<(), CliError> {
    bytes_out(text.as_bytes())
}

/// Write `text` and a line feed to standard output.
pub(crate) fn line(text: &str) -> Result<(), CliError> {
    bytes_out(format!("{text}\n").as_bytes())
}

fn bytes_out(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| CliError::output(&error))
}

/// Write `text` to standard error.
pub(crate) fn error(text: &str) {
    // Standard error is the last resort: there is nobody left to tell about it.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// Write `text` and a line feed to standard error.
pub(crate) fn note(text: &str) {
    error(&format!("{text}\n"));
}

/// A buffered standard output, for streams; flush it when the stream pauses.
pub(crate) fn buffered() -> BufWriter<io::StdoutLock<'static>> {
    BufWriter::with_capacity(64 * 1024, io::stdout().lock())
}

/// Ask `question` and read the answer: true for `y`; false at the end of the input.
pub(crate) fn confirm(question: &str) -> Result<bool, CliError> {
    out(&format!(
        "{question}\nAre you sure you want to continue? [y/N] "
    ))?;
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    if !io::stdin().is_terminal() {
        line("")?;
    }
    Ok(read.is_ok() && answer.trim().eq_ignore_ascii_case("y"))
}
