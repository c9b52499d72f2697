import { expect, it } from 'vitest'
import {
  convertCheckpoint,
  inspectCheckpoint,
  inspectModel,
  loadModel,
  verifyModel,
  WebternError,
} from '../../src/index.js'
import { rejection } from './fake.js'

const files = [new File(['{}'], 'config.json')]

it.each([
  ['loading', () => loadModel('https://a.org/m.gguf')],
  ['inspecting', () => inspectCheckpoint(files)],
  ['inspecting a model', () => inspectModel(new Blob())],
  ['converting', () => convertCheckpoint(files)],
  ['verifying', () => verifyModel(new Blob(), files)],
])('can be imported on a server, where %s fails with a reason', async (_, call) => {
  expect('Worker' in globalThis).toBe(false)
  const error = await rejection(call())
  expect(error).toBeInstanceOf(WebternError)
  expect(error).toMatchObject({ code: 'unsupported-platform' })
  expect(String(error)).toContain('browser only')
})

it('refuses wrong options before anything else', async () => {
  // @ts-expect-error: there is no such option
  expect(await rejection(loadModel('https://a.org/m.gguf', { nThreads: 2 }))).toMatchObject({ code: 'bad-option' })
  expect(await rejection(loadModel('https://a.org/m.gguf', { wasmBaseUrl: '::' }))).toMatchObject({
    code: 'bad-option',
  })
})
