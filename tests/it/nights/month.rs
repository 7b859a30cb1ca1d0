//! Reduced by default: nine nights; `T3B_FULL=1 cargo test --test it -- nights::month --nocapture` runs thirty and prints figures.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use t3b::demo::CellClass;

use super::ward::{Said, Ward, day, pseudonym};
use crate::bad_inputs::bad_inputs;
use crate::faults::Dice;
use crate::process::is_full;

/// When what happens, in days from the first.
struct Calendar {
    n_nights: u64,
    n_pictures: u64,
    /// Days of which tables are kept.
    keep: u64,
    empty: u64,
    missing: u64,
    doubled: u64,
    hostile: u64,
    drifted: u64,
    /// Nights that die, and whether the same night is called again.
    deaths: Vec<(u64, bool)>,
}

fn calendar() -> Calendar {
    if is_full() {
        let deaths = vec![(5, true), (12, false), (19, true), (26, false)];
        return Calendar {
            n_nights: 30,
            n_pictures: 24,
            keep: 20,
            empty: 9,
            missing: 14,
            doubled: 16,
            hostile: 21,
            drifted: 24,
            deaths,
        };
    }
    println!("reduced: 9 nights of 16 pictures; T3B_FULL=1 for 30 of 24");
    Calendar {
        n_nights: 9,
        n_pictures: 16,
        keep: 6,
        empty: 3,
        missing: 4,
        doubled: 5,
        hostile: 6,
        drifted: 7,
        deaths: vec![(1, false), (8, true)],
    }
}

/// What the archive gets on a day.
fn arrivals(ward: &mut Ward, what: &Calendar, n: u64) {
    let folder = |n_day: u64| day(n_day).format("%Y/%m/%d").to_string();
    if n == what.empty {
        return;
    }
    if n == what.drifted {
        for k in 0..what.n_pictures {
            let picture = ward.picture_of(CellClass::ALL[3], true);
            ward.put(&format!("{}/{k:03}.png", folder(n)), picture);
        }
        return;
    }
    ward.put_day(n, what.n_pictures, "");
    if n == what.hostile {
        // Two of five.
        let hostile =
            bad_inputs().into_iter().filter(|bad| bad.code != "ok" && bad.code != "object_too_large");
        let bytes = hostile.filter_map(|bad| Some((bad.name, bad.bytes?)));
        for (name, bytes) in bytes.take(usize::try_from(what.n_pictures * 2 / 3).unwrap()) {
            ward.put(&format!("{}/{name}", folder(n)), bytes);
        }
    }
    // Every third day something comes late, and something that was scored is another picture now.
    if n >= 3 && n % 3 == 1 {
        ward.put_day(n - 2, 2, "late");
    }
    let is_taken = |n: u64| n != what.empty && n != what.missing && !what.deaths.contains(&(n, false));
    if n >= 3 && n % 3 == 2 && is_taken(n - 1) {
        let picture = ward.picture();
        ward.put(&format!("{}/000.png", folder(n - 1)), picture);
    }
}

/// Pseudonyms of published rows, kept when their tables are retired.
#[derive(Default)]
struct Seen(BTreeMap<String, Vec<String>>);

impl Seen {
    fn look(&mut self, ward: &Ward) {
        for (run_id, ids) in ward.scored() {
            let before = self.0.insert(run_id.clone(), ids.clone());
            assert!(before.is_none_or(|before| before == ids), "{run_id} has other rows now");
        }
    }
}

fn die(ward: &Ward, n: u64, dice: &mut Dice) {
    // A random operation of a night is a random time that a seed repeats; a late one may end the night before it is reached.
    let at =
        format!("{}:{}", ["before", "after"][usize::try_from(dice.below(2)).unwrap()], 20 + dice.below(110));
    let date = day(n).to_string();
    let mut command = ward.command(&["--date", &date]);
    let status =
        command.env("T3B_CRASH_AT", &at).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), None, "night {n} lived through {at}");
}

fn figures(n: u64, said: &Said) {
    println!("night {:>2}: {:>4} requests, {:.2} s; {}", n + 1, said.n_requests, said.seconds, said.line);
}

