//! The `WWW-Authenticate` header (RFC 9110, section 11.6.1), as far as registries use it.

use std::collections::BTreeMap;

/// How a registry wants to know who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from elsewhere (the distribution project's token specification).
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
    /// User and password.
    Basic,
}

impl Challenge {
    /// The best of the challenges in all `WWW-Authenticate` headers: a token before a password.
    pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let all: Vec<Self> = headers.flat_map(parse).collect();
        let bearer = all
            .iter()
            .find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or_else(|| all.first()).cloned()
    }
}

/// The challenges of one header that are understood.
fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = header.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let (scheme, after) = token(rest);
        if scheme.is_empty() {
            break;
        }
        let (parameters, after) = parameters(after);
        let mut parameters = parameters;
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => challenges.push(Challenge::Basic),
            "bearer" => {
                if let Some(realm) = parameters.remove("realm") {
                    challenges.push(Challenge::Bearer {
                        realm,
                        service: parameters.remove("service"),
                        scope: parameters.remove("scope"),
                    });
                }
            }
            _ => {}
        }
        rest = after;
    }
    challenges
}

/// `name=value` and `name="value"`, separated by commas, until something else comes.
fn parameters(mut text: &str) -> (BTreeMap<String, String>, &str) {
    let mut parameters = BTreeMap::new();
    loop {
        let start = text.trim_start_matches([' ', ',', '\t']);
        let (name, after) = token(start);
        let Some(value) = after
            .trim_start()
            .strip_prefix('=')
            .filter(|_| !name.is_empty())
        else {
            return (parameters, start);
        };
        let (value, after) = value_of(value.trim_start());
        parameters.insert(name.to_ascii_lowercase(), value);
        text = after;
    }
}

fn token(text: &str) -> (&str, &str) {
    let end = text
        .find(|character: char| {
            !(character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:@[]".contains(character))
        })
        .unwrap_or(text.len());
    text.split_at(end)
}

fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = token(text);
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_of_real_registries_are_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/python:pull,push""#;
        let table = [
            (
                vec![hub],
                Some(bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/python:pull,push"),
                )),
            ),
            (
                vec![r#"Basic realm="a \"quoted\" realm""#],
                Some(Challenge::Basic),
            ),
            (vec!["basic"], Some(Challenge::Basic)),
            (
                vec![r#"Basic realm="x", Bearer realm=https://t/token , service = "s""#],
                Some(bearer("https://t/token", Some("s"), None)),
            ),
            (
                vec![r#"Basic realm="x""#, r#"BEARER Realm="https://t""#],
                Some(bearer("https://t", None, None)),
            ),
            (
                vec![r#"Negotiate, Digest realm="x", Basic realm="y""#],
                Some(Challenge::Basic),
            ),
            (vec!["Bearer"], None),
            (vec![""], None),
            (vec!["\"\"\"=,,"], None),
            (
                vec![r#"Bearer realm="unfinished"#],
                Some(bearer("unfinished", None, None)),
            ),
        ];
        for (headers, expected) in table {
            assert_eq!(
                Challenge::choose(headers.iter().copied()),
                expected,
                "{headers:?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_to_its_end(text in ".{0,200}") {
            let _ = Challenge::choose([text.as_str()].into_iter());
        }
    }
}
