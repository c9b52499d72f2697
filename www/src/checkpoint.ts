/**
 * The page's side of inspecting, converting and verifying. Each call has its own worker, which ends
 * with it.
 */

import type { NamedBlob } from './blobs.js'
import type {
  CheckpointFiles,
  CheckpointOptions,
  ConvertCheckpoint,
  InspectCheckpoint,
  InspectModel,
  TaskOptions,
  VerifyModel,
} from './checkpoint-types.js'
import { baseUrl, connect, wasmBase } from './connect.js'
import { WebternError } from './errors.js'
import { badOption, checkConvert, checkInspectCheckpoint, checkRead } from './options.js'
import type { Protocol, RequestName } from './protocol.js'
import { describeSource } from './source.js'
import type { Spawn } from './spawn.js'

/** `inspectCheckpoint` for workers that `spawn` starts. */
export function inspectCheckpointWith(spawn: Spawn): InspectCheckpoint {
  return async (files, options = {}) => {
    checkInspectCheckpoint(options)
    return run(spawn, 'the inspection', options, 'inspectCheckpoint', params(files, options))
  }
}

/** `convertCheckpoint` for workers that `spawn` starts. */
export function convertCheckpointWith(spawn: Spawn): ConvertCheckpoint {
  return async (files, options = {}) => {
    checkConvert(options)
    const { onProgress, ...rest } = options
    return run(spawn, 'the conversion', rest, 'convertCheckpoint', params(files, rest), onProgress)
  }
}

/** `inspectModel` for workers that `spawn` starts. */
export function inspectModelWith(spawn: Spawn): InspectModel {
  return async (source, options = {}) => {
    checkRead('inspectModel', options)
    const params = { source: describeSource(source, baseUrl()), wasmBaseUrl: wasmBase(options) }
    return run(spawn, 'the inspection', options, 'inspectModel', params, options.onProgress)
  }
}

/** `verifyModel` for workers that `spawn` starts. */
export function verifyModelWith(spawn: Spawn): VerifyModel {
  return async (source, checkpoint, options = {}) => {
    checkRead('verifyModel', options)
    const files = describeCheckpoint(checkpoint)
    const params = { source: describeSource(source, baseUrl()), files, wasmBaseUrl: wasmBase(options) }
    return run(spawn, 'the verification', options, 'verifyModel', params, options.onProgress)
  }
}

function run<N extends RequestName>(
  spawn: Spawn,
  purpose: string,
  options: TaskOptions,
  name: N,
  params: Protocol[N]['params'],
  onEvent?: (event: Protocol[N]['event']) => void,
): Promise<Protocol[N]['result']> {
  return connect(spawn, purpose, options, async (channel) => {
    const result = await channel.request(name, params, { onEvent })
    channel.close(new WebternError('aborted', `${purpose} is over`))
    return result
  })
}

function params(files: CheckpointFiles, options: CheckpointOptions): Protocol['convertCheckpoint']['params'] {
  const { signal: _signal, wasmBaseUrl: _base, workerUrl: _worker, ...converter } = options
  return { files: describeCheckpoint(files), options: converter, wasmBaseUrl: wasmBase(options) }
}

/** The files of a checkpoint by name: those beside the topmost `config.json`. */
export function describeCheckpoint(files: CheckpointFiles): NamedBlob[] {
  const all = isIterable(files) ? [...files] : []
  if (all.length === 0 || !all.every((file) => file instanceof File))
    throw badOption(
      'a checkpoint is an array or another iterable of its Files, such as those of <input type="file" webkitdirectory>',
    )
  const places = all.map((blob) => {
    const path = blob.webkitRelativePath || blob.name
    const end = path.lastIndexOf('/') + 1
    return { folder: path.slice(0, end), name: path.slice(end), blob }
  })
  const depth = (folder: string): number => folder.split('/').length
  const topmost = (candidates: typeof places): string | undefined =>
    candidates.map(({ folder }) => folder).sort((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1))[0]
  const folder = topmost(places.filter(({ name }) => name === 'config.json')) ?? topmost(places)
  const found = places.filter((place) => place.folder === folder)
  const twice = found.find(({ name }, i) => found.findIndex((other) => other.name === name) < i)
  if (twice) throw badOption(`two of the files are named ${twice.name}: pass the files of one checkpoint`)
  return found.map(({ name, blob }) => ({ name, blob }))
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value
}
