import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { beHelper, sharedMemory, startHelpers } from '../../src/helpers.js'
import type { Help, HelperMessage, HelperPort } from '../../src/helpers.js'
import type { Artefact, WasmModule } from '../../src/wasm.js'
import { Fake } from './fake.js'

const module = new WebAssembly.Module(Uint8Array.from([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]))
const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })
const HELP: Help = { type: 'help', artefact: 'threads', module, memory }

interface FakePort extends HelperPort {
  readonly posted: Help[]
  terminated: boolean
}

function fakePort(): FakePort {
  const port: FakePort = {
    posted: [],
    terminated: false,
    postMessage: (message) => void port.posted.push(message),
    terminate: () => {
      port.terminated = true
    },
    onmessage: null,
    onerror: null,
  }
  return port
}

function say(port: FakePort | undefined, data: HelperMessage | { readonly type: 'ready' }): void {
  port?.onmessage?.(new MessageEvent('message', { data }))
}

describe('startHelpers', () => {
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.useRealTimers())

  it('counts those that begin, and says why others do not', async () => {
    const ports: FakePort[] = []
    const spawn = (): HelperPort => {
      if (ports.length === 4) throw new Error('no more workers')
      const port = fakePort()
      ports.push(port)
      return port
    }
    const outcome = startHelpers(spawn, 5, HELP)
    expect(ports.map(({ posted }) => posted)).toEqual(ports.map(() => [HELP]))
    ports.forEach((port) => say(port, { type: 'ready' }))
    say(ports[0], { type: 'helping' })
    say(ports[1], { type: 'failed', reason: 'another release' })
    const nowhere = { message: '', filename: '', lineno: 0, colno: 0, error: undefined }
    ports[2]?.onerror?.(Object.assign(new Event('error'), nowhere))
    await vi.advanceTimersByTimeAsync(10_000)
    expect(await outcome).toEqual({
      started: 1,
      reasons: ['another release', 'its script could not be started', 'it took more than 5 s', 'no more workers'],
    })
    expect(ports.map(({ terminated }) => terminated)).toEqual([false, true, true, true])
  })

  it('has nothing to do for one thread', async () => {
    expect(await startHelpers(fakePort, 0, HELP)).toEqual({ started: 0, reasons: [] })
  })
})

describe('beHelper', () => {
  const artefact = (helping: Pick<WasmModule, 'help' | 'helpFailed'>): Artefact<WasmModule> => ({
    name: 'threads',
    needs: [],
    threads: true,
    path: '',
    url: new URL('https://a.org/'),
    instantiate: (...given) => {
      expect(given).toEqual([module, memory])
      return Promise.resolve({ ...new Fake().module(() => true), ...helping })
    },
  })

  it('says that it helps, and tells the engine when that traps', async () => {
    const log: unknown[] = []
    const help = (): void => {
      log.push('help')
      throw new Error('unreachable')
    }
    await beHelper(
      [artefact({ help, helpFailed: () => void log.push('failed') })],
      HELP,
      (message) => void log.push(message),
    )
    expect(log).toEqual([{ type: 'helping' }, 'help', 'failed'])
  })

  it.each([
    [[], 'does not know the artefact threads'],
    [[artefact({})], 'does not know the artefact threads'],
    [[{ ...artefact({}), instantiate: () => Promise.reject(new Error('no memory')) }], 'no memory'],
  ])('says why it cannot', async (artefacts, words) => {
    const log: HelperMessage[] = []
    await beHelper(artefacts, HELP, (message) => void log.push(message))
    expect(log.map(({ type }) => type)).toEqual(['failed'])
    expect(JSON.stringify(log)).toContain(words)
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
