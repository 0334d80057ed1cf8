//! Go templates, as far as `--format` needs them: fields, pipelines, `range`, `if`, `with`, and the usual functions, over JSON.
//!
//! A template is read into a tree once ([`Template::parse`]) and carried out for each row ([`Template::render`]). A field
//! is looked up by its name and, failing that, without regard to case, as `docker inspect` does.

use serde_json::Value;
use std::iter::Peekable;
use std::str::Chars;

/// Templates within templates.
const DEPTH_MAX: usize = 64;

/// A template that was read.
#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Text(String),
    Print(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Option<(String, String)>, Pipeline, Vec<Node>, Vec<Node>),
    Set(String, Pipeline),
}

/// Commands, each getting the value of the one before as its last argument.
type Pipeline = Vec<Command>;

#[derive(Debug)]
struct Command {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Literal(Value),
    Function(String),
    Group(Vec<Vec<Term>>, Vec<String>),
}

/// What carries on within a template: the value at hand, the whole, and variables.
struct Scope<'a> {
    dot: &'a Value,
    root: &'a Value,
    variables: Vec<(String, Value)>,
}

enum Piece {
    Text(String),
    Action(String),
}

/// Takes a template apart into texts and actions; `{{-` and `-}}` take blanks away.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some(start) = rest.find("{{") {
        let mut before = &rest[..start];
        if trim {
            before = before.trim_start();
        }
        let end = start + rest[start..].find("}}").ok_or("template parsing error: unclosed action")?;
        let mut action = &rest[start + 2..end];
        if let Some(inner) = action.strip_prefix("- ") {
            before = before.trim_end();
            action = inner;
        }
        trim = action.ends_with(" -");
        found.push(Piece::Text(before.to_owned()));
        found.push(Piece::Action(action.strip_suffix(" -").unwrap_or(action).trim().to_owned()));
        rest = &rest[end + 2..];
    }
    found.push(Piece::Text(if trim { rest.trim_start() } else { rest }.to_owned()));
    Ok(found)
}

/// Words of an action; a string is one word with its quote in front.
fn words(action: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut chars = action.chars().peekable();
    while let Some(&first) = chars.peek() {
        match first {
            ' ' | '\t' | '\n' | ',' => {
                chars.next();
            }
            '|' | '(' => {
                chars.next();
                found.push(first.to_string());
            }
            ')' => {
                chars.next();
                // A field right behind belongs to the group.
                let field: String = take_while(&mut chars, |c| c == '.' || c.is_alphanumeric() || c == '_');
                found.push(format!("){field}"));
            }
            '"' | '`' => found.push(quoted(&mut chars)?),
            _ => found.push(take_while(&mut chars, |c| !" \t\n|(),\"`".contains(c))),
        }
    }
    Ok(found)
}

fn take_while(chars: &mut Peekable<Chars<'_>>, keep: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    while let Some(&next) = chars.peek() {
        if !keep(next) {
            break;
        }
        text.push(next);
        chars.next();
    }
    text
}

fn quoted(chars: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let quote = chars.next().unwrap_or('"');
    let mut text = String::from("\"");
    while let Some(next) = chars.next() {
        match next {
            _ if next == quote => return Ok(text),
            '\\' if quote == '"' => text.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(other) => other,
                None => break,
            }),
            _ => text.push(next),
        }
    }
    Err("template parsing error: unterminated quoted string".to_owned())
}

