import { describe, expect, it, vi } from 'vitest'
import type { WorkerPort } from '../../src/channel.js'
import { loadModelWith } from '../../src/engine.js'
import { WebternError } from '../../src/errors.js'
import type { GenerateEvent, LoadProgress, Run } from '../../src/types.js'
import { edgeError, Fake, rejection, started } from './fake.js'

const bytes = new TextEncoder().encode('GGUF and the rest')
/** A generation that does not end by itself, and whose passes take time as real ones do. */
const ENDLESS = {
  words: Array.from({ length: 1_000_000 }, () => 'x'),
  onStep: (): void => {
    const end = performance.now() + 0.5
    while (performance.now() < end);
  },
}

async function collect(run: Run): Promise<GenerateEvent[]> {
  const events: GenerateEvent[] = []
  for await (const event of run) events.push(event)
  return events
}

describe('loadModel', () => {
  it('passes on the bytes, the options and the size, and describes what it loaded', async () => {
    const fake = new Fake()
    const model = await fake.loadModel(new File([bytes], 'm.gguf'), {
      contextLength: 64,
      attention: 'causal',
      maskTokenId: 3,
    })
    expect(fake.received).toEqual([...bytes])
    expect(fake.log).toEqual([`file m.gguf ${String(bytes.length)}`])
    expect(fake.options).toEqual({ contextLength: 64, attention: 'causal', maskTokenId: 3 })
    expect(model.info).toMatchObject({
      name: 'fake',
      build: 'fake',
      threads: 1,
      memoryBytes: 65536,
      notices: ['from the engine'],
    })
  })

  it('names a model without a name after its file', async () => {
    const fake = new Fake({ info: { name: '' } })
    expect((await fake.loadModel(new File([bytes], 'm.gguf'))).info.name).toBe('m.gguf')
  })

  it('leaves a buffer usable', async () => {
    const fake = new Fake()
    await fake.loadModel(bytes.buffer)
    expect(bytes.buffer.byteLength).toBe(bytes.length)
    expect(fake.received).toEqual([...bytes])
  })

  it('says why fewer threads run', async () => {
    const model = await new Fake().loadModel(bytes, { threads: 4 })
    expect(model.info.threads).toBe(1)
    expect(model.info.notices).toHaveLength(2)
    expect(model.info.notices[1]).toContain('running 1 of 4 threads')
  })

  it('reports progress up to the last byte, with the phase of the source', async () => {
    const reports: LoadProgress[] = []
    await new Fake().loadModel(new Blob([new Uint8Array(3 << 20).fill(1)]), {
      onProgress: (report) => reports.push(report),
    })
    expect(reports[0]).toMatchObject({ phase: 'load', total: 3 << 20 })
    expect(reports.at(-1)).toEqual({ phase: 'load', loaded: 3 << 20, total: 3 << 20 })
  })

  it.each(['not-gguf', 'unsupported-type', 'limits', 'unknown-to-this-package'])(
    'keeps the code %s of the engine and ends the worker',
    async (code) => {
      const fake = new Fake({
        onPush: () => {
          throw edgeError(code, 'byte 0: bad')
        },
      })
      const error = await rejection(fake.loadModel(bytes))
      expect(error).toBeInstanceOf(WebternError)
      expect(error).toMatchObject({ name: 'WebternError', code, message: 'byte 0: bad' })
      expect(fake.terminated).toBe(1)
    },
  )

  it('asks nothing of a worker that has not spoken, or that is of another release', async () => {
    const sent: string[] = []
    const port: WorkerPort = {
      postMessage: (message) => void sent.push(message.type),
      terminate: () => void sent.push('terminated'),
      onmessage: null,
      onerror: null,
      onmessageerror: null,
    }
    const pool = (): never => {
      throw new Error('not called')
    }
    const loading = loadModelWith({ engine: () => started(port, 'w.js'), pool })(bytes)
    expect(sent).toEqual([])
    port.onmessage?.(new MessageEvent('message', { data: { type: 'ready', version: 0 } }))
    expect(await rejection(loading)).toMatchObject({ code: 'crashed' })
    expect(sent).toEqual(['terminated'])
  })

  it('is aborted before it starts without a worker', async () => {
    const fake = new Fake()
    expect(await rejection(fake.loadModel(bytes, { signal: AbortSignal.abort('why') }))).toMatchObject({
      code: 'aborted',
      cause: 'why',
    })
    expect(fake.terminated).toBe(0)
  })

  it('is aborted in the middle, and ends the worker', async () => {
    const controller = new AbortController()
    const fake = new Fake({ onPush: () => controller.abort() })
    expect(await rejection(fake.loadModel(bytes, { signal: controller.signal }))).toMatchObject({ code: 'aborted' })
    expect(fake.terminated).toBe(1)
  })

  it('reports a trap without a panic as out of memory, and one with a panic as a crash', async () => {
    const onPush = (): never => {
      throw new WebAssembly.RuntimeError('unreachable')
    }
    expect(await rejection(new Fake({ onPush }).loadModel(bytes))).toMatchObject({ code: 'out-of-memory' })
    const error = await rejection(new Fake({ onPush, panic: 'index 3 out of bounds' }).loadModel(bytes))
    expect(error).toMatchObject({ code: 'crashed' })
    expect(String(error)).toContain('index 3 out of bounds')
  })

  it('names the wasm file that cannot be had', async () => {
    const url = 'http://127.0.0.1:9/webtern_bg.wasm'
    const error = await rejection(new Fake({ url }).loadModel(bytes))
    expect(error).toMatchObject({ code: 'network' })
    expect(String(error)).toContain(url)
  })

  it('takes the model of this package, and the wasm file, from wasmBaseUrl', async () => {
    const fetched = vi.spyOn(globalThis, 'fetch')
    const error = await rejection(new Fake().loadModel('tiny', { wasmBaseUrl: 'http://127.0.0.1:9/assets?v=1' }))
    expect(error).toMatchObject({ code: 'network' })
    expect(fetched.mock.calls.map(([address]) => (address instanceof URL ? address.href : address)).sort()).toEqual([
      'http://127.0.0.1:9/assets/fake/webtern_bg.wasm',
      'http://127.0.0.1:9/assets/tiny.gguf',
    ])
    fetched.mockRestore()
  })

  it('says where it looked for the wasm file', async () => {
    const error = await rejection(new Fake().loadModel(bytes, { wasmBaseUrl: 'http://127.0.0.1:9/assets' }))
    expect(String(error)).toContain('http://127.0.0.1:9/assets/fake/webtern_bg.wasm')
  })

  it('refuses a wasm file that is none', async () => {
    const error = await rejection(new Fake({ url: 'data:application/wasm,html' }).loadModel(bytes))
    expect(error).toMatchObject({ code: 'crashed' })
    expect(String(error)).toContain('could not be compiled')
  })
})

