//! Go templates, as far as `--format` needs them: fields, pipelines, `range`, `if`, `with`, and the usual functions, over JSON.
//!
//! ```text
//! text -> parse: pieces -> words -> terms -> nodes -> run: each node on a value -> functions
//! ```
//!
//! A template is read into a tree once ([`Template::parse`]) and carried out for each row ([`Template::render`]). A field
//! is looked up by its name and, failing that, without regard to case, as `docker inspect` does.

mod functions;
mod parse;
mod run;
#[cfg(test)]
mod tests;

pub(crate) use functions::text;

use serde_json::Value;

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

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// In Docker's words, what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        parse::template(text).map(|nodes| Template { nodes })
    }

    /// Carries it out on a value.
    ///
    /// # Errors
    /// A field or function that there is not.
    pub(crate) fn render(&self, value: &Value) -> Result<String, String> {
        run::whole(&self.nodes, value, false)
    }

    /// What it shows of titles instead of values: the header of a table. Functions that change a value leave a title alone.
    ///
    /// # Errors
    /// A field that has no title.
    pub(crate) fn header(&self, titles: &Value) -> Result<String, String> {
        run::whole(&self.nodes, titles, true)
    }
}
