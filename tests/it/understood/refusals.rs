//! What is refused is told once, whole, and with what to do: the faults of the second walk that are about messages.

use std::fs;

use super::first_day::say;
use super::store_causes::{Refusing, answer, refuse, s3_command};
use crate::s3_server::{self, Front, S3Server};
use crate::support::Fixture;

#[test]
fn n20_a_root_is_named_as_the_user_gave_it() {
    let fixture = Fixture::new();
    fs::copy(fixture.path("archive/manifest.csv"), fixture.path("manifest.csv")).unwrap();
    let server = S3Server::start(Front::Locked, &["archive"]);
    let told = |args: &[&str]| {
        let mut command = s3_command(&fixture, args, server.port);
        command.env("AWS_ACCESS_KEY_ID", s3_server::KEY).env("AWS_REGION", "us-east-1");
        let said = command.env("AWS_SECRET_ACCESS_KEY", s3_server::SECRET).output().unwrap();
        (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    let at = |root: &str| format!("input.root={root}");
    let http = format!("http://127.0.0.1:{}/archive", server.port);
    for root in ["s3://archive/2026", "s3a://archive/x", http.as_str(), "wrong"] {
        if root == "wrong" {
            fs::create_dir(fixture.path(root)).unwrap();
        }
        let (code, text) = told(&["check", "pipeline.toml", "--set", &at(root)]);
        // A server that refuses what is not signed is another message, which names the root too.
        let expected = if root == http { Some(77) } else { Some(65) };
        assert!(code == expected && text.contains(root), "{root}: {text}");
        assert!(text.contains("M031") || root == http, "{root}: {text}");
        assert!(!text.contains("a text of"), "{text}");
    }
    // Whatever else a root can be the reason of.
    let nobody = Refusing::serve(|request| refuse(answer(404, "NoSuchBucket"), request));
    let args = ["check", "pipeline.toml", "--set", "input.root=s3://nope/2026"];
    let said = s3_command(&fixture, &args, nobody.port).output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(text.contains("S004") && text.contains("s3://nope/2026"), "{text}");
    let (_, text) = told(&["runs", "show", "s3://archive/out/_t3b/runs/r"]);
    assert!(text.contains("R009") && text.contains("s3://archive/out"), "{text}");
    let (_, text) = told(&["manifest", "build", "s3://archive/none", "-o", "m.csv"]);
    assert!(text.contains("M022") && text.contains("s3://archive/none"), "{text}");
    let manifest = ["--set", "input.manifest=none.csv"];
    let (_, text) =
        told(&[&["check", "pipeline.toml", "--set", "input.root=s3://archive/x"], &manifest[..]].concat());
    assert!(text.contains("M019") && text.contains("s3://archive/x"), "{text}");
    let (_, text) = told(&["run", "pipeline.toml", "--output", "ftp://host/x"]);
    assert!(text.contains("S003") && text.contains("ftp://host/x"), "{text}");
    // A place that could hold a secret is still not repeated.
    let (_, text) = told(&["check", "pipeline.toml", "--set", "input.root=s3://KEY:PASS@archive/x"]);
    assert!(text.contains("C003") && !text.contains("PASS"), "{text}");
}

/// Every line of an answer is a message with its code, what was found or is missing, and a hint.
fn whole(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("error[")).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains("hint: ")), "{text}");
    lines
}

