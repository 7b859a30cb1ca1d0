//! Where models and class vectors come from changes no row; the command line tells what a file is.

use std::fs;

use safetensors::SafeTensors;
use serde_json::Value;
use t3b::settings::Spec;
use t3b::store::Root;

use crate::bad_checkpoints as bad;
use crate::support::{Fixture, N_CELLS, N_METHODS, repo};
use crate::tables::table;

fn probabilities(fixture: &Fixture, out: &str) -> Vec<f64> {
    let predictions = table(&fixture.path(out), "predictions");
    assert!(predictions.n_rows > N_CELLS * N_METHODS);
    predictions.number("pred_prob")
}

#[test]
fn class_vectors_from_a_file_score_as_the_prompts_they_came_from() {
    let fixture = Fixture::new();
    let bank = fixture.path("bank.safetensors").to_string_lossy().into_owned();
    let encoded = fixture.t3b(&["models", "encode", "pipeline.toml", "-o", &bank]);
    assert!(encoded.status.success(), "{}", String::from_utf8_lossy(&encoded.stderr));
    fixture.run("prompts", &[]).unwrap();
    fixture.run("file", &[("models.text_features", &bank)]).unwrap();
    assert_eq!(probabilities(&fixture, "file"), probabilities(&fixture, "prompts"));
    // What TIES trims depends on all values of both models, the text towers' among them.
    let ties = ("merge.methods", r#"["ties", "t3_b"]"#);
    fixture.run("ties_prompts", &[ties]).unwrap();
    fixture.run("ties_file", &[ties, ("models.text_features", &bank)]).unwrap();
    let read = |out: &str| table(&fixture.path(out), "predictions").number("pred_prob");
    assert_eq!(read("ties_file"), read("ties_prompts"));

    let other = r#"labels.names=["platelet", "red blood cell", "white blood cell", "plasma background"]"#;
    let encoded = fixture.t3b(&["models", "encode", "pipeline.toml", "-o", &bank, "--set", other]);
    assert!(encoded.status.success());
    let error = fixture.run("other", &[("models.text_features", &bank)]).unwrap_err().to_string();
    assert!(error.contains("W010") && error.contains("other classes"), "{error}");
}

#[test]
fn several_templates_are_another_class_bank() {
    let fixture = Fixture::new();
    fixture.run("one", &[]).unwrap();
    fixture.run("two", &[("labels.templates", r#"["a photo of a {}.", "a smear of a {}."]"#)]).unwrap();
    assert_ne!(probabilities(&fixture, "one"), probabilities(&fixture, "two"));
    let error = fixture.spec(&[("labels.templates", r#"["no slot"]"#)]).unwrap_err().to_string();
    assert!(error.contains("labels.templates"), "{error}");
}

#[test]
fn models_in_an_object_store_are_the_folders_models() {
    let fixture = Fixture::new();
    let settings = fixture.spec(&[]).unwrap().settings;
    for role in ["pretrained", "expert"] {
        let uri = format!("memory://checkpoints/{role}");
        let root = Root::open(&uri, true, &settings.store).unwrap();
        crate::support::runtime().block_on(async {
            for entry in fs::read_dir(fixture.path(role)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                root.write(&name, "checkpoint", fs::read(&path).unwrap().into()).await.unwrap();
            }
        });
    }
    fixture.run("folder", &[]).unwrap();
    let uris = [
        ("models.pretrained", "memory://checkpoints/pretrained/model.safetensors"),
        ("models.expert", "memory://checkpoints/expert"),
    ];
    fixture.run("store", &uris).unwrap();
    assert_eq!(fixture.published("store"), fixture.published("folder"));
    let error = fixture.run("none", &[("models.expert", "memory://checkpoints/nobody")]).unwrap_err();
    assert!(error.to_string().contains("no file of a checkpoint"), "{error}");
}

/// An expert whose first block is frozen shares it; the reference tower computes everything for each model.
#[test]
fn blocks_that_run_once_for_all_models_change_no_prediction() {
    let fixture = Fixture::new();
    let weights = |role: &str| fixture.path(role).join("model.safetensors");
    let (pt, ft) = (fs::read(weights("pretrained")).unwrap(), fs::read(weights("expert")).unwrap());
    let (pt, ft) = (SafeTensors::deserialize(&pt).unwrap(), SafeTensors::deserialize(&ft).unwrap());
    let freeze = |front: &[&str]| {
        let is_frozen = |name: &str| front.iter().any(|prefix| name.starts_with(prefix));
        let frozen = ft.names().into_iter().map(|name| (name, if is_frozen(name) { &pt } else { &ft }));
        let frozen = frozen.map(|(name, of)| (name, of.tensor(name).unwrap()));
        fs::write(weights("expert"), safetensors::serialize(frozen, None).unwrap()).unwrap();
        let compared = fixture.t3b(&["models", "compare", "pretrained", "expert", "--json"]);
        serde_json::from_slice::<Value>(&compared.stdout).unwrap()["n_shared_vision_blocks"].clone()
    };
    let front = ["vision_model.encoder.layers.0.", "vision_model.embeddings.", "vision_model.pre_layrnorm."];
    assert_eq!(freeze(&front[1..]), 0, "no block");
    assert_eq!(freeze(&front[..2]), 0, "not what comes before the block");
    assert_eq!(freeze(&front), 1);

    let methods = r#"["pretrained", "expert", "wise_ft", "t3_b", "t3", "ties"]"#;
    for tower in ["fast", "reference"] {
        fixture.run(tower, &[("models.tower", tower), ("merge.methods", methods)]).unwrap();
    }
    let pairs = probabilities(&fixture, "fast").into_iter().zip(probabilities(&fixture, "reference"));
    let worst = pairs.map(|(fast, reference)| (fast - reference).abs()).fold(0.0, f64::max);
    println!("probabilities differ by {worst:e}");
    assert!(worst < 2e-5, "{worst:e}");
}

#[test]
fn the_command_line_tells_what_a_checkpoint_is() {
    let fixture = Fixture::new();
    let json = |args: &[&str]| -> Value {
        let output = fixture.t3b(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let inspected = json(&["models", "inspect", "pretrained", "--json"]);
    assert_eq!(inspected["holds"], "a whole model, Hugging Face names");
    assert_eq!(inspected["dtypes"]["F32"], inspected["n_tensors"]);

    let compared = json(&["models", "compare", "pretrained", "expert", "--json"]);
    assert_eq!(compared["text_towers_equal"], true);
    assert_eq!(compared["n_shared_vision_blocks"], 0);
    let layers = compared["layers"].as_array().unwrap();
    assert!(layers.iter().all(|layer| (layer["norm"].as_f64() > Some(0.0)) == (layer["n_differing"] != 0)));

    let converted = json(&["models", "convert", "pretrained", "converted", "--json"]);
    assert_eq!(converted["n_values"], inspected["n_values"]);
    let same = json(&["models", "compare", "pretrained", "converted", "--json"]);
    assert!(same["layers"].as_array().unwrap().iter().all(|layer| layer["norm"] == 0.0));

    let refused = fixture.t3b(&["models", "inspect", "nowhere"]);
    assert_eq!(refused.status.code(), Some(65));
}

/// Fourteen ways to be no checkpoint: each its code and exit 65, before anything is computed.
#[test]
fn every_bad_checkpoint_ends_the_command_with_its_code() {
    let fixture = Fixture::new();
    let good = fs::read(fixture.path("expert/model.safetensors")).unwrap();
    let matrix = "visual_projection.weight";
    let cases: [(&str, Vec<u8>); 14] = [
        ("W002", bad::empty(&good)),
        ("W002", bad::length_field_cut(&good)),
        ("W002", bad::header_cut(&good)),
        ("W002", bad::data_cut(&good)),
        ("W002", bad::trailing(&good)),
        ("W003", bad::absurd_header(&good)),
        ("W003", bad::not_json(&good)),
        ("W003", bad::pickle(&good)),
        ("W003", bad::overflowing_shape(&good)),
        ("W003", bad::overlap(&good)),
        ("W004", bad::duplicate(&good)),
        ("W005", bad::without(&good, &[matrix])),
        ("W006", bad::transposed(&good, "vision_model.encoder.layers.0.mlp.fc1.weight")),
        ("W007", bad::non_finite(&good, matrix)),
    ];
    for (code, file) in cases {
        fs::write(fixture.path("expert/model.safetensors"), file).unwrap();
        let output = fixture.t3b(&["check", "pipeline.toml"]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(65), "{code}: {message}");
        assert!(message.contains(&format!("error[{code}]")), "{code}: {message}");
    }
}

#[test]
fn label_files_are_in_the_order_of_the_data_sets() {
    let golden: Value = serde_json::from_str(include_str!("../../golden/medmnist_labels.json")).unwrap();
    for (set, names) in golden["labels"].as_object().unwrap() {
        let file: toml::Table =
            fs::read_to_string(repo(&format!("pipelines/labels/{set}.toml"))).unwrap().parse().unwrap();
        let ours: Vec<&str> = file["names"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        let theirs: Vec<&str> = names.as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
        // MedMNIST knows the grades of retinopathy by their digits only.
        let same =
            |(ours, theirs): (&&str, &&str)| ours == theirs || ours.ends_with(&format!("grade {theirs}"));
        assert!(ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same), "{set}: {ours:?}");
    }
    let fixture = Fixture::new();
    for entry in fs::read_dir(repo("pipelines/labels")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(fixture.path("pipeline.toml")).unwrap();
        let inline = text.lines().find(|line| line.starts_with("names = ")).unwrap();
        let by_file = text.replace(inline, &format!("file = {:?}", path.to_string_lossy()));
        let pipeline = fixture.path("by_file.toml");
        fs::write(&pipeline, by_file).unwrap();
        let spec = Spec::load(&t3b::settings::Sources { pipeline, ..Default::default() }).unwrap();
        assert!(spec.pipeline.labels.names.len() >= 2, "{}", path.display());
    }
}
