//! What was measured, held until all of it is there, and printed as one table.

use crate::bench::numbers::{median, percentile};
use crate::say;

/// All that was measured, in the order in which it was.
#[derive(Default)]
pub(super) struct Table {
    groups: Vec<Group>,
    notes: Vec<String>,
}

/// One thing, measured on everybody who can do it.
struct Group {
    what: String,
    unit: Unit,
    wanted: Option<String>,
    lines: Vec<(String, Vec<f64>)>,
}

/// What figures mean.
#[derive(Clone, Copy)]
pub(super) enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Mebibytes.
    Mebibytes,
    /// A plain number.
    Count,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Mebibytes => "MiB",
            Self::Count => "",
        }
    }
}

/// Who is compared with.
pub(super) const OURS: &str = "bocage";

impl Table {
    /// Adds what was measured: for each by name, the figures. Those without any are left out.
    pub(super) fn add(
        &mut self,
        what: &str,
        unit: Unit,
        wanted: Option<&str>,
        lines: Vec<(String, Vec<f64>)>,
    ) {
        let lines: Vec<_> = lines.into_iter().filter(|(_, values)| !values.is_empty()).collect();
        for (name, values) in &lines {
            say::step(&format!("{what}: {name} {:.2} {}", median(values), unit.name()));
        }
        let wanted = wanted.map(str::to_owned);
        self.groups.push(Group { what: what.to_owned(), unit, wanted, lines });
    }

    /// Adds what the reader must know besides: who is missing, and why.
    pub(super) fn note(&mut self, text: &str) {
        say::step(text);
        self.notes.push(text.to_owned());
    }

    /// Prints it all.
    pub(super) fn print(&self) {
        say::line(&format!("{:<28}{:>6}{:>10}{:>10}{:>10}{:>9}", "", "n", "median", "p95", "p99", "ratio"));
        for group in self.groups.iter().filter(|group| !group.lines.is_empty()) {
            let wanted = group.wanted.as_ref().map(|text| format!("   [wanted: {text}]")).unwrap_or_default();
            say::line(&format!("\n{}{}{wanted}", group.what, in_unit(group.unit)));
            let ours = group.lines.iter().find(|(name, _)| name == OURS).map(|(_, values)| median(values));
            for (name, values) in &group.lines {
                say::line(&line(name, values, ours));
            }
        }
        if !self.notes.is_empty() {
            say::line("");
        }
        for note in &self.notes {
            say::line(&format!("note: {note}"));
        }
    }
}

fn in_unit(unit: Unit) -> String {
    let name = unit.name();
    if name.is_empty() { String::new() } else { format!(", {name}") }
}

/// One line. The ratio says how many times ours another's median is; percentiles of a few figures say nothing.
fn line(name: &str, values: &[f64], ours: Option<f64>) -> String {
    let cell = |from: usize, of_a_hundred: usize| {
        if values.len() < from {
            "–".to_owned()
        } else {
            format!("{:.2}", percentile(values, of_a_hundred))
        }
    };
    let ratio = ours.filter(|ours| *ours > 0.0).map(|ours| format!("{:.2}x", median(values) / ours));
    format!(
        "  {name:<26}{:>6}{:>10}{:>10}{:>10}{:>9}",
        values.len(),
        cell(1, 50),
        cell(20, 95),
        cell(100, 99),
        ratio.unwrap_or_else(|| "–".to_owned())
    )
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_line_has_no_percentiles_of_a_few_figures() {
        let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(line("x", &[1.0, 3.0, 2.0], Some(4.0))), ["x", "3", "2.00", "–", "–", "0.50x"]);
        assert_eq!(words(line("x", &[1.0; 100], None)), ["x", "100", "1.00", "1.00", "1.00", "–"]);
    }
}
