/** Checkpoints for the tests. */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { fixture, repository, targetFolder } from './files.ts'

/** A trained one. */
export const tinyCheckpoint = fixture('tiny-dlm/checkpoint')

/** Configuration and tokenizer of SmolLM2-135M with SubLN, without weights. */
export const smollm2Files = fixture('smollm2-135m-dlm-subln')

/** The folder of a SmolLM2-135M with SubLN and random weights, which is made unless it is there. */
export function smollm2Checkpoint(): string {
  const folder = join(targetFolder, 'models', 'smollm2-subln')
  if (existsSync(folder)) return folder
  const part = `${folder}.part`
  mkdirSync(part, { recursive: true })
  const options = ['--like', smollm2Files, '-o', part]
  execFileSync('cargo', ['run', '--quiet', '--example', 'random_checkpoint', '--', ...options], {
    cwd: repository,
    stdio: 'inherit',
  })
  renameSync(part, folder)
  return folder
}