describe('generate', () => {
  it('shows every reader all events, and the result', async () => {
    const fake = new Fake({ words: ['a', 'b', 'c'] })
    const model = await fake.loadModel(bytes)
    const run = model.generate({ prompt: 'p', stop: 'end', maxTokens: 3 })
    const [first, second] = await Promise.all([collect(run), collect(run)])
    expect(first.map((event) => (event.type === 'text' ? event.text : event.type))).toEqual(['a', 'b', 'c', 'done'])
    expect(second).toEqual(first)
    expect(await collect(run)).toEqual(first)
    expect(await run.text()).toBe('abc')
    expect((await run.result()).stats).toMatchObject({ threads: 1, build: 'fake', kernel: 'scalar', mode: 'ar' })
    expect(fake.requests).toMatchObject([{ prompt: 'p', stop: ['end'], maxTokens: 3 }])
    expect(model.info.memoryBytes).toBe(2 * 65536)
  })

  it('asks for one pass first, then for a frame of them', async () => {
    const budgets: number[] = []
    const fake = new Fake({ words: ['a', 'b', 'c'], onStep: (_, milliseconds) => void budgets.push(milliseconds) })
    const model = await fake.loadModel(bytes)
    await model.generate({ prompt: 'p' }).result()
    expect(budgets).toEqual([0, 33, 33])
  })

  it('lets a second run wait for the first', async () => {
    const fake = new Fake({ words: ['a', 'b'] })
    const model = await fake.loadModel(bytes)
    await Promise.all([
      model.generate({ prompt: '1' }).result(),
      model.generate({ tokens: Uint32Array.of(7, 8) }).result(),
    ])
    expect(fake.log.slice(1)).toEqual(['start', 'done', 'start', 'done'])
    expect(fake.requests[1]).toMatchObject({ tokens: [7, 8] })
  })

  it('is aborted between passes, with the text so far', async () => {
    const fake = new Fake(ENDLESS)
    const model = await fake.loadModel(bytes)
    const controller = new AbortController()
    const run = model.generate({ prompt: 'p', signal: controller.signal })
    for await (const event of run) if (event.type === 'text') controller.abort()
    const result = await run.result()
    expect(result.finishReason).toBe('abort')
    expect(result.text).toMatch(/^x+$/)
    expect(fake.log).toContain('cancel')
  })

  it('is aborted before it starts, or while it waits, without a pass', async () => {
    const fake = new Fake(ENDLESS)
    const model = await fake.loadModel(bytes)
    const first = new AbortController()
    const second = new AbortController()
    const running = model.generate({ prompt: '1', signal: first.signal })
    const waiting = model.generate({ prompt: '2', signal: second.signal })
    const late = model.generate({ prompt: '3', signal: AbortSignal.abort() })
    second.abort()
    first.abort()
    expect((await running.result()).finishReason).toBe('abort')
    expect(await waiting.result()).toMatchObject({ finishReason: 'abort', text: '' })
    expect(await late.result()).toMatchObject({ finishReason: 'abort', text: '' })
  })

  it('answers other calls while it runs', async () => {
    const model = await new Fake(ENDLESS).loadModel(bytes)
    const controller = new AbortController()
    const run = model.generate({ prompt: 'p', signal: controller.signal })
    expect(await model.detokenize([1, 2])).toBe('1 2 false')
    controller.abort()
    await run.result()
  })

  it('fails alone when the engine refuses a request', async () => {
    const fake = new Fake({
      words: ['a'],
      onStart: () => {
        throw edgeError('context-full', 'the prompt is too long')
      },
    })
    const model = await fake.loadModel(bytes)
    const run = model.generate({ prompt: 'p' })
    expect(await rejection(run.result())).toMatchObject({ code: 'context-full' })
    expect(await rejection(run.text())).toMatchObject({ code: 'context-full' })
    expect(await rejection(collect(run))).toMatchObject({ code: 'context-full' })
    fake.script = {}
    expect(await model.tokenize('abc')).toEqual([3, '{"addSpecial":true,"parseSpecial":true}'.length])
    expect(fake.terminated).toBe(0)
  })

  it('takes everything down with it when the engine crashes', async () => {
    const fake = new Fake({
      ...ENDLESS,
      panic: 'boom',
      onStep: (step) => {
        if (step === 3) throw new WebAssembly.RuntimeError('unreachable')
      },
    })
    const model = await fake.loadModel(bytes)
    const runs = [model.generate({ prompt: '1' }), model.generate({ prompt: '2' })]
    const errors = await Promise.all(runs.map((run) => rejection(run.result())))
    expect(errors).toMatchObject([{ code: 'crashed' }, { code: 'crashed' }])
    expect(String(errors[0])).toContain('boom')
    expect(await rejection(model.tokenize('later'))).toMatchObject({ code: 'crashed' })
    expect(fake.terminated).toBe(1)
  })

  it('throws at once for a wrong option', async () => {
    const model = await new Fake().loadModel(bytes)
    expect(() => model.generate({ prompt: 'p', topP: 2 })).toThrow('topP must be a number above 0 and at most 1, not 2')
  })
})

