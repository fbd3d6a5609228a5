//! The text that an instruction leaves in an image's history, as BuildKit writes it, and the
//! times of the entries.

use hoist_core::{
    image::{Healthcheck, History},
    time::Timestamp,
};
use hoist_dockerfile::lint::is_secret;

/// What BuildKit writes as comment of every entry.
pub(crate) const COMMENT: &str = "buildkit.dockerfile.v0";

/// The end of every entry of a step, as BuildKit writes it.
pub(crate) const MARK: &str = "# buildkit";

/// Shown in place of the value of a build argument whose name looks like a secret.
pub(crate) const REDACTED: &str = "***";

/// One entry while the image is made: its time is known once its layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// `created_by`.
    pub(crate) text: String,
    /// When its layer was made; `None` for instructions without one.
    pub(crate) created: Option<Timestamp>,
    /// The instruction added a layer.
    pub(crate) has_layer: bool,
}

impl Line {
    /// An entry of an instruction that only changes the configuration.
    pub(crate) fn metadata(text: String) -> Self {
        Self {
            text,
            created: None,
            has_layer: false,
        }
    }
}

/// Complete the history of an image: `base` and the new `lines`. An entry without a time of its
/// own gets that of the layer before it, the first ones that of the first new layer, and those of
/// a build without new layers `fallback`: the same inputs give the same history. With an `epoch`
/// all new ones have that.
pub(crate) fn complete(
    base: &[History],
    lines: &[Line],
    fallback: Timestamp,
    epoch: Option<Timestamp>,
) -> Vec<History> {
    let first = lines.iter().find_map(|line| line.created);
    let mut created = epoch.or(first).unwrap_or(fallback);
    let new = lines.iter().map(|line| {
        created = epoch.or(line.created).unwrap_or(created);
        History {
            created: Some(created.to_string()),
            created_by: Some(line.text.clone()),
            comment: Some(COMMENT.to_owned()),
            empty_layer: !line.has_layer,
        }
    });
    base.iter().cloned().chain(new).collect()
}

/// `RUN`: the build arguments in scope, then the argument vector.
pub(crate) fn run(arguments: &[(String, Option<String>)], argv: &[String]) -> String {
    let mut words = vec!["RUN".to_owned()];
    if !arguments.is_empty() {
        words.push(format!("|{}", arguments.len()));
        words.extend(arguments.iter().map(|(name, value)| {
            format!("{name}={}", shown(name, value.as_deref().unwrap_or("")))
        }));
    }
    words.extend(argv.iter().cloned());
    words.push(MARK.to_owned());
    words.join(" ")
}

/// `ARG`, with the values that the arguments have.
pub(crate) fn arg(arguments: &[(String, Option<String>)]) -> String {
    let mut text = "ARG".to_owned();
    for (name, value) in arguments {
        text.push(' ');
        text.push_str(name);
        if let Some(value) = value {
            text.push('=');
            text.push_str(shown(name, value));
        }
    }
    text
}

/// `ENV` and `LABEL`.
pub(crate) fn pairs<'a>(
    keyword: &str,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut text = keyword.to_owned();
    for (key, value) in pairs {
        text.push_str(&format!(" {key}={value}"));
    }
    text
}

/// `CMD` and `ENTRYPOINT`: Go's `%q` of a list.
pub(crate) fn command(keyword: &str, argv: &[String]) -> String {
    let words: Vec<_> = argv.iter().map(|word| quote(word)).collect();
    format!("{keyword} [{}]", words.join(" "))
}

/// `EXPOSE`, `VOLUME`, `SHELL`: Go's `%v` of a list.
pub(crate) fn list(keyword: &str, words: &[String]) -> String {
    format!("{keyword} [{}]", words.join(" "))
}

/// `HEALTHCHECK`: Go's `%+v` of the configuration.
pub(crate) fn healthcheck(check: &Healthcheck) -> String {
    let duration = hoist_core::duration::format;
    format!(
        "HEALTHCHECK {{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        check.test.join(" "),
        duration(check.interval),
        duration(check.timeout),
        duration(check.start_period),
        duration(check.start_interval),
        check.retries,
    )
}

