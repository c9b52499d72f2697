/** The measurements: six numbers, and a bar for each block that shows how many passes it took. */

import { byId, el, setText } from './dom'
import { bytes, duration, significant } from './format'
import type { ModelInfo } from 'webtern'
import type { Recording } from './recording'

const TILES = [
  ['tokens-per-second', 'tokens/s'],
  ['tokens-per-pass', 'tokens/pass'],
  ['passes-per-block', 'passes/block'],
  ['first-token', 'first token'],
  ['tokens', 'new tokens'],
  ['memory', 'memory'],
] as const

/** Bars that fit the panel; older blocks leave on the left. */
const BARS = 32

export class StatsView {
  readonly #values = new Map<string, HTMLElement>()
  readonly #bars = byId('pass-bars', HTMLElement)

  constructor() {
    const tiles = byId('stat-tiles', HTMLElement)
    for (const [key, label] of TILES) {
      const value = el('dd', { 'data-testid': `stat-${key}` }, '–')
      this.#values.set(key, value)
      tiles.append(el('div', { class: 'tile' }, el('dt', {}, label), value))
    }
  }

  memory(info: ModelInfo | null): void {
    this.#set('memory', info ? bytes(info.memoryBytes) : '–')
  }

  reset(): void {
    for (const [key] of TILES) if (key !== 'memory') this.#set(key, '–')
    this.#bars.hidden = true
  }

  draw(recording: Recording): void {
    const { decided, passes, blocks, result } = recording
    const first = recording.firstTokenAt
    const since = first === null ? 0 : recording.lastTokenAt - first
    const rate = result ? result.stats.tokensPerSecond : since > 50 ? (decided / since) * 1000 : null
    this.#set('tokens-per-second', rate === null ? '–' : significant(rate))
    this.#set('tokens-per-pass', passes > 0 ? significant(decided / passes) : '–')
    this.#set('passes-per-block', blocks.length > 0 ? significant(passes / blocks.length) : '–')
    this.#set('first-token', first === null ? '–' : duration(first - recording.startedAt))
    this.#set('tokens', String(decided))
    this.#drawBars(recording)
  }

  #drawBars({ blocks, result }: Recording): void {
    this.#bars.hidden = blocks.length < 2
    this.#bars.toggleAttribute('data-idle', result !== null)
    const shown = blocks.slice(-BARS)
    const most = Math.max(1, ...shown.map((block) => block.passes))
    while (this.#bars.childElementCount < shown.length) this.#bars.append(el('i'))
    while (this.#bars.childElementCount > shown.length) this.#bars.lastElementChild?.remove()
    shown.forEach((block, i) => {
      const bar = this.#bars.children[i]
      if (bar instanceof HTMLElement) bar.style.height = `${(block.passes / most) * 100}%`
    })
    if (result)
      this.#bars.setAttribute('aria-label', `Passes per block: ${shown.map((block) => block.passes).join(', ')}`)
  }

  #set(key: (typeof TILES)[number][0], text: string): void {
    const value = this.#values.get(key)
    if (value) setText(value, text)
  }
}
