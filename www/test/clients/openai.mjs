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

const ask = { model: 'tiny', messages: [{ role: 'user', content: 'What is 24 + 64?' }], max_tokens: 64 }

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

async function check({ default: OpenAI, NotFoundError, BadRequestError }, address) {
  const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: 'none' })
  const chat = client.chat.completions
  const whole = await chat.create(ask)
  const answer = whole.choices[0].message.content
  assert.match(answer, /88/)

  let text = ''
  let usage
  for await (const chunk of await chat.create({ ...ask, stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage ?? usage
  }
  assert.equal(text, answer)
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens)
  assert.equal(await chat.stream(ask).finalContent(), answer)

  for await (const chunk of await chat.create({ ...ask, stream: true })) {
    assert.ok(chunk.id)
    break
  }
  const controller = new AbortController()
  controller.abort()
  await assert.rejects(chat.create(ask, { signal: controller.signal }))
  const { logprobs } = (await chat.create({ ...ask, logprobs: true, top_logprobs: 1 })).choices[0]
  assert.equal(Buffer.from(logprobs.content.flatMap(({ bytes }) => bytes)).toString(), answer)

  assert.equal((await client.completions.create({ model: 'tiny', prompt: 'Spell', max_tokens: 3 })).choices.length, 1)
  const response = await client.responses.create({ model: 'tiny', input: 'What is 24 + 64?', max_output_tokens: 64 })
  assert.equal(response.output_text, answer)
  const events = await client.responses.create({
    model: 'tiny',
    input: 'What is 24 + 64?',
    max_output_tokens: 64,
    stream: true,
  })
  let deltas = ''
  for await (const event of events) if (event.type === 'response.output_text.delta') deltas += event.delta
  assert.equal(deltas, answer)

  const models = []
  for await (const model of client.models.list()) models.push(model.id)
  assert.deepEqual(models, ['tiny'])
  await assert.rejects(chat.create({ ...ask, model: 'gpt-4o' }), NotFoundError)
  await assert.rejects(chat.create({ ...ask, n: 0 }), BadRequestError)
}

const { server, address } = await start(process.argv[2])
try {
  for (const [name, client] of Object.entries({ current, previous })) {
    await check(client, address)
    console.log(`openai (${name}): ok`)
  }
} finally {
  server.kill()
}
const [code] = await once(server, 'exit')
assert.equal(code, 0)
