//! Pickles made by hand, opcode by opcode. Those that PyTorch writes are in the tests of the module
//! above.

use super::*;
use crate::ErrorCode;
use crate::testing::test;
use safetensors::Dtype;

fn unicode(text: &str) -> Vec<u8> {
    [&[BINUNICODE], &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// The storage `key` of `count` elements.
fn storage(class: &str, key: &str, count: u8) -> Vec<u8> {
    let parts = [unicode("storage"), global("torch", class), unicode(key), unicode("cpu"), vec![BININT1, count]];
    [vec![MARK], parts.concat(), vec![TUPLE, BINPERSID]].concat()
}

fn tuple(sizes: &[u8]) -> Vec<u8> {
    let sizes: Vec<u8> = sizes.iter().flat_map(|size| [BININT1, *size]).collect();
    [vec![MARK], sizes, vec![TUPLE]].concat()
}

/// A view of the storage "0" of 9 floats.
fn tensor(offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let hooks = [global("collections", "OrderedDict"), vec![EMPTY_TUPLE, REDUCE]].concat();
    let view = [vec![BININT1, offset], tuple(shape), tuple(strides), vec![NEWFALSE], hooks].concat();
    let rebuild = global("torch._utils", "_rebuild_tensor_v2");
    [rebuild, vec![MARK], storage("FloatStorage", "0", 9), view, vec![TUPLE, REDUCE]].concat()
}

/// `{"a": value}`, the whole pickle.
fn under_a(value: &[u8]) -> Vec<u8> {
    [&[PROTO, 2, EMPTY_DICT, MARK], &unicode("a")[..], value, &[SETITEMS, STOP]].concat()
}

/// The value at "a" of such a pickle.
fn value_at_a<'a>(pickle: &Pickle<'a>) -> Value<'a> {
    match pickle.heap.dict(pickle.value) {
        Some([("a", value)]) => *value,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refuse(pickle: &[u8], code: ErrorCode, words: &str) {
    let error = load(pickle).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(words), "{error}");
}

#[test]
fn a_tensor_is_a_view_of_a_storage() {
    let bytes = under_a(&tensor(3, &[2, 3], &[3, 1]));
    let pickle = load(&bytes).unwrap();
    let tensor = pickle.heap.tensor(value_at_a(&pickle)).unwrap();
    assert_eq!((tensor.storage.key, tensor.storage.bytes, tensor.dtype), ("0", 36, Dtype::F32));
    assert_eq!((tensor.offset, &tensor.shape, &tensor.strides), (3, &vec![2, 3], &vec![3, 1]));
}

#[test]
fn values_are_read_in_every_form() {
    let int = |bytes: &[u8]| match load(bytes).unwrap().value {
        Value::Int(number) => number,
        other => panic!("{other:?}"),
    };
    assert_eq!(int(b"\x80\x02K\xff."), 255);
    assert_eq!(int(b"\x80\x02M\xff\xff."), 65535);
    assert_eq!(int(b"\x80\x02J\xfe\xff\xff\xff."), -2);
    assert_eq!(int(b"\x80\x02\x8a\x00."), 0);
    assert_eq!(int(b"\x80\x02\x8a\x02\x00\xff."), -256);
    assert_eq!(int(b"\x80\x02\x8a\x05\x00\x00\x00\x00\x01."), 1 << 32);
    assert_eq!(int(b"\x80\x02\x8b\x08\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\x7f."), i64::MAX);
    for text in [&b"X\x01\x00\x00\x00a."[..], b"\x8c\x01a.", b"\x8d\x01\x00\x00\x00\x00\x00\x00\x00a."] {
        assert_eq!(load(text).unwrap().value, Value::Str("a"));
    }
    for other in [
        &b"N."[..],
        b"\x88.",
        b"\x89.",
        b"G\x00\x00\x00\x00\x00\x00\x00\x00.",
        b"C\x01a.",
        b"B\x01\x00\x00\x00a.",
        b"\x8e\x01\x00\x00\x00\x00\x00\x00\x00a.",
        b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a.",
        b"\x8a\x09\x01\x02\x03\x04\x05\x06\x07\x08\x09.",
        b"c__builtin__\nset\n]\x85R.",
        b"c_codecs\nencode\n\x8c\x01a\x85R.",
    ] {
        assert_eq!(load(other).unwrap().value, Value::Other, "{other:?}");
    }
    for list in [&b"]."[..], b"]Na.", b"](NNe.", b"\x8f(NN\x90.", b"(NN\x91."] {
        assert_eq!(load(list).unwrap().value, Value::List, "{list:?}");
    }
}

#[test]
fn the_newest_protocol_says_the_same() {
    // Frames, the memo by order, names from the stack.
    let name = |module: &str, name: &str| {
        let text = |text: &str| [&[SHORT_BINUNICODE, text.len() as u8], text.as_bytes()].concat();
        [text(module), text(name), vec![STACK_GLOBAL]].concat()
    };
    let dict = [name("collections", "OrderedDict"), vec![MEMOIZE, EMPTY_TUPLE, REDUCE, MEMOIZE]].concat();
    let entries = [&[MARK][..], &unicode("a"), &tensor(0, &[], &[]), &[SETITEMS, BINGET, 1, STOP]].concat();
    let bytes = [&[PROTO, 5, FRAME], &[9; 8][..], &dict, &entries].concat();
    let pickle = load(&bytes).unwrap();
    assert_eq!(pickle.heap.tensor(value_at_a(&pickle)).unwrap().shape, [0; 0]);
}

#[test]
fn attributes_of_ordered_dictionaries_are_passed_over() {
    let metadata = [vec![EMPTY_DICT], unicode("_metadata"), vec![EMPTY_DICT, SETITEM, BUILD, STOP]].concat();
    let mut bytes = under_a(&tensor(0, &[1], &[1]));
    bytes.pop();
    bytes.extend(metadata);
    let pickle = load(&bytes).unwrap();
    assert!(pickle.heap.tensor(value_at_a(&pickle)).is_some());
    refuse(&under_a(&[tensor(0, &[1], &[1]), vec![EMPTY_DICT, BUILD]].concat()), ErrorCode::UnsupportedType, "BUILD");
}

#[test]
fn values_may_contain_themselves() {
    let bytes = [&[EMPTY_DICT, BINPUT, 0, MARK][..], &unicode("a"), &[BINGET, 0, SETITEMS, STOP]].concat();
    let pickle = load(&bytes).unwrap();
    assert_eq!(value_at_a(&pickle), pickle.value);
}

#[test]
fn refuses_names_by_name() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("__builtin__", "getattr"),
        ("torch", "load"),
        ("torch", "QInt8Storage"),
        ("torch.hub", "load"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch.nn.modules.linear", "Linear"),
        ("collections", "OrderedDict.__reduce__"),
        ("numpy.core.multiarray", "_reconstruct"),
    ] {
        let words = format!("asks Python for {module}.{name}, which tensors do not need");
        let called = [unicode("true"), vec![TUPLE1, REDUCE]].concat();
        refuse(&under_a(&[global(module, name), called.clone()].concat()), ErrorCode::UnsupportedType, &words);
        let stacked = [unicode(module), unicode(name), vec![STACK_GLOBAL]].concat();
        refuse(&under_a(&[stacked, called].concat()), ErrorCode::UnsupportedType, &words);
        let instance = format!("(X\x04\0\0\0truei{module}\n{name}\n");
        refuse(&under_a(instance.as_bytes()), ErrorCode::UnsupportedType, &words);
        let object = [vec![MARK], global(module, name), vec![OBJ]].concat();
        refuse(&under_a(&object), ErrorCode::UnsupportedType, &words);
    }
}

