/**
 * What `webtern convert` writes is for others, too: wllama, llama.cpp in WebAssembly, loads it and says the same. The models
 * were trained until each next token was far ahead of all others, because llama.cpp rounds activations in another way.
 */

import type * as wllama from '@wllama/wllama/esm/index.js'
import type { Page } from 'playwright-core'
import { expect } from 'vitest'
import { loaded } from './support/browser.ts'
import { convertGolden, nativeBinary } from './support/native.ts'
import type { Site } from './support/site.ts'
import { itNeeds } from './support/test.ts'

declare global {
  var Wllama: typeof wllama.Wllama
}

const PROMPT = 'one, two, buckle my shoe;'
const TOKENS = 32
/** The training text, from `tests/reference/checkpoint_golden.py`. */
const CONTINUATION = ' three, four, knock at the door; five, six, pick up stick'

const it = itNeeds(nativeBinary)

/** The continuation by wllama on the CPU with one thread, and the number of tokens it cut the prompt into. */
async function askWllama(
  page: Page,
  site: Site,
  url: string,
): Promise<{ readonly text: string | undefined; readonly promptTokens: number }> {
  await page.goto(`${site.url}wllama.html`)
  await page.waitForFunction(() => 'Wllama' in globalThis)
  return page.evaluate(
    async ({ url, prompt, max_tokens }) => {
      const model = new Wllama({ default: '/wllama/wasm/wllama.wasm' }, { suppressNativeLog: true })
      await model.loadModel([await (await fetch(url)).blob()], { n_gpu_layers: 0, n_threads: 1 })
      const { choices, usage } = await model.createCompletion({ prompt, max_tokens, temperature: 0 })
      return { text: choices[0]?.text, promptTokens: usage.prompt_tokens }
    },
    { url, prompt: PROMPT, max_tokens: TOKENS },
  )
}

it.for(['llama', 'qwen2'].flatMap((architecture) => ['q2_0', 'q8_0'].map((type) => [architecture, type] as const)))(
  'wllama continues a converted %s of %s as webtern does',
  async ([architecture, type], { page, site }) => {
    const url = await convertGolden(`rhyme-${architecture}`, type)
    expect(await loaded(page, url)).toMatchObject({ architecture, quantization: type.toUpperCase() })
    const { text, tokens, stats } = await page.evaluate(
      ([prompt, maxTokens]) => model.generate({ prompt, maxTokens, mode: 'ar', temperature: 0 }).result(),
      [PROMPT, TOKENS] as const,
    )
    expect(text).toBe(CONTINUATION)
    expect(tokens).toHaveLength(TOKENS)
    expect(await askWllama(page, site, url)).toEqual({ text, promptTokens: stats.promptTokens })
  },
)