fn path(text: &str) -> Vec<String> {
    text.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn term(word: &str) -> Term {
    if let Some(text) = word.strip_prefix('"') {
        return Term::Literal(Value::String(text.to_owned()));
    }
    if let Some(name) = word.strip_prefix('$') {
        let (name, fields) = name.split_once('.').unwrap_or((name, ""));
        return Term::Variable(name.to_owned(), path(fields));
    }
    if word.starts_with('.') {
        return Term::Field(path(word));
    }
    match word {
        "true" => Term::Literal(Value::Bool(true)),
        "false" => Term::Literal(Value::Bool(false)),
        "nil" => Term::Literal(Value::Null),
        _ => match word.parse::<i64>().map(Value::from).or_else(|_| word.parse::<f64>().map(Value::from)) {
            Ok(number) => Term::Literal(number),
            Err(_) => Term::Function(word.to_owned()),
        },
    }
}

/// Reads the terms of a pipeline up to its end or a closing parenthesis.
fn pipeline(
    words: &mut std::slice::Iter<'_, String>,
    depth: usize,
) -> Result<(Vec<Vec<Term>>, String), String> {
    if depth == DEPTH_MAX {
        return Err("template parsing error: too many parentheses".to_owned());
    }
    let mut commands = vec![Vec::new()];
    while let Some(word) = words.next() {
        if word == "|" {
            commands.push(Vec::new());
        } else if word == "(" {
            let (inner, fields) = pipeline(words, depth + 1)?;
            if let Some(command) = commands.last_mut() {
                command.push(Term::Group(inner, path(&fields)));
            }
        } else if let Some(fields) = word.strip_prefix(')') {
            return Ok((commands, fields.to_owned()));
        } else if let Some(command) = commands.last_mut() {
            command.push(term(word));
        }
    }
    Ok((commands, String::new()))
}

fn commands(action: &str) -> Result<Pipeline, String> {
    let words = words(action)?;
    let (commands, _) = pipeline(&mut words.iter(), 0)?;
    if commands.iter().any(Vec::is_empty) {
        return Err(format!("template parsing error: missing value in {{{{{action}}}}}"));
    }
    Ok(commands.into_iter().map(|terms| Command { terms }).collect())
}

/// How a block ended.
enum End {
    /// With the template.
    Whole,
    /// At an `else`, with what stands behind it.
    Else(Option<String>),
    /// At its `end`.
    Closed,
}

fn block(pieces: &mut std::vec::IntoIter<Piece>, depth: usize) -> Result<(Vec<Node>, End), String> {
    if depth == DEPTH_MAX {
        return Err("template parsing error: too many blocks".to_owned());
    }
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(action) => action,
        };
        let (word, rest) = action.split_once(' ').unwrap_or((&action, ""));
        match word {
            "end" => return Ok((nodes, End::Closed)),
            "else" => return Ok((nodes, End::Else((!rest.is_empty()).then(|| rest.trim().to_owned())))),
            "if" | "with" | "range" => nodes.push(conditional(word, rest, pieces, depth)?),
            _ if word.starts_with("/*") => {}
            _ => nodes.push(match action.split_once(":=") {
                Some((name, value)) if name.trim().starts_with('$') => {
                    Node::Set(name.trim()[1..].to_owned(), commands(value)?)
                }
                _ => Node::Print(commands(&action)?),
            }),
        }
    }
    Ok((nodes, End::Whole))
}

fn conditional(
    word: &str,
    rest: &str,
    pieces: &mut std::vec::IntoIter<Piece>,
    depth: usize,
) -> Result<Node, String> {
    let unclosed = || "template parsing error: unexpected EOF".to_owned();
    let (variables, rest) = match rest.split_once(":=") {
        Some((names, value)) if word == "range" => {
            let names = names.replace('$', "");
            let (key, item) = names.split_once(',').unwrap_or(("", &names));
            (Some((key.trim().to_owned(), item.trim().to_owned())), value)
        }
        _ => (None, rest),
    };
    let condition = commands(rest)?;
    let (then, end) = block(pieces, depth + 1)?;
    let otherwise = match end {
        End::Whole => return Err(unclosed()),
        End::Closed => Vec::new(),
        End::Else(None) => {
            let (nodes, end) = block(pieces, depth + 1)?;
            if !matches!(end, End::Closed) {
                return Err(unclosed());
            }
            nodes
        }
        End::Else(Some(next)) => {
            let (word, rest) = next.split_once(' ').unwrap_or((&next, ""));
            vec![conditional(word, rest, pieces, depth + 1)?]
        }
    };
    Ok(match word {
        "if" => Node::If(condition, then, otherwise),
        "with" => Node::With(condition, then, otherwise),
        _ => Node::Range(variables, condition, then, otherwise),
    })
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// In Docker's words, what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        let (nodes, end) = block(&mut pieces(text)?.into_iter(), 0)?;
        match end {
            End::Whole => Ok(Template { nodes }),
            _ => Err("template parsing error: unexpected {{end}}".to_owned()),
        }
    }

    /// Carries it out on a value.
    ///
    /// # Errors
    /// A field or function that there is not.
    pub(crate) fn render(&self, value: &Value) -> Result<String, String> {
        let mut out = String::new();
        let mut scope = Scope { dot: value, root: value, variables: Vec::new() };
        run(&self.nodes, &mut scope, &mut out)?;
        Ok(out)
    }

    /// The fields that it prints at the top, for a table's header.
    pub(crate) fn fields(&self) -> Vec<String> {
        let printed = self.nodes.iter().filter_map(|node| match node {
            Node::Print(pipeline) => {
                pipeline.iter().flat_map(|command| &command.terms).find_map(|term| match term {
                    Term::Field(path) => path.last().cloned(),
                    _ => None,
                })
            }
            _ => None,
        });
        printed.collect()
    }
}