#[test]
fn refuses_other_ways_to_objects() {
    let known = global("collections", "OrderedDict");
    for (opcodes, words) in [
        ([&[MARK][..], &known, &[OBJ]].concat(), "objects are made"),
        ([&known[..], &[EMPTY_TUPLE, NEWOBJ]].concat(), "objects are made"),
        ([&known[..], &[EMPTY_TUPLE, EMPTY_DICT, NEWOBJ_EX]].concat(), "objects are made"),
        (vec![EXT1, 1], "an extension registered in Python"),
        (vec![EXT2, 1, 0], "an extension registered in Python"),
        (vec![EXT4, 1, 0, 0, 0], "an extension registered in Python"),
        (b"Pstorage\n".to_vec(), "opcode 0x50"),
        (b"\x97".to_vec(), "opcode 0x97"),
        ([&known[..], &[EMPTY_DICT, BUILD]].concat(), "BUILD sets attributes of the name of OrderedDict"),
        (vec![PROTO, 6], "protocol 6"),
    ] {
        refuse(&under_a(&opcodes), ErrorCode::UnsupportedType, words);
    }
}

#[test]
fn rejects_what_does_not_fit_together() {
    let called = |arguments: &[u8]| {
        let rebuild = global("torch._utils", "_rebuild_tensor_v2");
        under_a(&[&rebuild, &[MARK][..], arguments, &[TUPLE, REDUCE]].concat())
    };
    let floats = storage("FloatStorage", "0", 9);
    let untyped =
        [&[MARK][..], &unicode("storage"), &global("torch.storage", "UntypedStorage"), &unicode("0")].concat();
    let untyped = [untyped, vec![NONE, BININT1, 9, TUPLE, BINPERSID]].concat();
    let rest = [vec![BININT1, 0], tuple(&[1]), tuple(&[1]), vec![NONE, NONE]].concat();
    for (pickle, words) in [
        (vec![], "1 bytes are wanted"),
        (vec![STOP], "the stack is empty"),
        (vec![MARK, STOP], "the stack is empty"),
        (vec![NONE, MARK, POP, STOP], "the stack is empty"),
        (vec![TUPLE], "no mark"),
        (vec![NONE, TUPLE2], "no 2 values"),
        (vec![BINGET, 3], "nothing was stored under 3"),
        (vec![NONE, NONE, APPEND], "is no list"),
        (vec![NONE, NONE, NONE, SETITEM], "is no dictionary"),
        (vec![EMPTY_DICT, MARK, NONE, SETITEMS], "a key has no value"),
        (vec![NONE, NONE, STACK_GLOBAL], "name nothing"),
        (vec![NONE, EMPTY_TUPLE, REDUCE], "cannot be called"),
        ([&global("collections", "OrderedDict")[..], &[NONE, REDUCE]].concat(), "is no tuple"),
        ([&global("collections", "OrderedDict")[..], &[NONE, TUPLE1, REDUCE]].concat(), "with 1 arguments"),
        ([&global("torch", "float32")[..], &[EMPTY_TUPLE, REDUCE]].concat(), "with 0 arguments"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa".to_vec(), "18446744073709551615 bytes are wanted"),
        (b"X\xff\xff\xff\xffa".to_vec(), "4294967295 bytes are wanted"),
        (b"X\x01\x00\x00\x00\xff".to_vec(), "not UTF-8"),
        (b"cos".to_vec(), "a line does not end"),
        (vec![NONE, BINPERSID], "is no tuple"),
        ([tuple(&[1, 2, 3, 4, 5]), vec![BINPERSID]].concat(), "does not describe a storage"),
        (called(&[&floats[..], &rest, &[NONE]].concat()), "with 7 arguments"),
        (called(&[&[NONE][..], &rest].concat()), "is no storage"),
        (called(&[&untyped[..], &rest].concat()), "no type"),
        (under_a(&tensor(0, &[1, 1], &[1])), "the shape [1, 1] and the strides [1]"),
        (
            called(&[&floats[..], &[BININT, 0xFF, 0xFF, 0xFF, 0xFF], &tuple(&[]), &tuple(&[]), &[NONE, NONE]].concat()),
            "begins at the number -1",
        ),
        (
            called(&[&floats[..], &[BININT1, 0, NONE, TUPLE1, NONE, TUPLE1, NONE, NONE]].concat()),
            "a size of a tensor is a value without a meaning",
        ),
        (called(&[&floats[..], b"K\0\x8a\x01\xff\x85\x8a\x01\xff\x85NN"].concat()), "a size of a tensor is -1"),
    ] {
        refuse(&pickle, ErrorCode::Malformed, words);
    }
    let huge = [&[MARK][..], &unicode("storage"), &global("torch", "LongStorage"), &unicode("0"), &[NONE]].concat();
    let huge = [&huge[..], b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", &[TUPLE, BINPERSID]].concat();
    refuse(&huge, ErrorCode::Malformed, "storage 0 has 9223372036854775807 elements");
}

#[test]
fn long_pickles_are_given_up() {
    let nothings = [NONE, POP].repeat(MAX_OPCODES / 2);
    refuse(&[nothings, vec![NONE, STOP]].concat(), ErrorCode::Limits, "opcodes");
    refuse(&under_a(&tensor(0, &[1; 9], &[1; 9])), ErrorCode::Limits, "9 dimensions");
    // A deep value and a much shared one are as cheap as any other.
    let deep = [vec![EMPTY_TUPLE], [BINPUT, 0, POP, BINGET, 0, BINGET, 0, TUPLE2].repeat(100_000), vec![STOP]].concat();
    assert!(matches!(load(&deep).unwrap().value, Value::Tuple(100_000)));
}

#[test]
fn damage_gives_an_error_or_another_value() {
    let parameter = [
        global("torch._utils", "_rebuild_parameter"),
        tensor(1, &[2], &[1]),
        [&[NEWTRUE][..], &global("collections", "OrderedDict"), &[EMPTY_TUPLE, REDUCE, TUPLE3, REDUCE]].concat(),
    ];
    let whole = under_a(&parameter.concat());
    let pickle = load(&whole).unwrap();
    assert!(pickle.heap.tensor(value_at_a(&pickle)).is_some());
    for len in 0..whole.len() {
        refuse(&whole[..len], ErrorCode::Malformed, "of the pickle");
    }
    let mut damaged = whole.clone();
    for at in 0..whole.len() {
        for byte in 0..=255 {
            damaged[at] = byte;
            // Whether it is an error depends on what the byte means.
            let _ = load(&damaged);
        }
        damaged[at] = whole[at];
    }
}
