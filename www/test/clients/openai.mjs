/**
 * OpenAI's own clients for JavaScript, two major versions, against `webtern serve tiny`.
 *
 *     npm ci --prefix www/test/clients && node www/test/clients/openai.mjs target/debug/webtern
 */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import process from 'node:process'
import * as current from 'openai'
import * as previous from 'openai-6'
import { check } from './checks.mjs'

async function start(webtern) {
  const args = ['serve', 'tiny', '--port', '0', '--json', '--threads', '1']
  const server = spawn(webtern, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const lines = createInterface({ input: server.stderr })
  for await (const line of lines) {
    const entry = line.startsWith('{') ? JSON.parse(line) : {}
    if (entry.message === 'listening') {
      server.stderr.resume()
      return { server, address: entry.address }
    }
  }
  throw new Error('the server ended before it listened')
}

const { server, address } = await start(process.argv[2])
try {
  for (const [name, client] of Object.entries({ current, previous })) {
    await check(client, { baseURL: `${address}/v1` }, 'tiny')
    console.log(`openai (${name}): ok`)
  }
} finally {
  server.kill()
}
const [code] = await once(server, 'exit')
assert.equal(code, 0)
