/**
 * webtern. Its page also counts tokens, by which prompts are cut to size.
 *
 * It takes over what two prompts have in common without being asked, which is nothing here, or BOS: no two prompts begin alike.
 */

import { loadModel } from 'webtern'
import type { DecodeOptions, GenerateResult, Model } from '../../../www/src/types.js'
import { offer } from './bench.js'
import type { BlockRun } from './engine.js'

declare global {
  /** Number of tokens of a prompt, those that the model wants around it included. */
  var countTokens: (text: string) => Promise<number>
}

offer(async (url, { threads, contextLength }) => {
  const model = await loadModel(url, { threads, contextLength })
  globalThis.countTokens = async (text) => (await model.tokenize(text)).length
  return {
    threads: model.info.threads,
    build: `${model.info.build}, ${model.info.kernel}`,
    async write(prompt, tokens) {
      const { text, stats } = await greedily(model, prompt, tokens)
      return { text, newTokens: stats.newTokens, promptTokens: () => stats.promptTokens }
    },
    async trace(prompt, tokens) {
      const result = await greedily(model, prompt, tokens)
      return result.tokens.map((token) => ({ token, candidates: [] }))
    },
    async blocks(prompt, tokens) {
      if (model.info.diffusion === null) return null
      const run = (options: DecodeOptions): Promise<BlockRun> => inBlocks(model, prompt, tokens, options)
      return {
        full: await run({ mode: 'iterative', threshold: 1 }),
        dual: await run({ mode: 'iterative', threshold: 1, dualCache: true }),
      }
    },
    memoryBytes: () => model.info.memoryBytes,
  }
})

function greedily(model: Model, prompt: string, maxTokens: number): Promise<GenerateResult> {
  return model.generate({ prompt, mode: 'ar', temperature: 0, maxTokens }).result()
}

async function inBlocks(model: Model, prompt: string, maxTokens: number, options: DecodeOptions): Promise<BlockRun> {
  const { stats } = await model.generate({ prompt, temperature: 0, maxTokens, ...options }).result()
  return { ms: stats.decodeMs, passes: stats.passes, commits: stats.commits }
}
