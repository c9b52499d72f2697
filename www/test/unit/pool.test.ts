/** The thread pool: the engine's side, the page's side, and the workers, joined by real message ports. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { PoolConnection, PoolLink, PoolReply, PoolTask, PoolWork } from '../../src/pool-messages.js'
import { PoolStarter } from '../../src/pool-starter.js'
import type { PoolWorkerPort } from '../../src/pool-starter.js'
import { joinPool } from '../../src/pool-thread.js'
import type { PoolScope } from '../../src/pool-thread.js'
import { PROTOCOL_VERSION } from '../../src/protocol.js'
import type { Ready } from '../../src/protocol.js'
import { sharedMemory, startPool } from '../../src/thread-pool.js'
import type { PoolPort } from '../../src/thread-pool.js'
import type { Build, WasmModule } from '../../src/wasm.js'
import { Fake, started } from './fake.js'

const module = new WebAssembly.Module(Uint8Array.from([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]))
const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
const WORK: PoolWork = { type: 'work', build: 'threads', module, memory }

const cleanups: (() => void)[] = []
afterEach(() => {
  cleanups.splice(0).forEach((cleanup) => cleanup())
  vi.useRealTimers()
})

describe('startPool', () => {
  beforeEach(() => vi.useFakeTimers())

  /** A page whose links the test sends itself, and what it was asked for. */
  function page(): PoolPort & { readonly counts: number[]; link(link: PoolLink): void } {
    const port: ReturnType<typeof page> = {
      counts: [],
      postMessage: ({ count }) => void port.counts.push(count),
      onmessage: null,
      link: (data) => port.onmessage?.(new MessageEvent('message', { data })),
    }
    return port
  }

  /** A link to a worker that the test plays. */
  function worker(refuses = false): {
    readonly port: MessagePort
    readonly tasks: PoolTask[]
    reply(data: PoolReply): void
  } {
    const { port1 } = new MessageChannel()
    cleanups.push(() => port1.close())
    const tasks: PoolTask[] = []
    vi.spyOn(port1, 'postMessage').mockImplementation((task: PoolTask) => {
      if (refuses && task.type === 'work') throw new Error('memory cannot be cloned')
      tasks.push(task)
    })
    return { port: port1, tasks, reply: (data) => void port1.onmessage?.(new MessageEvent('message', { data })) }
  }

  it('counts the workers that start, and says why others do not', async () => {
    const from = page()
    const outcome = startPool(from, 5, WORK)
    expect(from.counts).toEqual([5])
    const [good, bad, uncloneable, slow] = [worker(), worker(), worker(true), worker()]
    from.link({ reason: 'worker.js: the server answered 404' })
    for (const started of [good, bad, uncloneable, slow]) {
      from.link({ port: started.port })
      started.reply({ type: 'waiting' })
    }
    expect(good.tasks).toEqual([WORK])
    good.reply({ type: 'started' })
    bad.reply({ type: 'failed', reason: 'another release' })
    await vi.advanceTimersByTimeAsync(10_000)
    expect(await outcome).toEqual({
      started: 1,
      reasons: [
        'worker.js: the server answered 404',
        'memory cannot be cloned',
        'another release',
        'it took more than 5 s',
      ],
    })
    expect(uncloneable.tasks).toEqual([{ type: 'end' }])
    const late = worker()
    from.link({ port: late.port })
    expect(late.tasks).toEqual([{ type: 'end' }])
  })

  it('needs nobody for one thread', async () => {
    expect(await startPool(page(), 0, WORK)).toEqual({ started: 0, reasons: [] })
  })
})

describe('PoolStarter', () => {
  interface FakeWorker extends PoolWorkerPort {
    connection: PoolConnection | undefined
    terminated: boolean
  }

  function fakeWorker(): FakeWorker {
    const worker: FakeWorker = {
      connection: undefined,
      terminated: false,
      postMessage: (message) => void (worker.connection = message),
      terminate: () => void (worker.terminated = true),
      onmessage: null,
      onerror: null,
    }
    return worker
  }

  const ready = (version: number): MessageEvent<Ready> =>
    new MessageEvent('message', { data: { type: 'ready', version } })
  const error = (message: string): ErrorEvent =>
    Object.assign(new Event('error'), { message, filename: '', lineno: 0, colno: 0, error: undefined })

  it('links the engine to workers that run, and says why others do not', async () => {
    const workers: FakeWorker[] = []
    const pool = new PoolStarter(() => {
      if (workers.length === 4) throw new Error('no more workers')
      const worker = fakeWorker()
      workers.push(worker)
      return started(worker, 'pool-worker.js', 'the server answered 404')
    })
    const links: PoolLink[] = []
    pool.enginePort.onmessage = ({ data }: MessageEvent<PoolLink>) => void links.push(data)
    pool.enginePort.postMessage({ count: 5 })
    await vi.waitFor(() => expect(links).toEqual([{ reason: 'no more workers' }]))
    const [good, old, lost, broken] = workers
    good?.onmessage?.(ready(PROTOCOL_VERSION))
    old?.onmessage?.(ready(PROTOCOL_VERSION - 1))
    lost?.onerror?.(error(''))
    broken?.onerror?.(error('SyntaxError'))
    await vi.waitFor(() => expect(links).toHaveLength(5))
    expect(links.flatMap((link) => ('reason' in link ? [link.reason] : [])).sort()).toEqual([
      'SyntaxError',
      'no more workers',
      'pool-worker.js is of another release',
      'pool-worker.js: the server answered 404',
    ])
    expect(good?.connection?.port).toBeInstanceOf(MessagePort)
    pool.terminate()
    expect(workers.map(({ terminated }) => terminated)).toEqual([true, true, true, true])
  })
})

