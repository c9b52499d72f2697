/** Other work on the machine: one process for every core that does nothing, as fast as it can. */

import { spawn, type ChildProcess } from 'node:child_process'
import { availableParallelism } from 'node:os'

/** Runs until nobody is at the other end any more. In slices, between which it notices. */
const LOOP = `
  process.on('disconnect', () => process.exit())
  const spin = () => {
    for (const end = Date.now() + 100; Date.now() < end; );
    setImmediate(spin)
  }
  spin()
`

export interface Busy {
  /** How many processes there are. */
  readonly processes: number
  stop(): void
}

/** Keeps every core busy until `stop`, or until this process ends, however it does. */
export function keepBusy(): Busy {
  const children: ChildProcess[] = Array.from({ length: availableParallelism() }, () =>
    spawn(process.execPath, ['--eval', LOOP], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  )
  return {
    processes: children.length,
    stop() {
      for (const child of children) child.kill()
    },
  }
}
