/** A scripted engine behind the real host, in workers that are message ports. Only WebAssembly is fake. */

import type { WorkerPort } from '../../src/channel.js'
import type { CheckpointReport, ModelReport, Verification } from '../../src/checkpoint-types.js'
import { loadModelWith } from '../../src/engine.js'
import { serve } from '../../src/host.js'
import type { HostPort } from '../../src/host.js'
import type { FromWorker, ToWorker } from '../../src/protocol.js'
import type { Spawn, Started } from '../../src/spawn.js'
import type { LoadModel } from '../../src/types.js'
import type {
  Build,
  ConverterOptions,
  EngineEvent,
  EngineHttpRequest,
  EngineHttpResponse,
  EngineInfo,
  EngineRequest,
  Json,
  LoaderOptions,
  WasmConverter,
  WasmEngine,
  WasmFeature,
  WasmFiles,
  WasmLoader,
  WasmModule,
  WasmProgress,
  WasmSink,
} from '../../src/wasm.js'

export const EMPTY_MODULE = 'data:application/wasm;base64,AGFzbQEAAAA='

export const INFO: EngineInfo = {
  name: 'fake',
  architecture: 'llama',
  parameters: 260_000,
  quantization: 'F32',
  contextLength: 128,
  vocabSize: 512,
  diffusion: null,
  chatTemplate: false,
  notices: ['from the engine'],
  kernel: 'scalar',
}

const DESCRIPTION = {
  architecture: 'llama',
  subNorms: 'none',
  tokenizer: 'gpt2, 512 tokens',
  chatTemplate: false,
  diffusion: null,
  maskTokenText: null,
  modes: ['ar'],
  findings: [],
} as const

export const REPORT: CheckpointReport = {
  ...DESCRIPTION,
  class: 'LlamaForCausalLM',
  ternaryBecause: null,
  weightScale: null,
  bytes: 8,
  tensors: [],
  dropped: [],
}

export const MODEL_REPORT: ModelReport = {
  ...DESCRIPTION,
  name: 'fake',
  files: 1,
  bytes: 8,
  parameters: 4,
  runs: true,
  types: [],
  tensors: [],
}

export const VERIFICATION: Verification = {
  matrices: [],
  vectors: 3,
  tokenizer: { reference: 'tokenizer.json', texts: 9, differing: 0, lossy: 0 },
  findings: [],
}

/** The part of the edge that sessions use. */
type SessionEdge = Pick<
  WasmEngine,
  | 'newSession'
  | 'cloneSession'
  | 'destroySession'
  | 'sessionTokens'
  | 'sessionStart'
  | 'sessionStep'
  | 'sessionCancel'
  | 'saveSession'
  | 'restoreSession'
>

/** What the fake does. */
export interface Script {
  /** Called in each `push`, with the bytes so far. */
  onPush?: (bytes: number) => void
  /** Called before each `step`, with its number and what it was given. */
  onStep?: (step: number, milliseconds: number) => void
  onStart?: (request: EngineRequest) => void
  /** The words of a generation, one a pass. */
  words?: readonly string[]
  /** Stands in for the converter. */
  onConvert?: (files: WasmFiles, sink: WasmSink, progress: WasmProgress) => void
  panic?: string
  /** What comes of a request in OpenAI's protocol, step by step; then nothing, without an end. */
  responses?: readonly EngineHttpResponse[]
  /** What differs from {@link INFO}. */
  info?: Partial<EngineInfo>
  needs?: readonly WasmFeature[]
  url?: string
}

export class Fake {
  readonly log: string[] = []
  readonly requests: EngineRequest[] = []
  readonly http: EngineHttpRequest[] = []
  readonly memory = { buffer: new ArrayBuffer(65536) }
  readonly received: number[] = []
  options: LoaderOptions = {}
  converterOptions: ConverterOptions = {}
  terminated = 0
  script: Script

