//! An archive behind a web server is an archive; tables are never written to one.

use crate::support::Fixture;
use crate::web::{Answer, Web};

#[test]
fn an_archive_behind_a_web_server_gives_the_tables_of_the_folder() {
    let fixture = Fixture::new();
    let web = Web::plain(&fixture.path(""));
    let http = [("input.root", &*web.url("archive/")), ("store.allow_http", "true")];
    fixture.run("from-web", &http).unwrap();
    fixture.run("out", &[]).unwrap();
    assert!(fixture.published("from-web") == fixture.published("out"));
}

#[test]
fn shards_behind_a_web_server_are_read_by_range() {
    let fixture = Fixture::new();
    let archive = fixture.path("archive");
    let tar =
        std::process::Command::new("tar").args(["cf", "all.tar", "images"]).current_dir(&archive).status();
    assert!(tar.unwrap().success());
    std::fs::create_dir(fixture.path("shards")).unwrap();
    std::fs::rename(archive.join("all.tar"), fixture.path("shards/all.tar")).unwrap();
    let built = fixture.t3b(&["manifest", "build", "shards", "-o", "shards/manifest.csv"]);
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let (web, traffic) = Web::start(&fixture.path(""), |asked| {
        let is_whole_shard = asked.path.ends_with(".tar") && asked.method == "GET" && asked.range.is_none();
        if is_whole_shard { Answer::Status("403 Forbidden", "", "") } else { Answer::Serve }
    });
    fixture.run("from-web", &[("input.root", &*web.url("shards")), ("store.allow_http", "true")]).unwrap();
    let folder = fixture.path("shards").to_string_lossy().into_owned();
    fixture.run("out", &[("input.root", &folder)]).unwrap();
    assert!(fixture.published("from-web") == fixture.published("out"));
    assert!(traffic.most_in_hand() > 0);
}

#[test]
fn a_web_server_is_never_written_to_nor_listed() {
    let fixture = Fixture::new();
    fixture.run("out", &[]).unwrap();
    let (web, traffic) = Web::start(&fixture.path(""), |_| Answer::Serve);
    let refused = |args: &[&str]| {
        let said = fixture.command(args).env("T3B_STORE_ALLOW_HTTP", "true").output().unwrap();
        let message = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(78), "{args:?}: {message}");
        assert!(message.contains("S008") && message.contains("file, s3, gs or az"), "{args:?}: {message}");
    };
    refused(&["run", "pipeline.toml", "--output", &web.url("new")]);
    refused(&["manifest", "build", &web.url("archive"), "-o", "list.csv"]);
    assert_eq!(traffic.most_in_hand(), 0, "refused before anything is sent");
    refused(&["verify", &web.url("out/_t3b/runs/r")]);
}

#[test]
fn plain_http_and_credentials_in_a_url_are_refused() {
    let fixture = Fixture::new();
    for (root, code) in [
        ("http://127.0.0.1:9/archive", "C004"),
        ("https://name:SECRET@127.0.0.1:9/archive", "C003"),
        ("https://127.0.0.1:9/archive?token=SECRET", "C003"),
        ("https://127.0.0.1:9/archive#SECRET", "S003"),
    ] {
        let problem = fixture.run("out", &[("input.root", root)]).unwrap_err().to_string();
        assert!(problem.contains(code) && !problem.contains("SECRET"), "{root}: {problem}");
    }
}
