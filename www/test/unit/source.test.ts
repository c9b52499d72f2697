import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { describeSource, openSource, PIECE_BYTES } from '../../src/source.js'
import type { SourceParts } from '../../src/source.js'
import { rejection } from './fake.js'

const cleanups: (() => void)[] = []
afterEach(() => {
  cleanups.splice(0).forEach((cleanup) => cleanup())
  vi.unstubAllGlobals()
})

async function server(listener: RequestListener): Promise<string> {
  const http = createServer(listener)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    http.closeAllConnections()
    http.close()
  })
  const address = http.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `http://127.0.0.1:${String(address.port)}`
}

interface Read {
  readonly files: { readonly name: string; readonly size: number | undefined; readonly bytes: string }[]
  readonly total: number | null
  readonly largest: number
}

async function readAll(parts: SourceParts, wasmBaseUrl?: string): Promise<Read> {
  const input = openSource(parts, wasmBaseUrl)
  const files: Read['files'][number][] = []
  let largest = 0
  for await (const { name, size, pieces } of input.files()) {
    let bytes = ''
    for await (const piece of pieces) {
      largest = Math.max(largest, piece.length)
      bytes += Buffer.from(piece).toString('latin1')
    }
    files.push({ name, size, bytes })
  }
  return { files, total: input.total, largest }
}

const url = (...urls: string[]): SourceParts => ({ kind: 'urls', urls })
const file = (name: string, text = name): File => new File([text], name)

describe('describeSource', () => {
  it('resolves URLs against the page', () => {
    expect(describeSource('m.gguf', 'https://a.org/app/')).toEqual(url('https://a.org/app/m.gguf'))
    expect(describeSource(new URL('https://b.org/m.gguf'), undefined)).toEqual(url('https://b.org/m.gguf'))
  })

  it('knows the model of this package by its name, which is no URL', () => {
    expect(describeSource('tiny', undefined)).toEqual({ kind: 'tiny' })
    expect(describeSource('./tiny', 'https://a.org/app/')).toEqual(url('https://a.org/app/tiny'))
    expect(describeSource('tiny.gguf', 'https://a.org/app/')).toEqual(url('https://a.org/app/tiny.gguf'))
  })

  it('spells out the URL of a Hugging Face file', () => {
    expect(describeSource({ repo: 'o/n', file: 'a b/m.gguf' }, undefined)).toEqual(
      url('https://huggingface.co/o/n/resolve/main/a%20b/m.gguf'),
    )
    expect(describeSource({ repo: 'o/n', file: 'm.gguf', revision: 'refs/pr/1' }, undefined)).toEqual(
      url('https://huggingface.co/o/n/resolve/refs%2Fpr%2F1/m.gguf'),
    )
  })

  it('finds all parts of a split model', () => {
    expect(describeSource('https://a.org/m-00001-of-00003.gguf?key=1', undefined)).toEqual(
      url(
        'https://a.org/m-00001-of-00003.gguf?key=1',
        'https://a.org/m-00002-of-00003.gguf?key=1',
        'https://a.org/m-00003-of-00003.gguf?key=1',
      ),
    )
    const [one, two] = [file('m-00001-of-00002.gguf'), file('m-00002-of-00002.gguf')]
    const parts = [
      { name: one.name, blob: one },
      { name: two.name, blob: two },
    ]
    expect(describeSource([two, one], undefined)).toEqual({ kind: 'blobs', blobs: parts })
  })

  it('takes the files of an input element as they are', () => {
    class FileList {
      *[Symbol.iterator](): Iterator<File> {
        yield file('m.gguf')
      }
    }
    vi.stubGlobal('FileList', FileList)
    // @ts-expect-error: not the browser's own, which cannot be made here
    expect(describeSource(new FileList(), undefined)).toMatchObject({ kind: 'blobs', blobs: [{ name: 'm.gguf' }] })
  })

  it.each([
    ['', 'is not a URL'],
    ['http://', 'is not a URL'],
    ['file:///m.gguf', 'a page cannot read'],
    ['https://a.org/m-00002-of-00003.gguf', 'pass the first part'],
    [{ repo: 'name', file: 'm.gguf' }, 'repo must be "owner/name"'],
    [{ repo: 'o/n', file: '' }, 'must not be empty'],
    [{ repo: 'o/n', file: 'm', branch: 'x' }, 'has no "branch"'],
    [[], 'must hold the Files'],
    [file('m-00001-of-00002.gguf'), 'all 2 files'],
    [[file('m-00001-of-00002.gguf'), file('n-00001-of-00002.gguf')], 'not one whole model'],
    [[file('a.gguf'), file('b.gguf')], 'not one whole model'],
  ] as const)('rejects %j', (source, message) => {
    expect(() => describeSource(source, undefined)).toThrow(message)
    expect(() => describeSource(source, undefined)).toThrow(expect.objectContaining({ code: 'bad-option' }))
  })

  it('rejects what no type allows', () => {
    for (const source of [undefined, null, 7, {}, { repo: 'o/n' }, [1]]) {
      // @ts-expect-error: such a source does not compile
      expect(() => describeSource(source, undefined)).toThrow(expect.objectContaining({ code: 'bad-option' }))
    }
  })
})

