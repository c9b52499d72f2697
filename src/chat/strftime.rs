//! `strftime_now` of chat templates: Python's `datetime.strftime` in the C locale, in UTC.
//!
//! The directives are those of Python's manual and of glibc, with glibc's flags: `%-d` without
//! padding, `%_d` with blanks, `%0e` with zeros, `%^a` in capitals. Python's `now()` knows no time
//! zone, so `%z` and `%Z` are empty.

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

/// A moment in the Gregorian calendar.
#[derive(Debug, PartialEq, Eq)]
struct Moment {
    year: u64,
    /// 1 to 12.
    month: u64,
    /// 1 to 31.
    day: u64,
    /// 1 to 366.
    day_of_year: u64,
    /// 0, Sunday, to 6.
    weekday: u64,
    hour: u64,
    minute: u64,
    second: u64,
    unix_seconds: u64,
}

impl Moment {
    /// Counts whole years, then whole months, from 1970; years in blocks of 400, which all have the
    /// same number of days.
    fn new(unix_seconds: u64) -> Self {
        const DAYS_IN_400_YEARS: u64 = 146_097;
        let days = unix_seconds / 86_400;
        let mut year = 1970 + 400 * (days / DAYS_IN_400_YEARS);
        let mut left = days % DAYS_IN_400_YEARS;
        while left >= 365 + u64::from(is_leap(year)) {
            left -= 365 + u64::from(is_leap(year));
            year += 1;
        }
        let day_of_year = left + 1;
        let mut month = 1;
        for days in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if left < days {
                break;
            }
            left -= days;
            month += 1;
        }
        Self {
            year,
            month,
            day: left + 1,
            day_of_year,
            weekday: (days + 4) % 7,
            hour: unix_seconds / 3600 % 24,
            minute: unix_seconds / 60 % 60,
            second: unix_seconds % 60,
            unix_seconds,
        }
    }

    /// 1, Monday, to 7.
    fn iso_weekday(&self) -> u64 {
        (self.weekday + 6) % 7 + 1
    }

    /// The year and week of ISO 8601: week 1 has the year's first Thursday.
    fn iso_week(&self) -> (u64, u64) {
        let weeks_in = |year: u64| {
            // The weekday, 0 Sunday, of 31 December.
            let last = |year: u64| (year + year / 4 - year / 100 + year / 400) % 7;
            52 + u64::from(last(year) == 4 || last(year - 1) == 3)
        };
        match (self.day_of_year + 10 - self.iso_weekday()) / 7 {
            0 => (self.year - 1, weeks_in(self.year - 1)),
            week if week > weeks_in(self.year) => (self.year + 1, 1),
            week => (self.year, week),
        }
    }

    fn hour12(&self) -> u64 {
        (self.hour + 11) % 12 + 1
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// What a directive writes.
enum Field {
    /// A number with its width and usual padding.
    Number(u64, usize, char),
    Name(&'static str),
    /// Other directives.
    Format(&'static str),
}

/// `format` with its directives replaced.
///
/// # Errors
/// For a directive that is none of Python's or glibc's.
pub(super) fn strftime(format: &str, unix_seconds: u64) -> Result<String, Error> {
    let mut out = String::new();
    write(format, &Moment::new(unix_seconds), &mut out)?;
    Ok(out)
}

fn write(format: &str, moment: &Moment, out: &mut String) -> Result<(), Error> {
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = chars.next();
        let flag = directive.filter(|c| matches!(c, '-' | '_' | '0' | '^'));
        if flag.is_some() {
            directive = chars.next();
        }
        let Some(field) = directive.and_then(|directive| field(directive, moment)) else {
            let message = format!("strftime_now: the format {format:?} has a directive that is not supported");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        };
        match field {
            Field::Number(number, width, padding) => {
                let padding = match flag {
                    Some('_') => ' ',
                    Some('0') => '0',
                    _ => padding,
                };
                // Writing to a string cannot fail.
                let _ = match (flag, padding) {
                    (Some('-'), _) => write!(out, "{number}"),
                    (_, '0') => write!(out, "{number:0width$}"),
                    _ => write!(out, "{number:width$}"),
                };
            }
            Field::Name(name) if flag == Some('^') => out.push_str(&name.to_uppercase()),
            Field::Name(name) => out.push_str(name),
            Field::Format(format) => write(format, moment, out)?,
        }
    }
    Ok(())
}

fn field(directive: char, moment: &Moment) -> Option<Field> {
    use Field::{Format, Name, Number};
    let month = MONTHS[(moment.month - 1) as usize];
    let weekday = DAYS[moment.weekday as usize];
    Some(match directive {
        'Y' => Number(moment.year, 4, '0'),
        'C' => Number(moment.year / 100, 2, '0'),
        'y' => Number(moment.year % 100, 2, '0'),
        'G' => Number(moment.iso_week().0, 4, '0'),
        'g' => Number(moment.iso_week().0 % 100, 2, '0'),
        'm' => Number(moment.month, 2, '0'),
        'd' => Number(moment.day, 2, '0'),
        'e' => Number(moment.day, 2, ' '),
        'j' => Number(moment.day_of_year, 3, '0'),
        'U' => Number((moment.day_of_year + 6 - moment.weekday) / 7, 2, '0'),
        'W' => Number((moment.day_of_year + 7 - moment.iso_weekday()) / 7, 2, '0'),
        'V' => Number(moment.iso_week().1, 2, '0'),
        'u' => Number(moment.iso_weekday(), 1, '0'),
        'w' => Number(moment.weekday, 1, '0'),
        'H' => Number(moment.hour, 2, '0'),
        'k' => Number(moment.hour, 2, ' '),
        'I' => Number(moment.hour12(), 2, '0'),
        'l' => Number(moment.hour12(), 2, ' '),
        'M' => Number(moment.minute, 2, '0'),
        'S' => Number(moment.second, 2, '0'),
        // Microseconds: the clock of a template has whole seconds.
        'f' => Number(0, 6, '0'),
        's' => Number(moment.unix_seconds, 1, '0'),
        'b' | 'h' => Name(&month[..3]),
        'B' => Name(month),
        'a' => Name(&weekday[..3]),
        'A' => Name(weekday),
        'p' => Name(if moment.hour < 12 { "AM" } else { "PM" }),
        'P' => Name(if moment.hour < 12 { "am" } else { "pm" }),
        'z' | 'Z' => Name(""),
        'n' => Name("\n"),
        't' => Name("\t"),
        '%' => Name("%"),
        'c' => Format("%a %b %e %H:%M:%S %Y"),
        'x' | 'D' => Format("%m/%d/%y"),
        'X' | 'T' => Format("%H:%M:%S"),
        'F' => Format("%Y-%m-%d"),
        'R' => Format("%H:%M"),
        'r' => Format("%I:%M:%S %p"),
        _ => return None,
    })
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
    fn weeks_and_the_rest_match_date() {
        // Checked with `date -u -d @...`, %f with Python.
        let all = "%F %T %D %R %x %X %c %r %u %w %U %W %V %G %g %C %h %k %l %P %s %f[%z%Z]%n%t%_m%0e%^a%^B";
        let cases = [
            (
                0,
                "1970-01-01 00:00:00 01/01/70 00:00 01/01/70 00:00:00 Thu Jan  1 00:00:00 1970 12:00:00 AM 4 4 00 00 01 1970 70 19 Jan  0 12 am 0 000000[]\n\t 101THUJANUARY",
            ),
            (
                1_609_459_199,
                "2020-12-31 23:59:59 12/31/20 23:59 12/31/20 23:59:59 Thu Dec 31 23:59:59 2020 11:59:59 PM 4 4 52 52 53 2020 20 20 Dec 23 11 pm 1609459199 000000[]\n\t1231THUDECEMBER",
            ),
            (
                1_609_632_000,
                "2021-01-03 00:00:00 01/03/21 00:00 01/03/21 00:00:00 Sun Jan  3 00:00:00 2021 12:00:00 AM 7 0 01 00 53 2020 20 20 Jan  0 12 am 1609632000 000000[]\n\t 103SUNJANUARY",
            ),
            (
                1_230_768_000,
                "2009-01-01 00:00:00 01/01/09 00:00 01/01/09 00:00:00 Thu Jan  1 00:00:00 2009 12:00:00 AM 4 4 00 00 01 2009 09 20 Jan  0 12 am 1230768000 000000[]\n\t 101THUJANUARY",
            ),
            (
                1_230_508_800,
                "2008-12-29 00:00:00 12/29/08 00:00 12/29/08 00:00:00 Mon Dec 29 00:00:00 2008 12:00:00 AM 1 1 52 52 01 2009 09 20 Dec  0 12 am 1230508800 000000[]\n\t1229MONDECEMBER",
            ),
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
