//! Tokens of every family and rule, against `tests/reference/block_diffusion.py`: float32, no
//! cache.

use crate::checkpoints::Checkpoint;
use crate::common;
use crate::testing::test;
use serde::Deserialize;
use serde_json::json;
use webtern::convert::{ConvertOptions, Plan};
use webtern::gguf::GgmlType;

#[derive(Deserialize)]
struct Case {
    checkpoint: String,
    class: String,
    block: u32,
    shift: bool,
    rule: String,
    threshold: f64,
    steps: Option<usize>,
    sub: usize,
    prompt: Vec<u32>,
    out: Vec<u32>,
}

#[test]
fn families_and_rules_match_the_reference() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../golden/block-diffusion.json")).unwrap();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for case in &cases {
        let mut files = Checkpoint::named(&case.checkpoint).files();
        let mut config: serde_json::Value = serde_json::from_slice(&files["config.json"]).unwrap();
        config["architectures"] = json!([case.class]);
        files.insert("config.json".into(), config.to_string().into_bytes());
        let options =
            ConvertOptions { ty: Some(GgmlType::F32), block_size: Some(case.block), ..ConvertOptions::default() };
        let mut file = Vec::new();
        let plan = Plan::new(&mut files, &options).unwrap();
        let report = plan.write(&mut files, &mut file, &mut |_| Ok(())).unwrap();
        assert_eq!(report.diffusion.unwrap().shift_logits, case.shift, "{}", case.class);

        let mut engine = common::engine(&file);
        let mut request = json!({
            "tokens": case.prompt, "mode": "iterative", "acceptance": case.rule, "threshold": case.threshold,
            "subBlockSize": case.sub, "maxTokens": 20,
        });
        if let Some(steps) = case.steps {
            request["steps"] = json!(steps);
        }
        let outcome = common::answer(&mut engine, request);
        assert_eq!(outcome.tokens, case.out, "{} {} {:?}", case.class, case.rule, case.prompt);
    }
}
