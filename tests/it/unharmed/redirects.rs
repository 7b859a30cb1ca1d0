//! A store that points elsewhere is not followed.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::inputs::shards::images;
use crate::support::Fixture;
use crate::tables::table;

/// Answers every request by a redirect to `target`, and counts them.
fn redirecting(status: &'static str, target: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let n_asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&n_asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            counted.fetch_add(1, Ordering::SeqCst);
            let head = format!(
                "HTTP/1.1 {status}\r\nLocation: {target}/secret\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes());
        }
    });
    (port, n_asked)
}

#[test]
fn a_redirect_of_the_store_reaches_nobody() {
    let fixture = Fixture::new();
    for status in ["302 Found", "307 Temporary Redirect"] {
        let inner = TcpListener::bind("127.0.0.1:0").unwrap();
        inner.set_nonblocking(true).unwrap();
        let target = format!("http://127.0.0.1:{}", inner.local_addr().unwrap().port());
        let (port, n_asked) = redirecting(status, target);
        let output = fixture
            .command(&["verify", "s3://bucket/out/_t3b/runs/r"])
            .env("T3B_STORE_ENDPOINT", format!("http://127.0.0.1:{port}"))
            .env("T3B_STORE_ALLOW_HTTP", "true")
            .env("T3B_STORE_REGION", "us-east-1")
            .env("T3B_STORE_MAX_RETRIES", "1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{status}: {message}");
        assert!(n_asked.load(Ordering::SeqCst) > 0, "{status}: the store was asked");
        assert_eq!(inner.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{status}: somebody came");
    }
}

#[test]
fn a_link_that_leaves_the_root_is_not_followed() {
    use std::os::unix::fs::symlink;
    let fixture = Fixture::new();
    let image = images(&fixture.path("archive"))[0].1.clone();
    fs::create_dir_all(fixture.path("outside")).unwrap();
    fs::write(fixture.path("outside/x.png"), &image).unwrap();
    fs::write(fixture.path("archive/x.png"), &image).unwrap();
    symlink(fixture.path("outside/x.png"), fixture.path("archive/file.png")).unwrap();
    symlink(fixture.path("outside"), fixture.path("archive/folder")).unwrap();
    symlink("x.png", fixture.path("archive/inside.png")).unwrap();
    let manifest =
        |uri: &str| fs::write(fixture.path("archive/manifest.csv"), format!("uri\n{uri}\n")).unwrap();
    for (n, uri) in ["file.png", "folder/x.png"].into_iter().enumerate() {
        manifest(uri);
        let out = format!("out{n}");
        fixture.run(&out, &[]).unwrap();
        assert_eq!(table(&fixture.path(&out), "quarantine").text("reason_code"), ["outside_root"], "{uri}");
        assert_eq!(table(&fixture.path(&out), "predictions").n_rows, 0, "{uri}");
    }
    // A link whose text is absolute may mean a place below the root.
    symlink(fixture.path("archive/x.png"), fixture.path("archive/absolute.png")).unwrap();
    for (out, uri) in [("followed", "inside.png"), ("absolute", "absolute.png")] {
        manifest(uri);
        fixture.run(out, &[]).unwrap();
        assert!(table(&fixture.path(out), "predictions").n_rows > 0, "{uri}");
    }
    // The manifest itself is not read from outside either.
    fs::rename(fixture.path("archive/manifest.csv"), fixture.path("outside/manifest.csv")).unwrap();
    symlink(fixture.path("outside/manifest.csv"), fixture.path("archive/manifest.csv")).unwrap();
    let error = fixture.run("never", &[]).unwrap_err();
    assert!(error.to_string().contains("M017"), "{error}");
}

#[test]
fn what_is_no_file_costs_its_own_row_and_is_never_waited_for() {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    let fixture = Fixture::new();
    let at = |name: &str| fixture.path("archive").join(name);
    let fifo = std::process::Command::new("mkfifo").arg(at("fifo.png")).status().unwrap();
    assert!(fifo.success());
    symlink("itself.png", at("itself.png")).unwrap();
    symlink("other.png", at("another.png")).unwrap();
    symlink("another.png", at("other.png")).unwrap();
    symlink("/dev/zero", at("device.png")).unwrap();
    symlink("/proc/self/environ", at("magic.png")).unwrap();
    let _socket = UnixListener::bind(at("socket.png")).unwrap();
    fs::create_dir(at("folder.png")).unwrap();
    let manifest = fs::read_to_string(at("manifest.csv")).unwrap();
    let good: Vec<&str> = manifest.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    let odd =
        ["fifo.png", "itself.png", "another.png", "device.png", "magic.png", "socket.png", "folder.png"];
    let rows: String =
        ["uri"].into_iter().chain(good.clone()).chain(odd).map(|uri| format!("{uri}\n")).collect();
    fs::write(at("manifest.csv"), rows).unwrap();
    fixture.run("out", &[]).unwrap();
    let quarantine = table(&fixture.path("out"), "quarantine");
    assert_eq!(
        quarantine.text("reason_code"),
        [
            "not_a_file",
            "not_a_file",
            "not_a_file",
            "outside_root",
            "outside_root",
            "not_a_file",
            "missing_object"
        ]
    );
    assert_eq!(table(&fixture.path("out"), "signals").n_rows, good.len() * crate::support::N_CELLS);
}

/// A name that alternates between a file and a link to a picture outside: the picture is never scored.
#[test]
fn a_name_that_is_exchanged_while_it_is_read_never_leads_outside() {
    use std::os::unix::fs::symlink;
    use std::sync::atomic::AtomicBool;
    let fixture = Fixture::new();
    let pictures = images(&fixture.path("archive"));
    let (inner, outer) = (pictures[0].1.clone(), pictures[1].1.clone());
    fs::create_dir_all(fixture.path("outside")).unwrap();
    fs::write(fixture.path("outside/x.png"), &outer).unwrap();
    let place = fixture.path("archive/x.png");
    fs::write(&place, &inner).unwrap();
    fs::write(fixture.path("archive/manifest.csv"), "uri\nx.png\n").unwrap();
    fixture.run("inner", &[]).unwrap();
    let inner_js = table(&fixture.path("inner"), "signals").text("js_nats");
    let is_over = Arc::new(AtomicBool::new(false));
    let (over, folder, target) =
        (Arc::clone(&is_over), fixture.path("archive"), fixture.path("outside/x.png"));
    let swapper = std::thread::spawn(move || {
        let (file, link) = (folder.join("file.tmp"), folder.join("link.tmp"));
        while !over.load(Ordering::SeqCst) {
            fs::write(&file, &inner).unwrap();
            fs::rename(&file, folder.join("x.png")).unwrap();
            symlink(&target, &link).unwrap();
            fs::rename(&link, folder.join("x.png")).unwrap();
        }
    });
    let n_runs = if std::env::var_os("T3B_FULL").is_some() { 40 } else { 6 };
    let (mut n_inner, mut n_refused) = (0, 0);
    for run in 0..n_runs {
        let out = format!("race{run}");
        fixture.run(&out, &[]).unwrap();
        let signals = table(&fixture.path(&out), "signals");
        if signals.n_rows > 0 {
            assert_eq!(signals.text("js_nats"), inner_js, "only the picture inside");
            n_inner += 1;
        } else {
            n_refused += 1;
        }
    }
    is_over.store(true, Ordering::SeqCst);
    swapper.join().unwrap();
    eprintln!(
        "exchanged names: {n_inner} runs saw the file, {n_refused} a refused row, 0 the picture outside"
    );
}
