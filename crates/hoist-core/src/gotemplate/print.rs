//! Values as Go prints them: `{{.}}`, `print`, `printf`.

use serde_json::{Number, Value};

/// The widest field and the finest precision of `printf`; Go's own limit is a million.
const WIDEST: usize = 10_000;

/// The name of the Go type that `value` decodes to.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Append `value` as an action prints it.
pub(super) fn print(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("<no value>"),
        value => append(out, value),
    }
}

/// `value` as `%v` prints it.
pub(super) fn shown(value: &Value) -> String {
    let mut out = String::new();
    append(&mut out, value);
    out
}

fn append(out: &mut String, value: &Value) {
    walk(out, value, &mut |out, value| match value {
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) => out.push_str(text),
        _ => out.push_str("<nil>"),
    });
}

/// `[a b]`, `map[a:1 b:2]`, with `leaf` for all that is neither list nor map.
fn walk(out: &mut String, value: &Value, leaf: &mut dyn FnMut(&mut String, &Value)) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                walk(out, item, leaf);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("map[");
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            for (index, (key, item)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                leaf(out, &Value::String(key.clone()));
                out.push(':');
                walk(out, item, leaf);
            }
            out.push(']');
        }
        value => leaf(out, value),
    }
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => shortest_float(float),
        _ => number.to_string(),
    }
}

/// Go's `%v` of a float: the fewest digits that read back, with an exponent below 10⁻⁴ and from
/// 10⁶ on.
fn shortest_float(float: f64) -> String {
    let scientific = format!("{float:e}");
    let exponent = scientific
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse().ok());
    match exponent {
        Some(-4..=5) | None => format!("{float}"),
        Some::<i32>(_) => go_exponent(&scientific),
    }
}

