//! Points in time, and how they are written: RFC 3339 with nanoseconds in UTC, as Docker's API and logs do.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::Duration;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i128);

impl Time {
    /// The time that Go programs print for "never": year 1.
    pub const NEVER: Time = Time(-62_135_596_800 * NANOS_PER_SECOND);

    /// From nanoseconds since the epoch.
    pub const fn from_unix_nanos(nanos: i128) -> Time {
        Time(nanos)
    }

    /// From seconds since the epoch.
    pub const fn from_unix_seconds(seconds: i64) -> Time {
        Time(seconds as i128 * NANOS_PER_SECOND)
    }

    /// Nanoseconds since the epoch.
    pub const fn unix_nanos(self) -> i128 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND) as i64
    }

    /// The nanoseconds within the second.
    pub const fn subsecond_nanos(self) -> u32 {
        self.0.rem_euclid(NANOS_PER_SECOND) as u32
    }

    /// Whether this is a time at which something happened.
    pub fn is_set(self) -> bool {
        self != Time::NEVER
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// This time, later by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Time {
        Time(self.0 + by.as_nanos() as i128)
    }

    /// Reads RFC 3339 (`2026-01-02T03:04:05.678Z`, any offset, up to nine decimals).
    pub fn parse_rfc3339(text: &str) -> Option<Time> {
        let bytes = text.as_bytes();
        let digits = |from: usize, to: usize| -> Option<i64> {
            let part = text.get(from..to)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
        };
        let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
        let (hour, minute, second) = (digits(11, 13)?, digits(14, 16)?, digits(17, 19)?);
        let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if marks.iter().any(|&(at, mark)| bytes[at] != mark) || !matches!(bytes[10], b'T' | b't' | b' ') {
            return None;
        }
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut rest = &text[19..];
        let mut nanos = 0i128;
        if let Some(fraction) = rest.strip_prefix('.') {
            let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if length == 0 {
                return None;
            }
            let kept = &fraction[..length.min(9)];
            nanos = kept.parse::<i128>().ok()? * 10i128.pow(9 - kept.len() as u32);
            rest = &fraction[length..];
        }
        let offset_seconds = match rest.as_bytes() {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let hours: i64 = rest.get(1..3)?.parse().ok()?;
                let minutes: i64 = rest.get(4..6)?.parse().ok()?;
                (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
            }
            _ => return None,
        };
        let seconds =
            days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_seconds;
        Some(Time(i128::from(seconds) * NANOS_PER_SECOND + nanos))
    }

    /// The calendar fields in UTC: year, month, day, hour, minute, second.
    pub fn civil(self) -> (i64, u32, u32, u32, u32, u32) {
        let seconds = self.unix_seconds();
        let (days, within) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        (year, month, day, (within / 3600) as u32, (within / 60 % 60) as u32, (within % 60) as u32)
    }

    /// RFC 3339 with all nine decimals, as Docker stamps log lines.
    pub fn rfc3339_nine(self) -> String {
        let (year, month, day, hour, minute, second) = self.civil();
        format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z",
            self.subsecond_nanos()
        )
    }
}

impl fmt::Display for Time {
    /// RFC 3339 with as many decimals as are needed, as Go's `RFC3339Nano`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        let nanos = self.subsecond_nanos();
        if nanos != 0 {
            write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Time::parse_rfc3339(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not an RFC 3339 time")))
    }
}

/// Days since the epoch of a date in the proleptic Gregorian calendar, counting years from March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of `days_from_civil`.
fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_zero_of_go_programs_is_year_one() {
        assert_eq!(Time::NEVER.to_string(), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn known_times_are_written_as_rfc_3339_does() {
        assert_eq!(Time::from_unix_nanos(1_700_000_000_120_000_000).to_string(), "2023-11-14T22:13:20.12Z");
        assert_eq!(Time::from_unix_seconds(951_782_400).rfc3339_nine(), "2000-02-29T00:00:00.000000000Z");
    }

    #[test]
    fn offsets_and_decimals_are_read() {
        let read = Time::parse_rfc3339("2023-11-15T00:13:20.12+02:00").unwrap();
        assert_eq!(read.to_string(), "2023-11-14T22:13:20.12Z");
        for bad in [
            "",
            "2023",
            "2023-13-01T00:00:00Z",
            "2023-11-15T00:13:20",
            "2023-11-15T00:13:20.Z",
            "é023-11-15T00:13:20Z",
        ] {
            assert_eq!(Time::parse_rfc3339(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in -62_135_596_800_000_000_000i128..253_402_300_800_000_000_000) {
            let time = Time::from_unix_nanos(nanos);
            prop_assert_eq!(Time::parse_rfc3339(&time.to_string()), Some(time));
            prop_assert_eq!(Time::parse_rfc3339(&time.rfc3339_nine()), Some(time));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*") {
            let _ = Time::parse_rfc3339(&text);
        }
    }
}
