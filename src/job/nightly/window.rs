//! Which days a night looks into.

use chrono::{Days, NaiveDate};

use crate::ledger::NightRecord;
use crate::settings::Nightly;

/// The one list of what was taken, where the whole root is listed.
const ALL: &str = "all";
/// Most days of one window: ten years.
const MAX_DAYS: u64 = 3660;

/// The folder of one day, and the name of the list of what was taken of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Day {
    /// Name of the list.
    pub(super) name: String,
    /// Folder below the root; empty for the root itself.
    pub(super) folder: String,
    /// Whether a night before this one had looked into it.
    pub(super) was_looked_into: bool,
}

/// The day of a record.
pub(super) fn parse(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

/// `n` days before `date`.
pub(super) fn before(date: NaiveDate, n: u32) -> NaiveDate {
    date.checked_sub_days(Days::new(u64::from(n))).unwrap_or(NaiveDate::MIN)
}

/// The days that the night of `date` looks into, oldest first: its own and `lookback_days` before it. After a pause, that is,
/// where the newest night is older, its whole window again and everything since, so that no folder is passed over; so too
/// the window of a night before it that was given up.
pub(super) fn days(
    nightly: &Nightly,
    date: NaiveDate,
    last: Option<&NightRecord>,
    is_given_up: bool,
) -> Vec<Day> {
    let Some(template) = &nightly.folders else {
        let name = ALL.to_owned();
        return vec![Day { name, folder: String::new(), was_looked_into: false }];
    };
    let newest = last.and_then(|last| parse(&last.newest)).filter(|newest| *newest < date);
    let own = before(date, nightly.lookback_days);
    let first = newest.map_or(own, |newest| own.min(before(newest, nightly.lookback_days)));
    let missed = last.filter(|_| is_given_up).and_then(|last| parse(&last.window.as_ref()?[0]));
    let first = missed.map_or(first, |missed| first.min(missed));
    let first = first.max(before(date, u32::try_from(MAX_DAYS).unwrap_or(u32::MAX)));
    let nights: Vec<NaiveDate> = last
        .into_iter()
        .flat_map(|last| last.past.iter().map(|night| &night.date).chain([&last.date, &last.newest]))
        .filter_map(|text| parse(text))
        .collect();
    let looked_into =
        |day: NaiveDate| day < date && nights.iter().any(|night| day <= *night && *night < date);
    let n_days = u64::try_from((date - first).num_days()).unwrap_or_default();
    let all = (0..=n_days).filter_map(|n| first.checked_add_days(Days::new(n)));
    let day = |day: NaiveDate| Day {
        name: day.to_string(),
        folder: day.format(template).to_string(),
        was_looked_into: looked_into(day),
    };
    all.map(day).collect()
}
