/**
 * What the WebAssembly edge (the crate's `wasm_api`) offers. Structured values cross it as JSON; {@link Json} remembers
 * of what, so that each text can only be read as what it is.
 */

import type { CheckpointOptions, CheckpointReport, ModelReport, TaskOptions, Verification } from './checkpoint-types.js'
import type {
  Attention,
  ChatMessage,
  DecodeOptions,
  GenerateEvent,
  GenerateResult,
  GenerateStats,
  ModelInfo,
} from './types.js'

/** JSON text of a `T`. */
export type Json<T> = string & { readonly [shape]: T }
declare const shape: unique symbol

/** Writes JSON for the edge. */
export function toJson<T>(value: T): Json<T>
export function toJson(value: unknown): string {
  return JSON.stringify(value)
}

/** Reads JSON from the edge. That the text holds a `T` is taken on trust: both sides come from one build. */
export function fromJson<T>(text: Json<T>): T {
  const parse: (text: string) => T = JSON.parse
  return parse(text)
}

/** Options of a load, for the engine. */
export interface LoaderOptions {
  readonly contextLength?: number
  readonly maskTokenId?: number
  readonly attention?: Attention
}

/** What the engine knows about a model; the page side adds the rest. */
export type EngineInfo = Omit<ModelInfo, 'artefact' | 'threads' | 'memoryBytes'>

/** A checked generation request; `signal` stays outside. */
export interface EngineRequest extends Omit<DecodeOptions, 'signal'> {
  readonly prompt?: string
  readonly messages?: readonly ChatMessage[]
  readonly tokens?: readonly number[]
  readonly seed: number
  readonly stop?: readonly string[]
}

/** The engine's last event: the numbers that only the page side knows are missing. */
export interface EngineDone {
  readonly type: 'done'
  readonly result: Omit<GenerateResult, 'stats'> & {
    readonly stats: Omit<GenerateStats, 'artefact' | 'threads' | 'kernel'>
  }
}

/** An event from the engine. */
export type EngineEvent = Exclude<GenerateEvent, { type: 'done' }> | EngineDone

/** Takes the bytes of one model, in order. Every method throws errors that carry a `code`. */
export interface WasmLoader {
  /** Comes before the bytes of each file. */
  beginFile(name: string, totalBytes?: number): void
  push(chunk: Uint8Array): void
  /** Consumes the loader. */
  finish(): WasmEngine
}

/** A loaded model. Every method throws errors that carry a `code`. */
export interface WasmEngine {
  info(): Json<EngineInfo>
  tokenize(text: string, options: Json<{ readonly addSpecial?: boolean; readonly parseSpecial?: boolean }>): Uint32Array
  detokenize(ids: Uint32Array, skipSpecial: boolean): string
  applyChatTemplate(messages: Json<readonly ChatMessage[]>, addGenerationPrompt: boolean): string
  start(request: Json<EngineRequest>): void
  /** Forward passes, at least one, until the time is over. The last event of the last pass is `done`. */
  step(milliseconds: number): Json<readonly EngineEvent[]>
  /** Ends the run: the remaining events, `done` last. */
  cancel(): Json<readonly EngineEvent[]>
}

/** Named files that the engine reads in parts. */
export interface WasmFiles {
  fileNames(): string[]
  sizeOf(name: string): number | undefined
  /** Fills `buffer`, which lies within the file, from `offset` on. Throws when the file cannot be read any more. */
  read(name: string, offset: number, buffer: Uint8Array): void
}

/** Where the engine writes a file. */
export interface WasmSink {
  /** Takes the next bytes, which are the engine's again afterwards. Throws when there is no room. */
  append(bytes: Uint8Array<ArrayBuffer>): void
}

/** Told how many bytes of how many are done. */
export type WasmProgress = (done: number, total: number) => void

/** What the engine is told about a conversion. */
export type ConverterOptions = Omit<CheckpointOptions, keyof TaskOptions>

/** An instance of an artefact, whatever its role. */
export interface WasmInstance {
  readonly memory: { readonly buffer: ArrayBufferLike }
  /** What the last panic said, if there was one. */
  lastPanic(): string | undefined
}

/** An instance that runs models. */
export interface WasmModule extends WasmInstance {
  readonly Loader: new (options: Json<LoaderOptions>) => WasmLoader
  /** Computes for the instance that shares its memory, for good; throws when that traps. Builds with threads have it. */
  help?(): void
  /** Tells that instance that {@link help} threw. */
  helpFailed?(): void
}

/** An instance that makes them. `name` is that of a model's first file. Every function throws errors that carry a `code`. */
export interface WasmConverter extends WasmInstance {
  inspectCheckpoint(files: WasmFiles, options: Json<ConverterOptions>): Json<CheckpointReport>
  convertCheckpoint(
    files: WasmFiles,
    options: Json<ConverterOptions>,
    sink: WasmSink,
    progress: WasmProgress,
  ): Json<CheckpointReport>
  inspectModel(files: WasmFiles, name: string, progress: WasmProgress): Json<ModelReport>
  verifyModel(files: WasmFiles, name: string, checkpoint: WasmFiles, progress: WasmProgress): Json<Verification>
}

/** A WebAssembly feature that an artefact may need. */
export type WasmFeature = 'simd128' | 'relaxed-simd'

/** One build: a table of `wasm-pack.toml`. */
export interface Artefact<T extends WasmInstance> {
  readonly name: string
  readonly needs: readonly WasmFeature[]
  /** Runs more than one thread, for which the page must be cross-origin isolated. */
  readonly threads: boolean
  /** Path below the folder of wasm files. */
  readonly path: string
  /** Address of the file beside this package's scripts. */
  readonly url: URL
  /** `memory` is that of another instance, or new, for builds with threads. */
  instantiate(module: WebAssembly.Module, memory?: WebAssembly.Memory): Promise<T>
}

/** All builds by their role, each best first. */
export interface Artefacts {
  readonly engine: readonly Artefact<WasmModule>[]
  readonly converter: readonly Artefact<WasmConverter>[]
}
