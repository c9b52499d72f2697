import { describe, expect, it } from 'vitest'
import { Channel } from '../../src/channel.js'
import type { WorkerPort } from '../../src/channel.js'
import { packError, WebternError } from '../../src/errors.js'
import { PROTOCOL_VERSION } from '../../src/protocol.js'
import type { Abort, FromWorker, Request, RequestName } from '../../src/protocol.js'
import { rejection, started } from './fake.js'

/** A worker that sends scripted messages. */
class ScriptedPort implements WorkerPort {
  readonly sent: { readonly type: string; readonly id: number }[] = []
  terminated = 0
  onmessage: WorkerPort['onmessage'] = null
  onerror: WorkerPort['onerror'] = null
  onmessageerror: WorkerPort['onmessageerror'] = null

  postMessage<N extends RequestName>(message: Request<N> | Abort): void {
    this.sent.push(message)
  }

  terminate(): void {
    this.terminated++
  }

  say(data: FromWorker): void {
    this.onmessage?.(new MessageEvent('message', { data }))
  }

  fail(message: string): void {
    // Node has no ErrorEvent; the channel reads its message only.
    this.onerror?.(Object.assign(new Event('error'), { message, filename: '', lineno: 0, colno: 0, error: undefined }))
  }
}

const detokenize = { ids: Uint32Array.of(1), skipSpecial: false }

describe('Channel', () => {
  it('pairs answers with requests by id, in any order', async () => {
    const port = new ScriptedPort()
    const channel = new Channel(started(port, 'w.js'))
    const first = channel.request('detokenize', detokenize)
    const second = channel.request('detokenize', detokenize)
    port.say({ type: 'result', id: 2, name: 'detokenize', result: 'two' })
    port.say({ type: 'result', id: 1, name: 'detokenize', result: 'one' })
    expect(await Promise.all([first, second])).toEqual(['one', 'two'])
  })

  it('rebuilds errors with code, message and both stacks', async () => {
    const port = new ScriptedPort()
    const answer = new Channel(started(port, 'w.js')).request('detokenize', detokenize)
    port.say({ type: 'error', id: 1, error: packError(new WebternError('limits', 'too many')) })
    const error = await rejection(answer)
    expect(error).toBeInstanceOf(WebternError)
    expect(error).toMatchObject({ code: 'limits', message: 'too many', name: 'WebternError' })
    expect(error instanceof Error && error.stack).toContain('in the worker: ')
  })

  it('rejects all that is pending, and all later, when the worker crashes', async () => {
    const port = new ScriptedPort()
    const channel = new Channel(started(port, 'w.js'))
    port.say({ type: 'ready', version: PROTOCOL_VERSION })
    const pending = [
      channel.request('detokenize', detokenize),
      channel.request('tokenize', { text: '', addSpecial: true, parseSpecial: true }),
    ]
    port.fail('Uncaught boom')
    const errors = await Promise.all(pending.map(rejection))
    expect(errors).toMatchObject([{ code: 'crashed' }, { code: 'crashed' }])
    expect(await rejection(channel.request('detokenize', detokenize))).toBe(errors[0])
    expect(port.terminated).toBe(1)
    expect(port.sent).toHaveLength(2)
  })

  it('names the script of a worker that does not start', async () => {
    const port = new ScriptedPort()
    const channel = new Channel(started(port, 'https://example.org/worker.js', 'it is elsewhere'))
    port.fail('')
    const error = await rejection(channel.ready)
    expect(error).toMatchObject({ code: 'network' })
    expect(String(error)).toContain('https://example.org/worker.js could not be started: it is elsewhere')
  })

  it('refuses a worker of another release', async () => {
    const port = new ScriptedPort()
    const channel = new Channel(started(port, 'w.js'))
    port.say({ type: 'ready', version: PROTOCOL_VERSION + 1 })
    expect(await rejection(channel.ready)).toMatchObject({ code: 'crashed' })
    expect(port.terminated).toBe(1)
  })

  it('sends abort once, and not after the answer', async () => {
    const port = new ScriptedPort()
    const channel = new Channel(started(port, 'w.js'))
    const controller = new AbortController()
    const answered = channel.request('detokenize', detokenize, { signal: controller.signal })
    port.say({ type: 'result', id: 1, name: 'detokenize', result: '' })
    await answered
    channel.request('detokenize', detokenize, { signal: controller.signal }).catch(() => undefined)
    controller.abort()
    expect(port.sent.filter(({ type }) => type === 'abort')).toEqual([{ type: 'abort', id: 2 }])
  })

  it('refuses a result of another request', async () => {
    const port = new ScriptedPort()
    const answer = new Channel(started(port, 'w.js')).request('detokenize', detokenize)
    port.say({ type: 'result', id: 1, name: 'tokenize', result: [1] })
    expect(await rejection(answer)).toMatchObject({ code: 'crashed' })
  })

  it('cleans up once, at its end or after it', () => {
    const log: string[] = []
    const channel = new Channel(started(new ScriptedPort(), 'w.js'))
    channel.onClose(() => log.push('first'))
    channel.close(new WebternError('aborted', 'bye'))
    channel.close(new WebternError('aborted', 'again'))
    channel.onClose(() => log.push('late'))
    expect(log).toEqual(['first', 'late'])
  })

  it('rejects what cannot be sent, and goes on', async () => {
    const port = new ScriptedPort()
    const channel = new Channel(started(port, 'w.js'))
    const post = port.postMessage.bind(port)
    port.postMessage = () => {
      throw new DOMException('#<Object> could not be cloned', 'DataCloneError')
    }
    const error = await rejection(channel.request('detokenize', detokenize))
    expect(error).toMatchObject({ code: 'bad-option' })
    expect(String(error)).toContain('could not be cloned')
    port.postMessage = post
    const answer = channel.request('detokenize', detokenize)
    port.say({ type: 'result', id: 2, name: 'detokenize', result: 'two' })
    expect(await answer).toBe('two')
  })

  it('ignores answers to nothing', () => {
    const port = new ScriptedPort()
    const channel = new Channel(started(port, 'w.js'))
    port.say({ type: 'result', id: 9, name: 'detokenize', result: '' })
    port.say({ type: 'event', id: 9, name: 'load', event: { phase: 'load', loaded: 0, total: null } })
    channel.close(new WebternError('aborted', 'bye'))
    port.say({ type: 'ready', version: PROTOCOL_VERSION })
    expect(port.onmessage).toBeNull()
  })
})
