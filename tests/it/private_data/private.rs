use std::fs;
use std::io::Write;
use std::process::Command;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use base64::Engine;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::canaries::Archive;
use crate::inputs::archives::{Compression, write_table};
use crate::inputs::shards::{images, write_shard};
use crate::peers::Peer;
use crate::proxy::{Dose, Proxy, Toxic};
use crate::s3_server::{Front, SECRET};
use crate::support::{Fixture, run_to};
use crate::watched::collector;

/// What users keep in their environment, besides [`SECRET`].
const SECRETS: [(&str, &str); 5] = [
    ("AWS_SESSION_TOKEN", "zqxsessiontoken01"),
    ("T3B_PSEUDONYM_KEY", "zqxpseudonymkey02-W7pLmR4tYvB9"),
    ("AZURE_STORAGE_ACCOUNT_KEY", "enF4YXp1cmVrZXkwMw=="),
    ("GOOGLE_SERVICE_ACCOUNT_KEY", r#"{"private_key":"zqxgooglekey04"}"#),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "zqxcontainertoken05"),
];
/// In URIs, in files of settings, and in the file of a web identity.
const WRITTEN: [&str; 4] = ["zqxuserinfo06", "zqxsignature07", "zqxconfigvalue08", "zqxwebidentity09"];

/// Everything that was said, in pieces.
#[derive(Default)]
struct Heard(Vec<(String, Vec<u8>)>);

impl Heard {
    /// Runs a command to its end and keeps what it printed; its exit code.
    fn run(&mut self, name: &str, command: &mut Command) -> Option<i32> {
        let said = command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1").output().unwrap();
        self.0.push((format!("{name}: stdout"), said.stdout));
        self.0.push((format!("{name}: stderr"), said.stderr));
        said.status.code()
    }

    /// Where a string was heard, in any case and also as a URI would write it.
    fn places(&self, word: &str) -> Vec<&str> {
        let (word, escaped) = (word.to_lowercase(), word.to_lowercase().replace('^', "%5e"));
        let has = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).to_lowercase();
            text.contains(&word) || text.contains(&escaped)
        };
        self.0.iter().filter(|(_, bytes)| has(bytes)).map(|(name, _)| name.as_str()).collect()
    }
}

/// A stored object as it is and, of tables, every value in it.
pub(crate) fn unpacked(bytes: Vec<u8>) -> Vec<u8> {
    let Ok(builder) = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes.clone())) else {
        return bytes;
    };
    let mut all = bytes;
    for batch in builder.build().unwrap() {
        for column in batch.unwrap().columns() {
            let Ok(texts) = cast(column, &DataType::Utf8) else { continue };
            texts.as_string::<i32>().iter().flatten().for_each(|text| all.extend(text.as_bytes()));
        }
    }
    all
}

/// The archive with identifying names also inside a shard and a table.
fn archive(fixture: &Fixture) -> Archive {
    let images = images(&fixture.path("archive"));
    let jpeg = images.iter().find(|(name, _)| name.ends_with(".jpg")).unwrap().1.clone();
    let mut archive = Archive::new(&jpeg);
    for entry in ["ZQXENTRYNAME", "ZQXSTRUCTPATH", "ZQXARCHIVENAME"] {
        archive.canaries.push(entry.to_owned());
    }
    write_shard(&fixture.path("shard.tar"), &[("ZQXENTRYNAME.jpg".to_owned(), jpeg.clone())]);
    write_table(
        &fixture.path("table.parquet"),
        &[jpeg.clone(), jpeg[..99].to_vec()],
        "ZQXSTRUCTPATH",
        2,
        Compression::SNAPPY,
    );
    for name in ["shard.tar", "table.parquet"] {
        let bytes = fs::read(fixture.path(name)).unwrap();
        archive.objects.insert(format!("ZQXARCHIVENAME-{name}"), bytes);
    }
    let size = jpeg.len();
    let mut lines = archive.manifest.lines().map(|line| format!("{line},,,,\n"));
    let header = lines.next().unwrap().replace(",,,,", ",entry,offset,row,bytes");
    archive.manifest = header + &lines.collect::<String>();
    archive.manifest += &format!("ZQXARCHIVENAME-shard.tar,x,ZQXENTRYNAME.jpg,512,,{size}\n");
    archive.manifest +=
        &format!("ZQXARCHIVENAME-table.parquet,x,image,,0,{size}\nZQXARCHIVENAME-table.parquet,x,,,1,99\n");
    archive
}

