//! `RUN --mount=type=…,…`.

use crate::diagnostic::Diagnostic;
use crate::expand::Expander;
use crate::source::{Span, Spanned};
use crate::suggest::{did_you_mean, nearest};

/// A `--mount` as written. Its values may hold variables, so what it means is known only to
/// [`MountSpec::resolve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// The whole value of the flag.
    pub text: Spanned<String>,
    /// `from=`: a stage, an image or a named context. Never expanded.
    pub from: Option<String>,
    fields: Vec<String>,
}

/// A mount of a RUN step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// `type=`.
    pub kind: MountKind,
    /// `from=`: a stage, an image or a named context.
    pub from: Option<String>,
    /// `source=`: path in `from` or in the build context; for secrets an older word for `id`.
    pub source: Option<String>,
    /// `target=`: path in the container.
    pub target: Option<String>,
    /// What the step writes there fails (or, for bind mounts with `rw`, is discarded).
    pub read_only: bool,
    /// `size=` of a tmpfs, in bytes.
    pub size: Option<u64>,
    /// `id=` of a cache, secret or agent.
    pub id: Option<String>,
    /// `sharing=` of a cache.
    pub sharing: Option<Sharing>,
    /// A secret or agent must be there.
    pub required: bool,
    /// `env=`: the secret becomes a variable of this name; empty means its id.
    pub env: Option<String>,
    /// `mode=`, permission bits.
    pub mode: Option<u32>,
    /// `uid=`.
    pub uid: Option<u32>,
    /// `gid=`.
    pub gid: Option<u32>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// Memory.
    Tmpfs,
    /// A secret.
    Secret,
    /// An SSH agent's socket.
    Ssh,
}

impl MountKind {
    const ALL: [(&'static str, Self); 5] = [
        ("bind", Self::Bind),
        ("cache", Self::Cache),
        ("tmpfs", Self::Tmpfs),
        ("secret", Self::Secret),
        ("ssh", Self::Ssh),
    ];

    /// The word behind `type=`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("bind", |(name, _)| name)
    }
}

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// All.
    Shared,
    /// Each its own copy.
    Private,
    /// One after the other.
    Locked,
}

const SHARING: [(&str, Sharing); 3] = [
    ("shared", Sharing::Shared),
    ("private", Sharing::Private),
    ("locked", Sharing::Locked),
];

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// Reads the fields; a mount without variables is checked at once.
pub(super) fn parse(text: Spanned<String>, escape: char) -> Result<MountSpec, Diagnostic> {
    let fields = csv_fields(&text).map_err(|reason| {
        let message = format!("failed to parse csv mounts: {reason}");
        Diagnostic::error("mount", message, text.span)
    })?;
    let mut from = None;
    for field in &fields {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        if !key.eq_ignore_ascii_case("from") {
            continue;
        }
        if value.find('$').is_some_and(|at| at + 1 != value.len()) {
            let message = "'from' doesn't support variable expansion, define alias stage instead";
            return Err(Diagnostic::error("mount", message, text.span));
        }
        from = Some(value.to_owned()).filter(|value| !value.is_empty());
    }
    let spec = MountSpec { text, from, fields };
    if !spec.fields.iter().any(|field| field.contains('$')) {
        spec.resolve(&Expander::new(&(), escape))?;
    }
    Ok(spec)
}

impl MountSpec {
    /// The mount, its variables expanded.
    ///
    /// # Errors
    /// An unknown key, a value that does not fit, or keys that exclude each other.
    pub fn resolve(&self, expander: &Expander<'_>) -> Result<Mount, Diagnostic> {
        let mut builder = Builder::default();
        for field in &self.fields {
            builder
                .field(field, expander)
                .map_err(|message| self.error(message))?;
        }
        builder.finish().map_err(|message| self.error(message))
    }

    /// Where the mount stands.
    #[must_use]
    pub fn span(&self) -> Span {
        self.text.span
    }

    fn error(&self, message: String) -> Diagnostic {
        Diagnostic::error("mount", message, self.text.span)
    }
}

