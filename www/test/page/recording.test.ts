import { describe, expect, it } from 'vitest'
import { alignPieces, Recording, visible } from '../../demo/src/recording'
import type { BlockToken } from '../../src/types'

/** A small generator, so that failures repeat. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const token = (text: string, pass: number): BlockToken => ({
  id: 1,
  text,
  masked: pass === 0,
  confidence: pass === 0 ? 0 : 0.9,
  decision: pass === 0 ? null : 'accepted',
  pass,
})

describe('alignPieces', () => {
  it('gives each token its own text', () => {
    expect(alignPieces('The cat sat', ['The', ' cat', ' sat'])).toEqual(['The', ' cat', ' sat'])
  })

  it('puts text that no label names with the token before it', () => {
    expect(alignPieces('a 🐦 b', ['a', ' ', '�', '�', ' b'])).toEqual(['a', ' 🐦', '', '', ' b'])
  })

  it('leaves out tokens behind a stop', () => {
    expect(alignPieces('done.', ['done', '.', '<|im_end|>', 'more'])).toEqual(['done', '.', '', ''])
  })

  it('joined, matches the text whatever the labels are', () => {
    const random = generator(7)
    const letters = ['a', 'b', ' ', 'é', '\n', '�', '']
    const word = () => Array.from({ length: random(4) }, () => letters[random(letters.length)]).join('')
    for (let round = 0; round < 500; round += 1) {
      const labels = Array.from({ length: 1 + random(32) }, word)
      const text = random(2) === 0 ? labels.join('') : Array.from({ length: random(20) }, word).join('')
      expect(alignPieces(text, labels).join('')).toBe(text)
    }
  })
})

describe('Recording', () => {
  it('counts what the model decided, not what the prompt gave', () => {
    const recording = new Recording(0, 8)
    recording.add({ type: 'prefill', done: 34, total: 34 }, 1)
    recording.add(
      { type: 'block', index: 0, start: 32, tokens: [token('p', 1), token('q', 1), token('a', 2), token('', 0)] },
      5,
    )
    expect(recording.blocks[0]).toMatchObject({ given: 2, passes: 2 })
    expect(recording.decided).toBe(1)
    expect(recording.firstTokenAt).toBe(5)
  })

  it('counts pieces of text where there are no blocks', () => {
    const recording = new Recording(0, 8)
    recording.add({ type: 'text', text: 'a' }, 3)
    recording.add({ type: 'text', text: 'b' }, 4)
    expect([recording.decided, recording.passes, recording.text]).toEqual([2, 2, 'ab'])
  })
})

describe('visible', () => {
  it('shows white space and nothing', () => {
    expect(['\n', '  ', '', ' a'].map(visible)).toEqual(['⏎', '␣␣', '∅', ' a'])
  })
})
