use std::time::Duration;

use object_store::path::Path;
use t3b::ledger::{NightLayout, NightState, PastNight, last_record, settle};
use t3b::store::Root;

use super::ward::{Said, Ward, day};
use crate::support::runtime;

/// Requests of a night with as many pictures as every other.
fn night(ward: &mut Ward, n: u64) -> Said {
    ward.put_day(n, 8, "");
    let said = ward.night(n, &[]);
    assert_eq!(said.code, Some(0), "{} {}", said.line, said.errors);
    println!("night {:>4}: {} requests, {:.2} s", n + 1, said.n_requests, said.seconds);
    said
}

#[test]
fn a_night_costs_the_same_however_old_the_archive_is() {
    let mut ward = Ward::new("folders = \"%Y/%m/%d\"\nlookback_days = 3\nreference = 4");
    let mut early: Vec<u64> = (0..6).map(|n| night(&mut ward, n).n_requests).collect();
    let settled = early.split_off(4);
    // As many nights as nobody wants to wait for: their records, and the state of the last.
    let n_nights = 1000;
    let root = Root::over(ward.results(), Path::from("out"), Duration::from_secs(60));
    let layout = NightLayout::new("ward");
    runtime().block_on(async {
        let mut record = last_record(&root, &layout).await.unwrap().unwrap();
        let first = record.number;
        for number in first + 1..n_nights {
            record.past.push(PastNight { date: record.date.clone(), is_alarm: false, is_retired: false });
            let n_over = record.past.len().saturating_sub(400);
            record.past.drain(..n_over);
            record.number = number;
            record.date = day(number - 1).to_string();
            record.newest.clone_from(&record.date);
            (record.manifest, record.record_sha256) = (None, String::new());
            record.taken.clear();
            assert!(record.create(&root, &layout).await.unwrap());
        }
        let state = NightState {
            name: "ward".into(),
            date: record.date.clone(),
            number: record.number,
            ..NightState::default()
        };
        settle(&root, &layout, &state).await.unwrap();
    });
    // A folder for each of these days, with something in it.
    for n in (6..n_nights - 4).step_by(50) {
        ward.put_day(n, 1, "old");
    }
    for n in n_nights - 4..n_nights - 1 {
        ward.put_day(n, 0, "");
    }
    let late = night(&mut ward, n_nights - 1).n_requests;
    println!("settled nights {settled:?}, night {n_nights} {late}; the first four {early:?}");
    let most = settled.iter().max().unwrap() + 4;
    assert!(late <= most, "{late} requests after {n_nights} nights, at most {most} before");
}
