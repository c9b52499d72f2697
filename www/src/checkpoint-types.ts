/**
 * The public API for inspecting, converting and verifying: declarations and doc comments only. A
 * checkpoint is a folder as Hugging Face and WrinkleFree write it: `config.json`, a tokenizer,
 * weights and other metadata.
 */

import type { Attention, DecodeMode, DiffusionInfo, ModelSource } from './types.js'

/**
 * The files of a checkpoint, such as those of a directory input or a drop. If files have a
 * `webkitRelativePath`, those beside the topmost `config.json` count; without one, all files are
 * one folder.
 */
export type CheckpointFiles = Iterable<File>

/** The types that can be written. */
export type TensorType = 'q2_0' | 'pq2_0' | 'tq1_0' | 'tq2_0' | 'i2_s' | 'q8_0' | 'q4_0' | 'f16' | 'bf16' | 'f32'

/** Options of every call that has its own worker. */
export interface TaskOptions {
  /** Aborts the call at any time: it rejects with `aborted`, and leaves nothing behind. */
  readonly signal?: AbortSignal
  /**
   * Folder with the contents of this package's `wasm/` and, if used, `tiny.gguf`. Default: where
   * the package's scripts are.
   */
  readonly wasmBaseUrl?: string | URL
  /**
   * Address of this package's `worker.js`. Default: beside the main script, or where the bundler
   * put it.
   */
  readonly workerUrl?: string | URL
}

/** Progress of a call that reads a model. */
export interface ReadProgress {
  /** `download` while bytes come over the network. */
  readonly phase: 'download' | 'inspect' | 'verify'
  /** Bytes read so far. */
  readonly loaded: number
  /** Bytes to read, or `null` while unknown. */
  readonly total: number | null
}

/** Options of `inspectModel` and `verifyModel`. Unknown keys are a `bad-option` error. */
export interface ReadOptions extends TaskOptions {
  /** Called at most every 50 ms, and once at the end of each phase. */
  readonly onProgress?: (progress: ReadProgress) => void
}

/** Options of a conversion. Unknown keys are a `bad-option` error. */
export interface CheckpointOptions extends TaskOptions {
  /** Type of linear layers. Default: `q2_0` for ternary ones, 16-bit floats for others. */
  readonly type?: TensorType
  /**
   * Type of the token embedding and the output head. Default: `type` if that is not ternary (`q8_0`
   * for `q4_0`), else the checkpoint's.
   */
  readonly embeddingType?: Exclude<TensorType, 'q2_0' | 'pq2_0' | 'tq1_0' | 'tq2_0' | 'i2_s'>
  /**
   * `drop` omits SubLN norms, for runtimes without them. This changes what the model computes, for
   * the worse.
   */
  readonly subln?: 'keep' | 'drop'
  /**
   * Scales of ternary layers: `f32` in tensors of their own, exact; `f16` in every block, for
   * runtimes that refuse unknown tensors. Default `f32`.
   */
  readonly scales?: 'f32' | 'f16'
  /** Ternarize the layers of a model that is not marked as BitNet. */
  readonly ternarize?: boolean
  /** The model's name, `general.name` of the file. */
  readonly name?: string
  /** The mask token. Default: the checkpoint's. */
  readonly maskTokenId?: number
  /** Accept a mask token that also ends answers. */
  readonly forceMaskToken?: boolean
  /** Positions in a block. Default: the checkpoint's. */
  readonly blockSize?: number
  /** Attention of diffusion decoding. Default: the checkpoint's. */
  readonly attention?: Attention
  /** Whether the logits of a row predict the next position. Default: by the model's class. */
  readonly shiftLogits?: boolean
}

/** Progress of a conversion. */
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

/** A diagnostic about a model. */
export interface Finding {
  /**
   * `problem`: it does not run, or computes something wrong. `warning`: likely wrong. `note`:
   * information.
   */
  readonly severity: 'problem' | 'warning' | 'note'
  /** A stable name for programs, such as `raw-weights`, or an error code. */
  readonly code: string
  /** Description, in sentences. */
  readonly message: string
  /** What to do, if the message does not say so. Options are those of the command line. */
  readonly remedy: string | null
  /** The tensors concerned; empty if it concerns the model. */
  readonly tensors: readonly string[]
}

/** Properties of a model, of a GGUF file or of a checkpoint. */
export interface ModelDescription {
  /** The GGUF architecture. */
  readonly architecture: string
  /** SubLN norms in a layer. */
  readonly subNorms: 'none' | 'two' | 'seven'
  /** Kind and size of the tokenizer, in words. */
  readonly tokenizer: string
  /** Whether it has a chat template. */
  readonly chatTemplate: boolean
  /** Diffusion settings; `null` without a mask token. */
  readonly diffusion: DiffusionInfo | null
  /** The mask token as the vocabulary spells it. */
  readonly maskTokenText: string | null
  /** The decode modes that the model supports, the one that `auto` selects first. */
  readonly modes: readonly Exclude<DecodeMode, 'auto'>[]
  /** Diagnostics, the most severe first. */
  readonly findings: readonly Finding[]
}

