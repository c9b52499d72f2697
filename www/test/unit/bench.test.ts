/** What the benchmark of tests/bench decides without a browser. */

import { describe, expect, it } from 'vitest'
import { agreement, compare, TOLERANCE } from '../../../tests/bench/agreement.js'
import { heat } from '../../../tests/bench/heat.js'
import type { Step } from '../../../tests/bench/page/engine.js'
import { cutPrompts, cutTo } from '../../../tests/bench/prompts.js'
import { schedule } from '../../../tests/bench/schedule.js'
import { advantage, median, spread } from '../../../tests/bench/statistics.js'

describe('spread', () => {
  it.each([
    [[3], { median: 3, min: 3, max: 3, count: 1 }],
    [[4, 1], { median: 2.5, min: 1, max: 4, count: 2 }],
    [[10, 9, 1], { median: 9, min: 1, max: 10, count: 3 }],
    [[1, 100, 3, 2], { median: 2.5, min: 1, max: 100, count: 4 }],
  ])('of %j', (values, expected) => {
    const before = [...values]
    expect(spread(values)).toEqual(expected)
    expect(median(values)).toBe(expected.median)
    expect(values).toEqual(before)
  })

  it('of nothing is unknown', () => {
    expect(spread([])).toBeUndefined()
    expect(median([])).toBeNaN()
  })
})

describe('advantage', () => {
  it('is above 1 where ours costs less', () => {
    expect(advantage(spread([2]), spread([6, 10]))).toBe(4)
    expect(advantage(spread([6, 10]), spread([2]))).toBe(0.25)
  })

  it('is unknown without both', () => {
    expect(advantage(undefined, spread([1]))).toBeUndefined()
    expect(advantage(spread([1]), undefined)).toBeUndefined()
    expect(advantage(spread([0]), spread([1]))).toBeUndefined()
  })
})

describe('schedule', () => {
  const plan = { engines: ['a', 'b', 'c'], models: ['m', 'n'], threads: [1, 2], rounds: 4 }

  it('has every case once in every round', () => {
    const turns = schedule(plan, () => true).flat()
    expect(turns).toHaveLength(3 * 2 * 2 * 4)
    expect(new Set(turns.map((turn) => JSON.stringify(turn))).size).toBe(turns.length)
  })

  it('runs a model at a time, and begins each round with another engine', () => {
    const heats = schedule(plan, () => true)
    const modelsOf = (turns: (typeof heats)[number]): string => [...new Set(turns.map(({ model }) => model))].join()
    expect(heats.map(modelsOf).join(' ')).toBe('m n m n m n m n')
    const order = (round: number): string | undefined =>
      heats[2 * round]?.map(({ engine, threads }) => `${engine}${threads}`).join(' ')
    expect(order(0)).toBe('a1 b1 c1 a2 b2 c2')
    expect(order(1)).toBe('b1 c1 a1 b2 c2 a2')
    expect(order(3)).toBe(order(0))
  })

  it('leaves out what does not run', () => {
    const turns = schedule(plan, (engine, model) => engine !== 'c' || model === 'n').flat()
    expect(turns.filter(({ engine }) => engine === 'c').map(({ model }) => model)).toEqual(Array(8).fill('n'))
  })
})

