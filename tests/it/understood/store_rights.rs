//! What real servers, users with some rights each, and stores that refuse one verb are called.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;

use super::store_causes::{Answer, Refusing, answer, over, refuse, retry, s3_command, verbs};
use crate::support::Fixture;

/// A store that is empty and works, but for one verb: as servers with rights by verb, or a full disk, answer.
fn refuse_some(
    refused: impl Fn(&Request<Incoming>) -> bool,
    answer: Answer,
    request: &Request<Incoming>,
) -> Response<String> {
    if refused(request) {
        return refuse(answer, request);
    }
    let is_list =
        request.method() == Method::GET && request.uri().query().is_some_and(|q| q.contains("list-type"));
    let say = |status: u16, body: &str| {
        let answer = Response::builder().status(status).header("content-type", "application/xml");
        answer.header("etag", "\"e\"").body(body.to_owned()).unwrap()
    };
    match *request.method() {
        Method::GET if is_list => say(
            200,
            "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>",
        ),
        Method::GET => say(404, "<Error><Code>NoSuchKey</Code><Message>m</Message></Error>"),
        Method::HEAD => say(404, ""),
        _ => say(200, ""),
    }
}

/// Whether a request is the one that is refused.
type Refused = fn(&Request<Incoming>) -> bool;

/// A name; what is refused and how; the commands that meet it; the code and the exit code they end with.
type Case<'a> = (&'a str, Refused, Answer, &'a [&'a [&'a str]], &'a str, i32);

/// put403, probe403, list403 and put507 of the bad day's list, through `run`, `check` and `manifest build`.
#[test]
fn a8_a_store_that_refuses_one_verb_is_called_what_it_is() {
    let is_put: Refused = |request| request.method() == Method::PUT;
    let is_probe: Refused = |request| request.uri().path().contains("/_t3b/probe/");
    let is_list: Refused = |request| request.uri().query().is_some_and(|q| q.contains("list-type"));
    let fixture = Fixture::new();
    let run: &[&str] = &["run", "pipeline.toml", "--output", "s3://tables/out"];
    let check: &[&str] = &["check", "pipeline.toml", "--output", "s3://tables/out"];
    let build: &[&str] = &["manifest", "build", "s3://archive/x", "-o", "m.csv"];
    let to_store: &[&str] = &["manifest", "build", "archive", "-o", "s3://tables/m.csv"];
    let cases: [Case<'_>; 7] = [
        ("put403", is_put, answer(403, "AccessDenied"), &[run, check, to_store], "S006", 77),
        ("put403 without a body", is_put, answer(403, ""), &[run, check], "S006", 77),
        ("probe403", is_probe, answer(403, "AccessDenied"), &[run, check], "S006", 77),
        ("list403", is_list, answer(403, "AccessDenied"), &[run, build], "S006", 77),
        ("list404", is_list, answer(404, "NoSuchBucket"), &[run, build], "S004", 78),
        ("put507", is_put, answer(507, "InsufficientStorage"), &[run, check, to_store], "S005", 74),
        ("put503", is_put, answer(503, "SlowDown"), &[run, check], "S014", 74),
    ];
    for (name, refused, answer, commands, code, exit) in cases {
        let server = Refusing::serve(move |request| refuse_some(refused, answer, request));
        for args in commands {
            let said = s3_command(&fixture, args, server.port).output().unwrap();
            let text = String::from_utf8_lossy(&said.stderr).into_owned();
            let first = text.lines().find(|line| line.contains("error[")).unwrap_or_default();
            println!("{name:<22} {:<15} {code} {exit} {first}", args[0]);
            assert_eq!(said.status.code(), Some(exit), "{name} {args:?}: {text}");
            assert!(text.contains(code) && text.contains("hint: "), "{name} {args:?}: {text}");
        }
    }
}