describe('openSource', () => {
  it('reads blobs in pieces, in order', async () => {
    const big = 'x'.repeat(2.5 * PIECE_BYTES)
    const read = await readAll(
      describeSource([file('m-00001-of-00002.gguf', big), file('m-00002-of-00002.gguf', 'y')], undefined),
    )
    expect(read.files.map(({ bytes }) => bytes)).toEqual([big, 'y'])
    expect(read.total).toBe(big.length + 1)
    expect(read.largest).toBeLessThanOrEqual(PIECE_BYTES)
  })

  it('reads a URL, with its size', async () => {
    const base = await server((_, response) => response.setHeader('content-length', 4).end('GGUF'))
    expect(await readAll(url(`${base}/dir/my%20model.gguf?x`))).toMatchObject({
      total: 4,
      files: [{ name: 'my model.gguf', size: 4, bytes: 'GGUF' }],
    })
  })

  it('asks for the first file at once, and for no file twice', async () => {
    const asked: string[] = []
    const base = await server((request, response) => {
      asked.push(`${request.method ?? ''} ${request.url ?? ''}`)
      response.end('GGUF')
    })
    const input = openSource(url(`${base}/1`))
    await vi.waitFor(() => expect(asked).toEqual(['GET /1']))
    for await (const { pieces } of input.files()) for await (const piece of pieces) expect(piece).toHaveLength(4)
    expect(asked).toEqual(['GET /1'])
  })

  it('finds the model of this package where wasmBaseUrl says, and says so where it is not', async () => {
    const base = await server((request, response) =>
      request.url === '/assets/tiny.gguf' ? response.end('GGUF') : response.writeHead(404).end(),
    )
    expect(await readAll({ kind: 'tiny' }, `${base}/assets/`)).toMatchObject({
      files: [{ name: 'tiny.gguf', bytes: 'GGUF' }],
    })
    const error = await rejection(readAll({ kind: 'tiny' }, `${base}/other/`))
    expect(error).toMatchObject({ code: 'http' })
    expect(String(error)).toMatch(/other\/tiny\.gguf answered 404 .*wasmBaseUrl/)
  })

  it('reads all parts and knows their total size', async () => {
    const base = await server((request, response) => {
      const body = `GGUF${request.url ?? ''}`
      response.setHeader('content-length', body.length).end(request.method === 'HEAD' ? undefined : body)
    })
    const read = await readAll(url(`${base}/1`, `${base}/2`))
    expect(read.files.map(({ bytes }) => bytes)).toEqual(['GGUF/1', 'GGUF/2'])
    expect(read.total).toBe(12)
  })

  it('does not take the length of compressed bytes for that of the file', async () => {
    const base = await server((_, response) =>
      response.setHeader('content-encoding', 'gzip').end(gzipSync('GGUF'.repeat(500))),
    )
    expect(await readAll(url(base))).toMatchObject({
      total: null,
      files: [{ size: undefined, bytes: 'GGUF'.repeat(500) }],
    })
  })

  it.each([404, 403, 500])('rejects status %d by name', async (status) => {
    const base = await server((_, response) => response.writeHead(status).end())
    const error = await rejection(readAll(url(`${base}/m.gguf`)))
    expect(error).toMatchObject({ code: 'http' })
    expect(String(error)).toContain(`${base}/m.gguf answered ${String(status)}`)
  })

  it('rejects a web page, declared or not', async () => {
    const declared = await server((_, response) =>
      response.setHeader('content-type', 'text/html; charset=utf-8').end('GGUF'),
    )
    expect(await rejection(readAll(url(declared)))).toMatchObject({ code: 'http' })
    const bare = await server((_, response) => response.end('<!doctype html>'))
    expect(await rejection(readAll(url(bare)))).toMatchObject({ code: 'http' })
    expect(await rejection(readAll(describeSource(file('m.gguf', '<html>'), undefined)))).toMatchObject({
      code: 'not-gguf',
    })
  })

  it('rejects a connection that is cut, and tells where', async () => {
    const base = await server((_, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('GGUF', () => setTimeout(() => response.destroy(), 20))
    })
    const error = await rejection(readAll(url(base)))
    expect(error).toMatchObject({ code: 'network' })
    expect(String(error)).toContain('cut after 4 of 100 bytes')
  })

  it('rejects a server that is not there', async () => {
    const error = await rejection(readAll(url('http://127.0.0.1:9/m.gguf')))
    expect(error).toMatchObject({ code: 'network' })
    expect(String(error)).toContain('http://127.0.0.1:9/m.gguf')
  })

  it.each([
    ['shorter', '5', 'truncated', 'ended after 4 of 5 bytes'],
    ['longer', '3', 'malformed', 'more than the 3 bytes'],
  ])('rejects a body %s than its Content-Length', async (_, length, code, message) => {
    vi.stubGlobal('fetch', async () => new Response('GGUF', { headers: { 'content-length': length } }))
    const error = await rejection(readAll(url('https://a.org/m.gguf')))
    expect(error).toMatchObject({ code })
    expect(String(error)).toContain(message)
  })

  it('rejects an empty file', async () => {
    expect(await rejection(readAll(describeSource(file('m.gguf', ''), undefined)))).toMatchObject({ code: 'truncated' })
    const base = await server((_, response) => response.end())
    expect(await rejection(readAll(url(base)))).toMatchObject({ code: 'truncated' })
  })

  it('rejects a file that can no longer be read', async () => {
    const blob = new Blob(['GGUF'])
    vi.spyOn(blob, 'stream').mockReturnValue(
      new ReadableStream({ pull: () => Promise.reject(new Error('it changed')) }),
    )
    const error = await rejection(readAll({ kind: 'blobs', blobs: [{ name: 'm.gguf', blob }] }))
    expect(error).toMatchObject({ code: 'io' })
    expect(String(error)).toContain('it changed')
  })

  it('ends the download when its reader stops', async () => {
    let cancelled = false
    const body = new ReadableStream({
      pull: (out) => out.enqueue(new TextEncoder().encode('GGUF')),
      cancel: () => void (cancelled = true),
    })
    vi.stubGlobal('fetch', async () => new Response(body))
    for await (const { pieces } of openSource(url('https://a.org/m.gguf')).files()) {
      for await (const piece of pieces) {
        expect(piece).toHaveLength(4)
        break
      }
      break
    }
    expect(cancelled).toBe(true)
  })
})
