//! Comparing a file with the checkpoint it was made from.

use super::*;
use crate::common;
use crate::common::rewritten;
use webtern::gguf::TensorSpec;

fn verified(file: Vec<u8>, checkpoint: &Checkpoint) -> Verification {
    let mut folder: Memory = [("model.gguf".to_owned(), file)].into();
    verify(&mut folder, "model.gguf", &mut checkpoint.files(), &mut |_, _| Ok(())).unwrap()
}

/// Code and tensors of what is wrong.
fn problems(found: &Verification) -> Vec<(&str, Vec<&str>)> {
    let problems = found.findings.iter().filter(|finding| finding.severity == Severity::Problem);
    problems.map(|finding| (finding.code, finding.tensors.iter().map(String::as_str).collect())).collect()
}

#[test]
fn verification_accepts_every_type_and_a_file_of_another_converter() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 256, 2, 1);
    for ty in [GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::F16, GgmlType::F32] {
        let (file, _) = checkpoint.convert(&ConvertOptions { ty: Some(ty), ..ConvertOptions::default() }).unwrap();
        let found = verified(file, &checkpoint);
        assert_eq!((found.matrices.len(), found.vectors, problems(&found)), (8, 3, vec![]), "{ty}");
        let bound = |product: &Product| if product.ty == "Q4_0" { 0.98 } else { 0.9999 };
        assert!(
            found
                .matrices
                .iter()
                .all(|product| product.least_cosine == bound(product) && product.cosine > bound(product))
        );
        assert_eq!(
            (found.tokenizer.reference, found.tokenizer.differing, found.tokenizer.lossy),
            ("tokenizer.json", 0, 0)
        );
        assert!(found.passed() && found.tokenizer.texts > 28);
    }
    for ty in [GgmlType::Q2_0, GgmlType::Tq1_0, GgmlType::Tq2_0, GgmlType::I2S, GgmlType::F16] {
        let options = ConvertOptions { ty: Some(ty), ternarize: true, ..ConvertOptions::default() };
        let (file, _) = checkpoint.convert(&options).unwrap();
        let found = verified(file, &checkpoint);
        assert_eq!(problems(&found), [], "{ty}");
        let zeros = found.matrices.iter().find(|product| product.name == "blk.0.ffn_down.weight").unwrap().zeros;
        assert_eq!(zeros.is_some_and(|zeros| (0.2..0.5).contains(&zeros)), ty != GgmlType::F16, "{ty} {zeros:?}");
    }
    checkpoint.sub_norm(0, "self_attn.o_proj");
    checkpoint.sub_norm(0, "mlp.down_proj");
    for subln in [SubLn::Keep, SubLn::Drop] {
        let (file, _) = checkpoint.convert(&ConvertOptions { subln, ..ConvertOptions::default() }).unwrap();
        let found = verified(file, &checkpoint);
        assert_eq!(problems(&found), []);
        let dropped = found.findings.iter().find(|finding| finding.code == "sub-norms-dropped");
        assert_eq!(dropped.is_some_and(|finding| finding.severity == Severity::Warning), subln == SubLn::Drop);
    }
    let Some(tiny) = common::fixture("tiny-dlm") else { return };
    let mut file = Folder::open(&tiny).unwrap();
    let mut folder = Folder::open(&tiny.join("checkpoint")).unwrap();
    let found = verify(&mut file, "tiny-dlm-q2_0.gguf", &mut folder, &mut |_, _| Ok(())).unwrap();
    assert_eq!((found.matrices.len(), problems(&found)), (29, vec![]));
}

