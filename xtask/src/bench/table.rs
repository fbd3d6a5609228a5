//! Medians, minima and ratios, aligned.

use std::time::Duration;

use super::row::Row;
use super::tools::Tool;

/// A row's times, a list for each tool; empty where a tool does no such work.
pub(super) struct Measured {
    pub(super) row: Row,
    pub(super) times: Vec<Vec<Duration>>,
}

impl Measured {
    fn median(&self, tool: usize) -> Option<Duration> {
        let mut times = self.times[tool].clone();
        times.sort();
        times.get(times.len() / 2).copied()
    }
}

/// Prints the table: medians with minima in milliseconds, and hoist against each other.
pub(super) fn print(tools: &[Tool], measured: &[Measured]) {
    let own = tools
        .iter()
        .position(|tool| tool.name == "hoist")
        .unwrap_or_default();
    let mut lines = vec![vec!["median (min) ms".to_owned()]];
    lines[0].extend(tools.iter().map(|tool| tool.name.to_owned()));
    lines[0].push("hoist is".to_owned());
    lines[0].push("to reach".to_owned());
    for row in measured {
        let mut line = vec![row.row.name.to_owned()];
        for tool in 0..tools.len() {
            line.push(match (row.median(tool), row.times[tool].iter().min()) {
                (Some(median), Some(least)) => format!("{:.1} ({:.1})", ms(median), ms(*least)),
                _ => "–".to_owned(),
            });
        }
        let mut ratios = Vec::new();
        for (index, tool) in tools.iter().enumerate().filter(|(index, _)| *index != own) {
            if let (Some(own), Some(other)) = (row.median(own), row.median(index)) {
                let ratio = ms(own) / ms(other);
                ratios.push(if ratio >= 1.0 {
                    format!("{ratio:.1} × {}", tool.name)
                } else {
                    format!("{} / {:.1}", tool.name, 1.0 / ratio)
                });
            }
        }
        line.push(ratios.join(", "));
        line.push(row.row.goal.to_owned());
        lines.push(line);
    }
    aligned(&lines);
}

/// Prints lines of cells in columns.
pub(super) fn aligned(lines: &[Vec<String>]) {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    println!();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
