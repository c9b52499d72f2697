/** The native command line, to compare the browser with. */

import { execFile } from 'node:child_process'
import { cpSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { DecodeMode, DecodeOptions } from '../../../src/types.ts'
import { repository, targetFolder } from './files.ts'

const run = promisify(execFile)

/** The command line: `WEBTERN_BIN`, else what `cargo build` made. */
export const nativeBinary =
  process.env['WEBTERN_BIN'] ?? join(process.env['CARGO_TARGET_DIR'] ?? join(repository, 'target'), 'debug', 'webtern')

/** Converts a checkpoint on the command line, and gives the path of the file. */
export async function convertNatively(checkpoint: string, output: string, ...options: string[]): Promise<string> {
  mkdirSync(dirname(output), { recursive: true })
  await run(nativeBinary, ['convert', checkpoint, '-o', output, ...options], { maxBuffer: 1 << 24 })
  return output
}

/** The text of token ids. */
export async function detokenizeNatively(model: string, ids: readonly number[]): Promise<string> {
  const { stdout } = await run(nativeBinary, ['--json', 'tokenize', model, '--decode', ids.join(',')])
  const parse: (text: string) => { readonly text: string } = JSON.parse
  return parse(stdout).text
}

/** A generation from token ids. */
export type TokenRun = Pick<DecodeOptions, 'threshold' | 'subBlockSize'> & {
  readonly tokens: readonly number[]
  readonly mode: DecodeMode
  readonly maxTokens: number
}

/** Token ids that the command line generates. */
export async function generateNatively(model: string, request: TokenRun): Promise<number[]> {
  const { tokens, mode, maxTokens, threshold, subBlockSize } = request
  const { stdout } = await run(nativeBinary, [
    ...['--json', 'generate', model, '--tokens', tokens.join(','), '--mode', mode, '-n', String(maxTokens)],
    ...(threshold === undefined ? [] : ['--threshold', String(threshold)]),
    ...(subBlockSize === undefined ? [] : ['--sub-block-size', String(subBlockSize)]),
  ])
  const parse: (text: string) => { readonly tokens: number[] } = JSON.parse
  return parse(stdout).tokens
}

/** Converts a checkpoint of `tests/golden/checkpoints`, whose tokenizer is in a folder for all, and returns the file's path in the site. */
export async function convertGolden(name: string, type: string): Promise<string> {
  const golden = join(repository, 'tests/golden/checkpoints')
  const folder = join(targetFolder, 'models', name)
  mkdirSync(folder, { recursive: true })
  for (const part of [name, 'tokenizer']) cpSync(join(golden, part), folder, { recursive: true })
  // wllama 3.8.1 refuses tensors that it does not know, which exact scales are.
  await run(nativeBinary, ['convert', folder, '--type', type, '--scales', 'f16', '-o', `${folder}-${type}.gguf`])
  return `/models/${name}-${type}.gguf`
}