fn run(nodes: &[Node], scope: &mut Scope<'_>, out: &mut String) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(pipeline) => out.push_str(&text(&evaluate(pipeline, scope)?)),
            Node::Set(name, pipeline) => {
                let value = evaluate(pipeline, scope)?;
                scope.variables.push((name.clone(), value));
            }
            Node::If(condition, then, otherwise) => {
                let holds = truth(&evaluate(condition, scope)?);
                run(if holds { then } else { otherwise }, scope, out)?;
            }
            Node::With(condition, then, otherwise) => {
                let value = evaluate(condition, scope)?;
                if truth(&value) {
                    let variables = scope.variables.clone();
                    run(then, &mut Scope { dot: &value, root: scope.root, variables }, out)?;
                } else {
                    run(otherwise, scope, out)?;
                }
            }
            Node::Range(names, pipeline, then, otherwise) => {
                let value = evaluate(pipeline, scope)?;
                range(names.as_ref(), &value, then, otherwise, scope, out)?;
            }
        }
    }
    Ok(())
}

fn range(
    names: Option<&(String, String)>,
    value: &Value,
    then: &[Node],
    otherwise: &[Node],
    scope: &mut Scope<'_>,
    out: &mut String,
) -> Result<(), String> {
    let items: Vec<(Value, &Value)> = match value {
        Value::Array(items) => items.iter().enumerate().map(|(at, item)| (Value::from(at), item)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, item)| (Value::from(key.as_str()), item)).collect(),
        _ => Vec::new(),
    };
    if items.is_empty() {
        return run(otherwise, scope, out);
    }
    for (key, item) in items {
        let mut variables = scope.variables.clone();
        if let Some((key_name, item_name)) = names {
            variables.push((key_name.clone(), key));
            variables.push((item_name.clone(), item.clone()));
        }
        run(then, &mut Scope { dot: item, root: scope.root, variables }, out)?;
    }
    Ok(())
}

fn evaluate(pipeline: &Pipeline, scope: &Scope<'_>) -> Result<Value, String> {
    let mut value = None;
    for command in pipeline {
        value = Some(command_value(&command.terms, value, scope)?);
    }
    Ok(value.unwrap_or(Value::Null))
}

fn command_value(terms: &[Term], piped: Option<Value>, scope: &Scope<'_>) -> Result<Value, String> {
    let Some(first) = terms.first() else { return Ok(Value::Null) };
    let mut arguments: Vec<Value> =
        terms[1..].iter().map(|term| term_value(term, scope)).collect::<Result<_, _>>()?;
    arguments.extend(piped);
    match first {
        Term::Function(name) => function(name, &arguments),
        // `.Label "x"`: a method of a row is a field with an argument.
        Term::Field(path) if !arguments.is_empty() && path.len() == 1 => {
            let name = arguments[0].as_str().unwrap_or_default().to_owned();
            let labels = field(scope.dot, "Labels")?;
            Ok(label(&labels, &name))
        }
        other => term_value(other, scope),
    }
}

