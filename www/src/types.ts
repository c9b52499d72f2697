/**
 * The public contract: declarations and doc comments only. The implementation is annotated from it, so the two cannot
 * drift apart.
 */

/**
 * What kind of failure a {@link WebternError} is. The same strings as the Rust crate's `ErrorCode`.
 *
 * - `network`: no connection, or it was cut
 * - `http`: the server answered with a failure status, or with a web page instead of a model
 * - `io`: a local file could not be read
 * - `truncated`: the input ended before the file was complete
 * - `not-gguf`: the input is not a GGUF file at all
 * - `unsupported-architecture`, `unsupported-type`: a good file that webtern does not run
 * - `malformed`: the file contradicts its own format
 * - `limits`: a number in the file exceeds a named limit
 * - `out-of-memory`: memory for the model or its cache could not be had
 * - `no-mask-token`: a diffusion mode was asked of a model that has no mask token
 * - `context-full`: prompt and requested output do not fit the context
 * - `bad-option`: an option or argument of the caller is wrong
 * - `aborted`: the caller cancelled, or unloaded the model
 * - `crashed`: the engine stopped unexpectedly; load the model again
 * - `integrity`: the bytes do not have the expected checksum
 */
export type ErrorCode =
  | 'network'
  | 'http'
  | 'io'
  | 'truncated'
  | 'not-gguf'
  | 'unsupported-architecture'
  | 'unsupported-type'
  | 'malformed'
  | 'limits'
  | 'out-of-memory'
  | 'no-mask-token'
  | 'context-full'
  | 'bad-option'
  | 'aborted'
  | 'crashed'
  | 'integrity'

/** A file of a Hugging Face repository. */
export interface HuggingFaceSource {
  /** `owner/name`. */
  readonly repo: string
  /** Path of the GGUF file inside the repository. */
  readonly file: string
  /** Branch, tag or commit; `main` unless given. */
  readonly revision?: string
}

/**
 * Where a model comes from. `'tiny'` is the small model that comes with this package; every other string is a URL, and so
 * is `'./tiny'`. A URL, file name or {@link HuggingFaceSource} of the first part of a split model (`-00001-of-0000N`) loads
 * all its parts; a split model on disk is given as the array of its files, in any order.
 *
 * An `ArrayBuffer` or a view of one is copied once (into a `Blob`, outside the JavaScript heap) and stays usable.
 */
export type ModelSource =
  // Beside plain `string`, editors would no longer offer the name.
  'tiny' | (string & {}) | URL | Blob | readonly File[] | ArrayBuffer | Uint8Array<ArrayBuffer> | HuggingFaceSource

/** Which keys a position may attend to: its own block and all before (`block`), or its past only (`causal`). */
export type Attention = 'block' | 'causal'

/** How far a load has come. */
export interface LoadProgress {
  /** `download` while bytes come over the network; `load` while they come from memory or disk, and at the very end. */
  readonly phase: 'download' | 'load'
  /** Bytes read so far, over all files. */
  readonly loaded: number
  /** Bytes in all files, or `null` while the server has not said. */
  readonly total: number | null
}

/** Options of `loadModel`. Unknown keys are a `bad-option` error. */
export interface LoadOptions {
  /** Called at most every 50 ms, and once at the end. */
  readonly onProgress?: (progress: LoadProgress) => void
  /** Ends the load at any time: it rejects with `aborted`, and the memory is given back. */
  readonly signal?: AbortSignal
  /**
   * Threads to compute with. Unless given, four or half of the processors if those are more, eight at most.
   * Where several cannot run, one does, and a line of `info.notices` says why: most often because the page is not
   * cross-origin isolated (the headers `Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy:
   * require-corp`).
   */
  readonly threads?: number
  /** Positions to keep room for; the model's own unless given. A smaller number saves memory. */
  readonly contextLength?: number
  /** The mask token of a diffusion model whose file does not name it. */
  readonly maskTokenId?: number
  /** Overrides the attention that the file names for diffusion decoding. */
  readonly attention?: Attention
  /**
   * Folder that holds the `wasm/` files of this package, and `tiny.gguf` where that is used, when they are not served
   * beside its scripts.
   */
  readonly wasmBaseUrl?: string | URL
  /** Address of this package's `worker.js` when it is not served beside its main script. */
  readonly workerUrl?: string | URL
}

