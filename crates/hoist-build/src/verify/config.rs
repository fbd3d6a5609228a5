//! Two configurations, field by field.

use std::collections::BTreeSet;

use hoist_core::image::Image;
use serde_json::Value;

/// A field that two configurations have differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigDifference {
    /// Which one: `config.Env[2]`.
    pub field: String,
    /// Its value in the first, as JSON; `null` when it has none.
    pub first: String,
    /// Its value in the second.
    pub second: String,
}

/// The fields that differ, in the order of their names; without the list of layers.
pub(super) fn differences(first: &Image, second: &Image) -> Vec<ConfigDifference> {
    let value = |image: &Image| {
        let mut value = serde_json::to_value(image).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            fields.remove("rootfs");
        }
        value
    };
    let mut found = Vec::new();
    compare("", &value(first), &value(second), &mut found);
    found
}

fn compare(field: &str, first: &Value, second: &Value, found: &mut Vec<ConfigDifference>) {
    match (first, second) {
        (Value::Object(one), Value::Object(other)) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for name in names {
                let [one, other] =
                    [one, other].map(|fields| fields.get(name).unwrap_or(&Value::Null));
                let dot = if field.is_empty() { "" } else { "." };
                compare(&format!("{field}{dot}{name}"), one, other, found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (number, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{field}[{number}]"), one, other, found);
            }
        }
        _ if first != second => found.push(ConfigDifference {
            field: field.to_owned(),
            first: first.to_string(),
            second: second.to_string(),
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_named_by_their_places() {
        let first = json!({ "a": { "b": [1, 2], "c": 1 }, "list": [1], "same": {} });
        let second = json!({ "a": { "b": [1, 3] }, "list": [1, 2], "same": {} });
        let mut found = Vec::new();
        compare("", &first, &second, &mut found);
        let lines: Vec<_> = found
            .iter()
            .map(|found| format!("{}: {} {}", found.field, found.first, found.second))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        a.b[1]: 2 3
        a.c: 1 null
        list: [1] [1,2]
        ");
    }
}
