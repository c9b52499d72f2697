/**
 * The worker's side of a model: loads one and runs generations, in turn.
 *
 * Between forward passes, thirty times a second, it reports their events and lets the message queue
 * run, so that an `abort` or a `tokenize` need not wait for the whole text.
 */

import { WebternError } from './errors.js'
import { chooseBuild, detectEnvironment } from './features.js'
import { instantiate } from './instance.js'
import type { Protocol } from './protocol.js'
import { openSource } from './source.js'
import type { Input } from './source.js'
import { sharedMemory, startPool } from './thread-pool.js'
import type { PoolPort } from './thread-pool.js'
import type { LoadProgress, ModelInfo } from './types.js'
import { toJson } from './wasm.js'
import type { Build, EngineEvent, WasmEngine, WasmInstance, WasmLoader, WasmModule } from './wasm.js'

/** Progress is reported at most this often. */
const PROGRESS_MS = 50

/**
 * How often, at most, a generation reports events and handles messages. Thirty times a second looks
 * fluent; more often takes time from the processors that compute.
 */
const EVENT_INTERVAL_MS = 33

type Params<N extends keyof Protocol> = Protocol[N]['params']

/** A generation that has begun. */
interface EngineRun {
  step(budget: number): readonly EngineEvent[]
  cancel(): readonly EngineEvent[]
}

/** A model and the instance that runs it. */
interface Loaded {
  readonly wasm: WasmModule
  readonly engine: WasmEngine
  readonly info: ModelInfo
}

/** An instance without a model. */
interface Started {
  readonly wasm: WasmModule
  readonly build: string
  /** Settles when the pool's workers have started or failed. */
  readonly pool: Promise<{ readonly threads: number; readonly notices: readonly string[] }>
}

export class ModelHost {
  readonly #builds: readonly Build<WasmModule>[]
  readonly #self = new MessageChannel()
  #turn: Promise<unknown> = Promise.resolve()
  #wasm: WasmModule | undefined
  #loaded: Loaded | undefined

  constructor(builds: readonly Build<WasmModule>[]) {
    this.#builds = builds
  }

  /** The instance, if one has started. */
  get wasm(): WasmInstance | undefined {
    return this.#wasm
  }

  async load(
    { source, options, threads: requested, wasmBaseUrl, pool: poolPort }: Params<'load'>,
    report: (progress: LoadProgress) => void,
  ): Promise<ModelInfo> {
    // The download begins while the engine starts.
    const input = openSource(source, wasmBaseUrl)
    const { wasm, build, pool } = await this.#start(requested, wasmBaseUrl, poolPort)
    this.#wasm = wasm
    const loader = new wasm.Loader(toJson(options))
    const name = await feed(loader, input, report)
    const engine = loader.finish()
    const { threads, notices } = await pool
    const known = engine.info()
    const info: ModelInfo = {
      ...known,
      name: known.name || name,
      notices: [...known.notices, ...notices],
      build,
      threads,
      memoryBytes: wasm.memory.buffer.byteLength,
    }
    this.#loaded = { wasm, engine, info }
    return info
  }

  async generate(
    params: Params<'generate'>,
    report: (events: Protocol['generate']['event']) => void,
    signal: AbortSignal,
  ): Promise<Protocol['generate']['result']> {
    return this.inTurn(async () => {
      const { engine } = this.loaded()
      engine.start(toJson(params))
      const run = { step: (budget: number) => engine.step(budget), cancel: () => engine.cancel() }
      return this.finish(run, report, signal)
    })
  }

