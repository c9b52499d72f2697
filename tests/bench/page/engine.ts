/**
 * What the benchmark asks of an engine. One file for each implements it, by the engine's public interface only, so that everything is
 * timed from outside and in one way: `bench.ts`.
 */

/** The settings that are the same for all engines. */
export interface Settings {
  readonly threads: number
  /** Positions to keep room for. */
  readonly contextLength: number
}

/** A token that could be the next. */
export interface Candidate {
  readonly token: number
  /** Natural logarithm of its probability. */
  readonly logprob: number
}

/** A token that was written. */
export interface Step {
  readonly token: number
  /** What could have been written, the likeliest first. Empty where the engine does not tell. */
  readonly candidates: readonly Candidate[]
}

/** What was written. */
export interface Written {
  readonly text: string
  readonly newTokens: number
  /** Tokens of the prompt that were computed, rather than taken over from an earlier prompt. Asked when the clock has stopped. */
  promptTokens(): number | Promise<number>
}

/** A text that was decoded block by block, and how long that took without the prompt. */
export interface BlockRun {
  readonly ms: number
  readonly passes: number
  readonly commits: number
}

/** The same prompt continued in two ways, a token in each pass. */
export interface BlockRuns {
  /** Passes over whole blocks. */
  readonly full: BlockRun
  /** With the dual cache. */
  readonly dual: BlockRun
}

/** An engine with a model. Everything is greedy: temperature 0. */
export interface LoadedEngine {
  /** Threads that really run. */
  readonly threads: number
  /** What runs, as the engine calls it. */
  readonly build: string
  /** Continues `prompt` by `tokens` tokens: one pass over the prompt, and one for each token but the first. */
  write(prompt: string, tokens: number): Promise<Written>
  /** The same token by token, for comparison and not for timing. */
  trace(prompt: string, tokens: number): Promise<readonly Step[]>
  /** Decodes block by block; `null` where the engine or the model does not. */
  blocks(prompt: string, tokens: number): Promise<BlockRuns | null>
  /** Size of the WebAssembly memory in bytes; `null` where the engine does not tell. */
  memoryBytes(): number | null
}

/** Fetches the model, without any cache, and makes it ready to write. */
export type LoadEngine = (url: string, settings: Settings) => Promise<LoadedEngine>

/** The same by the engine's own call for an address, where that does more. */
export type DownloadEngine = (url: string, settings: Settings) => Promise<void>
