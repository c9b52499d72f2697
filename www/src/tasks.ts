/**
 * The worker's part in inspecting, converting and verifying. Each is one call into the engine, during which no message is
 * handled: whoever wants an early end terminates the worker.
 */

import { BlobFiles, BlobSink } from './blobs.js'
import type { NamedBlob } from './blobs.js'
import type { CheckpointReport, Converted, ModelReport, ReadProgress, Verification } from './checkpoint-types.js'
import type { Protocol } from './protocol.js'
import { openSource } from './source.js'
import type { Input } from './source.js'
import { fromJson, toJson } from './wasm.js'
import type { WasmConverter } from './wasm.js'

type Report<N extends keyof Protocol> = (event: Protocol[N]['event']) => void

export function inspectCheckpoint(
  wasm: WasmConverter,
  { files, options }: Protocol['inspectCheckpoint']['params'],
): CheckpointReport {
  return fromJson(wasm.inspectCheckpoint(new BlobFiles(files), toJson(options)))
}

export function convertCheckpoint(
  wasm: WasmConverter,
  { files, options }: Protocol['convertCheckpoint']['params'],
  report: Report<'convertCheckpoint'>,
): Converted {
  const sink = new BlobSink()
  const progress = (loaded: number, total: number): void => report({ phase: 'convert', loaded, total })
  const result = wasm.convertCheckpoint(new BlobFiles(files), toJson(options), sink, progress)
  return { blob: sink.blob(), report: fromJson(result) }
}

export async function inspectModel(
  wasm: WasmConverter,
  params: Protocol['inspectModel']['params'],
  report: Report<'inspectModel'>,
): Promise<ModelReport> {
  const { files, name } = await gather(params, report)
  const progress = (loaded: number, total: number): void => report({ phase: 'inspect', loaded, total })
  return fromJson(wasm.inspectModel(files, name, progress))
}

export async function verifyModel(
  wasm: WasmConverter,
  params: Protocol['verifyModel']['params'],
  report: Report<'verifyModel'>,
): Promise<Verification> {
  const { files, name } = await gather(params, report)
  const progress = (loaded: number, total: number): void => report({ phase: 'verify', loaded, total })
  return fromJson(wasm.verifyModel(files, name, new BlobFiles(params.files), progress))
}

/** The files of a model, downloaded where they are not here, and the name of the first. */
async function gather(
  { source, wasmBaseUrl }: Protocol['inspectModel']['params'],
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