  /** Answers a request in OpenAI's protocol. */
  async respond(
    params: Params<'respond'>,
    report: (event: Protocol['respond']['event']) => void,
    signal: AbortSignal,
  ): Promise<Protocol['respond']['result']> {
    return this.inTurn(() => this.#respond(params, report, signal))
  }

  /** Runs `work` when all earlier work has ended. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  tokenize({ text, ...options }: Params<'tokenize'>): number[] {
    return [...this.loaded().engine.tokenize(text, toJson(options))]
  }

  detokenize({ ids, skipSpecial }: Params<'detokenize'>): string {
    return this.loaded().engine.detokenize(ids, skipSpecial)
  }

  applyChatTemplate({ messages, addGenerationPrompt, templateArguments }: Params<'applyChatTemplate'>): string {
    return this.loaded().engine.applyChatTemplate(toJson(messages), addGenerationPrompt, toJson(templateArguments))
  }

  /** Starts the best build. Its pool starts while the model is read. */
  async #start(requested: number | undefined, wasmBaseUrl: string | undefined, port: PoolPort): Promise<Started> {
    const environment = detectEnvironment()
    const choice = chooseBuild(this.#builds, environment, requested)
    const memory = choice.build.threads ? sharedMemory() : undefined
    if (memory) {
      const { build, threads } = choice
      const { wasm, module } = await instantiate(build, wasmBaseUrl, memory)
      const work = { type: 'work', build: build.name, module, memory } as const
      const pool = startPool(port, threads - 1, work).then(({ started, reasons }) => ({
        threads: 1 + started,
        notices: reasons.map(
          (reason) => `running ${1 + started} of ${threads} threads: a worker did not start (${reason})`,
        ),
      }))
      return { wasm, build: build.name, pool }
    }
    const single = choice.build.threads ? chooseBuild(this.#builds, environment, 1) : choice
    const { wasm } = await instantiate(single.build, wasmBaseUrl)
    const notices = choice.build.threads
      ? [`running 1 of ${choice.threads} threads: out of address space for shared memory`]
      : choice.notices
    return { wasm, build: single.build.name, pool: Promise.resolve({ threads: 1, notices }) }
  }

  /** Runs a generation that has begun to its end. */
  async finish(
    run: EngineRun,
    report: (events: Protocol['generate']['event']) => void,
    signal: AbortSignal,
  ): Promise<Protocol['generate']['result']> {
    const { engine, info, wasm } = this.loaded()
    // The first step is a single pass, so that the first token is reported at once.
    for (let budget = 0; ; budget = EVENT_INTERVAL_MS) {
      // Before the first pass too: an `abort` may be next in the queue.
      await this.drainMessages()
      const events = signal.aborted ? run.cancel() : run.step(budget)
      const progress = events.filter((event) => event.type !== 'done')
      if (progress.length > 0) report(progress)
      const done = events.find((event) => event.type === 'done')
      if (done) {
        const { result } = done
        const { kernel } = engine.info()
        const stats = { ...result.stats, kernel, threads: info.threads, build: info.build }
        return { result: { ...result, stats }, memoryBytes: wasm.memory.buffer.byteLength }
      }
      if (signal.aborted) throw new WebternError('crashed', 'the engine did not end a cancelled run')
    }
  }

  async #respond(
    params: Params<'respond'>,
    report: (event: Protocol['respond']['event']) => void,
    signal: AbortSignal,
  ): Promise<Protocol['respond']['result']> {
    const { engine, info } = this.loaded()
    const check = (): void => {
      if (signal.aborted) throw new WebternError('aborted', 'the request was aborted')
    }
    await this.drainMessages()
    check()
    const moment = { id: randomInteger(), created: Math.floor(Date.now() / 1000), seed: randomInteger() }
    let response = engine.respond(toJson({ ...params, model: info.name, moment }))
    // A stream has its status before the prompt is read.
    const streamed = response.more && response.status !== null
    if (streamed) report({ text: response.text })
    try {
      for (let budget = 0; response.more; budget = EVENT_INTERVAL_MS) {
        await this.drainMessages()
        check()
        response = engine.respondStep(budget)
        if (response.more && response.text) report({ text: response.text })
      }
    } catch (error) {
      engine.respondCancel()
      throw error
    }
    return { status: response.status ?? 200, text: response.text }
  }

  /**
   * Handles the messages that wait. A message to itself takes no time; a nested `setTimeout` takes
   * 4 ms.
   */
  drainMessages(): Promise<void> {
    const { port1, port2 } = this.#self
    return new Promise((resolve) => {
      port1.onmessage = () => resolve()
      port2.postMessage(null)
    })
  }

  /** @throws {WebternError} `bad-option` before a model is loaded. */
  loaded(): Loaded {
    if (!this.#loaded) throw new WebternError('bad-option', 'no model is loaded')
    return this.#loaded
  }
}

function randomInteger(): number {
  return Math.floor(Math.random() * Number.MAX_SAFE_INTEGER)
}

/**
 * Pushes all files through `loader` and returns the name of the first. The last report is of phase
 * `load`.
 */
async function feed(loader: WasmLoader, input: Input, report: (progress: LoadProgress) => void): Promise<string> {
  let first: string | undefined
  let loaded = 0
  let reported = -Infinity
  for await (const { name, size, pieces } of input.files()) {
    first ??= name
    loader.beginFile(name, size)
    for await (const piece of pieces) {
      loader.push(piece)
      loaded += piece.length
      const now = performance.now()
      if (now - reported < PROGRESS_MS) continue
      reported = now
      report({ phase: input.phase, loaded, total: input.total })
    }
  }
  report({ phase: 'load', loaded, total: loaded })
  return first ?? ''
}
