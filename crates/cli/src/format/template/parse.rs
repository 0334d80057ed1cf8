//! From text to a tree.

use super::{Command, Node, Pipeline, Term};
use serde_json::Value;
use std::iter::Peekable;
use std::str::Chars;

/// Templates within templates.
const DEPTH_MAX: usize = 64;

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

/// Reads a whole template.
pub(super) fn template(text: &str) -> Result<Vec<Node>, String> {
    let (nodes, end) = block(&mut pieces(text)?.into_iter(), 0)?;
    match end {
        End::Whole => Ok(nodes),
        _ => Err("template parsing error: unexpected {{end}}".to_owned()),
    }
}
