/** The tensors of a file in a table that can be read: those that differ by the number of their layer only are one row. */

import { percent, significant } from './format'
import type { ModelTensor, TensorReport } from 'webtern'

/** One row. */
export interface TensorGroup {
  /** The name, without the layer's number. */
  readonly name: string
  /** Layers, as `0–29`; empty for tensors outside of layers. */
  readonly layers: string
  readonly shape: string
  /** The checkpoint's type; `null` where there is no checkpoint. */
  readonly from: string | null
  /** The file's type. */
  readonly to: string
  /** What else is to say, one phrase each. */
  readonly notes: readonly string[]
}

const ORIGINS = {
  master: 'ternarized from full precision',
  ternary: 'ternary already',
  packed: 'unpacked',
  groups: 'unpacked, with a scale per group',
  float: '',
} as const

type Tensor = ModelTensor & Partial<TensorReport>

/** Rows in the order of the file. */
export function groupTensors(tensors: readonly Tensor[]): TensorGroup[] {
  const groups = new Map<string, { readonly layers: number[]; readonly members: Tensor[] }>()
  for (const tensor of tensors) {
    const { name, layer } = split(tensor)
    const { type, dims, sourceType, fallback } = tensor
    const key = [name, type, dims.join(), sourceType, fallback].join('\n')
    const group = groups.get(key) ?? { layers: [], members: [] }
    groups.set(key, group)
    group.members.push(tensor)
    if (layer !== undefined) group.layers.push(layer)
  }
  return [...groups.values()].flatMap(({ layers, members }) => {
    const [first] = members
    if (!first) return []
    return {
      name: split(first).name,
      layers: ranges(layers),
      shape: [...first.dims].reverse().join(' × '),
      from: first.sourceType === undefined ? null : (first.sourceType ?? 'computed'),
      to: first.type,
      notes: notes(members),
    }
  })
}

function split({ name }: Tensor): { readonly name: string; readonly layer?: number } {
  const [, layer, rest] = /^blk\.(\d+)\.(.*)$/.exec(name) ?? []
  return layer === undefined || rest === undefined ? { name } : { name: rest, layer: Number(layer) }
}

function notes(members: readonly Tensor[]): string[] {
  const origins = new Set(members.flatMap(({ origin }) => (origin ? ORIGINS[origin] : [])))
  const zeros = members.flatMap((tensor) => tensor.zeros ?? [])
  const scales = members.flatMap((tensor) => tensor.scale ?? [])
  // Before a conversion only the first layer has been read.
  const where = zeros.length === 1 && members.length > 1 ? ' in the first layer' : ''
  return [
    ...origins,
    zeros.length === 0 ? '' : `${range(zeros, percent)} zeros${where}`,
    scales.length === 0 ? '' : `scale ${range(scales, scale)}${where}`,
    members[0]?.fallback ?? '',
  ].filter((note) => note !== '')
}

/** Scales are small numbers: three digits that matter, however small. */
function scale(value: number): string {
  return value === 0 || value >= 1 ? significant(value) : value.toPrecision(3)
}

function range(values: readonly number[], show: (value: number) => string): string {
  const [least, most] = [show(Math.min(...values)), show(Math.max(...values))]
  return least === most ? least : `${least} to ${most}`
}

/** `0, 1, 2, 5` as `0–2, 5`. */
function ranges(numbers: readonly number[]): string {
  const runs: { from: number; to: number }[] = []
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = runs.at(-1)
    if (last && number === last.to + 1) last.to = number
    else runs.push({ from: number, to: number })
  }
  return runs.map(({ from, to }) => (from === to ? String(from) : `${from}–${to}`)).join(', ')
}
