//! Class names become the token ids transformers makes of them, or an error.

use candle_core::{Device, Tensor};
use serde::Deserialize;
use t3b::model::{
    TextBank,
    prompts::{Cut, Prompts},
    vocabulary::Vocabulary,
};

const MERGES: &[u8] = include_bytes!("../../golden/clip/tiny_merges.txt");

#[test]
fn token_ids_are_those_of_transformers() {
    #[derive(Deserialize)]
    struct Cases {
        cases: Vec<Case>,
    }
    #[derive(Deserialize)]
    struct Case {
        size: usize,
        length: usize,
        text: String,
        ids: Vec<u32>,
        uncut: usize,
    }
    let cases: Cases = serde_json::from_str(include_str!("../../golden/clip/tokens.json")).unwrap();
    let openai = Vocabulary::openai();
    let tiny = Vocabulary::from_merges(MERGES, 600).unwrap();
    for case in cases.cases {
        let vocabulary = if case.size == openai.size() { &openai } else { &tiny };
        let found = vocabulary.encode(&case.text, case.length).unwrap();
        assert_eq!(found.ids, case.ids, "{:?}", case.text);
        assert_eq!(found.cut, case.uncut - case.ids.len(), "{:?}", case.text);
    }
}

#[test]
fn prompts_are_ordered_by_class_padded_and_their_truncation_is_told() {
    let strings = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
    let prompts = Prompts::new(&strings(&["a {}.", "{}"]), &strings(&["cat", &"dog ".repeat(10)])).unwrap();
    assert_eq!(prompts.texts()[..2], ["a cat.", "cat"]);
    let tokens = prompts.tokenize(&Vocabulary::openai(), 8).unwrap();
    assert_eq!((tokens.rows(), tokens.classes(), tokens.width()), (4, 2, 8));
    assert_eq!(tokens.ids()[..8], [49406, 320, 2368, 269, 49407, 0, 0, 0]);
    let cut = |template, tokens| Cut { class: 1, template, tokens };
    assert_eq!(tokens.cut(), [cut(0, 6), cut(1, 4)]);
}

#[test]
fn vocabularies_and_prompts_that_cannot_be_used_are_refused() {
    let failing = |merges: &[u8], size| Vocabulary::from_merges(merges, size).unwrap_err().to_string();
    assert_eq!(failing(MERGES, 700), "W014 vocabulary: found 86 merges, allowed 186 for 700 ids");
    assert_eq!(failing(MERGES, 100), "W014 vocabulary: found 100 ids, allowed 514 to 262144");
    assert_eq!(
        failing(b"i n\nt h\n", 515),
        "W014 vocabulary: found merges.txt without a version line, allowed '#version: 0.2' in line 1"
    );
    assert!(failing(b"#version: 0.2\nonly\n", 515).contains("joins no two known pieces"));

    let prompts = |template: &str, name: &str| Prompts::new(&[template.to_owned()], &[name.to_owned()]);
    assert_eq!(
        prompts("a photo", "x").unwrap_err().to_string(),
        "C001 prompt template 0: found 0 '{}', allowed one '{}'"
    );
    assert_eq!(
        prompts("{} {}", "x").unwrap_err().to_string(),
        "C001 prompt template 0: found 2 '{}', allowed one '{}'"
    );
    assert_eq!(
        prompts("{}", " ").unwrap_err().to_string(),
        "C001 class name 0: found nothing, allowed a name"
    );
    let marked =
        prompts("{}", "cell <|endoftext|>").unwrap().tokenize(&Vocabulary::openai(), 77).unwrap_err();
    assert_eq!(marked.to_string(), "C001 prompt: found a control marker, allowed plain words");
    // Accents behind their letter are composed first, as the reference does it.
    let ids = |text: &str| Vocabulary::openai().encode(text, 77).unwrap().ids;
    assert_eq!(ids("ne\u{301}vus"), ids("n\u{e9}vus"));
}

#[test]
fn text_features_that_are_no_bank_are_refused() {
    let bank = |rows: &[&[f32]], classes, width| {
        let features = Tensor::new(rows.to_vec(), &Device::Cpu).unwrap();
        TextBank::new(features, classes, width).map(|bank| bank.classes()).map_err(|error| error.to_string())
    };
    let unit: [&[f32]; 2] = [&[1.0, 0.0], &[0.6, 0.8]];
    assert_eq!(bank(&unit, 2, 2), Ok(2));
    assert_eq!(bank(&unit, 3, 2).unwrap_err(), "W010 text features: found 2 rows, allowed 3 (classes)");
    assert_eq!(bank(&unit, 2, 4).unwrap_err(), "W010 text features: found width 2, allowed 4 (projection)");
    assert_eq!(
        bank(&[&[1.0, 0.0], &[0.6, 0.7]], 2, 2).unwrap_err(),
        "W010 text features: found row 1 of length 0.9220, allowed 1"
    );
    assert!(bank(&[&[f32::NAN, 0.0]], 1, 2).is_err());
}