#[test]
fn a_month_of_nights_scores_every_content_once_and_alarms_once() {
    let what = calendar();
    let nightly = format!("folders = \"%Y/%m/%d\"\nlookback_days = 3\nkeep = {}", what.keep);
    let mut ward = Ward::new(&nightly);
    let (mut seen, mut dice) = (Seen::default(), Dice::new(11));
    let deaths: BTreeMap<u64, bool> = what.deaths.iter().copied().collect();
    for n in 0..what.n_nights {
        arrivals(&mut ward, &what, n);
        if n == what.missing {
            continue;
        }
        if let Some(is_called_again) = deaths.get(&n) {
            die(&ward, n, &mut dice);
            if !is_called_again && n + 1 < what.n_nights {
                continue;
            }
        }
        if n == what.doubled {
            let date = day(n).to_string();
            let children: Vec<_> = (0..2)
                .map(|_| {
                    let mut command = ward.command(&["--date", &date]);
                    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
                })
                .collect();
            for child in children {
                let said = child.wait_with_output().unwrap();
                assert!(said.status.success(), "doubled: {}", String::from_utf8_lossy(&said.stderr));
            }
        } else {
            let said = ward.night(n, &[]);
            figures(n, &said);
            let wanted = match n {
                _ if n == what.empty => 99,
                _ if n == what.hostile || n == what.drifted => 3,
                _ => 0,
            };
            assert_eq!(said.code, Some(wanted), "night {n}: {} {}", said.line, said.errors);
            // One line, and one before it where the night before was left unfinished.
            let days: Vec<&str> = said.line.lines().map(|line| &line["night ".len()..][..10]).collect();
            let (own, before) = (day(n).to_string(), day(n.saturating_sub(1)).to_string());
            let was_left = deaths.get(&(n.saturating_sub(1))) == Some(&false);
            assert!(days == [&own] || was_left && days == [&before, &own], "{}", said.line);
        }
        seen.look(&ward);
    }
    every_content_was_scored_once(&ward, &seen);
    the_drifted_night_alarmed_alone(&ward, &what);
    what_is_old_is_retired(&ward, &what);
    no_past_date_changes_anything(&ward, &what);
}

fn every_content_was_scored_once(ward: &Ward, seen: &Seen) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for id in seen.0.values().flatten() {
        *counts.entry(id).or_default() += 1;
    }
    let mut n_rows = 0;
    for (key, contents) in &ward.put {
        let found = counts.remove(pseudonym(key).as_str()).unwrap_or_default();
        assert_eq!(found, contents.len(), "{key}");
        n_rows += found;
    }
    assert!(counts.is_empty(), "{} pseudonyms of nothing", counts.len());
    println!("{n_rows} contents of {} objects scored or quarantined, each once", ward.put.len());
}

fn the_drifted_night_alarmed_alone(ward: &Ward, what: &Calendar) {
    let alarmed: Vec<u64> = (0..what.n_nights)
        .filter(|n| {
            let state = ward.state(*n);
            state.is_some_and(|state| !state["drift"]["alarms"].as_array().unwrap().is_empty())
        })
        .collect();
    assert_eq!(alarmed, [what.drifted]);
    let over: Vec<u64> = (0..what.n_nights)
        .filter(|n| ward.state(*n).is_some_and(|state| state["is_over_quarantine"] == true))
        .collect();
    assert_eq!(over, [what.hostile]);
    let sum =
        |field: &str| -> u64 { (0..what.n_nights).filter_map(|n| ward.state(n)?[field].as_u64()).sum() };
    assert!(sum("n_late") > 0 && sum("n_changed") > 0);
    let n_contents: u64 = ward.put.values().map(|contents| contents.len() as u64).sum();
    assert_eq!(sum("n_new") + sum("n_late") + sum("n_changed"), n_contents);
}

fn what_is_old_is_retired(ward: &Ward, what: &Calendar) {
    let all = ward.everything();
    let first_kept = what.n_nights - what.keep;
    for n in 0..what.n_nights {
        let Some(state) = ward.state(n) else { continue };
        let is_scored = !state["run_id"].is_null();
        let date = day(n).to_string();
        let has = |part: &str| all.keys().any(|key| key.contains(part));
        let stands = is_scored && n >= first_kept;
        assert_eq!(has(&format!("tables/runs/run_date={date}/")), stands, "tables of {date}");
        assert_eq!(has(&format!("_t3b/runs/ward-{date}/")), stands, "run of {date}");
        assert_eq!(has(&format!("private/nights/ward/{date}.")), stands, "manifest of {date}");
        assert_eq!(state["is_retired"] == true, is_scored && !stands, "{date}");
        assert_eq!(has(&format!("reports/ward/{date}/summary.parquet")), is_scored, "summary of {date}");
    }
}

fn no_past_date_changes_anything(ward: &Ward, what: &Calendar) {
    let before = ward.everything();
    let (first, last) = (day(0).to_string(), day(what.n_nights - 1).to_string());
    let said = ward.call(&mut ward.command(&["--from", &first, "--to", &last]));
    assert_eq!(said.code, Some(3), "{} {}", said.line, said.errors);
    let lines: Vec<&str> = said.line.lines().collect();
    assert_eq!(lines.len() as u64, what.n_nights);
    assert!(
        lines.iter().all(|line| line.contains("already done") || line.contains("empty")),
        "{}",
        said.line
    );
    let after = ward.everything();
    let names = |all: &BTreeMap<String, Vec<u8>>| all.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&before), names(&after));
    assert!(before == after, "other bytes");
    println!("{} objects unchanged by {} calls for past nights", after.len(), what.n_nights);
}
