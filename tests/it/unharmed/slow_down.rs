//! A store that asks for fewer requests gets fewer, and the rows stay what they are.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::support::Fixture;
use crate::web::{Answer, Web};

/// Images asked for at once: by the source, and by what the gate should leave of it after each refusal.
const WAVES: [usize; 3] = [16, 8, 4];

/// What the server has seen of requests for images.
#[derive(Default)]
struct Seen {
    n_came: usize,
    /// Requests that came while a whole wave was in its hands.
    waves: [Option<usize>; 3],
}

#[test]
fn a_store_that_refuses_is_asked_for_half_and_the_tables_stay_the_same() {
    let fixture = Fixture::new();
    let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
    let shared = Arc::clone(&seen);
    let (web, _traffic) = Web::start(&fixture.path(""), move |asked| {
        if asked.path.contains("images/") { wave(&shared.0, &shared.1) } else { Answer::Serve }
    });
    let http = [("input.root", &*web.url("archive")), ("store.allow_http", "true")];
    fixture.run("refused", &http).unwrap();
    fixture.run("out", &[]).unwrap();
    assert!(fixture.published("refused") == fixture.published("out"));
    assert_eq!(seen.0.lock().unwrap().waves, WAVES.map(Some));
}

/// Holds a request until its wave is whole and somewhat longer, then refuses it; serves what comes behind the last wave.
fn wave(seen: &Mutex<Seen>, came: &Condvar) -> Answer {
    let mut now = seen.lock().unwrap();
    let place = now.n_came;
    now.n_came += 1;
    came.notify_all();
    let starts = [0, WAVES[0], WAVES[0] + WAVES[1]];
    let Some(wave) = (0..3).find(|&wave| place < starts[wave] + WAVES[wave]) else { return Answer::Serve };
    let whole = came.wait_while(now, |now| now.n_came < starts[wave] + WAVES[wave]).unwrap();
    drop(whole);
    // Time for one request too many; where the gate holds, none comes however long this takes.
    std::thread::sleep(Duration::from_millis(500));
    let mut now = seen.lock().unwrap();
    // Said by the first to wake, for the second may be behind an answer to the first.
    let n_came = now.n_came - starts[wave];
    now.waves[wave].get_or_insert(n_came);
    Answer::Status("503 Slow Down", "", "")
}