/** What diffusion decoding of a model looks like. */
export interface DiffusionInfo {
  /** Token id that stands for "not decided yet". */
  readonly maskToken: number
  /** Positions decoded together. */
  readonly blockSize: number
  readonly attention: Attention
}

/** What was loaded, and what runs it. */
export interface ModelInfo {
  /** The file's `general.name`, or the file name. */
  readonly name: string
  /** The GGUF architecture, such as `llama` or `bitnet`. */
  readonly architecture: string
  /** Number of weights. */
  readonly parameters: number
  /** The commonest tensor type of the weights, such as `Q2_0`. */
  readonly quantization: string
  /** Positions there is room for. */
  readonly contextLength: number
  /** Number of tokens in the vocabulary. */
  readonly vocabSize: number
  /** `null` when the model has no mask token, and so decodes autoregressively only. */
  readonly diffusion: DiffusionInfo | null
  /** Whether the file brings its own chat template. */
  readonly chatTemplate: boolean
  /** What the engine did otherwise than asked, one sentence each. */
  readonly notices: readonly string[]
  /** Name of the kernels in use; a generation's stats have it as of then. */
  readonly kernel: string
  /** Name of the WebAssembly build in use. */
  readonly artefact: string
  /** Threads in use. */
  readonly threads: number
  /** Size of the WebAssembly memory, as of the latest load or generation. */
  readonly memoryBytes: number
}

/** One turn of a conversation. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool'
  readonly content: string
}

/**
 * How tokens are chosen. `auto` is a diffusion mode where the model has a mask token, else `ar` (one token a pass);
 * `greedy`, `iterative` and `adaptive` decode block by block and need a mask token.
 */
export type DecodeMode = 'auto' | 'ar' | 'greedy' | 'iterative' | 'adaptive'

/** Token ids, in any array-like form. */
export type TokenIds = readonly number[] | Uint32Array

/** Options of `generate` beside the prompt. Unknown keys are a `bad-option` error. */
export interface DecodeOptions {
  /** `auto` unless given. */
  readonly mode?: DecodeMode
  /** Diffusion: probability above which a token is accepted, 0 to 1; the model's own, else 0.9. */
  readonly threshold?: number
  /** Diffusion: positions decoded together; the model's own unless given. */
  readonly blockSize?: number
  /** Diffusion: positions of a block that are worked on at a time; 8 unless given. */
  readonly subBlockSize?: number
  /**
   * Diffusion: run only the sub-block in most passes, beside the block's earlier keys and values. Faster; those are
   * slightly stale, so tokens may differ. Off unless given.
   */
  readonly dualCache?: boolean
  /** Stop after this many new tokens, exactly; 512 unless given, or fewer in a short context. */
  readonly maxTokens?: number
  /** 0, the default, always takes the likeliest token. */
  readonly temperature?: number
  /** Sample among this many likeliest tokens; 0 is no limit. */
  readonly topK?: number
  /** Sample among the likeliest tokens that together have this probability, 0 to 1. */
  readonly topP?: number
  /** Sample among tokens at least this fraction as likely as the likeliest, 0 to 1. */
  readonly minP?: number
  /** Divides the odds of tokens that occurred; 1 is no penalty. */
  readonly repetitionPenalty?: number
  /** The same seed, model and options give the same text; random unless given. Matters above temperature 0 only. */
  readonly seed?: number
  /** Text that ends the generation; it is not part of the result. */
  readonly stop?: string | readonly string[]
  /** Ends the generation within 33 ms and a pass, with `finishReason: 'abort'` and the text so far. */
  readonly signal?: AbortSignal
}

/** What to continue: plain text, a conversation (through the chat template), or token ids exactly as given. */
export type Prompt =
  | { readonly prompt: string; readonly messages?: never; readonly tokens?: never }
  | { readonly messages: readonly ChatMessage[]; readonly prompt?: never; readonly tokens?: never }
  | { readonly tokens: TokenIds; readonly prompt?: never; readonly messages?: never }

/** Argument of `generate`. */
export type GenerateOptions = Prompt & DecodeOptions

/** The prompt is being read. */
export interface PrefillEvent {
  readonly type: 'prefill'
  /** Prompt tokens read so far. */
  readonly done: number
  /** Prompt tokens in all. */
  readonly total: number
}

/** More text, to be appended. */
export interface TextEvent {
  readonly type: 'text'
  readonly text: string
}

