/** The page's side of a model that lives in a worker. No WebAssembly here. */

import type { Channel } from './channel.js'
import { baseUrl, connect, scriptUrl, wasmBase } from './connect.js'
import { toWebternError, WebternError } from './errors.js'
import { call, ChatCompletionsClient, CompletionsClient } from './openai-client.js'
import { respond } from './openai-fetch.js'
import { checkChatTemplate, checkDetokenize, checkGenerate, checkLoad, checkTokenize } from './options.js'
import { PoolStarter } from './pool-starter.js'
import type { GenerationEvents } from './protocol.js'
import { EventLog } from './run.js'
import { WorkerSession } from './session.js'
import { describeSource } from './source.js'
import type { Spawn } from './spawn.js'
import type {
  ChatMessage,
  ChatTemplateOptions,
  ChooseOptions,
  DetokenizeOptions,
  GenerateOptions,
  LoadModel,
  Model,
  ModelInfo,
  Run,
  Session,
  TokenIds,
  TokenizeOptions,
} from './types.js'

/** `loadModel` for workers that `spawn` starts. */
export function loadModelWith(spawn: Spawn): LoadModel {
  return async (source, options = {}) => {
    checkLoad(options)
    const { onProgress, signal: _signal, threads, wasmBaseUrl: _base, workerUrl: _worker, ...engineOptions } = options
    const params = {
      source: describeSource(source, baseUrl()),
      options: engineOptions,
      threads,
      wasmBaseUrl: wasmBase(options),
    }
    const workerUrl = scriptUrl(options.workerUrl)
    return connect(spawn, 'loading the model', options, async (channel) => {
      const pool = new PoolStarter(() => spawn.pool(workerUrl))
      channel.onClose(() => pool.terminate())
      const info = await channel.request(
        'load',
        { ...params, pool: pool.enginePort },
        { onEvent: onProgress, transfer: [pool.enginePort] },
      )
      return new WorkerModel(channel, info)
    })
  }
}

class WorkerModel implements Model {
  readonly #channel: Channel
  #info: ModelInfo
  #nextSession = 1

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
    const onEvent = (events: GenerationEvents): void => log.push(...events)
    this.#channel.request('generate', request, { onEvent, signal: options.signal }).then(
      ({ result, memoryBytes }) => {
        this.#info = { ...this.#info, memoryBytes }
        log.push({ type: 'done', result })
      },
      (error: unknown) => log.fail(toWebternError(error, 'crashed')),
    )
    return log
  }

  readonly fetch: typeof fetch = (input, init) => respond(this.#channel, input, init)

  readonly chat = { completions: new ChatCompletionsClient(this.fetch) }

  readonly completions = new CompletionsClient(this.fetch)

  async choose(
    prompt: string | readonly ChatMessage[],
    options: readonly string[],
    { normalize, signal }: ChooseOptions = {},
  ): Promise<number[]> {
    const asked = typeof prompt === 'string' ? { prompt } : { messages: prompt }
    const { probabilities } = await call<{ probabilities: number[] }>(
      this.fetch,
      '/choose',
      { ...asked, options, normalize },
      signal,
    )
    return probabilities
  }

  session(): Session {
    return WorkerSession.begin({
      channel: this.#channel,
      nextId: () => this.#nextSession++,
      memory: (memoryBytes) => (this.#info = { ...this.#info, memoryBytes }),
    })
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
      templateArguments: options.chatTemplateArgs ?? {},
    })
  }

  async unload(): Promise<void> {
    this.#channel.close(new WebternError('aborted', 'the model was unloaded: load it again to use it'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unload()
  }
}
