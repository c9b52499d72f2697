/**
 * The packed package in other people's builds: each example of `examples/embed` answers a question, with several
 * threads where there are processors, as built and as its development server serves it. Needs the network, for the bundlers.
 */

import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startBrowser } from '../chromium.ts'
import { build, develop, install, pack, type Served } from './project.ts'

interface Case {
  readonly example: string
  /** Other versions of its dependencies. */
  readonly versions?: Readonly<Record<string, string>>
  readonly serve: (folder: string) => Promise<Served>
  /** Below the address that it is served at. */
  readonly path?: string
}

const CASES: Readonly<Record<string, Case>> = {
  'Vite, built': { example: 'vite', serve: (folder) => build(folder, 'build', 'dist') },
  'Vite, developing': {
    example: 'vite',
    serve: (folder) => develop(folder, (port) => ['vite', '--port', `${port}`, '--strictPort']),
  },
  'Vite 7, developing': {
    example: 'vite',
    versions: { vite: '7' },
    serve: (folder) => develop(folder, (port) => ['vite', '--port', `${port}`, '--strictPort']),
  },
  'webpack, built': { example: 'webpack', serve: (folder) => build(folder, 'build', '.') },
  'webpack, developing': {
    example: 'webpack',
    serve: (folder) => develop(folder, (port) => ['webpack', 'serve', '--port', `${port}`]),
  },
  'Rspack, built': { example: 'rspack', serve: (folder) => build(folder, 'build', '.') },
  'Parcel, built': { example: 'parcel', serve: (folder) => build(folder, 'build', 'dist') },
  'esbuild and copied files': { example: 'esbuild', serve: (folder) => build(folder, 'build', '.') },
  'Rollup and copied files': { example: 'rollup', serve: (folder) => build(folder, 'build', '.') },
  'Next.js, built': {
    example: 'next',
    serve: async (folder) => {
      await (await build(folder, 'build', '.')).close()
      return develop(folder, (port) => ['next', 'start', '--port', `${port}`])
    },
  },
  'an import map': { example: 'import-map', serve: (folder) => build(folder, '', '.') },
}

let browser: Browser
let tarball: string

beforeAll(async () => {
  tarball = await pack()
  browser = await startBrowser()
})

afterAll(() => browser.close())

it.each(Object.entries(CASES))('%s', async (_, { example, versions, serve, path = '' }) => {
  const site = await serve(await install(example, tarball, versions))
  const page = await browser.newPage()
  const problems: string[] = []
  page.on('response', (response) => {
    if (response.status() >= 400 && !response.url().endsWith('/favicon.ico'))
      problems.push(`${response.status()} ${response.url()}`)
  })
  page.on('pageerror', ({ message }) => problems.push(message))
  try {
    await page.goto(site.url + path)
    await page.waitForSelector('#status[data-done]')
    const threads = await page.evaluate(() => Math.min(navigator.hardwareConcurrency, 2))
    expect(await page.locator('#status').textContent()).toMatch(threads > 1 ? /^threads: [2-8]$/ : /^threads: 1$/)
    expect(await page.locator('#answer').textContent()).toBe('24 + 64 = 88.')
    expect(problems).toEqual([])
  } finally {
    await page.close()
    await site.close()
  }
})