/// A label out of an object or out of `a=b,c=d`.
fn label(labels: &Value, name: &str) -> Value {
    match labels {
        Value::Object(fields) => fields.get(name).cloned().unwrap_or(Value::from("")),
        Value::String(text) => {
            let found = text.split(',').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
            Value::from(found.map_or("", |(_, value)| value))
        }
        _ => Value::from(""),
    }
}

fn term_value(term: &Term, scope: &Scope<'_>) -> Result<Value, String> {
    let walk = |value: &Value, path: &[String]| -> Result<Value, String> {
        let mut value = value.clone();
        for name in path {
            value = field(&value, name)?;
        }
        Ok(value)
    };
    match term {
        Term::Field(path) => walk(scope.dot, path),
        Term::Variable(name, path) if name.is_empty() => walk(scope.root, path),
        Term::Variable(name, path) => {
            let found = scope.variables.iter().rev().find(|(known, _)| known == name);
            walk(
                &found.ok_or_else(|| format!("template parsing error: undefined variable \"${name}\""))?.1,
                path,
            )
        }
        Term::Literal(value) => Ok(value.clone()),
        Term::Function(name) => function(name, &[]),
        Term::Group(inner, path) => {
            let mut value = None;
            for command in inner {
                value = Some(command_value(command, value, scope)?);
            }
            walk(&value.unwrap_or(Value::Null), path)
        }
    }
}

fn field(value: &Value, name: &str) -> Result<Value, String> {
    match value {
        Value::Object(fields) => fields
            .get(name)
            .or_else(|| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, found)| found))
            .cloned()
            .ok_or_else(|| format!("template: map has no entry for key \"{name}\"")),
        Value::Null => Ok(Value::Null),
        _ => Err(format!("template: can't evaluate field {name}")),
    }
}

fn truth(value: &Value) -> bool {
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

fn function(name: &str, arguments: &[Value]) -> Result<Value, String> {
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

fn printf(arguments: &[Value]) -> String {
    let format = arguments.first().map(text).unwrap_or_default();
    let mut values = arguments.iter().skip(1);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(next) = chars.next() {
        match next {
            '%' => match chars.find(|c| c.is_alphabetic() || *c == '%') {
                Some('%') => out.push('%'),
                Some('q') => out.push_str(&format!("{:?}", values.next().map(text).unwrap_or_default())),
                _ => out.push_str(&values.next().map(text).unwrap_or_default()),
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(template: &str, value: &Value) -> String {
        Template::parse(template)
            .and_then(|template| template.render(value))
            .unwrap_or_else(|error| format!("! {error}"))
    }

    #[test]
    fn what_people_type_behind_format_works() {
        let value = json!({
            "Name": "/web", "State": {"Running": true, "Pid": 42},
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}, "Ports": {"80/tcp": [{"HostPort": "8080"}]}},
            "Config": {"Env": ["A=1", "B=2"], "Labels": {"x": "y"}}
        });
        for (template, shown) in [
            ("{{.Name}} {{.State.Pid}}", "/web 42"),
            ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "172.17.0.2"),
            ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
            ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
            ("{{json .Config.Env}}", "[\"A=1\",\"B=2\"]"),
            ("{{join .Config.Env \",\"}}", "A=1,B=2"),
            ("{{index .Config.Labels \"x\" | upper}}", "Y"),
            ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "x=y "),
            ("{{.Config.Env}} {{.State.Running}}", "[A=1 B=2] true"),
            ("{{printf \"%.3s|%d\" .Name .State.Pid}}", "/web|42"),
            (
                "{{len .Config.Env}}{{with .Nothing}}{{else}}{{end}}",
                "! template: map has no entry for key \"Nothing\"",
            ),
            ("{{- .Name -}} x", "/webx"),
            ("{{if eq .Name \"/web\"}}a{{else if true}}b{{end}}{{not false}}", "atrue"),
            ("{{slice .Name 1}} {{title \"one two\"}}", "web One Two"),
        ] {
            assert_eq!(render(template, &value), shown, "{template}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for bad in ["{{", "{{.A", "{{if .A}}", "{{end}}", "{{nothing .A}}", "{{|}}"] {
            assert!(render(bad, &json!({"A": 1})).starts_with('!'), "{bad}");
        }
    }
}