/** Contents of a GGUF model, and whether it runs. */
export interface ModelReport extends ModelDescription {
  /** `general.name`; empty if it has none. */
  readonly name: string
  /** Number of files. */
  readonly files: number
  /** Bytes in all files. */
  readonly bytes: number
  /** Number of weights. */
  readonly parameters: number
  /** Whether it runs, rightly or not. */
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
  /** For ternary types: the scale, if there is a single one. */
  readonly scale: number | null
  /** For ternary types: the share of zeros, 0 to 1. */
  readonly zeros: number | null
}

/** Contents of a checkpoint, and of the file that it converts to. */
export interface CheckpointReport extends ModelDescription {
  /** The class in `config.json`. */
  readonly class: string
  /** Why linear layers count as BitLinear; `null` if they do not. */
  readonly ternaryBecause: string | null
  /** How the `weight_scale` of packed weights applies, if there is one. */
  readonly weightScale: 'multiply' | 'divide' | null
  /** Bytes of tensor data. */
  readonly bytes: number
  /** Every tensor of the file. */
  readonly tensors: readonly TensorReport[]
  /** Tensors of the checkpoint that are not in the file, and why. */
  readonly dropped: readonly { readonly name: string; readonly reason: string }[]
}

/**
 * One tensor of the converted file. Before a conversion, values that depend on weights are those of
 * the first layer.
 */
export interface TensorReport extends ModelTensor {
  /** Its tensor in the checkpoint; `null` for computed ones. */
  readonly source: string | null
  /** That tensor's type. */
  readonly sourceType: string | null
  /** Why its type is not the requested one. */
  readonly fallback: string | null
  /** For matrices, once read: the form of the weights in the checkpoint. */
  readonly origin: 'master' | 'ternary' | 'packed' | 'groups' | 'float' | null
  /** For weights that are three-valued in groups, once read: the columns of a group. */
  readonly group: number | null
}

/** A converted checkpoint. */
export interface Converted {
  /** The GGUF file, for a download or for `loadModel`. The browser may keep it on disk. */
  readonly blob: Blob
  readonly report: CheckpointReport
}

/** Result of comparing a file with its checkpoint. */
export interface Verification {
  /** Every matrix: both sides multiplied by the same random vector. */
  readonly matrices: readonly MatrixComparison[]
  /** Number of vectors compared value by value. */
  readonly vectors: number
  /**
   * Texts that both tokenizers encoded: all, those with different ids, those that decoding does not
   * restore.
   */
  readonly tokenizer: {
    /** The checkpoint's tokenizer file: `tokenizer.json` or `tokenizer.model`. */
    readonly reference: string
    readonly texts: number
    readonly differing: number
    readonly lossy: number
  }
  /** Differences (each a `problem`) and oddities of the file, the most severe first. */
  readonly findings: readonly Finding[]
}

/** The products of one matrix, from the file and from the checkpoint. */
export interface MatrixComparison {
  readonly name: string
  readonly type: string
  /** Cosine similarity of the two products. */
  readonly cosine: number
  /** Lower limit of `cosine`: 0.9999, or less for lossy types. */
  readonly leastCosine: number
  /** Norm of the file's product over that of the checkpoint's. */
  readonly ratio: number
  /** Largest allowed difference between `ratio` and 1. */
  readonly ratioSpread: number
  /** For ternary types: the share of zeros, 0 to 1. */
  readonly zeros: number | null
}

/**
 * Describes a GGUF model, whether it runs, and its problems. It reads ternary tensors, and
 * therefore downloads a model at a URL. Rejects with a `WebternError`, like everything here, if the
 * model cannot be read.
 */
export type InspectModel = (source: ModelSource, options?: ReadOptions) => Promise<ModelReport>

/**
 * Describes a checkpoint and the file it converts to with these options. Rejects if it cannot be
 * converted.
 */
export type InspectCheckpoint = (files: CheckpointFiles, options?: CheckpointOptions) => Promise<CheckpointReport>

/**
 * Converts a checkpoint to GGUF in its own worker, one tensor at a time. It only reads the
 * checkpoint, in parts; the worker ends with the call.
 */
export type ConvertCheckpoint = (files: CheckpointFiles, options?: ConvertOptions) => Promise<Converted>

/**
 * Compares a GGUF model with its checkpoint. Differences are findings of the result, not errors.
 */
export type VerifyModel = (
  source: ModelSource,
  checkpoint: CheckpointFiles,
  options?: ReadOptions,
) => Promise<Verification>
