//! JSON laid out again with four blanks, its fields in the order in which the daemon wrote them, as `docker inspect` shows them.

/// Blanks of one step.
const STEP: usize = 4;

/// Lays out values, each written in any way, as one list.
pub(crate) fn list(values: &[String]) -> String {
    indent(&format!("[{}]", values.join(",")))
}

/// Lays out what is JSON already. Blanks between words are replaced; nothing else is changed.
pub(crate) fn indent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let mut chars = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&" ".repeat(depth * STEP));
    };
    while let Some(next) = chars.next() {
        match next {
            '"' => {
                out.push('"');
                while let Some(inner) = chars.next() {
                    out.push(inner);
                    match inner {
                        '"' => break,
                        '\\' => out.extend(chars.next()),
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(next);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match chars.next_if(|c| matches!(c, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(next);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            blank if blank.is_ascii_whitespace() => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_get_four_blanks() {
        let values = [r#"{"b":1,"a":[ ],"c":{"d":"x,{\"y\":1}"}}"#.to_owned(), "null\n".to_owned()];
        assert_eq!(
            list(&values),
            "[\n    {\n        \"b\": 1,\n        \"a\": [],\n        \"c\": {\n            \"d\": \"x,{\\\"y\\\":1}\"\n        }\n    },\n    null\n]"
        );
        assert_eq!(list(&[]), "[]");
    }
}