/// What those who watch a run are given.
const WATCHED: [&str; 3] = ["night.prom", "lineage.jsonl", "dagster.jsonl"];

/// A command that is watched in every way there is.
fn watched<'c>(fixture: &Fixture, collector: u16, command: &'c mut Command) -> &'c mut Command {
    let packed = |value: serde_json::Value| {
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        deflate.write_all(value.to_string().as_bytes()).unwrap();
        base64::prelude::BASE64_STANDARD.encode(deflate.finish().unwrap())
    };
    command.env("T3B_METRICS_TEXTFILE", fixture.path(WATCHED[0]));
    command.env("T3B_LINEAGE_FILE", fixture.path(WATCHED[1]));
    command.env("T3B_TRACES_URL", format!("http://127.0.0.1:{collector}/v1/traces"));
    command.env("DAGSTER_PIPES_CONTEXT", packed(serde_json::json!({ "data": { "asset_keys": ["a"] } })));
    command.env("DAGSTER_PIPES_MESSAGES", packed(serde_json::json!({ "path": fixture.path(WATCHED[2]) })))
}

#[test]
fn nothing_that_identifies_leaves_the_archive() {
    let fixture = Fixture::new();
    let archive = archive(&fixture);
    let peer = Peer::s3(Front::Locked);
    let inputs = Heard(
        archive
            .objects
            .clone()
            .into_iter()
            .chain([("m".to_owned(), archive.manifest.clone().into())])
            .collect(),
    );
    let keys: String = archive.objects.keys().cloned().collect();
    for canary in &archive.canaries {
        assert!(keys.contains(canary) || !inputs.places(canary).is_empty(), "{canary} is planted");
    }
    assert!(archive.canaries.len() >= 40, "{}", archive.canaries.len());
    peer.put("archive/blood/manifest.csv", archive.manifest.clone().into_bytes());
    for (key, bytes) in archive.objects {
        peer.put(&format!("archive/blood/{key}"), bytes);
    }

    let mut heard = Heard::default();
    let proxy = Proxy::start(peer.port, Dose { toxic: Toxic::Unavailable, writes: false, percent: 20 }, 5);
    let endpoint = format!("http://127.0.0.1:{}", proxy.port);
    let command = |args: &[&str]| {
        let mut command = peer.command(&fixture, args);
        // All but the session token, which the server would ask for in the signature.
        command.env("T3B_STORE_ENDPOINT", &endpoint).envs(SECRETS.into_iter().skip(1));
        command
    };
    let run = run_to("s3://tables/night");
    let (collector, spans) = collector();
    let code = heard.run("run", watched(&fixture, collector, &mut command(&run)));
    assert_eq!(code, Some(3), "{}", String::from_utf8_lossy(&heard.0[1].1));
    assert!(proxy.n_hits() > 0, "faults were on");
    let uri = "s3://tables/night/_t3b/runs/r";
    fs::create_dir_all(fixture.path("bundle")).unwrap();
    for name in ["index.html", "app.js", "app.css", "LICENSES.txt"] {
        fs::write(fixture.path("bundle").join(name), name).unwrap();
    }
    for (name, args) in [
        ("check", &["check", "pipeline.toml"][..]),
        ("plan", &["plan", "pipeline.toml", "--json"]),
        ("status", &["status", uri]),
        ("verify", &["verify", uri]),
        ("tidy", &["tidy", uri]),
        ("evaluate", &["evaluate", uri, "--out", "s3://tables/night/reports/r", "--draws", "20"]),
        ("dashboard", &["dashboard", "s3://tables/night", "--out", "s3://tables/page", "--bundle", "bundle"]),
        ("reproduce", &["reproduce", "pipeline.toml", "--run-id", "r", "--output", "s3://tables/night"]),
        (
            "list",
            &[
                "manifest",
                "build",
                "s3://archive/blood",
                "-o",
                "built.csv",
                "--sha256",
                "--labels-from-folders",
            ],
        ),
    ] {
        assert_eq!(
            heard.run(name, &mut command(args)),
            Some(0),
            "{name}: {}",
            String::from_utf8_lossy(&heard.0.last().unwrap().1)
        );
    }
    // Without a second try, until it is the reading of an image that fails.
    let weather = (0..40).any(|n| {
        let other = ["run", "pipeline.toml", "--run-id", "w", "--output", "weather"];
        let mut command = command(&other);
        let code = heard.run(
            &format!("weather {n}"),
            watched(&fixture, collector, command.env("T3B_STORE_MAX_RETRIES", "0")),
        );
        let text = String::from_utf8_lossy(&heard.0.last().unwrap().1).into_owned();
        code == Some(74) && text.contains("sample ")
    });
    assert!(weather, "a failed read of an image was told");
    for (name, bytes) in peer.everything().into_iter().chain(fixture.files("weather")) {
        heard.0.push((name, unpacked(bytes)));
    }
    for name in WATCHED {
        let bytes = fs::read(fixture.path(name)).unwrap();
        assert!(bytes.len() > 500, "{name} says something");
        heard.0.push((name.to_owned(), bytes));
    }
    for (head, body) in spans.lock().unwrap().drain(..) {
        heard.0.push(("spans".to_owned(), format!("{head}{body}").into_bytes()));
    }
    assert!(heard.places("t3b.lambda").contains(&"spans"), "batches were told to the collector");
    assert!(!heard.places("error[S").is_empty(), "a failure was told to those who watch");
    assert!(!heard.places("DEBUG").is_empty(), "the log said what it could");
    assert!(heard.0.iter().any(|(name, _)| name.contains("quarantine")));
    assert!(heard.0.iter().any(|(name, _)| name.contains("page/data/runs.parquet")), "the page is looked at");
    let leaked: Vec<_> = archive
        .canaries
        .iter()
        .flat_map(|word| heard.places(word).into_iter().map(move |at| (word, at)))
        .collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    let words = [SECRET, "zqxgooglekey04"].into_iter().chain(SECRETS.map(|(_, value)| value));
    let secrets: Vec<_> = words.collect();
    let secrets = secrets.iter().flat_map(|word| heard.places(word));
    assert_eq!(secrets.collect::<Vec<_>>(), Vec::<&str>::new());
    let n_bytes: usize = heard.0.iter().map(|(_, bytes)| bytes.len()).sum();
    eprintln!(
        "canaries: {} planted, 0 seen in {} outputs of {n_bytes} bytes",
        archive.canaries.len(),
        heard.0.len()
    );
}

