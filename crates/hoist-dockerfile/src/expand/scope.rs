//! Where variables come from.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{ExpandError, Expander, Expansion};
use crate::instruction::Arg;

/// A set of variables.
pub trait Scope {
    /// The value of `name`, if it is set.
    fn lookup(&self, name: &str) -> Option<&str>;
}

/// No variable at all.
impl Scope for () {
    fn lookup(&self, _name: &str) -> Option<&str> {
        None
    }
}

impl Scope for BTreeMap<String, String> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

impl Scope for HashMap<String, String> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// Names and values in order; the last of a name counts.
impl Scope for Vec<(String, String)> {
    fn lookup(&self, name: &str) -> Option<&str> {
        let found = self.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The variables of one build stage: the environment, and the build arguments declared so far.
///
/// Starts with the environment of the base image; `ENV` and `ARG` instructions add to it in their
/// order, and the later of two settings of a name wins, as in BuildKit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageScope {
    variables: BTreeMap<String, String>,
    arguments: Vec<(String, Option<String>)>,
    declared: BTreeSet<String>,
}

impl Scope for StageScope {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.variables.lookup(name)
    }
}

impl StageScope {
    /// A stage that starts with these variables.
    pub fn new(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: environment.into_iter().collect(),
            ..Self::default()
        }
    }

    /// `ENV name=value`.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.variables.insert(name.into(), value.into());
    }

    /// `ARG`: the value is that of `build_args`, else the default written here, else that of the
    /// ARG of this name before the first FROM (or of the platform), else none.
    ///
    /// Returns what the default's expansion used.
    ///
    /// # Errors
    /// The default cannot be expanded.
    pub fn declare(
        &mut self,
        argument: &Arg,
        build_args: &BTreeMap<String, String>,
        global: &dyn Scope,
        escape: char,
    ) -> Result<Expansion, ExpandError> {
        let name = argument.name.as_str();
        let mut expansion = Expansion::default();
        let value = match (build_args.get(name), &argument.default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => {
                expansion = Expander::new(self, escape).word(default)?;
                Some(expansion.text.clone())
            }
            (None, None) => global.lookup(name).map(str::to_owned),
        };
        if let Some(value) = &value {
            self.variables.insert(name.to_owned(), value.clone());
        }
        self.declared.insert(name.to_owned());
        self.arguments.push((name.to_owned(), value));
        Ok(expansion)
    }

    /// The arguments declared so far, in order, with their values.
    #[must_use]
    pub fn arguments(&self) -> &[(String, Option<String>)] {
        &self.arguments
    }

    /// Whether `name` was declared with ARG, with a value or without.
    #[must_use]
    pub fn is_declared(&self, name: &str) -> bool {
        self.declared.contains(name)
    }

    /// All variables that have a value, by name.
    #[must_use]
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }
}
