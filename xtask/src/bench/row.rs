//! One row of a table: a kind of work, for every tool that can do it.

use std::time::Duration;

use super::tools::Tool;
use crate::program::Result;

/// The time of one go, or nothing for a tool that does not do such work. What is needed before and
/// after is not counted.
type Measure = Box<dyn Fn(&Tool) -> Result<Option<Duration>>>;

/// One kind of work.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// What hoist is to reach, for the table.
    pub(super) goal: &'static str,
    /// How often it is measured for each tool.
    pub(super) rounds: usize,
    measure: Measure,
}

impl Row {
    /// A row that is measured `rounds` times.
    pub(super) fn new(
        name: &'static str,
        rounds: usize,
        measure: impl Fn(&Tool) -> Result<Option<Duration>> + 'static,
    ) -> Self {
        Self {
            name,
            goal: "",
            rounds,
            measure: Box::new(measure),
        }
    }

    /// The same row with what hoist is to reach.
    pub(super) fn goal(self, goal: &'static str) -> Self {
        Self { goal, ..self }
    }

    /// All tools by turns, so that a busy moment of the machine meets all of them: a list of times
    /// for each tool.
    pub(super) fn measure(&self, tools: &[Tool]) -> Result<Vec<Vec<Duration>>> {
        println!("==> {}", self.name);
        let mut times = vec![Vec::new(); tools.len()];
        // The first round warms caches and is not counted.
        for round in 0..=self.rounds {
            for (tool, times) in tools.iter().zip(&mut times) {
                if let Some(time) = (self.measure)(tool)?
                    && round > 0
                {
                    times.push(time);
                }
            }
        }
        Ok(times)
    }
}
