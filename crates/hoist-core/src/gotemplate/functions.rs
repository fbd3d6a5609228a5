//! The functions of Go's templates and of Docker's.

use std::{borrow::Cow, cmp::Ordering};

use serde_json::{Map, Value};

use super::print::{printf, shown, type_name};

/// The most spaces that `pad` adds on one side.
const MOST_PADDING: i64 = 10_000;

/// How many arguments a function takes.
enum Arity {
    Exactly(usize),
    AtLeast(usize),
}

/// The arity of the function `name`; `None` when there is none.
fn arity(name: &str) -> Option<Arity> {
    Some(match name {
        "json" | "title" | "lower" | "upper" | "len" | "not" => Arity::Exactly(1),
        "split" | "join" | "truncate" => Arity::Exactly(2),
        "pad" => Arity::Exactly(3),
        "ne" | "lt" | "le" | "gt" | "ge" => Arity::Exactly(2),
        "eq" | "and" | "or" | "index" | "slice" | "printf" => Arity::AtLeast(1),
        "print" | "println" | "html" | "urlquery" => Arity::AtLeast(0),
        _ => return None,
    })
}

/// Whether there is a function `name`.
pub(super) fn exists(name: &str) -> bool {
    arity(name).is_some()
}

/// Whether Go takes `value` for true: not null, false, 0 or empty.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// What of a call an error is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The name: not as many arguments as it takes.
    Name,
    /// The argument with this index: not of the type that it must have.
    Argument(usize),
    /// The whole call.
    Call,
}

/// Why a function has no value; the message is in Go's words.
#[derive(Debug)]
pub(super) struct CallError {
    pub(super) blame: Blame,
    pub(super) message: String,
}

/// The value of the function `name`.
pub(super) fn call(name: &str, arguments: &[&Value]) -> Result<Value, CallError> {
    check_arity(name, arguments.len())?;
    let text = |index: usize| string(arguments, index);
    let number = |index: usize| integer(arguments, index);
    let calling = |message: String| CallError {
        blame: Blame::Call,
        message: format!("error calling {name}: {message}"),
    };
    match (name, arguments) {
        ("json", [value]) => Ok(serde_json::to_string(value).map_or(Value::Null, Value::String)),
        ("lower", _) => Ok(text(0)?.to_lowercase().into()),
        ("upper", _) => Ok(text(0)?.to_uppercase().into()),
        ("title", _) => Ok(title(text(0)?).into()),
        ("split", _) => Ok(split(text(0)?, text(1)?)),
        ("join", [items, _]) => join(items, text(1)?),
        ("truncate", _) => truncate(text(0)?, number(1)?).map_err(calling),
        ("pad", _) => pad(text(0)?, number(1)?, number(2)?).map_err(calling),
        ("len", [value]) => len(value).map_err(calling),
        ("index", [value, keys @ ..]) => index(value, keys).map_err(calling),
        ("slice", [value, bounds @ ..]) => slice(value, bounds).map_err(calling),
        ("not", [value]) => Ok(Value::Bool(!truth(value))),
        ("eq", [first, others @ ..]) => eq(first, others).map_err(calling),
        ("ne", [left, right]) => equal(left, right)
            .map(|is| Value::Bool(!is))
            .map_err(calling),
        ("lt" | "le" | "gt" | "ge", [left, right]) => {
            let order = compare(left, right).map_err(calling)?;
            Ok(Value::Bool(match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        ("print", values) => Ok(print(values).into()),
        ("println", values) => Ok(println(values).into()),
        ("printf", [_, values @ ..]) => Ok(printf(text(0)?, values).into()),
        ("html", values) => Ok(html(&print(values)).into()),
        ("urlquery", values) => Ok(urlquery(&print(values)).into()),
        _ => Err(calling("not defined".to_owned())),
    }
}

fn check_arity(name: &str, got: usize) -> Result<(), CallError> {
    let want = match arity(name) {
        Some(Arity::Exactly(want)) if got != want => want.to_string(),
        Some(Arity::AtLeast(want)) if got < want => format!("at least {want}"),
        _ => return Ok(()),
    };
    Err(CallError {
        blame: Blame::Name,
        message: format!("wrong number of args for {name}: want {want} got {got}"),
    })
}

fn wrong_type(index: usize, expected: &str, got: &str) -> CallError {
    CallError {
        blame: Blame::Argument(index),
        message: format!("wrong type for value; expected {expected}; got {got}"),
    }
}

fn string<'v>(arguments: &[&'v Value], index: usize) -> Result<&'v str, CallError> {
    let argument: &'v Value = arguments[index];
    let got = || wrong_type(index, "string", type_name(argument));
    argument.as_str().ok_or_else(got)
}

fn integer(arguments: &[&Value], index: usize) -> Result<i64, CallError> {
    let got = || wrong_type(index, "int", type_name(arguments[index]));
    arguments[index].as_i64().ok_or_else(got)
}

/// The first letter of each word in upper case (Go's `strings.Title`).
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        match inside {
            true => out.push(c),
            false => out.extend(c.to_uppercase()),
        }
        inside = c.is_alphanumeric() || c == '_';
    }
    out
}

fn split(text: &str, separator: &str) -> Value {
    match separator {
        "" => text.chars().map(|c| Value::from(c.to_string())).collect(),
        separator => text.split(separator).map(Value::from).collect(),
    }
}

fn join(items: &Value, separator: &str) -> Result<Value, CallError> {
    let refused = || wrong_type(0, "[]string", type_name(items));
    match items {
        Value::Null => Ok("".into()),
        Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            Ok(texts.ok_or_else(refused)?.join(separator).into())
        }
        _ => Err(refused()),
    }
}

