//! `--format`: tables, Go templates and JSON over rows of named fields.
//!
//! | `--format` | output |
//! |---|---|
//! | absent, `table` | the command's own columns |
//! | `table {{.ID}}\t{{.Names}}` | these columns, with Docker's headings |
//! | `json`, `{{json .}}` | one object a line |
//! | anything else | the template, a line for each row |

use hoist_core::{gotemplate::Template, table::Table};
use serde_json::{Map, Value};

use crate::error::CliError;

/// One row: the fields of Docker's formatter and their texts.
pub(crate) type Row = Map<String, Value>;

/// What a listing can show.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Every field and its heading.
    pub(crate) headings: &'static [(&'static str, &'static str)],
    /// The fields of the default table.
    pub(crate) columns: &'static [&'static str],
}

impl Listing {
    /// `rows` as `format` wants them.
    ///
    /// # Errors
    /// When the template is malformed or names a field that there is not.
    pub(crate) fn render(&self, rows: &[Row], format: Option<&str>) -> Result<String, CliError> {
        match format.unwrap_or("table") {
            "table" | "" => Ok(self.table(rows)),
            "json" => Ok(rows.iter().map(|row| format!("{}\n", json(row))).collect()),
            format => match format.strip_prefix("table ") {
                Some(template) => self.template_table(rows, &unescape(template)),
                None => lines(rows, &unescape(format)),
            },
        }
    }

    fn heading(&self, field: &str) -> &'static str {
        let found = self.headings.iter().find(|(name, _)| *name == field);
        found.map_or("", |(_, heading)| *heading)
    }

    fn table(&self, rows: &[Row]) -> String {
        let mut table = Table::new();
        table.row(self.columns.iter().map(|field| self.heading(field).to_owned()));
        for row in rows {
            table.row(self.columns.iter().map(|field| text(row, field)));
        }
        table.render()
    }

    fn template_table(&self, rows: &[Row], format: &str) -> Result<String, CliError> {
        let template = Template::parse(format)?;
        let headings: Row =
            self.headings.iter().map(|(field, heading)| ((*field).to_owned(), Value::from(*heading))).collect();
        let mut table = Table::new();
        for row in std::iter::once(&headings).chain(rows) {
            let line = template.render(&Value::Object(row.clone()))?;
            table.row(line.split('\t').map(str::to_owned));
        }
        Ok(table.render())
    }
}

fn text(row: &Row, field: &str) -> String {
    row.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn lines(rows: &[Row], format: &str) -> Result<String, CliError> {
    let template = Template::parse(format)?;
    let mut out = String::new();
    for row in rows {
        out.push_str(&template.render(&Value::Object(row.clone()))?);
        out.push('\n');
    }
    Ok(out)
}

/// The row with its fields in alphabetical order, as Go writes maps.
fn json(row: &Row) -> String {
    let mut sorted: Vec<_> = row.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    let sorted: Map<String, Value> = sorted.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Value::Object(sorted).to_string()
}

/// `document` as `format` wants it; `None` is indented JSON.
///
/// # Errors
/// As [`Listing::render`].
pub(crate) fn document(document: &Value, format: Option<&str>) -> Result<String, CliError> {
    match format {
        None | Some("") => Ok(format!("{document:#}\n")),
        Some("json") => Ok(format!("{document}\n")),
        Some(format) => {
            let template = Template::parse(&unescape(format))?;
            Ok(format!("{}\n", template.render(document)?))
        }
    }
}

/// `\t` and `\n` as the characters that they stand for, as in Docker.
pub(crate) fn unescape(format: &str) -> String {
    format.replace("\\t", "\t").replace("\\n", "\n")
}

/// A row from fields and texts.
pub(crate) fn row<const N: usize>(fields: [(&str, String); N]) -> Row {
    fields.into_iter().map(|(name, text)| (name.to_owned(), Value::String(text))).collect()
}

/// `text` in at most `width` characters, the last one `…` when something is missing.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// `text` in Go's double quotes.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() && u32::from(c) < 0x100 => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: Listing = Listing {
        headings: &[("ID", "CONTAINER ID"), ("Names", "NAMES"), ("Size", "SIZE")],
        columns: &["ID", "Names"],
    };

    fn rows() -> Vec<Row> {
        let of = |id: &str, name: &str| {
            row([("Size", "1kB".to_owned()), ("Names", name.to_owned()), ("ID", id.to_owned())])
        };
        vec![of("0123456789ab", "web"), of("ba9876543210", "a_longer_name")]
    }

    #[test]
    fn a_listing_is_a_table_of_its_own_columns() {
        insta::assert_snapshot!(LISTING.render(&rows(), None).unwrap(), @r"
        CONTAINER ID   NAMES
        0123456789ab   web
        ba9876543210   a_longer_name
        ");
    }

    #[test]
    fn a_table_template_chooses_columns_and_keeps_headings() {
        let text = LISTING.render(&rows(), Some(r"table {{.Names}}\t{{.Size}}")).unwrap();
        insta::assert_snapshot!(text, @r"
        NAMES           SIZE
        web             1kB
        a_longer_name   1kB
        ");
    }

    #[test]
    fn a_template_is_a_line_for_each_row() {
        let text = LISTING.render(&rows(), Some("{{.ID}}: {{.Names}}")).unwrap();
        assert_eq!(text, "0123456789ab: web\nba9876543210: a_longer_name\n");
    }

    #[test]
    fn json_is_an_object_a_line_with_sorted_fields() {
        let text = LISTING.render(&rows(), Some("json")).unwrap();
        let first = r#"{"ID":"0123456789ab","Names":"web","Size":"1kB"}"#;
        assert_eq!(text.lines().next(), Some(first));
    }

    #[test]
    fn a_malformed_template_is_an_error() {
        assert!(LISTING.render(&rows(), Some("{{.ID")).is_err());
        assert!(LISTING.render(&rows(), Some("{{.Colour}}")).is_err());
    }

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        assert_eq!(ellipsis("1234567890", 10), "1234567890");
        assert_eq!(ellipsis("12345678901", 10), "123456789…");
    }

    #[test]
    fn quotes_are_those_of_go() {
        assert_eq!(quote("sh -c \"a\\b\"\n"), r#""sh -c \"a\\b\"\n""#);
        assert_eq!(quote("\u{1b}é"), "\"\\x1bé\"");
    }
}
