/** `model.chat.completions` and `model.completions`: OpenAI's calls on top of `model.fetch`. */

import { WebternError } from './errors.js'
import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionRequest,
  ChatCompletions,
  Completion,
  CompletionRequest,
  Completions,
  RequestOptions,
} from './openai-types.js'

/** A name that no server can have. */
const BASE_URL = 'https://webtern.invalid/v1'

/** Posts a request and reads the answer. Rejects with a {@link WebternError} for a refusal. */
export async function call<T>(
  fetch: typeof globalThis.fetch,
  path: string,
  body: object,
  signal?: AbortSignal,
): Promise<T> {
  return read<T>(await post(fetch, path, body, signal))
}

export class ChatCompletionsClient implements ChatCompletions {
  readonly #fetch: typeof globalThis.fetch

  constructor(fetch: typeof globalThis.fetch) {
    this.#fetch = fetch
  }

  create(
    body: ChatCompletionRequest & { readonly stream: true },
    options?: RequestOptions,
  ): Promise<AsyncIterable<ChatCompletionChunk>>
  create(
    body: ChatCompletionRequest & { readonly stream?: false | null },
    options?: RequestOptions,
  ): Promise<ChatCompletion>
  create(
    body: ChatCompletionRequest & { readonly stream?: boolean | null },
    options?: RequestOptions,
  ): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>> {
    return create(this.#fetch, '/chat/completions', body, options)
  }
}

export class CompletionsClient implements Completions {
  readonly #fetch: typeof globalThis.fetch

  constructor(fetch: typeof globalThis.fetch) {
    this.#fetch = fetch
  }

  create(
    body: CompletionRequest & { readonly stream: true },
    options?: RequestOptions,
  ): Promise<AsyncIterable<Completion>>
  create(body: CompletionRequest & { readonly stream?: false | null }, options?: RequestOptions): Promise<Completion>
  create(
    body: CompletionRequest & { readonly stream?: boolean | null },
    options?: RequestOptions,
  ): Promise<Completion | AsyncIterable<Completion>> {
    return create(this.#fetch, '/completions', body, options)
  }
}

async function create<Whole, Chunk>(
  fetch: typeof globalThis.fetch,
  path: string,
  body: { readonly stream?: boolean | null },
  { signal }: RequestOptions = {},
): Promise<Whole | AsyncIterable<Chunk>> {
  const response = await post(fetch, path, body, signal)
  return response.ok && body.stream === true ? chunks<Chunk>(response) : read<Whole>(response)
}

function post(
  fetch: typeof globalThis.fetch,
  path: string,
  body: object,
  signal?: AbortSignal | null,
): Promise<Response> {
  // Text with half a surrogate pair or NUL is no text for a tokenizer.
  const text = JSON.stringify(body, (_key, value: unknown) => (typeof value === 'string' ? wellFormed(value) : value))
  return fetch(`${BASE_URL}${path}`, { method: 'POST', body: text, signal: signal ?? null })
}

function wellFormed(text: string): string {
  return text.replace(/\0|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, '\uFFFD')
}

// Bodies are trusted to hold their type: both sides come from one release.

async function read<T>(response: Response): Promise<T> {
  const text = await response.text()
  if (!response.ok) throw refusal(text)
  const parse: (text: string) => T = JSON.parse
  return parse(text)
}

/** The error of a body `{ error: { message, code } }`. */
function refusal(text: string): WebternError {
  const parse: (text: string) => { error: { message: string; code: string | null } } = JSON.parse
  const { message, code } = parse(text).error
  return new WebternError(code === 'context_length_exceeded' ? 'context-full' : 'bad-option', message)
}

/** The events of a stream, which ends with `[DONE]`. */
async function* chunks<T>(response: Response): AsyncGenerator<T, void, undefined> {
  let text = ''
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader()
  const decoder = new TextDecoder()
  const parse: (text: string) => T = JSON.parse
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      text += decoder.decode(value, { stream: true })
      const events = text.split('\n\n')
      text = events.pop() ?? ''
      for (const event of events) {
        const data = event.replace(/^data: /, '')
        if (data === '[DONE]') return
        if (data.startsWith('{"error"')) throw refusal(data)
        yield parse(data)
      }
    }
  } finally {
    // A reader that leaves early ends the generation.
    await reader.cancel()
  }
}
