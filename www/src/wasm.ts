/**
 * The interface of the WebAssembly edge (the crate's `wasm_api`). Structured results are objects;
 * structured arguments are JSON texts, whose type {@link Json} records their shape.
 */

import type { CheckpointOptions, CheckpointReport, ModelReport, TaskOptions, Verification } from './checkpoint-types.js'
import type { HttpRequest } from './protocol.js'
import type {
  Attention,
  ChatMessage,
  DecodeOptions,
  GenerateEvent,
  GenerateResult,
  GenerateStats,
  ModelInfo,
  PromptOptions,
  TemplateArguments,
} from './types.js'

/** JSON text of a `T`. */
export type Json<T> = string & { readonly [shape]: T }
declare const shape: unique symbol

/**
 * Writes JSON for the edge. Half of a surrogate pair, which a string cut inside an emoji ends with,
 * is no character: it becomes U+FFFD, as in every text that WebAssembly gets.
 */
export function toJson<T>(value: T): Json<T>
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'string' ? part.replace(/\p{Surrogate}/gu, '\ufffd') : part,
  )
}

/** Options of a load, for the engine. */
export interface LoaderOptions {
  readonly contextLength?: number
  readonly maskTokenId?: number
  readonly attention?: Attention
  readonly shiftLogits?: boolean
  readonly chatTemplate?: string
  readonly chatTemplateArgs?: TemplateArguments
}

/** What the engine knows about a model; the worker's host adds the rest. */
export type EngineInfo = Omit<ModelInfo, 'build' | 'threads' | 'memoryBytes'>

/** A checked generation request; `signal` stays outside. */
export interface EngineRequest extends Omit<DecodeOptions, 'signal'>, PromptOptions {
  readonly prompt?: string
  readonly messages?: readonly ChatMessage[]
  readonly tokens?: readonly number[]
  readonly seed: number
  readonly stop?: readonly string[]
}

/** The engine's last event, without the statistics that only the worker's host knows. */
export interface EngineDone {
  readonly type: 'done'
  readonly result: Omit<GenerateResult, 'stats'> & {
    readonly stats: Omit<GenerateStats, 'build' | 'threads' | 'kernel'>
  }
}

/** An event from the engine. */
export type EngineEvent = Exclude<GenerateEvent, { type: 'done' }> | EngineDone

/** A request in OpenAI's protocol, and what is not a function of it. */
export interface EngineHttpRequest extends HttpRequest {
  /** The id of the model. */
  readonly model: string
  /** Random numbers for the answer's id and, unless the request has one, the seed; the time in seconds. */
  readonly moment: { readonly id: number; readonly created: number; readonly seed: number }
}

/** What came of a request, or of some passes for it. */
export interface EngineHttpResponse {
  /** Of a response that is complete or begins to stream. */
  readonly status: number | null
  /** More of a stream, or the whole body. */
  readonly text: string
  /** Whether `respondStep` has more. */
  readonly more: boolean
}

/** Takes the bytes of one model, in order. Every method throws errors that carry a `code`. */
export interface WasmLoader {
  /** Announces the next file; `totalBytes` is its size, if known. */
  beginFile(name: string, totalBytes?: number): void
  push(chunk: Uint8Array): void
  /** Consumes the loader. */
  finish(): WasmEngine
}

