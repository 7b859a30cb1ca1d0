//! Pictures that end the process they are decoded in: one row each, or one attempt where the machine did it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use t3b::error::{Exit, RunError};
use t3b::flow::stop::stop;
use t3b::job::Outcome;
use t3b_decode::worker::{COMMAND, Decoder, Isolation};
use t3b_decode::{Limits, Reason, Rendering, decode, decode_noted, is_risky};

use crate::hostile;
use crate::support::dicom::{compressed_file, grey_16, jpeg_2000_file, us, with};
use crate::support::{Fixture, prepare, repo, request, runtime};
use crate::tables::table;

const T3B: &str = env!("CARGO_BIN_EXE_t3b");

fn decoder(isolation: Isolation) -> Decoder {
    Decoder::new(isolation, Path::new(T3B).into())
}

fn dying(how: &str) -> Vec<u8> {
    jpeg_2000_file(Some(&format!("T3B-TEST-DIE:{how}")))
}

/// Rewrites the manifest, with ids by row, so that the first rows are these files and the rest the drawn cells.
fn lay_out(fixture: &Fixture, files: &[(String, Vec<u8>)]) {
    let path = fixture.path("archive/manifest.csv");
    let manifest = fs::read_to_string(&path).unwrap();
    let drawn = manifest.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned());
    let mut uris: Vec<String> = drawn.filter(|uri| uri.starts_with("images")).collect();
    for (row, (name, bytes)) in files.iter().enumerate() {
        fs::write(fixture.path("archive").join(name), bytes).unwrap();
        uris[row].clone_from(name);
    }
    let lines = uris.iter().enumerate().map(|(row, uri)| format!("{uri},s{row}\n"));
    fs::write(fixture.path("archive/files.csv"), "uri,sample_id\n".to_owned() + &lines.collect::<String>())
        .unwrap();
}

/// Every prediction but those of the first batch.
fn later_rows(fixture: &Fixture, out: &str) -> Vec<[String; 5]> {
    let t = table(&fixture.path(out), "predictions");
    let [ids, cells, severities, methods, probs] =
        ["sample_id", "corruption", "severity", "method", "pred_prob"].map(|name| t.text(name));
    let batch = t.text("batch");
    let all = (0..t.n_rows).filter(|&n| batch[n] != "0");
    all.map(|n| [&ids, &cells, &severities, &methods, &probs].map(|column| column[n].clone())).collect()
}

const FILES: (&str, &str) = ("input.manifest", "files.csv");

