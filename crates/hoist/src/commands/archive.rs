//! Archives on their way out: into a file that appears when it is whole, or to standard output.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::Path,
};

use crate::error::CliError;

const BUFFER: usize = 256 * 1024;

/// Let `write` write an archive to `output`; without one, to standard output, unless that is a
/// terminal.
///
/// # Errors
/// What `write` says, and when the output cannot be written; nothing half-made stays then.
pub(super) fn write_to(
    output: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), CliError>,
) -> Result<(), CliError> {
    match output {
        Some(path) => to_file(path, write),
        None if io::stdout().is_terminal() => Err(CliError::invalid(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        )),
        None => {
            let mut output = Noted {
                output: BufWriter::with_capacity(BUFFER, io::stdout().lock()),
                failed: None,
            };
            let written = write(&mut output);
            let flushed = output.flush();
            match (output.failed, written) {
                // Whoever wrote knows it as a failure of its own work.
                (Some(kind), _) => Err(CliError::output(&kind.into())),
                (None, written) => {
                    written.and_then(|()| flushed.map_err(|error| CliError::output(&error)))
                }
            }
        }
    }
}

/// The archive appears when it is whole.
fn to_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = Path::new(&name);
    let failed = |error: io::Error| CliError::file("write", path, &error);
    // Pipes and devices are written as they are.
    if path.exists() && !path.is_file() {
        let file = File::options()
            .write(true)
            .open(path)
            .map_err(|error| CliError::file("open", path, &error))?;
        let mut output = BufWriter::with_capacity(BUFFER, file);
        write(&mut output)?;
        return output.flush().map_err(failed);
    }
    let file = File::create(temporary).map_err(|error| CliError::file("create", path, &error))?;
    let mut output = BufWriter::with_capacity(BUFFER, file);
    let written = write(&mut output).and_then(|()| {
        output
            .flush()
            .and_then(|()| std::fs::rename(temporary, path))
            .map_err(failed)
    });
    if written.is_err() {
        // What was written is of no use to anyone.
        drop(std::fs::remove_file(temporary));
    }
    written
}

/// An output that remembers how it failed.
struct Noted<W> {
    output: W,
    failed: Option<io::ErrorKind>,
}

impl<W: Write> Noted<W> {
    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.failed = Some(error.kind());
        }
        result
    }
}

impl<W: Write> Write for Noted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.output.flush();
        self.noted(flushed)
    }
}
