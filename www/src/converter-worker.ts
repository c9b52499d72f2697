/**
 * The worker's side of inspecting, converting and verifying. Each is one call into the engine,
 * during which the worker handles no message: to end it early, the page terminates the worker.
 */

import { BlobFiles, BlobSink } from './blobs.js'
import type { NamedBlob } from './blobs.js'
import type {
  CheckpointReport,
  Converted,
  ConvertProgress,
  ModelReport,
  ReadProgress,
  Verification,
} from './checkpoint-types.js'
import { chooseBuild, detectEnvironment } from './features.js'
import { instantiate } from './instance.js'
import type { Protocol } from './protocol.js'
import { openSource } from './source.js'
import type { Input } from './source.js'
import { toJson } from './wasm.js'
import type { Build, WasmConverter, WasmInstance } from './wasm.js'

/** Progress is reported at most this often, and at the end of each phase. */
const PROGRESS_MS = 50

type Params<N extends keyof Protocol> = Protocol[N]['params']
type Report<N extends keyof Protocol> = (event: Protocol[N]['event']) => void

export class Converter {
  readonly #builds: readonly Build<WasmConverter>[]
  #wasm: WasmConverter | undefined

  constructor(builds: readonly Build<WasmConverter>[]) {
    this.#builds = builds
  }

  /** The instance, if one has started. */
  get wasm(): WasmInstance | undefined {
    return this.#wasm
  }

  async inspectCheckpoint({ files, options, wasmBaseUrl }: Params<'inspectCheckpoint'>): Promise<CheckpointReport> {
    const wasm = await this.#start(wasmBaseUrl)
    return wasm.inspectCheckpoint(new BlobFiles(files), toJson(options))
  }

  async convertCheckpoint(
    { files, options, wasmBaseUrl }: Params<'convertCheckpoint'>,
    report: Report<'convertCheckpoint'>,
  ): Promise<Converted> {
    const wasm = await this.#start(wasmBaseUrl)
    const sink = new BlobSink()
    const send = throttled(report)
    const progress = (loaded: number, total: number): void => send({ phase: 'convert', loaded, total })
    const written = wasm.convertCheckpoint(new BlobFiles(files), toJson(options), sink, progress)
    return { blob: sink.blob(), report: written }
  }

  async inspectModel(params: Params<'inspectModel'>, report: Report<'inspectModel'>): Promise<ModelReport> {
    const wasm = await this.#start(params.wasmBaseUrl)
    const send = throttled(report)
    const { files, name } = await gather(params, send)
    const progress = (loaded: number, total: number): void => send({ phase: 'inspect', loaded, total })
    return wasm.inspectModel(files, name, progress)
  }

  async verifyModel(params: Params<'verifyModel'>, report: Report<'verifyModel'>): Promise<Verification> {
    const wasm = await this.#start(params.wasmBaseUrl)
    const send = throttled(report)
    const { files, name } = await gather(params, send)
    const progress = (loaded: number, total: number): void => send({ phase: 'verify', loaded, total })
    return wasm.verifyModel(files, name, new BlobFiles(params.files), progress)
  }

  async #start(wasmBaseUrl: string | undefined): Promise<WasmConverter> {
    const { build } = chooseBuild(this.#builds, detectEnvironment(), 1)
    const { wasm } = await instantiate(build, wasmBaseUrl)
    this.#wasm = wasm
    return wasm
  }
}

/** The files of a model, downloaded unless they are blobs, and the name of the first. */
async function gather(
  { source, wasmBaseUrl }: Params<'inspectModel'>,
  report: (progress: ReadProgress) => void,
): Promise<{ readonly files: BlobFiles; readonly name: string }> {
  const blobs = source.kind === 'blobs' ? source.blobs : await download(openSource(source, wasmBaseUrl), report)
  return { files: new BlobFiles(blobs), name: blobs[0]?.name ?? '' }
}

async function download(input: Input, report: (progress: ReadProgress) => void): Promise<NamedBlob[]> {
  const blobs: NamedBlob[] = []
  let loaded = 0
  for await (const { name, pieces } of input.files()) {
    const sink = new BlobSink()
    for await (const piece of pieces) {
      sink.append(piece)
      loaded += piece.length
      report({ phase: 'download', loaded, total: input.total })
    }
    blobs.push({ name, blob: sink.blob() })
  }
  report({ phase: 'download', loaded, total: loaded })
  return blobs
}

/** Forwards a report every {@link PROGRESS_MS}, and the last of each phase. */
function throttled<T extends ConvertProgress | ReadProgress>(report: (progress: T) => void): (progress: T) => void {
  let reported = -Infinity
  return (progress) => {
    const now = performance.now()
    if (now - reported < PROGRESS_MS && progress.loaded !== progress.total) return
    reported = now
    report(progress)
  }
}
