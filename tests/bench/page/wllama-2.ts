/**
 * wllama 2: llama.cpp with hand-written WebAssembly kernels, by its completions.
 *
 * As for wllama 3, the model is fetched to a `Blob`, which its own download would also write to storage; that is timed beside it.
 */

import { Wllama, type LoadModelConfig } from 'wllama-2/esm/index.js'
import { offer } from './bench.js'
import type { DownloadEngine, LoadEngine, Settings, Step } from './engine.js'

/** Candidates for each token, which are many more than come near the best. */
const CANDIDATES = 20

const PATHS = {
  'single-thread/wllama.wasm': '/wllama-2/single-thread/wllama.wasm',
  'multi-thread/wllama.wasm': '/wllama-2/multi-thread/wllama.wasm',
}

const configOf = ({ threads, contextLength }: Settings): LoadModelConfig => ({
  n_threads: threads,
  n_ctx: contextLength,
})

const download: DownloadEngine = async (url, settings) => {
  const model = new Wllama(PATHS, { suppressNativeLog: true })
  await model.loadModelFromUrl(new URL(url, location.href).href, configOf(settings))
}

const load: LoadEngine = async (url, settings) => {
  const model = new Wllama(PATHS, { suppressNativeLog: true })
  const response = await fetch(url)
  await model.loadModel([await response.blob()], configOf(settings))

  /** A prompt as `createCompletion` sees it. */
  const tokenize = async (prompt: string): Promise<number[]> => {
    const tokens = await model.tokenize(prompt)
    return model.mustAddBosToken() && tokens[0] !== model.getBOS() ? [model.getBOS(), ...tokens] : tokens
  }
  return {
    threads: model.getNumThreads(),
    build: model.isMultithread() ? 'multi-thread' : 'single-thread',
    async write(prompt, tokens) {
      // It ends with a pass over the last token, whose result nobody wants, unless it is aborted there.
      const enough = new AbortController()
      let newTokens = 0
      const text = await model.createCompletion(prompt, {
        nPredict: tokens,
        sampling: { temp: 0 },
        abortSignal: enough.signal,
        onNewToken: () => {
          newTokens += 1
          if (newTokens === tokens) enough.abort()
        },
      })
      return { text, newTokens, promptTokens: async () => (await tokenize(prompt)).length }
    },
    async trace(prompt, tokens) {
      const steps: Step[] = []
      await model.kvClear()
      await model.decode(await tokenize(prompt), {})
      for (;;) {
        const logits = await model.getLogits(CANDIDATES)
        const candidates = logits.map(({ token, p }) => ({ token, logprob: Math.log(p) }))
        const [best] = candidates
        if (!best) throw new Error('wllama has no logits')
        steps.push({ token: best.token, candidates })
        if (steps.length === tokens) return steps
        await model.decode([best.token], {})
      }
    },
    blocks: () => Promise.resolve(null),
    memoryBytes: () => null,
  }
}

offer(load, download)
