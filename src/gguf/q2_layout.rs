//! Which of two layouts type id 42 stands for in a file.
//!
//! ggml's `Q2_0` is 64 weights in 18 bytes. PrismML's llama.cpp had used the same id for 128
//! weights in 34 bytes, which it now calls `PQ2_0`, and the files of its first Ternary Bonsai
//! models are such. Nothing in a file names the layout, but sizes show it: the next tensor begins
//! where the tensor of one layout ends, and the file ends where its last one does. Where padding
//! makes both sizes equal (a few hundred weights), the other tensors of the file decide, and where
//! none does, it is ggml's.

#![forbid(unsafe_code)]

use super::tensor_info::TensorInfo;
use super::types::GgmlType;
use crate::error::Result;

/// Gives tensors of id 42 the type [`GgmlType::Pq2_0`] in files that use the id for it. `order`:
/// places in `tensors` by offset; `data_bytes`: bytes behind the header, where they are known.
///
/// # Errors
///
/// `malformed` when tensors of both layouts are in one file, or the rows of one are not whole
/// blocks of the layout of the others.
pub(super) fn resolve(
    tensors: &mut [TensorInfo],
    order: &[usize],
    alignment: u64,
    data_bytes: Option<u64>,
) -> Result<()> {
    let [mut by_64, mut by_128] = [None, None];
    for (index, &place) in order.iter().enumerate() {
        let tensor = &tensors[place];
        let end = order.get(index + 1).map(|&next| tensors[next].offset).or(data_bytes);
        let Some(room) = end.map(|end| end.saturating_sub(tensor.offset)) else { continue };
        match layout(tensor, room, alignment) {
            Some(GgmlType::Q2_0) => by_64 = by_64.or(Some(place)),
            Some(_) => by_128 = by_128.or(Some(place)),
            None => {}
        }
    }
    match (by_64, by_128) {
        (Some(a), Some(b)) => bail!(
            Malformed,
            "type id 42 stands for two layouts in this file: tensor {} has 64 weights in 18 bytes, tensor {} 128 in 34; \
             convert the model again",
            tensors[a].name,
            tensors[b].name
        ),
        (None, Some(_)) => tensors.iter_mut().filter(|tensor| tensor.ty == GgmlType::Q2_0).try_for_each(regroup),
        _ => Ok(()),
    }
}

/// The layout whose size fits `room`, the bytes up to the next tensor or the end of the file, when
/// only one does.
pub(super) fn layout(tensor: &TensorInfo, room: u64, alignment: u64) -> Option<GgmlType> {
    if tensor.ty != GgmlType::Q2_0 {
        return None;
    }
    let fits = |ty: &GgmlType| {
        let bytes = ty.tensor_bytes(tensor.rows(), tensor.cols());
        bytes.is_some_and(|bytes| room == bytes || room == bytes.next_multiple_of(alignment))
    };
    let mut fitting = [GgmlType::Q2_0, GgmlType::Pq2_0].into_iter().filter(fits);
    fitting.next().filter(|_| fitting.next().is_none())
}

fn regroup(tensor: &mut TensorInfo) -> Result<()> {
    let ty = GgmlType::Pq2_0;
    let Some(bytes) = ty.tensor_bytes(tensor.rows(), tensor.cols()) else {
        bail!(
            Malformed,
            "tensor {} has rows of {} weights, and the type id 42 of this file stores whole blocks of 128 weights",
            tensor.name,
            tensor.cols()
        );
    };
    (tensor.ty, tensor.bytes) = (ty, bytes);
    Ok(())
}
