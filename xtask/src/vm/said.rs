//! What the machine of the tests prints, line by line, understood. The words are those of `inside.sh`.

use std::collections::BTreeMap;

/// How one test ended in the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// The exit code of its program, or of timeout(1).
    pub(super) code: i32,
    pub(super) seconds: u64,
    /// What it printed, as far as the machine passes it on.
    pub(super) said: String,
}

/// Everything that the machine told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By their place in the list.
    pub(super) tests: BTreeMap<usize, Ended>,
    /// Why nothing was run.
    pub(super) refused: Option<String>,
    /// Whether it came to the end of the list or of its time.
    pub(super) is_done: bool,
    /// The test that the lines of output belong to.
    last: Option<usize>,
}

impl Told {
    /// Takes one line, and returns what of it is to be shown at once.
    pub(super) fn take<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        if let Some(output) = line.strip_prefix("| ") {
            if let Some(test) = self.last.and_then(|number| self.tests.get_mut(&number)) {
                test.said.push_str(output);
                test.said.push('\n');
            }
            return None;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "fact" => return Some(rest),
            "refused" => self.refused = Some(rest.to_owned()),
            "done" => self.is_done = true,
            "test" => {
                let mut numbers = rest.split(' ').map(str::parse::<u64>);
                if let (Some(Ok(number)), Some(Ok(code)), Some(Ok(seconds))) =
                    (numbers.next(), numbers.next(), numbers.next())
                {
                    let (number, code) = (number as usize, i32::try_from(code).unwrap_or(-1));
                    self.tests.insert(number, Ended { code, seconds, said: String::new() });
                    self.last = Some(number);
                }
            }
            // What the machine's own programs print, such as a warning of the shell.
            _ => return Some(line),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_belongs_to_the_test_before_it() {
        let mut told = Told::default();
        let lines = [
            "fact Linux 6.1",
            "test 0 0 2",
            "test 1 101 3",
            "| thread panicked",
            "sh: hm",
            "test 2 0 1",
            "done",
        ];
        let shown: Vec<_> = lines.iter().filter_map(|line| told.take(line)).collect();
        assert_eq!(shown, ["Linux 6.1", "sh: hm"]);
        assert_eq!(told.tests.len(), 3);
        let failed = Ended { code: 101, seconds: 3, said: "thread panicked\n".to_owned() };
        assert_eq!(told.tests.get(&1), Some(&failed));
        assert!(told.is_done && told.refused.is_none());
    }

    #[test]
    fn a_machine_that_refuses_says_why() {
        let mut told = Told::default();
        told.take("refused control groups v1 are mounted too");
        assert_eq!(told.refused.as_deref(), Some("control groups v1 are mounted too"));
        assert!(!told.is_done);
    }
}
