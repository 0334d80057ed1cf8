//! The functions of templates, and how values are printed.

use serde_json::Value;

/// Blanks that one value may be padded with.
const PAD_MAX: u64 = 1000;

/// Whether a condition holds for a value: neither null, false, zero nor empty.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// A value as Go prints it.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let pairs: Vec<String> =
                fields.iter().map(|(key, item)| format!("{key}:{}", text(item))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

fn compare(arguments: &[Value], holds: impl Fn(std::cmp::Ordering) -> bool) -> Result<Value, String> {
    let [left, right] = arguments else { return Err("template: a comparison needs two values".to_owned()) };
    let ordering = match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.total_cmp(&right),
        _ => text(left).cmp(&text(right)),
    };
    Ok(Value::Bool(holds(ordering)))
}

/// Calls a function on titles: what would change how a value looks leaves a title as it is.
pub(super) fn heading(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match name {
        "json" | "upper" | "lower" | "title" | "truncate" | "pad" | "slice" | "join" | "split" | "len" => {
            Ok(arguments.first().cloned().unwrap_or(Value::Null))
        }
        _ => call(name, arguments),
    }
}

/// Calls a function by its name.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let first = || arguments.first().cloned().unwrap_or(Value::Null);
    let last = || arguments.last().cloned().unwrap_or(Value::Null);
    let string = |value: Value| text(&value);
    Ok(match name {
        "json" => Value::String(first().to_string()),
        "upper" => Value::String(string(first()).to_uppercase()),
        "lower" => Value::String(string(first()).to_lowercase()),
        "title" => Value::String(title(&string(first()))),
        "len" => Value::from(match first() {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            other => text(&other).len(),
        }),
        "join" => match (first(), last()) {
            (Value::Array(items), separator) => {
                Value::String(items.iter().map(text).collect::<Vec<_>>().join(&text(&separator)))
            }
            (other, _) => other,
        },
        "split" => {
            let (text, separator) = (string(first()), string(last()));
            Value::Array(text.split(separator.as_str()).map(Value::from).collect())
        }
        "index" => index(arguments)?,
        "slice" => slice(arguments),
        "print" => Value::String(arguments.iter().map(text).collect()),
        "println" => Value::String(arguments.iter().map(text).collect::<Vec<_>>().join(" ") + "\n"),
        "printf" => Value::String(printf(arguments)),
        "not" => Value::Bool(!truth(&first())),
        "and" => arguments.iter().find(|value| !truth(value)).cloned().unwrap_or_else(last),
        "or" => arguments.iter().find(|value| truth(value)).cloned().unwrap_or_else(last),
        "eq" => Value::Bool(arguments.iter().skip(1).any(|other| text(other) == text(&arguments[0]))),
        "ne" => Value::Bool(text(&first()) != text(&last())),
        "lt" => compare(arguments, |ordering| ordering.is_lt())?,
        "le" => compare(arguments, |ordering| ordering.is_le())?,
        "gt" => compare(arguments, |ordering| ordering.is_gt())?,
        "ge" => compare(arguments, |ordering| ordering.is_ge())?,
        "pad" => Value::String(pad(arguments)),
        "truncate" => {
            let length = last().as_u64().unwrap_or(0) as usize;
            Value::String(string(first()).chars().take(length).collect())
        }
        _ => return Err(format!("template parsing error: function \"{name}\" not defined")),
    })
}

fn title(text: &str) -> String {
    let mut start = true;
    let up = |c: char| {
        let shown = if start { c.to_uppercase().to_string() } else { c.to_string() };
        start = !c.is_alphanumeric();
        shown
    };
    text.chars().map(up).collect()
}

fn index(arguments: &[Value]) -> Result<Value, String> {
    let mut value = arguments.first().cloned().unwrap_or(Value::Null);
    for key in &arguments[1.min(arguments.len())..] {
        value = match (&value, key) {
            (Value::Array(items), Value::Number(at)) => {
                let at = at.as_u64().unwrap_or(u64::MAX) as usize;
                items.get(at).cloned().ok_or_else(|| format!("template: index out of range: {at}"))?
            }
            (Value::Object(fields), key) => fields.get(&text(key)).cloned().unwrap_or(Value::Null),
            (Value::Null, _) => return Err("template: index of untyped nil".to_owned()),
            _ => return Err(format!("template: can't index item {}", text(&value))),
        };
    }
    Ok(value)
}

fn slice(arguments: &[Value]) -> Value {
    let text: Vec<char> = arguments.first().map(self::text).unwrap_or_default().chars().collect();
    let at = |argument: usize, default: usize| {
        arguments.get(argument).and_then(Value::as_u64).map_or(default, |at| (at as usize).min(text.len()))
    };
    let (from, to) = (at(1, 0), at(2, text.len()));
    Value::String(text[from.min(to)..to].iter().collect())
}

/// Blanks around a text: so many in front and behind, unless it is empty.
fn pad(arguments: &[Value]) -> String {
    let blanks =
        |at: usize| " ".repeat(arguments.get(at).and_then(Value::as_u64).unwrap_or(0).min(PAD_MAX) as usize);
    match arguments.first().map(text).unwrap_or_default() {
        empty if empty.is_empty() => empty,
        text => format!("{}{text}{}", blanks(1), blanks(2)),
    }
}

/// C's format with `%s %v %d %q %x %%`, `-`, `0`, a width and a precision.
fn printf(arguments: &[Value]) -> String {
    let format = arguments.first().map(text).unwrap_or_default();
    let mut values = arguments.iter().skip(1);
    let mut out = String::new();
    let mut rest = format.as_str();
    while let Some((before, directive)) = rest.split_once('%') {
        out.push_str(before);
        let end = directive.find(|c: char| c.is_alphabetic() || c == '%').unwrap_or(directive.len());
        let verb = directive[end..].chars().next();
        rest = &directive[end + verb.map_or(0, char::len_utf8)..];
        match verb {
            Some('%') => out.push('%'),
            Some(verb) => {
                let value =
                    values.next().map_or_else(|| format!("%!{verb}(MISSING)"), |value| shown(verb, value));
                out.push_str(&fitted(&value, &directive[..end], verb));
            }
            None => out.push_str("%!(NOVERB)"),
        }
    }
    out + rest
}

fn shown(verb: char, value: &Value) -> String {
    match (verb, value.as_i64()) {
        ('q', _) => format!("{:?}", text(value)),
        ('x', Some(number)) => format!("{number:x}"),
        _ => text(value),
    }
}

/// A value cut and padded as `-20.3` asks.
fn fitted(value: &str, flags: &str, verb: char) -> String {
    let (width, precision) = flags.split_once('.').unwrap_or((flags, ""));
    let digits = width.trim_start_matches(['-', '0', '+', ' ', '#']);
    let columns = digits.parse::<u64>().unwrap_or(0).min(PAD_MAX) as usize;
    let value: String = match precision.parse::<usize>() {
        Ok(length) if matches!(verb, 's' | 'v' | 'q') => value.chars().take(length).collect(),
        _ => value.to_owned(),
    };
    if width.contains('-') {
        format!("{value:<columns$}")
    } else if width.starts_with('0') {
        format!("{value:0>columns$}")
    } else {
        format!("{value:>columns$}")
    }
}