#[test]
fn verification_finds_wrong_weights() {
    let checkpoint = Checkpoint::new("Qwen2ForCausalLM", 64, 128, 2, 1);
    let (file, _) =
        checkpoint.convert(&ConvertOptions { ty: Some(GgmlType::F16), ..ConvertOptions::default() }).unwrap();
    let header = header(&file);
    let at = |name: &str| (header.data_offset + header.tensor(name).unwrap().1.offset) as usize;
    let found = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut file = file.clone();
        damage(&mut file);
        verified(file, &checkpoint)
    };
    let query = at("blk.0.attn_q.weight");
    // Rows out of order, a doubled scale (the exponent of an f16 one higher), another norm.
    let swapped = found(&|file| file[query..query + 64 * 128].rotate_left(128));
    assert_eq!(problems(&swapped), [("product", vec!["blk.0.attn_q.weight"])]);
    assert!(!swapped.passed());
    let doubled = found(&|file| (query + 1..query + 64 * 128).step_by(2).for_each(|byte| file[byte] += 4));
    assert_eq!(problems(&doubled), [("product", vec!["blk.0.attn_q.weight"])]);
    assert!(doubled.findings[0].message.contains("ratio 2.0"), "{:?}", doubled.findings);
    let norm = at("output_norm.weight");
    assert_eq!(problems(&found(&|file| file[norm] ^= 1)), [("vector", vec!["output_norm.weight"])]);

    // A file made for architecture llama has its rows permuted.
    let mut llama = Checkpoint::new("LlamaForCausalLM", 64, 128, 2, 1);
    llama.tensors.clone_from(&checkpoint.tensors);
    let (file, _) = llama.convert(&ConvertOptions::default()).unwrap();
    let rows = vec!["blk.0.attn_q.weight", "blk.0.attn_k.weight"];
    assert_eq!(problems(&verified(file, &checkpoint)), [("architecture", vec![]), ("product", rows)]);
}

#[test]
fn verification_finds_other_names_metadata_and_blocks() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 128, 2, 1);
    let options = ConvertOptions { ternarize: true, ..ConvertOptions::default() };
    let (file, _) = checkpoint.convert(&options).unwrap();
    let base = rewritten(&file, |metadata, _| drop(metadata.insert("llama.rope.freq_base", 5e5f32)));
    let found = verified(base, &checkpoint);
    assert_eq!(problems(&found), [("metadata", vec![])]);
    assert!(found.findings[0].message.contains("is the f32 500000, but the checkpoint says the f32 10000"));

    // A bias that the checkpoint has not, and one that the file has not.
    let bias = TensorSpec { name: "blk.0.attn_q.bias".into(), dims: vec![64], ty: GgmlType::F32 };
    let extra = rewritten(&file, |_, tensors| tensors.push((bias, vec![0; 256])));
    assert_eq!(problems(&verified(extra, &checkpoint)), [("extra-tensor", vec!["blk.0.attn_q.bias"])]);
    checkpoint.add("model.layers.0.self_attn.q_proj.bias", &[64]);
    assert_eq!(problems(&verified(file.clone(), &checkpoint)), [("missing-tensor", vec!["blk.0.attn_q.bias"])]);
    checkpoint.tensors.remove("model.layers.0.self_attn.q_proj.bias");

    // Raw weights as Q2_0 blocks, and one code 3.
    let raw = rewritten(&file, |_, tensors| {
        let (_, bytes) = tensors.iter_mut().find(|(spec, _)| spec.name == "blk.0.ffn_up.weight").unwrap();
        bytes.clear();
        let values = checkpoint.values("model.layers.0.mlp.up_proj.weight");
        webtern::quant::quantize(GgmlType::Q2_0, &values, bytes).unwrap();
    });
    let up = vec!["blk.0.ffn_up.weight"];
    assert_eq!(
        problems(&verified(raw, &checkpoint)),
        [("not-ternary", up.clone()), ("product", up.clone()), ("raw-weights", up.clone())]
    );
    let unused = rewritten(&file, |_, tensors| {
        let (_, bytes) = tensors.iter_mut().find(|(spec, _)| spec.name == "blk.0.ffn_up.weight").unwrap();
        bytes[2] |= 3;
    });
    assert_eq!(problems(&verified(unused, &checkpoint)), [("not-ternary", up.clone()), ("unused-code", up)]);
}

#[test]
fn verification_finds_another_tokenizer() {
    let checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 1);
    let (file, _) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    const TOKENS: &str = "tokenizer.ggml.tokens";
    let swapped = rewritten(&file, |metadata, _| {
        let mut tokens = metadata.require_strings(TOKENS).unwrap().to_vec();
        tokens.swap(67, 68);
        metadata.insert(TOKENS, tokens);
    });
    let found = verified(swapped, &checkpoint);
    assert_eq!((problems(&found), found.tokenizer.lossy), (vec![("tokenizer-ids", vec![])], 0));
    assert!(found.tokenizer.differing > 3);
    let ends = rewritten(&file, |metadata, _| {
        metadata.insert("tokenizer.ggml.eos_token_id", 40u32);
        metadata.insert("tokenizer.chat_template", "{{ messages }}");
    });
    let found = verified(ends, &checkpoint);
    assert_eq!(problems(&found), [("special-tokens", vec![])]);
    assert!(found.findings[0].message.contains("answers end at the tokens [1, 40] in the file, and [1] by"));
    assert_eq!(find(&found.findings, "chat-template").severity, Severity::Warning);
    // A token that ends answers by its name does so whatever its type.
    let plain = rewritten(&file, |metadata, _| {
        let mut types = metadata.require_i32s("tokenizer.ggml.token_type").unwrap();
        types[1] = 1;
        metadata.insert("tokenizer.ggml.token_type", types);
        metadata.insert("tokenizer.ggml.eos_token_id", 0u32);
    });
    assert_eq!(problems(&verified(plain, &checkpoint)), [("special-tokens", vec![])]);
}

