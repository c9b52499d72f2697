/**
 * Model sources as streams of bytes.
 *
 * The page converts a source to {@link SourceParts}, which can be sent to the worker without
 * copying a model. The worker reads them, at most {@link PIECE_BYTES} at a time and only as fast as
 * the engine takes them.
 */

import { messageOf, WebternError } from './errors.js'
import { badOption, isObject } from './options.js'
import { TINY, tinyUrl } from './tiny.js'
import type { HuggingFaceSource, LoadProgress, ModelSource } from './types.js'

/** Largest piece. */
export const PIECE_BYTES = 1 << 20

/** A source in a form that can be sent: the model of this package, or files in order. */
export type SourceParts =
  | { readonly kind: 'tiny' }
  | { readonly kind: 'urls'; readonly urls: readonly string[] }
  | { readonly kind: 'blobs'; readonly blobs: readonly { readonly name: string; readonly blob: Blob }[] }

/** A file being read. */
export interface InputFile {
  readonly name: string
  /** Its exact size, if that is certain. */
  readonly size: number | undefined
  /**
   * Its bytes, in pieces of at most {@link PIECE_BYTES}, each valid until the next is requested.
   * Checks the length at the end if `size` is known.
   */
  readonly pieces: AsyncIterable<Uint8Array<ArrayBuffer>>
}

/** A source being read. */
export interface Input {
  readonly phase: LoadProgress['phase']
  /** Bytes in all files, if known by now. */
  readonly total: number | null
  files(): AsyncIterable<InputFile>
}

/** Page side: checks a source and makes it sendable. Relative URLs are relative to `base`. */
export function describeSource(source: ModelSource, base: string | undefined): SourceParts {
  if (source === TINY) return { kind: 'tiny' }
  if (typeof source === 'string' || source instanceof URL) return { kind: 'urls', urls: urlsOf(parseUrl(source, base)) }
  if (Array.isArray(source)) return { kind: 'blobs', blobs: sortParts(source) }
  if (typeof FileList !== 'undefined' && source instanceof FileList)
    return { kind: 'blobs', blobs: sortParts([...source]) }
  if (source instanceof File) return { kind: 'blobs', blobs: sortParts([source]) }
  if (source instanceof Blob) return { kind: 'blobs', blobs: [{ name: 'Blob', blob: source }] }
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    return { kind: 'blobs', blobs: [{ name: 'ArrayBuffer', blob: new Blob([source]) }] }
  }
  if (isHuggingFace(source)) return { kind: 'urls', urls: urlsOf(huggingFaceUrl(source)) }
  throw badOption(
    "the model must be 'tiny', a URL, a File, a Blob, an array of Files or a FileList, an ArrayBuffer, or { repo, file, revision? }",
  )
}

/** Worker side: begins to read; the first download has begun when this returns. */
export function openSource(parts: SourceParts, wasmBaseUrl?: string): Input {
  switch (parts.kind) {
    case 'tiny':
      return new UrlInput([tinyUrl(wasmBaseUrl)], besideScripts)
    case 'urls':
      return new UrlInput(parts.urls, directLink)
    case 'blobs':
      return openBlobs(parts.blobs)
  }
}

/** @throws {WebternError} `bad-option` */
export function parseUrl(source: string | URL, base: string | undefined): URL {
  let url: URL
  try {
    url = new URL(source, base)
  } catch {
    throw badOption(`${JSON.stringify(String(source))} is not a URL`)
  }
  if (url.protocol === 'file:')
    throw badOption(`a page cannot read ${url.href}: let the user choose the file, and pass the File`)
  return url
}

function huggingFaceUrl({ repo, file, revision = 'main', ...rest }: HuggingFaceSource): URL {
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined)
    throw badOption(`a Hugging Face source has no "${unknown}"; it has repo, file and revision`)
  if (!/^[\w.-]+\/[\w.-]+$/.test(repo)) throw badOption(`repo must be "owner/name", not ${JSON.stringify(repo)}`)
  if (file === '' || revision === '') throw badOption('file and revision must not be empty')
  const path = file.split('/').map(encodeURIComponent).join('/')
  return new URL(`https://huggingface.co/${repo}/resolve/${encodeURIComponent(revision)}/${path}`)
}

