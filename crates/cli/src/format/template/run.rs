//! A tree carried out on a value.

use super::functions::{self, text, truth};
use super::{Node, Pipeline, Term};
use serde_json::Value;

/// What carries on within a template: the value at hand, the whole, and variables.
struct Scope<'a> {
    dot: &'a Value,
    root: &'a Value,
    variables: Vec<(String, Value)>,
    /// Whether the values are titles.
    heading: bool,
}

/// Carries out a whole template.
pub(super) fn whole(nodes: &[Node], value: &Value, heading: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut scope = Scope { dot: value, root: value, variables: Vec::new(), heading };
    run(nodes, &mut scope, &mut out)?;
    Ok(out)
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
                    run(
                        then,
                        &mut Scope { dot: &value, root: scope.root, variables, heading: scope.heading },
                        out,
                    )?;
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
        run(then, &mut Scope { dot: item, root: scope.root, variables, heading: scope.heading }, out)?;
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
        Term::Function(name) if scope.heading => functions::heading(name, &arguments),
        Term::Function(name) => functions::call(name, &arguments),
        // `.Label "x"`: a method of a row is a field with an argument.
        Term::Field(path) if !arguments.is_empty() && path.len() == 1 => {
            let name = arguments[0].as_str().unwrap_or_default().to_owned();
            if scope.heading {
                return Ok(Value::String(name));
            }
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
        Term::Function(name) => functions::call(name, &[]),
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
