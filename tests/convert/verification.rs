//! Comparing a file with the checkpoint it was made from.

use super::*;

fn verified(file: Vec<u8>, checkpoint: &Checkpoint) -> Verification {
    let mut folder: Memory = [("model.gguf".to_owned(), file)].into();
    verify(&mut folder, "model.gguf", &mut checkpoint.files()).unwrap()
}

#[test]
fn verification_accepts_every_type_and_a_file_of_another_converter() {
    let mut checkpoint = Checkpoint::new("LlamaForCausalLM", 64, 256, 2, 1);
    for ty in [GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::F16, GgmlType::F32] {
        let (file, _) = checkpoint.convert(&Options { ty: Some(ty), ..Options::default() }).unwrap();
        let found = verified(file, &checkpoint);
        assert_eq!((found.matrices.len(), found.vectors, found.faults), (8, 3, vec![]), "{ty}");
    }
    for ty in [GgmlType::Q2_0, GgmlType::Tq1_0, GgmlType::Tq2_0, GgmlType::I2S] {
        let options = Options { ty: Some(ty), ternarize: true, ..Options::default() };
        let (file, _) = checkpoint.convert(&options).unwrap();
        assert_eq!(verified(file, &checkpoint).faults, [""; 0], "{ty}");
    }
    checkpoint.sub_norm(0, "self_attn.o_proj");
    checkpoint.sub_norm(0, "mlp.down_proj");
    for drop_sub_norms in [false, true] {
        let (file, _) = checkpoint.convert(&Options { drop_sub_norms, ..Options::default() }).unwrap();
        assert_eq!(verified(file, &checkpoint).faults, [""; 0]);
    }
    let Some(tiny) = common::fixture("tiny-dlm") else { return };
    let mut file = Folder::open(&tiny).unwrap();
    let mut folder = Folder::open(&tiny.join("checkpoint")).unwrap();
    let found = verify(&mut file, "tiny-dlm-q2_0.gguf", &mut folder).unwrap();
    assert_eq!((found.matrices.len(), found.faults), (29, vec![]));
}

#[test]
fn verification_finds_wrong_weights() {
    let checkpoint = Checkpoint::new("Qwen2ForCausalLM", 64, 128, 2, 1);
    let (file, _) = checkpoint.convert(&Options { ty: Some(GgmlType::F16), ..Options::default() }).unwrap();
    let header = header(&file);
    let at = |name: &str| (header.data_offset + header.tensor(name).unwrap().1.offset) as usize;
    let faults = |damage: &dyn Fn(&mut Vec<u8>)| {
        let mut file = file.clone();
        damage(&mut file);
        verified(file, &checkpoint).faults
    };
    let query = at("blk.0.attn_q.weight");
    // Rows out of order, a doubled scale (the exponent of an f16 one higher), another norm.
    let swapped = faults(&|file| file[query..query + 64 * 128].rotate_left(128));
    assert!(swapped.len() == 1 && swapped[0].contains("blk.0.attn_q.weight"), "{swapped:?}");
    let doubled = faults(&|file| (query + 1..query + 64 * 128).step_by(2).for_each(|byte| file[byte] += 4));
    assert!(doubled.len() == 1 && doubled[0].contains("ratio 2.0"), "{doubled:?}");
    let norm = at("output_norm.weight");
    assert_eq!(faults(&|file| file[norm] ^= 1), ["tensor output_norm.weight differs from the checkpoint"]);

    // A file made for architecture llama has its rows permuted.
    let mut llama = Checkpoint::new("LlamaForCausalLM", 64, 128, 2, 1);
    llama.tensors.clone_from(&checkpoint.tensors);
    let (file, _) = llama.convert(&Options::default()).unwrap();
    let found = verified(file, &checkpoint).faults;
    assert!(found[0].contains("the architecture is llama") && found.len() == 3, "{found:?}");
}
