/**
 * The public contract for inspecting, converting and verifying: declarations and doc comments only. A checkpoint is a folder
 * as Hugging Face and WrinkleFree write it: `config.json`, a tokenizer, weights, and what else describes the model.
 */

import type { Attention, DecodeMode, DiffusionInfo, ModelSource } from './types.js'

/**
 * The files of a checkpoint, such as those of a directory input or a drop. Where files know their folders
 * (`webkitRelativePath`), those beside the uppermost `config.json` count; others are taken as one folder.
 */
export type CheckpointFiles = Iterable<File>

/** The types that can be written. */
export type TensorType = 'q2_0' | 'tq1_0' | 'tq2_0' | 'i2_s' | 'q8_0' | 'q4_0' | 'f16' | 'bf16' | 'f32'

/** What every call with a worker of its own can be told. */
export interface TaskOptions {
  /** Ends the call at any time: it rejects with `aborted`, and nothing stays behind. */
  readonly signal?: AbortSignal
  /**
   * Folder that holds the `wasm/` files of this package, and `tiny.gguf` where that is used, when they are not served
   * beside its scripts.
   */
  readonly wasmBaseUrl?: string | URL
  /** Address of this package's `worker.js` when it is not served beside its main script. */
  readonly workerUrl?: string | URL
}

/** How far a call that reads a model has come. */
export interface ReadProgress {
  /** `download` while bytes come over the network. */
  readonly phase: 'download' | 'inspect' | 'verify'
  /** Bytes read so far. */
  readonly loaded: number
  /** Bytes to read, or `null` while the server has not said. */
  readonly total: number | null
}

/** Options of `inspectModel` and `verifyModel`. Unknown keys are a `bad-option` error. */
export interface ReadOptions extends TaskOptions {
  /** Called at most every 50 ms, and once at the end of each phase. */
  readonly onProgress?: (progress: ReadProgress) => void
}

/** How a checkpoint is to be converted. Unknown keys are a `bad-option` error. */
export interface CheckpointOptions extends TaskOptions {
  /** Type of linear layers. Unless given: `q2_0` for ternary ones, 16-bit floats for others. */
  readonly type?: TensorType
  /**
   * Type of the token embedding and the output head. Unless given: as `type` where that is not a ternary type (`q8_0` for
   * `q4_0`), else what the checkpoint has.
   */
  readonly embeddingType?: Exclude<TensorType, 'q2_0' | 'tq1_0' | 'tq2_0' | 'i2_s'>
  /** `drop` leaves SubLN norms out, for runtimes that cannot run them: another function, and a worse one. */
  readonly subln?: 'keep' | 'drop'
  /** Ternarise the layers of a model that does not say that it is BitNet. */
  readonly ternarize?: boolean
  /** The model's name, `general.name` of the file. */
  readonly name?: string
  /** The mask token, whatever the checkpoint says. */
  readonly maskTokenId?: number
  /** Accept a mask token that also ends answers. */
  readonly forceMaskToken?: boolean
  /** Positions decoded together, whatever the checkpoint says. */
  readonly blockSize?: number
  /** How blocks attend, whatever the checkpoint says. */
  readonly attention?: Attention
}

/** How far a conversion has come. */
export interface ConvertProgress {
  readonly phase: 'convert'
  /** Bytes of tensor data written. */
  readonly loaded: number
  /** Bytes of tensor data in the finished file. */
  readonly total: number
}

/** Options of `convertCheckpoint`. */
export interface ConvertOptions extends CheckpointOptions {
  /** Called at most every 50 ms, and once at the end. */
  readonly onProgress?: (progress: ConvertProgress) => void
}

/** One thing to know about a model. */
export interface Finding {
  /** `problem`: it does not run, or computes something wrong. `warning`: something is likely wrong. `note`: nothing is. */
  readonly severity: 'problem' | 'warning' | 'note'
  /** Which finding it is, for programs; a stable name such as `raw-weights`, or an error code. */
  readonly code: string
  /** What was found, in sentences. */
  readonly message: string
  /** What to do about it, where there is something that the message does not say. Options are those of the command line. */
  readonly remedy: string | null
  /** The tensors that it is about; empty when it is about the model. */
  readonly tensors: readonly string[]
}

/** What is known of a model, be it a GGUF file or a checkpoint that is to become one. */
export interface ModelDescription {
  /** The GGUF architecture. */
  readonly architecture: string
  /** SubLN norms in a layer. */
  readonly subNorms: 'none' | 'two' | 'seven'
  /** Kind and size of the tokenizer, in words. */
  readonly tokenizer: string
  /** Whether it brings its own chat template. */
  readonly chatTemplate: boolean
  /** How it decodes by diffusion; `null` when it has no mask token. */
  readonly diffusion: DiffusionInfo | null
  /** The mask token as the vocabulary spells it. */
  readonly maskTokenText: string | null
  /** The decode modes that make sense, the one that `auto` chooses first. */
  readonly modes: readonly Exclude<DecodeMode, 'auto'>[]
  /** What somebody should know, the worst first. */
  readonly findings: readonly Finding[]
}