/** A loaded model. Every method throws errors that carry a `code`. */
export interface WasmEngine {
  info(): EngineInfo
  tokenize(text: string, options: Json<{ readonly addSpecial?: boolean; readonly parseSpecial?: boolean }>): Uint32Array
  detokenize(ids: Uint32Array, skipSpecial: boolean): string
  applyChatTemplate(
    messages: Json<readonly ChatMessage[]>,
    addGenerationPrompt: boolean,
    templateArguments: Json<TemplateArguments>,
  ): string
  start(request: Json<EngineRequest>): void
  /**
   * Runs forward passes, at least one, for about this long. The last event of the last pass is
   * `done`.
   */
  step(milliseconds: number): readonly EngineEvent[]
  /** Ends the run and returns its remaining events, `done` last. */
  cancel(): readonly EngineEvent[]
  /** Begins to answer a request in OpenAI's protocol. */
  respond(request: Json<EngineHttpRequest>): EngineHttpResponse
  /** Runs forward passes for the request, at least one, for about this long. */
  respondStep(milliseconds: number): EngineHttpResponse
  /** Ends the request. */
  respondCancel(): void
  /** Begins a session under a number of the caller's choice. */
  newSession(id: number): void
  /** Begins `copy` as a copy of a session. */
  cloneSession(id: number, copy: number): void
  destroySession(id: number): void
  /** Tokens of a session's context. */
  sessionTokens(id: number): number
  /** Begins a request in a session, to be answered, or only read if `append`. */
  sessionStart(id: number, request: Json<EngineRequest>, append: boolean): void
  /** Runs forward passes for the request, at least one, for about this long. */
  sessionStep(id: number, milliseconds: number): { readonly events: readonly EngineEvent[]; readonly more: boolean }
  /** Ends the request and returns its remaining events. */
  sessionCancel(id: number): readonly EngineEvent[]
  saveSession(id: number, sink: WasmSink): void
  /** Replaces a session by the one in the file `name`. */
  restoreSession(id: number, files: WasmFiles, name: string): void
}

/** Named files that the engine reads in parts. */
export interface WasmFiles {
  fileNames(): string[]
  sizeOf(name: string): number | undefined
  /**
   * Fills `buffer`, which lies within the file, from `offset` on. Throws if the file can no longer
   * be read.
   */
  read(name: string, offset: number, buffer: Uint8Array): void
}

/** Destination of a file that the engine writes. */
export interface WasmSink {
  /** Appends bytes, without keeping a reference to them. Throws if there is no room. */
  append(bytes: Uint8Array): void
}

/** Receives the number of bytes done, and of all. */
export type WasmProgress = (done: number, total: number) => void

/** Options of a conversion, for the engine. */
export type ConverterOptions = Omit<CheckpointOptions, keyof TaskOptions>

/** An instance of a build, whatever its role. */
export interface WasmInstance {
  readonly memory: { readonly buffer: ArrayBufferLike }
  /** Message of the last panic, if there was one. */
  lastPanic(): string | undefined
}

/** An instance that runs models. */
export interface WasmModule extends WasmInstance {
  readonly Loader: new (options: Json<LoaderOptions>) => WasmLoader
  /**
   * Computes for the instance that shares its memory, and never returns; throws if that traps. Only
   * builds with threads export it.
   */
  runWorker?(): void
  /** Reports to that instance that {@link runWorker} threw. */
  workerFailed?(): void
}

/**
 * An instance that makes models. `name` is that of a model's first file. Functions throw errors
 * that carry a `code`.
 */
export interface WasmConverter extends WasmInstance {
  inspectCheckpoint(files: WasmFiles, options: Json<ConverterOptions>): CheckpointReport
  convertCheckpoint(
    files: WasmFiles,
    options: Json<ConverterOptions>,
    sink: WasmSink,
    progress: WasmProgress,
  ): CheckpointReport
  inspectModel(files: WasmFiles, name: string, progress: WasmProgress): ModelReport
  verifyModel(files: WasmFiles, name: string, checkpoint: WasmFiles, progress: WasmProgress): Verification
}

/** A WebAssembly feature that a build may need. */
export type WasmFeature = 'simd128' | 'relaxed-simd'

/** One WebAssembly build: a table of `wasm-pack.toml`. */
export interface Build<T extends WasmInstance> {
  readonly name: string
  readonly needs: readonly WasmFeature[]
  /** Runs more than one thread, for which the page must be cross-origin isolated. */
  readonly threads: boolean
  /** Path below the folder of wasm files. */
  readonly path: string
  /**
   * Address of the file beside this package's scripts; computed only where nobody gives another.
   */
  url(): URL
  /** `memory` is for builds with threads: new, or that of the instance to compute for. */
  instantiate(module: WebAssembly.Module, memory?: WebAssembly.Memory): Promise<T>
}

/** All builds by their role, each best first. */
export interface Builds {
  readonly engine: readonly Build<WasmModule>[]
  readonly converter: readonly Build<WasmConverter>[]
}