  constructor(script: Script = {}) {
    this.script = script
  }

  /** Starts workers that run this fake. */
  readonly spawn: Spawn = {
    engine: () => started(this.worker(), 'fake worker'),
    pool: () => {
      throw new Error('the fake has one thread')
    },
  }

  /** `loadModel` whose workers run this fake. */
  get loadModel(): LoadModel {
    return loadModelWith(this.spawn)
  }

  worker(): WorkerPort {
    let alive = true
    const { port1: page, port2: worker } = new MessageChannel()
    const host: HostPort = { postMessage: (message) => worker.postMessage(message), onmessage: null }
    const port: WorkerPort = {
      postMessage: (message, transfer = []) => page.postMessage(message, transfer),
      terminate: () => {
        this.terminated++
        alive = false
        page.close()
      },
      onmessage: null,
      onerror: null,
      onmessageerror: null,
    }
    page.onmessage = (event: MessageEvent<FromWorker>) => port.onmessage?.(event)
    worker.onmessage = (event: MessageEvent<ToWorker>) => host.onmessage?.(event)
    const build = this.build(() => alive)
    serve(host, { engine: [build], converter: [build] })
    return port
  }

  build(alive: () => boolean): Build<WasmModule & WasmConverter> {
    const { needs = [], url = EMPTY_MODULE } = this.script
    return {
      name: 'fake',
      needs,
      threads: false,
      path: 'fake/webtern_bg.wasm',
      url: () => new URL(url),
      instantiate: async () => this.module(alive),
    }
  }

  module(alive: () => boolean): WasmModule & WasmConverter {
    const loader = (options: LoaderOptions): WasmLoader => this.loader(options, alive)
    return {
      memory: this.memory,
      lastPanic: () => this.script.panic,
      Loader: class implements WasmLoader {
        readonly #loader: WasmLoader
        constructor(options: Json<LoaderOptions>) {
          this.#loader = loader(fromJson(options))
        }
        beginFile(name: string, totalBytes?: number): void {
          this.#loader.beginFile(name, totalBytes)
        }
        push(chunk: Uint8Array): void {
          this.#loader.push(chunk)
        }
        finish(): WasmEngine {
          return this.#loader.finish()
        }
      },
      inspectCheckpoint: (files, options) => {
        this.log.push(`inspect ${files.fileNames().join()}`)
        this.converterOptions = fromJson(options)
        return REPORT
      },
      convertCheckpoint: (files, options, sink, progress) => {
        this.converterOptions = fromJson(options)
        this.script.onConvert?.(files, sink, progress)
        return REPORT
      },
      inspectModel: (files, name, progress) => {
        this.log.push(`inspect ${name} of ${files.fileNames().join()}, ${String(files.sizeOf(name))} bytes`)
        progress(8, 8)
        return MODEL_REPORT
      },
      verifyModel: (files, name, checkpoint, progress) => {
        this.log.push(`verify ${String(files.sizeOf(name))} ${checkpoint.fileNames().join()}`)
        progress(8, 8)
        return VERIFICATION
      },
    }
  }

  loader(options: LoaderOptions, alive: () => boolean): WasmLoader {
    this.options = options
    return {
      beginFile: (name, totalBytes) => void this.log.push(`file ${name} ${String(totalBytes)}`),
      push: (chunk) => {
        for (const byte of chunk) this.received.push(byte)
        this.script.onPush?.(this.received.length)
      },
      finish: () => this.engine(alive),
    }
  }

