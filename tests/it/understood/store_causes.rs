//! Every cause has one code and one exit, whatever was asked of the store: the table of verb and cause, printed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use t3b::error::Problem;
use t3b::store::{Root, StoreError};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::support::{Fixture, end_of, runtime};

/// What the server answers to everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    status: u16,
    code: &'static str,
    message: &'static str,
}

pub(crate) const fn answer(status: u16, code: &'static str) -> Answer {
    Answer { status, code, message: "m" }
}

/// A server of refusals on a loopback port. As real ones do, it says nothing in the body of a HEAD's answer, and answers a batch
/// delete with 200 and an error for each object where only the objects are refused.
pub(crate) struct Refusing {
    pub(crate) port: u16,
    runtime: Option<Runtime>,
}

impl Drop for Refusing {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            end_of(runtime);
        }
    }
}

impl Refusing {
    fn start(answer: Answer) -> Self {
        Self::serve(move |request| refuse(answer, request))
    }

    pub(crate) fn serve(
        respond: impl Fn(&Request<Incoming>) -> Response<String> + Clone + Send + 'static,
    ) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let respond = respond.clone();
                let serve = service_fn(move |request| {
                    let answer = respond(&request);
                    async move { Ok::<_, hyper::Error>(answer) }
                });
                let http =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve);
                tokio::spawn(async { drop(http.await) });
            }
        });
        Self { port, runtime: Some(runtime) }
    }
}

pub(crate) fn refuse(answer: Answer, request: &Request<Incoming>) -> Response<String> {
    let Answer { status, code, message } = answer;
    let is_batch_delete =
        request.method() == Method::POST && request.uri().query().is_some_and(|q| q.contains("delete"));
    let per_object = is_batch_delete && code == "AccessDenied";
    let body = match request.method() {
        &Method::HEAD => String::new(),
        _ if per_object => format!(
            "<DeleteResult><Error><Key>k</Key><Code>{code}</Code><Message>{message}</Message></Error></DeleteResult>"
        ),
        _ => format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"),
    };
    let status = if per_object { 200 } else { status };
    Response::builder().status(status).header("content-type", "application/xml").body(body).unwrap()
}

pub(crate) fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: Duration::from_millis(1), ..BackoffConfig::default() },
        max_retries: 1,
        retry_timeout: Duration::from_secs(5),
    }
}

fn s3(port: u16) -> Root {
    let builder = AmazonS3Builder::new()
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_allow_http(true)
        .with_bucket_name("archive");
    let store = builder
        .with_region("us-east-1")
        .with_access_key_id("k")
        .with_secret_access_key("s")
        .with_retry(retry())
        .build();
    over(Arc::new(store.unwrap()))
}

fn azure(port: u16) -> Root {
    let builder = MicrosoftAzureBuilder::new()
        .with_endpoint(format!("http://127.0.0.1:{port}/devstoreaccount1"))
        .with_allow_http(true);
    let store = builder
        .with_container_name("archive")
        .with_account("devstoreaccount1")
        .with_access_key(crate::azurite::KEY)
        .with_retry(retry())
        .build();
    over(Arc::new(store.unwrap()))
}

pub(crate) fn over(store: Arc<dyn ObjectStore>) -> Root {
    Root::over(store, Path::default(), Duration::from_secs(30))
}

/// Every verb of a store against one root: the code and the exit of each; `done` and 0 where it was not refused.
pub(crate) fn verbs(root: &Root) -> Vec<(&'static str, &'static str, u8)> {
    let outcome = |verb, ended: Result<(), StoreError>| {
        let Err(problem) = ended.map_err(Problem::from) else { return (verb, "done", 0) };
        assert!(problem.hint.is_some_and(|hint| !hint.is_empty()), "{verb}");
        (verb, problem.code, problem.exit.code())
    };
    runtime().block_on(async {
        let probed = root.probe("nonce").await.expect_err("a probe of a store that refuses");
        vec![
            outcome("LIST", root.list("", "archive").await.map(drop)),
            outcome(
                "GET",
                root.read("k", "object", 100).await.and_then(|found| found.map(drop).ok_or(missing())),
            ),
            outcome(
                "HEAD",
                root.size(&Path::from("k"), "object")
                    .await
                    .and_then(|found| found.map(drop).ok_or(missing())),
            ),
            outcome("PUT", root.write("k", "object", Bytes::from_static(b"x")).await),
            outcome("create", root.create("k", "object", Bytes::from_static(b"x")).await.map(drop)),
            outcome("delete", root.delete("k", "object").await),
            ("probe", probed.code, probed.exit.code()),
        ]
    })
}

fn missing() -> StoreError {
    StoreError { operation: "read", object: "object".into(), cause: t3b::store::Cause::Missing }
}

#[test]
fn a8_s3_every_cause_has_its_code_on_every_verb() {
    let malformed = "the region 'us-east-1' is wrong; expecting 'eu-west-1'";
    let causes = [
        ("denied", answer(403, "AccessDenied"), "S006", 77),
        ("bad secret", answer(403, "SignatureDoesNotMatch"), "S006", 77),
        ("expired", answer(400, "ExpiredToken"), "S006", 77),
        ("clock", answer(403, "RequestTimeTooSkewed"), "S012", 77),
        ("no bucket", answer(404, "NoSuchBucket"), "S004", 78),
        ("region", Answer { message: malformed, ..answer(400, "AuthorizationHeaderMalformed") }, "S011", 78),
        ("throttled", answer(503, "SlowDown"), "S014", 74),
        ("broken", answer(500, "InternalError"), "S007", 74),
    ];
    println!("S3           LIST GET HEAD PUT create delete probe");
    for (cause, answer, code, exit) in causes {
        let server = Refusing::start(answer);
        let found = verbs(&s3(server.port));
        println!(
            "{cause:<12} {}",
            found.iter().map(|(_, code, exit)| format!("{code}/{exit}")).collect::<Vec<_>>().join(" ")
        );
        for (verb, found_code, found_exit) in found {
            assert_eq!((found_code, found_exit), (code, exit), "{cause}, {verb}");
        }
    }
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    for (verb, code, exit) in verbs(&s3(nobody)) {
        assert_eq!((code, exit), ("S013", 74), "nobody listens, {verb}");
    }
}