/// At most `length` characters of `text` (Docker cuts bytes, and characters in two).
fn truncate(text: &str, length: i64) -> Result<Value, String> {
    let length = usize::try_from(length).map_err(|_| format!("negative length: {length}"))?;
    Ok(match text.char_indices().nth(length) {
        Some((end, _)) => text[..end].into(),
        None => text.into(),
    })
}

/// Spaces before and after a text that is not empty.
fn pad(text: &str, before: i64, after: i64) -> Result<Value, String> {
    let spaces = |count: i64| match count {
        0..=MOST_PADDING => Ok(" ".repeat(usize::try_from(count).unwrap_or(0))),
        _ => Err(format!("padding out of range: {count}")),
    };
    if text.is_empty() {
        return Ok("".into());
    }
    Ok(format!("{}{text}{}", spaces(before)?, spaces(after)?).into())
}

fn len(value: &Value) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => text.len().into(),
        Value::Array(items) => items.len().into(),
        Value::Object(map) => map.len().into(),
        Value::Null => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", type_name(other))),
    })
}

/// `value[key][key]…`.
fn index(value: &Value, keys: &[&Value]) -> Result<Value, String> {
    let mut value = Cow::Borrowed(value);
    for key in keys {
        value = match value {
            Cow::Borrowed(value) => index_once(value, key)?,
            Cow::Owned(value) => Cow::Owned(index_once(&value, key)?.into_owned()),
        };
    }
    Ok(value.into_owned())
}

fn index_once<'v>(value: &'v Value, key: &Value) -> Result<Cow<'v, Value>, String> {
    let position = |length: usize| match key {
        Value::Number(number) => match number.as_i64() {
            None => Err(format!(
                "cannot index slice/array with type {}",
                type_name(key)
            )),
            Some(at) => usize::try_from(at)
                .ok()
                .filter(|at| *at < length)
                .ok_or_else(|| format!("index out of range: {at}")),
        },
        Value::Null => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!(
            "cannot index slice/array with type {}",
            type_name(other)
        )),
    };
    Ok(match (value, key) {
        (Value::Array(items), _) => Cow::Borrowed(&items[position(items.len())?]),
        (Value::String(text), _) => Cow::Owned(text.as_bytes()[position(text.len())?].into()),
        (Value::Object(map), Value::String(name)) => match map.get(name) {
            Some(found) => Cow::Borrowed(found),
            None => Cow::Owned(zero_value(map)),
        },
        (Value::Object(_), other) => {
            let got = type_name(other);
            return Err(format!("value has type {got}; should be string"));
        }
        (Value::Null, _) => return Err("index of untyped nil".to_owned()),
        (other, _) => return Err(format!("can't index item of type {}", type_name(other))),
    })
}

/// What Go has for a key that a map lacks: the zero value of the map's type. Docker's maps of
/// texts (labels) are typed; other JSON objects are not.
fn zero_value(map: &Map<String, Value>) -> Value {
    match map.values().all(Value::is_string) {
        true => "".into(),
        false => Value::Null,
    }
}

/// `value[from:to]`, of bytes or elements.
fn slice(value: &Value, bounds: &[&Value]) -> Result<Value, String> {
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Null => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", type_name(other))),
    };
    if bounds.len() > 2 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(bound) => {
            let number = bound.as_i64().ok_or_else(|| {
                format!("cannot index slice/array with type {}", type_name(bound))
            })?;
            usize::try_from(number)
                .ok()
                .filter(|number| *number <= length)
                .ok_or_else(|| format!("index out of range: {number}"))
        }
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match value {
        Value::Array(items) => Value::Array(items[from..to].to_vec()),
        Value::String(text) => String::from_utf8_lossy(&text.as_bytes()[from..to]).into(),
        _ => Value::Null,
    })
}

fn eq(first: &Value, others: &[&Value]) -> Result<Value, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    match (left, right) {
        (Value::Null, other) | (other, Value::Null) => Ok(other.is_null()),
        (Value::Array(_) | Value::Object(_), _) => Err(not_comparable(left)),
        (_, Value::Array(_) | Value::Object(_)) => Err(not_comparable(right)),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        _ => compare(left, right).map(Ordering::is_eq),
    }
}

fn not_comparable(value: &Value) -> String {
    format!("non-comparable type {}: {}", shown(value), type_name(value))
}

fn compare(left: &Value, right: &Value) -> Result<Ordering, String> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) if left.is_f64() == right.is_f64() => {
            let whole = |number: &serde_json::Number| number.as_i128();
            match (whole(left), whole(right)) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => left.as_f64().partial_cmp(&right.as_f64()),
            }
            .ok_or_else(|| "invalid type for comparison".to_owned())
        }
        (Value::Bool(_), Value::Bool(_)) => Err("invalid type for comparison".to_owned()),
        (Value::Null | Value::Array(_) | Value::Object(_), _)
        | (_, Value::Null | Value::Array(_) | Value::Object(_)) => {
            Err("invalid type for comparison".to_owned())
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

/// The values side by side, a space between two that are not texts (Go's `fmt.Sprint`).
fn print(values: &[&Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 && !value.is_string() && !values[index - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&shown(value));
    }
    out
}

/// The values with a space between and a line end (Go's `fmt.Sprintln`).
fn println(values: &[&Value]) -> String {
    let texts: Vec<String> = values.iter().map(|value| shown(value)).collect();
    texts.join(" ") + "\n"
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn urlquery(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
