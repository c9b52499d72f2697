/** The page side: a model that lives in a worker. No WebAssembly here. */

import { Channel } from './channel.js'
import { toWebternError, WebternError } from './errors.js'
import { checkChatTemplate, checkDetokenize, checkGenerate, checkLoad, checkTokenize } from './options.js'
import type { Protocol } from './protocol.js'
import { EventLog } from './run.js'
import { describeSource, parseUrl } from './source.js'
import type { Spawned } from './spawn.js'
import type {
  ChatMessage,
  ChatTemplateOptions,
  DetokenizeOptions,
  GenerateOptions,
  LoadModel,
  Model,
  ModelInfo,
  Run,
  TokenIds,
  TokenizeOptions,
} from './types.js'

/** `loadModel` for workers that `spawn` starts. */
export function loadModelWith(spawn: (workerUrl?: URL) => Spawned): LoadModel {
  return async (source, options = {}) => {
    checkLoad(options)
    const { onProgress, signal, threads = 1, wasmBaseUrl, workerUrl, ...engineOptions } = options
    const base = baseUrl()
    const params: Protocol['load']['params'] = {
      source: describeSource(source, base),
      options: engineOptions,
      threads,
      wasmBaseUrl: wasmBaseUrl === undefined ? undefined : parseUrl(wasmBaseUrl, base).href,
    }
    if (signal?.aborted) throw aborted(signal)
    const { port, name } = spawn(workerUrl === undefined ? undefined : parseUrl(workerUrl, base))
    const channel = new Channel(port, name)
    const abort = (): void => channel.close(aborted(signal))
    signal?.addEventListener('abort', abort)
    try {
      await channel.ready
      return new WorkerModel(channel, await channel.request('load', params, onProgress ? { onEvent: onProgress } : {}))
    } catch (error) {
      const reason = toWebternError(error, 'crashed')
      channel.close(reason)
      throw reason
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }
}

class WorkerModel implements Model {
  readonly #channel: Channel
  #info: ModelInfo

  constructor(channel: Channel, info: ModelInfo) {
    this.#channel = channel
    this.#info = info
  }

  get info(): ModelInfo {
    return this.#info
  }

  generate(options: GenerateOptions): Run {
    const request = checkGenerate(options)
    const log = new EventLog()
    this.#channel.request('generate', request, { onEvent: (event) => log.push(event), signal: options.signal }).then(
      ({ result, memoryBytes }) => {
        this.#info = { ...this.#info, memoryBytes }
        log.push({ type: 'done', result })
      },
      (error: unknown) => log.fail(toWebternError(error, 'crashed')),
    )
    return log
  }

  async tokenize(text: string, options: TokenizeOptions = {}): Promise<number[]> {
    checkTokenize({ text, ...options })
    const { addSpecial = true, parseSpecial = true } = options
    return this.#channel.request('tokenize', { text, addSpecial, parseSpecial })
  }

  async detokenize(ids: TokenIds, options: DetokenizeOptions = {}): Promise<string> {
    checkDetokenize({ ids, ...options })
    return this.#channel.request('detokenize', {
      ids: Uint32Array.from(ids),
      skipSpecial: options.skipSpecial ?? false,
    })
  }

  async applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): Promise<string> {
    checkChatTemplate({ messages, ...options })
    return this.#channel.request('applyChatTemplate', {
      messages,
      addGenerationPrompt: options.addGenerationPrompt ?? true,
    })
  }

  async unload(): Promise<void> {
    this.#channel.close(new WebternError('aborted', 'the model was unloaded: load it again to use it'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unload()
  }
}

/** What relative URLs are relative to: the page, or a worker's script; on a server there is nothing. */
function baseUrl(): string | undefined {
  if (typeof document !== 'undefined') return document.baseURI
  return typeof location === 'undefined' ? undefined : location.href
}

function aborted(signal: AbortSignal | undefined): WebternError {
  return new WebternError('aborted', 'loading the model was aborted', { cause: signal?.reason })
}
