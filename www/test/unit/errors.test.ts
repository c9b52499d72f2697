import { describe, expect, it } from 'vitest'
import { codeOf, packError, toWebternError, unpackError, WebternError } from '../../src/errors.js'
import { describeCrash } from '../../src/instance.js'
import codes from '../../../tests/cases/error-codes.json' with { type: 'json' }
import type { ErrorCode } from '../../src/types.js'
import { edgeError } from './fake.js'

const CODES: Readonly<Record<ErrorCode, true>> = {
  network: true,
  http: true,
  io: true,
  truncated: true,
  'not-gguf': true,
  'unsupported-architecture': true,
  'unsupported-type': true,
  malformed: true,
  limits: true,
  'out-of-memory': true,
  'no-mask-token': true,
  'context-full': true,
  'bad-option': true,
  aborted: true,
  crashed: true,
  integrity: true,
  'unsupported-platform': true,
  'foreign-session': true,
}

it('has the codes of the Rust crate', () => {
  expect(Object.keys(CODES).sort()).toEqual([...codes].sort())
})

describe('WebternError', () => {
  it('survives the way through a message', () => {
    const error = unpackError(structuredClone(packError(new WebternError('limits', 'tensor a: too big'))))
    expect(error).toBeInstanceOf(WebternError)
    expect(error).toBeInstanceOf(Error)
    expect(`${error.code} ${String(error)}`).toBe('limits WebternError: tensor a: too big')
  })

  it('keeps codes and the cause of what it wraps', () => {
    const cause = edgeError('malformed', 'byte 8: bad')
    expect(toWebternError(cause, 'crashed')).toMatchObject({ code: 'malformed', message: 'byte 8: bad', cause })
    expect(toWebternError(edgeError('from-the-future', 'x'), 'crashed').code).toBe('from-the-future')
    expect(toWebternError(edgeError('ERR_OF_NODE', 'x'), 'crashed').code).toBe('crashed')
    expect(toWebternError('just text', 'network')).toMatchObject({ code: 'network', message: 'just text' })
    expect(codeOf(new DOMException('stop', 'AbortError'))).toBeUndefined()
  })
})

describe('describeCrash', () => {
  const trap = new WebAssembly.RuntimeError('unreachable')
  it.each([
    ['a trap after a panic', trap, 'index out of bounds', 'crashed'],
    ['a trap without a panic', trap, undefined, 'out-of-memory'],
    ['a panic of the allocator', trap, 'memory allocation of 16 bytes failed', 'out-of-memory'],
    ['another trap', new WebAssembly.RuntimeError('memory access out of bounds'), undefined, 'crashed'],
    ['a refused buffer', new RangeError('Array buffer allocation failed'), undefined, 'out-of-memory'],
    ['a full stack', new RangeError('Maximum call stack size exceeded'), undefined, 'crashed'],
  ])('reads %s', (_, error, panic, code) => {
    expect(describeCrash(error, { lastPanic: () => panic }).code).toBe(code)
  })

  it('holds when even the question fails', () => {
    const lastPanic = (): never => {
      throw trap
    }
    expect(describeCrash(new TypeError('x'), { lastPanic })).toMatchObject({ code: 'crashed' })
  })

  it('says what helps, by what was worked on', () => {
    const wasm = { lastPanic: () => undefined }
    expect(describeCrash(trap, wasm).message).toContain('contextLength')
    expect(describeCrash(trap, wasm, 'checkpoint').message).toContain('command line')
  })
})