#[test]
fn n21_a_refused_setting_says_what_was_found_what_is_allowed_where_and_what_to_do() {
    let fixture = Fixture::new();
    fs::write(fixture.path("two.toml"), "[labels]\nnames = [\"a\"]\n").unwrap();
    for (set, words) in [
        ("run.batch_size=0", &["found 0, allowed 1..=4096 (from flag)", "share one T3_B coefficient"][..]),
        ("run.batch_size=many", &["found \"many\"", "allowed 1..=4096"]),
        ("run.partition_size=12", &["found 12", "multiple of run.batch_size (8)"]),
        ("run.name=\"A B\"", &["C005", "found \"A B\"", "[a-z0-9]", "small letter"]),
        ("run.batches=mixd", &["found \"mixd\"", "pure | mixed", "did you mean \"mixed\"?"]),
        ("merge.methods=[\"t3c\"]", &["found \"t3c\"", "dawin", "did you mean t3"]),
        ("merge.methods=[t3_b, expert]", &["found \"[t3_b, expert]\"", "a list of texts", "double quotes"]),
        ("merge.primary=ties", &["found \"ties\"", "pretrained, expert", "add it to merge.methods"]),
        ("merge.lambda_min=2", &["found 2", "0..=1"]),
        ("merge.grid=7", &["found 7", "11, 21"]),
        ("corrupt.suite=bloodmnst", &["found \"bloodmnst\"", "did you mean bloodmnist?"]),
        ("corrupt.corruptions=[\"fog\"]", &["found \"fog\"", "allowed pixelate"]),
        ("corrupt.severities=[6]", &["found [6]", "1..=5"]),
        ("labels.names=[\"a\"]", &["found 1 names", "at least 2", "labels.file"]),
        ("labels.templates=[\"photo\"]", &["found \"photo\"", "class name"]),
        ("models.expert_sha256=beef", &["found 4 characters", "64 hex digits", "inspect"]),
        ("decode.window=wide", &["found \"wide\"", "minmax"]),
        ("nightly.folders=daily", &["found \"daily\"", "%Y/%m/%d"]),
        ("nightly.reference_from=yesterday", &["found \"yesterday\"", "YYYY-MM-DD"]),
        ("threads.io=0", &["found 0", "1..=64"]),
        ("store.umask=9", &["found 9", "0077"]),
        ("metrics.textfile=x.txt", &["found", "x.txt", ".prom"]),
        ("metrics.address=here", &["found \"here\"", "a port"]),
        ("lineage.url=host", &["found \"host\"", "https://"]),
        ("output.root=archive/x", &["C002", "found", "archive/x", "outside the archive"]),
        ("input.split=val", &["C001|M001|M002", "split"]),
        ("input.manifest=none.csv", &["M019", "none.csv", "t3b manifest build"]),
        ("run.batchsize=3", &["C006", "run.batchsize", "did you mean run.batch_size?"]),
        ("merge.something_else=3", &["C006", "[merge] has", "gamma"]),
        ("elsewhere.key=3", &["C006", "sections are", "[labels]"]),
    ] {
        let (code, text) = say(&fixture, &["check", "pipeline.toml", "--set", set]);
        assert!(code == 78 || code == 65, "{set}: {text}");
        let lines = whole(&text);
        assert_eq!(lines.len(), 1, "{set}: {text}");
        for word in words {
            assert!(word.split('|').any(|word| lines[0].contains(word)), "{set}: {word:?} is not in {text}");
        }
    }
    let (code, text) = say(&fixture, &["check", "two.toml"]);
    assert_eq!(code, 78);
    for key in ["run.name", "input.root", "models.pretrained", "models.expert", "output.root"] {
        let line = whole(&text).into_iter().find(|line| line.contains(&format!("{key}: missing"))).unwrap();
        assert!(line.contains(&format!("--set {key}=")) && line.contains("T3B_"), "{line}");
    }
    for (args, words) in [
        (&["run", "pipeline.toml", "--run-id", "A B"][..], &["C005", "\"A B\"", "--run-id"][..]),
        (&["run", "pipeline.toml", "--run-date", "soon"], &["C005", "\"soon\"", "YYYY-MM-DD"]),
        (&["check", "nowhere.toml"], &["C007", "nowhere.toml", "t3b config show"]),
        (&["check", "archive"], &["C007", "archive", "t3b config show"]),
        (&["verify", "out"], &["R009", "found out", "<output root>/_t3b/runs/<run id>"]),
        (&["manifest", "build", "archive", "-o", "m.txt"], &["C007", "m.txt", ".parquet"]),
        (&["corrupt", "x.png", "--suite", "blood", "-o", "y.png"], &["C001", "blood", "bloodmnist"]),
        (&["samples", "pipeline.toml", "--ids", "none.txt"], &["C007", "none.txt", "each line"]),
    ] {
        let (code, text) = say(&fixture, args);
        assert!(code != 0, "{args:?}");
        let lines = whole(&text);
        for word in words {
            assert!(lines.iter().any(|line| line.contains(word)), "{args:?}: {word:?} is not in {text}");
        }
    }
}

/// A fault of each kind in a manifest: the row, and what to do.
#[test]
fn n21_a_refused_manifest_says_the_row_and_what_to_do() {
    let fixture = Fixture::new();
    let path = fixture.path("archive/manifest.csv");
    for (text, code) in [
        ("uri\n", "M001"),
        ("name\nx\n", "M002"),
        ("uri,sample_id\na,x\nb,x\n", "M003"),
        ("uri,sample_id\na,x y\n", "M004"),
        ("uri\n../a\n", "M005"),
        ("uri\n/a\n", "M006"),
        ("uri\ns3://b/a\n", "M007"),
        ("uri\n\"a\tb\"\n", "M008"),
        ("uri,label_idx\na,9\n", "M010"),
        ("uri,bytes\na,big\n", "M015"),
        ("uri,sha256\na,beef\n", "M016"),
        ("uri,label_idx\na,1,2\n", "M018"),
        ("uri,offset\na,3\n", "M020"),
        ("uri,frame\na,first\n", "M023"),
        ("uri,refused\na,because\n", "M024"),
        ("uri,label,label\na,x,y\n", "M027"),
        ("uri,corruption,severity\na,fog,6\n", "M028"),
    ] {
        fs::write(&path, text).unwrap();
        let (exit, told) = say(&fixture, &["check", "pipeline.toml"]);
        assert!(exit == 65 && whole(&told)[0].contains(code), "{code}: {told}");
    }
}

