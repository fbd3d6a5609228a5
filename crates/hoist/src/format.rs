//! `--format`: tables, Go templates and JSON over rows of named fields.
//!
//! | `--format` | output |
//! |---|---|
//! | absent, `table` | the command's own columns |
//! | `table {{.ID}}\t{{.Names}}` | these columns, with Docker's headings |
//! | `json`, `{{json .}}` | one object a line |
//! | anything else | the template, a line for each row |

mod text;

use std::collections::BTreeMap;

use hoist_core::{
    gotemplate::{Options, Template, unescape},
    table::Table,
};
use serde_json::{Map, Value};

pub(crate) use self::text::{counted, ellipsis, image_id, quote};
use crate::error::CliError;

/// One row: the fields of Docker's formatter with their texts, and labels for `{{.Label "name"}}`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    fields: Value,
    labels: BTreeMap<String, String>,
}

impl Row {
    /// A row of fields.
    pub(crate) fn new<const N: usize>(fields: [(&str, String); N]) -> Self {
        let fields: Map<String, Value> = fields
            .into_iter()
            .map(|(name, text)| (name.to_owned(), Value::String(text)))
            .collect();
        Self {
            fields: Value::Object(fields),
            labels: BTreeMap::new(),
        }
    }

    /// The same row with labels.
    #[must_use]
    pub(crate) fn with_labels(mut self, labels: &BTreeMap<String, String>) -> Self {
        self.labels.clone_from(labels);
        self.set("Labels", joined(labels));
        self
    }

    /// Set a field.
    pub(crate) fn set(&mut self, name: &str, text: String) {
        self.fields[name] = Value::String(text);
    }

    /// The text of a field; empty when there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.fields[name].as_str().unwrap_or_default()
    }

    /// All fields in alphabetical order, as Go writes maps.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields: Vec<_> = self.fields.as_object().into_iter().flatten().collect();
        fields.sort_by_key(|(name, _)| *name);
        Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }

    fn fill(&self, template: &Template) -> Result<String, CliError> {
        let label = |_: &Value, method: &str, arguments: &[Value]| {
            let name = arguments
                .first()
                .and_then(Value::as_str)
                .filter(|_| method == "Label")?;
            Some(Value::String(
                self.labels.get(name).cloned().unwrap_or_default(),
            ))
        };
        let options = Options {
            method: Some(&label),
            ..Options::default()
        };
        Ok(template.render_with(&self.fields, options)?)
    }
}

/// `a=1,b=2`.
fn joined(labels: &BTreeMap<String, String>) -> String {
    labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

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
            "json" => Ok(rows
                .iter()
                .map(|row| format!("{}\n", row.to_json()))
                .collect()),
            format => match format.strip_prefix("table ") {
                Some(template) => self.template_table(rows, template),
                None => lines(rows, format),
            },
        }
    }

    fn table(&self, rows: &[Row]) -> String {
        let heading = |field: &&str| {
            let found = self.headings.iter().find(|(name, _)| name == field);
            found.map_or("", |(_, heading)| *heading)
        };
        let mut table = Table::with_headers(self.columns.iter().map(heading));
        for row in rows {
            table.push(self.columns.iter().map(|field| row.text(field)));
        }
        table.to_string()
    }

    fn template_table(&self, rows: &[Row], format: &str) -> Result<String, CliError> {
        let template = Template::parse(&unescape(format))?;
        let mut table = Table::new();
        table.push(self.heading_line(&template)?.split('\t'));
        for row in rows {
            table.push(row.fill(&template)?.split('\t'));
        }
        Ok(table.to_string())
    }

    /// The template filled with headings in place of values.
    fn heading_line(&self, template: &Template) -> Result<String, CliError> {
        let headings = self
            .headings
            .iter()
            .map(|(field, heading)| ((*field).to_owned(), Value::from(*heading)));
        // As in Docker, a label's heading is the last part of its name.
        let label = |_: &Value, method: &str, arguments: &[Value]| {
            let name = arguments
                .first()
                .and_then(Value::as_str)
                .filter(|_| method == "Label")?;
            let last = name.rsplit('.').next().unwrap_or(name);
            Some(Value::String(last.replace(['-', '_'], " ")))
        };
        let options = Options {
            method: Some(&label),
            ..Options::default()
        };
        Ok(template.render_with(&Value::Object(headings.collect()), options)?)
    }
}

fn lines(rows: &[Row], format: &str) -> Result<String, CliError> {
    let template = Template::parse(&unescape(format))?;
    let mut out = String::new();
    for row in rows {
        out.push_str(&row.fill(&template)?);
        out.push('\n');
    }
    Ok(out)
}

/// `document` as `format` wants it; `None` is indented JSON.
///
/// # Errors
/// As [`Listing::render`].
pub(crate) fn document(document: &Value, format: Option<&str>) -> Result<String, CliError> {
    match format {
        None | Some("") => Ok(format!("{}\n", indented(document))),
        Some("json") => Ok(format!("{document}\n")),
        Some(format) => {
            let template = Template::parse(format)?;
            Ok(format!("{}\n", template.render(document)?))
        }
    }
}

/// JSON on many lines, indented by four spaces as Docker's.
pub(crate) fn indented(document: &Value) -> String {
    let mut bytes = Vec::new();
    let style = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, style);
    match serde::Serialize::serialize(document, &mut serializer) {
        Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
        // A document in memory has text keys and finite numbers: it can always be written.
        Err(_) => document.to_string(),
    }
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
            Row::new([
                ("Size", "1kB".to_owned()),
                ("Names", name.to_owned()),
                ("ID", id.to_owned()),
            ])
        };
        vec![
            of("0123456789ab", "web"),
            of("ba9876543210", "a_longer_name"),
        ]
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
        let text = LISTING
            .render(&rows(), Some(r"table {{.Names}}\t{{.Size}}"))
            .unwrap();
        insta::assert_snapshot!(text, @r"
        NAMES           SIZE
        web             1kB
        a_longer_name   1kB
        ");
    }

    #[test]
    fn a_template_is_a_line_for_each_row() {
        let text = LISTING
            .render(&rows(), Some("{{.ID}}: {{.Names}}"))
            .unwrap();
        assert_eq!(text, "0123456789ab: web\nba9876543210: a_longer_name\n");
    }

    #[test]
    fn labels_are_fields_with_an_argument() {
        let labels = [("com.example.my-tier".to_owned(), "web".to_owned())].into();
        let rows = [rows().remove(0).with_labels(&labels)];
        let text = LISTING
            .render(
                &rows,
                Some(r#"table {{.ID}}\t{{.Label "com.example.my-tier"}}"#),
            )
            .unwrap();
        insta::assert_snapshot!(text, @r"
        CONTAINER ID   my tier
        0123456789ab   web
        ");
        let text = LISTING
            .render(&rows, Some(r#"{{.Labels}} {{.Label "no"}}"#))
            .unwrap();
        assert_eq!(text, "com.example.my-tier=web \n");
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
}
