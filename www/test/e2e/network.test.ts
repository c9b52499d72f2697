/** What a network can do to a download. */

import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import type { Page } from 'playwright-core'
import { expect } from 'vitest'
import { load, noWorkers } from './support/browser.ts'
import { fixture } from './support/files.ts'
import { split, tinyLlama, write } from './support/gguf.ts'
import type { Site } from './support/site.ts'
import { itNeeds, test as it } from './support/test.ts'

const { bytes } = write(tinyLlama())
const HALF = bytes.length >> 1

/** Loads from a route that answers as told; the code and message of the failure, or `ok: `. */
async function outcome(page: Page, site: Site, answer: (response: ServerResponse) => void): Promise<string> {
  const url = site.route('fault/model.gguf', (_, response) => answer(response))
  const { code, message } = await load(page, url)
  if (code === 'ok') await page.evaluate(() => model.unload())
  await noWorkers(page)
  return `${code}: ${message}`
}

it('HTTP errors', async ({ page, site }) => {
  expect(await outcome(page, site, (response) => response.writeHead(404).end('no'))).toMatch(
    /^http: .*model\.gguf answered 404/,
  )
  expect(await outcome(page, site, (response) => response.writeHead(500).end('no'))).toMatch(/^http: .*answered 500/)
})

it('a web page instead of the model', async ({ page, site }) => {
  const html = '<!doctype html><title>Sign in</title>'
  const typed = await outcome(page, site, (response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end(html),
  )
  expect(typed).toMatch(/^http: .*web page/)
  const untyped = await outcome(page, site, (response) => response.writeHead(200).end(html))
  expect(untyped).toMatch(/^http: .*web page/)
})

it('no server at all', async ({ page }) => {
  const { code, message } = await load(page, 'http://127.0.0.1:1/model.gguf')
  expect(`${code}: ${message}`).toMatch(/^network: .*could not be reached/)
})

it('a connection that is cut, with and without a length', async ({ page, site }) => {
  const cut = (headers: Record<string, number>) =>
    outcome(page, site, (response) => {
      response.writeHead(200, headers)
      response.write(bytes.subarray(0, HALF), () => setTimeout(() => response.destroy(), 50))
    })
  expect(await cut({ 'content-length': bytes.length })).toMatch(/^network: .*cut after \d+ of \d+ bytes/)
  expect(await cut({})).toMatch(/^(network|truncated): /)
})

it('a Content-Length that is wrong', async ({ page, site }) => {
  // Too long: the connection ends before. Too short: the browser reads no further than it says.
  const long = await outcome(page, site, (response) => {
    response.writeHead(200, { 'content-length': bytes.length + 10 })
    response.write(bytes, () => setTimeout(() => response.destroy(), 50))
  })
  expect(long).toMatch(/^(network|truncated): /)
  const short = await outcome(page, site, (response) => {
    response.writeHead(200, { 'content-length': bytes.length - 10 })
    response.end(bytes.subarray(0, bytes.length - 10))
  })
  expect(short).toMatch(/^(truncated|malformed): /)
})

it('a body without a length, in small pieces, is read', async ({ page, site }) => {
  const chunked = await outcome(page, site, (response) => {
    for (let at = 0; at < bytes.length; at += 10_007) response.write(bytes.subarray(at, at + 10_007))
    response.end()
  })
  expect(chunked).toBe('ok: ')
})

it('the parts of a split model, and one that is missing', async ({ page, site }) => {
  const parts = split(tinyLlama(), 3)
  const urls = parts.map((part, i) =>
    site.route(`fault/tiny-0000${String(i + 1)}-of-00003.gguf`, (_, response) => response.end(part)),
  )
  expect(await load(page, urls[0] ?? '')).toMatchObject({ code: 'ok' })
  await page.evaluate(() => model.unload())
  site.route('fault/tiny-00002-of-00003.gguf', (_, response) => response.writeHead(404).end())
  const { code, message } = await load(page, urls[0] ?? '')
  expect(`${code}: ${message}`).toMatch(/^http: .*tiny-00002-of-00003\.gguf answered 404/)
  await noWorkers(page)
})

itNeeds(fixture('stories260K.gguf'))('progress never goes back, and ends at the whole', async ({ page, site }) => {
  const story = readFileSync(fixture('stories260K.gguf'))
  const url = site.route('fault/slow.gguf', (_, response) => {
    response.writeHead(200, { 'content-length': story.length })
    const waiting = Array.from({ length: 10 }, (_, i) =>
      story.subarray((i * story.length) / 10, ((i + 1) * story.length) / 10),
    )
    const timer = setInterval(() => {
      const piece = waiting.shift()
      if (piece) response.write(piece)
      else {
        clearInterval(timer)
        response.end()
      }
    }, 200)
  })
  const reports = await page.evaluate(async (url) => {
    const reports: { phase: string; loaded: number; total: number | null }[] = []
    const model = await webtern.loadModel(url, { onProgress: (report) => reports.push(report) })
    await model.unload()
    return reports
  }, url)
  expect(reports.length).toBeGreaterThan(4)
  expect(reports.map(({ loaded }) => loaded)).toEqual(reports.map(({ loaded }) => loaded).sort((a, b) => a - b))
  expect(new Set(reports.map(({ total }) => total))).toEqual(new Set([story.length]))
  expect(reports[0]?.phase).toBe('download')
  expect(reports.at(-1)).toEqual({ phase: 'load', loaded: story.length, total: story.length })
})