#[test]
fn n22_a_toml_error_is_one_message_with_file_line_column_and_the_line() {
    let fixture = Fixture::new();
    for (text, place, words) in [
        ("[run]\nname = \"x\nseed = 1", "bad.toml:2:", "`name = \"x`"),
        ("[run]\nname = \"x\"\nname = \"y\"\n", "bad.toml:3:1", "duplicate key"),
        ("[run\nname = \"x\"\n", "bad.toml:1:", "expected `]`"),
        ("[run]\nseed = [1,\n", "bad.toml:2:", "expected `]`"),
        ("[run]\nname = demo\n", "bad.toml:2:8", "`name = demo`"),
    ] {
        fs::write(fixture.path("bad.toml"), text).unwrap();
        let labels = ["check", "pipeline.toml", "--set", "labels.file=bad.toml"];
        for args in [
            &["check", "bad.toml"][..],
            &["run", "pipeline.toml", "--config", "bad.toml"],
            &labels,
            &["sweep", "bad.toml"],
        ] {
            let said = fixture.t3b(args);
            let told = String::from_utf8_lossy(&said.stderr).into_owned();
            assert_eq!(said.status.code(), Some(78), "{args:?}: {told}");
            assert_eq!(told.trim().lines().count(), 1, "{args:?}: {told}");
            assert!(
                told.contains(place) && told.contains(words) && told.contains("hint: "),
                "{args:?}: {told}"
            );
        }
    }
}

#[test]
fn n23_a_manifest_of_which_nothing_can_be_scored_ends_before_anything_is_committed() {
    let fixture = Fixture::new();
    let refused =
        "uri,refused,found\na.tar,archive_corrupt,cut\nb.tar,archive_corrupt,cut\nc,object_refused,\n";
    let archive = fixture.path("archive");
    for (n, name) in ["link", "empty"].into_iter().enumerate() {
        fs::write(archive.join(format!("{name}.png")), "").unwrap();
        if n == 0 {
            fs::remove_file(archive.join("link.png")).unwrap();
            std::os::unix::fs::symlink(fixture.path("pipeline.toml"), archive.join("link.png")).unwrap();
        }
    }
    for (manifest, reasons) in [
        (refused, &["2 archive_corrupt", "1 object_refused"][..]),
        ("uri\nlink.png\n", &["1 outside_root"]),
        ("uri\nempty.png\n", &["1 empty_object"]),
        ("uri,refused\nempty.png,\nb.tar,archive_corrupt\n", &["1 empty_object", "1 archive_corrupt"]),
    ] {
        fs::write(archive.join("manifest.csv"), manifest).unwrap();
        for command in ["check", "run"] {
            let (code, text) = say(&fixture, &[command, "pipeline.toml"]);
            assert!(code == 65 && text.contains("M022") && text.contains("input.root"), "{manifest}: {text}");
            assert!(reasons.iter().all(|reason| text.contains(reason)), "{manifest}: {text}");
            assert!(text.contains("run.max_missing_first = 1"), "{text}");
        }
        assert!(!fixture.path("out/tables").exists() && !fixture.path("out/_t3b/runs").exists());
    }
    let (code, text) = say(&fixture, &["run", "pipeline.toml", "--set", "run.max_missing_first=1"]);
    assert!(code == 3 && text.contains("archive_corrupt") && text.contains("empty_object"), "{text}");
    // One good image is enough.
    let good = fixture.files("archive").into_keys().find(|name| name.starts_with("images/")).unwrap();
    fs::write(archive.join("manifest.csv"), format!("{refused}{good},,\n")).unwrap();
    let (code, text) = say(&fixture, &["run", "pipeline.toml", "--run-id", "one"]);
    assert!(code == 3 && text.contains("5 (sample, cell) pairs"), "{text}");
}

