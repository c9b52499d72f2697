import { expect, it } from 'vitest'
import { loadModel, WebternError } from '../../src/index.js'
import { rejection } from './fake.js'

it('can be imported on a server, where loading fails with a reason', async () => {
  expect('Worker' in globalThis).toBe(false)
  const error = await rejection(loadModel('https://a.org/m.gguf'))
  expect(error).toBeInstanceOf(WebternError)
  expect(error).toMatchObject({ code: 'crashed' })
  expect(String(error)).toContain('browser only')
})

it('refuses wrong options before anything else', async () => {
  // @ts-expect-error: there is no such option
  expect(await rejection(loadModel('https://a.org/m.gguf', { nThreads: 2 }))).toMatchObject({ code: 'bad-option' })
  expect(await rejection(loadModel('https://a.org/m.gguf', { wasmBaseUrl: '::' }))).toMatchObject({
    code: 'bad-option',
  })
})
