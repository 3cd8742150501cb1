//! Dates as people and programs write them, into `YYYY-MM-DD`.

use jiff::civil::Date;
use jiff::fmt::rfc2822;
use jiff::{Timestamp, tz::TimeZone};

const FORMATS: [&str; 8] = [
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d %B %Y",
    "%d %b %Y",
    "%B %d, %Y",
    "%b %d, %Y",
    "%Y%m%d",
];

/// The day that `text` names, or `None` where it cannot be told.
pub(super) fn day(text: &str) -> Option<String> {
    let text = text.trim();
    // RFC 3339, ISO 8601 and what looks like them: the day as written, whatever the zone.
    let leading = text.get(..10).and_then(|day| day.parse::<Date>().ok());
    let date = leading
        .or_else(|| FORMATS.iter().find_map(|format| Date::strptime(format, text).ok()))
        .or_else(|| rfc2822::parse(text).ok().map(|time| time.date()))
        .or_else(|| year(text))?;
    (date.year() >= 1).then(|| date.to_string())
}

/// The day of a time in seconds since 1970.
pub(super) fn day_of_seconds(seconds: i64) -> Option<String> {
    let time = Timestamp::from_second(seconds).ok()?;
    Some(TimeZone::UTC.to_datetime(time).date().to_string())
}

fn year(text: &str) -> Option<Date> {
    let plausible = |year: &i16| (1000..=9999).contains(year);
    text.parse().ok().filter(plausible).and_then(|year| Date::new(year, 1, 1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_spellings_are_understood() {
        for text in [
            "2021-03-04",
            "2021-03-04T05:06:07Z",
            "2021-03-04 05:06:07 +0100",
            "2021/03/04",
            "04.03.2021",
            "4 March 2021",
            "Mar 4, 2021",
            "Thu, 4 Mar 2021 23:59:59 -0500",
            "20210304",
        ] {
            assert_eq!(day(text).as_deref(), Some("2021-03-04"), "{text}");
        }
        assert_eq!(day("2021").as_deref(), Some("2021-01-01"));
        assert_eq!(day_of_seconds(1_614_816_000).as_deref(), Some("2021-03-04"));
    }

    #[test]
    fn anything_else_is_no_date() {
        for text in ["", "soon", "2021-13-01", "99", "-0044-03-15"] {
            assert_eq!(day(text), None, "{text}");
        }
    }
}
