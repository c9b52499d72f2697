/** The command line of the benchmark. */

import { existsSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { ENGINES } from './engines.js'
import { BenchError } from './errors.js'

export const USAGE = `usage: npm run bench -- [options]
  --models A.gguf,B.gguf  the files to run, of one shape; may be repeated (needed without --quick)
  --engines A,B           some of ${ENGINES.join(', ')}
  --threads 1,2           numbers of threads
  --rounds 3              visits of each engine, with each model and number of threads
  --pairs 12              times that webtern's numbers of threads are compared in pairs, when there are several
  --busy                  with another process busy on every core
  --timeout 120           seconds that one step of a measurement may take
  --quick                 one round on a tiny model of the fixtures, to see that everything works
  --out DIR               where bench.json and bench.svg go`

/** A GGUF file and its name in reports. */
export interface ModelFile {
  readonly name: string
  readonly path: string
}

export interface Options {
  readonly models: readonly ModelFile[]
  readonly engines: readonly string[]
  readonly threads: readonly number[]
  readonly rounds: number
  readonly pairs: number
  readonly busy: boolean
  readonly timeoutMs: number
  readonly out: string
}

/** Where things are that options do not name. */
export interface Places {
  /** The root of the repository. */
  readonly root: string
  /** Models that come from elsewhere. */
  readonly fixtures: string
}

/**
 * Reads the arguments. Paths are relative to the root of the repository.
 *
 * @throws {BenchError} `bad-option`, and `missing` for a model that is not there
 */
export function parseOptions(args: readonly string[], { root, fixtures }: Places): Options {
  const values = parse(args)
  const quick = values.quick ?? false
  const models = quick ? [join(fixtures, 'stories260K.gguf')] : (values.models ?? []).flatMap(list)
  if (models.length === 0) throw new BenchError('bad-option', '--models is needed, or --quick')
  const engines = values.engines === undefined ? ENGINES : list(values.engines)
  for (const engine of engines) {
    if (!ENGINES.includes(engine))
      throw new BenchError('bad-option', `--engines: there is no ${engine}, only ${ENGINES.join(', ')}`)
  }
  return {
    models: distinct(
      'models',
      models.map((path) => modelFile(resolve(root, path))),
      ({ name }) => name,
    ),
    engines: distinct('engines', engines, String),
    threads: distinct(
      'threads',
      list(values.threads ?? '1,2').map((value) => whole('threads', value)),
      String,
    ),
    rounds: whole('rounds', values.rounds ?? (quick ? '1' : '3')),
    pairs: whole('pairs', values.pairs ?? (quick ? '2' : '12')),
    busy: values.busy ?? false,
    timeoutMs: whole('timeout', values.timeout ?? '120') * 1000,
    out: resolve(root, values.out ?? 'target/bench'),
  }
}

/** The arguments by name. */
interface Values {
  readonly models?: readonly string[]
  readonly engines?: string
  readonly threads?: string
  readonly rounds?: string
  readonly pairs?: string
  readonly timeout?: string
  readonly out?: string
  readonly busy?: boolean
  readonly quick?: boolean
}

function parse(args: readonly string[]): Values {
  try {
    return parseArgs({
      args: [...args],
      options: {
        models: { type: 'string', multiple: true },
        engines: { type: 'string' },
        threads: { type: 'string' },
        rounds: { type: 'string' },
        pairs: { type: 'string' },
        timeout: { type: 'string' },
        out: { type: 'string' },
        busy: { type: 'boolean' },
        quick: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    throw new BenchError('bad-option', error instanceof Error ? error.message : String(error))
  }
}

function list(value: string): string[] {
  return value.split(',').filter((part) => part !== '')
}

function whole(option: string, value: string): number {
  if (!/^[1-9]\d{0,5}$/.test(value)) throw new BenchError('bad-option', `--${option}: ${value} is not a number above 0`)
  return Number(value)
}

/** One value or more, no two of one name. */
function distinct<T>(option: string, values: readonly T[], nameOf: (value: T) => string): readonly T[] {
  const names = new Set(values.map(nameOf))
  if (names.size < values.length || names.size === 0)
    throw new BenchError('bad-option', `--${option} needs one value or more, each name once`)
  return values
}

function modelFile(path: string): ModelFile {
  if (!existsSync(path)) throw new BenchError('missing', `there is no model ${path}`)
  return { name: basename(path, '.gguf'), path }
}
