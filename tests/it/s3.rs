use crate::moto::Moto;
use crate::support::Fixture;

#[test]
fn an_s3_archive_gives_the_same_tables_as_the_folder() {
    let Some(moto) = Moto::start() else { return };
    let fixture = Fixture::new();
    moto.stock(&fixture);
    // Its creates look and write in two steps, which a loaded machine shows; the probe is for s3s to pass.
    moto.mark_probed("night");
    let endpoint = format!("store.endpoint=http://127.0.0.1:{}", moto.port);
    let t3b = |args: &[&str]| {
        let said = fixture
            .command(args)
            .env("AWS_ACCESS_KEY_ID", "k")
            .env("AWS_SECRET_ACCESS_KEY", "s")
            .env("AWS_REGION", "us-east-1")
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    let common = [
        "run",
        "pipeline.toml",
        "--run-id",
        "r",
        "--run-date",
        "2026-01-02",
        "--set",
        &endpoint,
        "--set",
        "store.allow_http=true",
        "--set",
        "input.root=s3://archive/blood",
    ];
    t3b(&[&common[..], &["--output", "from-s3"]].concat());
    fixture.run("out", &[]).unwrap();
    assert!(fixture.published("from-s3") == fixture.published("out"), "read from S3");

    let to_s3 = [&common[..], &["--output", "s3://tables/night"]].concat();
    let first = t3b(&to_s3);
    assert!(first.contains("s3://tables/night/tables/"), "{first}");
    assert!(t3b(&to_s3).contains("already complete: nothing to do, 0 objects written"));
}
