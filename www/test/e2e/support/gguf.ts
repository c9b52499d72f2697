/**
 * Writes GGUF files byte by byte, right or wrong: nothing here checks anything. By the format's specification
 * (ggml, `docs/gguf.md`), and independent of the crate's writer.
 */

/** A metadata value with its kind. */
export type Value =
  | { readonly u32: number }
  | { readonly i32s: readonly number[] }
  | { readonly f32: number }
  | { readonly f32s: readonly number[] }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  /** A kind and raw bytes. */
  | { readonly kind: number; readonly raw: Uint8Array }

export interface Tensor {
  readonly name: string
  readonly dims: readonly number[]
  /** ggml type id. */
  readonly type: number
  readonly data: Uint8Array
  /** Where it claims to be, if not where it is. */
  readonly offset?: number | bigint
}

export interface Gguf {
  readonly magic?: string
  readonly version?: number
  readonly metadata: ReadonlyMap<string, Value>
  readonly tensors: readonly Tensor[]
  /** Claimed instead of the real counts. */
  readonly tensorCount?: bigint
  readonly metadataCount?: bigint
}

/** A file, and where its sections end. */
export interface Written {
  readonly bytes: Uint8Array
  /** Ends of magic, preamble, metadata, tensor list and padding. */
  readonly ends: Readonly<Record<'magic' | 'preamble' | 'metadata' | 'tensors' | 'header', number>>
}

export const F32 = 0
export const Q8_0 = 8
const ALIGNMENT = 32

class Writer {
  readonly #parts: Uint8Array[] = []
  length = 0

  bytes(part: Uint8Array): this {
    this.#parts.push(part)
    this.length += part.length
    return this
  }
  u32(value: number): this {
    return this.#number(4, (view) => view.setUint32(0, value, true))
  }
  i32(value: number): this {
    return this.#number(4, (view) => view.setInt32(0, value, true))
  }
  u64(value: number | bigint): this {
    return this.#number(8, (view) => view.setBigUint64(0, BigInt(value), true))
  }
  f32(value: number): this {
    return this.#number(4, (view) => view.setFloat32(0, value, true))
  }
  string(text: string): this {
    const bytes = new TextEncoder().encode(text)
    return this.u64(bytes.length).bytes(bytes)
  }
  pad(): this {
    return this.bytes(new Uint8Array(-this.length & (ALIGNMENT - 1)))
  }
  done(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts))
  }
  #number(size: number, write: (view: DataView) => void): this {
    const bytes = new Uint8Array(size)
    write(new DataView(bytes.buffer))
    return this.bytes(bytes)
  }
}

function writeValue(to: Writer, value: Value): void {
  if ('u32' in value) to.u32(4).u32(value.u32)
  else if ('f32' in value) to.u32(6).f32(value.f32)
  else if ('bool' in value) to.u32(7).bytes(Uint8Array.of(value.bool ? 1 : 0))
  else if ('string' in value) to.u32(8).string(value.string)
  else if ('i32s' in value) {
    to.u32(9).u32(5).u64(value.i32s.length)
    for (const item of value.i32s) to.i32(item)
  } else if ('f32s' in value) {
    to.u32(9).u32(6).u64(value.f32s.length)
    for (const item of value.f32s) to.f32(item)
  } else if ('strings' in value) {
    to.u32(9).u32(8).u64(value.strings.length)
    for (const item of value.strings) to.string(item)
  } else to.u32(value.kind).bytes(value.raw)
}

export function write(file: Gguf): Written {
  const to = new Writer().bytes(new TextEncoder().encode(file.magic ?? 'GGUF'))
  const magic = to.length
  to.u32(file.version ?? 3)
  to.u64(file.tensorCount ?? file.tensors.length).u64(file.metadataCount ?? file.metadata.size)
  const preamble = to.length
  for (const [key, value] of file.metadata) writeValue(to.string(key), value)
  const metadata = to.length
  let offset = 0
  for (const tensor of file.tensors) {
    to.string(tensor.name).u32(tensor.dims.length)
    for (const dim of tensor.dims) to.u64(dim)
    to.u32(tensor.type).u64(tensor.offset ?? offset)
    offset += Math.ceil(tensor.data.length / ALIGNMENT) * ALIGNMENT
  }
  const tensors = to.length
  to.pad()
  const header = to.length
  for (const { data } of file.tensors) to.bytes(data).pad()
  return { bytes: to.done(), ends: { magic, preamble, metadata, tensors, header } }
}