/** One position of a block. */
export interface BlockToken {
  /** Token id; the mask token while `masked`. */
  readonly id: number
  /** Printable label of the token. */
  readonly text: string
  /** Not decided yet. */
  readonly masked: boolean
  /** Probability with which it was accepted, 0 to 1. */
  readonly confidence: number
  /** The pass within the block that accepted it. */
  readonly pass: number
}

/** A block of a diffusion model after a pass: all its positions, decided or not. */
export interface BlockEvent {
  readonly type: 'block'
  /** Number of the block within the output, from 0. */
  readonly index: number
  /** Position of the block's first token. */
  readonly start: number
  readonly tokens: readonly BlockToken[]
}

/** The last event of every run. */
export interface DoneEvent {
  readonly type: 'done'
  readonly result: GenerateResult
}

/** What a run reports while it goes on. The first token is reported at once; after it, what happened in 33 ms comes together. */
export type GenerateEvent = PrefillEvent | TextEvent | BlockEvent | DoneEvent

/** Why a run ended: a stop token or string, `maxTokens` or the context's end, or the caller. */
export type FinishReason = 'stop' | 'length' | 'abort'

/** What a run cost. */
export interface GenerateStats {
  readonly promptTokens: number
  readonly newTokens: number
  /** Milliseconds spent reading the prompt. */
  readonly prefillMs: number
  /** Milliseconds spent on new tokens. */
  readonly decodeMs: number
  /** New tokens per second of `decodeMs`. */
  readonly tokensPerSecond: number
  /** Forward passes of the decoding, commit passes left out. */
  readonly passes: number
  /** Blocks begun (0 for `ar`). */
  readonly blocks: number
  /** Passes that stored a finished block (0 for `ar`). */
  readonly commits: number
  /** The mode that ran; never `auto`. */
  readonly mode: Exclude<DecodeMode, 'auto'>
  readonly kernel: string
  readonly threads: number
  readonly artefact: string
}

/** What a run made. */
export interface GenerateResult {
  readonly text: string
  /** New token ids, up to and with the stop token that ended them. */
  readonly tokens: readonly number[]
  readonly finishReason: FinishReason
  readonly stats: GenerateStats
}

/**
 * A generation that is under way. It runs whether or not anyone looks: iterating is optional, every iterator sees all
 * events from the first, and leaving a loop early does not stop the run (its `signal` does).
 */
export interface Run extends AsyncIterable<GenerateEvent> {
  /** The whole text, once done. Rejects with a {@link WebternError} if the run failed; an aborted run did not fail. */
  text(): Promise<string>
  /** Everything, once done. Rejects as `text` does. */
  result(): Promise<GenerateResult>
}

/** Options of `tokenize`. */
export interface TokenizeOptions {
  /** Add the tokens the model wants around every text, such as BOS; `true` unless given. */
  readonly addSpecial?: boolean
  /** Read special tokens written out in the text as such; `true` unless given. */
  readonly parseSpecial?: boolean
}

/** Options of `detokenize`. */
export interface DetokenizeOptions {
  /** Leave special tokens out of the text; `false` unless given. */
  readonly skipSpecial?: boolean
}

/** Options of `applyChatTemplate`. */
export interface ChatTemplateOptions {
  /** End with the opening of the assistant's turn; `true` unless given. */
  readonly addGenerationPrompt?: boolean
}

/** A loaded model. It lives in its own worker; no call blocks the page. */
export interface Model extends AsyncDisposable {
  readonly info: ModelInfo
  /**
   * Begins a generation. One runs at a time: a second waits for the first to end.
   *
   * @throws {WebternError} `bad-option`, at once, when an option is wrong.
   */
  generate(options: GenerateOptions): Run
  /** Token ids of a text. */
  tokenize(text: string, options?: TokenizeOptions): Promise<number[]>
  /** Text of token ids. */
  detokenize(ids: TokenIds, options?: DetokenizeOptions): Promise<string>
  /** The prompt that a conversation becomes: by the file's own template, or ChatML when there is none. */
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions): Promise<string>
  /** Ends the worker and gives its memory back. Everything pending, and every later call, rejects with `aborted`. */
  unload(): Promise<void>
}

/**
 * Loads a model into a worker of its own.
 *
 * Rejects with a {@link WebternError}; after any failure the worker is gone and its memory is free.
 */
export type LoadModel = (source: ModelSource, options?: LoadOptions) => Promise<Model>

/** Every failure of this package. The message says what is wrong, where, and what to do. */
export interface WebternError extends Error {
  readonly name: 'WebternError'
  readonly code: ErrorCode
}