#[test]
fn composing_tokenizers_differ_on_decomposed_text_only_in_files_that_do_not_say_so() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 1);
    let mut json: Value = serde_json::from_slice(&checkpoint.others["tokenizer.json"]).unwrap();
    json["normalizer"] = json!({ "type": "NFC" });
    checkpoint.others.insert("tokenizer.json".into(), json.to_string().into_bytes());
    let (file, _) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    let other = rewritten(&file, |metadata, _| drop(metadata.insert("tokenizer.webtern.normalizer", "none")));
    let found = verified(file, &checkpoint);
    assert_eq!((problems(&found), found.tokenizer.differing), (vec![], 0));
    let found = verified(other, &checkpoint);
    assert_eq!((problems(&found), found.tokenizer.differing), (vec![], 1));
    assert_eq!(find(&found.findings, "tokenizer-normalization").severity, Severity::Note);
}

#[test]
fn split_models_are_verified_as_one() {
    let checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 2);
    let (file, _) = checkpoint.convert(&ConvertOptions::default()).unwrap();
    let part = |no: u16| {
        rewritten(&file, |metadata, tensors| {
            metadata.insert("split.no", no);
            metadata.insert("split.count", 2u16);
            metadata.insert("split.tensors.count", tensors.len() as i32);
            tensors.retain(|(spec, _)| spec.name.starts_with("blk.1.") == (no == 1));
        })
    };
    let name = |no: usize| format!("model-0000{no}-of-00002.gguf");
    let mut folder: Memory = [(name(1), part(0)), (name(2), part(1))].into();
    let mut seen = Vec::new();
    let found = verify(&mut folder, &name(1), &mut checkpoint.files(), &mut |done, total| {
        seen.push((done, total));
        Ok(())
    });
    let found = found.unwrap();
    assert_eq!((found.matrices.len(), found.vectors, problems(&found)), (15, 5, vec![]));
    assert!(seen.is_sorted() && seen[0].0 == 0 && seen.last().is_some_and(|(done, total)| done == total), "{seen:?}");

    let again =
        |folder: &mut Memory| verify(folder, &name(1), &mut checkpoint.files(), &mut |_, _| Ok(())).unwrap_err();
    folder.insert(name(2), folder[&name(1)].clone());
    assert_eq!(again(&mut folder).code(), ErrorCode::Malformed);
    folder.remove(&name(2));
    let error = again(&mut folder);
    assert_eq!(error.code(), ErrorCode::Io);
    assert!(error.message().contains(&name(2)), "{error}");
}

#[test]
fn a_space_that_gguf_cannot_leave_out_is_no_fault() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 64, 2, 1);
    let mut json: Value = serde_json::from_slice(&checkpoint.others["tokenizer.json"]).unwrap();
    let bytes = (0..256u32).map(|byte| (format!("<0x{byte:02X}>"), json!(byte + 3)));
    let mut vocab: serde_json::Map<String, Value> = bytes.collect();
    vocab.extend(
        [("<s>", 0), ("</s>", 1), ("|<MASK>|", 2), ("▁", 259)].map(|(token, id)| (token.to_owned(), json!(id))),
    );
    json["model"] = json!({ "type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true });
    let mut check = |scheme: &str| {
        json["pre_tokenizer"] =
            json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false });
        checkpoint.others.insert("tokenizer.json".into(), json.to_string().into_bytes());
        let (file, _) = checkpoint.convert(&ConvertOptions::default()).unwrap();
        verified(file, &checkpoint)
    };
    for (scheme, differing) in [("always", 8), ("first", 8), ("never", 0)] {
        let found = check(scheme);
        let TokenizerCheck { differing: seen, lossy, .. } = found.tokenizer;
        assert_eq!((problems(&found), seen, lossy), (vec![], differing, 0), "{scheme}");
        if differing > 0 {
            assert_eq!(find(&found.findings, "tokenizer-prefix").severity, Severity::Note);
        }
    }
}