#[derive(Default)]
struct Builder {
    mount: Mount,
    read_only: Option<bool>,
}

impl Default for Mount {
    fn default() -> Self {
        Self {
            kind: MountKind::Bind,
            from: None,
            source: None,
            target: None,
            read_only: true,
            size: None,
            id: None,
            sharing: None,
            required: false,
            env: None,
            mode: None,
            uid: None,
            gid: None,
        }
    }
}

impl Builder {
    fn field(&mut self, field: &str, expander: &Expander<'_>) -> Result<(), String> {
        let Some((key, value)) = field.split_once('=') else {
            return self.bare(field);
        };
        let key = key.to_ascii_lowercase();
        let value = if key == "from" {
            value.to_owned()
        } else {
            expander
                .word(value)
                .map_err(|error| error.to_string())?
                .text
        };
        let mount = &mut self.mount;
        match key.as_str() {
            "type" => mount.kind = choice(&value, &MountKind::ALL, "mount type")?,
            "from" => mount.from = present(value),
            "source" | "src" => mount.source = present(value),
            "target" | "dst" | "destination" => mount.target = present(value),
            "readonly" | "ro" => self.read_only = Some(boolean(&key, &value)?),
            "readwrite" | "rw" => self.read_only = Some(!boolean(&key, &value)?),
            "required" => {
                self.allowed(&key, &[MountKind::Secret, MountKind::Ssh])?;
                self.mount.required = boolean(&key, &value)?;
            }
            "size" => {
                self.allowed(&key, &[MountKind::Tmpfs])?;
                let size = byte_size(&value);
                let invalid = || format!("invalid value for size: {value}");
                self.mount.size = Some(size.ok_or_else(invalid)?);
            }
            "id" => mount.id = present(value),
            "sharing" => mount.sharing = Some(choice(&value, &SHARING, "sharing value")?),
            "mode" => mount.mode = Some(number(&key, &value, 8)?),
            "uid" => mount.uid = Some(number(&key, &value, 10)?),
            "gid" => mount.gid = Some(number(&key, &value, 10)?),
            "env" => mount.env = Some(value),
            _ => {
                let hint = did_you_mean(nearest(&key, KEYS));
                return Err(format!("unexpected key '{key}' in '{field}'{hint}"));
            }
        }
        Ok(())
    }

    /// A key without a value.
    fn bare(&mut self, field: &str) -> Result<(), String> {
        match field.to_ascii_lowercase().as_str() {
            "readonly" | "ro" => self.read_only = Some(true),
            "readwrite" | "rw" => self.read_only = Some(false),
            "required" => {
                self.allowed("required", &[MountKind::Secret, MountKind::Ssh])?;
                self.mount.required = true;
            }
            _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
        }
        Ok(())
    }

    fn allowed(&self, key: &str, kinds: &[MountKind]) -> Result<(), String> {
        let kind = self.mount.kind;
        if kinds.contains(&kind) {
            return Ok(());
        }
        Err(format!(
            "unexpected key '{key}' for mount type '{}'",
            kind.as_str()
        ))
    }

    fn finish(self) -> Result<Mount, String> {
        let mut mount = self.mount;
        let kind = mount.kind;
        let named = kind.as_str();
        if matches!(kind, MountKind::Bind | MountKind::Tmpfs) {
            for (key, value) in [("mode", mount.mode), ("uid", mount.uid), ("gid", mount.gid)] {
                if value.is_some() {
                    return Err(format!("{key} not allowed for \"{named}\" type mounts"));
                }
            }
        }
        let writable = matches!(kind, MountKind::Cache | MountKind::Tmpfs);
        mount.read_only = self.read_only.unwrap_or(!writable);
        if kind == MountKind::Secret {
            check_secret(&mount)?;
        }
        if mount.sharing.is_some() && kind != MountKind::Cache {
            return Err(format!("invalid cache sharing set for {named} mount"));
        }
        Ok(mount)
    }
}