function isHuggingFace(source: unknown): source is HuggingFaceSource {
  if (!isObject(source) || typeof source['repo'] !== 'string' || typeof source['file'] !== 'string') return false
  return source['revision'] === undefined || typeof source['revision'] === 'string'
}

/** Part `index` of `count` in a name like `model-00001-of-00003.gguf`. */
interface Part {
  readonly index: number
  readonly count: number
}

function partOf(name: string): Part | undefined {
  const [, index, count] = /-(\d{5})-of-(\d{5})\.gguf$/.exec(name) ?? []
  return index === undefined || count === undefined ? undefined : { index: Number(index), count: Number(count) }
}

function urlsOf(first: URL): string[] {
  const part = partOf(first.pathname)
  if (!part || part.count < 2) return [first.href]
  if (part.index !== 1)
    throw badOption(
      `${first.href} is part ${String(part.index)} of a split model: pass the first part; the others follow`,
    )
  return Array.from({ length: part.count }, (_, i) => {
    const url = new URL(first)
    url.pathname = url.pathname.replace(/-00001(?=-of-\d{5}\.gguf$)/, `-${String(i + 1).padStart(5, '0')}`)
    return url.href
  })
}

function sortParts(files: readonly File[]): { name: string; blob: Blob }[] {
  if (files.length === 0 || !files.every((file) => file instanceof File))
    throw badOption('the array must hold the Files of a split model')
  const parts = files.map((blob) => ({ name: blob.name, blob, part: partOf(blob.name) }))
  const count = parts[0]?.part?.count ?? 1
  parts.sort((a, b) => (a.part?.index ?? 1) - (b.part?.index ?? 1))
  const complete =
    parts.length === count && parts.every(({ part }, i) => (part?.count ?? 1) === count && (part?.index ?? 1) === i + 1)
  if (complete) return parts.map(({ name, blob }) => ({ name, blob }))
  throw badOption(
    `these files are not one whole model: ${parts.map(({ name }) => name).join(', ')}` +
      (count > 1
        ? `; pass an array of all ${String(count)} files that end in -0000N-of-${String(count).padStart(5, '0')}.gguf`
        : ''),
  )
}

function openBlobs(blobs: readonly { readonly name: string; readonly blob: Blob }[]): Input {
  return {
    phase: 'load',
    total: blobs.reduce((sum, { blob }) => sum + blob.size, 0),
    async *files() {
      for (const { name, blob } of blobs) {
        const failed = (_: number, error: unknown): WebternError =>
          new WebternError(
            'io',
            `${name} could not be read (${messageOf(error)}): choose it again if it moved or changed`,
            { cause: error },
          )
        yield {
          name,
          size: blob.size,
          pieces: readPieces(blob.stream(), {
            name,
            size: blob.size,
            webPage: 'not-gguf',
            advice: directLink,
            failed,
          }),
        }
      }
    },
  }
}

class UrlInput implements Input {
  readonly phase = 'download'
  total: number | null = null
  readonly #urls: readonly string[]
  readonly #advice: string
  /** The request that has begun: the first, until the files are read. */
  readonly #begun: Promise<Response>[]

