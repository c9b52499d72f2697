/**
 * The worker's end of the conversation: loads WebAssembly and a model into it, or converts one, and answers requests.
 *
 * Between forward passes, thirty times a second, it reports what these brought and lets its message queue run, so that an
 * `abort`, or a `tokenize` beside a generation, does not wait for the whole text. Generations take turns.
 */

import type { ConvertProgress, ReadProgress } from './checkpoint-types.js'
import { codeOf, packError, toWebternError, WebternError } from './errors.js'
import { chooseArtefact, detectEnvironment } from './features.js'
import { beHelper, sharedMemory, startHelpers } from './helpers.js'
import type { HelperPort } from './helpers.js'
import { describeCrash, instantiate } from './instance.js'
import { PROTOCOL_VERSION } from './protocol.js'
import type { FromWorker, Protocol, Request, ToWorker } from './protocol.js'
import { openSource } from './source.js'
import type { Input } from './source.js'
import { convertCheckpoint, inspectCheckpoint, inspectModel, verifyModel } from './tasks.js'
import type { LoadProgress, ModelInfo } from './types.js'
import { fromJson, toJson } from './wasm.js'
import type { Artefacts, WasmConverter, WasmEngine, WasmInstance, WasmLoader, WasmModule } from './wasm.js'

/** Progress is reported at most this often. */
const PROGRESS_MS = 50

/**
 * How often, at most, a generation tells what happened and looks for messages: thirty times a second text flows, and both take time
 * from the processors that compute.
 */
const NEWS_MS = 33

/** What the host needs of its worker's global scope. */
export interface HostPort {
  postMessage(message: FromWorker): void
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null
}

/** Answers requests that come through `port`, with the best of `artefacts`. `spawn` starts another worker of this script. */
export function serve(port: HostPort, artefacts: Artefacts, spawn: () => HelperPort): void {
  const host = new Host(port, artefacts, spawn)
  port.onmessage = (event) => host.receive(event.data)
  port.postMessage({ type: 'ready', version: PROTOCOL_VERSION })
}

/** A model and what runs it. */
interface Loaded {
  readonly wasm: WasmModule
  readonly engine: WasmEngine
  readonly info: ModelInfo
}

/** An engine without a model, and what will be known when its helpers run. */
interface Started {
  readonly wasm: WasmModule
  readonly artefact: string
  readonly helpers: Promise<{ readonly threads: number; readonly notices: readonly string[] }>
}

class Host {
  readonly #port: HostPort
  readonly #artefacts: Artefacts
  readonly #spawn: () => HelperPort
  /** Generations that have not ended, and whether they are to. */
  readonly #generations = new Map<number, { aborted: boolean }>()
  readonly #self = new MessageChannel()
  #turn: Promise<unknown> = Promise.resolve()
  #wasm: WasmInstance | undefined
  #loaded: Loaded | undefined
  #crashed = false

  constructor(port: HostPort, artefacts: Artefacts, spawn: () => HelperPort) {
    this.#port = port
    this.#artefacts = artefacts
    this.#spawn = spawn
  }