/// Whoever mistypes a setting must not find the secret in the error, and so in the log of the job's scheduler.
#[test]
fn no_secret_is_repeated_by_an_error() {
    let fixture = Fixture::new();
    let token = fixture.path("token");
    fs::write(&token, WRITTEN[3]).unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = fixture.path("secret.toml");
    fs::write(&settings, format!("[store]\nsecret_access_key = \"{}\"\n", WRITTEN[2])).unwrap();
    let closed = format!("http://127.0.0.1:{nobody}");
    let uri = |at: &str| format!("{at}key:{}@bucket/x", WRITTEN[0]);
    let signed = format!("https://bucket.example/x?X-Amz-Signature={}", WRITTEN[1]);
    let (s3, http) = (uri("s3://"), uri("https://"));
    let setting = |key: &str, value: &str| format!("{key}={value}");
    let cases = [
        vec!["run".to_owned(), "pipeline.toml".into(), "--output".into(), s3.clone()],
        vec!["run".into(), "pipeline.toml".into(), "--output".into(), signed.clone()],
        vec!["check".into(), "pipeline.toml".into(), "--set".into(), setting("input.root", &http)],
        vec!["check".into(), "pipeline.toml".into(), "--set".into(), setting("input.root", &signed)],
        vec!["check".into(), "pipeline.toml".into(), "--set".into(), setting("store.endpoint", &http)],
        vec!["check".into(), "pipeline.toml".into(), "--set".into(), setting("store.endpoint", &signed)],
        vec!["check".into(), "pipeline.toml".into(), "--set".into(), setting("models.expert", &s3)],
        vec!["check".into(), "pipeline.toml".into(), "--set".into(), setting("merge.from", &s3)],
        vec!["check".into(), "pipeline.toml".into(), "--config".into(), "secret.toml".into()],
        vec![
            "check".into(),
            "pipeline.toml".into(),
            "--set".into(),
            setting("store.secret_access_key", WRITTEN[2]),
        ],
        vec!["verify".into(), s3.clone() + "/_t3b/runs/r"],
        vec!["manifest".into(), "build".into(), signed.clone(), "-o".into(), "m.csv".into()],
        vec!["models".into(), "inspect".into(), s3.clone()],
        vec!["verify".into(), "s3://bucket/x/_t3b/runs/r".into()],
        vec!["verify".into(), "az://bucket/x/_t3b/runs/r".into()],
        vec!["verify".into(), "gs://bucket/x/_t3b/runs/r".into()],
    ];
    let mut heard = Heard::default();
    for args in &cases {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = fixture.command(&args);
        command.envs(SECRETS).env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", SECRET);
        command.env("AWS_ROLE_ARN", "arn:aws:iam::1:role/r").env("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
        command.env("AZURE_STORAGE_ACCOUNT_NAME", "account").env("AWS_ENDPOINT_URL", &closed);
        command.env("T3B_STORE_ALLOW_HTTP", "true").env("T3B_STORE_MAX_RETRIES", "0");
        if args[0] == "verify" && !args[1].contains('@') {
            command.env("T3B_STORE_ENDPOINT", &closed);
        }
        let code = heard.run(&args.join(" ").replace(|c: char| !c.is_ascii_graphic(), "-"), &mut command);
        assert!(code.is_some_and(|code| code > 1), "{args:?} fails with a code of its own: {code:?}");
    }
    let google = "zqxgooglekey04";
    let secrets = SECRETS.map(|(_, value)| value).into_iter().chain(WRITTEN).chain([SECRET, google]);
    let leaked: Vec<_> =
        secrets.flat_map(|word| heard.places(word).into_iter().map(move |at| (word, at))).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
}

/// A name in the wrong column of a manifest is not repeated either.
#[test]
fn no_field_of_a_manifest_is_repeated_by_an_error() {
    let fixture = Fixture::new();
    let mut heard = Heard::default();
    for (n, text) in [
        "uri\n../ZQXDOE.png\n",
        "uri,sample_id\na.png,ZQXDOE^JOHN\n",
        "uri,label\na.png,ZQXDOE\n",
        "uri,label_idx\na.png,ZQXDOE\n",
        "uri,bytes\na.png,ZQXDOE\n",
        "uri,sha256\na.png,ZQXDOE\n",
        "uri,frame\na.png,ZQXDOE\n",
        "uri,row,bytes\na.png,ZQXDOE,3\n",
        "uri,refused\na.png,ZQXDOE\n",
        "uri,split\na.png\n",
        "uri\n\"ZQXDOE",
        "ward7/ZQXDOE_JOHN_19700101.png,0\nb,1\n",
        "uri,label_idx\na.png,19700101ZQXDOE\n",
        "ZQXDOE\u{1b}[31m,uri\u{202e}\na,b\n",
        "{\"uri\": \"ZQXDOE\"",
    ]
    .into_iter()
    .enumerate()
    {
        let ending = if text.starts_with('{') { "jsonl" } else { "csv" };
        let path = fixture.path(&format!("{n}.{ending}"));
        fs::write(&path, text).unwrap();
        let manifest = format!("input.manifest={}", path.display());
        heard.run(text, &mut fixture.command(&["check", "pipeline.toml", "--set", &manifest]));
    }
    // Numbers identify too, and a header of 100 kB is no message.
    for (n, text) in
        ["uri,label_idx\na.png,19700101123\n", "uri,bytes\na.png,-19700101123\n"].iter().enumerate()
    {
        let path = fixture.path(&format!("number{n}.csv"));
        fs::write(&path, text).unwrap();
        let manifest = format!("input.manifest={}", path.display());
        heard.run(
            &format!("number {n}"),
            &mut fixture.command(&["check", "pipeline.toml", "--set", &manifest]),
        );
    }
    assert_eq!(heard.places("19700101123"), Vec::<&str>::new());
    let path = fixture.path("long.csv");
    fs::write(&path, format!("{}\u{1b}[31m,b\nx,y\n", "x".repeat(100_000))).unwrap();
    let manifest = format!("input.manifest={}", path.display());
    let said = fixture.t3b(&["check", "pipeline.toml", "--set", &manifest]);
    assert!(said.stderr.len() < 2000 && !said.stderr.contains(&0x1b), "{} bytes", said.stderr.len());
    assert_eq!(heard.places("ZQXDOE"), Vec::<&str>::new());
}
