import { createServer } from 'node:http'
import { describe, expect, it, vi } from 'vitest'
import { BlobFiles, BlobSink } from '../../src/blobs.js'
import {
  convertCheckpointWith,
  describeCheckpoint,
  inspectCheckpointWith,
  inspectModelWith,
  verifyModelWith,
} from '../../src/checkpoint.js'
import type { ConvertProgress, ReadProgress } from '../../src/checkpoint-types.js'
import { WebternError } from '../../src/errors.js'
import { edgeError, Fake, MODEL_REPORT, rejection, REPORT, VERIFICATION } from './fake.js'

// Node has no FileReaderSync. This one reads the size of a blob only; the browser tests read real ones.
vi.stubGlobal(
  'FileReaderSync',
  class {
    readAsArrayBuffer(blob: Blob): ArrayBuffer {
      return new ArrayBuffer(blob.size)
    }
  },
)

/** Files with these paths, as a directory input gives them. */
function filesAt(...paths: readonly string[]): File[] {
  return paths.map((path) => {
    const file = new File([path], path.slice(path.lastIndexOf('/') + 1))
    return Object.defineProperty(file, 'webkitRelativePath', { value: path.includes('/') ? path : '' })
  })
}

const names = (...paths: readonly string[]): string[] => describeCheckpoint(filesAt(...paths)).map(({ name }) => name)
const checkpoint = filesAt('config.json', 'model.safetensors')

describe('the files of a checkpoint', () => {
  it('are those beside the topmost config.json', () => {
    expect(names('config.json', 'tokenizer.json')).toEqual(['config.json', 'tokenizer.json'])
    expect(names('m/.git/config', 'm/onnx/config.json', 'm/config.json', 'm/w.safetensors')).toEqual([
      'config.json',
      'w.safetensors',
    ])
    expect(names('m/step-2/config.json', 'm/notes.txt', 'm/step-1/config.json')).toEqual(['config.json'])
    expect(names('m/deep/w.bin', 'm/w.safetensors')).toEqual(['w.safetensors'])
  })

  it('may come in any iterable', () => {
    expect(describeCheckpoint(new Set(checkpoint))).toHaveLength(2)
  })

  it.each([
    ['nothing', []],
    ['a lone file', new File([], 'config.json')],
    ['blobs without names', [new Blob()]],
    ['undefined', undefined],
  ])('are not %s', (_, files) => {
    // @ts-expect-error: as from JavaScript, where no compiler looks
    expect(() => describeCheckpoint(files)).toThrow('iterable of its Files')
  })

  it('have names of their own', () => {
    expect(() => names('config.json', 'config.json')).toThrow('two of the files are named config.json')
  })
})

describe('inspectCheckpoint', () => {
  it('hands over files and options, and ends its worker', async () => {
    const fake = new Fake()
    const inspectCheckpoint = inspectCheckpointWith(fake.spawn)
    const signal = new AbortController().signal
    expect(await inspectCheckpoint(checkpoint, { type: 'q8_0', signal })).toEqual(REPORT)
    expect(fake.log).toEqual(['inspect config.json,model.safetensors'])
    expect(fake.converterOptions).toEqual({ type: 'q8_0' })
    expect(fake.terminated).toBe(1)
  })
})

