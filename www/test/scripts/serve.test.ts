/** The static server of demo, tests and benchmarks. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { serve } from '../../scripts/serve.mjs'

const folder = mkdtempSync(join(tmpdir(), 'webtern-serve-'))
let site: Awaited<ReturnType<typeof serve>>

beforeAll(async () => {
  mkdirSync(join(folder, 'page'))
  writeFileSync(join(folder, 'page/index.html'), '<title>page</title>')
  writeFileSync(join(folder, 'page/model.gguf'), 'GGUF data')
  writeFileSync(join(folder, 'secret.txt'), 'secret')
  site = await serve({ mounts: { '/': join(folder, 'page'), '/deep/models': join(folder, 'page') } })
})

afterAll(async () => {
  await site.close()
  rmSync(folder, { recursive: true })
})

describe('the server', () => {
  it('isolates pages and keeps nothing in the cache', async () => {
    const response = await fetch(site.url)
    expect(await response.text()).toBe('<title>page</title>')
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'cache-control': 'no-store',
    })
  })

  it('sends a part, and the length of the whole', async () => {
    const response = await fetch(`${site.url}deep/models/model.gguf`, { headers: { Range: 'bytes=5-' } })
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe('bytes 5-8/9')
    expect(response.headers.get('etag')).not.toBeNull()
    expect(await response.text()).toBe('data')
  })

  it.each(['nothing.gguf', 'deep/nothing', '%2e%2e/secret.txt', '..%2fsecret.txt', '%zz'])(
    'has no %s',
    async (path) => {
      const response = await fetch(site.url + path)
      expect(response.status).toBe(404)
    },
  )

  it('answers GET and HEAD only', async () => {
    expect((await fetch(site.url, { method: 'POST' })).status).toBe(405)
    const head = await fetch(`${site.url}model.gguf`, { method: 'HEAD' })
    expect(head.headers.get('content-length')).toBe('9')
  })
})
