/** Sessions with a scripted engine: how calls travel. What they hold is the Rust crate's. */

import { describe, expect, it, vi } from 'vitest'
import { Fake, rejection } from './fake.js'

// Node has no FileReaderSync. The fake's sessions are the sizes of their blobs.
vi.stubGlobal(
  'FileReaderSync',
  class {
    readAsArrayBuffer = (blob: Blob): ArrayBuffer => new ArrayBuffer(blob.size)
  },
)

const bytes = new TextEncoder().encode('GGUF and the rest')

describe('a session', () => {
  it('generates, appends, and counts its context', async () => {
    const fake = new Fake({ words: ['a', 'b'] })
    const model = await fake.loadModel(bytes)
    const session = model.session()
    expect(session.contextUsage).toBe(0)
    const run = session.generate({ messages: [{ role: 'user', content: 'hi' }], mode: 'ar' })
    let text = ''
    for await (const event of run) if (event.type === 'text') text += event.text
    expect([text, await run.text(), session.contextUsage]).toEqual(['ab', 'ab', 2])
    await session.append({ prompt: 'more' })
    expect(session.contextUsage).toBe(4)
    await session.generate().result()
    expect(fake.requests).toMatchObject([
      { messages: [{ role: 'user', content: 'hi' }], mode: 'ar' },
      { prompt: 'more' },
      { tokens: [] },
    ])
  })

  it('is copied, saved, restored and destroyed', async () => {
    const model = await new Fake({ words: ['a', 'b', 'c'] }).loadModel(bytes)
    await using session = model.session()
    await session.append({ tokens: [1] })
    const copy = await session.clone()
    await copy.append({ tokens: [1] })
    expect([session.contextUsage, copy.contextUsage]).toEqual([3, 6])
    const blob = await session.save()
    expect(blob.size).toBe(3)
    await copy.restore(blob)
    expect(copy.contextUsage).toBe(3)
    await copy.destroy()
    expect(await rejection(copy.append({ tokens: [1] }))).toMatchObject({ code: 'bad-option' })
    expect(await rejection(copy.generate({ prompt: '' }).text())).toMatchObject({ code: 'bad-option' })
  })

  it('ends early, and an answer keeps what there is of it', async () => {
    const fake = new Fake({ words: ['a', 'b', 'c'] })
    const session = (await fake.loadModel(bytes)).session()
    const signal = AbortSignal.abort()
    expect(await rejection(session.append({ prompt: 'a', signal }))).toMatchObject({ code: 'aborted' })
    expect(await session.generate({ prompt: 'a', signal }).result()).toMatchObject({ finishReason: 'abort' })
    expect(fake.log).toEqual(expect.arrayContaining(['cancel', 'cancel']))
  })

  it('refuses wrong options at once, and names what it cannot store', async () => {
    const model = await new Fake().loadModel(bytes)
    const session = model.session()
    // @ts-expect-error: two prompts
    expect(() => session.generate({ prompt: 'a', tokens: [1] })).toThrow(/exactly one/)
    // @ts-expect-error: no such option
    expect(() => session.generate({ topk: 3 })).toThrow(/no option "topk"/)
    // @ts-expect-error: a prompt is needed
    expect(await rejection(session.append({}))).toMatchObject({ code: 'bad-option' })
    for (const name of ['', 'a/b', '..', 'a\\b']) {
      expect(await rejection(session.save(name)), name).toMatchObject({ code: 'bad-option' })
      expect(await rejection(session.restore(name)), name).toMatchObject({ code: 'bad-option' })
    }
    // Node has no file system of origins.
    expect(await rejection(session.save('chat'))).toMatchObject({ code: 'io' })
    expect(await rejection(session.restore('chat'))).toMatchObject({ code: 'io' })
    await model.unload()
    expect(await rejection(session.save())).toMatchObject({ code: 'aborted' })
  })
})
