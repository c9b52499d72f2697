/** `model.fetch` and what stands on it, with a scripted engine: how responses travel. What they say is the Rust crate's. */

import { describe, expect, it } from 'vitest'
import type { EngineHttpResponse } from '../../src/wasm.js'
import { Fake, rejection } from './fake.js'

const bytes = new TextEncoder().encode('GGUF and the rest')
const URL_CHAT = 'https://webtern.invalid/v1/chat/completions'
const BODY = { messages: [{ role: 'user', content: 'hi' }] } as const

function chunk(content: string): string {
  return `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`
}

const STREAM: readonly EngineHttpResponse[] = [
  { status: 200, text: chunk(''), more: true },
  { status: null, text: chunk('a') + chunk('b'), more: true },
  { status: null, text: '', more: true },
  { status: null, text: `${chunk('c')}data: [DONE]\n\n`, more: false },
]
const WHOLE: readonly EngineHttpResponse[] = [
  { status: null, text: '', more: true },
  { status: 200, text: '{"choices":[]}', more: false },
]
const REFUSAL: readonly EngineHttpResponse[] = [
  {
    status: 400,
    text: '{"error":{"message":"`n` is 0","type":"invalid_request_error","param":"n","code":null}}',
    more: false,
  },
]

function post(body: object, signal?: AbortSignal): RequestInit {
  return { method: 'POST', body: JSON.stringify(body), ...(signal && { signal }) }
}

describe('model.fetch', () => {
  it('sends method, path and body, and answers in one piece', async () => {
    const fake = new Fake({ responses: WHOLE })
    const { fetch } = await fake.loadModel(bytes)
    const response = await fetch(URL_CHAT, post(BODY))
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json'])
    expect(response.headers.get('x-should-retry')).toBe('false')
    expect(await response.json()).toEqual({ choices: [] })
    expect(fake.http[0]).toMatchObject({
      model: 'fake',
      method: 'POST',
      path: '/v1/chat/completions',
      body: JSON.stringify(BODY),
    })
    await fetch(new Request(new URL('https://webtern.invalid/v1/models')))
    expect(fake.http[1]).toMatchObject({ method: 'GET', path: '/v1/models', body: '' })
  })

  it('streams, beginning before the first token', async () => {
    const fake = new Fake({ responses: STREAM })
    const model = await fake.loadModel(bytes)
    const response = await model.fetch(URL_CHAT, post({ ...BODY, stream: true }))
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    expect(await response.text()).toBe(`${chunk('')}${chunk('a')}${chunk('b')}${chunk('c')}data: [DONE]\n\n`)
  })

  it('passes on refusals', async () => {
    const model = await new Fake({ responses: REFUSAL }).loadModel(bytes)
    const response = await model.fetch(URL_CHAT, post(BODY))
    expect([response.status, await response.json()]).toMatchObject([400, { error: { param: 'n' } }])
  })

  it('answers with 500 after a crash, before and within a stream', async () => {
    const model = await new Fake({ responses: WHOLE }).loadModel(bytes)
    await model.unload()
    const response = await model.fetch(URL_CHAT, post(BODY))
    expect([response.status, await response.json()]).toMatchObject([500, { error: { code: 'aborted' } }])
    const crash = (step: number): void => {
      if (step === 2) throw new Error('unreachable')
    }
    const other = await new Fake({ responses: STREAM, onStep: crash }).loadModel(bytes)
    const text = await (await other.fetch(URL_CHAT, post(BODY))).text()
    expect(text).toContain('data: {"error":{')
  })

  it('ends the computation when the signal fires, the body is cancelled, or both were too late', async () => {
    const endless = { responses: STREAM.slice(0, 3) }
    const fake = new Fake(endless)
    const model = await fake.loadModel(bytes)
    const early = AbortSignal.abort()
    expect(await rejection(model.fetch(URL_CHAT, post(BODY, early)))).toMatchObject({ name: 'AbortError' })
    const controller = new AbortController()
    const response = await model.fetch(URL_CHAT, post(BODY, controller.signal))
    controller.abort()
    expect(await rejection(response.text())).toMatchObject({ name: 'AbortError' })
    const left = await model.fetch(URL_CHAT, post(BODY))
    await left.body?.cancel()
    const whole = new Fake({ responses: WHOLE.slice(0, 1) })
    const waiting = new AbortController()
    const pending = (await whole.loadModel(bytes)).fetch(URL_CHAT, post(BODY, waiting.signal))
    setTimeout(() => waiting.abort(), 20)
    expect(await rejection(pending)).toMatchObject({ name: 'AbortError' })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(fake.log.filter((entry) => entry === 'cancel')).toHaveLength(2)
    expect(whole.log).toContain('cancel')
  })
})

describe('chat.completions and completions', () => {
  it('returns the answer, or chunks', async () => {
    const whole = await new Fake({ responses: WHOLE }).loadModel(bytes)
    expect(await whole.chat.completions.create(BODY)).toEqual({ choices: [] })
    const fake = new Fake({ responses: STREAM })
    const model = await fake.loadModel(bytes)
    let text = ''
    for await (const { choices } of await model.chat.completions.create({ ...BODY, stream: true })) {
      text += choices[0]?.delta.content ?? ''
    }
    expect(text).toBe('abc')
    fake.script = { responses: [{ status: 200, text: '{}', more: false }] }
    await model.completions.create({ prompt: 'lone \ud800 and \0' })
    expect(fake.http[1]).toMatchObject({ path: '/v1/completions', body: '{"prompt":"lone \ufffd and \ufffd"}' })
  })

  it('ends the generation when the loop is left', async () => {
    const fake = new Fake({ responses: STREAM.slice(0, 3) })
    const model = await fake.loadModel(bytes)
    for await (const { choices } of await model.chat.completions.create({ ...BODY, stream: true })) {
      if (choices[0]?.delta.content === 'a') break
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(fake.log).toContain('cancel')
  })

  it('throws what is wrong', async () => {
    const model = await new Fake({ responses: REFUSAL }).loadModel(bytes)
    const error = await rejection(model.chat.completions.create({ ...BODY, n: 0 }))
    expect(error).toMatchObject({ name: 'WebternError', code: 'bad-option', message: '`n` is 0' })
  })
})

describe('choose', () => {
  it('asks for probabilities', async () => {
    const responses = [{ status: 200, text: '{"probabilities":[0.25,0.75]}', more: false }]
    const fake = new Fake({ responses })
    const model = await fake.loadModel(bytes)
    expect(await model.choose('Is it?', ['yes', 'no'], { normalize: 'length' })).toEqual([0.25, 0.75])
    expect(fake.http[0]).toMatchObject({
      path: '/v1/choose',
      body: '{"prompt":"Is it?","options":["yes","no"],"normalize":"length"}',
    })
  })
})