describe('a heat', () => {
  interface Sample {
    readonly loadMs: number
    readonly prefillMs: readonly number[]
  }

  async function* steps(
    log: string[],
    name: string,
    samples: readonly Partial<Sample>[],
  ): AsyncGenerator<Partial<Sample>, void, undefined> {
    try {
      for (const sample of samples) {
        log.push(name)
        yield sample
      }
    } finally {
      log.push(`${name} left`)
    }
  }

  it('lets measurements take their steps in turn, and puts together what each found', async () => {
    const log: string[] = []
    const found = await heat([
      { turn: { engine: 'a' }, steps: steps(log, 'a', [{ loadMs: 1 }, { prefillMs: [2] }, { prefillMs: [2, 3] }]) },
      { turn: { engine: 'b' }, steps: steps(log, 'b', [{ loadMs: 4 }]) },
    ])
    expect(log.join(', ')).toBe('a, b, a, b left, a, a left')
    expect(found).toEqual([
      { engine: 'a', sample: { loadMs: 1, prefillMs: [2, 3] } },
      { engine: 'b', sample: { loadMs: 4 } },
    ])
  })

  it('ends all when one throws', async () => {
    const log: string[] = []
    async function* broken(): AsyncGenerator<Partial<Sample>, void, undefined> {
      yield {}
      throw new Error('no such thing')
    }
    const lanes = [
      { turn: {}, steps: steps(log, 'a', [{}, {}, {}]) },
      { turn: {}, steps: broken() },
    ]
    await expect(heat(lanes)).rejects.toThrow('no such thing')
    expect(log.join(', ')).toBe('a, a, a left')
  })
})

describe('agreement', () => {
  const step = (token: number, ...others: (readonly [token: number, gap: number])[]): Step => ({
    token,
    candidates: [{ token, logprob: -1 }, ...others.map(([token, gap]) => ({ token, logprob: -1 - gap }))],
  })
  const ours = (...tokens: number[]): Step[] => tokens.map((token) => ({ token, candidates: [] }))

  it('counts equal tokens', () => {
    const comparison = compare(ours(1, 2, 3), [step(1), step(2), step(3)])
    expect(comparison).toEqual({ equal: 3 })
    expect(agreement([comparison, comparison])).toEqual({ tokens: 6, nearTies: 0, widest: 0 })
  })

  it('follows a prompt to the first near-tie only', () => {
    const comparison = compare(ours(1, 2, 3), [step(1), step(7, [2, 0.0625]), step(9)])
    expect(comparison).toEqual({ equal: 1, difference: { ours: 2, theirs: 7, gap: 0.0625 } })
    expect(agreement([comparison])).toEqual({ tokens: 2, nearTies: 1, widest: 0.0625 })
  })

  it.each([
    ['is too unlikely', [2, TOLERANCE * 1.5] as const, TOLERANCE * 1.5],
    ['is no candidate', [3, 0.01] as const, Infinity],
  ])('is not given when a token %s', (_, candidate, gap) => {
    const good = compare(ours(1), [step(1)])
    const found = agreement([good, compare(ours(2), [step(7, candidate)])])
    expect(found).toMatchObject({ ours: 2, theirs: 7 })
    expect('gap' in found && found.gap).toBeCloseTo(gap)
  })

  it('does not count what webtern did not write', () => {
    expect(compare(ours(1), [step(1), step(2)])).toEqual({ equal: 1 })
  })
})

describe('prompts', () => {
  /** A tokenizer of so many letters a token. */
  const counting =
    (letters: number) =>
    async (text: string): Promise<number> =>
      text.split(' ').reduce((sum, word) => sum + Math.ceil(word.length / letters), 0)

  it('are cut to exactly so many tokens, without words that are too long', async () => {
    expect(await cutTo(3, ['abcd', 'efgh', 'ij', 'k'], counting(2))).toBe('abcd ij')
    await expect(cutTo(2, ['abcde'], counting(2))).rejects.toMatchObject({ code: 'bad-option' })
  })

  it.each([2, 5, 100])('begin differently and have their lengths, at %d letters a token', async (letters) => {
    const count = counting(letters)
    const { warmUp, prefill, short, block, compared } = await cutPrompts(count)
    expect(await Promise.all([...warmUp, prefill, ...short, block].map(count))).toEqual([128, 128, 128, 8, 8, 24])
    const all = [...warmUp, prefill, ...short, block, ...compared]
    expect(new Set(all.map((prompt) => prompt.split(' ')[0])).size).toBe(all.length)
    expect(Math.max(...(await Promise.all(compared.map(count))))).toBe(128)
  })
})
