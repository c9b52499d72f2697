/** The demo page on the stand-in library, served and ready for a browser. */

import { fileURLToPath } from 'node:url'
import type { Browser } from 'playwright-core'
import { createServer } from 'vite'
import { startBrowser } from '../chromium.ts'

export interface Served {
  /** Ends in a slash. */
  readonly url: string
  readonly browser: Browser
  close(): Promise<void>
}

export async function servePage(): Promise<Served> {
  const server = await createServer({
    configFile: fileURLToPath(new URL('vite.config.ts', import.meta.url)),
    logLevel: 'error',
    server: { port: 0 },
  })
  await server.listen()
  const browser = await startBrowser()
  return {
    url: server.resolvedUrls?.local[0] ?? '',
    browser,
    async close() {
      await browser.close()
      await server.close()
    },
  }
}