#[test]
fn a8_azure_every_cause_has_its_code_on_every_verb() {
    let causes = [
        ("denied", answer(403, "AuthorizationPermissionMismatch"), "S006", 77),
        ("bad key", answer(403, "AuthenticationFailed"), "S006", 77),
        (
            "clock",
            Answer { message: "Request date header too old", ..answer(403, "AuthenticationFailed") },
            "S012",
            77,
        ),
        ("no container", answer(404, "ContainerNotFound"), "S004", 78),
        ("throttled", answer(503, "ServerBusy"), "S014", 74),
    ];
    for (cause, answer, code, exit) in causes {
        let server = Refusing::start(answer);
        for (verb, found_code, found_exit) in verbs(&azure(server.port)) {
            assert_eq!((found_code, found_exit), (code, exit), "{cause}, {verb}");
        }
    }
}

/// The commands as a user starts them; LIST, GET, HEAD and PUT come first in one of them each.
#[test]
fn a8_a20_commands_end_with_the_cause_s_exit_and_leave_nothing_of_a_listing() {
    let fixture = Fixture::new();
    let cases = [
        (answer(403, "AccessDenied"), "S006", 77),
        (answer(404, "NoSuchBucket"), "S004", 78),
        (answer(403, "RequestTimeTooSkewed"), "S012", 77),
        (answer(503, "SlowDown"), "S014", 74),
    ];
    let commands: [&[&str]; 5] = [
        &["manifest", "build", "s3://archive/x", "-o", "m.csv"],
        &["plan", "pipeline.toml", "--set", "input.root=s3://archive/x"],
        &["run", "pipeline.toml", "--output", "s3://archive/out"],
        &["status", "s3://archive/out/_t3b/runs/r"],
        &["runs", "list", "s3://archive/out"],
    ];
    for (answer, code, exit) in cases {
        let server = Refusing::start(answer);
        for args in commands {
            let said = s3_command(&fixture, args, server.port).output().unwrap();
            let text = String::from_utf8_lossy(&said.stderr).into_owned();
            assert_eq!(said.status.code(), Some(exit), "{args:?} {answer:?}: {text}");
            assert!(text.contains(code) && text.contains("hint: "), "{args:?} {answer:?}: {text}");
        }
        assert!(
            !fixture.path("m.csv.parts").exists(),
            "A20: nothing is left of a listing that found nothing"
        );
    }
}

pub(crate) fn s3_command(fixture: &Fixture, args: &[&str], port: u16) -> std::process::Command {
    let mut command = fixture.command(args);
    command
        .env("T3B_STORE_ENDPOINT", format!("http://127.0.0.1:{port}"))
        .env("T3B_STORE_ALLOW_HTTP", "true")
        .env("T3B_STORE_MAX_RETRIES", "0")
        .env("AWS_ACCESS_KEY_ID", "k")
        .env("AWS_SECRET_ACCESS_KEY", "s");
    command
}

#[test]
fn a8_without_credentials_the_message_says_how_to_export_a_profile() {
    let fixture = Fixture::new();
    let server = Refusing::start(answer(403, "AccessDenied"));
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut command =
        s3_command(&fixture, &["manifest", "build", "s3://archive/x", "-o", "m.csv"], server.port);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").env("AWS_PROFILE", "clinic");
    let said = command.env("AWS_METADATA_ENDPOINT", format!("http://127.0.0.1:{nobody}")).output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(77), "{text}");
    assert!(text.contains("S010") && text.contains("aws configure export-credentials"), "{text}");
}

#[test]
fn a8_an_http_root_tells_a_refusal_from_a_missing_object() {
    let fixture = Fixture::new();
    for (status, code, exit) in [(403, "S006", 77), (401, "S006", 77), (404, "M019", 65), (503, "S014", 74)] {
        let server = Refusing::start(answer(status, ""));
        let root = format!("input.root=http://127.0.0.1:{}/archive", server.port);
        let mut command = fixture.command(&["plan", "pipeline.toml", "--set", &root]);
        let said =
            command.env("T3B_STORE_ALLOW_HTTP", "true").env("T3B_STORE_MAX_RETRIES", "0").output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(exit), "{status}: {text}");
        assert!(text.contains(code), "{status}: {text}");
    }
}

/// A host that never takes the connection is not a slow answer: it is unreachable, as one that refuses is.
#[test]
fn a8_a_connection_that_is_never_taken_is_unreachable() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: once the queue is full the system lets further ones wait.
    let patience = Duration::from_millis(300);
    let mut queued = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, patience) {
        queued.push(stream);
        assert!(queued.len() < 10_000, "the queue of connections does not fill");
    }
    let fixture = Fixture::new();
    let args = ["manifest", "build", "s3://archive/x", "-o", "m.csv"];
    let mut command = s3_command(&fixture, &args, address.port());
    let said = command.env("T3B_STORE_CONNECT_TIMEOUT_S", "1").output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(74), "{text}");
    assert!(text.contains("S013"), "{text}");
}
