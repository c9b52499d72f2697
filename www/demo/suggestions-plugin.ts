/**
 * The module `virtual:suggestions`: questions for the embedded model, out of its held-out cases (`models/tiny/eval.jsonl`),
 * by task. A suggestion is what the person says, turn by turn.
 */

import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Plugin } from 'vite'

/** Suggestions of each task. */
const COUNT = 16

interface Case {
  readonly task: string
  readonly messages: readonly { readonly role: string; readonly content: string }[]
}

export function suggestions(repository: string): Plugin {
  const id = '\0virtual:suggestions'
  const path = resolve(repository, 'models/tiny/eval.jsonl')
  return {
    name: 'webtern-suggestions',
    resolveId: (wanted) => (wanted === 'virtual:suggestions' ? id : undefined),
    load(wanted) {
      if (wanted !== id) return undefined
      this.addWatchFile(path)
      return `export const suggestions = ${JSON.stringify(read(path))}`
    },
  }
}

function read(path: string): Readonly<Record<string, readonly (readonly string[])[]>> {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  const found: Record<string, string[][]> = {}
  for (const { task, messages } of lines.map((line) => JSON.parse(line) as Case)) {
    const turns = messages.filter(({ role }) => role === 'user').map(({ content }) => content)
    // Some cases are typed carelessly on purpose.
    if (turns.every((turn) => /^[A-Z0-9].*[.?!]$/.test(turn))) (found[task] ??= []).push(turns)
  }
  return Object.fromEntries(Object.entries(found).map(([task, all]) => [task, all.slice(0, COUNT)]))
}
