/**
 * The messages between page and worker.
 *
 * The worker sends `ready` first, with its version. Then every request gets any number of events
 * and exactly one `result` or `error`. After `crash` the worker answers nothing.
 */

import type { NamedBlob } from './blobs.js'
import type {
  CheckpointReport,
  Converted,
  ConvertProgress,
  ModelReport,
  ReadProgress,
  Verification,
} from './checkpoint-types.js'
import type { ErrorMessage } from './errors.js'
import type { SourceParts } from './source.js'
import type { ChatMessage, GenerateEvent, GenerateResult, LoadProgress, ModelInfo, TemplateArguments } from './types.js'
import type { ConverterOptions, EngineRequest, LoaderOptions } from './wasm.js'

/** Changes whenever a message does, so that scripts of two releases refuse each other. */
export const PROTOCOL_VERSION = 7

/** Every request, with what it takes, answers and reports on the way. */
export interface Protocol {
  load: {
    params: {
      readonly source: SourceParts
      readonly options: LoaderOptions
      readonly threads: number | undefined
      readonly wasmBaseUrl: string | undefined
      /** Where the engine asks for pool workers: see `pool-messages.ts`. */
      readonly pool: MessagePort
    }
    result: ModelInfo
    event: LoadProgress
  }
  generate: {
    params: EngineRequest
    result: { readonly result: GenerateResult; readonly memoryBytes: number }
    event: GenerationEvents
  }
  newSession: { params: SessionId; result: undefined; event: never }
  cloneSession: { params: SessionId & { readonly copy: number }; result: undefined; event: never }
  destroySession: { params: SessionId; result: undefined; event: never }
  generateInSession: {
    params: SessionId & { readonly request: EngineRequest }
    result: Protocol['generate']['result'] & SessionState
    event: GenerationEvents
  }
  appendToSession: {
    params: SessionId & { readonly request: EngineRequest }
    result: SessionState
    event: never
  }
  saveSession: {
    params: SessionId & { readonly name: string | undefined }
    /** The session, unless it has gone to a file of that name. */
    result: Blob | undefined
    event: never
  }
  restoreSession: { params: SessionId & { readonly from: Blob | string }; result: SessionState; event: never }
  tokenize: {
    params: { readonly text: string; readonly addSpecial: boolean; readonly parseSpecial: boolean }
    result: number[]
    event: never
  }
  detokenize: {
    params: { readonly ids: Uint32Array; readonly skipSpecial: boolean }
    result: string
    event: never
  }
  applyChatTemplate: {
    params: {
      readonly messages: readonly ChatMessage[]
      readonly addGenerationPrompt: boolean
      readonly templateArguments: TemplateArguments
    }
    result: string
    event: never
  }
  respond: {
    params: HttpRequest
    /** The body, or of a stream its end. */
    result: { readonly status: number; readonly text: string }
    event: ResponseEvent
  }
  inspectCheckpoint: {
    params: CheckpointParams
    result: CheckpointReport
    event: never
  }
  convertCheckpoint: {
    params: CheckpointParams
    result: Converted
    event: ConvertProgress
  }
  inspectModel: {
    params: { readonly source: SourceParts; readonly wasmBaseUrl: string | undefined }
    result: ModelReport
    event: ReadProgress
  }
  verifyModel: {
    params: {
      readonly source: SourceParts
      readonly files: readonly NamedBlob[]
      readonly wasmBaseUrl: string | undefined
    }
    result: Verification
    event: ReadProgress
  }
}

/** A session, by the number that the page gave it. */
interface SessionId {
  readonly id: number
}

/** What the page knows of a session. */
interface SessionState {
  /** Tokens of its context. */
  readonly contextUsage: number
}

/** Events of a generation since the last message, in order. `done` comes with the result. */
export type GenerationEvents = Exclude<GenerateEvent, { type: 'done' }>[]

/** A request in OpenAI's protocol. */
export interface HttpRequest {
  readonly method: string
  /** Of the URL. */
  readonly path: string
  readonly body: string
}

/** A stream begins, or goes on. */
export interface ResponseEvent {
  readonly text: string
}

interface CheckpointParams {
  readonly files: readonly NamedBlob[]
  readonly options: ConverterOptions
  readonly wasmBaseUrl: string | undefined
}

export type RequestName = keyof Protocol

/** A request as sent; without an argument, any request. */
export type Request<N extends RequestName = RequestName> = {
  [K in N]: { readonly type: 'request'; readonly id: number; readonly name: K; readonly params: Protocol[K]['params'] }
}[N]

/** Progress of a request. */
export type EventMessage<N extends RequestName = RequestName> = {
  [K in N]: { readonly type: 'event'; readonly id: number; readonly name: K; readonly event: Protocol[K]['event'] }
}[N]

/** The successful end of a request. */
export type ResultMessage<N extends RequestName = RequestName> = {
  [K in N]: { readonly type: 'result'; readonly id: number; readonly name: K; readonly result: Protocol[K]['result'] }
}[N]

/** Asks a generation to end early; its result still comes. */
export interface Abort {
  readonly type: 'abort'
  readonly id: number
}

/** Messages of the page. */
export type ToWorker = Request | Abort

/** First message of every worker. */
export interface Ready {
  readonly type: 'ready'
  readonly version: number
  /** Held for as long as the worker lives: see `liveness.ts`. */
  readonly lock?: string | undefined
}

/** Messages of the worker; without an argument, about any request. */
export type FromWorker<N extends RequestName = RequestName> =
  | Ready
  | EventMessage<N>
  | ResultMessage<N>
  | { readonly type: 'error'; readonly id: number; readonly error: ErrorMessage }
  | { readonly type: 'crash'; readonly error: ErrorMessage }
