/** The facts about a loaded model, as a list. */

import { byId, el } from './dom'
import { bytes, count } from './format'
import type { ModelInfo } from 'webtern'

export class FactsView {
  readonly #list = byId('facts', HTMLElement)

  draw(info: ModelInfo): void {
    const { diffusion } = info
    const facts: readonly (readonly [string, string, string])[] = [
      ['architecture', 'Architecture', info.architecture],
      ['parameters', 'Parameters', count(info.parameters)],
      ['quantization', 'Quantization', info.quantization],
      ['context', 'Context', `${info.contextLength} tokens`],
      ['vocabulary', 'Vocabulary', `${info.vocabSize} tokens`],
      [
        'diffusion',
        'Decoding',
        diffusion ? `blocks of ${diffusion.blockSize}, ${diffusion.attention} attention` : 'autoregressive',
      ],
      ['template', 'Chat template', info.chatTemplate ? 'from the file' : 'ChatML'],
      ['build', 'Build', info.build],
      ['kernel', 'Kernel', info.kernel],
      ['threads', 'Threads', String(info.threads)],
      ['memory', 'Memory', bytes(info.memoryBytes)],
      ...info.notices.map((notice) => ['notice', 'Note', notice] as const),
    ]
    const entries = facts.flatMap(([key, label, value]) => [
      el('dt', {}, label),
      el('dd', { 'data-testid': `info-${key}` }, value),
    ])
    this.#list.replaceChildren(...entries)
  }
}
