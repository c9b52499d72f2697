//! Files of the form of `torch.save`: `torch.load` reads them. Their pickles have the opcodes that
//! PyTorch itself writes for weights.

use rawzip::{Error, ZipArchiveWriter};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::io::Write;

/// Writes `{name: tensor, ...}`.
pub(crate) fn write(out: impl Write, tensors: &[(&str, TensorView)]) -> Result<(), Error> {
    let mut archive = ZipArchiveWriter::new(out);
    let mut add = |name: &str, data: &[u8]| {
        let (mut entry, config) = archive.new_file(format!("model/{name}")).start()?;
        let mut writer = config.wrap(&mut entry);
        writer.write_all(data)?;
        let (_, descriptor) = writer.finish()?;
        entry.finish(descriptor).map(drop)
    };
    add("data.pkl", &pickle(tensors))?;
    add("byteorder", b"little")?;
    for (key, (_, tensor)) in tensors.iter().enumerate() {
        add(&format!("data/{key}"), tensor.data())?;
    }
    add("version", b"3\n")?;
    archive.finish().map(drop)
}

fn pickle(tensors: &[(&str, TensorView)]) -> Vec<u8> {
    let mut out = b"\x80\x02}(".to_vec();
    let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let int = |number: usize| [b"J", &(number as u32).to_le_bytes()[..]].concat();
    let tuple = |numbers: &[usize]| {
        [b"(", &numbers.iter().flat_map(|number| int(*number)).collect::<Vec<_>>()[..], b"t"].concat()
    };
    for (key, (name, tensor)) in tensors.iter().enumerate() {
        let class = match tensor.dtype() {
            Dtype::F32 => "FloatStorage",
            Dtype::F16 => "HalfStorage",
            Dtype::BF16 => "BFloat16Storage",
            Dtype::U8 => "ByteStorage",
            other => panic!("{other:?} has no storage class here"),
        };
        let shape = tensor.shape();
        let strides: Vec<usize> = (1..=shape.len()).map(|after| shape[after..].iter().product()).collect();
        out.extend(text(name));
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        out.extend(text("storage"));
        out.extend(format!("ctorch\n{class}\n").bytes());
        out.extend([text(&key.to_string()), text("cpu"), int(shape.iter().product()), b"tQ".to_vec(), int(0)].concat());
        out.extend([tuple(shape), tuple(&strides), b"\x89ccollections\nOrderedDict\n)RtR".to_vec()].concat());
    }
    out.extend(b"u.");
    out
}