/// Every verb of a real server's own answers, beside those that we wrote above.
#[test]
fn a8_s3s_and_azurite_say_what_we_took_them_to_say() {
    let server = crate::s3_server::S3Server::start(crate::s3_server::Front::Locked, &["archive"]);
    let s3 = |bucket: &str, key: &str, secret: &str| {
        let builder = AmazonS3Builder::new()
            .with_endpoint(format!("http://127.0.0.1:{}", server.port))
            .with_allow_http(true)
            .with_region("us-east-1")
            .with_retry(retry());
        let builder = builder.with_bucket_name(bucket).with_access_key_id(key).with_secret_access_key(secret);
        over(Arc::new(builder.build().unwrap()))
    };
    let (key, secret) = (crate::s3_server::KEY, crate::s3_server::SECRET);
    for (cause, root, code, exit) in [
        ("s3s, a wrong secret", s3("archive", key, "wrong"), "S006", 77),
        ("s3s, an unknown key", s3("archive", "nobody", secret), "S006", 77),
    ] {
        for (verb, found_code, found_exit) in verbs(&root) {
            assert_eq!((found_code, found_exit), (code, exit), "{cause}, {verb}");
        }
    }
    let Some(azurite) = crate::azurite::Azurite::start(&["archive"]) else { return };
    let azure = |container: &str, key: &str| {
        let builder = MicrosoftAzureBuilder::new()
            .with_endpoint(format!("http://127.0.0.1:{}/{}", azurite.port, crate::azurite::ACCOUNT))
            .with_allow_http(true)
            .with_account(crate::azurite::ACCOUNT)
            .with_retry(retry());
        over(Arc::new(builder.with_container_name(container).with_access_key(key).build().unwrap()))
    };
    let other_key = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (cause, root, code, exit) in [
        ("Azurite, a wrong key", azure("archive", other_key), "S006", 77),
        ("Azurite, no container", azure("nowhere", crate::azurite::KEY), "S004", 78),
    ] {
        for (verb, found_code, found_exit) in verbs(&root) {
            println!("{cause}, {verb}: {found_code}/{found_exit}");
            // A batch delete answers each object by its status alone, and one that is not there counts as deleted.
            if (cause, verb) == ("Azurite, no container", "delete") && found_code == "done" {
                continue;
            }
            assert_eq!((found_code, found_exit), (code, exit), "{cause}, {verb}");
        }
    }
}

/// Users with some rights each: what docs/stores.md promises of them is what they can do, and no more.
#[test]
fn a8_rights_are_those_of_the_table_with_moto_and_iam() {
    let Some(python) = crate::support::python() else { return };
    let fixture = Fixture::new();
    let keys = fixture.path("keys.json");
    let mut server = std::process::Command::new(python);
    server.arg(crate::support::repo("tests/support/moto_iam.py")).arg(fixture.path("archive")).arg(&keys);
    let Some(server) = crate::server::Server::start(&mut server, "Running on http://127.0.0.1:") else {
        panic!("moto does not start")
    };
    let keys: serde_json::Value = serde_json::from_slice(&std::fs::read(keys).unwrap()).unwrap();
    let t3b = |user: &str, args: &[&str]| {
        let mut command = s3_command(&fixture, args, server.port);
        command.env("AWS_ACCESS_KEY_ID", keys[user][0].as_str().unwrap());
        command.env("AWS_SECRET_ACCESS_KEY", keys[user][1].as_str().unwrap()).env("AWS_REGION", "us-east-1");
        let said = command.output().unwrap();
        let text =
            String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        (said.status.code().unwrap_or(-1), text)
    };
    let run = ["run", "pipeline.toml", "--set", "input.root=s3://archive/blood", "--run-id", "r", "--output"];
    let run_to = |place: &'static str| [&run[..], &[place]].concat();
    let uri = "s3://tables/probed/_t3b/runs/r";
    let build: &[&str] = &["manifest", "build", "s3://archive/blood", "-o", "m.csv"];
    let cases: Vec<(&str, Vec<&str>, i32, &str)> = vec![
        ("nobody", build.to_vec(), 77, "S006"),
        ("nobody", run_to("s3://tables/probed"), 77, "S006"),
        // A listing alone is enough where nothing is opened.
        ("lister", run_to("s3://tables/probed"), 77, "S006"),
        ("reader", build.to_vec(), 0, "samples"),
        ("reader", vec!["plan", "pipeline.toml", "--set", "input.root=s3://archive/blood"], 0, "partitions"),
        ("reader", run_to("s3://tables/probed"), 77, "S006"),
        ("reader", run_to("s3://tables/fresh"), 77, "S006"),
        // No command but tidy and discard deletes: the probe does without, too.
        ("writer", run_to("s3://tables/probed"), 0, "scored"),
        ("reader", vec!["verify", uri], 0, "ok:"),
        ("reader", vec!["status", uri], 0, "committed"),
        ("reader", vec!["runs", "list", "s3://tables/probed"], 0, "published"),
        ("writer", vec!["discard", uri, "--delete"], 77, "S006"),
        ("owner", vec!["discard", uri, "--delete"], 0, "record"),
    ];
    for (user, args, exit, word) in cases {
        let (code, text) = t3b(user, &args);
        println!("{user:<8} {:<15} {code}", args[..args.len().min(2)].join(" "));
        assert_eq!(code, exit, "{user} {args:?}: {text}");
        assert!(text.contains(word), "{user} {args:?}: {text}");
    }
    // The probe of a fresh root without the right to delete. Moto's creates look and write in two steps: where they race, the
    // store is called unfit, which is no matter of rights.
    let (code, text) = t3b("writer", &["check", "pipeline.toml", "--output", "s3://tables/fresh"]);
    assert!(code == 0 || code == 69, "{text}");
}

