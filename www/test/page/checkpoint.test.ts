/** What the convert view makes of names, entries and reports; no browser needed. */

import { describe, expect, it } from 'vitest'
import { checkpointOfEntries, checkpointOfFiles } from '../../demo/src/checkpoint.ts'
import { groupTensors } from '../../demo/src/tensor-groups.ts'
import type { TensorReport } from '../../src/checkpoint-types.ts'

const tensor = (name: string, rest: Partial<TensorReport> = {}): TensorReport => ({
  name,
  source: name,
  sourceType: 'F32',
  type: 'Q2_0',
  dims: [128, 64],
  fallback: null,
  origin: null,
  scale: null,
  group: null,
  zeros: null,
  ...rest,
})

describe('groupTensors', () => {
  it('joins layers that are alike, and only those', () => {
    const layers = [0, 1, 2, 4, 7].map((layer) => tensor(`blk.${layer}.attn_q.weight`))
    const other = tensor('blk.3.attn_q.weight', { type: 'F16', fallback: 'rows of 100 weights' })
    expect(groupTensors([tensor('output.weight'), ...layers, other])).toMatchObject([
      { name: 'output.weight', layers: '', shape: '64 × 128', to: 'Q2_0' },
      { name: 'attn_q.weight', layers: '0–2, 4, 7', to: 'Q2_0', notes: [] },
      { name: 'attn_q.weight', layers: '3', to: 'F16', notes: ['rows of 100 weights'] },
    ])
  })

  it('sums up what became known in the conversion', () => {
    const rest = { origin: 'packed' } as const
    const [group] = groupTensors([
      tensor('blk.0.attn_q.weight', { ...rest, zeros: 0.3, scale: 0.0125 }),
      tensor('blk.1.attn_q.weight', { ...rest, zeros: 0.5, scale: 2 }),
    ])
    expect(group?.notes).toEqual(['unpacked', '30\u00a0% to 50\u00a0% zeros', 'scale 0.0125 to 2.00'])
  })

  it('says where figures are from when only one layer has been read', () => {
    const rest = { origin: 'master', zeros: 0.31, scale: 0.02 } as const
    const groups = groupTensors([tensor('blk.0.attn_q.weight', rest), tensor('blk.1.attn_q.weight')])
    expect(groups).toHaveLength(1)
    expect(groups[0]?.notes).toEqual([
      'ternarized from full precision',
      '31\u00a0% zeros in the first layer',
      'scale 0.0200 in the first layer',
    ])
  })

  it('says of computed tensors that they are', () => {
    expect(groupTensors([tensor('rope_freqs.weight', { source: null, sourceType: null })])[0]?.from).toBe('computed')
  })
})

/** A folder's entries: files as strings. */
interface Folder {
  readonly [name: string]: Folder | string
}

/** An entry; of those of a browser, only what the page asks. */
class Entry implements FileSystemEntry {
  readonly fullPath = ''
  readonly isFile: boolean
  readonly isDirectory: boolean
  readonly getParent = (): void => undefined

  constructor(
    readonly name: string,
    directory: boolean,
  ) {
    this.isDirectory = directory
    this.isFile = !directory
  }

  get filesystem(): never {
    throw new Error('not asked for')
  }
}

class FileEntry extends Entry implements FileSystemFileEntry {
  constructor(
    name: string,
    private readonly text: string,
  ) {
    super(name, false)
  }

  readonly file = (done: FileCallback): void => done(new File([this.text], this.name))
}

class DirectoryEntry extends Entry implements FileSystemDirectoryEntry {
  readonly getDirectory = (): void => undefined
  readonly getFile = (): void => undefined

  constructor(
    name: string,
    private readonly folder: Folder,
  ) {
    super(name, true)
  }

  createReader(): FileSystemDirectoryReader {
    const entries = Object.entries(this.folder).map(([name, child]) =>
      typeof child === 'string' ? new FileEntry(name, child) : new DirectoryEntry(name, child),
    )
    // The browser hands entries out in portions, the last of which is empty.
    const portions = [entries.slice(0, 1), entries.slice(1), []]
    return { readEntries: (done) => done(portions.shift() ?? []) }
  }
}

describe('a checkpoint', () => {
  const found = async (folder: Folder): Promise<string> => {
    const { name, files } = await checkpointOfEntries([new DirectoryEntry('dropped', folder)])
    return `${name}: ${files.map(({ name }) => name).join(' ')}`
  }

  it('is the dropped folder, or the uppermost below it that is one', async () => {
    expect(await found({ 'config.json': '', 'a.bin': '', sub: { 'config.json': '' } })).toBe(
      'dropped: config.json a.bin',
    )
    expect(await found({ notes: { a: '' }, 'step-2': { 'config.json': '', b: '' } })).toBe('step-2: config.json b')
    expect(await found({ a: { b: { 'config.json': '' } } })).toBe('b: config.json')
  })

  it('that is none is handed on as it is, for the library to say so', async () => {
    expect(await found({ 'a.txt': '', sub: { 'b.txt': '' } })).toBe('dropped: a.txt')
    expect(await checkpointOfEntries([])).toEqual({ name: 'checkpoint', files: [] })
  })

  it('that was chosen has the name of its folder', () => {
    const at = (path: string) =>
      Object.defineProperty(new File([], path.split('/').at(-1) ?? ''), 'webkitRelativePath', { value: path })
    expect(checkpointOfFiles([at('m/onnx/config.json'), at('m/config.json')]).name).toBe('m')
    expect(checkpointOfFiles([at('')]).name).toBe('checkpoint')
  })
})
