/** What this browser can run, and which artefact that makes the best. */

import { WebternError } from './errors.js'
import type { Artefact, WasmFeature, WasmInstance } from './wasm.js'

/** What the choice of an artefact depends on. */
export interface Environment {
  readonly features: ReadonlySet<WasmFeature>
  /** Whether the page is cross-origin isolated, without which memory cannot be shared between threads. */
  readonly isolated: boolean
  /** Logical processors. */
  readonly processors: number
}

/** The outcome of {@link chooseArtefact}. */
export interface Choice<T extends WasmInstance> {
  readonly artefact: Artefact<T>
  readonly threads: number
  /** What differs from the wish, and why. */
  readonly notices: readonly string[]
}

const I32_CONST_0 = [0x41, 0x00]
const I8X16_SPLAT = [0xfd, 0x0f]
const DROP = 0x1a
/** `i16x8.relaxed_dot_i8x16_i7x16_s`. */
const RELAXED_DOT = [0xfd, 0x92, 0x02]

/** Looks at the browser: a feature is there if a module with one of its instructions is valid. */
export function detectEnvironment(): Environment {
  const splat = [...I32_CONST_0, ...I8X16_SPLAT]
  const features = new Set<WasmFeature>()
  if (isValid([...splat, DROP])) features.add('simd128')
  if (isValid([...splat, ...splat, ...RELAXED_DOT, DROP])) features.add('relaxed-simd')
  const processors = typeof navigator === 'undefined' ? 1 : navigator.hardwareConcurrency
  return { features, isolated: globalThis.crossOriginIsolated, processors }
}

/**
 * Threads to use when nobody says how many: four, or half of the processors if those are more, since they are usually two
 * for each core, which has the units that matter only once; but not more than there are, or than pay.
 */
export function defaultThreads({ processors }: Environment): number {
  return Math.min(processors, Math.max(4, Math.ceil(processors / 2)), 8)
}

/** The artefact for this browser: the first that it can run, in the order of `wasm-pack.toml`, best first. */
export function chooseArtefact<T extends WasmInstance>(
  artefacts: readonly Artefact<T>[],
  environment: Environment,
  wanted = defaultThreads(environment),
): Choice<T> {
  const runnable = artefacts.filter(({ needs }) => needs.every((feature) => environment.features.has(feature)))
  const threaded = wanted > 1 && environment.isolated ? runnable.find(({ threads }) => threads) : undefined
  if (threaded) return { artefact: threaded, threads: wanted, notices: [] }
  const artefact = runnable.find(({ threads }) => !threads)
  if (!artefact) throw new WebternError('crashed', nothingRuns(artefacts, environment))
  return { artefact, threads: 1, notices: wanted > 1 ? [oneThread(artefacts, environment, wanted)] : [] }
}

function isValid(body: readonly number[]): boolean {
  const header = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]
  const types = [0x01, 0x04, 0x01, 0x60, 0x00, 0x00]
  const functions = [0x03, 0x02, 0x01, 0x00]
  const code = [0x0a, body.length + 4, 0x01, body.length + 2, 0x00, ...body, 0x0b]
  return WebAssembly.validate(Uint8Array.from([...header, ...types, ...functions, ...code]))
}

function oneThread(artefacts: readonly Artefact<WasmInstance>[], { isolated }: Environment, wanted: number): string {
  const asked = `one thread runs, where ${String(wanted)} could:`
  if (!artefacts.some(({ threads }) => threads)) return `${asked} this copy of webtern has no build with threads`
  if (isolated) return `${asked} this browser cannot run the build with threads`
  return (
    `${asked} the page is not cross-origin isolated; serve it with the headers ` +
    'Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp'
  )
}

function nothingRuns(artefacts: readonly Artefact<WasmInstance>[], { features }: Environment): string {
  if (artefacts.length === 0) return 'this copy of webtern was built without WebAssembly files: run its full build'
  const needs = artefacts.map(({ name, needs }) => `${name} needs ${needs.join(' and ')}`).join('; ')
  const has = features.size > 0 ? [...features].join(' and ') : 'neither simd128 nor relaxed-simd'
  return `no build of webtern runs in this browser, which has ${has} (${needs}); a current browser does`
}
