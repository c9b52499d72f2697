import { describe, expect, it } from 'vitest'
import { chooseBuild, defaultThreads, detectEnvironment } from '../../src/features.js'
import type { Build, WasmFeature, WasmInstance } from '../../src/wasm.js'

const build = (name: string, needs: readonly WasmFeature[], threads: boolean): Build<WasmInstance> => ({
  name,
  needs,
  threads,
  path: `${name}/webtern_bg.wasm`,
  url: () => new URL('https://a.org/'),
  instantiate: () => Promise.reject(new Error('not called')),
})
const all = [
  build('relaxed-threads', ['simd128', 'relaxed-simd'], true),
  build('relaxed', ['simd128', 'relaxed-simd'], false),
  build('simd-threads', ['simd128'], true),
  build('simd', ['simd128'], false),
]
const environment = (sharedMemory: boolean, ...features: WasmFeature[]): Parameters<typeof chooseBuild>[1] => ({
  isolated: sharedMemory,
  sharedMemory,
  features: new Set(features),
  processors: 4,
})

describe('chooseBuild', () => {
  it.each([
    [environment(true, 'simd128', 'relaxed-simd'), 4, 'relaxed-threads', 4, undefined],
    [environment(true, 'simd128'), 4, 'simd-threads', 4, undefined],
    [environment(true, 'simd128', 'relaxed-simd'), 1, 'relaxed', 1, undefined],
    [environment(false, 'simd128'), 4, 'simd', 1, 'not cross-origin isolated'],
    [environment(false, 'simd128'), 1, 'simd', 1, undefined],
  ])('takes the best that runs: %o, %d threads', (given, wanted, name, threads, notice) => {
    const choice = chooseBuild(all, given, wanted)
    expect(choice).toMatchObject({ build: { name }, threads })
    expect(choice.notices.join()).toContain(notice ?? '')
    expect(choice.notices).toHaveLength(notice === undefined ? 0 : 1)
  })

  it('says so when there is one thread only', () => {
    expect(chooseBuild(all.slice(3), environment(true, 'simd128'), 2).notices.join()).toContain('no build with threads')
  })

  it('says so when an isolated page cannot share memory', () => {
    const choice = chooseBuild(all, { ...environment(false, 'simd128'), isolated: true }, 2)
    expect(choice).toMatchObject({ build: { name: 'simd' }, threads: 1 })
    expect(choice.notices.join()).toContain('no SharedArrayBuffer')
  })

  it('chooses the number of threads by the processors', () => {
    expect(chooseBuild(all, environment(true, 'simd128'))).toMatchObject({
      build: { name: 'simd-threads' },
      threads: 4,
    })
    const threads = (processors: number): number => defaultThreads({ ...environment(true), processors })
    expect([1, 2, 4, 6, 8, 12, 16, 64].map(threads)).toEqual([1, 2, 4, 4, 4, 6, 8, 8])
  })

  it('runs a single thread in a build with threads when there is no other', () => {
    const threaded = all.filter(({ threads }) => threads)
    expect(chooseBuild(threaded, environment(true, 'simd128'), 1)).toMatchObject({
      build: { name: 'simd-threads' },
      threads: 1,
      notices: [],
    })
    expect(() => chooseBuild(threaded, environment(false, 'simd128'), 1)).toThrow('no build of webtern runs')
  })

  it('says so when nothing runs', () => {
    expect(() => chooseBuild(all, environment(true), 1)).toThrow('neither simd128 nor relaxed-simd')
    expect(() => chooseBuild([], environment(true, 'simd128'), 1)).toThrow('not compiled yet')
  })
})

describe('detectEnvironment', () => {
  it('finds SIMD, which every supported Node has', () => {
    expect(detectEnvironment().features.has('simd128')).toBe(true)
  })
})