/** What a GGUF model holds, and whether it runs. */
export interface ModelReport extends ModelDescription {
  /** `general.name`; empty when it has none. */
  readonly name: string
  /** Number of files. */
  readonly files: number
  /** Bytes in all files. */
  readonly bytes: number
  /** Number of weights. */
  readonly parameters: number
  /** Whether it runs; what it computes may be wrong all the same. */
  readonly runs: boolean
  /** Tensors by type. */
  readonly types: readonly {
    readonly type: string
    readonly tensors: number
    readonly weights: number
    readonly bytes: number
  }[]
  readonly tensors: readonly ModelTensor[]
}

/** One tensor of a GGUF model. */
export interface ModelTensor {
  readonly name: string
  /** Its type, such as `Q2_0`. */
  readonly type: string
  /** Its dimensions, the fastest first. */
  readonly dims: readonly number[]
  /** For ternary types: the scale, if there is one only. */
  readonly scale: number | null
  /** For ternary types: the share of zeros, 0 to 1. */
  readonly zeros: number | null
}

/** What a checkpoint is, and what becomes of it. */
export interface CheckpointReport extends ModelDescription {
  /** The class in `config.json`. */
  readonly class: string
  /** Why linear layers are taken for BitLinear ones; `null` when they are not. */
  readonly ternaryBecause: string | null
  /** What is done with the `weight_scale` beside packed weights, where there is one. */
  readonly weightScale: 'multiply' | 'divide' | null
  /** Bytes of tensor data. */
  readonly bytes: number
  /** Every tensor of the file. */
  readonly tensors: readonly TensorReport[]
  /** Tensors of the checkpoint that are not in the file, and why. */
  readonly dropped: readonly { readonly name: string; readonly reason: string }[]
}

/** One tensor of the file that a checkpoint becomes. What is only known of weights is told of the first layer beforehand. */
export interface TensorReport extends ModelTensor {
  /** The tensor of the checkpoint that it is made from; `null` for computed ones. */
  readonly source: string | null
  /** That tensor's type. */
  readonly sourceType: string | null
  /** Why it has another type than was asked for. */
  readonly fallback: string | null
  /** For matrices, once read: the form of the weights in the checkpoint. */
  readonly origin: 'master' | 'ternary' | 'packed' | 'float' | null
}

/** A converted checkpoint. */
export interface Converted {
  /** The GGUF file, for a download or for `loadModel`. The browser may keep it on disk. */
  readonly blob: Blob
  readonly report: CheckpointReport
}

/** What the comparison of a file with its checkpoint found. */
export interface Verification {
  /** Every matrix: both sides multiplied with the same random vector. */
  readonly matrices: readonly MatrixComparison[]
  /** Number of vectors that were compared value by value. */
  readonly vectors: number
  /** Texts that the tokenizers of both sides encoded: all, those with other ids, those that decoding does not give back. */
  readonly tokenizer: {
    /** Where the checkpoint's comes from: `tokenizer.json` or `tokenizer.model`. */
    readonly reference: string
    readonly texts: number
    readonly differing: number
    readonly lossy: number
  }
  /** What is wrong with the file (each `problem`), and what is odd about it; the worst first. */
  readonly findings: readonly Finding[]
}

/** The products of one matrix, from the file and from the checkpoint. */
export interface MatrixComparison {
  readonly name: string
  readonly type: string
  /** Cosine of the angle between the two products; 1 when they point the same way. */
  readonly cosine: number
  /** What it has to exceed: 0.9999, or less for types that lose something. */
  readonly leastCosine: number
  /** Length of the product from the file over that from the checkpoint. */
  readonly ratio: number
  /** How far from 1 that may be. */
  readonly ratioSpread: number
  /** For ternary types: the share of zeros, 0 to 1. */
  readonly zeros: number | null
}

/**
 * Says what a GGUF model is, whether and how it runs, and what is wrong with it. Ternary tensors are read; a model at a URL is
 * downloaded for that. Rejects with a `WebternError`, as everything here does, when nothing can be said.
 */
export type InspectModel = (source: ModelSource, options?: ReadOptions) => Promise<ModelReport>

/** Says what a checkpoint is and what it would become with these options. Rejects with why it cannot be converted. */
export type InspectCheckpoint = (files: CheckpointFiles, options?: CheckpointOptions) => Promise<CheckpointReport>

/**
 * Converts a checkpoint to GGUF in a worker of its own, one tensor at a time. The checkpoint is only read, in parts; the
 * worker ends with the call.
 */
export type ConvertCheckpoint = (files: CheckpointFiles, options?: ConvertOptions) => Promise<Converted>

/** Compares a GGUF model with the checkpoint it was made from. What differs is in the result and not an error. */
export type VerifyModel = (
  source: ModelSource,
  checkpoint: CheckpointFiles,
  options?: ReadOptions,
) => Promise<Verification>
