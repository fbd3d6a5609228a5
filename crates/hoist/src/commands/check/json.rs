//! Findings as `docker build --call=check,format=json` prints them, with two members more for each:
//! `help`, and `fix`, what `hoist check --fix` would do.

use hoist_build::check::Checked;
use hoist_core::{Describe as _, error::chain};
use hoist_dockerfile::lint::Finding;
use serde_json::{Map, Value, json};

use super::lines;

/// The document.
pub(super) fn render(checked: &Checked) -> String {
    let findings = checked.report.findings.iter();
    let mut document = json!({
        "warnings": findings.map(|finding| warning(checked, finding)).collect::<Vec<_>>(),
        "sources": [{
            "filename": checked.name,
            "language": "Dockerfile",
            "data": base64(checked.source.text().as_bytes()),
        }],
    });
    let violated: Vec<&str> = checked.report.violated().into_iter().collect();
    if let Some(error) = &checked.error {
        document["buildError"] = json!({ "message": chain(error), "hints": error.hints() });
    } else if !violated.is_empty() {
        let message = format!("lint violation found for rules: {}", violated.join(", "));
        document["buildError"] = json!({ "message": message });
    }
    format!("{document:#}\n")
}

fn warning(checked: &Checked, finding: &Finding) -> Value {
    let (first, last) = lines(checked, finding);
    let mut warning = Map::new();
    let mut put = |name: &str, value: Value| warning.insert(name.to_owned(), value);
    put("ruleName", json!(finding.rule.name));
    put("description", json!(finding.rule.summary));
    if let Some(url) = finding.rule.url() {
        put("url", json!(url));
    }
    put("detail", json!(finding.diagnostic.message));
    put(
        "location",
        json!({ "ranges": [{ "start": { "line": first }, "end": { "line": last } }] }),
    );
    if let Some(help) = &finding.diagnostic.help {
        put("help", json!(help));
    }
    if let Some(fix) = &finding.fix {
        put("fix", json!(fix.description));
    }
    Value::Object(warning)
}

/// RFC 4648, with padding.
pub(in crate::commands) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let table = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("\u{ff}?>", "w78/Pg=="),
        ];
        for (plain, encoded) in table {
            assert_eq!(base64(plain.as_bytes()), encoded, "{plain}");
        }
    }
}
