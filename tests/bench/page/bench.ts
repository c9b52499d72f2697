/** The page's side of a visit: what the harness calls, with the clock. */

import type { BlockRuns, DownloadEngine, LoadedEngine, LoadEngine, Settings, Step } from './engine.js'

/** A load and how long it took. */
export interface TimedLoad extends Pick<LoadedEngine, 'threads' | 'build'> {
  readonly ms: number
  /** Whether this was the engine's own call for an address. */
  readonly own: boolean
}

/** A text and how long it took. */
export interface TimedText {
  readonly ms: number
  readonly text: string
  readonly newTokens: number
  readonly promptTokens: number
}

/** What a page of the benchmark offers. Errors cross as they are thrown. */
export interface PageBench {
  load(url: string, settings: Settings): Promise<TimedLoad>
  /** Milliseconds that the engine's own call for an address takes. */
  download(url: string, settings: Settings): Promise<number>
  write(prompt: string, tokens: number): Promise<TimedText>
  trace(prompt: string, tokens: number): Promise<readonly Step[]>
  blocks(prompt: string, tokens: number): Promise<BlockRuns | null>
  memoryBytes(): number | null
}

declare global {
  /** The engine of the page. */
  var bench: PageBench
}

/** Offers an engine as `bench`. */
export function offer(load: LoadEngine, download?: DownloadEngine): void {
  let engine: LoadedEngine | undefined
  const loaded = (): LoadedEngine => {
    if (!engine) throw new Error('no model is loaded')
    return engine
  }
  globalThis.bench = {
    async load(url, settings) {
      const { ms, value } = await timed(() => load(url, settings))
      engine = value
      return { ms, own: !download, threads: value.threads, build: value.build }
    },
    download: async (url, settings) => (await timed<unknown>(() => (download ?? load)(url, settings))).ms,
    async write(prompt, tokens) {
      const { ms, value } = await timed(() => loaded().write(prompt, tokens))
      const { text, newTokens } = value
      return { ms, text, newTokens, promptTokens: await value.promptTokens() }
    },
    trace: (prompt, tokens) => loaded().trace(prompt, tokens),
    blocks: (prompt, tokens) => loaded().blocks(prompt, tokens),
    memoryBytes: () => loaded().memoryBytes(),
  }
}

async function timed<T>(work: () => Promise<T>): Promise<{ readonly ms: number; readonly value: T }> {
  const begin = performance.now()
  const value = await work()
  return { ms: performance.now() - begin, value }
}