  /** `advice` says what to do if something else is at an address. */
  constructor(urls: readonly string[], advice: string) {
    this.#urls = urls
    this.#advice = advice
    this.#begun = urls.slice(0, 1).map((url) => request(url, advice))
    // Reading the files rejects with it.
    for (const response of this.#begun) response.catch(() => undefined)
  }

  async *files(): AsyncGenerator<InputFile> {
    if (this.#urls.length > 1) this.total = await totalSize(this.#urls)
    for (const url of this.#urls) {
      const response = await (this.#begun.shift() ?? request(url, this.#advice))
      const length = contentLength(response)
      if (this.#urls.length === 1) this.total = length ?? null
      // Another origin's Content-Encoding is hidden, and with it whether Content-Length counts
      // these bytes.
      const size = response.type === 'cors' ? undefined : length
      const failed = (read: number, error: unknown): WebternError =>
        new WebternError(
          'network',
          `${url}: the connection was cut after ${String(read)} of ${String(length ?? 'an unknown number of')} bytes (${messageOf(error)}): try again`,
          { cause: error },
        )
      const body = response.body ?? new Blob([]).stream()
      const reading = { name: url, size, webPage: 'http', advice: this.#advice, failed } as const
      yield { name: nameOf(url), size, pieces: readPieces(body, reading) }
    }
  }
}

interface Reading {
  readonly name: string
  readonly size: number | undefined
  /** Error code if the bytes are those of a web page. */
  readonly webPage: 'http' | 'not-gguf'
  readonly advice: string
  readonly failed: (read: number, error: unknown) => WebternError
}

/** Reads a stream to its end, checks its bytes, and cancels it if the reader leaves early. */
async function* readPieces(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  { name, size, webPage, advice, failed }: Reading,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = openReader(stream)
  let read = 0
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw failed(read, error)
      })
      if (done) break
      if (read === 0 && value[0] === '<'.charCodeAt(0)) {
        throw new WebternError(webPage, `${name} is a web page, not a model: it begins with "<"; ${advice}`)
      }
      read += value.length
      if (size !== undefined && read > size) {
        throw new WebternError('malformed', `${name} sent more than the ${String(size)} bytes of its Content-Length`)
      }
      for (let at = 0; at < value.length; at += PIECE_BYTES) yield value.subarray(at, at + PIECE_BYTES)
    }
    if (read === 0) throw new WebternError('truncated', `${name} is empty`)
    if (size !== undefined && read < size) {
      throw new WebternError('truncated', `${name} ended after ${String(read)} of ${String(size)} bytes: try again`)
    }
  } finally {
    reader.cancel().catch(() => undefined)
  }
}

interface Reader {
  read(): Promise<ReadableStreamReadResult<Uint8Array<ArrayBuffer>>>
  cancel(): Promise<void>
}

/** Reads byte streams into one buffer; other streams allocate one for every piece. */
function openReader(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Reader {
  let reader: ReadableStreamBYOBReader
  try {
    reader = stream.getReader({ mode: 'byob' })
  } catch {
    return stream.getReader()
  }
  let buffer = new ArrayBuffer(PIECE_BYTES)
  return {
    async read() {
      const result = await reader.read(new Uint8Array(buffer))
      if (!result.done) buffer = result.value.buffer
      return result
    },
    cancel: () => reader.cancel(),
  }
}

const directLink = 'the URL must lead to the file itself (on Hugging Face: /resolve/, not /blob/)'
const besideScripts =
  'tiny.gguf must be served beside the scripts of webtern, or in the folder that the option wasmBaseUrl names'

async function request(url: string, advice: string): Promise<Response> {
  const response = await fetch(url).catch((error: unknown) => {
    throw new WebternError(
      'network',
      `${url} could not be reached (${messageOf(error)}): check the address and the connection, and that the server allows ` +
        'other sites to read it (CORS)',
      { cause: error },
    )
  })
  if (!response.ok) {
    const answer = `${url} answered ${String(response.status)} ${response.statusText}`.trimEnd()
    throw new WebternError('http', `${answer}: ${advice}`)
  }
  if (response.headers.get('content-type')?.startsWith('text/html')) {
    throw new WebternError('http', `${url} answered with a web page (text/html), not a model: ${advice}`)
  }
  return response
}

/** The `Content-Length` of a response, unless that counts an encoded form. */
function contentLength(response: Response): number | undefined {
  const encoding = response.headers.get('content-encoding') ?? 'identity'
  const length = response.headers.get('content-length') ?? ''
  return encoding === 'identity' && /^\d{1,15}$/.test(length) ? Number(length) : undefined
}

/** The sum of several files' sizes, or `null` if one is unknown. Only progress reports need it. */
async function totalSize(urls: readonly string[]): Promise<number | null> {
  const sizes = await Promise.all(
    urls.map((url) =>
      fetch(url, { method: 'HEAD' }).then(
        (response) => (response.ok ? contentLength(response) : undefined),
        () => undefined,
      ),
    ),
  )
  return sizes.reduce<number | null>((sum, size) => (sum === null || size === undefined ? null : sum + size), 0)
}

function nameOf(url: string): string {
  const name = new URL(url).pathname.split('/').at(-1) ?? ''
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