#[test]
fn n24_no_message_is_only_the_consequence_of_another() {
    let fixture = Fixture::new();
    let pipeline = fs::read_to_string(fixture.path("pipeline.toml")).unwrap();
    let write = |text: String| fs::write(fixture.path("bad.toml"), text).unwrap();
    let errors = |text: &str| text.lines().filter(|line| line.starts_with("error[")).count();
    for set in [
        "merge.methods=[\"t3c\"]",
        "merge.methods=t3_b",
        "corrupt.suite=nope",
        "corrupt.severities=[9]",
        "run.batch_size=0",
        "run.batch_size=5000",
        "run.name=",
        "run.name=3",
        "labels.names=dog",
        "labels.names=[\"a\", \"a\"]",
        "labels.templates=3",
        "merge.lambda_max=-1",
        "input.root=s3://u:p@b/x",
        "models.expert=s3://u:p@b/x",
        "output.probs=3",
    ] {
        let (code, text) =
            say(&fixture, &["check", "pipeline.toml", "--set", "merge.lambda_min=0.5", "--set", set]);
        assert!(code == 78 && errors(&text) == 1, "{set}: {text}");
    }
    // A misspelt key is not missing too; a misspelt section is its keys'.
    for (right, wrong, n) in [
        ("expert = ", "exprt = ", 1),
        ("[models]", "[model]", 2),
        ("names = ", "name = ", 1),
        ("[input]\nroot", "[input]\nrot", 1),
    ] {
        write(pipeline.replacen(right, wrong, 1));
        let (code, text) = say(&fixture, &["check", "bad.toml"]);
        assert!(code == 78 && errors(&text) == n && !text.contains("missing"), "{wrong}: {text}");
    }
    write(pipeline.replacen("name = \"fixture\"\n", "", 1));
    let (code, text) = say(&fixture, &["check", "bad.toml"]);
    assert!(code == 78 && errors(&text) == 1 && text.contains("run.name: missing"), "{text}");
    let mut variable = fixture.command(&["check", "bad.toml", "--set", "run.name=x"]);
    let said = variable.env("T3B_MODELS_EXPERT", "a\nb").output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(78) && errors(&text) == 1, "{text}");
    // Two faults of their own stay two, of one key or of several.
    let (_, text) = say(&fixture, &["check", "pipeline.toml", "--set", "merge.methods=[\"x\", \"yy\"]"]);
    assert_eq!(errors(&text), 2, "{text}");
    let two = ["--set", "run.batch_size=0", "--set", "merge.primary=nope"];
    let (_, text) = say(&fixture, &[&["check", "pipeline.toml"], &two[..]].concat());
    assert_eq!(errors(&text), 2, "{text}");
}

#[test]
fn n25_a_file_of_the_other_kind_is_told_which_is_which() {
    let fixture = Fixture::new();
    fs::write(fixture.path("how.toml"), "[fetch]\nconcurrency = 3\n[store]\nallow_http = true\n").unwrap();
    let errors = |text: &str| text.lines().filter(|line| line.starts_with("error[")).count();
    let (as_config, as_pipeline) = ("--config how.toml", "without --config");
    for (args, words) in [
        (
            &["check", "pipeline.toml", "--config", "pipeline.toml"][..],
            &["pipeline.toml: a pipeline file", as_pipeline][..],
        ),
        (
            &["manifest", "build", "archive", "-o", "m.csv", "--config", "pipeline.toml"],
            &["[input]", as_pipeline],
        ),
        (&["verify", "out/_t3b/runs/r", "--config", "pipeline.toml"], &["a pipeline file", as_pipeline]),
        (&["config", "show", "--config", "pipeline.toml"], &["a pipeline file", as_pipeline]),
        (&["check", "how.toml"], &["how.toml: a config file", "[fetch], [store]", as_config]),
        (&["sweep", "how.toml"], &["a config file", as_config]),
    ] {
        let (code, text) = say(&fixture, args);
        assert!(code == 78 && errors(&text) == 1 && text.contains("C006"), "{args:?}: {text}");
        assert!(words.iter().all(|word| text.contains(word)), "{args:?}: {text}");
    }
    for labels in ["pipeline.toml", "how.toml"] {
        let (code, text) =
            say(&fixture, &["check", "pipeline.toml", "--set", &format!("labels.file={labels}")]);
        assert!(code == 78 && errors(&text) == 1 && text.contains("labels.file: "), "{text}");
        assert!(text.contains(labels) && text.contains("without a section"), "{text}");
    }
    // Both are told at once.
    let (code, text) = say(&fixture, &["run", "how.toml", "--config", "pipeline.toml"]);
    assert!(
        code == 78 && errors(&text) == 2 && text.contains(as_config) && text.contains(as_pipeline),
        "{text}"
    );
    // A key of the other kind in a file of the right one says where it belongs.
    fs::write(fixture.path("mixed.toml"), "[fetch]\nconcurrency = 3\n[run]\nseed = 1\n").unwrap();
    let (code, text) = say(&fixture, &["check", "pipeline.toml", "--config", "mixed.toml"]);
    assert!(code == 78 && text.contains("run.seed: unknown key") && text.contains("pipeline file"), "{text}");
    let (code, text) =
        say(&fixture, &["manifest", "build", "archive", "-o", "m.csv", "--set", "input.root=x"]);
    assert!(code == 78 && text.contains("input.root") && text.contains("pipeline file"), "{text}");
}