/// Rust's `1.5e8` as Go's `1.5e+08`.
fn go_exponent(scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once(['e', 'E']) else {
        return scientific.to_owned();
    };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// One directive of `printf`: `%-5.2f`.
#[derive(Debug, Default)]
struct Directive {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Go's `fmt.Sprintf` for JSON values: all flags, `*`, and the verbs `v d s q t T x X o b c U e E
/// f F g G %`. Explicit argument indexes (`%[1]d`) are not known.
pub(super) fn printf(format: &str, values: &[&Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter().copied();
    let mut rest = format;
    while let Some((text, directive)) = rest.split_once('%') {
        out.push_str(text);
        rest = directive;
        let mut options = Directive::default();
        rest = options.parse(rest, &mut values);
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        rest = &rest[verb.len_utf8()..];
        match (verb, values.len()) {
            ('%', _) => out.push('%'),
            (verb, 0) => out.push_str(&format!("%!{verb}(MISSING)")),
            (verb, _) => {
                if let Some(value) = values.next() {
                    options.write(&mut out, verb, value);
                }
            }
        }
    }
    out.push_str(rest);
    if values.len() > 0 {
        let extra: Vec<String> = values
            .map(|value| match value {
                Value::Null => "<nil>".to_owned(),
                value => format!("{}={}", type_name(value), shown(value)),
            })
            .collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

impl Directive {
    /// Read flags, width and precision at the start of `text`; what follows them.
    fn parse<'a, 'v>(
        &mut self,
        text: &'a str,
        values: &mut impl Iterator<Item = &'v Value>,
    ) -> &'a str {
        let mut rest = text;
        while let Some(flag) = rest.chars().next() {
            match flag {
                '-' => self.minus = true,
                '+' => self.plus = true,
                '#' => self.sharp = true,
                ' ' => self.space = true,
                '0' => self.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        (self.width, rest) = number(rest, values);
        if let Some(after) = rest.strip_prefix('.') {
            let precision;
            (precision, rest) = number(after, values);
            self.precision = Some(precision.unwrap_or(0));
        }
        rest
    }

    fn write(&self, out: &mut String, verb: char, value: &Value) {
        match (verb, value) {
            ('T', value) => self.pad(out, type_name(value), false),
            ('v', Value::Null) => self.pad(out, "<nil>", false),
            (verb, Value::Null) => out.push_str(&format!("%!{verb}(<nil>)")),
            (verb, value) => walk(out, value, &mut |out, leaf| match (verb, leaf) {
                ('v', Value::Null) => self.pad(out, "<nil>", false),
                (verb, leaf) => self.leaf(out, verb, leaf),
            }),
        }
    }

    fn leaf(&self, out: &mut String, verb: char, value: &Value) {
        let text = match value {
            Value::Bool(flag) if matches!(verb, 't' | 'v') => Some(flag.to_string()),
            Value::String(text) => self.string(verb, text),
            Value::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(whole), _) => self.whole(verb, whole),
                (None, Some(float)) => self.float(verb, float),
                (None, None) => None,
            },
            _ => None,
        };
        match text {
            Some(text) => self.pad(out, &text, value.is_number()),
            None if value.is_null() => out.push_str(&format!("%!{verb}(<nil>)")),
            None => {
                let kind = type_name(value);
                out.push_str(&format!("%!{verb}({kind}={})", shown(value)));
            }
        }
    }

    fn string(&self, verb: char, text: &str) -> Option<String> {
        let text: String = match self.precision {
            Some(most) if matches!(verb, 's' | 'v' | 'q') => text.chars().take(most).collect(),
            _ => text.to_owned(),
        };
        Some(match verb {
            'v' if self.sharp => quote(&text, false),
            's' | 'v' => text,
            'q' if self.sharp && !text.contains(['`', '\n']) => format!("`{text}`"),
            'q' => quote(&text, self.plus),
            'x' => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            'X' => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
            _ => return None,
        })
    }

    fn whole(&self, verb: char, number: i128) -> Option<String> {
        let code = || {
            u32::try_from(number)
                .ok()
                .and_then(char::from_u32)
                .unwrap_or('\u{fffd}')
        };
        let magnitude = number.unsigned_abs();
        let (prefix, digits) = match verb {
            'd' | 'v' => ("", magnitude.to_string()),
            'x' => ("0x", format!("{magnitude:x}")),
            'X' => ("0X", format!("{magnitude:X}")),
            'o' => ("0", format!("{magnitude:o}")),
            'b' => ("0b", format!("{magnitude:b}")),
            'c' => return Some(code().to_string()),
            'q' => return Some(format!("'{}'", code().escape_default())),
            'U' => return Some(format!("U+{magnitude:04X}")),
            _ => return None,
        };
        let prefix = if self.sharp { prefix } else { "" };
        let digits = match self.precision {
            Some(least) => format!("{digits:0>least$}"),
            None => digits,
        };
        Some(format!("{}{prefix}{digits}", self.sign(number < 0)))
    }

    fn float(&self, verb: char, float: f64) -> Option<String> {
        let magnitude = float.abs();
        let precision = self.precision.unwrap_or(6);
        let text = match verb {
            'e' => go_exponent(&format!("{magnitude:.precision$e}")),
            'E' => go_exponent(&format!("{magnitude:.precision$e}")).to_uppercase(),
            'f' | 'F' => format!("{magnitude:.precision$}"),
            'g' | 'G' | 'v' => {
                let text = match self.precision {
                    None => shortest_float(magnitude),
                    Some(digits) => general(magnitude, digits.max(1)),
                };
                if verb == 'G' {
                    text.to_uppercase()
                } else {
                    text
                }
            }
            _ => return None,
        };
        Some(format!("{}{text}", self.sign(float.is_sign_negative())))
    }

    const fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        }
    }

    /// Append `text` with the width asked for; zeros go behind a sign.
    fn pad(&self, out: &mut String, text: &str, is_number: bool) {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        if self.minus {
            out.push_str(text);
            out.push_str(&" ".repeat(missing));
        } else if self.zero && !(is_number && self.precision.is_some() && !text.contains('.')) {
            let signs = if is_number { &['-', '+', ' '][..] } else { &[] };
            let digits = text.trim_start_matches(signs);
            out.push_str(&text[..text.len() - digits.len()]);
            out.push_str(&"0".repeat(missing));
            out.push_str(digits);
        } else {
            out.push_str(&" ".repeat(missing));
            out.push_str(text);
        }
    }
}

/// A width or precision at the start of `text`, or the next value for `*`; what follows it.
fn number<'a, 'v>(
    text: &'a str,
    values: &mut impl Iterator<Item = &'v Value>,
) -> (Option<usize>, &'a str) {
    if let Some(rest) = text.strip_prefix('*') {
        let value = values.next().and_then(Value::as_u64);
        let value = value.and_then(|value| usize::try_from(value).ok());
        return (value.map(|value| value.min(WIDEST)), rest);
    }
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    match digits {
        "" => (None, rest),
        digits => (Some(digits.parse().unwrap_or(WIDEST).min(WIDEST)), rest),
    }
}

/// C's `%.{digits}g`.
fn general(float: f64, digits: usize) -> String {
    let scientific = format!("{float:.*e}", digits - 1);
    let exponent = scientific
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse().ok());
    let exponent: i64 = exponent.unwrap_or(0);
    let limit = i64::try_from(digits).unwrap_or(i64::MAX);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= limit {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return go_exponent(&format!("{}e{exponent}", trim(mantissa)));
    }
    let decimals = usize::try_from(limit - 1 - exponent).unwrap_or(0);
    trim(&format!("{float:.decimals$}"))
}

/// `text` in double quotes with Go's escapes; `ascii` escapes everything beyond ASCII too.
fn quote(text: &str, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() || (ascii && !c.is_ascii()) => match u32::from(c) {
                code @ 0..=0xffff => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
