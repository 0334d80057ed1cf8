//! Figures in the words that `docker` uses, so that scripts and habits carry over.

use base::Time;
use std::time::Duration;

/// A duration in its largest fitting unit: `5 seconds`, `About a minute`, `3 weeks`.
pub(crate) fn duration(of: Duration) -> String {
    let seconds = of.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds as f64 / 3600.0).round() as u64);
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 if hours < 1 || minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// How long ago, in words.
pub(crate) fn ago(then: Time, now: Time) -> String {
    if then.is_set() && then.unix_nanos() > 0 {
        format!("{} ago", duration(now.since(then)))
    } else {
        "N/A".to_owned()
    }
}

fn scaled(value: f64, base: f64, units: &[&str]) -> (f64, usize) {
    let (mut value, mut unit) = (value, 0);
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    (value, unit)
}

/// Four significant digits without trailing zeroes, as C's `%.4g`.
fn significant(value: f64, digits: usize) -> String {
    let before = if value >= 1.0 { value.log10().floor() as usize + 1 } else { 1 };
    let text = format!("{value:.*}", digits.saturating_sub(before));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Bytes in decimal units, four digits: `296MB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (value, unit) = scaled(count as f64, 1000.0, &UNITS);
    format!("{}{}", significant(value, 3), UNITS[unit])
}

/// Bytes in binary units, four digits: `100MiB`.
pub(crate) fn binary_bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (value, unit) = scaled(count as f64, 1024.0, &UNITS);
    format!("{}{}", significant(value, 4), UNITS[unit])
}

/// Bytes from a text with a unit: `100m`, `1.5g`, `64MiB`, all binary, as for `--memory`.
///
/// # Errors
/// The text, if it is none.
pub(crate) fn parse_bytes(text: &str) -> Result<i64, String> {
    let bad = || format!("invalid size: '{text}'");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| bad())?;
    let unit = text[digits..].trim().to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(bad()),
    };
    let value = number * 1024f64.powi(power);
    if value.is_finite() && value <= i64::MAX as f64 { Ok(value as i64) } else { Err(bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let seconds = |seconds| duration(Duration::from_secs(seconds));
        for (given, said) in [
            (0, "Less than a second"),
            (45, "45 seconds"),
            (90, "About a minute"),
            (180, "3 minutes"),
            (3600, "About an hour"),
            (3 * 3600, "3 hours"),
            (50 * 3600, "2 days"),
            (24 * 3600 * 20, "2 weeks"),
            (24 * 3600 * 150, "5 months"),
            (24 * 3600 * 900, "2 years"),
        ] {
            assert_eq!(seconds(given), said, "{given}");
        }
    }

    #[test]
    fn sizes_have_the_units_of_docker() {
        assert_eq!(bytes(296_000_000), "296MB");
        assert_eq!(bytes(1_234_567), "1.23MB");
        assert_eq!(bytes(0), "0B");
        assert_eq!(binary_bytes(104_857_600), "100MiB");
        assert_eq!(binary_bytes(1_536), "1.5KiB");
    }

    #[test]
    fn sizes_are_read_with_any_unit() {
        assert_eq!(parse_bytes("100m"), Ok(104_857_600));
        assert_eq!(parse_bytes("1.5GiB"), Ok(1_610_612_736));
        assert_eq!(parse_bytes("42"), Ok(42));
        assert!(parse_bytes("x").is_err() && parse_bytes("5q").is_err() && parse_bytes("").is_err());
    }
}
