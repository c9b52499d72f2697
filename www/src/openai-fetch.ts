/**
 * `model.fetch`: a `fetch` whose server is the model's worker. The protocol is spoken there, by the
 * Rust crate's `openai`; here requests become messages, and messages responses.
 */

import type { Channel } from './channel.js'
import { toWebternError } from './errors.js'

/** Clients repeat requests that fail; the same model would fail again. */
const HEADERS = { 'x-should-retry': 'false' }

/** Answers a request. Rejects with an `AbortError` only. */
export async function respond(channel: Channel, input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init)
  const { signal } = request
  signal.throwIfAborted()
  const path = new URL(request.url).pathname
  const params = { method: request.method, path, body: await request.text() }
  return new Promise((resolve, reject) => {
    const leave = new AbortController()
    const stream = new ResponseStream(() => leave.abort())
    const answer = channel.request('respond', params, {
      signal: leave.signal,
      onEvent: ({ text }) => {
        if (stream.write(text)) resolve(new Response(stream.body, { headers: eventStream }))
      },
    })
    const abort = (): void => {
      leave.abort()
      const reason: unknown = signal.reason
      const error = reason instanceof Error ? reason : new DOMException(String(reason), 'AbortError')
      stream.fail(error)
      reject(error)
    }
    signal.addEventListener('abort', abort)
    answer
      .then(
        ({ status, text }) => {
          if (stream.begun) stream.end(text)
          else resolve(new Response(text, { status, headers: json }))
        },
        (error: unknown) => {
          const { message, code } = toWebternError(error, 'crashed')
          const body = JSON.stringify({ error: { message, type: 'server_error', param: null, code } })
          if (stream.begun) stream.end(`data: ${body}\n\n`)
          else resolve(new Response(body, { status: 500, headers: json }))
        },
      )
      .finally(() => signal.removeEventListener('abort', abort))
  })
}

const json = { ...HEADERS, 'content-type': 'application/json' }
const eventStream = { ...HEADERS, 'content-type': 'text/event-stream' }

/** The body of a streamed response, which exists once something was written. */
class ResponseStream {
  readonly #encoder = new TextEncoder()
  readonly #onCancel: () => void
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #body: ReadableStream<Uint8Array> | undefined

  constructor(onCancel: () => void) {
    this.#onCancel = onCancel
  }

  get begun(): boolean {
    return this.#body !== undefined
  }

  get body(): ReadableStream<Uint8Array> | null {
    return this.#body ?? null
  }

  /** Appends text; true if it was the first. */
  write(text: string): boolean {
    const first = !this.begun
    this.#body ??= new ReadableStream({
      start: (controller) => {
        this.#controller = controller
      },
      cancel: () => {
        this.#controller = undefined
        this.#onCancel()
      },
    })
    if (text) this.#controller?.enqueue(this.#encoder.encode(text))
    return first
  }

  end(text: string): void {
    this.write(text)
    this.#controller?.close()
    this.#controller = undefined
  }

  fail(reason: unknown): void {
    this.#controller?.error(reason)
    this.#controller = undefined
  }
}
