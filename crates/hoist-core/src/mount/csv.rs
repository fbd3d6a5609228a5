//! One record of comma-separated values (RFC 4180), as Go's `encoding/csv` reads it.

use super::MountError;

/// The fields of `text`; a field in double quotes may hold commas and doubled quotes.
///
/// # Errors
/// [`MountError::Csv`], with the column.
pub fn fields(text: &str) -> Result<Vec<String>, MountError> {
    if text.is_empty() {
        return Err(MountError::Csv("the value is empty".to_owned()));
    }
    if text.contains(['\n', '\r']) {
        return Err(MountError::Csv(
            "the value has more than one line".to_owned(),
        ));
    }
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let column = text.len() - rest.len() + 1;
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted, column + 1)?,
            None => plain_field(rest, column)?,
        };
        fields.push(field);
        match after {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

/// A field up to the next comma, and what follows the comma.
fn plain_field(rest: &str, column: usize) -> Result<(String, Option<&str>), MountError> {
    let (field, after) = match rest.split_once(',') {
        Some((field, after)) => (field, Some(after)),
        None => (rest, None),
    };
    match field.find('"') {
        Some(at) => Err(error(column + at, "bare \" in non-quoted-field")),
        None => Ok((field.to_owned(), after)),
    }
}

/// A field up to its closing quote, and what follows the comma after it.
fn quoted_field(quoted: &str, column: usize) -> Result<(String, Option<&str>), MountError> {
    let mut field = String::new();
    let mut rest = quoted;
    while let Some((part, after)) = rest.split_once('"') {
        field.push_str(part);
        if after.is_empty() {
            return Ok((field, None));
        }
        match after.as_bytes()[0] {
            b',' => return Ok((field, Some(&after[1..]))),
            b'"' => field.push('"'),
            _ => {
                let at = column + quoted.len() - after.len();
                return Err(error(at, "extraneous or missing \" in quoted-field"));
            }
        }
        rest = &after[1..];
    }
    Err(error(
        column + quoted.len(),
        "extraneous or missing \" in quoted-field",
    ))
}

fn error(column: usize, what: &str) -> MountError {
    MountError::Csv(format!("parse error on line 1, column {column}: {what}"))
}