describe('convertCheckpoint', () => {
  it('gathers what is written, in order, and reports the end', async () => {
    const reports: ConvertProgress[] = []
    const fake = new Fake({
      onConvert: (files, sink, progress) => {
        for (let written = 1; written <= 8; written++) {
          sink.append(new Uint8Array([files.sizeOf('config.json') ?? 0, written]))
          progress(written, 8)
        }
      },
    })
    const { blob, report } = await convertCheckpointWith(fake.spawn)(checkpoint, {
      ternarize: true,
      onProgress: (progress) => reports.push(progress),
    })
    expect([...new Uint8Array(await blob.arrayBuffer())]).toEqual([1, 2, 3, 4, 5, 6, 7, 8].flatMap((n) => [11, n]))
    expect(report).toEqual(REPORT)
    expect(reports.at(-1)).toEqual({ phase: 'convert', loaded: 8, total: 8 })
    expect(fake.converterOptions).toEqual({ ternarize: true })
    expect(fake.terminated).toBe(1)
  })

  it.each(['io', 'malformed', 'unsupported-architecture'])('keeps the code %s and ends its worker', async (code) => {
    const fake = new Fake({
      onConvert: () => {
        throw edgeError(code, 'config.json: bad')
      },
    })
    const error = await rejection(convertCheckpointWith(fake.spawn)(checkpoint))
    expect(error).toBeInstanceOf(WebternError)
    expect(error).toMatchObject({ code, message: 'config.json: bad' })
    expect(fake.terminated).toBe(1)
  })

  it('says so when memory runs out', async () => {
    const fake = new Fake({
      onConvert: () => {
        throw new WebAssembly.RuntimeError('unreachable')
      },
    })
    const error = await rejection(convertCheckpointWith(fake.spawn)(checkpoint))
    expect(error).toMatchObject({ code: 'out-of-memory' })
    expect(String(error)).toContain('memory for a tensor')
  })

  it('is aborted before it starts, without a worker', async () => {
    const fake = new Fake()
    const signal = AbortSignal.abort('why')
    const error = await rejection(convertCheckpointWith(fake.spawn)(checkpoint, { signal }))
    expect(error).toMatchObject({ code: 'aborted', message: 'the conversion was aborted', cause: 'why' })
    expect(fake.terminated).toBe(0)
  })

  it('is aborted in the middle, and ends its worker', async () => {
    const controller = new AbortController()
    const fake = new Fake({ onConvert: () => controller.abort() })
    const converting = convertCheckpointWith(fake.spawn)(checkpoint, { signal: controller.signal })
    expect(await rejection(converting)).toMatchObject({ code: 'aborted' })
    expect(fake.terminated).toBe(1)
  })
})

describe('inspectModel', () => {
  it('reads blobs where they are', async () => {
    const fake = new Fake()
    const reports: ReadProgress[] = []
    const model = new File(['GGUF'], 'm.gguf')
    const report = await inspectModelWith(fake.spawn)(model, { onProgress: (progress) => reports.push(progress) })
    expect(report).toEqual(MODEL_REPORT)
    expect(fake.log).toEqual(['inspect m.gguf of m.gguf, 4 bytes'])
    expect(reports).toEqual([{ phase: 'inspect', loaded: 8, total: 8 }])
    expect(fake.terminated).toBe(1)
  })

  it('takes all files of a split model, in order', async () => {
    const fake = new Fake()
    const names = ['m-00002-of-00002.gguf', 'm-00001-of-00002.gguf']
    await inspectModelWith(fake.spawn)(names.map((name) => new File(['GGUF'], name)))
    expect(fake.log).toEqual([`inspect ${names[1] ?? ''} of ${names[1] ?? ''},${names[0] ?? ''}, 4 bytes`])
  })

  it('downloads what is elsewhere', async () => {
    const fake = new Fake()
    const reports: ReadProgress[] = []
    const server = createServer((_, response) => response.end('GGUF and more'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = address !== null && typeof address === 'object' ? address.port : 0
    const url = `http://127.0.0.1:${String(port)}/folder/m.gguf`
    await inspectModelWith(fake.spawn)(url, { onProgress: (progress) => reports.push(progress) })
    server.close()
    expect(fake.log).toEqual(['inspect m.gguf of m.gguf, 13 bytes'])
    expect(reports.at(-2)).toEqual({ phase: 'download', loaded: 13, total: 13 })
    expect(reports.at(-1)).toEqual({ phase: 'inspect', loaded: 8, total: 8 })
  })
})

describe('verifyModel', () => {
  it('hands over both sides', async () => {
    const fake = new Fake()
    expect(await verifyModelWith(fake.spawn)(new Blob(['GGUF']), checkpoint)).toEqual(VERIFICATION)
    expect(fake.log).toEqual(['verify 4 config.json,model.safetensors'])
    expect(fake.terminated).toBe(1)
  })
})

describe('blobs', () => {
  it('that cannot be read or kept are told in words', () => {
    class Broken {
      readAsArrayBuffer(): ArrayBuffer {
        throw new DOMException('gone', 'NotReadableError')
      }
    }
    vi.stubGlobal('FileReaderSync', Broken)
    const files = new BlobFiles(describeCheckpoint(checkpoint))
    expect(() => files.read('config.json', 0, new Uint8Array(4))).toThrow('it could not be read (gone)')
    const sink = new BlobSink()
    expect(() => sink.append(new Uint8Array(4))).toThrow('no room for 4 bytes after 0 (gone)')
  })
})