describe('the other calls', () => {
  it('pass their options on', async () => {
    const model = await new Fake().loadModel(bytes)
    expect(await model.tokenize('abcd', { addSpecial: false })).toEqual([
      4,
      '{"addSpecial":false,"parseSpecial":true}'.length,
    ])
    expect(await model.detokenize(Uint32Array.of(5), { skipSpecial: true })).toBe('5 true')
    const messages = [{ role: 'user', content: 'hi' }] as const
    expect(await model.applyChatTemplate(messages)).toBe(`${JSON.stringify(messages)} true {}`)
    const chatTemplateArgs = { enable_thinking: false }
    expect(await model.applyChatTemplate(messages, { addGenerationPrompt: false, chatTemplateArgs })).toBe(
      `${JSON.stringify(messages)} false ${JSON.stringify(chatTemplateArgs)}`,
    )
  })

  it('replace halves of surrogate pairs, which no text in WebAssembly can have', async () => {
    const fake = new Fake()
    const model = await fake.loadModel(bytes)
    const messages = [{ role: 'user', content: 'a\ud83d' }] as const
    expect(await model.applyChatTemplate(messages)).toContain('"a\ufffd"')
    await model.generate({ prompt: '\udc00🙂', stop: 'b\ud83d' }).result()
    expect(fake.requests[0]).toMatchObject({ prompt: '\ufffd🙂', stop: ['b\ufffd'] })
  })
})

describe('unload', () => {
  it('ends the worker once, and everything pending and later', async () => {
    const fake = new Fake(ENDLESS)
    const model = await fake.loadModel(bytes)
    const run = model.generate({ prompt: 'p' })
    await model.unload()
    await model[Symbol.asyncDispose]()
    expect(fake.terminated).toBe(1)
    expect(await rejection(run.result())).toMatchObject({ code: 'aborted' })
    expect(await rejection(model.tokenize('x'))).toMatchObject({ code: 'aborted' })
    expect(String(await rejection(model.generate({ prompt: 'p' }).text()))).toContain('was unloaded')
    expect(model.info.name).toBe('fake')
  })

  it('lets another load begin afresh', async () => {
    const fake = new Fake()
    await (await fake.loadModel(bytes)).unload()
    const model = await fake.loadModel(bytes)
    expect(await model.detokenize([1])).toBe('1 false')
  })
})
