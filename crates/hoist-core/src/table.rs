//! Tables of columns, as Docker prints them.

use std::fmt;

/// Spaces between a column's longest cell and the next column.
const PADDING: usize = 3;
/// The least width of a column, padding included (Docker's `tabwriter` settings).
const LEAST_WIDTH: usize = 10;

/// A table: rows of cells, columns aligned to the left, three spaces apart, the last one unpadded.
///
/// A column is at least ten characters wide with its spaces, as in Docker. Widths count Unicode
/// characters. Control characters in cells, which could move the cursor or break the line, are
/// shown as spaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a first row of `headers` in upper case.
    #[must_use]
    pub fn with_headers<T: AsRef<str>>(headers: impl IntoIterator<Item = T>) -> Self {
        let mut table = Self::default();
        table.push(headers.into_iter().map(|text| text.as_ref().to_uppercase()));
        table
    }

    /// A table without headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Append a row; rows may have different numbers of cells.
    pub fn push<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter().map(Into::into);
        self.rows
            .push(cells.map(|cell: String| printable(&cell)).collect());
    }

    /// The width of each column with its spaces. The last cell of a row makes no column wider.
    fn widths(&self) -> Vec<usize> {
        let mut widths = Vec::new();
        for row in &self.rows {
            let Some((_, padded)) = row.split_last() else {
                continue;
            };
            for (column, cell) in padded.iter().enumerate() {
                let width = (cell.chars().count() + PADDING).max(LEAST_WIDTH);
                match widths.get_mut(column) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        widths
    }
}

impl fmt::Display for Table {
    /// All rows, each with a line end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            if let Some((last, padded)) = row.split_last() {
                for (cell, width) in padded.iter().zip(&widths) {
                    write!(f, "{cell:<width$}")?;
                }
                f.write_str(last)?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}

fn printable(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_three_spaces_apart_and_ten_wide_at_least() {
        let mut table = Table::with_headers(["Repository", "Tag", "Image ID", "Size"]);
        table.push(["my-api", "1.0", "0123456789ab", "219MB"]);
        table.push(["a-longer-name", "latest", "ba9876543210", "1.24GB"]);
        assert_eq!(
            table.to_string(),
            "REPOSITORY      TAG       IMAGE ID       SIZE\n\
             my-api          1.0       0123456789ab   219MB\n\
             a-longer-name   latest    ba9876543210   1.24GB\n"
        );
    }

    #[test]
    fn the_last_column_is_unpadded_and_empty_cells_keep_their_place() {
        let mut table = Table::with_headers(["ports", "names"]);
        table.push(["", "a"]);
        table.push(["0.0.0.0:8000->8000/tcp", "b"]);
        assert_eq!(
            table.to_string(),
            "PORTS                    NAMES\n\
             \x20                        a\n\
             0.0.0.0:8000->8000/tcp   b\n"
        );
    }

    #[test]
    fn widths_count_characters_and_control_characters_are_shown_as_spaces() {
        let mut table = Table::new();
        table.push(["žluťoučký kůň", "x"]);
        table.push(["a\nb\u{1b}[2Jc", "y\t"]);
        assert_eq!(table.to_string(), "žluťoučký kůň   x\na b [2Jc        y \n");
    }

    #[test]
    fn rows_of_any_length_are_printed() {
        let mut table = Table::new();
        assert_eq!(table.to_string(), "");
        table.push(["a very long single cell of its own"]);
        table.push(Vec::<String>::new());
        table.push(["a", "b", "c"]);
        assert_eq!(
            table.to_string(),
            "a very long single cell of its own\n\na         b         c\n"
        );
    }

    proptest! {
        #[test]
        fn every_row_is_one_line_and_columns_are_aligned(
            rows in proptest::collection::vec((".{0,12}", ".{0,12}", ".{0,12}"), 1..6)
        ) {
            let mut table = Table::new();
            for (first, second, third) in &rows {
                table.push([first.as_str(), second, third]);
            }
            let text = table.to_string();
            let lines: Vec<_> = text.split_terminator('\n').collect();
            prop_assert_eq!(lines.len(), rows.len());
            let offset: usize = table.widths().iter().sum();
            for (line, (_, _, third)) in lines.iter().zip(&rows) {
                let last: String = line.chars().skip(offset).collect();
                prop_assert_eq!(last, printable(third));
            }
        }
    }
}
