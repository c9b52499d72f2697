/**
 * The public API: declarations and doc comments only. The implementation takes its types from here.
 */

import type { ChatCompletions, Completions } from './openai-types.js'

/**
 * Kinds of failure. The same strings as the Rust crate's `ErrorCode`.
 *
 * - `network`: no connection, or it was cut
 * - `http`: the server answered with a failure status, or with a web page instead of a model
 * - `io`: a local file could not be read
 * - `truncated`: the input ended before the file was complete
 * - `not-gguf`: the input is not a GGUF file at all
 * - `unsupported-architecture`, `unsupported-type`: a good file that webtern does not run
 * - `malformed`: the file contradicts its own format
 * - `limits`: a number in the file exceeds a named limit
 * - `out-of-memory`: memory for the model or its cache could not be allocated
 * - `no-mask-token`: a diffusion mode was requested, but the model has no mask token
 * - `context-full`: prompt and requested output do not fit the context
 * - `bad-option`: an option or argument of the caller is wrong
 * - `aborted`: the caller cancelled, or unloaded the model
 * - `crashed`: the engine stopped unexpectedly; load the model again
 * - `integrity`: the bytes do not have the expected checksum
 * - `unsupported-platform`: models load in a browser's page or worker, and this is neither
 * - `foreign-session`: a saved session of another model, or of another version of webtern
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
  | 'unsupported-platform'
  | 'foreign-session'

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
 * A model to load. `'tiny'` is the small model that comes with this package; every other string is
 * a URL, and so is `'./tiny'`. A URL or {@link HuggingFaceSource} of the first part of a split
 * model (`-00001-of-0000N`) loads all its parts; a split model on disk is the array of its files,
 * in any order.
 *
 * An `ArrayBuffer` or a view of one is copied once (into a `Blob`, outside the JavaScript heap) and
 * stays usable.
 */
export type ModelSource =
  // With plain `string`, editors would not suggest the name.
  | 'tiny'
  | (string & {})
  | URL
  | Blob
  | readonly File[]
  | FileList
  | ArrayBuffer
  | Uint8Array<ArrayBuffer>
  | HuggingFaceSource

/**
 * Keys that a position attends to: its own block and all before (`block`), or its past only
 * (`causal`).
 */
export type Attention = 'block' | 'causal'

/** Progress of a load. */
export interface LoadProgress {
  /**
   * `download` while bytes come over the network; `load` while they come from memory or disk, and
   * at the end.
   */
  readonly phase: 'download' | 'load'
  /** Bytes read so far, over all files. */
  readonly loaded: number
  /** Bytes in all files, or `null` while unknown. */
  readonly total: number | null
}

/** Options of `loadModel`. Unknown keys are a `bad-option` error. */
export interface LoadOptions {
  /** Called at most every 50 ms, and once at the end. */
  readonly onProgress?: (progress: LoadProgress) => void
  /** Aborts the load at any time: it rejects with `aborted` and frees its memory. */
  readonly signal?: AbortSignal
  /**
   * Number of threads. Default: four, or half of the processors if those are more, eight at most.
   * If fewer can run, `info.notices` says why: most often because the page is not cross-origin
   * isolated (the headers `Cross-Origin-Opener-Policy: same-origin` and
   * `Cross-Origin-Embedder-Policy: require-corp`).
   */
  readonly threads?: number
  /** Positions in the context. Default: the model's own. A smaller number saves memory. */
  readonly contextLength?: number
  /** The mask token of a diffusion model, if its file does not name one. */
  readonly maskTokenId?: number
  /** Attention of diffusion decoding. Default: what the file says. */
  readonly attention?: Attention
  /** Whether the logits of a row predict the next position. Default: what the file says. */
  readonly shiftLogits?: boolean
  /** A Jinja chat template, as Hugging Face renders them. Default: the file's. */
  readonly chatTemplate?: string
  /** Variables for the chat template. */
  readonly chatTemplateArgs?: TemplateArguments
  /**
   * Folder with the contents of this package's `wasm/` and, if used, `tiny.gguf`. Default: where
   * the package's scripts are.
   */
  readonly wasmBaseUrl?: string | URL
  /**
   * Address of this package's `worker.js`, with `pool-worker.js` beside it. Default: beside the
   * main script, or where the bundler put it.
   */
  readonly workerUrl?: string | URL
}

