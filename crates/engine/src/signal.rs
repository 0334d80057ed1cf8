//! Signals by name or number, signal(7), with the words that clients use.

use platform::Error;

/// The signals of Linux on x86-64 and aarch64, by number.
const NAMES: [(&str, i32); 35] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("RTMIN", 34),
];

/// SIGKILL.
pub(crate) const KILL: i32 = 9;
/// SIGTERM.
pub(crate) const TERM: i32 = 15;
/// The last real-time signal.
const LAST: i32 = 64;

/// The number of a signal that a user named: `9`, `KILL`, `SIGKILL`, `SIGRTMIN+3`, in any case.
pub(crate) fn parse(text: &str) -> Result<i32, Error> {
    let unknown = || Error::invalid(format!("invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=LAST).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let (name, offset) = match name.split_once(['+', '-']) {
        Some((base @ "RTMIN", offset)) => (base, offset.parse::<i32>().map_err(|_| unknown())?),
        Some(("RTMAX", offset)) => return Ok(LAST - offset.parse::<i32>().map_err(|_| unknown())?),
        _ if name == "RTMAX" => return Ok(LAST),
        _ => (name, 0),
    };
    let number = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| number + offset);
    number.filter(|number| (1..=LAST).contains(number)).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_by_name_and_number() {
        for (text, number) in [("9", 9), ("kill", 9), ("SIGTERM", 15), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_refused_by_name() {
        for bad in ["", "0", "65", "SIGFLY", "RTMIN+99"] {
            assert_eq!(parse(bad).unwrap_err().message, format!("invalid signal: {bad}"));
        }
    }
}