/// `value`, unless `name` looks like that of a secret.
fn shown<'a>(name: &str, value: &'a str) -> &'a str {
    if is_secret(name) { REDACTED } else { value }
}

/// Go's `strconv.Quote`.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            control if u32::from(control) < 0x20 || control == '\u{7f}' => {
                quoted.push_str(&format!("\\x{:02x}", u32::from(control)));
            }
            control if control.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn texts_are_those_of_buildkit() {
        let argv = words(&["/bin/sh", "-c", "pip install \\\n -r requirements.txt"]);
        assert_eq!(
            run(&[], &argv),
            "RUN /bin/sh -c pip install \\\n -r requirements.txt # buildkit"
        );
        let arguments = [
            ("VERSION".to_owned(), Some("1.2".to_owned())),
            ("EMPTY".to_owned(), None),
            ("PIP_TOKEN".to_owned(), Some("hunter2".to_owned())),
        ];
        assert_eq!(
            run(&arguments, &words(&["make"])),
            "RUN |3 VERSION=1.2 EMPTY= PIP_TOKEN=*** make # buildkit"
        );
        assert_eq!(arg(&arguments), "ARG VERSION=1.2 EMPTY PIP_TOKEN=***");
        assert_eq!(
            command("CMD", &words(&["python", "-c", "print(\"é\")\n\u{1b}"])),
            r#"CMD ["python" "-c" "print(\"é\")\n\x1b"]"#
        );
        assert_eq!(command("ENTRYPOINT", &[]), "ENTRYPOINT []");
        assert_eq!(
            list("EXPOSE", &words(&["8000/tcp", "53/udp"])),
            "EXPOSE [8000/tcp 53/udp]"
        );
        assert_eq!(pairs("ENV", [("A", "1"), ("B", "x y")]), "ENV A=1 B=x y");
        let check = Healthcheck {
            test: words(&["CMD-SHELL", "curl -f localhost || exit 1"]),
            interval: Duration::from_secs(30),
            timeout: Duration::from_millis(1500),
            retries: 3,
            ..Healthcheck::default()
        };
        assert_eq!(
            healthcheck(&check),
            "HEALTHCHECK {Test:[CMD-SHELL curl -f localhost || exit 1] Interval:30s Timeout:1.5s \
             StartPeriod:0s StartInterval:0s Retries:3}"
        );
    }

    #[test]
    fn names_of_secrets_are_those_of_dockers_check() {
        for name in [
            "API_KEY",
            "apikey",
            "DB_PASSWORD",
            "GITHUB_TOKEN",
            "AWS_SECRET_ID",
            "AUTH",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "PUBLIC_KEY",
            "KEYBOARD",
            "PASSWORD_FILE",
            "MONKEY",
            "VERSION",
            "TOKENS_MAX",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn entries_without_a_layer_take_the_time_of_their_neighbour() {
        let time = |seconds| Some(Timestamp::from_seconds(seconds));
        let line = |text: &str, created| Line {
            text: text.to_owned(),
            created,
            has_layer: created.is_some(),
        };
        let lines = [
            line("ENV", None),
            line("RUN a", time(10)),
            line("CMD", None),
            line("RUN b", time(20)),
            line("USER", None),
        ];
        let history = complete(&[], &lines, Timestamp::EPOCH, None);
        let times: Vec<_> = history
            .iter()
            .map(|entry| entry.created.clone().unwrap())
            .collect();
        let (ten, twenty) = ("1970-01-01T00:00:10Z", "1970-01-01T00:00:20Z");
        assert_eq!(times, [ten, ten, ten, twenty, twenty]);
        assert!(history[0].empty_layer && !history[1].empty_layer);
        let only = complete(&[], &lines[..1], Timestamp::from_seconds(5), None);
        assert_eq!(only[0].created.as_deref(), Some("1970-01-01T00:00:05Z"));
    }
}
