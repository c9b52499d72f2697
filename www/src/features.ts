/** What this browser can run, and which build fits it best. */

import { WebternError } from './errors.js'
import type { Build, WasmFeature, WasmInstance } from './wasm.js'

/** What the choice of a build depends on. */
export interface Environment {
  readonly features: ReadonlySet<WasmFeature>
  /** Whether the page is cross-origin isolated. */
  readonly isolated: boolean
  /**
   * Whether threads can share memory: isolated pages of some WebKit browsers have no
   * `SharedArrayBuffer`.
   */
  readonly sharedMemory: boolean
  /** Logical processors. */
  readonly processors: number
}

/** The outcome of {@link chooseBuild}. */
export interface Choice<T extends WasmInstance> {
  readonly build: Build<T>
  readonly threads: number
  /** How this differs from the request, and why. */
  readonly notices: readonly string[]
}

const I32_CONST_0 = [0x41, 0x00]
const I8X16_SPLAT = [0xfd, 0x0f]
const DROP = 0x1a
/** `i16x8.relaxed_dot_i8x16_i7x16_s`. */
const RELAXED_DOT = [0xfd, 0x92, 0x02]

/** Inspects the browser: it has a feature if a module with one of its instructions is valid. */
export function detectEnvironment(): Environment {
  const splat = [...I32_CONST_0, ...I8X16_SPLAT]
  const features = new Set<WasmFeature>()
  if (isValid([...splat, DROP])) features.add('simd128')
  if (isValid([...splat, ...splat, ...RELAXED_DOT, DROP])) features.add('relaxed-simd')
  const processors = typeof navigator === 'undefined' ? 1 : navigator.hardwareConcurrency
  const isolated = globalThis.crossOriginIsolated
  return { features, isolated, sharedMemory: isolated && typeof SharedArrayBuffer !== 'undefined', processors }
}

/**
 * Default number of threads: four, or half of the processors if those are more, at most eight. Two
 * logical processors usually share one core's vector units, and more than eight threads rarely pay.
 */
export function defaultThreads({ processors }: Environment): number {
  return Math.min(processors, Math.max(4, Math.ceil(processors / 2)), 8)
}

/**
 * The build for this browser: the first that it can run, in the order of `wasm-pack.toml`, best
 * first.
 */
export function chooseBuild<T extends WasmInstance>(
  builds: readonly Build<T>[],
  environment: Environment,
  requested = defaultThreads(environment),
): Choice<T> {
  const runnable = builds.filter(({ needs }) => needs.every((feature) => environment.features.has(feature)))
  const single = runnable.find(({ threads }) => !threads)
  const threaded = environment.sharedMemory ? runnable.find(({ threads }) => threads) : undefined
  // A single thread also runs in a build with threads, if this copy of webtern has no other.
  const build = requested > 1 ? (threaded ?? single) : (single ?? threaded)
  if (!build) throw new WebternError('crashed', nothingRuns(builds, environment))
  if (build.threads) return { build, threads: requested, notices: [] }
  return { build, threads: 1, notices: requested > 1 ? [singleThreaded(builds, environment, requested)] : [] }
}

function isValid(body: readonly number[]): boolean {
  const header = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]
  const types = [0x01, 0x04, 0x01, 0x60, 0x00, 0x00]
  const functions = [0x03, 0x02, 0x01, 0x00]
  const code = [0x0a, body.length + 4, 0x01, body.length + 2, 0x00, ...body, 0x0b]
  return WebAssembly.validate(Uint8Array.from([...header, ...types, ...functions, ...code]))
}

function singleThreaded(
  builds: readonly Build<WasmInstance>[],
  { isolated, sharedMemory }: Environment,
  requested: number,
): string {
  const start = `running 1 of ${requested} threads:`
  if (!builds.some(({ threads }) => threads)) return `${start} this copy of webtern has no build with threads`
  if (sharedMemory) return `${start} this browser cannot run the build with threads`
  if (isolated) return `${start} this browser has no SharedArrayBuffer`
  return (
    `${start} the page is not cross-origin isolated; serve it with the headers ` +
    'Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp'
  )
}

/** `make demo` compiles the converter last. */
const NOT_COMPILED =
  'this part of webtern is not compiled yet: while `make demo` compiles, reload the page in a minute; ' +
  'otherwise run `make build`'

function nothingRuns(builds: readonly Build<WasmInstance>[], { features }: Environment): string {
  if (builds.length === 0) return NOT_COMPILED
  const needs = builds.map(({ name, needs }) => `${name} needs ${needs.join(' and ')}`).join('; ')
  const has = features.size > 0 ? [...features].join(' and ') : 'neither simd128 nor relaxed-simd'
  return `no build of webtern runs in this browser, which has ${has} (${needs}): use a current browser`
}
