/**
 * What applications do with OpenAI's client, whatever answers it: `webtern serve`, or a model in the page.
 * Runs in Node and in browsers.
 */

function equal(found, expected, what) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(expected)]
  if (a !== b) throw new Error(`${what}: ${a} instead of ${b}`)
}

function ok(holds, what) {
  if (!holds) throw new Error(what)
}

async function rejects(promise, kind, what) {
  const error = await promise.then(
    () => undefined,
    (error) => error,
  )
  ok(error instanceof kind, `${what}: ${error ?? 'no error'} instead of ${kind.name}`)
  return error
}

/** Makes every call with a client of `module`, the package; `options` are the client's. */
export async function check(module, options, model) {
  const { default: OpenAI } = module
  const client = new OpenAI({ apiKey: 'none', ...options })
  const ask = { model, messages: [{ role: 'user', content: 'What is 24 + 64?' }], max_tokens: 64 }
  await checkChat(client, ask)
  await checkEarlyEnds(client, ask, module)
  await checkOthers(client, ask)
  await checkRefusals(client, ask, module)
}

async function checkChat(client, ask) {
  const chat = client.chat.completions
  const whole = await chat.create(ask)
  const answer = whole.choices[0].message.content
  ok(answer.includes('88'), answer)

  let text = ''
  let usage
  for await (const chunk of await chat.create({ ...ask, stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage ?? usage
  }
  equal(text, answer, 'streamed text')
  equal(usage.completion_tokens, whole.usage.completion_tokens, 'usage of a stream')

  const { data, response } = await chat.create(ask).withResponse()
  equal([data.choices[0].message.content, response.status], [answer, 200], 'withResponse')
  equal((await (await chat.create(ask).asResponse()).json()).choices, whole.choices, 'asResponse')

  const pieces = []
  const stream = chat.stream({ ...ask, stream_options: { include_usage: true } })
  stream.on('content', (piece) => pieces.push(piece))
  equal(await stream.finalContent(), answer, 'finalContent')
  equal((await stream.finalMessage()).role, 'assistant', 'finalMessage')
  equal((await stream.finalChatCompletion()).choices[0].finish_reason, 'stop', 'finalChatCompletion')
  equal((await stream.totalUsage()).completion_tokens, usage.completion_tokens, 'totalUsage')
  equal(pieces.join(''), answer, 'content events')
  equal((await chat.parse(ask)).choices[0].message.content, answer, 'parse')

  const [left, right] = (await chat.create({ ...ask, stream: true })).tee()
  const [ids, others] = await Promise.all([left, right].map(all))
  equal(ids, others, 'tee')
  const lines = await new Response((await chat.create({ ...ask, stream: true })).toReadableStream()).text()
  ok(
    lines
      .trim()
      .split('\n')
      .every((line) => JSON.parse(line).object === 'chat.completion.chunk'),
    'toReadableStream',
  )

  const { logprobs } = (await chat.create({ ...ask, logprobs: true, top_logprobs: 1 })).choices[0]
  const bytes = Uint8Array.from(logprobs.content.flatMap(({ bytes }) => bytes))
  equal(new TextDecoder().decode(bytes), answer, 'bytes of logprobs')
  equal((await chat.create({ ...ask, n: 3, seed: 1, temperature: 1 })).choices.length, 3, 'n')
  const parts = [
    { role: 'developer', content: '' },
    { role: 'user', content: [{ type: 'text', text: 'What is 24 + 64?' }] },
  ]
  ok((await chat.create({ ...ask, messages: parts, mode: 'ar' })).timings.mode === 'ar', 'our own parameters')
}

async function all(stream) {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}

/** A generation that is left does not keep the next one from being answered. */
async function checkEarlyEnds(client, ask, { APIUserAbortError }) {
  const chat = client.chat.completions
  const long = { ...ask, messages: [{ role: 'user', content: 'Tell me a story.' }], n: 64, temperature: 1 }
  for await (const chunk of await chat.create({ ...long, stream: true })) {
    ok(chunk.id, 'a chunk has an id')
    break
  }
  const early = AbortSignal.abort()
  await rejects(chat.create(ask, { signal: early }), APIUserAbortError, 'a signal that has fired')
  const whole = new AbortController()
  const pending = chat.create(long, { signal: whole.signal })
  setTimeout(() => whole.abort(), 20)
  await rejects(pending, APIUserAbortError, 'a signal during a whole answer')
  const controller = new AbortController()
  let chunks = 0
  for await (const _ of await chat.create({ ...long, stream: true }, { signal: controller.signal })) {
    chunks++
    controller.abort()
  }
  ok(chunks > 0, 'a stream that was aborted')
  const helper = chat.stream(long)
  helper.on('chunk', () => helper.abort())
  await rejects(helper.done(), APIUserAbortError, 'abort of a helper')
  ok((await chat.create(ask)).choices[0].message.content, 'the next answer')
}

async function checkOthers(client, ask) {
  const answer = (await client.chat.completions.create(ask)).choices[0].message.content
  const completion = await client.completions.create({ model: ask.model, prompt: ['Spell', 'Count'], max_tokens: 3 })
  equal(completion.choices.length, 2, 'completions of a list')
  const asked = { model: ask.model, input: ask.messages[0].content, max_output_tokens: 64 }
  equal((await client.responses.create(asked)).output_text, answer, 'responses')
  let deltas = ''
  for await (const event of await client.responses.create({ ...asked, stream: true })) {
    if (event.type === 'response.output_text.delta') deltas += event.delta
  }
  equal(deltas, answer, 'a stream of responses')
  equal((await client.responses.stream(asked).finalResponse()).output_text, answer, 'finalResponse')
  equal((await client.responses.parse(asked)).output_text, answer, 'parse of responses')
  const models = []
  for await (const model of client.models.list()) models.push(model.id)
  equal(models, [ask.model], 'models')
  equal((await client.models.retrieve(ask.model)).owned_by, 'webtern', 'a model')
}

async function checkRefusals(client, ask, { NotFoundError, BadRequestError }) {
  const chat = client.chat.completions
  const unknown = await rejects(chat.create({ ...ask, model: 'gpt-4o' }), NotFoundError, 'another model')
  equal(unknown.code, 'model_not_found', 'its code')
  equal((await rejects(chat.create({ ...ask, n: 0 }), BadRequestError, 'n of 0')).param, 'n', 'its parameter')
  const stored = client.responses.retrieve('resp_1')
  equal((await rejects(stored, NotFoundError, 'a stored response')).status, 404, 'its status')
}
