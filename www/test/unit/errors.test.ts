import { describe, expect, it } from 'vitest'
import { codeOf, packError, toWebternError, unpackError, WebternError } from '../../src/errors.js'
import { describeCrash } from '../../src/instance.js'
import { edgeError } from './fake.js'

describe('WebternError', () => {
  it('survives the way through a message', () => {
    const error = unpackError(structuredClone(packError(new WebternError('limits', 'tensor a: too big'))))
    expect(error).toBeInstanceOf(WebternError)
    expect(error).toBeInstanceOf(Error)
    expect(`${error.code} ${String(error)}`).toBe('limits WebternError: tensor a: too big')
  })

  it('keeps known codes and the cause of what it wraps', () => {
    const cause = edgeError('malformed', 'byte 8: bad')
    expect(toWebternError(cause, 'crashed')).toMatchObject({ code: 'malformed', message: 'byte 8: bad', cause })
    expect(toWebternError(edgeError('toString', 'x'), 'crashed').code).toBe('crashed')
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