  /** Sessions that hold the numbers of their words. A saved one is its length. */
  sessions(words: readonly string[]): SessionEdge {
    const usage = new Map<number, number>()
    const get = (id: number): number => {
      const found = usage.get(id)
      if (found === undefined) throw edgeError('bad-option', 'the session was destroyed')
      return found
    }
    let [step, appends] = [0, false]
    return {
      newSession: (id) => void usage.set(id, 0),
      cloneSession: (id, copy) => void usage.set(copy, get(id)),
      destroySession: (id) => void usage.delete(id),
      sessionTokens: get,
      sessionStart: (id, request, append) => {
        get(id)
        this.requests.push(fromJson(request))
        ;[step, appends] = [0, append]
      },
      sessionStep: (id) => {
        usage.set(id, get(id) + 1)
        const text = words[step++] ?? ''
        const more = step < words.length
        if (appends) return { events: [], more }
        return { events: [{ type: 'text', text }, ...(more ? [] : [doneEvent(words, step, 'stop')])], more }
      },
      sessionCancel: () => {
        this.log.push('cancel')
        return appends ? [] : [doneEvent(words, step, 'abort')]
      },
      saveSession: (id, sink) => sink.append(new Uint8Array(get(id))),
      restoreSession: (id, files, name) => {
        get(id)
        usage.set(id, files.sizeOf(name) ?? 0)
      },
    }
  }

  engine(alive: () => boolean): WasmEngine {
    const words = this.script.words ?? []
    let step = 0
    const done = (finishReason: 'stop' | 'abort'): EngineEvent => doneEvent(words, step, finishReason)
    return {
      info: () => ({ ...INFO, ...this.script.info }),
      tokenize: (text, options) => Uint32Array.from([text.length, options.length]),
      detokenize: (ids, skipSpecial) => `${[...ids].join(' ')} ${String(skipSpecial)}`,
      applyChatTemplate: (messages, addGenerationPrompt, templateArguments) =>
        `${messages} ${String(addGenerationPrompt)} ${templateArguments}`,
      start: (request) => {
        this.log.push('start')
        this.requests.push(fromJson(request))
        this.script.onStart?.(fromJson(request))
        step = 0
        this.memory.buffer = new ArrayBuffer(this.memory.buffer.byteLength + 65536)
      },
      step: (milliseconds) => {
        // A terminated worker runs no more; this one is only cut off, and must be stopped.
        if (!alive()) throw edgeError('aborted', 'terminated')
        this.script.onStep?.(step, milliseconds)
        const text = words[step++] ?? ''
        const last = step >= words.length
        if (last) this.log.push('done')
        return [{ type: 'text', text }, ...(last ? [done('stop')] : [])]
      },
      cancel: () => {
        this.log.push('cancel')
        return [done('abort')]
      },
      respond: (request) => {
        this.http.push(fromJson(request))
        step = 0
        return this.script.responses?.[step++] ?? { status: 200, text: '{}', more: false }
      },
      respondStep: () => {
        this.script.onStep?.(step, 0)
        return this.script.responses?.[step++] ?? { status: null, text: '', more: true }
      },
      respondCancel: () => void this.log.push('cancel'),
      ...this.sessions(words),
    }
  }
}

function doneEvent(words: readonly string[], step: number, finishReason: 'stop' | 'abort'): EngineEvent {
  return {
    type: 'done',
    result: {
      text: words.slice(0, step).join(''),
      tokens: words.slice(0, step).map((_, i) => i),
      finishReason,
      stats: {
        promptTokens: 1,
        reusedTokens: 0,
        newTokens: step,
        prefillMs: 1,
        decodeMs: 1,
        tokensPerSecond: 1,
        passes: step,
        blocks: 0,
        commits: 0,
        evaluatedRows: 0,
        mode: 'ar',
      },
    },
  }
}

/** Reads an argument of the edge. */
function fromJson<T>(text: Json<T>): T {
  const parse: (text: string) => T = JSON.parse
  return parse(text)
}

/** An error as the WebAssembly edge throws it. */
export function edgeError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}

/** A worker that `spawn` returns. */
export function started<Port>(port: Port, url: string, reason = 'no reason'): Started<Port> {
  return { port, url, whyNotStarted: () => Promise.resolve(reason) }
}

/** What a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('it did not reject')
    },
    (error: unknown) => error,
  )
}
