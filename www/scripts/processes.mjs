/** Other programs: running them, and failing with one sentence when they do. */

import { spawn } from 'node:child_process'
import { basename } from 'node:path'
import { createInterface } from 'node:readline'

/** A failure whose message says all that the reader needs. */
export class BuildError extends Error {}

/**
 * Runs a program to its end and returns what it printed to standard output. Each line of it, and of standard error,
 * is shown behind `label`.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd: string, env?: Record<string, string>, label?: string, quiet?: boolean }} options `quiet`: shows standard error only
 * @returns {Promise<string>}
 */
export async function run(command, args, { cwd, env = {}, label = '', quiet = false }) {
  const prefix = prefixOf(label)
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  createInterface(child.stdout).on('line', (line) => {
    output += `${line}\n`
    if (!quiet) console.log(prefix + line)
  })
  createInterface(child.stderr).on('line', (line) => console.error(prefix + line))
  /** @type {number | string | null} */
  const status = await new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new BuildError(`${command} could not be run: ${error.message}`)))
    child.on('close', (code, signal) => resolve(code ?? signal))
  })
  if (status !== 0) throw new BuildError(`${prefix}${basename(command)} failed with status ${status}`)
  return output
}

/** Runs `main` and ends the process: a {@link BuildError} is printed as its message alone. */
export async function runMain(/** @type {() => Promise<void>} */ main) {
  try {
    await main()
  } catch (error) {
    console.error(error instanceof BuildError ? error.message : error)
    process.exitCode = 1
  }
}

/** Says what begins, or how it ended. */
export function logStep(/** @type {string} */ label, /** @type {string} */ message) {
  console.log(prefixOf(label) + message)
}

function prefixOf(/** @type {string} */ label) {
  return label === '' ? '' : `${label.padEnd(16)} `
}
