/** The library's WebAssembly with a cap on its memory, to run out of it early. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MEMORY_SECTION = 5
const dist = fileURLToPath(new URL('../../../dist', import.meta.url))

/** A build, by default the one that Chromium gets, whose memory cannot grow beyond `megabytes`. */
export function withMemoryCap(megabytes: number, build = 'relaxed'): Uint8Array {
  const module = readFileSync(join(dist, 'wasm', build, 'webtern_bg.wasm'))
  const parts: Uint8Array[] = [module.subarray(0, 8)]
  for (let at = 8; at < module.length;) {
    const size = readLeb(module, at + 1)
    const end = size.end + size.value
    if (module[at] === MEMORY_SECTION) {
      // One memory: its flags, then its first size in pages.
      const first = readLeb(module, size.end + 2)
      const body = [1, 1, ...leb(first.value), ...leb(megabytes * 16)]
      parts.push(Uint8Array.of(MEMORY_SECTION, ...leb(body.length), ...body))
    } else parts.push(module.subarray(at, end))
    at = end
  }
  return Buffer.concat(parts)
}

function readLeb(bytes: Uint8Array, at: number): { readonly value: number; readonly end: number } {
  let value = 0
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++] ?? 0
    value += (byte & 127) * 2 ** shift
    if (byte < 128) return { value, end: at }
  }
}

function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]
}