#[test]
fn each_way_to_die_costs_one_row_and_moves_no_other_batch() {
    let fixture = Fixture::new();
    let good: Vec<_> = (0..5).map(|n| (format!("{n}.dcm"), jpeg_2000_file(None))).collect();
    lay_out(&fixture, &good);
    fixture.run("good", &[FILES]).unwrap();
    assert_eq!(table(&fixture.path("good"), "predictions").n_rows, 40 * 5 * 4);

    let ways = ["abort", "overflow", "allocate", "spin"];
    let mut bad: Vec<_> = ways.iter().map(|how| (format!("{how}.dcm"), dying(how))).collect();
    bad.push(("4.dcm".to_owned(), jpeg_2000_file(None)));
    lay_out(&fixture, &bad);
    fixture.run("bad", &[FILES]).unwrap();
    let quarantine = table(&fixture.path("bad"), "quarantine");
    assert_eq!(quarantine.text("reason_code"), ["poison_confirmed"; 4]);
    assert_eq!(quarantine.text("stage"), ["decode"; 4]);
    let signals: Vec<String> =
        quarantine.text("detail").iter().map(|text| text.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(signals, ["SIGABRT", "SIGABRT", "SIGABRT", "SIGXCPU"]);
    assert_eq!(quarantine.text("format_sniffed"), ["dicom"; 4]);
    assert!(later_rows(&fixture, "bad") == later_rows(&fixture, "good"), "other batches have moved");
    assert_eq!(table(&fixture.path("bad"), "predictions").n_rows, 36 * 5 * 4);
}

#[test]
fn a_picture_that_only_a_used_worker_dies_of_is_scored() {
    let decoder = decoder(Isolation::Risky);
    let decode = |bytes: &[u8]| decoder.decode(bytes, &Limits::default(), &Rendering::default()).unwrap().1;
    let good = decode(&jpeg_2000_file(None)).unwrap();
    assert!(decode(&dying("tired")).unwrap() == good);
    assert_eq!(decode(&dying("abort")).unwrap_err().reason, Reason::PoisonConfirmed);
    assert!(decode(&jpeg_2000_file(None)).unwrap() == good, "the pool is poisoned");
}

fn failed(fixture: &Fixture, program: &str) -> RunError {
    let root = fixture.path("out").to_string_lossy().into_owned();
    let spec = fixture.spec(&[FILES, ("output.root", &root)]).unwrap();
    let (_nobody_asks, never) = stop();
    let ended: Result<Outcome, RunError> = runtime().block_on(async {
        let mut job = prepare(spec).await?;
        job.decoder = program.into();
        job.run(&request(), never).await
    });
    assert!(!fixture.path("out/tables/runs").exists(), "{program}");
    ended.unwrap_err()
}

#[test]
fn a_worker_that_the_machine_ends_fails_the_attempt_and_never_a_row() {
    let fixture = Fixture::new();
    lay_out(&fixture, &[("x.dcm".to_owned(), dying("kill"))]);
    let error = failed(&fixture, T3B);
    assert_eq!((error.problems()[0].code, error.exit()), ("P003", Exit::Preempted));
    lay_out(&fixture, &[("x.dcm".to_owned(), dying("leave"))]);
    let error = failed(&fixture, T3B);
    assert_eq!((error.problems()[0].code, error.exit()), ("B007", Exit::Bug));
    lay_out(&fixture, &[("x.dcm".to_owned(), jpeg_2000_file(None))]);
    for program in ["", "/nowhere/t3b", "/bin/true", "/bin/echo"] {
        let error = failed(&fixture, program);
        assert_eq!((error.problems()[0].code, error.exit()), ("B007", Exit::Bug), "{program}");
    }
    fixture.run("out", &[FILES]).unwrap();
    assert_eq!(table(&fixture.path("out"), "predictions").n_rows, 40 * 5 * 4);
}

/// Good and damaged pictures of every format, each codec of DICOM among them.
fn of_every_format() -> Vec<(String, Vec<u8>)> {
    let mut files = vec![
        ("cut.png".to_owned(), hostile::black_png(64, 64, 8, hostile::RGB)[..60].to_vec()),
        ("bomb.png".to_owned(), hostile::header_only_png(100_000, 100_000)),
        ("page.png".to_owned(), b"<html>not found</html>".to_vec()),
        ("empty.png".to_owned(), Vec::new()),
        ("frames.png".to_owned(), hostile::animated_png(12)),
        ("cut.dcm".to_owned(), jpeg_2000_file(None)[..400].to_vec()),
    ];
    for name in ["tiles_predictor.tif", "jpeg_tiles.tif", "palette16.tif", "pages.tif"] {
        files.push((name.to_owned(), fs::read(repo("tests/golden/tiff/files").join(name)).unwrap()));
    }
    for (name, uid) in [
        ("ls8.jls", "4.80"),
        ("ll8.jpg", "4.70"),
        ("j2k8.j2k", "4.90"),
        ("j2k16s.j2k", "4.90"),
        ("jp2_rgb.jp2", "4.90"),
        ("grey.jpg", "4.50"),
    ] {
        let frame = fs::read(repo("tests/golden/dicom/frames").join(name)).unwrap();
        let is_wide = name.starts_with("j2k16");
        let mut elements = grey_16(24, 20, if is_wide { 16 } else { 8 }, is_wide);
        if !is_wide {
            elements = with(elements, us((0x28, 0x100), &[8]));
        }
        if name.contains("rgb") {
            elements = with(
                with(elements, us((0x28, 2), &[3])),
                crate::support::dicom::text((0x28, 4), b"CS", "RGB"),
            );
        }
        files.push((format!("{name}.dcm"), compressed_file(uid, &elements, &[frame])));
    }
    files
}

#[test]
fn where_a_picture_is_decoded_changes_no_byte() {
    let fixture = Fixture::new();
    let files = of_every_format();
    lay_out(&fixture, &files);
    let run = |isolation: &str| {
        let windows = ("decode.window", "percentile");
        fixture.run(isolation, &[FILES, windows, ("decoder.isolation", isolation)]).unwrap();
        fixture.published(isolation)
    };
    let reference = run("none");
    assert!(run("risky") == reference, "risky");
    assert!(run("all") == reference, "all");
    let refused = table(&fixture.path("all"), "quarantine").n_rows;
    assert_eq!((refused, files.iter().filter(|(_, bytes)| is_risky(bytes)).count()), (7, 4));
}

#[test]
fn a_worker_says_of_every_file_what_this_process_says() {
    let decoder = decoder(Isolation::All);
    let tight = Limits { max_pixels: 400, ..Limits::default() };
    let rendering = Rendering { frame: Some(0), ..Rendering::default() };
    for (name, bytes) in of_every_format() {
        for limits in [Limits::default(), tight] {
            let there = decoder.decode(&bytes, &limits, &rendering).unwrap();
            assert!(there == decode_noted(&bytes, &limits, &rendering), "{name}");
        }
    }
}

/// Processes of one program, by id.
fn running(program: &Path) -> Vec<String> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_ours = |id: &String| {
        let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        command.starts_with(program.as_os_str().as_encoded_bytes())
    };
    ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit())).filter(is_ours).collect()
}