/// A host without a name, and one that nobody listens at.
#[test]
fn a8_what_cannot_be_reached_is_s013_on_every_kind_of_root() {
    let fixture = Fixture::new();
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let endpoint = format!("store.endpoint=http://127.0.0.1:{nobody}");
    let web = format!("input.root=http://127.0.0.1:{nobody}/x");
    let plan = ["plan", "pipeline.toml", "--set"];
    for args in [
        vec!["--set", "input.root=s3://archive/x", "--set", &endpoint],
        vec!["--set", "input.root=s3://archive/x", "--set", "store.endpoint=http://nowhere.invalid"],
        vec!["--set", "input.root=az://archive/x", "--set", &endpoint],
        vec!["--set", &web],
        vec!["--set", "input.root=http://nowhere.invalid/x"],
    ] {
        let args = [&plan[..2], &args[..]].concat();
        let mut command = s3_command(&fixture, &args, nobody);
        command.env_remove("T3B_STORE_ENDPOINT");
        command
            .env("AZURE_STORAGE_ACCOUNT_NAME", "t3b")
            .env("AZURE_STORAGE_ACCOUNT_KEY", crate::azurite::KEY);
        let said = command.output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(
            said.status.code() == Some(74) && text.contains("S013"),
            "{args:?}: {:?} {text}",
            said.status.code()
        );
    }
}

/// A11 and A11b of the bad day's list: a folder that may not be written to, by its mode or by its mount.
#[test]
fn a8_a_local_folder_that_may_not_be_written_to_is_77() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let fixture = Fixture::new();
    let locked = fixture.path("locked");
    std::fs::create_dir(&locked).unwrap();
    let is_root = std::process::Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&fixture.path(""), 0o755);
    mode(&locked, 0o555);
    for args in [
        ["check", "pipeline.toml", "--output", "locked"],
        ["run", "pipeline.toml", "--output", "locked"],
        ["run", "pipeline.toml", "--output", "locked/new"],
    ] {
        let mut command = fixture.command(&args);
        if is_root {
            // Root may write anywhere; nobody may not.
            command.uid(65534).gid(65534);
        }
        let said = match command.output() {
            Ok(said) if said.status.code() != Some(127) => said,
            _ => {
                eprintln!("skipped: the binary cannot be run by another user");
                break;
            }
        };
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(
            said.status.code() == Some(77) && text.contains("S006"),
            "{args:?}: {:?} {text}",
            said.status.code()
        );
    }
    mode(&locked, 0o755);
    // A mount of its own, where this machine lets us make one.
    let script =
        "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" || exit 99; shift; exec \"$@\"";
    for command in ["check", "run"] {
        let said = std::process::Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh"])
            .arg(&locked)
            .arg(env!("CARGO_BIN_EXE_t3b"))
            .args([command, "pipeline.toml", "--output", "locked"])
            .current_dir(fixture.path(""))
            .output();
        let Some(said) = said.ok().filter(|said| ![Some(99), Some(1)].contains(&said.status.code())) else {
            eprintln!("skipped: no read-only mount can be made here");
            return;
        };
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(
            said.status.code() == Some(77) && text.contains("S006"),
            "{command}: {:?} {text}",
            said.status.code()
        );
    }
}
