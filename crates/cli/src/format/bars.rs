//! Progress of several layers at once: a line for each, drawn over as it goes on where a person looks, and one line for
//! each step where a program does.

use super::human;
use serde_json::Value;

/// Characters of a bar.
const BAR_WIDTH: u64 = 30;
/// Steps that say only how many bytes have come.
const BYTE_STEPS: [&str; 4] = ["Downloading", "Extracting", "Pushing", "Loading layer"];

/// The lines that are on the screen.
#[derive(Debug, Default)]
pub(crate) struct Bars {
    /// What each line is about, from the top.
    lines: Vec<String>,
}

impl Bars {
    /// What is to be printed for a message; nothing for one that says nothing new. `drawn` is whether lines can be drawn over.
    pub(crate) fn show(&mut self, message: &Value, drawn: bool) -> String {
        let text = |name: &str| message[name].as_str().unwrap_or_default();
        let (status, id) = (text("status"), text("id"));
        if status.is_empty() {
            return String::new();
        }
        let line = if id.is_empty() { status.to_owned() } else { format!("{id}: {status}") };
        let about_a_layer = message["progressDetail"].is_object() && !id.is_empty();
        if !about_a_layer {
            // What comes after begins below.
            self.lines.clear();
            return line + "\n";
        }
        if !drawn {
            return if BYTE_STEPS.contains(&status) { String::new() } else { line + "\n" };
        }
        let line = line + &bar(&message["progressDetail"]);
        match self.lines.iter().position(|other| other == id) {
            Some(at) => {
                let up = self.lines.len() - at;
                format!("\x1b[{up}A\r\x1b[2K{line}\r\x1b[{up}B")
            }
            None => {
                self.lines.push(id.to_owned());
                line + "\n"
            }
        }
    }
}

/// How much of how much, as a picture and in numbers.
fn bar(detail: &Value) -> String {
    let number = |name: &str| detail[name].as_u64().unwrap_or(0);
    let (current, total) = (number("current"), number("total"));
    if current == 0 && total == 0 {
        return String::new();
    }
    if total == 0 {
        return format!("  {}", human::bytes(current));
    }
    let filled = (current.min(total) as u128 * u128::from(BAR_WIDTH) / u128::from(total)) as usize;
    let head = if filled < BAR_WIDTH as usize { ">" } else { "" };
    let width = BAR_WIDTH as usize;
    let picture = format!("{}{head}", "=".repeat(filled));
    format!("  [{picture:<width$}]  {}/{}", human::bytes(current), human::bytes(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn layer(id: &str, status: &str, current: u64) -> Value {
        json!({"id": id, "status": status, "progressDetail": {"current": current, "total": 100}})
    }

    #[test]
    fn a_line_is_drawn_over_where_a_person_looks() {
        let mut bars = Bars::default();
        let pulling = json!({"id": "latest", "status": "Pulling from library/x"});
        assert_eq!(bars.show(&pulling, true), "latest: Pulling from library/x\n");
        let begun = json!({"id": "a", "status": "Pulling fs layer", "progressDetail": {}});
        assert_eq!(bars.show(&begun, true), "a: Pulling fs layer\n");
        bars.show(&layer("b", "Downloading", 0), true);
        let drawn = bars.show(&layer("a", "Downloading", 50), true);
        assert_eq!(
            drawn,
            "\x1b[2A\r\x1b[2Ka: Downloading  [===============>              ]  50B/100B\r\x1b[2B"
        );
        assert!(bars.show(&layer("b", "Downloading", 100), true).contains(&"=".repeat(30)));
        assert_eq!(bars.show(&json!({"status": "Digest: x"}), true), "Digest: x\n");
    }

    #[test]
    fn a_program_gets_the_steps_and_not_the_bytes() {
        let mut bars = Bars::default();
        assert_eq!(bars.show(&layer("a", "Downloading", 50), false), "");
        assert_eq!(bars.show(&layer("a", "Pull complete", 0), false), "a: Pull complete\n");
        assert_eq!(bars.show(&json!({"aux": {}}), false), "");
    }
}