describe('a pool worker', () => {
  const build = (exports: Pick<WasmModule, 'runWorker' | 'workerFailed'>): Build<WasmModule> => ({
    name: 'threads',
    needs: [],
    threads: true,
    path: '',
    url: () => new URL('https://a.org/'),
    instantiate: (...given) => {
      expect(given).toEqual([module, memory])
      return Promise.resolve({ ...new Fake().module(() => true), ...exports })
    },
  })

  /** Runs a pool worker with `builds` on `task`, and gives what it said and did. */
  function run(builds: readonly Build<WasmModule>[], task: PoolTask): unknown[] {
    const log: unknown[] = []
    const scope: PoolScope = {
      postMessage: (message) => void log.push(message),
      close: () => void log.push('closed'),
      onmessage: null,
    }
    const { port1 } = new MessageChannel()
    cleanups.push(() => port1.close())
    vi.spyOn(port1, 'postMessage').mockImplementation((message) => void log.push(message))
    joinPool(scope, builds)
    scope.onmessage?.(new MessageEvent('message', { data: { port: port1 } }))
    port1.onmessage?.(new MessageEvent('message', { data: task }))
    return log
  }

  const READY = { type: 'ready', version: PROTOCOL_VERSION }
  const WAITING = { type: 'waiting' }

  it('says when it computes, and reports to the engine when that traps', async () => {
    const calls: string[] = []
    const runWorker = (): void => {
      calls.push('run')
      throw new Error('unreachable')
    }
    const log = run([build({ runWorker, workerFailed: () => void calls.push('failed') })], WORK)
    await vi.waitFor(() => expect(calls).toEqual(['run', 'failed']))
    expect(log).toEqual([READY, WAITING, { type: 'started' }])
  })

  it.each([
    [[], 'has no build threads'],
    [[build({})], 'has no build threads'],
    [[{ ...build({}), instantiate: () => Promise.reject(new Error('no memory')) }], 'no memory'],
  ])('says why it cannot compute, and ends', async (builds, words) => {
    const log = run(builds, WORK)
    await vi.waitFor(() => expect(log).toHaveLength(4))
    expect(log).toMatchObject([READY, WAITING, { type: 'failed' }, 'closed'])
    expect(JSON.stringify(log)).toContain(words)
  })

  it('asks again for memory that it cannot read, and gives up in the end', () => {
    const log: unknown[] = []
    const scope: PoolScope = { postMessage: () => undefined, close: () => void log.push('closed'), onmessage: null }
    const { port1 } = new MessageChannel()
    cleanups.push(() => port1.close())
    vi.spyOn(port1, 'postMessage').mockImplementation((message: PoolReply) => void log.push(message.type))
    joinPool(scope, [])
    scope.onmessage?.(new MessageEvent('message', { data: { port: port1 } }))
    for (let i = 0; i < 10; i++) port1.onmessageerror?.(new MessageEvent('messageerror'))
    expect(log).toEqual([...Array<string>(10).fill('waiting'), 'failed', 'closed'])
  })

  it('ends when nobody waits for it', () => {
    expect(run([], { type: 'end' })).toEqual([READY, WAITING, 'closed'])
  })
})

describe('sharedMemory', () => {
  it('can be shared, and takes less where there is less', () => {
    expect(sharedMemory()?.buffer).toBeInstanceOf(SharedArrayBuffer)
    const asked: number[] = []
    vi.stubGlobal('WebAssembly', {
      Memory: function ({ maximum }: { readonly maximum: number }) {
        asked.push(maximum)
        if (maximum > 16384) throw new RangeError('could not allocate memory')
      },
    })
    expect(sharedMemory()).toBeDefined()
    expect(asked).toEqual([65536, 32768, 16384])
    vi.unstubAllGlobals()
  })
})