/** `count` f32 weights that repeat with `seed`. */
export function weights(count: number, seed: number): Uint8Array {
  let state = seed
  const values = Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state / 2 ** 32 - 0.5) / 4
  })
  return new Uint8Array(values.buffer)
}

const HIDDEN = 64
const FEED_FORWARD = 128
const CONTEXT = 128

/** A whole model of architecture `llama` with one layer, random weights, and a vocabulary of bytes. */
export function tinyLlama(): Gguf & { readonly metadata: Map<string, Value>; readonly tensors: Tensor[] } {
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`)
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, '\u2581', 'e', 't']
  const metadata = new Map<string, Value>([
    ['general.architecture', { string: 'llama' }],
    ['general.name', { string: 'tiny' }],
    ['llama.block_count', { u32: 1 }],
    ['llama.context_length', { u32: CONTEXT }],
    ['llama.embedding_length', { u32: HIDDEN }],
    ['llama.feed_forward_length', { u32: FEED_FORWARD }],
    ['llama.attention.head_count', { u32: 4 }],
    ['llama.attention.head_count_kv', { u32: 2 }],
    ['llama.attention.layer_norm_rms_epsilon', { f32: 1e-5 }],
    ['tokenizer.ggml.model', { string: 'llama' }],
    ['tokenizer.ggml.tokens', { strings: tokens }],
    ['tokenizer.ggml.scores', { f32s: tokens.map((_, i) => -i) }],
    ['tokenizer.ggml.token_type', { i32s: [2, 3, 3, ...bytes.map(() => 6), 1, 1, 1] }],
  ])
  const tensor = (name: string, cols: number, rows?: number): Tensor => ({
    name,
    dims: rows === undefined ? [cols] : [cols, rows],
    type: F32,
    data: weights(cols * (rows ?? 1), name.length * 7919 + cols),
  })
  const tensors = [
    tensor('token_embd.weight', HIDDEN, tokens.length),
    tensor('output_norm.weight', HIDDEN),
    tensor('blk.0.attn_norm.weight', HIDDEN),
    tensor('blk.0.attn_q.weight', HIDDEN, HIDDEN),
    tensor('blk.0.attn_k.weight', HIDDEN, HIDDEN / 2),
    tensor('blk.0.attn_v.weight', HIDDEN, HIDDEN / 2),
    tensor('blk.0.attn_output.weight', HIDDEN, HIDDEN),
    tensor('blk.0.ffn_norm.weight', HIDDEN),
    tensor('blk.0.ffn_gate.weight', HIDDEN, FEED_FORWARD),
    tensor('blk.0.ffn_up.weight', HIDDEN, FEED_FORWARD),
    tensor('blk.0.ffn_down.weight', FEED_FORWARD, HIDDEN),
  ]
  return { metadata, tensors }
}

/** The tiny model as the files of a split one, the tensors dealt out in order. */
export function split(model: Gguf, count: number): Uint8Array[] {
  const each = Math.ceil(model.tensors.length / count)
  return Array.from({ length: count }, (_, no) => {
    const metadata = new Map<string, Value>([
      ...(no === 0 ? model.metadata : []),
      ['split.no', { kind: 2, raw: Uint8Array.of(no, 0) }],
      ['split.count', { kind: 2, raw: Uint8Array.of(count, 0) }],
      ['split.tensors.count', { kind: 5, raw: Uint8Array.of(model.tensors.length, 0, 0, 0) }],
    ])
    return write({ metadata, tensors: model.tensors.slice(no * each, (no + 1) * each) }).bytes
  })
}
