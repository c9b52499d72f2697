/** Code that is written for OpenAI's client compiles with a model. Nothing here runs: `tsc` is the test. */

import OpenAI from 'openai'
import Previous from 'openai-6'
import type { Model } from '../../src/index.js'

export async function chat(
  model: Model,
  whole: OpenAI.ChatCompletionCreateParamsNonStreaming,
  streaming: OpenAI.ChatCompletionCreateParamsStreaming,
): Promise<[OpenAI.ChatCompletion, Previous.ChatCompletion, OpenAI.ChatCompletionChunk[]]> {
  const chunks: OpenAI.ChatCompletionChunk[] = []
  for await (const chunk of await model.chat.completions.create(streaming)) chunks.push(chunk)
  const { signal } = new AbortController()
  const answer = await model.chat.completions.create(whole, { signal })
  const content: string | null = answer.choices[0]?.message.content ?? null
  console.log(content)
  return [answer, answer, chunks]
}

export async function completions(
  model: Model,
  whole: OpenAI.CompletionCreateParamsNonStreaming,
  streaming: OpenAI.CompletionCreateParamsStreaming,
): Promise<[OpenAI.Completion, Previous.Completion, OpenAI.Completion[]]> {
  const chunks: OpenAI.Completion[] = []
  for await (const chunk of await model.completions.create(streaming)) chunks.push(chunk)
  const answer = await model.completions.create(whole)
  return [answer, answer, chunks]
}

/** The other way round: a function that takes their calls takes ours. */
export function callers(model: Model): void {
  type Ask = (body: OpenAI.ChatCompletionCreateParamsNonStreaming) => Promise<OpenAI.ChatCompletion>
  const ask: Ask = (body) => model.chat.completions.create(body)
  void ask
}

export function clients(model: Model): [OpenAI, Previous] {
  const options = { baseURL: 'https://webtern.invalid/v1', apiKey: 'none', dangerouslyAllowBrowser: true }
  return [new OpenAI({ ...options, fetch: model.fetch }), new Previous({ ...options, fetch: model.fetch })]
}
