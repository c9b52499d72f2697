/** Uses of the package that must compile, and uses that must not. Nothing here runs: `tsc` is the test. */

import {
  convertCheckpoint,
  inspectCheckpoint,
  inspectModel,
  loadModel,
  verifyModel,
  WebternError,
} from '../../src/index.js'
import type {
  BlockToken,
  CheckpointReport,
  ErrorCode,
  FinishReason,
  GenerateEvent,
  LoadProgress,
  Model,
  ModelInfo,
  ModelReport,
  Verification,
} from '../../src/index.js'
import type { Channel } from '../../src/channel.js'

/** `true` if the types are the same, and not because one of them is `any`. */
type Equal<A, B> = [A] extends [B] ? ([B] extends [A] ? (0 extends 1 & A ? false : true) : false) : false

/** `sameType(value)<Type>(true)` compiles if `value` is of exactly that type. */
function sameType<A>(_value: A): <B>(same: Equal<A, B>) => void {
  return () => undefined
}

export async function compiles(file: File, signal: AbortSignal): Promise<void> {
  await using model = await loadModel(file, {
    signal,
    onProgress: ({ phase, loaded, total }) => [phase, loaded, total ?? 0],
  })
  const info: ModelInfo = model.info
  const run = model.generate({
    messages: [{ role: 'user', content: info.name }],
    mode: 'adaptive',
    threshold: 0.9,
    signal,
  })
  for await (const event of run) {
    sameType(event)<GenerateEvent>(true)
    if (event.type === 'block') sameType(event.tokens)<readonly BlockToken[]>(true)
    if (event.type === 'done') sameType(event.result.finishReason)<FinishReason>(true)
  }
  sameType(await run.text())<string>(true)
  sameType(await model.tokenize(''))<number[]>(true)
  await loadModel('tiny', { wasmBaseUrl: '/assets/' })
  sameType(await inspectModel('tiny'))<ModelReport>(true)
  await loadModel({ repo: 'o/n', file: 'm.gguf', revision: 'main' })
  await loadModel(new Uint8Array(8))
  await loadModel([file, file])
  const code: ErrorCode = 'limits'
  sameType(new WebternError(code, 'x', { cause: 1 }).message)<string>(true)
}

export async function compilesToo(input: HTMLInputElement, signal: AbortSignal): Promise<void> {
  const files = input.files ?? []
  sameType(await inspectCheckpoint(files))<CheckpointReport>(true)
  const { blob, report } = await convertCheckpoint(files, {
    type: 'q2_0',
    embeddingType: 'q8_0',
    subln: 'keep',
    scales: 'f32',
    onProgress: ({ phase, loaded, total }) => [phase, loaded / total],
    signal,
  })
  sameType(report)<CheckpointReport>(true)
  sameType(await verifyModel(blob, new Set(files)))<Verification>(true)
  sameType(await inspectModel(blob))<ModelReport>(true)
  await loadModel(blob)
}

export function doesNotCompile(model: Model, channel: Channel): void {
  // @ts-expect-error: a source is needed
  void loadModel()
  // @ts-expect-error: a Hugging Face source names a file
  void loadModel({ repo: 'o/n' })
  // @ts-expect-error: no such option
  void loadModel('m.gguf', { nThreads: 4 })
  // @ts-expect-error: a prompt is needed
  model.generate({ maxTokens: 3 })
  // @ts-expect-error: one prompt, not two
  model.generate({ prompt: 'a', tokens: [1] })
  // @ts-expect-error: no such mode
  model.generate({ prompt: 'a', mode: 'fast' })
  // @ts-expect-error: camelCase
  model.generate({ prompt: 'a', max_tokens: 3 })
  // @ts-expect-error: what a model is does not change from outside
  model.info.name = 'other'
  // @ts-expect-error: no such role
  void model.applyChatTemplate([{ role: 'robot', content: '' }])
  // @ts-expect-error: a checkpoint has several files
  void inspectCheckpoint(new File([], 'config.json'))
  // @ts-expect-error: an embedding is not ternary
  void convertCheckpoint([], { embeddingType: 'q2_0' })
  // @ts-expect-error: lower case
  void convertCheckpoint([], { type: 'Q2_0' })
  // @ts-expect-error: an inspection is over too soon to report progress
  void inspectCheckpoint([], { onProgress: () => undefined })
  // @ts-expect-error: a checkpoint is not an address
  void verifyModel('m.gguf', 'https://example.org/checkpoint/')
  // @ts-expect-error: another request's params
  void channel.request('tokenize', { ids: new Uint32Array(), skipSpecial: false })
  // @ts-expect-error: another request's result
  void channel.request('detokenize', { ids: new Uint32Array(), skipSpecial: false }).then((ids: number[]) => ids)
  // @ts-expect-error: another request's event
  void channel.request('generate', { prompt: '' }, { onEvent: (event: LoadProgress) => event })
}
