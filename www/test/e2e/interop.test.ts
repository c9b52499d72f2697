/**
 * What `webtern convert` writes is for others, too: wllama, llama.cpp in WebAssembly, loads it and says the same. The models
 * were trained until each next token was far ahead of all others, because llama.cpp rounds activations in another way.
 */

import type * as wllama from '@wllama/wllama/esm/index.js'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { loaded, openPage, startBrowser } from './support/browser.ts'
import { itNeeds } from './support/files.ts'
import { convertGolden, nativeBinary } from './support/native.ts'
import { startSite, type Site } from './support/site.ts'

declare global {
  var Wllama: typeof wllama.Wllama
}

const PROMPT = 'one, two, buckle my shoe;'
const TOKENS = 32
/** The training text, from `tests/reference/checkpoint_golden.py`. */
const CONTINUATION = ' three, four, knock at the door; five, six, pick up stick'

const it = itNeeds(nativeBinary)
let browser: Browser
let site: Site

beforeAll(async () => {
  site = await startSite()
  browser = await startBrowser()
})

afterAll(async () => {
  await browser.close()
  await site.close()
})

/** The continuation by wllama on the CPU with one thread, and the number of tokens it cut the prompt into. */
async function askWllama(url: string): Promise<{ readonly text: string | undefined; readonly promptTokens: number }> {
  const page = await browser.newPage()
  await page.goto(`${site.url}wllama.html`)
  await page.waitForFunction(() => 'Wllama' in globalThis)
  const answer = await page.evaluate(
    async ({ url, prompt, max_tokens }) => {
      const model = new Wllama({ default: '/wllama/wasm/wllama.wasm' }, { suppressNativeLog: true })
      await model.loadModel([await (await fetch(url)).blob()], { n_gpu_layers: 0, n_threads: 1 })
      const { choices, usage } = await model.createCompletion({ prompt, max_tokens, temperature: 0 })
      return { text: choices[0]?.text, promptTokens: usage.prompt_tokens }
    },
    { url, prompt: PROMPT, max_tokens: TOKENS },
  )
  await page.close()
  return answer
}

it.each(['llama', 'qwen2'].flatMap((architecture) => ['q2_0', 'q8_0'].map((type) => [architecture, type] as const)))(
  'wllama continues a converted %s of %s as webtern does',
  async (architecture, type) => {
    const url = await convertGolden(`rhyme-${architecture}`, type)
    const page = await openPage(browser, site.url)
    expect(await loaded(page, url)).toMatchObject({ architecture, quantization: type.toUpperCase() })
    const { text, tokens, stats } = await page.evaluate(
      ([prompt, maxTokens]) => model.generate({ prompt, maxTokens, mode: 'ar', temperature: 0 }).result(),
      [PROMPT, TOKENS] as const,
    )
    await page.close()
    expect(text).toBe(CONTINUATION)
    expect(tokens).toHaveLength(TOKENS)
    expect(await askWllama(url)).toEqual({ text, promptTokens: stats.promptTokens })
  },
)