  receive(message: ToWorker): void {
    switch (message.type) {
      case 'abort': {
        const generation = this.#generations.get(message.id)
        if (generation) generation.aborted = true
        return
      }
      case 'help':
        void beHelper(this.#artefacts.engine, message, (reply) => this.#send(reply))
        return
      case 'request':
        this.#answer(message).catch((error: unknown) => this.#fail(message, error))
    }
  }

  async #answer(request: Request): Promise<void> {
    const { id } = request
    switch (request.name) {
      case 'load': {
        const result = await this.#load(request.params, (event) =>
          this.#send({ type: 'event', id, name: 'load', event }),
        )
        return this.#send({ type: 'result', id, name: 'load', result })
      }
      case 'generate': {
        const generation = { aborted: false }
        this.#generations.set(id, generation)
        const turn = this.#turn.then(() => this.#generate(id, request.params, generation))
        this.#turn = turn.catch(() => undefined)
        const result = await turn.finally(() => this.#generations.delete(id))
        return this.#send({ type: 'result', id, name: 'generate', result })
      }
      case 'tokenize': {
        const { text, ...options } = request.params
        const ids = this.#model().engine.tokenize(text, toJson(options))
        return this.#send({ type: 'result', id, name: 'tokenize', result: [...ids] })
      }
      case 'detokenize': {
        const { ids, skipSpecial } = request.params
        const result = this.#model().engine.detokenize(ids, skipSpecial)
        return this.#send({ type: 'result', id, name: 'detokenize', result })
      }
      case 'applyChatTemplate': {
        const { messages, addGenerationPrompt } = request.params
        const result = this.#model().engine.applyChatTemplate(toJson(messages), addGenerationPrompt)
        return this.#send({ type: 'result', id, name: 'applyChatTemplate', result })
      }
      case 'inspectCheckpoint': {
        const result = inspectCheckpoint(await this.#converter(request.params), request.params)
        return this.#send({ type: 'result', id, name: 'inspectCheckpoint', result })
      }
      case 'convertCheckpoint': {
        const report = throttled((event: ConvertProgress) =>
          this.#send({ type: 'event', id, name: 'convertCheckpoint', event }),
        )
        const result = convertCheckpoint(await this.#converter(request.params), request.params, report)
        return this.#send({ type: 'result', id, name: 'convertCheckpoint', result })
      }
      case 'inspectModel': {
        const report = throttled((event: ReadProgress) =>
          this.#send({ type: 'event', id, name: 'inspectModel', event }),
        )
        const result = await inspectModel(await this.#converter(request.params), request.params, report)
        return this.#send({ type: 'result', id, name: 'inspectModel', result })
      }
      case 'verifyModel': {
        const report = throttled((event: ReadProgress) => this.#send({ type: 'event', id, name: 'verifyModel', event }))
        const result = await verifyModel(await this.#converter(request.params), request.params, report)
        return this.#send({ type: 'result', id, name: 'verifyModel', result })
      }
    }
  }

  async #load(
    { source, options, threads: wanted, wasmBaseUrl }: Protocol['load']['params'],
    report: (progress: LoadProgress) => void,
  ): Promise<ModelInfo> {
    // The model is on its way while the engine starts.
    const input = openSource(source, wasmBaseUrl)
    const { wasm, artefact, helpers } = await this.#engine(wanted, wasmBaseUrl)
    this.#wasm = wasm
    const loader = new wasm.Loader(toJson(options))
    await feed(loader, input, report)
    const engine = loader.finish()
    const { threads, notices } = await helpers
    const known = fromJson(engine.info())
    const info: ModelInfo = {
      ...known,
      notices: [...known.notices, ...notices],
      artefact,
      threads,
      memoryBytes: wasm.memory.buffer.byteLength,
    }
    this.#loaded = { wasm, engine, info }
    return info
  }

  /** An instance of the best artefact. Its helpers start while the model is read. */
  async #engine(wanted: number | undefined, wasmBaseUrl: string | undefined): Promise<Started> {
    const environment = detectEnvironment()
    const choice = chooseArtefact(this.#artefacts.engine, environment, wanted)
    const memory = choice.artefact.threads ? sharedMemory() : undefined
    if (memory) {
      const { artefact, threads } = choice
      const { wasm, module } = await instantiate(artefact, wasmBaseUrl, memory)
      const help = { type: 'help', artefact: artefact.name, module, memory } as const
      const helpers = startHelpers(this.#spawn, threads - 1, help).then(({ started, reasons }) => ({
        threads: 1 + started,
        notices: reasons.map(
          (reason) => `${String(1 + started)} of ${String(threads)} threads run: a worker did not start (${reason})`,
        ),
      }))
      return { wasm, artefact: artefact.name, helpers }
    }
    const single = choice.artefact.threads ? chooseArtefact(this.#artefacts.engine, environment, 1) : choice
    const { wasm } = await instantiate(single.artefact, wasmBaseUrl)
    const notices = choice.artefact.threads
      ? ['one thread runs: memory to share between threads could not be had']
      : choice.notices
    return { wasm, artefact: single.artefact.name, helpers: Promise.resolve({ threads: 1, notices }) }
  }

  async #converter({ wasmBaseUrl }: { readonly wasmBaseUrl: string | undefined }): Promise<WasmConverter> {
    const { artefact } = chooseArtefact(this.#artefacts.converter, detectEnvironment(), 1)
    const { wasm } = await instantiate(artefact, wasmBaseUrl)
    this.#wasm = wasm
    return wasm
  }

  async #generate(
    id: number,
    params: Protocol['generate']['params'],
    generation: { readonly aborted: boolean },
  ): Promise<Protocol['generate']['result']> {
    const { engine, info, wasm } = this.#model()
    engine.start(toJson(params))
    // One pass at first, for the first token.
    for (let budget = 0; ; budget = NEWS_MS) {
      // Before the first pass too: the request may have been aborted already, and that message is the next in the queue.
      await this.#drainMessages()
      const news = fromJson(generation.aborted ? engine.cancel() : engine.step(budget))
      const events = news.filter((event) => event.type !== 'done')
      if (events.length > 0) this.#send({ type: 'event', id, name: 'generate', event: events })
      const done = news.find((event) => event.type === 'done')
      if (done) {
        const { result } = done
        const { kernel } = fromJson(engine.info())
        const stats = { ...result.stats, kernel, threads: info.threads, artefact: info.artefact }
        return { result: { ...result, stats }, memoryBytes: wasm.memory.buffer.byteLength }
      }
      if (generation.aborted) throw new WebternError('crashed', 'the engine did not end a cancelled run')
    }
  }

  /**
   * Lets waiting messages be handled. A message to oneself does that at once, where `setTimeout` would wait 4 ms when
   * called this often.
   */
  #drainMessages(): Promise<void> {
    const { port1, port2 } = this.#self
    return new Promise((resolve) => {
      port1.onmessage = () => resolve()
      port2.postMessage(null)
    })
  }

  #model(): Loaded {
    if (!this.#loaded) throw new WebternError('bad-option', 'no model is loaded')
    return this.#loaded
  }

  /** An error that carries a code is the request's own; any other means that the engine can no longer be trusted. */
  #fail({ id, name }: Request, error: unknown): void {
    if (codeOf(error) !== undefined && codeOf(error) !== 'crashed') {
      return this.#send({ type: 'error', id, name, error: packError(toWebternError(error, 'crashed')) })
    }
    const work = name === 'load' || this.#loaded ? 'model' : 'checkpoint'
    this.#send({ type: 'crash', error: packError(describeCrash(error, this.#wasm, work)) })
    this.#crashed = true
  }

  #send(message: FromWorker): void {
    if (!this.#crashed) this.#port.postMessage(message)
  }
}

/** Pushes all files through `loader`. Progress ends with a `load` report, however the bytes came. */
async function feed(loader: WasmLoader, input: Input, report: (progress: LoadProgress) => void): Promise<void> {
  let loaded = 0
  let reported = -Infinity
  for await (const { name, size, pieces } of input.files()) {
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
}

/** Passes on a report every {@link PROGRESS_MS}, and the last of each phase. */
function throttled<T extends ConvertProgress | ReadProgress>(report: (progress: T) => void): (progress: T) => void {
  let reported = -Infinity
  return (progress) => {
    const now = performance.now()
    if (now - reported < PROGRESS_MS && progress.loaded !== progress.total) return
    reported = now
    report(progress)
  }
}
