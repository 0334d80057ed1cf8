//! Signals by name or number, signal(7).

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
pub const KILL: i32 = 9;
/// SIGTERM.
pub const TERM: i32 = 15;
/// The last real-time signal.
const LAST: i32 = 64;

/// The number of a signal that a user named: `9`, `KILL`, `SIGKILL`, `SIGRTMIN+3`, in any case; none for what is no signal.
pub fn parse(text: &str) -> Option<i32> {
    let is_signal = |number: &i32| (1..=LAST).contains(number);
    if let Ok(number) = text.parse::<i32>() {
        return Some(number).filter(is_signal);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let (name, offset) = match name.split_once(['+', '-']) {
        Some((base @ "RTMIN", offset)) => (base, offset.parse::<i32>().ok()?),
        Some(("RTMAX", offset)) => {
            let offset = offset.parse::<i32>().ok()?;
            return LAST.checked_sub(offset).filter(is_signal);
        }
        _ if name == "RTMAX" => return Some(LAST),
        _ => (name, 0),
    };
    let (_, number) = NAMES.iter().find(|(known, _)| *known == name)?;
    number.checked_add(offset).filter(is_signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_by_name_and_number() {
        for (text, number) in [("9", 9), ("kill", 9), ("SIGTERM", 15), ("SIGRTMIN+3", 37), ("RTMAX-1", 63)] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_signal_is_none() {
        for bad in ["", "0", "65", "SIGFLY", "RTMIN+99", "RTMIN+2147483647", "RTMAX--2147483648"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
