//! A store that points elsewhere is not followed.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::shards::images;
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
    for uri in ["file.png", "folder/x.png"] {
        manifest(uri);
        let said = fixture.t3b(&["run", "pipeline.toml"]);
        let text = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(65), "{uri}: {text}");
        assert!(text.contains("M017") && !text.contains(uri), "{uri}: {text}");
    }
    manifest("inside.png");
    fixture.run("followed", &[]).unwrap();
    assert!(table(&fixture.path("followed"), "predictions").n_rows > 0);
}
