//! `strftime_now` of chat templates: a date in C's notation, in English, in UTC.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use minijinja::{Error, ErrorKind};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A day of the Gregorian calendar.
#[derive(Debug, PartialEq, Eq)]
struct Date {
    year: u64,
    /// 1 to 12.
    month: u64,
    /// 1 to 31.
    day: u64,
    /// 1 to 366.
    day_of_year: u64,
}

impl Date {
    /// Counts whole years, then whole months, from 1970; years in blocks of 400, which all have the same number of days.
    fn from_days(days: u64) -> Self {
        const DAYS_IN_400_YEARS: u64 = 146_097;
        let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let mut year = 1970 + 400 * (days / DAYS_IN_400_YEARS);
        let mut left = days % DAYS_IN_400_YEARS;
        while left >= 365 + u64::from(leap(year)) {
            left -= 365 + u64::from(leap(year));
            year += 1;
        }
        let day_of_year = left + 1;
        let mut month = 1;
        for days in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if left < days {
                break;
            }
            left -= days;
            month += 1;
        }
        Self { year, month, day: left + 1, day_of_year }
    }
}

/// `format` with the directives `%Y %y %m %d %e %j %b %B %a %A %H %I %M %S %p %%` replaced; `%-d` leaves the zeros out.
pub(super) fn strftime(format: &str, unix_seconds: u64) -> Result<String, Error> {
    let days = unix_seconds / 86_400;
    let date = Date::from_days(days);
    let (hour, minute, second) = (unix_seconds / 3600 % 24, unix_seconds / 60 % 60, unix_seconds % 60);
    let month = MONTHS[(date.month - 1) as usize];
    let weekday = DAYS[((days + 4) % 7) as usize];

    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = chars.next();
        let padded = directive != Some('-');
        if !padded {
            directive = chars.next();
        }
        let (number, width) = match directive {
            Some('Y') => (date.year, 4),
            Some('y') => (date.year % 100, 2),
            Some('m') => (date.month, 2),
            Some('d') => (date.day, 2),
            Some('j') => (date.day_of_year, 3),
            Some('H') => (hour, 2),
            Some('I') => ((hour + 11) % 12 + 1, 2),
            Some('M') => (minute, 2),
            Some('S') => (second, 2),
            other => {
                match other {
                    Some('e') => write!(out, "{:2}", date.day),
                    Some('b') => write!(out, "{}", &month[..3]),
                    Some('B') => write!(out, "{month}"),
                    Some('a') => write!(out, "{}", &weekday[..3]),
                    Some('A') => write!(out, "{weekday}"),
                    Some('p') => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
                    Some('%') => write!(out, "%"),
                    _ => {
                        let message =
                            format!("strftime_now: the format {format:?} has a directive that is not supported");
                        return Err(Error::new(ErrorKind::InvalidOperation, message));
                    }
                }
                .ok();
                continue;
            }
        };
        // Writing to a string cannot fail.
        let _ = if padded { write!(out, "{number:0width$}") } else { write!(out, "{number}") };
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn dates_match_the_calendar() {
        // Checked with `date -u -d @...`.
        let all = "%Y-%m-%d %H:%M:%S|%y %e %j %b %B %a %A %I %p %% %-d %-m %-H %-M";
        let cases = [
            (0, "1970-01-01 00:00:00|70  1 001 Jan January Thu Thursday 12 AM % 1 1 0 0"),
            (951_827_696, "2000-02-29 12:34:56|00 29 060 Feb February Tue Tuesday 12 PM % 29 2 12 34"),
            (1_735_689_599, "2024-12-31 23:59:59|24 31 366 Dec December Tue Tuesday 11 PM % 31 12 23 59"),
            (4_107_542_400, "2100-03-01 00:00:00|00  1 060 Mar March Mon Monday 12 AM % 1 3 0 0"),
            (14_000_000_000, "2413-08-23 00:53:20|13 23 235 Aug August Fri Friday 12 AM % 23 8 0 53"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(strftime(all, seconds).unwrap(), expected);
        }
    }

    #[test]
    fn rejects_unknown_directives() {
        for format in ["%Q", "%", "%-", "ok %-Q"] {
            assert!(strftime(format, 0).is_err(), "{format}");
        }
    }
}
