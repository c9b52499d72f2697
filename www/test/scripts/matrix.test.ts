/** What follows from `wasm-pack.toml`. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readMatrix } from '../../scripts/matrix.mjs'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const text = readFileSync(join(root, 'wasm-pack.toml'), 'utf8')

describe('the builds', () => {
  const builds = readMatrix(root)
  const named = (name: string) => builds.find((build) => build.name === name)

  it('are in the order of the file, best first', () => {
    const engines = builds.filter(({ role }) => role === 'engine').map(({ name }) => name)
    expect(engines).toEqual(['relaxed-threads', 'relaxed', 'simd128-threads', 'simd128'])
  })

  it('share the dependencies of their toolchain', () => {
    const flags = (threads: boolean) => builds.filter((one) => one.threads === threads).map((one) => one.rustflags)
    expect(new Set(flags(false).flat())).toEqual(new Set(['-Ctarget-feature=+simd128']))
    expect(new Set(flags(true).flat())).toEqual(new Set(['-Ctarget-feature=+simd128,+atomics,+bulk-memory']))
  })

  it('compile the crate with what their browsers have', () => {
    expect(named('relaxed')?.rustcArgs).toContain('-Ctarget-feature=+relaxed-simd')
    expect(named('relaxed')?.wasmOptArgs).toContain('--enable-relaxed-simd')
    expect(named('relaxed')?.crateFeatures).toEqual(['engine', 'relaxed-simd'])
    expect(named('simd128')?.crateFeatures).toEqual(['engine'])
    expect(named('simd128')?.rustcArgs.join()).not.toContain('relaxed')
    expect(named('simd128')?.wasmOptArgs).not.toContain('--enable-relaxed-simd')
  })

  it('share memory exactly where they have threads', () => {
    for (const { threads, rustcArgs, cargoArgs, wasmOptArgs } of builds) {
      expect(rustcArgs.includes('-Clink-arg=--shared-memory')).toBe(threads)
      expect(wasmOptArgs.includes('--enable-threads')).toBe(threads)
      expect(cargoArgs[0]?.startsWith('+nightly-') ?? false).toBe(threads)
    }
  })
})

describe('a mistake in the file', () => {
  it.each([
    ['role = "converter"', 'role = "convertor"', 'build converter: role must be engine, converter or bench'],
    ['needs = ["simd128"], threads = true', 'needs = ["simd"], threads = true', 'unknown features simd'],
    ['cargo-args', 'cargo-arguments', '[threads]: unknown keys cargo-arguments'],
    ['[common]', '[shared]', 'unknown keys shared'],
    ['threads = true }', 'threads = "yes" }', 'threads must be true or false'],
  ])('%s -> %s', (right, wrong, message) => {
    const folder = mkdtempSync(join(tmpdir(), 'webtern-matrix-'))
    try {
      expect(text).toContain(right)
      writeFileSync(join(folder, 'wasm-pack.toml'), text.replace(right, wrong))
      expect(() => readMatrix(folder)).toThrow(message)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
