/**
 * wllama 3: llama.cpp's server in WebAssembly, by its completions.
 *
 * It gets what is fastest for it. The model is fetched to a `Blob`, which its own download would also write to storage (that is timed
 * beside it); it does not warm up by itself, which would count as loading; and it need not keep more than one conversation.
 */

import { Wllama } from '@wllama/wllama/esm/index.js'
import { offer } from './bench.js'
import type { Candidate, DownloadEngine, LoadEngine, Settings, Step } from './engine.js'

/** Candidates for each token, which are many more than come near the best. */
const CANDIDATES = 20

const PATHS = { default: '/wllama-3/wasm/wllama.wasm' }

const configOf = ({ threads, contextLength }: Settings) => ({
  n_gpu_layers: 0,
  n_threads: threads,
  n_ctx: contextLength,
  n_parallel: 1,
  warmup: false,
})

const download: DownloadEngine = async (url, settings) => {
  const model = new Wllama(PATHS, { suppressNativeLog: true })
  await model.loadModelFromUrl(new URL(url, location.href).href, configOf(settings))
}

const load: LoadEngine = async (url, settings) => {
  const model = new Wllama(PATHS, { suppressNativeLog: true })
  const response = await fetch(url)
  await model.loadModel([await response.blob()], configOf(settings))
  const greedy = { temperature: 0, ignore_eos: true }
  return {
    threads: model.getNumThreads(),
    build: Wllama.getLibllamaVersion(),
    async write(prompt, tokens) {
      // The server knows `cache_prompt`, though the declarations have it for chats only.
      const request = { ...greedy, prompt, max_tokens: tokens, cache_prompt: false }
      const { choices, usage } = await model.createCompletion(request)
      const reused = usage.prompt_tokens_details?.cached_tokens ?? 0
      return {
        text: choices[0]?.text ?? '',
        newTokens: usage.completion_tokens,
        promptTokens: () => usage.prompt_tokens - reused,
      }
    },
    async trace(prompt, tokens) {
      const request = { ...greedy, prompt, max_tokens: tokens, logprobs: CANDIDATES }
      const { choices } = await model.createCompletion(request)
      return steps(choices[0]?.logprobs)
    },
    blocks: () => Promise.resolve(null),
    memoryBytes: () => null,
  }
}

offer(load, download)

/** What the server says about each token, which is not what the declarations say. */
function steps(logprobs: unknown): Step[] {
  return list(logprobs, 'content').map((step) => {
    const candidates = list(step, 'top_logprobs').map(candidate)
    return { token: candidate(step).token, candidates }
  })
}

function list(from: unknown, key: string): unknown[] {
  const found: unknown = typeof from === 'object' && from !== null ? Reflect.get(from, key) : undefined
  if (!Array.isArray(found)) throw new Error(`wllama's answer has no list ${key}`)
  return found
}

function candidate(from: unknown): Candidate {
  if (typeof from === 'object' && from !== null && 'id' in from && 'logprob' in from) {
    const { id, logprob } = from
    if (typeof id === 'number' && typeof logprob === 'number') return { token: id, logprob }
  }
  throw new Error("wllama's answer has a token without id or logprob")
}