/** Diffusion settings of a model. */
export interface DiffusionInfo {
  /** Id of the mask token, which stands for an undecided position. */
  readonly maskToken: number
  /** Positions in a block. */
  readonly blockSize: number
  readonly attention: Attention
  /** Whether the logits of a row predict the next position, or the row's own. */
  readonly shiftLogits: boolean
  /** Whether the weights were trained for `ar` too. */
  readonly autoregressive: boolean
  /** The rule of acceptance that the file recommends, its number of passes, and its threshold. */
  readonly acceptance: Acceptance | null
  readonly steps: number | null
  readonly threshold: number | null
  /** New tokens a pass to expect of a block mode. */
  readonly tokensPerPass: number | null
}

/**
 * Which of the tokens that a pass proposes are accepted, at least one: those above the threshold;
 * those if they are as many as the schedule says, else the scheduled number (`dynamic`); the
 * scheduled number (`static`); the most confident ones while their product is above the threshold;
 * a lower bar beside confident ones (`local`); the least uncertain ones while their entropies sum to
 * no more than the threshold.
 */
export type Acceptance = 'threshold' | 'dynamic' | 'static' | 'product' | 'local' | 'entropy'

/** A loaded model, and what runs it. */
export interface ModelInfo {
  /** The file's `general.name`, or else the file's name. */
  readonly name: string
  /** The GGUF architecture, such as `llama` or `bitnet`. */
  readonly architecture: string
  /** Number of weights. */
  readonly parameters: number
  /** The most common tensor type of the weights, such as `Q2_0`. */
  readonly quantization: string
  /** Positions in the context. */
  readonly contextLength: number
  /** Number of tokens in the vocabulary. */
  readonly vocabSize: number
  /** `null` for a model without a mask token, which only decodes autoregressively. */
  readonly diffusion: DiffusionInfo | null
  /** Whether the file has a chat template. */
  readonly chatTemplate: boolean
  /** Deviations from what was requested, one sentence each. */
  readonly notices: readonly string[]
  /**
   * Name of the kernels in use. They may change later: the stats of a generation have the name at
   * its end.
   */
  readonly kernel: string
  /** Name of the WebAssembly build in use. */
  readonly build: string
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
 * Decoding algorithm. `auto` is `adaptive` if the model has a mask token, else `ar` (one token per
 * pass); `greedy`, `iterative` and `adaptive` decode block by block and need a mask token.
 */
export type DecodeMode = 'auto' | 'ar' | 'greedy' | 'iterative' | 'adaptive' | 'speculative'

/** Token ids, in any array-like form. */
export type TokenIds = readonly number[] | Uint32Array

/** Variables for a chat template by name, such as `{ enable_thinking: false }`; JSON values. */
export type TemplateArguments = Readonly<Record<string, unknown>>

/** Options of `generate` besides the prompt. Unknown keys are a `bad-option` error. */
export interface DecodeOptions {
  /** Default: `auto`. */
  readonly mode?: DecodeMode
  /**
   * Diffusion: accept tokens above this probability, in (0, 1]. Default: the model's own, else 0.9.
   */
  readonly threshold?: number
  /** Diffusion, `iterative` and `adaptive`: the rule of acceptance. Default: the model's own, else `threshold`. */
  readonly acceptance?: Acceptance
  /** Diffusion, `dynamic` and `static`: passes over a sub-block. Default: the model's own, else one a position. */
  readonly steps?: number
  /** Diffusion: positions in a block. Default: the model's own. */
  readonly blockSize?: number
  /**
   * Diffusion: positions in a sub-block, which divide the block. Default: the largest divisor up to
   * 8.
   */
  readonly subBlockSize?: number
  /**
   * Diffusion: most passes run one sub-block only, and reuse the keys and values of the rest of the
   * block. Faster; these are slightly stale, so tokens may differ. Default: false.
   */
  readonly dualCache?: boolean
  /** New tokens at most, at least 1. Default: 512, or what the context has left. */
  readonly maxTokens?: number
  /** 0, the default, takes the most likely token; at most 100. */
  readonly temperature?: number
  /** Sample from this many most likely tokens; 0, the default, is no limit. */
  readonly topK?: number
  /**
   * Sample from the most likely tokens that together have this probability, in (0, 1]. Default: 1.
   */
  readonly topP?: number
  /**
   * Sample from tokens at least this fraction as likely as the most likely one, in [0, 1]. Default:
   * 0.
   */
  readonly minP?: number
  /**
   * Divides the positive logits of tokens that occurred, the prompt's included, and multiplies
   * their negative ones; in [0.01, 100]. Default: 1, no penalty.
   */
  readonly repetitionPenalty?: number
  /** Subtracted from the logits of tokens that were generated, in [-2, 2]. Default: 0. */
  readonly presencePenalty?: number
  /**
   * Subtracted from the logits of generated tokens as often as they were, in [-2, 2]. Default: 0.
   */
  readonly frequencyPenalty?: number
  /** Added to the logits of these token ids, in [-100, 100]. */
  readonly logitBias?: Readonly<Record<number, number>>
  /**
   * Text events carry the log probability of each token, with this many alternatives, 0 to 20.
   * Diffusion: those of the pass that decided. Default: none.
   */
  readonly logprobs?: number
  /**
   * The same seed, model and options give the same text. Default: random. Unused at temperature 0.
   */
  readonly seed?: number
  /**
   * Strings, or spellings of control tokens, that end the generation; they are not part of the
   * result.
   */
  readonly stop?: string | readonly string[]
  /** Tokens that end the generation, beside those of the model. */
  readonly stopTokenIds?: readonly number[]
  /**
   * Ends the generation after 33 ms and a pass at most, with `finishReason: 'abort'` and the text
   * so far.
   */
  readonly signal?: AbortSignal
}

/**
 * What to continue: plain text, a conversation (through the chat template), or token ids exactly as
 * given.
 */
export type Prompt =
  | { readonly prompt: string; readonly messages?: never; readonly tokens?: never; readonly chatTemplateArgs?: never }
  | {
      readonly messages: readonly ChatMessage[]
      /** Arguments of the chat template, such as `enable_thinking`. */
      readonly chatTemplateArgs?: Readonly<Record<string, unknown>>
      readonly prompt?: never
      readonly tokens?: never
    }
  | { readonly tokens: TokenIds; readonly prompt?: never; readonly messages?: never; readonly chatTemplateArgs?: never }

/** How `generate` reads its prompt. */
export interface PromptOptions {
  /**
   * Read a control token that the prompt spells out (`<|im_end|>`) as that token. `'template'`: only
   * where the chat template writes it, so that messages of people nobody vouches for cannot end
   * their own turn. Default: `true`.
   */
  readonly parseSpecial?: boolean | 'template'
  /** Variables for the chat template, over those of `loadModel`. */
  readonly chatTemplateArgs?: TemplateArguments
}

/** Argument of `generate`. */
export type GenerateOptions = Prompt & PromptOptions & DecodeOptions

/** Progress of the prompt. */
export interface PrefillEvent {
  readonly type: 'prefill'
  /** Prompt tokens processed so far. */
  readonly done: number
  /** Prompt tokens in all. */
  readonly total: number
}

/** Text to append. */
export interface TextEvent {
  readonly type: 'text'
  readonly text: string
  /** The tokens whose text ends in it, if `logprobs` asks for them. */
  readonly logprobs?: readonly TokenLogprob[]
}

/** A token that was probable at some position. */
export interface TopLogprob {
  readonly id: number
  /** Natural logarithm of the model's probability, before temperature, penalties and bias. */
  readonly logprob: number
  /** What it adds to the text, in UTF-8. */
  readonly bytes: readonly number[]
}

/** A token of the output and how probable it was. The bytes of all tokens are those of the text. */
export interface TokenLogprob extends TopLogprob {
  /** The most probable tokens at its position, the best first. */
  readonly top: readonly TopLogprob[]
}

/** One position of a block. */
export interface BlockToken {
  /** Token id; the mask token while `masked`. */
  readonly id: number
  /** Printable form of the token. */
  readonly text: string
  /** Whether the position is undecided. */
  readonly masked: boolean
  /** Probability with which it was accepted, 0 to 1. */
  readonly confidence: number
  /** The pass within the block that accepted it. */
  readonly pass: number
  /**
   * Why it was taken: it met the rule of acceptance, or a pass had to take something. In mode
   * `speculative`, whether it was drafted or verified. Null while masked.
   */
  readonly decision: 'accepted' | 'forced' | 'drafted' | 'verified' | null
}

/** All positions of a block after a pass, decided or not. */
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

/**
 * An event of a run. The first token is reported at once; later events come in groups, every 33 ms.
 */
export type GenerateEvent = PrefillEvent | TextEvent | BlockEvent | DoneEvent

/**
 * Why a run ended: at a stop token or string, at `maxTokens` or the context's end, or by the
 * caller's signal.
 */
export type FinishReason = 'stop' | 'length' | 'abort'

/** Statistics of a run. */
export interface GenerateStats {
  readonly promptTokens: number
  /** Prompt tokens whose keys and values were in the cache. */
  readonly reusedTokens: number
  readonly newTokens: number
  /** Milliseconds spent reading the prompt. */
  readonly prefillMs: number
  /** Milliseconds spent on new tokens. */
  readonly decodeMs: number
  /** New tokens per second of `decodeMs`. */
  readonly tokensPerSecond: number
  /** Forward passes of decoding, without commit passes. */
  readonly passes: number
  /** Blocks begun (0 for `ar`). */
  readonly blocks: number
  /** Passes that stored a finished block (0 for `ar`). */
  readonly commits: number
  /** Rows that all passes after prefill ran, commits included. */
  readonly evaluatedRows: number
  /** The mode that ran; never `auto`. */
  readonly mode: Exclude<DecodeMode, 'auto'>
  /** Why `auto` chose it, where the model leaves the choice to measurement. */
  readonly autoReason?: string
  readonly kernel: string
  readonly threads: number
  readonly build: string
}

/** Result of a run. */
export interface GenerateResult {
  readonly text: string
  /** New token ids, including the stop token that ended them. */
  readonly tokens: readonly number[]
  readonly finishReason: FinishReason
  readonly stats: GenerateStats
}

/**
 * A running generation. It does not wait for readers: iterating is optional, every iterator sees
 * all events from the first, and leaving a loop early does not stop the run (its `signal` does).
 */
export interface Run extends AsyncIterable<GenerateEvent> {
  /**
   * The whole text, at the end. Rejects with a {@link WebternError} if the run fails; an aborted
   * run does not.
   */
  text(): Promise<string>
  /** Text, tokens and statistics, at the end. Rejects as `text` does. */
  result(): Promise<GenerateResult>
}

/** Options of `tokenize`. */
export interface TokenizeOptions {
  /** Add the model's tokens around a text, such as BOS. Default: `true`. */
  readonly addSpecial?: boolean
  /** Parse special tokens that the text spells out. Default: `true`. */
  readonly parseSpecial?: boolean
}

/** Options of `detokenize`. */
export interface DetokenizeOptions {
  /** Omit special tokens from the text. Default: `false`. */
  readonly skipSpecial?: boolean
}

/** Options of `applyChatTemplate`. */
export interface ChatTemplateOptions {
  /** End with the start of the assistant's turn. Default: `true`. */
  readonly addGenerationPrompt?: boolean
  /** Variables for the chat template, over those of `loadModel`. */
  readonly chatTemplateArgs?: TemplateArguments
}

/** Options of `choose`. */
export interface ChooseOptions {
  /**
   * `length` compares by the geometric mean of the tokens' probabilities, so that long answers are
   * not at a disadvantage. Default: `none`, by their product.
   */
  readonly normalize?: 'length' | 'none'
  readonly signal?: AbortSignal
}

/** What a session is to go on with: a prompt, or nothing more than it holds. */
export type SessionPrompt =
  | Prompt
  | { readonly prompt?: never; readonly messages?: never; readonly tokens?: never; readonly chatTemplateArgs?: never }

/** Argument of a session's `generate`. */
export type SessionGenerateOptions = SessionPrompt & PromptOptions & DecodeOptions

/** Argument of a session's `append`. */
export type AppendOptions = Prompt &
  PromptOptions & {
    /** The mode that will answer: keys and values of `ar` are of no use to modes of blocks. Default: `auto`. */
    readonly mode?: DecodeMode
    /** The block size that will answer. Default: the model's own. */
    readonly blockSize?: number
    /** Rejects with `aborted`; the session stays as it was. */
    readonly signal?: AbortSignal
  }

/**
 * A conversation, or a text, whose keys and values stay in memory: what was read once is not read again. The first
 * prompt decides which of the two it is. Sessions of a model share its memory, not their contents; calls run in order.
 */
export interface Session extends AsyncDisposable {
  /** Tokens of the context so far, of `info.contextLength`. */
  readonly contextUsage: number
  /**
   * Continues the session: new messages after those it holds, or text behind its text. The answer
   * becomes part of it, and so does what there is of an answer that was aborted.
   *
   * @throws {WebternError} `bad-option`, at once, if an option is wrong.
   */
  generate(options?: SessionGenerateOptions): Run
  /** Reads a prompt ahead of a question about it. */
  append(options: AppendOptions): Promise<void>
  /** A copy that goes its own way. */
  clone(): Promise<Session>
  /**
   * Saves the session with its keys and values, for this model and this version of webtern. With a
   * name, to the origin private file system (`webtern/sessions/NAME`), where it replaces the one of that name.
   */
  save(): Promise<Blob>
  save(name: string): Promise<void>
  /**
   * Replaces the session by one that was saved. Rejects with `foreign-session` if another model or version saved it; with
   * `malformed`, `truncated` or `integrity` if it is damaged; the session then stays as it was.
   */
  restore(from: Blob | string): Promise<void>
  /** Frees its memory. Later calls reject with `bad-option`. */
  destroy(): Promise<void>
}

/** A loaded model, in a worker of its own; no call blocks the page. */
export interface Model extends AsyncDisposable {
  readonly info: ModelInfo
  /**
   * Starts a generation. One runs at a time: a second waits for the first to end.
   *
   * @throws {WebternError} `bad-option`, at once, if an option is wrong.
   */
  generate(options: GenerateOptions): Run
  /** Begins a session in which nothing was said. */
  session(): Session
  /** Token ids of a text. */
  tokenize(text: string, options?: TokenizeOptions): Promise<number[]>
  /** Text of token ids. */
  detokenize(ids: TokenIds, options?: DetokenizeOptions): Promise<string>
  /**
   * Answers requests in OpenAI's protocol without a network. Bound, so it can be passed on:
   *
   * ```ts
   * new OpenAI({
   *   baseURL: 'https://webtern.invalid/v1',
   *   apiKey: 'none',
   *   dangerouslyAllowBrowser: true,
   *   fetch: model.fetch,
   * })
   * ```
   *
   * Rejects with an `AbortError` only; other failures are responses with a status.
   */
  readonly fetch: typeof fetch
  /** OpenAI's chat completions, without its package. */
  readonly chat: { readonly completions: ChatCompletions }
  /** OpenAI's older completions, without its package. */
  readonly completions: Completions
  /**
   * Probabilities of given answers, in their order; they sum to 1. One pass for each answer of
   * several tokens, one for all of a single token. `prompt` is a text or a conversation.
   */
  choose(
    prompt: string | readonly ChatMessage[],
    options: readonly string[],
    settings?: ChooseOptions,
  ): Promise<number[]>
  /** Formats a conversation with the file's chat template, or as ChatML if there is none. */
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions): Promise<string>
  /** Ends the worker and frees its memory. Pending and later calls reject with `aborted`. */
  unload(): Promise<void>
}

/**
 * Loads a model into a worker of its own.
 *
 * Rejects with a {@link WebternError}; a failed load leaves no worker and no memory behind.
 */
export type LoadModel = (source: ModelSource, options?: LoadOptions) => Promise<Model>

/** Every failure of this package. The message says what is wrong, where, and what to do. */
export interface WebternError extends Error {
  readonly name: 'WebternError'
  /** One of {@link ErrorCode}; later versions may add others. */
  readonly code: ErrorCode | (string & {})
}