fn check_secret(mount: &Mount) -> Result<(), String> {
    let problem = if mount.from.is_some() {
        "secret mount should not have a from"
    } else if mount.sharing.is_some() {
        "secret mount should not define sharing"
    } else if mount.source.is_none() && mount.target.is_none() && mount.id.is_none() {
        "invalid secret mount. one of source, target required"
    } else if mount.source.is_some() && mount.id.is_some() {
        "both source and id can't be set"
    } else {
        return Ok(());
    };
    Err(problem.to_owned())
}

fn present(value: String) -> Option<String> {
    Some(value).filter(|value| !value.is_empty())
}

fn choice<T: Copy>(value: &str, choices: &[(&'static str, T)], what: &str) -> Result<T, String> {
    let lower = value.to_ascii_lowercase();
    if let Some((_, found)) = choices.iter().find(|(name, _)| *name == lower) {
        return Ok(*found);
    }
    let hint = did_you_mean(nearest(&lower, choices.iter().map(|(name, _)| *name)));
    Err(format!("unsupported {what} \"{value}\"{hint}"))
}

/// Go's `strconv.ParseBool`.
fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("invalid value for {key}: {value}")),
    }
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, String> {
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let parsed = digits
        .then(|| u32::from_str_radix(value, radix).ok())
        .flatten();
    parsed.ok_or_else(|| format!("invalid value {value} for {key}"))
}

/// A size as Docker writes it, in bytes: `64m`, `1.5 GiB`.
fn byte_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = match digits {
        0 => return None,
        at => text.split_at(at),
    };
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let unit = unit.strip_suffix('i').unwrap_or(unit);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    scale(number, shift)
}

/// `number`, a decimal fraction, times two to the `shift`.
fn scale(number: &str, shift: u32) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let mut bytes = whole.checked_mul(1 << shift)?;
    if !fraction.is_empty() {
        let fraction = fraction.get(..fraction.len().min(9))?;
        let numerator: u64 = fraction.parse().ok()?;
        let denominator = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        let part = (u128::from(numerator) << shift) / denominator;
        bytes = bytes.checked_add(u64::try_from(part).ok()?)?;
    }
    Some(bytes)
}

/// The comma-separated fields of `text`; a field in double quotes may hold commas, and doubled
/// quotes for quotes.
fn csv_fields(text: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, tail) = match rest.split_once(',') {
                Some((field, tail)) => (field, Some(tail)),
                None => (rest, None),
            };
            if field.contains('"') {
                return Err("bare \" in non-quoted field");
            }
            fields.push(field.to_owned());
            match tail {
                Some(tail) => rest = tail,
                None => return Ok(fields),
            }
            continue;
        };
        let (field, tail) = quoted_field(quoted)?;
        fields.push(field);
        match tail.strip_prefix(',') {
            Some(tail) => rest = tail,
            None if tail.is_empty() => return Ok(fields),
            None => return Err("extraneous or missing \" in quoted field"),
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((part, tail)) = rest.split_once('"') else {
            return Err("extraneous or missing \" in quoted field");
        };
        field.push_str(part);
        match tail.strip_prefix('"') {
            Some(tail) => {
                field.push('"');
                rest = tail;
            }
            None => return Ok((field, tail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_dockers() {
        for (text, bytes) in [
            ("64m", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("10kb", Some(10_240)),
            ("2 GiB", Some(2 << 30)),
            ("1b", Some(1)),
            ("", None),
            ("m", None),
            ("5x", None),
            ("99999999999p", None),
        ] {
            assert_eq!(byte_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn fields_are_comma_separated_values() {
        let fields = |text| csv_fields(text).unwrap();
        assert_eq!(fields("a=b,c"), ["a=b", "c"]);
        assert_eq!(fields("\"a=b,c\",d"), ["a=b,c", "d"]);
        assert_eq!(fields("\"a=\"\"b\"\"\""), ["a=\"b\""]);
        assert_eq!(fields(""), [""]);
        assert!(csv_fields("\"a").is_err());
        assert!(csv_fields("a\"b").is_err());
        assert!(csv_fields("\"a\"b").is_err());
    }
}