#[test]
fn a_worker_is_limited_sees_no_environment_and_ends_with_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("t3b-of-this-test");
    fs::copy(T3B, &program).unwrap();
    let decoder = Decoder::new(Isolation::All, Arc::from(program.as_path()));
    let png = hostile::black_png(64, 64, 8, hostile::RGB);
    for _ in 0..3 {
        let (_, image) = decoder.decode(&png, &Limits::default(), &Rendering::default()).unwrap();
        assert!(image == decode(&png, &Limits::default()));
    }
    let ids = running(&program);
    let [id] = ids.as_slice() else { panic!("one worker is reused: {ids:?}") };
    let environment = fs::read_to_string(format!("/proc/{id}/environ")).unwrap();
    let mut variables: Vec<&str> = environment.trim_end_matches('\0').split('\0').collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            "GLIBC_TUNABLES=glibc.malloc.tcache_count=0",
            "MALLOC_ARENA_MAX=1",
            "MALLOC_MMAP_THRESHOLD_=4194304"
        ]
    );
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let soft = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!((soft("Max file size"), soft("Max core file size")), (0, 0));
    assert_eq!((soft("Max address space"), soft("Max cpu time")), (2 << 30, 61));
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let group = stat.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap();
    assert_eq!(group, id, "a Ctrl-C for the job would end its workers");
    drop(decoder);
    assert_eq!(running(&program), [""; 0]);
}

#[test]
fn a_worker_whose_input_closes_ends_well() {
    let said = Command::new(T3B).arg(COMMAND).stdin(Stdio::null()).output().unwrap();
    assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(0), &b"t3b-dec2"[..]));
}

/// Whether this kernel refuses system calls by a list.
fn has_seccomp() -> bool {
    let has = Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
    if !has {
        println!("skipped: this kernel has no seccomp");
    }
    has
}

/// Whether a worker lives through a picture that dies of whatever it can reach.
fn lives_through(what: &str) -> bool {
    let decoder = decoder(Isolation::Risky);
    decoder.decode(&dying(what), &Limits::default(), &Rendering::default()).unwrap().1.is_ok()
}

#[test]
fn a_decoding_process_can_open_no_file() {
    assert!(!has_seccomp() || lives_through("open"));
}

#[test]
fn a_decoding_process_reaches_no_socket_no_program_and_no_other_process() {
    assert!(!has_seccomp() || lives_through("reach"));
}

#[test]
fn a_decoding_process_stands_behind_its_walls_before_it_reads() {
    if !has_seccomp() {
        return;
    }
    let mut worker =
        Command::new(T3B).arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut greeting = [0; 8];
    std::io::Read::read_exact(worker.stdout.as_mut().unwrap(), &mut greeting).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", worker.id())).unwrap();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.rsplit('\t').next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        (of("Seccomp:"), of("Seccomp_filters:"), of("NoNewPrivs:")),
        ("2".into(), "2".into(), "1".into())
    );
    drop(worker.stdin.take());
    assert_eq!(worker.wait().unwrap().code(), Some(0));
}
