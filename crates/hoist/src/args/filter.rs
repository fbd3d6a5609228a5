//! `--filter key=value`, repeated.
//!
//! As in Docker: several values of one key are alternatives, except labels, which must all fit;
//! different keys must all fit.

/// One `--filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// What is compared, in lower case.
    pub(crate) key: String,
    /// With what.
    pub(crate) value: String,
}

impl Filter {
    /// Parse `key=value`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| "invalid argument: filter must be in the form key=value".to_owned())?;
        Ok(Self {
            key: key.trim().to_lowercase(),
            value: value.trim().to_owned(),
        })
    }
}

/// Every `--filter` of a command.
#[derive(Debug)]
pub(crate) struct Filters<'a>(&'a [Filter]);

impl<'a> Filters<'a> {
    /// The filters, whose keys must be among `known`.
    ///
    /// # Errors
    /// Docker's sentence about the first unknown key.
    pub(crate) fn checked(filters: &'a [Filter], known: &[&str]) -> Result<Self, String> {
        match filters
            .iter()
            .find(|filter| !known.contains(&filter.key.as_str()))
        {
            Some(filter) => Err(format!("invalid filter '{}'", filter.key)),
            None => Ok(Self(filters)),
        }
    }

    /// The values of `key`.
    pub(crate) fn values(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |filter| filter.key == key)
            .map(|filter| filter.value.as_str())
    }

    /// Nothing is asked of `key`, or `fits` one of its values.
    pub(crate) fn any(&self, key: &str, fits: impl Fn(&str) -> bool) -> bool {
        let mut values = self.values(key).peekable();
        values.peek().is_none() || values.any(fits)
    }

    /// Every value of `key` fits: labels, `name` or `name=value`.
    pub(crate) fn labels(&self, labels: &std::collections::BTreeMap<String, String>) -> bool {
        self.values("label").all(|wanted| has_label(labels, wanted))
    }

    /// Something is asked of `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values(key).next().is_some()
    }
}

fn has_label(labels: &std::collections::BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|have| have == value),
        None => labels.contains_key(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_key_are_alternatives_and_labels_must_all_fit() {
        let filters: Vec<_> = ["name=a", "name=b", "label=x", "label=y=1"]
            .map(|text| Filter::parse(text).unwrap())
            .into();
        let filters = Filters::checked(&filters, &["name", "label"]).unwrap();
        assert!(filters.any("name", |name| name == "b"));
        assert!(!filters.any("name", |name| name == "c"));
        assert!(filters.any("status", |_| false));
        let labels = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        assert!(filters.labels(&labels(&[("x", "anything"), ("y", "1")])));
        assert!(!filters.labels(&labels(&[("x", "anything"), ("y", "2")])));
    }

    #[test]
    fn a_filter_without_equals_or_with_an_unknown_key_is_refused() {
        assert!(Filter::parse("name").is_err());
        let filters = [Filter::parse("colour=red").unwrap()];
        assert_eq!(
            Filters::checked(&filters, &["name"]).unwrap_err(),
            "invalid filter 'colour'"
        );
    }
}
