/**
 * A trained block-diffusion model: every case in every mode, in the page, against two others. The native command line must
 * agree exactly. The float32 reference decoder rounds in another order, so a near-tie may fall the other way for it.
 */

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { expect } from 'vitest'
import { loaded, openPage } from './support/browser.ts'
import { fixture } from './support/files.ts'
import { generateNatively, nativeBinary, type TokenRun } from './support/native.ts'
import { itNeeds, test } from './support/test.ts'

/** How the reference ran each of its modes. */
const MODES = {
  greedy: { mode: 'greedy', maxTokens: 96 },
  'iterative-0.9': { mode: 'iterative', threshold: 0.9, maxTokens: 96 },
  'adaptive-0.9': { mode: 'adaptive', threshold: 0.9, maxTokens: 96 },
  'iterative-0.7-sub32': { mode: 'iterative', threshold: 0.7, subBlockSize: 32, maxTokens: 96 },
  ar: { mode: 'ar', maxTokens: 48 },
} as const

/** One in this many may differ from the reference. */
const NEAR_TIES = 40

interface Case {
  readonly prompt: string
  readonly tokens: readonly number[]
  readonly out: Readonly<Record<keyof typeof MODES, readonly number[]>>
}

const GGUF = fixture('tiny-dlm/tiny-dlm-q2_0.gguf')
const CASES = fixture('tiny-dlm/cases.jsonl')
const it = itNeeds(GGUF, CASES)
const itNatively = itNeeds(GGUF, CASES, nativeBinary)
let runs: { readonly label: string; readonly request: TokenRun; readonly reference: readonly number[] }[]
/** What the page generated for each run. */
let found: readonly (readonly number[])[]

test.beforeAll(async ({ browser, site }) => {
  const parse: (line: string) => Case = JSON.parse
  const cases = readFileSync(CASES, 'utf8').trimEnd().split('\n').map(parse)
  runs = cases.flatMap(({ prompt, tokens, out }) =>
    Object.entries(MODES).map(([name, options]) => ({
      label: `${prompt} ${name}`,
      request: { tokens, ...options },
      reference: Object.entries(out).find(([key]) => key === name)?.[1] ?? [],
    })),
  )
  const page = await openPage(browser, site.url)
  await loaded(page, '/fixtures/tiny-dlm/tiny-dlm-q2_0.gguf')
  found = await page.evaluate(
    async (requests) => {
      const found: (readonly number[])[] = []
      for (const request of requests) found.push((await model.generate(request).result()).tokens)
      return found
    },
    runs.map(({ request }) => request),
  )
}, 180_000)

/** The runs whose ids differ from `expected`, in words. */
function differences(expected: readonly (readonly number[])[]): string[] {
  return runs.flatMap(({ label }, i) => {
    const [got, want] = [found[i]?.join(' '), expected[i]?.join(' ')]
    return got === want ? [] : [`${label}\n  page:     ${got ?? 'nothing'}\n  expected: ${want ?? 'nothing'}`]
  })
}

it('the page agrees with the reference decoder, but for near-ties', () => {
  const different = differences(runs.map(({ reference }) => reference))
  expect(runs.length).toBe(250)
  expect(different.length, different.join('\n')).toBeLessThanOrEqual(runs.length / NEAR_TIES)
})

itNatively(
  'the page agrees with the native command line exactly',
  async () => {
    const waiting = runs.entries()
    const native: number[][] = []
    const work = async (): Promise<void> => {
      for (const [i, { request }] of waiting) native[i] = await generateNatively(GGUF, request)
    }
    await Promise.all(Array.from({ length: availableParallelism() }, work))
    expect(differences(native)).toEqual([])
  },
  180_000,
)
