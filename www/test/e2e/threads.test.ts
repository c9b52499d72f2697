/** Threads: the same tokens as with one, pool workers that do not start, and none left behind. */

import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { load, loaded, noWorkers } from './support/browser.ts'
import { fixture } from './support/files.ts'
import { tinyLlama, write } from './support/gguf.ts'
import type { Site } from './support/site.ts'
import { itNeeds, test as it } from './support/test.ts'

const GGUF = fixture('tiny-dlm/tiny-dlm-q2_0.gguf')
const itOnTiny = itNeeds(GGUF)
const QUESTIONS = ['What is 24 + 64?', 'Sort these numbers: 17, 91, 40, 9, 11.', 'Spell bear backwards.']
const script = readFileSync(new URL('../../dist/worker.js', import.meta.url))
const poolScript = readFileSync(new URL('../../dist/pool-worker.js', import.meta.url))
const tiny = tinyLlama()
// A model without one has a notice of its own.
tiny.metadata.set('tokenizer.chat_template', { string: '{{ messages[0].content }}' })
const { bytes } = write(tiny)

/**
 * Serves the scripts of workers below `folder` and returns the address of the engine's. Pool workers get
 * theirs if `serves` says so for the number of the request.
 */
function workersAt(site: Site, folder: string, serves: (request: number) => boolean): string {
  const headers = { 'content-type': 'text/javascript', 'cross-origin-embedder-policy': 'require-corp' }
  let requests = 0
  site.route(`${folder}/pool-worker.js`, (_, response) => {
    if (serves(requests++)) response.writeHead(200, headers).end(poolScript)
    else response.writeHead(404).end()
  })
  return site.route(`${folder}/worker.js`, (_, response) => response.writeHead(200, headers).end(script))
}

itOnTiny('any number of threads gives the same tokens, and unload ends them all', async ({ page }) => {
  const found: unknown[] = []
  for (const threads of [1, 2, 4]) {
    const info = await loaded(page, '/fixtures/tiny-dlm/tiny-dlm-q2_0.gguf', { threads })
    expect(info).toMatchObject({ threads, notices: [] })
    expect(info.build.endsWith('-threads')).toBe(threads > 1)
    found.push(
      await page.evaluate(async (questions) => {
        const tokens: (readonly number[])[] = []
        for (const content of questions)
          for (const mode of ['ar', 'adaptive'] as const) {
            const run = model.generate({ messages: [{ role: 'user', content }], mode, maxTokens: 48 })
            const { stats, ...result } = await run.result()
            if (stats.threads !== model.info.threads) throw new Error('the statistics have other threads')
            tokens.push(result.tokens)
          }
        await model.unload()
        return tokens
      }, QUESTIONS),
    )
    await noWorkers(page)
  }
  expect(found[1]).toEqual(found[0])
  expect(found[2]).toEqual(found[0])
})

it('uses several threads by default on several processors', async ({ page }) => {
  const { threads, build } = await loaded(page, bytes)
  const processors = await page.evaluate(() => navigator.hardwareConcurrency)
  expect(threads > 1).toBe(processors > 1)
  expect(build.endsWith('-threads')).toBe(processors > 1)
})

it('a pool worker that does not start means fewer threads, and says so', async ({ page, site }) => {
  const none = workersAt(site, 'none', () => false)
  const info = await loaded(page, bytes, { threads: 3, workerUrl: none, wasmBaseUrl: '/dist/wasm' })
  expect(info.threads).toBe(1)
  expect(info.notices).toEqual([
    expect.stringMatching(
      /^running 1 of 3 threads: a worker did not start \(.*pool-worker\.js: the server answered 404/,
    ),
  ])
  expect(
    await page.evaluate(async () => (await model.generate({ tokens: [1], maxTokens: 4 }).result()).tokens.length),
  ).toBe(4)

  // The page asks for a script once more, to see why it did not start.
  const one = workersAt(site, 'one', (request) => request === 0)
  const { threads, notices } = await loaded(page, bytes, { threads: 3, workerUrl: one, wasmBaseUrl: '/dist/wasm' })
  expect([threads, notices.length]).toEqual([2, 1])
})

it('memory that cannot be shared leaves one thread, and says so', async ({ page, site }) => {
  const { href } = new URL('/dist/worker.js', site.url)
  const refuse = `
    const { Memory } = WebAssembly
    WebAssembly.Memory = class { constructor(type) { if (type.shared) throw new RangeError('no'); return new Memory(type) } }`
  const stub = site.route('elsewhere/unshared.js', (_, response) =>
    response
      .writeHead(200, { 'content-type': 'text/javascript', 'cross-origin-embedder-policy': 'require-corp' })
      .end(
        `import ${JSON.stringify(`data:text/javascript,${encodeURIComponent(refuse)}`)}; import ${JSON.stringify(href)}`,
      ),
  )
  const { threads, notices, build } = await loaded(page, bytes, { threads: 2, workerUrl: stub })
  expect([threads, build.endsWith('-threads')]).toEqual([1, false])
  expect(notices).toEqual(['running 1 of 2 threads: out of address space for shared memory'])
})

it('an abort while pool workers start ends them too', async ({ page }) => {
  await page.evaluate(async () => {
    const abort = new AbortController()
    const loading = webtern.loadModel(new Blob(['GGUF']), { threads: 8, signal: abort.signal })
    setTimeout(() => abort.abort(), 20)
    await loading.catch(() => undefined)
  })
  await noWorkers(page)
  expect(await load(page, bytes, { threads: 2 })).toMatchObject({ code: 'ok' })
})
